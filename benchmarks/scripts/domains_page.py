"""The sections of docs/studies/domains.md, from the stored run of `pullback study domains` in docs/studies/domains."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from pullback.studies.domains.tables import EQUAL, OPEN

from .tables import NothingStored, table

_MOST = 40  # rows of the table of pairs; all stand in repeats.csv


def _stored(root: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """The cells, the pairs and the summary.  Raises: NothingStored where there is none."""
    folder = root / "docs" / "studies" / "domains"
    if not (folder / "summary.json").is_file():
        raise NothingStored
    cells, pairs = (pd.read_csv(folder / name, keep_default_na=False) for name in ("cells.csv", "repeats.csv"))
    return cells, pairs, json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def findings(root: Path) -> str:
    """The sentences of the run."""
    return "\n".join(f"- {sentence}" for sentence in _stored(root)[2]["findings"])


def run(root: Path) -> str:
    """The commands that made the stored study, and what their maps took."""
    read = {Path(one).name for one in _stored(root)[2]["runs"]}
    stored = [one for one in sorted((root / "docs" / "studies" / "comparisons").glob("*.json")) if one.stem in read]
    if not stored:
        raise NothingStored
    held = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in stored}
    told = [f"    {one['command']} --out results/{name}" for name, one in held.items()]
    told.append(f"    pullback study domains {' '.join(f'results/{name}' for name in held)}")
    counts = [cell["evaluations"] for one in held.values() for cell in one["cells"]]
    total = {kind: sum(each[kind] for each in counts) for kind in ("gradient", "forward")}
    cost = f"The maps of all {len(counts)} cells took {total['gradient']:,} gradients and {total['forward']:,} forwards"
    return "\n".join([*told, "", f"{cost}; the last command only reads, in seconds."])


def claims(root: Path) -> str:
    """What each cell claims, and which domain has the smallest error in it."""
    cells, _, _ = _stored(root)
    rows = cells[["kind", "data", "model"]].assign(method=cells["method"].map(_short))
    error = [f"{100 * float(value):.0f} %" for value in cells["error"]]
    named = [f"**`{one}`**" if one else "none" for one in cells["claimed"]]
    return table(rows.assign(claimed=named, **{"smallest error": cells["leader"].map("`{}`".format), "E": error}))


def repeats(root: Path) -> str:
    """The pairs of domains about which something is claimed."""
    _, pairs, _ = _stored(root)
    found = pairs[~pairs["outcome"].isin([OPEN, EQUAL])].sort_values(["claims", "sets"], ascending=False, kind="stable")
    rows = found.head(_MOST).assign(method=found["method"].map(_short))
    rows["pair"] = [f"`{one}` and `{other}`" for one, other in zip(rows["first"], rows["second"])]
    rows["cells that claim it"] = [f"{claims} of {cells}" for claims, cells in zip(rows["claims"], rows["cells"])]
    rows["of these beyond |z|"] = rows["beyond"]
    rows["better"] = [f"`{name}`" if name else "–" for name in rows["better"]]
    names = {"sets": "data sets"}
    heads = ["method", "pair", "outcome", "better", "cells that claim it", "of these beyond |z|", "models", "sets"]
    shown = rows[heads].rename(columns=names)
    left = len(found) - len(shown)
    return table(shown) + (f"\n\n{left} more stand in [repeats.csv](domains/repeats.csv)." if left else "")


def _short(method: str) -> str:
    return f"`{method.partition('(')[0]}`"


SECTIONS = {"domains-run": run, "domains-findings": findings, "domains-cells": claims, "domains-repeats": repeats}
