"""The tables of the study: every number, means at each price, limits of sparsity, and answers after changes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ...metrics.protocol.table import COLUMNS
from ...metrics.statistics import mean_interval, per_unit, wilson
from ...metrics.statistics.units import Numbers
from .images import CONTROLS, HARD, NONZERO, PHOTO, SOFT, Record
from .settings import Settings

WHERE = ["data", "model", "domain"]
SCORES = ("logit", "probability", "kept", "cp, coefficients", "cp, signal", "cp, entropy", "hallucination")
SHARES = ("probability", "kept")  # means of numbers in [0, 1]
LIMITED = (SOFT, NONZERO, HARD, *CONTROLS)
RIVAL = "minimal for another class"


@dataclass(frozen=True)
class Tables:
    """The tables of a run; see `Minimal`.  changed_rows, rivals: a row for each signal.  settings: of the run."""

    scores: pd.DataFrame
    front: pd.DataFrame
    limits: pd.DataFrame
    changed: pd.DataFrame
    changed_rows: pd.DataFrame
    rivals: pd.DataFrame
    settings: Settings

    @classmethod
    def of(cls, records: Sequence[Record], settings: Settings) -> "Tables":
        """The tables of these records."""
        images = pd.DataFrame([row for record in records for row in _images(record, settings)])
        changed = pd.DataFrame([row for record in records for row in _changes(record)])
        rivals = pd.DataFrame([_rival(record) for record in records])
        lines = [row for record in records for row in _limits(record)]
        limits = pd.DataFrame(lines, columns=[*WHERE, "example", "unit", "image", "kept_until", "lost_at", "kept_last"])
        scores = _long(images, changed, rivals, settings)
        return cls(scores, _front(images), limits, _kept(changed), changed, rivals, settings)


def _where(record: Record) -> dict[str, Any]:
    return {name: record[name] for name in (*WHERE, "example", "unit")}


def _images(record: Record, settings: Settings) -> Iterator[dict[str, Any]]:
    """A row for each image and price; the photo is a row of its own, without a price."""
    whole = {"image": PHOTO, "place": -1, "count": record["coefficients"], "sparsity": 0.0, "predicted": record["target"]}
    for row in [whole | {name: record[name] for name in ("logit", "probability")}, *record["rows"]]:
        price = settings.ladder[row["place"]] if row["place"] >= 0 else np.nan
        yield _where(record) | row | {"price": price, "kept": float(row["predicted"] == record["target"])}


def _changes(record: Record) -> Iterator[dict[str, Any]]:
    """A row for each image and change: the share of draws after which the class is still predicted."""
    found = pd.DataFrame(record["changed"])
    for (image, change), own in found.groupby(["image", "change"], sort=False):
        predicted = own["predicted"].tolist()
        kept = float(np.mean([one == record["target"] for one in predicted]))
        about = {
            "sparsity": float(own["sparsity"].iloc[0]),
            "target": record["target"],
            "classes": record["classes"],
            "predicted": predicted,
        }
        yield _where(record) | {"image": image, "change": change, "kept": kept} | about


def _rival(record: Record) -> dict[str, Any]:
    """What the same optimisation reaches for another class."""
    rival = record["rival"]
    own = next(row for row in record["rows"] if row["image"] == SOFT and row["place"] == rival["place"])
    found = {name: rival[name] for name in ("alpha", "sparsity", "logit", "probability")} | {"own_sparsity": own["sparsity"]}
    kept = {"reached": rival["predicted"] == rival["class"], "own": own["predicted"] == record["target"]}
    found |= {name: float(one) for name, one in kept.items()} | {"before": rival["before"]["probability"]}
    return _where(record) | found


def _limits(record: Record) -> Iterator[dict[str, Any]]:
    """For each kind of image, over its sparsities from 0, the photo:

    kept_until: the last one before the class is lost for the first time.  lost_at: where that is; NaN where no image loses it,
    1 where the class is lost with nothing left.  kept_last: the largest one at which it is predicted, whatever happens before.
    Minimal images have the sparsities of the prices, 1 - ‖m‖₁ / n or the share of entries that are 0; controls their own.
    A signal whose class is also that of the empty signal has none of them.
    """
    if record["empty"]["predicted"] == record["target"]:
        return
    for image in LIMITED:
        rows = record["ladder" if image in CONTROLS else "rows"]
        own = [row for row in rows if row["image"] == (SOFT if image == NONZERO else image)]
        sparsity = [1 - row["nonzero"] / record["coefficients"] if image == NONZERO else row["sparsity"] for row in own]
        places = sorted(zip(sparsity, [row["predicted"] == record["target"] for row in own]))
        yield _where(record) | {"image": image, **_ends([(0.0, True), *places])}


def _ends(places: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """The limits of growing sparsities, each with whether the class is kept.

    >>> _ends([(0.0, True), (0.5, False), (0.9, True), (1.0, False)])
    {'kept_until': 0.0, 'lost_at': 0.5, 'kept_last': 0.9}
    >>> _ends([(0.0, True), (0.5, True)])
    {'kept_until': 0.5, 'lost_at': nan, 'kept_last': 0.5}
    """
    first = next((place for place, (_, kept) in enumerate(places) if not kept), len(places))
    lost = places[first][0] if first < len(places) else float("nan")
    return {"kept_until": places[first - 1][0], "lost_at": lost, "kept_last": max(one for one, kept in places if kept)}


def _long(images: pd.DataFrame, changed: pd.DataFrame, rivals: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """One row per number, with the columns of all long tables, the price and α."""
    ids = [*WHERE, "example", "unit", "image", "sparsity", "price", "alpha"]
    wide = images.assign(alpha=images.get("alpha", np.nan))
    parts = [wide.melt(ids, [name for name in SCORES if name in wide], "metric", "score")]
    parts += [changed.assign(metric="kept, " + changed["change"], score=changed["kept"])]
    reached = rivals.assign(image=RIVAL).rename(columns={"reached": "kept"})
    parts += [reached.melt([*ids[:7], "alpha"], ["logit", "probability", "kept"], "metric", "score")]
    found = pd.concat([part.dropna(subset=["score"]) for part in parts], ignore_index=True)
    mask = f"mask(steps={settings.steps}, continuation={settings.continuation})"
    method = dict.fromkeys((SOFT, HARD, RIVAL), mask) | dict.fromkeys(CONTROLS[:2], settings.method)
    found = found.rename(columns={"image": "control", "sparsity": "budget"})
    found = found.assign(method=found["control"].map(method).fillna(""), family="own", budget_kind="sparsity")
    return found[[*COLUMNS, "price", "alpha"]]


def averages(rows: pd.DataFrame, keys: Sequence[str], values: Iterable[str]) -> pd.DataFrame:
    """Mean and 95 % interval over units of each value, by keys; copies of one signal are one unit.

    Shares have Wilson's interval, which stays in [0, 1], other numbers that of `mean_interval`.
    """
    found = []
    for key, own in rows.groupby(list(keys), sort=False, dropna=False):
        line = dict(zip(keys, key)) | {"signals": own["unit"].nunique()}
        for name in values:
            units = per_unit("minimal", own[name].to_numpy(float), own["unit"].tolist())
            mean, low, high = _share(units) if name in SHARES else mean_interval(units)
            line |= {name: mean, f"{name} low": low, f"{name} high": high}
        found.append(line)
    return pd.DataFrame(found)


def _share(units: Numbers) -> tuple[float, float, float]:
    """The mean of shares, one for each unit, and Wilson's interval."""
    known = units[np.isfinite(units)].clip(0, 1)
    return (float(known.mean()) if len(known) else float("nan"), *wilson(float(known.sum()), len(known)))


