"""What finished comparisons found, as tables: cells, contrasts between domains, and which of these repeat."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...core.files import plain, read_json
from ...metrics.protocol.admission import Admission
from ...metrics.protocol.conclusion import margin
from ...metrics.statistics import holm
from ...metrics.statistics.contrasts import ROPE
from ..storage.results import SUMMARY

CELL = ("kind", "data", "model", "method")
NUMBERS = ("mean", "low", "high", "p", "detectable", "units")
BEYOND = "beyond", "first_beyond", "second_beyond"  # more than the largest coefficients: in a conclusion, and of each side
CONTRASTS = (*CELL, "first", "second", *NUMBERS, "verdict_in_cell", "p_corrected", "verdict", *BEYOND[1:])
TURNED = {"better": "worse", "worse": "better"}
REPEATS, CONTRARY, ONCE, EQUAL, OPEN = "repeats", "contrary", "found once", "equal in all", "open"
LEVEL = 0.05
Cell = tuple[dict[str, str], Mapping[str, Any] | None]


def read(folder: Path) -> list[Cell]:
    """The cells of a finished comparison: what each is about, and its conclusion; None where there was nothing to conclude.

    What is claimed is decided by the rules of today, so that runs of earlier versions are read like new ones.
    beyond, in a conclusion: the domains whose map selects better than the largest |z - z₀| do, by the comparison's question.

    Raises: ValueError where the folder holds no finished comparison, or one without conclusions.
    """
    path = folder / SUMMARY
    held = read_json(path) if path.is_file() else {}
    whole = isinstance(held, dict) and held.get("command") == "compare" and held.get("state") == "finished"
    if not whole or "conclusions" not in held:
        raise ValueError(f"study domains: {plain(folder)[:120]} holds no finished comparison; run `pullback compare` into it.")
    found = []
    for cell, conclusion in zip(held.get("cells", [held]), held["conclusions"], strict=True):
        asked = {name: _one(cell.get(name, held["settings"].get(name))) for name in ("data", "model", "method", "baseline")}
        label = asked["method"] if asked["baseline"] == "zero" else f"{asked['method']}, baseline={asked['baseline']}"
        about = {"kind": cell["signals"]["several"], "data": asked["data"], "model": asked["model"], "method": label}
        beyond = {BEYOND[0]: _beyond(held, asked["data"], asked["model"], label)}
        found.append((about, conclusion and of_today(conclusion) | beyond))
    return found


def of_today(conclusion: Mapping[str, Any]) -> dict[str, Any]:
    """The conclusion, with the claim and the groups that the rules of today allow.

    No claim where the metric does not vote, where a lead may be small, or where a domain of another error stood behind
    the one that was tested; such a domain leaves its group, and is not compared. None is added: runs before today's rules hold
    wider intervals, and not whether budgets disagree about a lead that these left open.
    """
    held = conclusion["admission"]
    numbers: dict[str, Any] = {one.name: np.nan if held[one.name] is None else held[one.name] for one in fields(Admission)}
    fault = Admission(**numbers).fault
    groups = [[name for name in group if _stands_for(conclusion, group[0], name)] for group in conclusion["groups"]]
    found = {**conclusion, "admission": {**held, "fault": fault}, "groups": groups}
    lost = [f"the selection error does not vote: {fault}"] if fault else []
    lost += [f"its lead over {name} may be too small" for name in _small_leads(conclusion)]
    apart = sorted({name for group in conclusion["groups"] for name in group} - {name for group in groups for name in group})
    lost += [f"{', '.join(apart)} had other errors than the domains that stood for them"] if apart else []
    if lost and conclusion["named"] is not None:
        found |= {"named": None, "reasons": [*lost, *conclusion["reasons"]]}
    return found


def _stands_for(conclusion: Mapping[str, Any], first: str, other: str) -> bool:
    """Whether two domains that select the same signal have equal errors too."""
    errors = conclusion["errors"]
    return abs(errors[first] - errors[other]) <= ROPE


def _small_leads(conclusion: Mapping[str, Any]) -> list[str]:
    """The contrasts of the leader whose interval does not lie above the margin of a name."""
    checks, error = conclusion["checks"], conclusion["errors"][conclusion["leader"]]
    return [name for name, one in checks.items() if one["low"] is None or one["low"] <= margin(name, one["mean"], error)]


def _beyond(held: Mapping[str, Any], *cell: str) -> list[str]:
    """The domains of a cell whose map is better than their ranking by |coefficient|."""
    won = [row for row in held.get("answers") or [] if row["second"] == "coefficient" and row["verdict"] == "better"]
    return list(dict.fromkeys(row["domain"] for row in won if tuple(row[name] for name in CELL[1:]) == cell))


def _one(value: Any) -> str:
    return str(value[0] if isinstance(value, list) and len(value) == 1 else value)


def cell_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row for each cell: the domain that is claimed, "" for none, the leader with its mean error, and why none is claimed."""
    rows = [
        about
        | {"claimed": found["named"] or "", "leader": found["leader"], "error": found["errors"][found["leader"]]}
        | {"domains": len(found["errors"]), "reasons": "; ".join(found["reasons"])}
        if found
        else about | {"claimed": "", "leader": "", "error": np.nan, "domains": 0, "reasons": "the model decides nothing here"}
        for about, found in cells
    ]
    return pd.DataFrame(rows, columns=[*CELL, "claimed", "leader", "error", "domains", "reasons"])


