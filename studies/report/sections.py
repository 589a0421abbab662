"""The parts of a report about one data set, model and method: conclusion, charts and contrasts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ...metrics.protocol.conclusion import LEVELLED, ROTATION
from ...metrics.statistics import ENOUGH
from .charts import bars, intervals, lines, percent, scatter
from .contrasts import links
from .figures import ALL, octave_shares
from .folder import GROUP, WIDE, Run
from .numbers import Curve, Mean, curves, means

MOST_ROWS = 60  # of an interval plot; the table has all
MOST_ANSWERS = 4  # at the head of the page
MOST_PANELS = 12  # domains that have a chart with their controls
KINDS = {
    "count": "the number of coefficients, in % of the number of samples",
    "energy": "the energy of the kept coefficients, in % of that of the signal",
    "bits": "the bits that the kept coefficients need, in % of those of the signal",
}
METRICS = {
    "selection_error": (
        "away",
        "selection error",
        "How to read it: 0 % means that the selection is the whole decision; lower is better.",
    ),
    "kept_share": (
        "own",
        "share of f(x) − f(x₀) kept",
        "How to read it: 100 % means that the selection alone gives the same answer.",
    ),
}
CONTROLS = {
    "attribution": "map",
    "coefficient": "largest |z|, model not asked",
    "random": "random order",
    "coarse_first": "coarse first",
    "shuffled_model": "map of a shuffled model",
    "oracle": "greedy oracle",
}


def group_section(number: int, where: Mapping[str, str], scores: pd.DataFrame, runs: Sequence[Run]) -> dict[str, Any]:
    """All that the page says about one run, data set, model and method, but for the table."""
    run = next(run for run in runs if run.label == where["run"])
    cell = cell_of(run, where)
    concluded = conclusion(cell, links(run))
    if concluded is not None:
        concluded |= {"levelled": _levelled(concluded, scores)}
    return {
        "id": f"group-{number}",
        "where": dict(where),
        "label": ", ".join(filter(None, where.values())),
        "units": int(scores["unit"].nunique()),
        **_words(cell),
        "conclusion": concluded,
        "octaves": octaves(run, where),
        "kinds": [chart for metric in METRICS for chart in _charts(scores, metric)],
        "cell": cell,
        "fronts": fronts(run, where) or _front(scores),
    }


def fronts(run: Run, where: Mapping[str, str]) -> list[dict[str, Any]]:
    """The charts of Pareto fronts in a summary.  where: data and model, for a front that names its own."""
    found = [one for one in run.summary.get("fronts", []) if one.get("points")]
    own = [one for one in found if all(one.get(name, where.get(name)) == where.get(name, one.get(name)) for name in GROUP[1:3])]
    return [scatter(one["points"], one["x"], one["y"], one["title"]) for one in own]


def _front(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """The domains by two goals: few coefficients that hold the map, and a small selection error; none for less than three."""
    asked = ("metric == 'samples90'", "metric == 'selection_error' and control == 'attribution' and family == 'away'")
    x, y = (100 * means(scores.query(which), ["domain"]).set_index("domain")["mean"] for which in asked)
    both = pd.DataFrame({"x": x, "y": y}).dropna()
    beaten = [((both <= row).all(axis=1) & (both < row).any(axis=1)).any() for row in both.to_numpy()]
    named = both.rename_axis("name").reset_index().to_dict("records")
    points = [one | {"front": not worse} for one, worse in zip(named, beaten)]
    labels = "coefficients that hold 90 % of Σ|a|, % of the samples", "selection error, %"
    return [scatter(points, *labels, "A small error, from a map that few coefficients hold")] if len(points) > 2 else []


def _words(cell: Mapping[str, Any]) -> dict[str, str]:
    """What one example and several are called, and one unit of the statistics and several: examples, or groups of them."""
    known = cell.get("signals")
    said = known if isinstance(known, dict) else {}
    one, several = str(said.get("one", "example")), str(said.get("several", "examples"))
    return {"one": one, "several": several, "unit": str(said.get("unit", one)), "unit_words": str(said.get("units", several))}


def cell_of(run: Run, where: Mapping[str, str]) -> dict[str, Any]:
    """What the summary says about the cell, with its conclusion; {} where it says nothing."""
    summary = run.summary
    settings = summary.get("settings")
    cells = summary.get("cells") or [(settings if isinstance(settings, dict) else {}) | dict(summary)]
    conclusions = summary.get("conclusions") or []
    for place, cell in enumerate(cells):
        if len(cells) == 1 or all(_label(cell, name) == where[name] for name in ("data", "model", "method")):
            return dict(cell) | {"place": place, "conclusion": conclusions[place] if place < len(conclusions) else None}
    return {}


def _label(cell: Mapping[str, Any], name: str) -> str:
    """The data, the model, or the method with its baseline, as the long table names them."""
    found = str(cell.get(name, ""))
    plainly = name != "method" or cell.get("baseline", "zero") == "zero"
    return found if plainly else f"{found}, baseline={cell['baseline']}"


def conclusion(cell: Mapping[str, Any], known: Mapping[Any, Any]) -> dict[str, Any] | None:
    """The verdict of the protocol on one cell, with the chart of its checks.  known: where each contrast stands."""
    found = cell.get("conclusion")
    if not isinstance(found, dict) or "leader" not in found:
        return None
    place = cell.get("place")
    checks = [
        {"label": f"{found['leader']} − {name}", "source": known.get(("leader", place, name))}
        | {key: one.get(key) for key in ("mean", "low", "high", "detectable", "verdict", "p_corrected", "units", "comparisons")}
        for name, one in (found.get("checks") or {}).items()
    ]
    chart = intervals(checks, 0.02, f"{found['leader']} against the other domains and its controls") if checks else None
    pairs = [
        pair | {"numbers": pair.get("contrast") or {}, "source": known.get(("pairs", place, pair["first"], pair["second"]))}
        for pair in found.get("pairs") or []
    ]
    return dict(found) | {"checks": checks, "chart": chart, "pairs": pairs, "leads": _leader(found)}


def _levelled(found: Mapping[str, Any], scores: pd.DataFrame) -> str:
    """That a random rotation does as well as the leader, in their contrast or in the page's table; "" where it does not."""
    rows = scores.query("metric == 'selection_error' and control == 'attribution' and family == 'away'")
    errors = means(rows, ["domain"]).set_index("domain")["mean"].to_dict()
    contrasts = [one for one in found["checks"] if one["label"].endswith(f" − a {ROTATION}")]
    lower = errors.get(ROTATION, math.inf) <= errors.get(found["leader"], -math.inf)
    as_well = found["named"] is None and (
        lower or any((one["mean"] or 0) <= 0 or one["verdict"] == "equal" for one in contrasts)
    )
    return f"{LEVELLED[0].upper()}{LEVELLED[1:]}." if as_well else ""


