"""The explanation of one picture, recording, volume or series in several domains."""

import functools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ..attribution import Attribution
from ..attribution import get as get_method
from ..attribution.call import run
from ..core.defaults import PICTURE_METHOD
from ..core.files import check_writable, plain, slug, write_text, write_whole
from ..core.progress import Progress
from ..core.terminal import command_line
from ..metrics import cancellation
from ..transforms.units import band_ranges, band_texts, frequency_unit, steps_of
from .compare.measurements import ONLY
from .compare.summary import versions
from .kinds import Part, Signal, check_bytes, check_memory, kind_advice, wrong_kind
from .loaders.data import Photo, reason
from .loaders.models import LoadedModel
from .loaders.packaged import is_packaged, opened, origins, packaged_items, unknown_item
from .report.cautions import cancels
from .report.figures import save
from .report.views import Drawing, view, view_bytes
from .storage.distinct import distinct_domains
from .storage.fingerprint import content
from .storage.results import Results
from .storage.store import digest

KEPT = 0.1  # of the coefficients, in the signals that are written
VIEWS = ".views"  # what the report shows of each explanation


@dataclass(frozen=True)
class Explanation:
    """The class that was explained, and the shares of the bands.

    image: the file's name.  class_name: "" if unknown; a model with one output has no classes but target 0, called
    "output", whose probability is NaN.  shares: of Σ|a|, {domain: {octave: share}}; those of a domain sum to 1.
    totals: Σ a, signed, in the same form; {} for sensitivities, whose sum has no meaning.  score_difference: f(x) - f(x₀).
    cancellation: {domain: Σ|a| / |f(x) - f(x₀)|}, see `metrics.cancellation`.
    frequencies: of each octave with their unit, as {"octave 1": "4000–8000 Hz"}, "" where it has none.
    files: the names of the figures, and of the files with the shares and signals.  notes: what was read or prepared otherwise
    than the file stores it, and what was left out.  not_converged: the domains in which the method missed its tolerance.

    >>> found = Explanation("cat.png", 1, "cat", 2.5, 0.9, {"dct": {"octave 2": 0.7, "octave 1": 0.3}}, ["cat-cat-dct.png"])
    >>> max(found.shares["dct"], key=found.shares["dct"].get)
    'octave 2'
    """

    image: str
    target: int
    class_name: str
    score: float
    probability: float
    shares: dict[str, dict[str, float]]
    files: list[str]
    notes: tuple[str, ...] = ()
    not_converged: tuple[str, ...] = ()
    frequencies: dict[str, dict[str, str]] = field(default_factory=dict)
    totals: dict[str, dict[str, float]] = field(default_factory=dict)
    cancellation: dict[str, float] = field(default_factory=dict)
    score_difference: float = math.nan


def explain(image: str | Path, *, target: int | str | None = None, **options: Any) -> Explanation:
    """Attributes the score of one class in several domains, and writes figures, shares and signals into `out`.

    image: a file of the kind that the model takes; for volumes also a folder with a DICOM series.
    target: a class by number or name; None for the predicted one.  options: as in `explain_top`.

    Raises: ValueError where the file is not of the model's kind, the model not a classifier, the class does not exist, or
    `out` holds results of something else.

    >>> import tempfile, torch, pullback as pb
    >>> from PIL import Image
    >>> model = pb.studies.load_model("torch.nn:Flatten", preparation=pb.studies.Preparation(4))  # each sample is a class
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8), "red").save(f"{folder}/red.png")
    ...     found = explain(f"{folder}/red.png", model=model, method="gradient", transforms=["dct"], out=folder, target=5)
    >>> found.files, round(sum(found.shares["dct"].values()), 6)
    (['red-5-dct.png', 'red-5-dct.json'], 1.0)
    """
    return next(explain_top(image, targets=() if target is None else (target,), **options))


