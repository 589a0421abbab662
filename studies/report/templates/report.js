"use strict";
const one = (selector, root) => (root || document).querySelector(selector);
const all = (selector, root) => [...(root || document).querySelectorAll(selector)];
const SVG = "http://www.w3.org/2000/svg";
const FIRST = 100; // rows of the table that are shown at first

/* An element with properties and children; texts are always texts. */
function make(tag, properties, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in found && name !== "style") found[name] = value; else found.setAttribute(name, value);
  }
  found.append(...children.filter((child) => child !== null && child !== undefined));
  return found;
}
function drawn(tag, attributes, ...children) {
  const found = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  found.append(...children);
  return found;
}
const percent = (value) => (value === null || value === undefined || !isFinite(value) ? "–" : `${Number((100 * value).toFixed(Math.abs(value) < 0.0995 ? 1 : 0)) + 0} %`);
const brief = (value) => Number(Number(value).toPrecision(3)).toString();

/* The table: sorting, filtering, and where a number comes from. */
function setTable() {
  const table = one("#table");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows], heads = all("thead th", table);
  let shown = FIRST;
  heads.forEach((head, place) => {
    const button = make("button", {type: "button"}, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(place));
  });
  function sort(place) {
    const head = heads[place], numbers = head.dataset.which !== undefined;
    const up = head.getAttribute("aria-sort") === (numbers ? "descending" : null) || (numbers ? false : head.getAttribute("aria-sort") !== "ascending");
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => (numbers ? parseFloat(row.cells[place].dataset.v) : row.cells[place].textContent);
    rows.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (numbers) return (isNaN(x) - isNaN(y)) || (up ? x - y : y - x);
      return (up ? 1 : -1) * x.localeCompare(y, "en", {numeric: true});
    });
    body.append(...rows);
    apply();
  }
  const text = one("#filter"), selects = all("select[data-filter]"), status = one("#shown-rows"), more = one("#more");
  function apply() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => {
      const where = JSON.parse(row.dataset.where), names = Object.values(where).join(" ").toLowerCase();
      return words.every((word) => names.includes(word)) && selects.every((select) => !select.value || where[select.dataset.filter] === select.value);
    });
    const seen = new Set(found.slice(0, shown));
    rows.forEach((row) => { row.hidden = !seen.has(row); });
    status.textContent = `${seen.size} of ${rows.length} rows shown`;
    more.hidden = found.length <= shown;
    more.textContent = `Show all ${found.length} rows`;
  }
  text.addEventListener("input", apply);
  selects.forEach((select) => select.addEventListener("change", apply));
  more.addEventListener("click", () => { shown = Infinity; apply(); });
  one("#filters").hidden = false;
  apply();
}
function setNumbers() {
  const dialog = one("#source"), table = one("#table");
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.number");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !dialog.showModal) return;
    event.preventDefault();
    const cell = link.closest("td"), row = link.closest("tr"), file = link.dataset.file, count = Number(link.dataset.count);
    one("#source-text").textContent = count > 1 ? `${link.textContent} is the mean of ${count} rows of ${file}: ${link.dataset.rows}.` : `${link.textContent} is one number: ${[file, link.dataset.rows].filter(Boolean).join(", row ")}.`;
    one("#source-code").textContent = row && row.dataset.where ? query(file, JSON.parse(row.dataset.where), JSON.parse(table.tHead.rows[0].cells[cell.cellIndex].dataset.which)) : "";
    one("#source-link").href = link.href;
    dialog.showModal();
  });
}
/* The same rows, as pandas finds them. */
function query(file, where, which) {
  const quoted = (value) => (typeof value === "number" ? String(value) : JSON.stringify(value));
  const wide = file.endsWith(".csv");
  const names = wide ? {transform: where.domain} : {data: where.data, model: where.model, method: where.method, domain: where.domain, ...which};
  const tests = Object.entries(names).map(([name, value]) => `(t[${JSON.stringify(name)}] == ${quoted(value)})`);
  return `t = pd.${wide ? "read_csv" : "read_parquet"}(${JSON.stringify(file)})\nt[${tests.join("\n  & ")}]`;
}

