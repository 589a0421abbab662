"""The sections of docs/axioms.md, from stored verdicts.

`python -m benchmarks.scripts.axioms_page MODEL FOLDER` takes over what `pullback axioms --matrix --out FOLDER` wrote; then
`make pages` writes the page.
"""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.stored import ROOT, frame, read
from pullback.axioms.method_laws import LAWS, LAWS_VERSION
from pullback.core.files import write_text
from pullback.studies.axiom_matrix.literature import TABLE, Expectation, expected
from pullback.studies.axiom_matrix.matrix import every_method

from .performance import results
from .tables import NothingStored, filled, table

COLUMNS = ["model", "transform", "method", "axiom", "verdict", "residual", "tolerance", "evaluations", "reason"]
ASKED = ("sensitivity", "implementation_invariance", "completeness", "dummy", "linearity")
MARKS = {"kept": "✓", "BROKEN": "✗", "UNUSABLE": "!", "not applicable": "–"}
NEAREST = {"kept": "keeps, residual / tolerance at most", "BROKEN": "breaks, residual / tolerance at least"}
OTHER_VERSION = "come from another version of the laws."


def stored(root: Path) -> Path:
    """The folder of stored matrices."""
    return root / "docs" / "axioms"


def store(model: str, folder: Path, root: Path = ROOT) -> None:
    """Takes over the table, trimmed, the figure, and which version of the laws the cells come from."""
    found = pd.read_csv(folder / "matrix.csv")
    found["reason"] = found["reason"].fillna("").str.slice(0, 160)
    found = found[~found["reason"].str.startswith("not run")]
    cells = [json.loads(path.read_text()) for path in sorted((folder / "cells").glob("*.json"))]
    asked: dict[str, dict[str, list[str]]] = {}
    for setting in (cell["settings"] for cell in cells):
        asked.setdefault(setting["method"], {}).setdefault(setting["asked"], []).append(setting["transform"])
    laws, first = Counter(cell["settings"]["laws_version"] for cell in cells), cells[0]["settings"]
    source = {"cells": len(cells), "seconds": round(sum(cell["seconds"] for cell in cells)), "laws_version": dict(laws)}
    source |= {"dates": sorted({cell["date"] for cell in cells}), "x": first["x"][:2], "versions": first["versions"]}
    place = stored(root) / f"matrix-{model}.json"
    write_text(place, json.dumps(source | {"asked": asked}, indent=1, ensure_ascii=False) + "\n")
    found[COLUMNS].to_csv(place.with_suffix(".csv"), index=False, float_format="%.2e")
    (picture,) = folder.glob("matrix-*.png")
    shutil.copyfile(picture, place.with_suffix(".png"))


def sources(root: Path) -> dict[str, dict[str, Any]]:
    """By model, how its stored matrix was made."""
    return {path.stem.removeprefix("matrix-"): read(path) for path in stored(root).glob("matrix-*.json")}


def matrix(root: Path) -> pd.DataFrame:
    """All stored verdicts: one row for each model, domain, method and axiom.  base: an own method without its options."""
    blank = {"residual": [""], "tolerance": [""]}
    parts = [
        pd.read_csv(path, keep_default_na=False, na_values=blank).assign(model=path.stem.removeprefix("matrix-"))
        for path in sorted(stored(root).glob("matrix-*.csv"), reverse=True)
    ]
    if not parts:
        raise NothingStored
    found = pd.concat(parts, ignore_index=True)
    return found.assign(base=found["method"].map(_base))


def _base(method: str) -> str:
    return method if method.startswith("captum.") else method.split("(")[0]


def _words(axiom: str) -> str:
    return axiom.replace("_", " ")


def laws(_: Path) -> str:
    """What is asked."""
    rows = [(f"`{law.name}`", law.statement, law.source) for law in LAWS]
    return table(pd.DataFrame(rows, columns=["axiom", "statement", "source"]))


