"""The section of docs/studies/comparisons.md, from stored runs of `pullback compare`.

What was stored is concluded from by the rules of today: the admission of the metric, and the correction over the cells.

`python -m benchmarks.scripts.comparisons_page NAME FOLDER` stores one: its summary in docs/studies/comparisons/NAME.json.
"""

import argparse
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.results.stored import ROOT
from pullback.core.files import write_text
from pullback.metrics.protocol.admission import Admission
from pullback.metrics.protocol.conclusion import Conclusion, corrected
from pullback.metrics.statistics import Contrast
from pullback.studies.compare.sentences import concluded
from pullback.studies.compare.settings import EFFORTS
from pullback.studies.domains.tables import of_today

from .commands import command
from .tables import NothingStored, table

STORED = Path("docs/studies/comparisons")
KEPT = ("settings", "questions", "versions", "conclusions", "conclusion_sentences", "answer_sentences", "near_duplicates")
ABOUT = (
    "data",
    "model",
    "method",
    "baseline",
    "weights",
    "photos",
    "correct",
    "signals",
    "evaluations",
    "convergence",
    "skipped",
)
BY = ["question", "model", "method"]
VERDICTS = ["better", "worse", "equal", "depends on the budget", "open"]
COUNTED = """Contrasts of the declared questions, p after Holm over each question, by verdict. Of two domains or methods,
*better* and *worse* are said of the first."""
OLD = """ Stored with this run are neither the noise floor of the gain nor invariant metrics, and its stored sentences still
list contrasts of metrics that do not vote."""
REFUSED = "the selection error does not vote"
CAPTION = """E in other families, mean over budgets, in per cent. Bold: the smallest of one domain of each group of near
duplicates; it is a finding only where a sentence above says so. *Random* is the mean of random rankings."""


def store(name: str, run: Path, root: Path = ROOT) -> None:
    """Copies what the page shows of a run's summary.  Raises: ValueError where the run is not finished."""
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    if "conclusions" not in summary:
        raise ValueError(f"comparisons_page: {run} holds no finished comparison.")
    cells = summary.get("cells") or [summary]
    kept = {key: summary[key] for key in KEPT if key in summary}
    kept |= {
        "refused": True,  # contrasts of metrics that do not vote are open in the counts
        "command": command(summary),
        "counts": _counts(summary["answers"]),
        "cells": [{key: cell.get(key) for key in ABOUT} for cell in cells],
    }
    (root / STORED).mkdir(parents=True, exist_ok=True)
    write_text(root / STORED / f"{name}.json", json.dumps(kept, indent=1) + "\n")


def section(root: Path) -> str:
    """Every stored comparison.  Raises: NothingStored where there is none."""
    stored = sorted((root / STORED).glob("*.json"))
    if not stored:
        raise NothingStored
    runs = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in stored}
    return "\n\n".join([*(_run(found, name) for name, found in runs.items()), closing(list(runs.values()))])