/* The charts of another model, data set or method. */
function setGroups() {
  const select = one("#group");
  if (!select) return;
  select.addEventListener("change", () => {
    all("section.group").forEach((section) => { section.hidden = true; });
    let section = document.getElementById(select.value);
    if (!section) {
      const template = one(`template[data-group="${select.value}"]`);
      template.replaceWith(template.content);
      section = document.getElementById(select.value);
    }
    section.hidden = false;
  });
}

/* Examples. */
const waiting = {};
window.pullbackView = (number, view) => { if (waiting[number]) waiting[number](view); };
const kept = {};
function load(number) {
  if (!kept[number]) {
    const holder = document.getElementById(`view-${number}`);
    kept[number] = holder.dataset.src === undefined ? Promise.resolve(JSON.parse(holder.textContent)) : new Promise((resolve, reject) => {
      waiting[number] = resolve;
      document.head.append(make("script", {src: holder.dataset.src, onerror: () => reject(new Error("missing"))}));
    });
  }
  return kept[number];
}
function setViews() {
  const example = one("#example"), domain = one("#domain"), viewer = one("#viewer");
  if (!example) return;
  async function open() {
    const number = example.value;
    try {
      const view = await load(number);
      if (number !== example.value) return;
      const before = domain.value;
      domain.replaceChildren(...view.domains.map((each) => make("option", {value: each.domain}, each.domain)));
      if (view.domains.some((each) => each.domain === before)) domain.value = before;
      else if (view.domains.length > 1) domain.selectedIndex = view.domains.findIndex((each) => each.scales.length > 1 && each.scales.some((scale) => scale.heat || scale.mosaic));
      if (domain.selectedIndex < 0) domain.selectedIndex = 0;
      show(view);
    } catch (error) {
      viewer.replaceChildren(make("p", {}, `The file of this example, ${document.getElementById(`view-${number}`).dataset.src}, is not there: keep the folder beside this page.`));
    }
  }
  function show(view) {
    const chosen = view.domains.find((each) => each.domain === domain.value);
    viewer.replaceChildren(heading(view), ...{picture: showPicture, volume: showVolume, lines: showLines}[view.form](view, chosen), shares(chosen));
  }
  example.addEventListener("change", open);
  domain.addEventListener("change", async () => show(await load(example.value)));
  open();
}
function heading(view) {
  const said = view.seen ? [" gets the class ", make("strong", {}, make("bdi", {}, view.seen)), "."] : ["."];
  return make("p", {}, make("bdi", {}, view.name), ...said, ` ${view.shape.join(" × ")} values.`);
}
const left = (part) => (part.kept === undefined ? "" : `: ${percent(part.kept)} of the decision is left`);
const scaleName = (scale) => `${scale.name}${scale.text ? `, ${scale.text}` : ""}: ${percent(scale.share)}`;
function chooser(legend, names, choose) {
  const name = `choice-${Math.random().toString(36).slice(2)}`;
  return make("fieldset", {}, make("legend", {}, legend), make("div", {}, ...names.map((text, place) => {
    const radio = make("input", {type: "radio", name, value: String(place), checked: place === 0});
    radio.addEventListener("change", () => choose(place));
    return make("label", {}, radio, ` ${text}`);
  })));
}
function slider(text, properties, moved) {
  const value = make("span", {}), range = make("input", {type: "range", ...properties});
  range.addEventListener("input", () => { value.textContent = moved(Number(range.value)); });
  const label = make("label", {}, make("span", {}, `${text} `, value), range);
  value.textContent = moved(Number(range.value));
  return label;
}
function shares(domain) {
  const rows = domain.scales.map((scale) => make("tr", {}, make("th", {scope: "row"}, scale.name), make("td", {className: "text"}, scale.text || "–"), make("td", {}, percent(scale.share))));
  const head = make("thead", {}, make("tr", {}, ...["scale", "frequencies", "share of Σ|a|"].map((text, place) => make("th", {scope: "col", className: place < 2 ? "text" : ""}, text))));
  return make("details", {}, make("summary", {}, "Shares of the scales as a table"), make("div", {className: "wide", tabIndex: 0, role: "region", "aria-label": "Shares of the scales"}, make("table", {}, make("caption", {}, `Shares of the scales in ${domain.domain}`), head, make("tbody", {}, ...rows))));
}
function selected(domain, draw) {
  const figures = domain.selected.map((part) => {
    if (part.kept === undefined) return make("figure", {}, draw(part), make("figcaption", {}, `${percent(part.keep)} of coefficients`));
    const value = make("a", {className: "value number", href: part.href, "data-rows": part.row, "data-count": "1", "data-file": ""}, percent(part.kept));
    return make("figure", {}, draw(part), make("figcaption", {}, value, `of the decision is left with ${percent(part.keep)} of coefficients`));
  });
  return [make("h3", {}, "Only the most important coefficients are kept"), make("div", {className: "strip"}, ...figures)];
}