def explain_top(
    image: str | Path,
    *,
    model: LoadedModel,
    out: str | Path,
    transforms: Sequence[str] | None = None,
    method: str = PICTURE_METHOD,
    baseline: str = "zero",
    targets: Sequence[int | str] = (),
    top: int = 1,
    part: Part | None = None,
    device: str = "cpu",
    seed: int = 0,
    batch_size: int | str = "auto",
    progress: Progress | None = None,
) -> Iterator[Explanation]:
    """The explanations of several classes of one file, each as soon as it is written; see `explain`.

    targets: classes by number or name; without them the `top` with the highest scores.  transforms: None for those of the kind.
    part: of a long recording, see `kinds.Part`; None reads its first minute.  baseline: x₀, as in `attribute`.

    The files are named FILE-CLASS-DOMAIN: a figure (.png), the shares of all bands (.json), and what the kind writes, such as
    the signal of the 10 % of coefficients with the largest |a| (-top10.wav). A file that answers another question and has
    this name stays, and the new name ends with a digest. .summary.json says what each file shows.
    """
    get_method(method)
    check_writable(out)
    results = Results(out, "explain")
    photo, signal = _read(image, model, part)
    signal = model.fitted(signal)
    x = signal.values[None].to(device)
    wanted = transforms or model.signals.explained(tuple(x.shape[1:]))
    check_memory(photo.name, x, len(wanted), model.signals)
    model = model.whole(x)
    batch_size = model.fitting(x, batch_size)
    logits = model.check(x, batch_size)
    told: list[str] = []
    domains = distinct_domains(wanted, tuple(x.shape[1:]), told.append)
    chosen = _chosen(model, logits, targets, top)
    path = plain(image if photo.path is None else os.path.abspath(image))
    about: dict[str, Any] = {"image": path, "content": content(photo), "model": model.name, "method": method}
    about |= {"preparation": model.preparation(), "seed": seed} | ({"part": part} if part else {})
    about |= {"baseline": baseline} if baseline != "zero" else {}
    options: dict[str, Any] = {"method": method, "baseline": baseline, "seed": seed, "batch_size": batch_size}
    options |= {"progress": progress}
    signal = replace(signal, name=photo.name, notes=(*signal.notes, *told))
    for one in chosen:
        target = None if logits.shape[1] == 1 else one
        with results.run({}):
            # `run` leaves it to the caller to say what did not converge.
            maps = [Attribution(**fields) for fields in run(model.module, x, target, list(domains), **options)]
            yield _written(results, model, signal, maps, domains, logits, one, about)


def _chosen(model: LoadedModel, logits: Tensor, targets: Sequence[int | str], top: int) -> list[int]:
    """The numbers of the classes to explain."""
    if not targets:
        return logits[0].topk(min(top, logits.shape[1])).indices.tolist()
    found = list(dict.fromkeys(model.class_index(target) for target in targets))
    if logits.shape[1] == 1 and found != [0]:
        raise ValueError(f"target: the model has one output, which is target 0; got {found[0]}.")
    return found


def _written(
    results: Results,
    model: LoadedModel,
    signal: Signal,
    maps: Sequence[Attribution],
    domains: Sequence[str],
    logits: Tensor,
    target: int,
    about: dict[str, Any],
) -> Explanation:
    """Draws and writes the maps of one class.  about: all that the files depend on, but for the class and the domain."""
    only = logits.shape[1] == 1
    called = ONLY if only else model.class_name(target)
    seen = "" if only else f" as {plain(called) or f'class {target}'}"
    about = about | {"target": target, "class": plain(called)}
    probability = math.nan if only else float(model.probabilities(logits)[0, target])
    score = float(logits[0, target])
    difference = float(maps[0].score_difference[0])
    answer = {"score": score, "score_difference": difference, "probability": None if only else probability}
    stem = f"{slug(model.signals.stem(signal.name)) or 'signal'}-{slug(called, 32) or target}"
    title = f"{plain(signal.name)}{seen}: {about['method']}"
    files = _files(results, model, signal, dict(zip(domains, maps)), stem, title, about, answer)
    results.update({"files": files, "versions": versions()})
    return Explanation(
        signal.name,
        target,
        called,
        score,
        probability,
        {one.transform.spec: _by_octave(one, "share") for one in maps},
        list(files),
        signal.notes,
        tuple(spec for spec, one in zip(domains, maps) if convergence(one).get("converged") is False),
        {one.transform.spec: band_texts(one.layout, signal.step, signal.unit) for one in maps},
        {one.transform.spec: _by_octave(one, None) for one in maps if one.kind == "share"},
        {one.transform.spec: float(cancellation(one)) for one in maps if one.kind == "share"},
        difference,
    )


def _files(
    results: Results,
    model: LoadedModel,
    signal: Signal,
    maps: Mapping[str, Attribution],
    stem: str,
    title: str,
    about: dict[str, Any],
    answer: dict[str, Any],
) -> dict[str, Any]:
    """Writes figures, numbers and signals of the map in each domain, and what the report shows. Returns what each file holds.

    stem: of their names.  title: of the figures.  about, answer: what the map depends on, and the numbers of its class.
    """
    files: dict[str, Any] = {}
    typed, known = {"command_line": command_line()}, origins(model, about["image"].partition("#")[0])

    def named(spec: str, end: str, one: Attribution) -> Path:
        question = about | {"transform": one.transform.spec}
        base, dot, suffix = end.partition(".")
        name = results.free_name(f"{stem}-{slug(spec)}{base}{dot}{suffix}", question, files)
        files[name] = {"question": digest(question)} | question | convergence(one) | typed
        return results.out / name

    _write_view(results.out, model, signal, maps, stem, title, about)
    for spec, one in maps.items():
        titled = "\n".join(filter(None, (f"{title} in {spec}", cancels(_cancellation(one)))))
        for end, figure in model.signals.figures(one, signal, titled, model.picture()).items():
            save(figure, named(spec, f"{end}.png", one))
    for spec, one in maps.items():
        facts = about | {"domain": spec, "name": plain(signal.name), "origins": known} | answer | shares(one, signal)
        facts |= {"notes": list(signal.notes), "cancellation": _cancellation(one)}
        write_text(named(spec, ".json", one), json.dumps(facts, indent=1, ensure_ascii=False))
        for end, data in model.signals.files(one, signal, KEPT).items():
            write_whole(named(spec, end, one), lambda path, data=data: Path(path).write_bytes(data))  # type: ignore[misc]
    return files