def _counts(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How often each verdict fell, for each question, model and method; of one kind of budget, as all kinds share a verdict."""
    frame = pd.DataFrame(answers)
    frame = frame[frame["budget_kind"] == frame["budget_kind"].iloc[0]].fillna("")
    found = pd.crosstab([frame[name] for name in BY], frame["verdict"]).reindex(columns=VERDICTS, fill_value=0)
    return found.reset_index().to_dict("records")


def _run(found: dict[str, Any], name: str) -> str:
    cells = found["cells"]
    names = [" and ".join(dict.fromkeys(f"`{cell[of]}`" for cell in cells)) for of in ("model", "data")]
    units = {f"{cell['photos']} {cell['signals']['several']}" for cell in cells}
    concluded_now = conclusions(found)
    counts = recounted(found, concluded_now)
    counts["method"] = [method.partition("(")[0] for method in counts["method"]]
    return "\n\n".join(
        [
            f"### {names[0]} on {names[1]}, effort {found['settings']['effort']}",
            f"    {found['command']}",
            f"{', '.join(sorted(units))}; {_evaluations(cells)}.",
            "\n".join(f"- {text}" for text in concluded(cells, concluded_now)),
            CAPTION,
            table(_errors(found)),
            f"{COUNTED} [The stored run](comparisons/{name}) names each contrast with its interval.",
            table(counts),
            left_out(found),
        ]
    )


def conclusions(found: Mapping[str, Any]) -> list[Conclusion | None]:
    """The conclusions of a stored run by the rules of today, from its stored contrasts and doses of noise."""
    kinds = EFFORTS[found["settings"]["effort"]]["kinds"]
    return corrected([None if one is None else _conclusion(one, kinds) for one in found["conclusions"]])


def _conclusion(stored: Mapping[str, Any], kinds: tuple[str, ...]) -> Conclusion:
    held = of_today(stored)
    checks = {name: _made(Contrast, one) for name, one in held["checks"].items()}
    admitted = _made(Admission, held["admission"])
    gain = _made(Admission, held["gain_admission"]) if "gain_admission" in held else None
    reasons = [text for text in held["reasons"] if not text.startswith(REFUSED)]
    reasons = [f"{REFUSED}: {admitted.fault}"] * bool(admitted.fault) + reasons
    own = {name: held[name] for name in ("method", "baseline", "leader", "errors", "groups")}
    said = {"named": None if reasons else held["leader"], "reasons": tuple(reasons), "pairs": (), "checks": checks}
    return Conclusion(**own, **said, admission=admitted, gain=gain, kinds=kinds)


def _made(kind: Any, held: Mapping[str, Any]) -> Any:
    """An object from what was stored of it, in which None stands for NaN."""
    return kind(**{one.name: math.nan if held[one.name] is None else held[one.name] for one in fields(kind)})


def refused(found: Mapping[str, Any], known: list[Conclusion | None]) -> dict[tuple[str, str], str]:
    """{(model, method): why the selection error does not vote}; the gain then has the same trend, and does not vote either."""
    each = zip(found["cells"], known)
    return {(cell["model"], one.method): one.admission.fault for cell, one in each if one is not None and one.admission.fault}


def recounted(found: Mapping[str, Any], known: list[Conclusion | None]) -> pd.DataFrame:
    """The counts of verdicts, with those of metrics that do not vote as open."""
    counts, lost = pd.DataFrame(found["counts"]), refused(found, known)
    if found.get("refused"):
        return counts
    for place, row in counts.iterrows():
        sentence = next(text for text in found["answer_sentences"] if text.startswith(f"{row['question']} ("))
        listed = _by_verdict(sentence)
        for verdict in VERDICTS[:-1]:
            whole = row[verdict] if (row["model"], row["method"]) in lost else 0
            gone = whole if row["method"] else _between(listed.get(verdict, ""), row["model"], lost, found)
            counts.loc[place, [verdict, "open"]] += [-gone, gone]
    return counts


def _by_verdict(sentence: str) -> dict[str, str]:
    """What a sentence lists under each verdict."""
    parts = re.split(r"(?:[.] )(Better|Worse|Equal|Depends on the budget|Open)(?: within [^:]*)?: ", sentence)
    return {name.lower(): text for name, text in zip(parts[1::2], parts[2::2])}


def _between(text: str, model: str, lost: Mapping[tuple[str, str], str], found: Mapping[str, Any]) -> int:
    """How many of the contrasts between two methods that a sentence lists are of a metric that does not vote."""
    methods, models = ({cell[name]: None for cell in found["cells"]} for name in ("method", "model"))
    where = f"{model}, " if len(models) > 1 else ""
    pairs = [pair for pair in itertools.permutations(methods, 2) if any((model, one) in lost for one in pair)]
    return sum(text.count(f"{first} against {second} in {where}") for first, second in pairs)


def left_out(found: Mapping[str, Any]) -> str:
    """What the effort of a run leaves out, and what its file does not hold."""
    effort, whole = EFFORTS[found["settings"]["effort"]], EFFORTS["full"]
    kinds = [kind for kind in whole["kinds"] if kind not in effort["kinds"]]
    lacks = [f"budgets of equal {' and '.join(kinds)}"] * bool(kinds)
    lacks += ["the control by a shuffled model"] * (not effort["controls"])
    families = effort["families"]
    if families is not None:
        named = " and ".join([*families, "a random rotation"])
        lacks.append(f"families beside {named}")
    if len(effort["budgets"]) < len(whole["budgets"]):
        lacks.append("budgets beside " + ", ".join(f"{100 * each:g} %" for each in effort["budgets"]))
    lacks += ["the greedy oracle"] * (not effort.get("oracle"))
    old = "" if found.get("refused") else OLD
    return f"Left out at `--effort {found['settings']['effort']}`: {'; '.join(lacks)}.{old}"


def closing(runs: list[dict[str, Any]]) -> str:
    """What all stored runs allow to be concluded, and what they do not."""
    each = [(found, conclusions(found)) for found in runs]
    counts = pd.concat([recounted(found, known) for found, known in each])
    sums = counts.groupby("question", sort=False)[VERDICTS].sum()
    totals = [f"- {question}: {_sum(row)}." for question, row in sums.iterrows()]
    seen = [100 * check.detectable for _, known in each for one in known if one for check in one.checks.values()]
    models = [len({cell["model"] for cell in found["cells"]}) for found in runs]
    quick = [found["cells"][0]["model"] for found in runs if len(EFFORTS[found["settings"]["effort"]]["kinds"]) < 3]
    nots = [
        "An open contrast is no equality. The contrasts of the leaders could have shown differences of "
        f"{np.nanquantile(seen, 0.1):.0f} to {np.nanquantile(seen, 0.9):.0f} points (eight of ten of them).",
        f"Nothing is said about architectures or tasks: a run has {min(models)} or {max(models)} models and one data set.",
        f"Nothing of {', '.join(f'`{one}`' for one in quick)} at `--effort quick` can be more than provisional: it was "
        "scored by count alone.",
        "A claim is about the domains that were compared, and about the method that made the maps.",
    ]
    head = "### What can be concluded, and what not"
    return "\n".join([head, "", _named(each), "", *totals, "", "Not concluded:", "", *(f"- {text}" for text in nots)])


def _named(each: list[tuple[dict[str, Any], list[Conclusion | None]]]) -> str:
    """Which domains are named, and where the metric does not vote."""
    known = [(cell["model"], one) for found, concluded_now in each for cell, one in zip(found["cells"], concluded_now) if one]
    named = [f"{one.named} ({model}, {_short(one.method)})" for model, one in known if one.named]
    lost = [f"{model}, {_short(one.method)}" for model, one in known if one.admission.fault]
    said = f"In {len(named)} of {len(known)} cells of a model, its data and a method, a domain is named"
    said += f": {'; '.join(named)}." if named else "."
    said += f" In {len(lost)} the metric does not vote: {'; '.join(lost)}." if lost else ""
    each_cell = Counter((model, one.method, one.baseline) for model, one in known)
    again = [f"{model}, {_short(method)}" for (model, method, _), count in each_cell.items() if count > 1]
    return said + (f" Measured in several runs, and counted in each: {'; '.join(again)}." if again else "")


def _sum(row: pd.Series) -> str:
    """Of how many contrasts each verdict fell."""
    return f"of {int(row.sum())} contrasts " + ", ".join(f"{int(count)} {verdict}" for verdict, count in row.items() if count)


def _evaluations(cells: list[dict[str, Any]]) -> str:
    sums = {kind: sum(cell["evaluations"].get(kind, 0) for cell in cells) for kind in ("gradient", "forward")}
    return f"the maps took {sums['gradient']:,} gradients and {sums['forward']:,} forwards"


def _errors(found: dict[str, Any]) -> pd.DataFrame:
    """A row for each domain, and a column for each model, method and baseline."""
    columns = {}
    for cell, one in zip(found["cells"], found["conclusions"]):
        if one is None:
            continue
        several = len({(other["model"], other["data"]) for other in found["cells"]}) > 1
        label = f"{cell['model']}: {_short(cell['method'])}" if several else _short(cell["method"])
        shown = {name: f"**{100 * e:.0f}**" if name == one["leader"] else f"{100 * e:.0f}" for name, e in one["errors"].items()}
        columns[label] = shown | {"*random*": f"{100 * one['admission']['chance']:.0f}"}
    frame = pd.DataFrame(columns)
    frame.insert(0, "domain", [name if name.startswith("*") else f"`{name}`" for name in frame.index])
    return frame


def _short(method: str) -> str:
    return method.partition("(")[0].replace("_", " ")


SECTIONS = {"comparisons": section}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    store(given.name, given.run)


if __name__ == "__main__":
    main()
