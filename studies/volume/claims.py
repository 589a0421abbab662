"""What can be concluded about the claim that coarse scales carry edges, and fine scales the centre."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...metrics.protocol.table import COLUMNS
from ...metrics.statistics import ENOUGH, family, mean_interval
from .distances import edge_fraction
from .maps import ATTRIBUTION, CONTROLS, SHUFFLED
from .subject import CORE_ONLY, EDGE_ONLY, Record

BEST = "truth in cells"  # as a map in the table of means
FEW = "too few volumes"
STAR = "*: the corrected test claims it, but the interval, which holds for all contrasts together, contains 0."
COARSE, FINE, APART = "coarse scale at the edge", "fine scale in the centre", "coarse nearer to the edge than fine"
QUESTIONS = {
    COARSE: "edge fraction of the coarsest detail scale - that of the control",
    FINE: "edge fraction of the control - that of the finest scale",
    APART: "edge fraction of the coarsest detail scale - that of the finest one, and the same less that of the control",
}
PLACE = ["data", "model", "method", "domain", "map"]


def long_table(records: Sequence[Record], data: str, model: str) -> pd.DataFrame:
    """One row per volume, method, domain, map, control and scale: the edge fraction, and the share of each bin of distance."""
    rows = []
    for record in records:
        where = {"data": data, "model": model, "example": record["name"], "unit": record["name"]}
        for method, domain, kind, control, octave, own in record["rows"]:
            rows.append(
                where | {"method": method, "domain": domain, "map": kind, "control": control, "scale": octave} | _bins(own)
            )
        for domain, octave, what, own in record["best"]:
            rows.append(where | {"method": "", "domain": domain, "map": BEST, "control": what, "scale": octave} | _bins(own))
        voxels = {"method": "", "domain": "", "map": "voxels", "control": "", "scale": ""}
        rows.append(where | voxels | _bins(record["voxels"]))
    return pd.DataFrame(rows)


def _bins(own: Sequence[float]) -> dict[str, float]:
    return {"edge_fraction": float(edge_fraction(own))} | {f"bin {number}": share for number, share in enumerate(own)}


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """The edge fractions in the columns of all long tables, a row for each number.  metric: names the map and the scale."""
    asked = "edge_fraction(map=" + table["map"] + ", scale=" + table["scale"] + ")"
    frame = table.assign(metric=asked, score=table["edge_fraction"], family="", budget_kind="", budget=np.nan)
    return frame[list(COLUMNS)].dropna(subset="score")


def means(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Mean edge fraction over volumes with its 95 % interval, a row per method, domain, map, control and scale."""
    rows = []
    for where, own in table.groupby([*PLACE, "control", "scale"], sort=False):
        mean, low, high = mean_interval(own["edge_fraction"].to_numpy(), seed=seed)
        enough = int(own["edge_fraction"].notna().sum()) >= ENOUGH
        ends = (low, high) if enough else (np.nan, np.nan)
        count = {"mean": mean, "low": ends[0], "high": ends[1], "volumes": int(own["edge_fraction"].notna().sum())}
        rows.append(dict(zip([*PLACE, "control", "scale"], where)) | count)
    return pd.DataFrame(rows)