def marks(root: Path) -> pd.DataFrame:
    """A cell for each method and axiom: the marks of each model, those of all its domains once; a dot where none was run."""
    decided = lambda kinds: "".join(MARKS[kind] for kind in dict.fromkeys(kinds) if kind != "not applicable") or "–"
    cells = matrix(root).pivot_table("verdict", ["base", "axiom"], "model", aggfunc=decided, sort=False)
    found = cells.fillna("·").agg(" ".join, axis=1).unstack(sort=False)
    return found[[law.name for law in LAWS if law.name in found]]


def summary(root: Path) -> str:
    """Each method, and on each model whether it keeps each axiom."""
    found = marks(root)
    found.insert(0, "method", [f"`{name}`" for name in found.index])
    return table(found.rename(columns=_words))


def literature(root: Path) -> str:
    """Each method of the table of the literature, beside the marks of every model."""
    names = list(dict.fromkeys(entry.method for entry in TABLE))
    measured = marks(root).reindex(names).fillna("·")
    columns = {_words(axiom): [_compared(measured[axiom][name], expected(name, axiom)) for name in names] for axiom in ASKED}
    return table(pd.DataFrame({"method": [f"`{name}`" for name in names], **columns}))


def _compared(measured: str, entry: Expectation | None) -> str:
    """What the literature says, then what was measured, in bold where that is the opposite."""
    if entry is None:
        return f"({measured})"
    said, other = ("✓", "✗") if entry.holds else ("✗", "✓")
    return f"{said} ({' '.join(f'**{mark}**' if other in mark else mark for mark in measured.split())})"


def differences(root: Path) -> str:
    """Where measurement and literature disagree, and why."""
    found, lines = matrix(root), []
    for entry in TABLE:
        mine = found[(found["base"] == entry.method) & (found["axiom"] == entry.axiom)]
        said, seen, verdict = ("kept", "broken", "BROKEN") if entry.holds else ("broken", "kept", "kept")
        why = entry.differs or entry.may_differ or "**no reason is known**"
        for model, rows in mine.groupby("model", sort=False):
            if len(other := rows[rows["verdict"] == verdict]):
                lines.append(
                    f"- `{entry.method}`, {_words(entry.axiom)}: {said} according to {entry.source}, {seen} on {model} in "
                    f"{len(other)} of {len(rows)} domains (residual up to {other['residual'].max():.1g}). "
                    f"{why[0].upper()}{why[1:]}."
                )
    return "\n".join(lines)


def silent(root: Path) -> str:
    """What could not be measured, by reason."""
    found = matrix(root)
    left = found[found["verdict"] == "not applicable"]
    lines = []
    for (model, method, reason), rows in left.groupby(["model", "method", left["reason"].map(_general)], sort=False):
        axioms = list(dict.fromkeys(map(_words, rows["axiom"])))
        named = "all axioms" if len(axioms) == len(LAWS) else ", ".join(axioms)
        lines.append(f"- {model}, `{method}`, {named} ({rows['transform'].nunique()} domains): {reason}")
    return "\n".join(lines)


def _general(reason: str) -> str:
    """The reason without the numbers of one case."""
    text = re.sub(r"\d+(\.\d+)? ?%", "… %", re.sub(r"^(the method )?raised ", "it raises ", reason))[:150]
    return " ".join(text.replace("<", "&lt;").split())


def figures(root: Path) -> str:
    """One picture for each model, how much of the matrix it shows, and which version of the laws it comes from."""
    parts = []
    for model, rows in matrix(root).groupby("model", sort=False):
        domains = ", ".join(f"`{name}`" for name in rows["transform"].unique())
        cells = rows.groupby(["method", "transform"]).ngroups
        parts.append(
            f"### {model}\n\n{cells} cells (method and domain), {rows['evaluations'].sum():,} model evaluations, in {domains}. "
            f"{_coverage(rows)} {_age(sources(root).get(str(model)))}"
            f"\n\n![Who keeps which axiom on {model}](axioms/matrix-{model}.png)"
        )
    return "\n\n".join(parts)


