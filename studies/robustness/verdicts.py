"""What the robustness study claims: contrasts, correlations and areas, each with its control and a corrected interval."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..training import adversarial
from ..zoo.fashion_mnist import FASHION_NETS, TRAINING
from . import statistics
from .net import Net
from .settings import Settings, recipe
from .spectra import DEFINITIONS
from .statistics import Interval
from .tables import behaviour

ERROR = 0.05  # of each question, over all that it asks
_ROUNDING = 1e-9  # by which an |r| exceeds that of an equally good pairing
FEW = 10  # examples on each side that an ROC curve needs
OWN = [name for name, one in DEFINITIONS.items() if one.model]
MARGIN, SHUFFLED = "margin", "shuffled"
QUESTIONS = {
    "finest": "share of the finest octave: a group minus the first group",
    "models": "Pearson's r over models: share of the finest octave with how they behave",
    "examples": "area under the ROC curve over examples: the passed share as a score of which answers survive a filter",
}
COLUMNS = ["data", "question", "group", "name", "against", "condition", "value", "low", "high", "level", "n", "units", "limit"]


def claims(nets: Sequence[Net], settings: Settings) -> pd.DataFrame:
    """The comparisons, one a row, by data set and by one of `QUESTIONS`.

    low, high: an interval that holds at `level`, which is corrected so that all rows of a question hold at 95 % together.
    n: the number of `units`: models, groups or examples.  limit: what the |r| of a correlation must exceed, see
    `shuffled_extreme`.
    """
    rows: list[dict[str, Any]] = []
    for data in dict.fromkeys(net.data for net in nets):
        own = [net for net in nets if net.data == data]
        groups = {name: [net for net in own if net.group == name] for name in dict.fromkeys(net.group for net in own)}
        for question, found in (
            ("finest", _finest(groups)),
            ("models", _models(groups, settings)),
            ("examples", _areas(groups)),
        ):
            rows += [{"data": data, "question": question} | row for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(name: str, found: Interval, level: float, n: int, units: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "level": level, "n": n, "units": units} | dict(zip(("value", "low", "high"), found)) | more


def _finest(groups: dict[str, list[Net]]) -> Iterator[dict[str, Any]]:
    """Each group against the first: over repeated trainings where there are some, else over the examples of one model each."""
    first, *others = groups
    if not others:
        return
    for name in OWN:
        if all(len(nets) > 1 for nets in groups.values()):
            means = [np.array([net.shares(name)[:, -1].mean() for net in nets]) for nets in groups.values()]
            level, units, count = 1 - ERROR / len(OWN), "models", sum(map(len, means))
            found = statistics.against_first(means, level)
        else:
            shares = [np.mean([net.shares(name)[:, -1] for net in nets], 0) for nets in groups.values()]
            level, units, count = 1 - ERROR / len(OWN) / len(others), "examples", len(shares[0])
            found = [statistics.t_interval(share - shares[0], level) for share in shares[1:]]
        for group, one in zip(others, found):
            yield _row(name, one, level, count, units, group=group, against=first)


def _models(groups: dict[str, list[Net]], settings: Settings) -> Iterator[dict[str, Any]]:
    """Correlations over models and over the means of groups; models of one group are no independent evidence."""
    nets = [net for own in groups.values() for net in own]
    names = list(behaviour(nets[0], settings))
    shares = np.array([[net.shares(name)[:, -1].mean() for name in OWN] for net in nets])
    acts = np.array([list(behaviour(net, settings).values()) for net in nets])
    place = [list(groups).index(net.group) for net in nets]
    average: Callable[[np.ndarray], np.ndarray] = lambda table: np.array(
        [table[np.array(place) == group].mean(0) for group in range(len(groups))]
    )
    level = 1 - ERROR / len(OWN) / len(names)
    for units, one, other in (("groups", average(shares), average(acts)), ("models", shares, acts)):
        if len(one) < 3 or (units == "models" and len(one) == len(groups)):
            continue
        limit = statistics.shuffled_extreme(one, other)
        for i, name in enumerate(OWN):
            for j, act in enumerate(names):
                found = statistics.correlation(one[:, i], other[:, j], level)
                yield _row(name, found, level, len(one), units, condition=act, limit=limit)


def _areas(groups: dict[str, list[Net]]) -> Iterator[dict[str, Any]]:
    """By group and kind of filter: the area of each score, and its difference from the controls |z| and margin."""
    level = 1 - ERROR / (len(groups) * 2 * len(OWN) * 2)
    for group, nets in groups.items():
        for low in (True, False):
            strata = [(net, octave) for net in nets for octave in range(1, net.deepest + 1)]
            strata = [(net, octave) for net, octave in strata if _is_mixed(net.kept(_filter(octave, low)))]
            if not strata:
                continue
            found = {
                name: [_area(name, net, octave, low) for net, octave in strata] for name in (*DEFINITIONS, MARGIN, SHUFFLED)
            }
            common: dict[str, Any] = {"group": group, "condition": "low-pass" if low else "high-pass"}
            count = len(nets[0].examples)
            for name, areas in found.items():
                yield _row(name, statistics.mean_area(areas, level), level, count, "examples", **common)
            for name in OWN:
                for control in ("coefficients", MARGIN):
                    pairs = zip(found[name], found[control])
                    gain = statistics.mean_area([(a - b, own - other) for (a, own), (b, other) in pairs], level)
                    yield _row(name, gain, level, count, "examples", against=control, **common)


def _filter(octave: int, low: bool) -> str:
    return f"{'low' if low else 'high'} {octave}"


def _is_mixed(kept: np.ndarray) -> bool:
    return FEW <= int(kept.sum()) <= len(kept) - FEW


def _area(name: str, net: Net, octave: int, low: bool) -> tuple[float, np.ndarray]:
    """The area of one score under one filter. "shuffled": the first score against outcomes of other examples."""
    kept = net.kept(_filter(octave, low))
    if name == MARGIN:
        return statistics.roc(net.margin, kept)
    if name == SHUFFLED:
        return statistics.roc(net.passing(OWN[0], octave, low), np.random.default_rng(octave).permutation(kept))
    return statistics.roc(net.passing(name, octave, low), kept)


def sign(row: Any) -> int:
    """1 or -1 where the corrected interval excludes 0, and a correlation exceeds those of shuffled pairings; else 0.

    >>> sign({"low": 0.1, "high": 0.2, "value": 0.15, "limit": math.nan})
    1
    >>> sign({"low": 0.1, "high": 0.2, "value": 0.15, "limit": 0.5})
    0
    >>> sign({"low": 0.9, "high": 1.0, "value": 1.0, "limit": 1.0 - 2**-52})  # a tie but for rounding
    0
    """
    beyond = not abs(row["value"]) <= row["limit"] + _ROUNDING
    return (1 if row["low"] > 0 else -1 if row["high"] < 0 else 0) if beyond else 0


def summary(nets: Sequence[Net], table: pd.DataFrame, found: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Counts, and the sentences that the numbers allow."""
    own = [net for net in nets if net.name in FASHION_NETS]
    trained = sum(adversarial.gradients(str(recipe(net.group)), TRAINING) for net in own)
    return {
        "models": len(nets),
        "examples": {net.data: len(net.examples) for net in nets},
        "domain": {net.data: net.domain for net in nets},
        "gradients_of_training": trained,
        "findings": [
            sentence for data in dict.fromkeys(net.data for net in nets) for sentence in sentences(data, table, found)
        ],
    }