def _cancellation(one: Attribution) -> float | None:
    """Σ|a| / |f(x) - f(x₀)|; None where it has no meaning or no end."""
    factor = float(cancellation(one)) if one.kind == "share" else math.inf
    return factor if math.isfinite(factor) else None


def _write_view(
    out: Path, model: LoadedModel, signal: Signal, maps: Mapping[str, Attribution], stem: str, title: str, about: dict[str, Any]
) -> None:
    """Writes what the report shows of the signal; views stand in the order of their names."""
    shown = Drawing(signal, model.picture(), functools.partial(model.signals.embedded, signal=signal))
    data = view_bytes(view(0, title, "", list(maps.values()), list(maps), shown))
    hidden = out / VIEWS / f"view-{stem[:80]}-{digest(about | {'domains': list(maps)})}.json"
    write_whole(hidden, lambda path: Path(path).write_bytes(data))


def _by_octave(one: Attribution, normalize: str | None) -> dict[str, float]:
    found: dict[str, float] = one.importance("octave", normalize).iloc[0].to_dict()
    return found


def shares(one: Attribution, signal: Signal) -> dict[str, Any]:
    """The share of Σ|a|, the total Σ a and the frequencies of each octave and each band, as plain data.

    "total" is null for sensitivities.  "frequencies" has a range for each axis along which the bands have frequencies, in
    "unit"; it is null where they have none.
    """
    step = steps_of(one.layout, signal.step)
    found: dict[str, Any] = {"unit": frequency_unit(signal.unit) if step else None}
    for by, name in (("octave", "octaves"), ("band", "bands")):
        values, bands = one.importance(by).iloc[0].tolist(), one.layout.group(by).bands
        totals = one.importance(by, None).iloc[0].tolist() if one.kind == "share" else [None] * len(bands)
        ranges = [band_ranges(band, step) if step else None for band in bands]
        keys = "name", "share", "total", "frequencies"
        found[name] = [dict(zip(keys, row)) for row in zip((band.name for band in bands), values, totals, ranges)]
    return found


def convergence(one: Attribution) -> dict[str, Any]:
    """What a method reports about the map of one example: whether it converged, and its relative error; {} where nothing."""
    names = [name for name in ("converged", "map_error") if isinstance(one.details.get(name), Tensor)]
    return {name: one.details[name][0].item() for name in names}


def _read(image: str | Path, model: LoadedModel, part: Part | None) -> tuple[Photo, Signal]:
    """A file and its signal.  Raises: ValueError where there is none of the model's kind; ImportError."""
    shown, path, kind = plain(image)[:120] or "''", Path(image), model.signals
    spec, _, name = str(image).partition("#")
    if is_packaged(spec) and not os.path.exists(image):
        return _packaged(spec, name, model)
    if os.path.isdir(image) and not kind.folders:
        raise ValueError(f"{shown} is a folder: explain takes one {kind.noun}; pullback compare --data {shown} takes a folder.")
    if numbered := kind.numbered(str(image)):
        path, part = numbered[0], Part(*(part or Part())[:2], numbered[1])
    elif not os.path.exists(image):
        raise ValueError(f"{shown}: no such file; expected {kind.what}.")
    if other := wrong_kind(path, kind):
        raise ValueError(f"{shown}: {other}, but the model {model.name} takes {kind.plural}{kind_advice(path)}.")
    check_bytes(path)
    try:
        signal = replace(kind.read(path, part), name=os.path.basename(image))
        if numbered and (label := kind.cases(path)[numbered[1]]):
            signal = signal.but(f"{kind.noun} {numbered[1]} of {len(kind.cases(path))} {kind.plural}, of class {label}")
    except ImportError:
        raise
    except (Exception, MemoryError) as error:  # damaged files make readers raise errors of many kinds
        why = plain(reason(error))
        own = why.startswith((f"{plain(path.name)}: ", f"{plain(path.name)}#"))
        raise ValueError(why if own else f"{shown}: not {kind.what} that can be read ({why[:160]}).") from None
    return Photo(os.path.basename(image), None, lambda: signal, path=path), signal


def _packaged(spec: str, name: str, model: LoadedModel) -> tuple[Photo, Signal]:
    """The item of a packaged data set with this name, or the first one.  Raises: ValueError that lists names."""
    listed, kind = [], model.signals
    for item in packaged_items(spec, kind):
        if name in ("", item.name):
            read = functools.partial(opened, item, kind)
            called = f"{spec}#{item.name}"
            return Photo(called, None, read), replace(kind.fit(read(), model.wants), name=called)
        listed.append(item.name)
    raise ValueError(unknown_item(spec, name, listed))