def _front(images: pd.DataFrame) -> pd.DataFrame:
    """Means and intervals of each kind of image at each price, and the median sparsity."""
    keys = [*WHERE, "image", "place"]
    found = averages(images, [*keys, "price"], ["sparsity", *(name for name in SCORES if name in images)])
    middle = images.groupby(keys, sort=False)["sparsity"].median().rename("median sparsity")
    return found.merge(middle.reset_index(), on=keys).drop(columns="place")


def _kept(changed: pd.DataFrame) -> pd.DataFrame:
    """How often the class is kept, by image and change, with the two levels of chance.

    chance: 1 / classes.  of_others: how often the class of one signal is predicted for another one, changed in the same way.
    """
    keys = [*WHERE, "image", "change"]
    found = averages(changed, keys, ["kept"])
    chance = 1 / changed.groupby(keys, sort=False)["classes"].first().rename("chance")
    others = changed.groupby(keys, sort=False)[["target", "predicted", "unit"]].apply(_of_others).rename("of_others")
    return found.merge(chance.reset_index(), on=keys).merge(others.reset_index(), on=keys)


def _of_others(own: pd.DataFrame) -> float:
    """The share of pairs of different signals of which the prediction of one is the class of the other."""
    pairs = [
        np.mean([one == target for one in predicted])
        for unit, target in zip(own["unit"], own["target"])
        for other, predicted in zip(own["unit"], own["predicted"])
        if other != unit
    ]
    return float(np.mean(pairs)) if pairs else float("nan")