def contrast_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row for each cell and pair of its domains; positive where `first` has the smaller error.

    Domains that select the same signal share the contrasts of the one that stands for them. verdict_in_cell: of the protocol,
    corrected in the cell.  p_corrected: by Holm over the contrasts of all cells.  verdict: the same verdict, "open" where a
    claim does not survive that, or where the metric was not admitted in the cell.
    """
    table = pd.DataFrame([row for about, found in cells if found for row in _rows(about, found)])
    if table.empty:
        return pd.DataFrame(columns=list(CONTRASTS))
    own = table["tested"]
    table.loc[own, "p_corrected"] = holm(table.loc[own, "p"].to_numpy(float))
    shared = table[own].set_index([*CELL, "pair"])["p_corrected"]
    keys = pd.MultiIndex.from_frame(table[[*CELL, "pair"]])
    table["p_corrected"] = shared.reindex(keys).to_numpy(float)
    lost = table["verdict_in_cell"].isin(list(TURNED)) & ~(table["p_corrected"] <= LEVEL)
    table["verdict"] = table["verdict_in_cell"].mask(lost | ~table["admitted"], OPEN)
    return table[list(CONTRASTS)]


def _rows(about: dict[str, str], found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """tested: one row for each contrast that was made; those of domains that select the same signal are no further tests."""
    stands = {name: group[0] for group in found["groups"] for name in group}
    known = {(pair["first"], pair["second"]): pair for pair in found["pairs"]}
    names = sorted(stands)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            one, other = stands[first], stands[second]
            turn = (one, other) not in known
            pair = known.get((other, one) if turn else (one, other), {"contrast": None, "verdict": "equal"})
            verdict = TURNED.get(pair["verdict"], pair["verdict"]) if turn else pair["verdict"]
            head = {"first": first, "second": second, "pair": " | ".join(sorted((one, other)))}
            tested = pair["contrast"] is not None and (first, second) == tuple(sorted((one, other)))
            more = {"verdict_in_cell": verdict, "tested": tested, "admitted": not found["admission"]["fault"]}
            more |= {side: name in found.get(BEYOND[0], ()) for side, name in zip(BEYOND[1:], (first, second))}
            yield about | head | _numbers(pair["contrast"], turn) | more


def _numbers(contrast: Mapping[str, Any] | None, turn: bool) -> dict[str, float]:
    if contrast is None:
        return dict.fromkeys(NUMBERS, np.nan)
    found = {name: np.nan if contrast[name] is None else float(contrast[name]) for name in NUMBERS}
    return found | {"mean": -found["mean"], "low": -found["high"], "high": -found["low"]} if turn else found


def repeat_table(contrasts: pd.DataFrame) -> pd.DataFrame:
    """A row for each method and pair of domains that two cells or more have: whether what is found in one is found in others.

    A cell is another one if its data or its model differ. outcome: "repeats", claims of one sign in two cells or more and
    nowhere the opposite; "contrary", claims of both signs; "found once"; "equal in all"; "open", neither.
    better: the domain with the smaller error, where there is a claim.  kinds, sets, models: of the cells that claim it.
    compared: in how many data sets the pair is compared, whatever is found.
    beyond: of these cells, those in which the better domain's map also selects better than its largest |z - z₀|. Elsewhere the
    lead may be what the domain compacts, which needs no map.
    """
    rows = []
    for (method, first, second), own in contrasts.groupby(["method", "first", "second"], sort=False):
        if len(own.drop_duplicates(["data", "model"])) > 1:
            rows.append({"method": method, "first": first, "second": second} | _outcome(own, str(first), str(second)))
    columns = ["method", "first", "second", "outcome", "better", "cells", "compared", "claims", "beyond", "kinds"]
    columns += ["sets", "models"]
    return pd.DataFrame(rows, columns=columns)


def _outcome(own: pd.DataFrame, first: str, second: str) -> dict[str, Any]:
    claims = own[own["verdict"].isin(list(TURNED))]
    signs, count = set(claims["verdict"]), len(claims.drop_duplicates(["data", "model"]))
    if len(signs) == 2:
        outcome = CONTRARY
    elif count:
        outcome = REPEATS if count > 1 else ONCE
    else:
        outcome = EQUAL if (own["verdict"] == "equal").all() else OPEN
    better = {"better": first, "worse": second}[next(iter(signs))] if len(signs) == 1 else ""
    numbers = {"kinds": "kind", "sets": "data", "models": "model"}
    about = {name: claims[column].nunique() for name, column in numbers.items()}
    won = np.where(claims["verdict"] == "better", claims[BEYOND[1]], claims[BEYOND[2]]).astype(bool)
    about |= {BEYOND[0]: len(claims[won].drop_duplicates(["data", "model"]))}
    compared = own["data"].nunique()
    return {"outcome": outcome, "better": better, "cells": len(own), "compared": compared, "claims": count} | about
