"""Writes docs/axioms.md from stored results; none of its numbers is typed by hand. Run `python -m benchmarks.axioms`.

`python -m benchmarks.axioms store MODEL FOLDER` first takes over what `pullback axioms --matrix --out FOLDER` wrote.
"""

import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from pullback.axioms.method_laws import LAWS, LAWS_VERSION
from pullback.studies.axiom_matrix.literature import TABLE, expected
from pullback.studies.axiom_matrix.matrix import every_method

from .stored import RESULTS, ROOT

STORED = ROOT / "docs" / "axioms"
COLUMNS = ["model", "transform", "method", "axiom", "verdict", "residual", "tolerance", "evaluations", "reason"]
PAPER = {
    "gradient": ["gradient", "captum.Saliency(abs=False)"],
    "gradient × input": ["input_x_gradient", "captum.InputXGradient"],
    "SmoothGrad": ["smoothgrad"],
    "integrated gradients": [
        "integrated_gradients",
        "captum.IntegratedGradients",
        "captum.IntegratedGradients(n_steps=200)",
    ],
    "expected gradients": ["expected_gradients"],
    "DeepLIFT": ["captum.DeepLift"],
    "LRP": ["captum.LRP"],
    "guided backprop": ["captum.GuidedBackprop"],
    "deconvnet": ["captum.Deconvolution"],
    "Shapley values": ["shapley", "captum.ShapleyValueSampling", "captum.ShapleyValueSampling(feature_mask)"],
}
ASKED = ("sensitivity", "implementation_invariance", "completeness", "dummy", "linearity")
MARKS = {"kept": "✓", "BROKEN": "✗", "UNUSABLE": "!", "not applicable": "–"}


def store(model: str, folder: Path) -> None:
    """Takes over the table, trimmed, the figure, and which version of the laws the cells come from."""
    STORED.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(folder / "matrix.csv")
    table["reason"] = table["reason"].fillna("").str.slice(0, 160)
    table = table[~table["reason"].str.startswith("not run")]
    table[COLUMNS].to_csv(STORED / f"matrix-{model}.csv", index=False, float_format="%.2e")
    (picture,) = folder.glob("matrix-*.png")
    shutil.copyfile(picture, STORED / f"matrix-{model}.png")
    found = [json.loads(path.read_text()) for path in sorted((folder / "cells").glob("*.json"))]
    asked: dict[str, dict[str, list[str]]] = {}
    for cell in found:
        setting = cell["settings"]
        asked.setdefault(setting["method"], {}).setdefault(setting["asked"], []).append(setting["transform"])
    counted = {
        "cells": len(found),
        "seconds": round(sum(cell["seconds"] for cell in found)),
        "laws_version": dict(Counter(cell["settings"]["laws_version"] for cell in found)),
        "dates": sorted({cell["date"] for cell in found}),
        "x": found[0]["settings"]["x"][:2],
        "versions": found[0]["settings"]["versions"],
        "asked": asked,
    }
    (STORED / f"matrix-{model}.json").write_text(json.dumps(counted, indent=1, ensure_ascii=False) + "\n")


def sources() -> dict[str, dict[str, Any]]:
    """By model, how its stored matrix was made."""
    return {path.stem.removeprefix("matrix-"): json.loads(path.read_text()) for path in STORED.glob("matrix-*.json")}


def tables() -> dict[str, pd.DataFrame]:
    """The stored matrices by model."""
    blank = {"residual": [""], "tolerance": [""]}
    read = lambda path: pd.read_csv(path, keep_default_na=False, na_values=blank)
    return {path.stem.removeprefix("matrix-"): read(path) for path in sorted(STORED.glob("matrix-*.csv"), reverse=True)}


def laws() -> str:
    """What is asked."""
    lines = ["| axiom | statement | source |", "|---|---|---|"]
    return "\n".join(lines + [f"| `{law.name}` | {_cell(law.statement)} | {_cell(law.source)} |" for law in LAWS])


