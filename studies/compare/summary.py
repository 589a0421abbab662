"""What summary.json says about a comparison."""

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from ...metrics.protocol import Conclusion
from ...metrics.protocol.conclusion import ROTATION
from ...metrics.statistics import ENOUGH, mean_interval
from ..report.page import distinct
from .answers import across_models, answer, frame
from .questions import Question
from .sentences import about_other_models, sentences
from .verdicts import convergence

Pairs = Sequence[tuple[str, str]]
_CONCLUDED = (
    "method",
    "baseline",
    "named",
    "leader",
    "reasons",
    "errors",
    "groups",
    "sentence",
    "kinds",
    "lacks",
    "cells",
    "p",
)


def summarize(table: pd.DataFrame, skipped: Pairs, notes: Pairs, evaluations: Mapping[str, float], seed: int) -> dict[str, Any]:
    """Numbers about the photos, the evaluations and every domain.

    table: a row for each photo and domain.  skipped, notes: (file, reason or note).  evaluations: by kind; those of a batch are
    shared among its photos.
    """
    known = (photos := table.drop_duplicates("image"))["correct"].dropna()
    return {
        "photos": len(photos),
        "copies": int(photos["copy_of"].notna().sum()),  # of other photos; they count in no mean and no interval
        "correct": f"{int(known.sum())} of {len(known)}" if len(known) else "no labels",
        "skipped": [{"file": name, "reason": reason} for name, reason in skipped],
        "notes": [{"file": name, "note": note} for name, note in notes],
        "convergence": convergence(table),
        "evaluations": {kind: round(sum) for kind, sum in evaluations.items()},  # of the attribution, for all domains together
        **domain_numbers(table, seed),
    }


def domain_numbers(table: pd.DataFrame, seed: int) -> dict[str, Any]:
    """The means and intervals of every domain."""
    domains = distinct(table).groupby("transform", sort=False)
    return {"domains": {str(spec): _domain(rows, seed) for spec, rows in domains}}


def summarize_scores(
    long: pd.DataFrame,
    conclusions: Sequence[Conclusion | None],
    questions: Sequence[Question],
    unit: str,
    cells: Sequence[tuple[str, str, str]] = (),
) -> dict[str, Any]:
    """What the scores say: a conclusion for each cell, the answers to the questions, and both in sentences.

    unit: what the examples are called.  cells: data, model and method of each conclusion, as the table names them; where it
    refuses a metric, no contrast with it is a claim.

    Domains that select the same signal as another one in every cell are in no contrast.
    """
    known = [one for one in conclusions if one is not None]
    represented = [{name for group in one.groups for name in group[1:]} for one in known]
    alike = sorted(set.intersection(*represented)) if represented else []
    own = long[long["domain"] != ROTATION]  # a control, and no domain
    refused = {cell: one.faults for cell, one in zip(cells, conclusions) if one is not None}
    found = answer(own, questions, alike, refused=refused) if len(own) else []
    others = across_models(own, questions, alike, refused=refused) if len(own) else pd.DataFrame()
    return {
        "conclusions": [None if one is None else _plain(one) for one in conclusions],
        "answers": json.loads(frame(found).to_json(orient="records", double_precision=15)),
        "across_models": json.loads(others.to_json(orient="records", double_precision=15)),
        "answer_sentences": sentences(found, unit),
        "other_model_sentences": about_other_models(others, unit),
        "near_duplicates": alike,
    }


def _plain(found: Conclusion) -> dict[str, Any]:
    """A conclusion as plain data."""
    contrasts = {name: asdict(one) | {"verdict": one.verdict} for name, one in found.checks.items()}
    pairs = [
        {"first": p.first, "second": p.second, "verdict": p.verdict, "contrast": p.contrast and asdict(p.contrast)}
        for p in found.pairs
    ]
    each = {"admission": found.admission, "gain_admission": found.gain}
    admitted = {name: asdict(one) | {"fault": one.fault} for name, one in each.items() if one is not None}
    known = {name: getattr(found, name) for name in _CONCLUDED} | {"checks": contrasts, "pairs": pairs} | admitted
    return _without_nan(json.loads(json.dumps(known)))


def _without_nan(value: Any) -> Any:
    """Plain data with None where a number is not one, as JSON has none."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _domain(rows: pd.DataFrame, seed: int) -> dict[str, Any]:
    """The mean of every measured column, over how many photos, and its 95 % interval (bootstrap-t) if they are enough."""
    names = [name for name in rows if pd.api.types.is_float_dtype(rows[name]) and name != "label" and rows[name].notna().any()]
    numbers: dict[str, Any] = {"coefficients": int(rows["coefficients"].iloc[0])}
    for name in names:
        known = rows[rows[name].notna()]
        units = known["unit"] if "unit" in known else known["image"]  # results that were stored before have no units
        mean, low, high = mean_interval(known[name].to_numpy(), cluster=units.tolist(), seed=seed)
        count = len(known)
        interval = {"low": low, "high": high} if units.nunique() >= ENOUGH else {"low": None, "high": None}
        numbers[str(name)] = {"mean": mean, **interval, "photos": count}
    return numbers


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that the numbers depend on."""
    packages = ("pullback", "torch", "numpy", "PyWavelets", "ptwt", "torch-dct")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