function showPicture(view, domain) {
  const scales = domain.scales.filter((scale) => scale.heat), parts = [];
  if (scales.length) {
    const heat = make("img", {src: scales[0].heat}), stage = make("div", {className: "stage"}, make("img", {src: view.input.image, alt: `${view.name} as the model takes it`}), heat);
    const thumbs = make("div", {className: "strip thumbs"}, ...scales.map((scale) => make("figure", {}, make("img", {src: scale.heat, alt: `Map of ${scale.name}, most of it in ${scale.where}`}), make("figcaption", {}, `${scale.name}: ${percent(scale.share)}`))));
    const choose = (place) => {
      heat.src = scales[place].heat;
      heat.alt = `${scaleName(scales[place])} of the attribution in ${domain.domain}, most of it in ${scales[place].where} of the image`;
    };
    const opacity = slider("Opacity of the map:", {min: 0, max: 100, value: 70, id: "opacity"}, (value) => { heat.style.opacity = value / 100; return `${value} %`; });
    parts.push(make("h3", {}, "Where in the picture, at each scale"), make("div", {className: "controls"}, chooser("Scale, and its share of Σ|a|", scales.map(scaleName), choose), opacity), make("div", {className: "side"}, stage, thumbs), make("p", {className: "hint"}, "Bright: places of much attribution at this scale; all maps of this example have one scale of brightness. Shares of a band may cancel at a place."));
    choose(0);
  }
  return [...parts, ...selected(domain, (part) => make("img", {src: part.image, alt: `${view.name} from ${percent(part.keep)} of coefficients in ${domain.domain}${left(part)}`}))];
}