def sentences(data: str, table: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """What the numbers about one data set say."""
    own, asked = table[(table["data"] == data) & (table["model"] == "")], found[found["data"] == data]
    said = [_said_finest(asked), _said_models(asked), _said_examples(asked), _said_falls(own)]
    return [f"{data}: {sentence}" for sentence in said if sentence]


def _said_finest(found: pd.DataFrame) -> str:
    """In which definitions the finest share changes, and in which direction."""
    rows = found[found["question"] == "finest"]
    if rows.empty:
        return ""
    parts = []
    for name in OWN:
        own = rows[rows["name"] == name]
        down = [row["group"] for _, row in own.iterrows() if sign(row) < 0]
        up = [row["group"] for _, row in own.iterrows() if sign(row) > 0]
        text = [f"{word} for {', '.join(names)}" for word, names in (("smaller", down), ("larger", up)) if names]
        parts.append(f"by {DEFINITIONS[name].formula} it is {' and '.join(text) or 'not different'}")
    first, level = rows.iloc[0], rows.iloc[0]["level"]
    how = f"corrected intervals at {100 * level:.2f} % over {first['n']} {first['units']}"
    return f"the share of the finest octave against {first['against']}: {'; '.join(parts)} ({how})."


def _said_models(found: pd.DataFrame) -> str:
    rows = found[(found["question"] == "models") & (found["units"] == "groups")]
    if rows.empty:
        return ""
    held = rows[rows.apply(sign, axis=1) != 0]
    most = rows.loc[rows["value"].abs().idxmax()]
    strongest = f"{DEFINITIONS[most['name']].formula} with {most['condition']}, r = {most['value']:+.2f}"
    interval = f"{most['low']:+.2f} to {most['high']:+.2f}" if math.isfinite(most["low"]) else "unknown"
    return (
        f"over {most['n']} groups, {len(held)} of {len(rows)} correlations of a spectrum with behaviour hold after correction; "
        f"the strongest is {strongest} (corrected interval {interval}; shuffled pairings reach {most['limit']:.2f})."
    )


def _said_examples(found: pd.DataFrame) -> str:
    rows = found[(found["question"] == "examples") & found["against"].notna()]
    if rows.empty:
        return ""
    count = len(rows[rows["against"] == "coefficients"])
    better = {key: int((own.apply(sign, axis=1) > 0).sum()) for key, own in rows.groupby("against")}
    worse = {key: int((own.apply(sign, axis=1) < 0).sum()) for key, own in rows.groupby("against")}
    text = {"coefficients": "|z| alone, which never sees the model", MARGIN: "the margin between the two highest scores"}
    parts = [f"better than {text[key]} in {better[key]} and worse in {worse[key]}" for key in ("coefficients", MARGIN)]
    return f'"will this prediction survive the filter?": of {count} scores by one gradient, {"; ".join(parts)} (corrected).'


def _said_falls(own: pd.DataFrame) -> str:
    """The coarsest octave over the finest one in the spectra of the first group; the paper's bars fall from coarse to fine."""
    shares = own[(own["quantity"] == "share") & (own["group"] == own["group"].iloc[0])]
    ends = {name: shares[shares["name"] == name]["value"].iloc[[0, -1]].to_numpy() for name in OWN}
    ratios = [f"{first / last:.2g} by {DEFINITIONS[name].formula}" for name, (first, last) in ends.items() if last > 0]
    return f"the share of the coarsest octave over that of the finest, {own['group'].iloc[0]}: {', '.join(ratios)}."