def paired(rows: pd.DataFrame, column: str, first: pd.Series, second: pd.Series) -> Numbers:
    """first - second of a column's mean over the rows of each unit; first, second: which rows those are, as truth values."""
    sides = [rows[side].groupby(["example", "unit"], sort=False)[column].mean() for side in (first, second)]
    difference = (sides[0] - sides[1]).dropna()
    return per_unit("minimal", difference.to_numpy(float), difference.index.get_level_values("unit").tolist())


def median_interval(values: Sequence[float]) -> dict[str, float]:
    """The median and its exact 95 % interval from order statistics; the ends are the extremes where there are too few values.

    >>> median_interval(list(range(21)))
    {'median': 10.0, 'low': 5.0, 'high': 15.0}
    """
    found = np.sort(np.asarray(values, float))
    interval = stats.quantile_test(found, p=0.5).confidence_interval(0.95)
    ends = {"low": interval.low, "high": interval.high}
    known = {name: float(end if np.isfinite(end) else found[0 if name == "low" else -1]) for name, end in ends.items()}
    return {"median": float(np.median(found)), **known}


def fronts(front: pd.DataFrame) -> list[dict[str, Any]]:
    """The Pareto data of each model, data set and domain, as `pullback report` draws them.

    x: the median sparsity.  y: the mean probability of the class.  front: whether no other image is at least as good in both
    and better in one.
    """
    found = []
    for (data, model, domain), own in front.groupby(WHERE, sort=False):
        rows = own[own["median sparsity"] < 1].dropna(subset=["median sparsity", "probability"])
        places = rows[["median sparsity", "probability"]].to_numpy(float)
        points = [
            {"name": _point(row), "x": float(x), "y": float(y), "front": not _beaten(place, places)}
            for (_, row), place, (x, y) in zip(rows.iterrows(), places, places)
        ]
        about = {"x": "sparsity (median)", "y": "probability of the class (mean)", "title": f"{model} on {data}, {domain}"}
        found.append(about | {"data": data, "model": model, "points": points})
    return found


def _point(row: Any) -> str:
    price = row["price"]
    return str(row["image"]) if pd.isna(price) else f"{row['image']}, price {price:g}"


def _beaten(place: Numbers, places: Numbers) -> bool:
    """Whether another place is at least as large in both numbers, and larger in one."""
    return bool(((places >= place).all(1) & (places > place).any(1)).any())