def _coverage(rows: pd.DataFrame) -> str:
    """How many of all methods were asked in all of the domains, and which ones were not."""
    domains, every = rows["transform"].nunique(), every_method()
    run = rows.groupby("base")["transform"].nunique()
    lacking = [f"`{name}` ({run.get(_base(name), 0)})" for name in every if run.get(_base(name), 0) < domains]
    whole = f"{len(every) - len(lacking)} of {len(every)} methods in all {domains} domains"
    return f"{whole}; in fewer: {', '.join(lacking)}." if lacking else f"All {len(every)} methods in all domains."


def _age(source: dict[str, Any] | None) -> str:
    """When the cells were measured, and how many of them by another version of the laws."""
    if source is None:
        return "No file says which version of the laws these verdicts come from."
    old = sum(count for version, count in source["laws_version"].items() if int(version) != LAWS_VERSION)
    when = " to ".join(dict.fromkeys((source["dates"][0], source["dates"][-1])))
    dtype, (signals, *_) = source["x"]
    return (
        f"{signals} signal{'s' * (signals > 1)}, {dtype.removeprefix('torch.')}, {source['seconds'] / 3600:.1f} hours of one "
        f"core, {when}.{f' {old} of the cells {OTHER_VERSION}' * (old > 0)}"
    )


def asked(root: Path) -> str:
    """The options of methods that are named without options."""
    lines = []
    for model, source in sources(root).items():
        for method, specs in source["asked"].items():
            said = "; ".join(f"`{spec}` in {', '.join(f'`{name}`' for name in where)}" for spec, where in specs.items())
            lines += [f"- {model}, `{method}`: {said}"] if list(specs) != [method] else []
    return "\n".join(lines)


def stability(root: Path) -> str:
    """Verdicts over seeds, precisions and domains."""
    report = read(results(root) / "axiom-verdicts.json")
    if not report:
        raise NothingStored
    settings, entries = report["settings"], pd.DataFrame(report["entries"])
    nearest = entries["nearest residual / tolerance"].map(lambda value: "" if pd.isna(value) else f" {value:.1g}")
    entries = entries.assign(said=entries["axiom"].map(_words) + nearest, method="`" + entries["method"] + "`")
    shown = entries.pivot_table("said", "method", "known", aggfunc=", ".join, sort=False).reset_index().fillna("")
    wrong = [f"- {text}" for texts in entries["wrong"] for text in texts]
    late = "" if settings["laws_version"] == LAWS_VERSION else f" The stored verdicts {OTHER_VERSION}"
    return (
        f"{entries['asked'].sum():,} verdicts with a known answer ({settings['seeds']} networks × "
        f"{len(settings['precisions'])} precisions × {len(settings['domains'])} domains): {len(wrong)} wrong.{late}\n\n"
        + "\n".join([table(shown.rename(columns=NEAREST)), *wrong])
    )


def cost(root: Path) -> str:
    """The evaluations and seconds of each law."""
    found = frame(results(root))
    found = found[(found["suite"] == "axioms") & (found["machine"] == "cpu")]
    if not len(found):
        raise NothingStored
    info = found.iloc[0]
    laws = info["laws"] | {"all": {"evaluations": int(info["evaluations"]), "seconds": info["seconds"]}}
    rows = [{"law": _words(law), **spent} for law, spent in laws.items()]
    return (
        filled("law | evaluations | s", "{law} | {evaluations} | {seconds:.1f}", pd.DataFrame(rows))
        + f"\n\n`{info['method']}` on EfficientNet-Lite0, one photo, `dwt(db4, level=3)`, float32, {info['device']}, load "
        f"average {info['load_average']}; goal: {info['goal_s']:.0f} s."
    )


SECTIONS: dict[str, Callable[[Path], str]] = {
    section.__name__: section for section in (laws, figures, asked, summary, literature, differences, silent, stability, cost)
}

if __name__ == "__main__":
    store(sys.argv[1], Path(sys.argv[2]))
