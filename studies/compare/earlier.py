"""Two runs: how the errors of the same photos and domains differ between them."""

from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import plain
from ...metrics.protocol.conclusion import NEUTRAL
from ...metrics.statistics import family
from . import scores

_SAME = ["data", "domain", "budget_kind", "budget", "example"]


def differences(now: pd.DataFrame, before: Path) -> tuple[list[dict[str, Any]], str]:
    """A row for each data set and domain of both runs, and a sentence: the error before less the error now, photo by photo.

    Compared are selection errors of maps in the family of a random rotation; of several models, methods or baselines, those
    with the same names, else the one of each run.  before: the folder of the earlier run.
    Raises: ValueError where it holds no scores, or nothing that both runs have.
    """
    first, second = _errors(now), _errors(scores.read(before))
    keys = list(_SAME)
    for name in ("model", "method"):
        if set(first[name]) & set(second[name]):
            keys.append(name)
        elif first[name].nunique() > 1 or second[name].nunique() > 1:
            raise ValueError(f"{plain(before)[:80]}: has other {name}s, and one run has several; compare one with one.")
    both = first.merge(second, on=keys, suffixes=("", "_before"))
    if both.empty:
        raise ValueError(f"{plain(before)[:80]}: has no example, domain and budget in common with this run.")
    both["difference"] = both["score_before"] - both["score"]
    groups = {str(key): part for key, part in both.groupby([k for k in keys if k in ("data", "domain", "model", "method")])}
    found = family({key: part.groupby("unit")["difference"].mean().to_numpy() for key, part in groups.items()})
    rows = []
    for key, one in found.items():
        where = groups[key].iloc[0]
        rows.append({name: where[name] for name in keys if name in ("data", "domain", "model", "method")} | _numbers(one))
    return rows, _sentence(rows, before)


def _errors(table: pd.DataFrame) -> pd.DataFrame:
    chosen = (table["metric"] == "selection_error") & (table["control"] == "attribution") & (table["family"] == NEUTRAL)
    return table[chosen]


def _numbers(one: Any) -> dict[str, Any]:
    names = ("mean", "low", "high", "p_corrected", "units", "detectable", "verdict")
    return {name: getattr(one, name) for name in names}


def _sentence(rows: list[dict[str, Any]], before: Path) -> str:
    """What changed since the earlier run."""
    said = []
    for verdict in ("better", "worse", "equal"):
        named = [f"{row['domain']} ({100 * row['mean']:+.1f} points)" for row in rows if row["verdict"] == verdict]
        said += [f"{verdict}: {', '.join(named)}"] if named else []
    rest = [row["detectable"] for row in rows if row["verdict"] == "open" and row["detectable"] == row["detectable"]]
    reach = f" (this run could have seen {100 * max(rest):.0f} points)" if rest else ""
    open_ones = sum(row["verdict"] == "open" for row in rows)
    said += [f"open: {open_ones}{reach}"] if open_ones else []
    units = max(row["units"] for row in rows)
    about = f"selection errors of {units} units, Holm over {len(rows)} contrasts"
    return f"Against the run in {plain(before)[-60:]} ({about}): {'; '.join(said)}."