def literature() -> str:
    """Each entry of the table of the literature, beside the verdicts of every model and domain."""
    found = tables()
    lines = [
        "| method | measured as | " + " | ".join(name.replace("_", " ") for name in ASKED) + " |",
        "|---|---|" + "---|" * len(ASKED),
    ]
    for name, methods in PAPER.items():
        for method in methods:
            cells = [_compared(found, method, axiom) for axiom in ASKED]
            lines.append(f"| {name} | `{method}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _compared(found: dict[str, pd.DataFrame], method: str, axiom: str) -> str:
    entry = expected(method, axiom)
    said = "" if entry is None else f"{'✓' if entry.holds else '✗'} "
    parts = []
    for table in found.values():
        verdicts = _verdicts(table, method, axiom)
        if not verdicts:
            parts.append("·")
            continue
        kinds = list(dict.fromkeys(verdicts))
        text = "".join(MARKS[kind] for kind in kinds)
        decided = {kind == "kept" for kind in kinds if kind != "not applicable"}
        parts.append(f"**{text}**" if entry is not None and decided - {entry.holds} else text)
    return f"{said}({' '.join(parts)})"


def _verdicts(table: pd.DataFrame, method: str, axiom: str) -> list[str]:
    return list(table[(table["method"].map(_base) == _base(method)) & (table["axiom"] == axiom)]["verdict"])


def _base(method: str) -> str:
    return method if method.startswith("captum.") else method.split("(")[0]


def differences() -> str:
    """Where measurement and literature disagree, and why."""
    lines = []
    for entry in TABLE:
        for model, table in tables().items():
            rows = table[(table["method"].map(_base) == entry.method) & (table["axiom"] == entry.axiom)]
            other = rows[rows["verdict"] == ("BROKEN" if entry.holds else "kept")]
            if not len(other):
                continue
            why = entry.differs or entry.may_differ or "**no reason is known**"
            where = f"{len(other)} of {len(rows)} domains"
            number = other["residual"].astype(float).max()
            said, seen = ("kept", "broken") if entry.holds else ("broken", "kept")
            lines.append(
                f"- `{entry.method}`, {entry.axiom.replace('_', ' ')}: {said} according to {entry.source}, {seen} on "
                f"{model} in {where} (residual up to {number:.1g}). {why[0].upper()}{why[1:]}."
            )
    return "\n".join(lines)


def silent() -> str:
    """What could not be measured, by reason."""
    lines = []
    for model, table in tables().items():
        left = table[table["verdict"] == "not applicable"]
        for (method, reason), rows in left.groupby(["method", left["reason"].map(_general)], sort=False):
            axioms = list(dict.fromkeys(rows["axiom"].str.replace("_", " ")))
            named = "all axioms" if len(axioms) == len(LAWS) else ", ".join(axioms)
            lines.append(f"- {model}, `{method}`, {named} ({rows['transform'].nunique()} domains): {_cell(reason)}")
    return "\n".join(dict.fromkeys(lines))


def _general(reason: str) -> str:
    """The reason without the numbers of one case."""
    return re.sub(r"\d+(\.\d+)? ?%", "… %", re.sub(r"^(the method )?raised ", "it raises ", reason))[:150]


def figures() -> str:
    """One picture for each model, how much of the matrix it shows, and which version of the laws it comes from."""
    parts = []
    for model, table in tables().items():
        domains = ", ".join(f"`{t}`" for t in dict.fromkeys(table["transform"]))
        cells, evaluations = table.groupby(["method", "transform"]).ngroups, int(table["evaluations"].sum())
        parts.append(
            f"### {model}\n\n{cells} cells (method and domain), {evaluations:,} model evaluations, in {domains}. "
            f"{_coverage(table)} {_age(sources().get(model))}".rstrip()
            + f"\n\n![Who keeps which axiom on {model}](axioms/matrix-{model}.png)"
        )
    return "\n\n".join(parts)


def _coverage(table: pd.DataFrame) -> str:
    """How many of all methods were asked in all of the domains, and which ones were not."""
    domains = table["transform"].nunique()
    run = table.groupby(table["method"].map(_base))["transform"].nunique()
    every = every_method()
    lacking = [f"`{name}` ({run.get(_base(name), 0)})" for name in every if run.get(_base(name), 0) < domains]
    whole = f"{len(every) - len(lacking)} of {len(every)} methods in all {domains} domains"
    return f"All {len(every)} methods in all domains." if not lacking else f"{whole}; in fewer: {', '.join(lacking)}."


def _age(source: dict[str, Any] | None) -> str:
    """When the cells were measured, and how many of them by an older version of the laws."""
    if source is None:
        return "No file says which version of the laws these verdicts come from."
    old = sum(count for version, count in source["laws_version"].items() if int(version) != LAWS_VERSION)
    when = " to ".join(dict.fromkeys((source["dates"][0], source["dates"][-1])))
    shape = f"{source['x'][1][0]} signal{'s' * (source['x'][1][0] > 1)}, {source['x'][0].removeprefix('torch.')}"
    late = f" {old} of the cells come from another version of the laws." if old else ""
    return f"{shape}, {source['seconds'] / 3600:.1f} hours of one core, {when}.{late}"


def asked() -> str:
    """How methods were asked that are named without options."""
    lines = []
    for model, source in sources().items():
        for method, specs in source["asked"].items():
            told = "; ".join(f"`{spec}` in {', '.join(f'`{t}`' for t in where)}" for spec, where in specs.items())
            if list(specs) != [method]:
                lines.append(f"- {model}, `{method}`: {told}")
    return "\n".join(lines)


def summary() -> str:
    """Each method, and on each model whether it keeps each axiom."""
    found = tables()
    names = [law.name for law in LAWS]
    lines = ["| method | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---|" + ":-:|" * len(names)]
    for method in dict.fromkeys(one for table in found.values() for one in table["method"]):
        cells = [" ".join(_kinds(table, method, axiom) for table in found.values()) for axiom in names]
        lines.append(f"| `{method}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _kinds(table: pd.DataFrame, method: str, axiom: str) -> str:
    """The marks of all domains, each once; a dot where none was run."""
    verdicts = dict.fromkeys(_verdicts(table, method, axiom))
    decided = [kind for kind in verdicts if kind != "not applicable"] or list(verdicts)
    return "".join(MARKS[kind] for kind in decided) or "·"


def stability() -> str:
    """Verdicts over seeds, precisions and domains."""
    path = RESULTS / "axiom-verdicts.json"
    if not path.exists():
        return ""
    stored = json.loads(path.read_text())
    settings, entries = stored["settings"], stored["entries"]
    asked, wrong = sum(e["asked"] for e in entries), [text for e in entries for text in e["wrong"]]
    lines = [
        f"{asked:,} verdicts with a known answer ({settings['seeds']} networks × {len(settings['precisions'])} "
        f"precisions × {len(settings['domains'])} domains): {len(wrong)} wrong.{_late(settings)}",
        "",
        "| method | keeps, residual at most … of the tolerance | breaks, residual at least … × the tolerance |",
        "|---|---|---|",
    ]
    for method in dict.fromkeys(e["method"] for e in entries):
        mine = [e for e in entries if e["method"] == method]
        kept, broken = (
            ", ".join(f"{e['axiom'].replace('_', ' ')}{_times(e)}" for e in mine if e["known"] == kind)
            for kind in ("kept", "BROKEN")
        )
        lines.append(f"| `{method}` | {kept} | {broken} |")
    return "\n".join(lines + [f"- {text}" for text in wrong])


def _late(settings: dict[str, Any]) -> str:
    """A remark on verdicts of another version of the laws."""
    return "" if settings["laws_version"] == LAWS_VERSION else " The stored run comes from another version of the laws."


def _times(entry: dict[str, Any]) -> str:
    value = entry["nearest residual / tolerance"]
    return "" if value is None else f" {value:.1g}"


def cost() -> str:
    """Model evaluations and seconds of each law."""
    path = RESULTS / "axioms-cpu.json"
    if not path.exists():
        return "Not stored yet. `make bench` measures model evaluations and seconds of each law (benchmarks/test_axioms.py)."
    stored = json.loads(path.read_text())
    infos = [bench["extra_info"] for bench in stored["benchmarks"]]
    head = " | ".join(f"`{info['method']}` evaluations | s" for info in infos)
    lines = [f"| law | {head} |", "|---|" + "---:|---:|" * len(infos)]
    for law in infos[0]["laws"]:
        cells = [f"{info['laws'][law]['evaluations']} | {info['laws'][law]['seconds']:.1f}" for info in infos]
        lines.append(f"| {law.replace('_', ' ')} | {' | '.join(cells)} |")
    lines.append("| all | " + " | ".join(f"{info['evaluations']} | {info['seconds']:.1f}" for info in infos) + " |")
    machine = stored["machine_info"]
    return "\n".join(lines) + (
        f"\n\nEfficientNet-Lite0, one photo, `dwt(db4, level=3)`, float32, {machine['device']}, "
        f"{machine['threads']} threads, load average {infos[-1]['load_average']}; goal: "
        f"{infos[0]['goal_s']} s."
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


SECTIONS = {
    "laws": laws,
    "figures": figures,
    "asked": asked,
    "summary": summary,
    "literature": literature,
    "differences": differences,
    "silent": silent,
    "stability": stability,
    "cost": cost,
}


def main() -> None:
    if sys.argv[1:2] == ["store"]:
        store(sys.argv[2], Path(sys.argv[3]))
    from .pages import write

    write("docs/axioms.md")


if __name__ == "__main__":
    main()