def answers(sections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the head of the page answers: one entry for all data sets, models and methods with the same answer."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for section in sections:
        one = section["conclusion"] or {}
        text = _answer(section)
        entry = found.setdefault(
            (one.get("named"), text), {"named": one.get("named"), "leader": one.get("leader"), "text": text, "labels": []}
        )
        entry["labels"].append(section["label"])
    return list(found.values())[:MOST_ANSWERS]


def _answer(section: Mapping[str, Any]) -> str:
    """The answer of one section in plain words; that a control does as well comes first."""
    levelled = (section["conclusion"] or {}).get("levelled")
    return f"{levelled} {_compared(section)}" if levelled else _compared(section)


def _compared(section: Mapping[str, Any]) -> str:
    """What the leader of one section is better than."""
    one, units, several = section["conclusion"], section["units"], section["unit_words"]
    if units < ENOUGH:
        few = f"{units} {several if units != 1 else section['unit']} are too few for a claim; at least {ENOUGH} are needed."
        leader = f" {_leader(one)} has the smallest error in these." if one else ""
        return (few.replace(" are too", " is too") if units == 1 else few) + leader
    if one is None:
        return f"The numbers below describe {units} {several}."
    open_ = sum(check["verdict"] != "better" for check in one["checks"])
    if one["named"] is None:
        what = f"{_leader(one)} has the smallest error, but "
        if open_:
            count = len(one["checks"])
            among = f"any of the {count}" if open_ == count else f"{open_} of the {count}"
            return f"{what}these {units} {several} cannot tell it from {among} alternatives: other domains and controls."
        return what + f"{one['reasons'][0]}."
    p = one.get("p") or max(check["p_corrected"] for check in one["checks"])
    against = f"all {len(one['checks'])} alternatives, other domains and controls"
    missing = f" The claim is provisional, without {', '.join(one['lacks'])}." if one.get("lacks") else ""
    return f"It beats {against}, on {units} {several} (p ≤ {p:.2g}, corrected).{missing}"


def _leader(one: Mapping[str, Any]) -> str:
    """The leader; where near duplicates are represented by one of them, another one may have a smaller error by chance."""
    several = any(len(group) > 1 for group in one.get("groups") or ())
    return f"Of one domain of each group of near duplicates, {one['leader']}" if several else str(one["leader"])


def octaves(run: Run, where: Mapping[str, str]) -> dict[str, Any] | None:
    """The chart of the octaves' shares; None where the folder has no such columns."""
    wide = run.wide
    for name in ("data", "model", "method"):
        if name in wide:
            wide = wide[wide[name] == where[name]]
    if wide.empty or not any(str(name).startswith("share ") for name in wide):
        return None
    shares = octave_shares(wide)
    if not shares.to_numpy().any():
        return None
    texts = cell_of(run, where).get("frequencies") or {}
    chart = bars(shares, texts | {ALL: "no scales"})
    for row in chart["rows"]:
        row |= _bar_numbers(shares.loc[row["name"]], chart, wide[wide["transform"] == row["name"]]["row"].tolist(), run)
    return chart


def _bar_numbers(shares: pd.Series, chart: Mapping[str, Any], rows: Sequence[int], run: Run) -> dict[str, Any]:
    """The shares of one bar, and the rows that they are means of."""
    own = Mean(0.0, 0.0, 0.0, len(rows), WIDE, tuple(rows))
    source = {"href": run.link(WIDE) + own.fragment, "row": own.row_text, "count": len(rows)}
    return {"shares": [float(shares[one["name"]]) for one in chart["legend"]], "source": source}


def _charts(scores: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """A chart of all domains for each kind of budget, and of the first kind one of each domain with its controls."""
    family, y_label, about = METRICS[metric]
    rows = scores[scores["metric"] == metric]
    found: list[dict[str, Any]] = []
    for by in [kind for kind in dict.fromkeys(rows["budget_kind"]) if kind]:
        own = curves(rows, metric, family, by)
        maps = [curve for (_, control), curve in own.items() if control == "attribution"]
        if not maps:
            continue
        what = f"{y_label}, by domain"
        chart = lines(maps, f"budget, % ({by})", y_label, what)
        panels = _panels(own, by, y_label) if not found else []
        found.append(
            {
                "metric": metric,
                "by": by,
                "title": y_label,
                "about": about,
                "explained": KINDS.get(by, by),
                "chart": chart,
                "panels": panels,
                "few": max(c.units for c in maps) < ENOUGH,
            }
        )
    return found


def _panels(own: Mapping[tuple[str, str], Curve], by: str, y_label: str) -> list[tuple[str, dict[str, Any]]]:
    """(domain, its map against its controls), for at most `MOST_PANELS` domains."""
    domains = list(dict.fromkeys(domain for domain, control in own if control == "attribution"))[:MOST_PANELS]
    panels = []
    for domain in domains:
        parts = [own[domain, control]._replace(name=CONTROLS[control]) for control in CONTROLS if (domain, control) in own]
        if len(parts) > 1:
            panels.append((domain, lines(parts, f"budget, % ({by})", y_label, f"{domain}, map against controls")))
    return panels


def question_sections(run: Run) -> list[dict[str, Any]]:
    """The declared questions of a run: a table of contrasts and its chart each."""
    answers = pd.DataFrame(run.summary.get("answers") or [])
    if answers.empty or not {"question", "first", "second", "mean"} <= set(answers):
        return []
    found = []
    over, known = pd.DataFrame(run.summary.get("across_models") or []), links(run)
    answers["source"] = [known.get(("question", number)) for number in range(len(answers))]
    over["source"] = [known.get(("other models", number)) for number in range(len(over))]
    for name, part in answers.groupby("question", sort=False):
        rows = [_contrast(row, part) for row in part.to_dict("records")]
        others = over[over["question"] == name] if len(over) else over
        rope = float(part["rope"].iloc[0]) if "rope" in part else 0.02
        chart = intervals(rows[:MOST_ROWS], rope, str(name))
        found.append(
            {
                "run": run.label,
                "name": str(name),
                "rows": rows,
                "chart": chart,
                "rope": percent(rope),
                "gains": "metric" in part and part["metric"].iloc[0] == "gain" and "domain" not in part,
                "left": max(0, len(rows) - MOST_ROWS),
                "others": [_contrast(row, others) for row in others.to_dict("records")],
            }
        )
    return found


def _contrast(row: Mapping[str, Any], part: pd.DataFrame) -> dict[str, Any]:
    varies = [
        name for name in ("data", "model", "method", "domain", "budget_kind") if name in part and part[name].nunique() > 1
    ]
    pairs = part[["first", "second"]].drop_duplicates()
    label = [str(row[name]) for name in varies]
    if len(pairs) > 1 or not label:
        label.insert(0, f"{row['first']} − {row['second']}")
    return dict(row) | {"label": ", ".join(label), "verdict": row.get("verdict_of_kind", row.get("verdict", ""))}