function planeFigure(plane, title, alt) {
  const ends = (low, high, unit) => make("div", {className: "ends"}, make("span", {}, `${brief(low)} ${unit}`), make("span", {}, `${brief(high)} ${unit}`));
  return make("figure", {className: "plane"}, make("img", {src: plane.image, alt}), ends(0, plane.length, plane.length_unit), make("figcaption", {}, `${title}: time to the right, frequency upwards in octaves from ${brief(plane.low)} to ${brief(plane.high)} ${plane.unit}`));
}
function traces(view, scale, name) {
  const shown = view.input, step = view.step[0];
  const figures = shown.lines.map((line) => {
    const low = Math.min(...line.values), high = Math.max(...line.values), span = high - low || 1, end = Math.max(1, shown.samples - 1);
    const path = line.at.map((at, place) => `${place ? "L" : "M"}${(1000 * at / end).toFixed(1)} ${(95 - 90 * (line.values[place] - low) / span).toFixed(1)}`).join("");
    const svg = drawn("svg", {viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img", "aria-label": `${line.name}, from ${brief(low)} to ${brief(high)}, with the places of ${name}`});
    if (scale && scale.at) svg.append(drawn("path", {class: "heat", d: `M0 100${scale.at.map((at, place) => `L${(1000 * at / end).toFixed(1)} ${(100 - 95 * scale.heat[place]).toFixed(1)}`).join("")}L1000 100Z`}));
    svg.append(drawn("path", {class: "line", d: path}));
    return make("figure", {}, make("figcaption", {}, make("bdi", {}, line.name)), svg);
  });
  const hidden = shown.channels - shown.lines.length;
  return make("div", {className: "traces"}, ...figures, make("div", {className: "ends"}, make("span", {}, `0 ${view.unit}`), make("span", {}, `${brief(shown.samples * step)} ${view.unit}`)), hidden > 0 ? make("p", {className: "hint"}, `${hidden} more channels are not drawn.`) : null);
}
function showLines(view, domain) {
  const parts = [make("h3", {}, "Where in the signal, at each scale")], scales = domain.scales.filter((scale) => scale.at), stage = make("div", {});
  if (view.input.sound) parts.push(make("p", {}, "The input: "), make("audio", {controls: true, preload: "metadata", src: view.input.sound, "aria-label": `${view.name}, the input`}));
  const choose = (place) => stage.replaceChildren(traces(view, scales[place], scales.length ? scaleName(scales[place]) : "the signal"));
  if (scales.length) {
    const opacity = slider("Opacity of the map:", {min: 0, max: 100, value: 60, id: "opacity"}, (value) => { stage.style.setProperty("--heat-opacity", value / 100); all(".heat", stage).forEach((path) => { path.style.opacity = value / 100; }); return `${value} %`; });
    parts.push(make("div", {className: "controls"}, chooser("Scale, and its share of Σ|a|", scales.map(scaleName), (place) => { choose(place); one("input", opacity).dispatchEvent(new Event("input")); }), opacity), stage);
    choose(0);
    one("input", opacity).dispatchEvent(new Event("input"));
    parts.push(make("p", {className: "hint"}, "Red: where the attribution of this scale lies, all channels together."));
  } else { choose(0); parts.push(stage); }
  const planes = [];
  if (view.input.spectrogram) planes.push(planeFigure(view.input.spectrogram, "Spectrogram of the input", `Spectrogram of ${view.name}`));
  if (domain.plane) planes.push(planeFigure(domain.plane, "Attribution", `Attribution over time and frequency in ${domain.domain}`));
  if (planes.length) parts.push(make("div", {className: "grid-2"}, ...planes));
  if (domain.channels) parts.push(channelTable(domain));
  if (view.input.sound) {
    return [...parts, make("h3", {}, "Only the most important coefficients are kept"), make("div", {className: "grid-2"}, ...domain.selected.map((part) => make("section", {"aria-label": percent(part.keep)}, make("p", {}, make("strong", {}, `${percent(part.keep)} of coefficients${part.kept === undefined ? "" : ": "}`), part.kept === undefined ? "" : make("a", {className: "number", href: part.href, "data-rows": part.row, "data-count": "1", "data-file": ""}, percent(part.kept)), part.kept === undefined ? "" : " of the decision is left"), make("audio", {controls: true, preload: "metadata", src: part.sound, "aria-label": `${percent(part.keep)} of coefficients in ${domain.domain}`}), planeFigure(part.spectrogram, "Spectrogram", `Spectrogram of ${percent(part.keep)} of coefficients`))))];
  }
  return [...parts, ...selected(domain, (part) => traces({...view, input: part}, null, "the kept coefficients"))];
}
function channelTable(domain) {
  const {names, octaves, shares: values} = domain.channels, most = Math.max(...values.flat()) || 1;
  const texts = Object.fromEntries(domain.scales.map((scale) => [scale.name, scale.text]));
  const head = make("tr", {}, make("th", {scope: "col", className: "text"}, "channel"), ...octaves.map((name) => make("th", {scope: "col"}, name, make("br"), texts[name] || "")));
  const rows = names.map((name, row) => make("tr", {}, make("th", {scope: "row"}, make("bdi", {}, name)), ...values[row].map((value) => make("td", {className: "shade", style: `background:${ramp(0.55 * Math.sqrt(value / most))}`}, percent(value)))));
  return make("div", {className: "wide", tabIndex: 0, role: "region", "aria-label": "Channels and octaves"}, make("table", {}, make("caption", {}, "Share of Σ|a| of each channel and octave; brighter is more"), make("thead", {}, head), make("tbody", {}, ...rows)));
}

/* Volumes: three slices through one mosaic of all slices. */
const STOPS = [[0, 0, 4], [80, 18, 123], [182, 54, 121], [251, 136, 97], [252, 253, 191]];
function color(level) {
  const at = Math.min(Math.max(level, 0), 1) * (STOPS.length - 1), low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((part, place) => Math.round(part + (at - low) * (STOPS[low + 1][place] - part)));
}
const ramp = (level) => `rgb(${color(level).join(",")})`;
async function pixels(shown) {
  if (!shown.values) {
    const image = new Image();
    image.src = shown.mosaic;
    await image.decode();
    const canvas = make("canvas", {width: image.width, height: image.height}), context = canvas.getContext("2d", {willReadFrequently: true});
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, image.width, image.height).data, [count, height, width] = shown.size;
    shown.values = (i, j, k) => data[4 * ((Math.floor(i / shown.columns) * height + j) * image.width + (i % shown.columns) * width + k)];
  }
  return shown.values;
}
function showVolume(view, domain) {
  const size = view.input.size, place = size.map((length) => Math.floor(length / 2));
  const bases = [{...view.input, label: "the input"}, ...domain.selected.map((part) => ({...part, label: `kept ${percent(part.keep)}${left(part)}`}))];
  const maps = domain.scales.filter((scale) => scale.mosaic), state = {base: 0, map: 0, opacity: 0.7};
  const faces = view.faces || [[1, 2], [0, 2], [0, 1]].map(([down, across], axis) => ({down, across, up: false, sides: "", name: `Axis ${axis + 1}`}));
  const others = faces.map((face) => [face.down, face.across]);
  const canvases = others.map(([rows, columns], axis) => make("canvas", {width: size[columns], height: size[rows], role: "img", style: `aspect-ratio:${view.shape[columns + 1] * view.step[columns]}/${view.shape[rows + 1] * view.step[rows]}`}));
  async function draw(axes) {
    const base = await pixels(bases[state.base]), map = maps.length ? await pixels(maps[state.map]) : null;
    for (const axis of axes) {
      const [rows, columns] = others[axis], canvas = canvases[axis], context = canvas.getContext("2d"), image = context.createImageData(size[columns], size[rows]), at = [...place];
      for (let row = 0; row < size[rows]; row++) for (let column = 0; column < size[columns]; column++) {
        at[rows] = faces[axis].up ? size[rows] - 1 - row : row; at[columns] = column;
        const grey = base(...at), level = map ? map(...at) / 255 : 0, weight = state.opacity * Math.min(1, 1.6 * level), hot = color(level), start = 4 * (row * size[columns] + column);
        for (let part = 0; part < 3; part++) image.data[start + part] = grey * (1 - weight) + hot[part] * weight;
        image.data[start + 3] = 255;
      }
      context.putImageData(image, 0, 0);
      canvas.setAttribute("aria-label", `Slice ${place[axis] + 1} of ${size[axis]} along ${faces[axis].name.toLowerCase()} of ${bases[state.base].label}${maps.length ? `, with ${scaleName(maps[state.map])}` : ""}`);
    }
  }
  const every = [0, 1, 2];
  const panels = canvases.map((canvas, axis) => make("figure", {}, canvas, slider(`${faces[axis].name}, slice`, {min: 0, max: size[axis] - 1, value: place[axis], className: "slice"}, (value) => {
    place[axis] = value;
    draw([axis]);
    const real = (value + 0.5) * view.shape[axis + 1] / size[axis] * view.step[axis];
    return `${value + 1} of ${size[axis]} (${brief(real)} ${view.unit})`;
  }), faces[axis].sides ? make("p", {className: "hint"}, ["left", "right", "top", "bottom"].map((side, place) => `${side} ${faces[axis].sides[place]}`).join(", ")) : ""));
  const controls = [chooser("Volume", bases.map((each) => each.label), (choice) => { state.base = choice; draw(every); })];
  if (maps.length) controls.push(chooser("Scale, and its share of Σ|a|", maps.map(scaleName), (choice) => { state.map = choice; draw(every); }), slider("Opacity of the map:", {min: 0, max: 100, value: 70, id: "opacity"}, (value) => { state.opacity = value / 100; draw(every); return `${value} %`; }));
  return [make("h3", {}, "Slices along each axis"), make("div", {className: "controls"}, ...controls), make("div", {className: "slices"}, ...panels), make("p", {className: "hint"}, "Bright: places of much attribution at this scale.")];
}

setTable();
setNumbers();
setGroups();
setViews();