def contrasts(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The declared differences of edge fractions, paired by volume; p corrected by Holm over all of a model and its data.

    Positive is in favour of the claim. Columns as of `metrics.statistics.Contrast`, and the question and the control.
    """
    rows = []
    for _, subject in table[table["method"] != ""].groupby(["data", "model"], sort=False):
        asked = {key: difference for where, own in subject.groupby(PLACE, sort=False) for key, difference in _asked(where, own)}
        for (where, question, against), found in zip(asked, family({str(k): v for k, v in asked.items()}, seed=seed).values()):
            numbers = {name: getattr(found, name) for name in ("mean", "low", "high", "p_corrected", "units", "verdict")}
            rows.append(dict(zip(PLACE, where)) | {"question": question, "against": against} | numbers)
    return pd.DataFrame(rows)


def _asked(where: Any, own: pd.DataFrame) -> list[tuple[tuple[Any, str, str], np.ndarray]]:
    """The differences of one method in one domain and map, one number per volume."""
    wide = own.pivot(index="example", columns=["control", "scale"], values="edge_fraction")
    details = [scale for scale in dict.fromkeys(own["scale"]) if scale != "coarser"]
    if len(details) < 2:
        return []
    value: Callable[[str, str], np.ndarray] = lambda control, scale: wide[control, scale].to_numpy()
    coarse, fine = details[0], details[-1]
    apart = value(ATTRIBUTION, coarse) - value(ATTRIBUTION, fine)
    found = [((where, APART, ""), apart)]
    for control in [name for name in CONTROLS if name in set(own["control"])]:
        found.append(((where, COARSE, control), value(ATTRIBUTION, coarse) - value(control, coarse)))
        found.append(((where, FINE, control), value(control, fine) - value(ATTRIBUTION, fine)))
        found.append(((where, APART, control), apart - value(control, coarse) + value(control, fine)))
    return found


def answer(verdicts: Sequence[str], units: int = ENOUGH) -> str:
    """What several contrasts with one sign say together: "shown" where all are better, the opposite where all are worse.

    >>> answer(["better", "better"]), answer(["worse", "worse"]), answer(["better", "equal"]), answer(["open"], units=1)
    ('shown', 'the opposite is shown', 'not shown', 'too few volumes')
    """
    said = set(verdicts)
    if units < ENOUGH:
        return FEW
    return "shown" if said == {"better"} else "the opposite is shown" if said == {"worse"} else "not shown"


def has_zero(found: pd.DataFrame) -> pd.Series:
    """Whether 0 lies in the interval of each contrast that is claimed."""
    return found["verdict"].isin(["better", "worse"]) & (found["low"] <= 0) & (found["high"] >= 0)


def answers(found: pd.DataFrame) -> pd.DataFrame:
    """The answer to each question, for each model, method, domain and map: all controls must agree.

    star: "*" where something is shown, but 0 lies in the interval of one of the contrasts.
    """
    rows = []
    for where, own in found.groupby([*PLACE, "question"], sort=False):
        said = answer(list(own["verdict"]), own["units"].max())
        star = "*" if "is shown" in f"is {said}" and has_zero(own).any() else ""
        rows.append(dict(zip([*PLACE, "question"], where)) | {"answer": said, "star": star})
    return pd.DataFrame(rows, columns=[*PLACE, "question", "answer", "star"])


def sentences(mean: pd.DataFrame, found: pd.DataFrame, accuracies: Sequence[Mapping[str, Any]]) -> list[str]:
    """The findings in words: accuracies, what a scale can tell, and the claim in each map of the first method and domain."""
    said = [_accuracy(one) for one in accuracies if one["of"]]
    for (data, model), own in mean.groupby(["data", "model"], sort=False):
        said += _resolution(f"{model} on {data}", own)
    for where, own in answers(found).groupby(PLACE, sort=False):
        given = dict(zip(own["question"], own["answer"] + own["star"]))
        rows = mean[(mean[PLACE] == list(where)).all(axis=1)]
        scales = [scale for scale in dict.fromkeys(rows["scale"]) if scale != "coarser"]
        numbers = "; ".join(_against(rows, scale) for scale in (scales[0], scales[-1]))
        verdicts = "; ".join(f"{question}: {given[question]}" for question in QUESTIONS)
        verdicts = "Too few volumes for a verdict" if set(given.values()) == {FEW} else verdicts
        data, model, method, domain, kind = where
        note = f" {STAR}" if own["star"].any() else ""
        said.append(f"{model} on {data}, {method} in {domain}, {kind}: {numbers}. {verdicts}.{note}")
    return said


def _accuracy(one: Mapping[str, Any]) -> str:
    percent = (
        f"{100 * one['accuracy']:.1f} % of {one['of']} volumes (95 % interval {100 * one['low']:.1f}–{100 * one['high']:.1f} %"
    )
    over = f"{percent}, over its classes {100 * one['class_low']:.1f}–{100 * one['class_high']:.1f} %)"
    return f"{one['model']} names {over} of {one['data']} rightly; chance is {100 * one['chance']:.1f} %."


def _resolution(who: str, own: pd.DataFrame) -> list[str]:
    """The edge fractions of a map of the centre and of one of the surface, once they are averaged over cells, in words."""
    best = own[own["map"] == BEST]
    said = []
    for domain, rows in best.groupby("domain", sort=False):
        scales = [scale for scale in dict.fromkeys(rows["scale"]) if scale != "coarser"]
        parts = []
        for scale in (scales[0], scales[-1]):
            own_rows = rows[rows["scale"] == scale].set_index("control")["mean"]
            parts.append(f"{scale} {_percent(own_rows[CORE_ONLY])} and {_percent(own_rows[EDGE_ONLY])}")
        said.append(f"{who}, {domain}: nothing but the centre and nothing but the surface, in cells, give {'; '.join(parts)}.")
    return said


def _against(rows: pd.DataFrame, scale: str) -> str:
    found = rows[rows["scale"] == scale].set_index("control")["mean"]
    others = ", ".join(f"{_percent(found[name])} {about}" for name, about in _SHORT.items() if name in found)
    return f"{scale}: edge fraction {_percent(found[ATTRIBUTION])} ({others})"


_SHORT = {SHUFFLED: "shuffled", "coefficient": "|coefficient|", "randomised_model": "permuted parameters"}


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f} %"
