"""The tables of the robustness study: one number a row."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .net import Net
from .octaves import octave_of, waves
from .settings import Settings
from .spectra import DEFINITIONS
from .statistics import Interval, critical_band, t_interval
from .subject import CLEAN

COLUMNS = ["data", "group", "model", "quantity", "name", "band", "value", "low", "high", "n"]


def results(nets: Sequence[Net], settings: Settings) -> pd.DataFrame:
    """The numbers of every model and, with an empty model, of every group.

    quantity: "share" (normalised in each example) and "importance" (not normalised) of a definition in a band; "accuracy" under
    a condition; "threshold" of the noise of an octave; "critical band"; "heat", the wrong answers to waves of an octave.
    low, high: a 95 % interval over n examples, or for a group over its n models.
    """
    rows = [row for net in nets for row in _rows(net, settings)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    keys = ["data", "group", "quantity", "name", "band"]
    grouped = [_group_row(dict(zip(keys, key)), part) for key, part in table.groupby(keys, sort=False)]
    return pd.concat([table, pd.DataFrame(grouped, columns=COLUMNS)], ignore_index=True)


def _group_row(key: dict[str, Any], part: pd.DataFrame) -> dict[str, Any]:
    if len(part) == 1:
        return part.iloc[0].to_dict() | {"model": ""}
    finite = bool(np.isfinite(part["value"]).all())
    value, low, high = t_interval(part["value"].to_numpy()) if finite else (float(part["value"].median()), math.nan, math.nan)
    return key | {"model": "", "value": value, "low": low, "high": high, "n": len(part)}


def _rows(net: Net, settings: Settings) -> Iterator[tuple[Any, ...]]:
    """The rows of one model."""
    about, count = (net.data, net.group, net.name), len(net.examples)
    for name in DEFINITIONS:
        for quantity, values in (("share", net.shares(name)), ("importance", net.spectra[name])):
            for band, column in zip(net.octaves, values.T):
                yield (*about, quantity, name, band, *t_interval(column), count)
    for condition in net.predicted:
        yield (*about, "accuracy", condition, "", *proportion(int(net.right(condition).sum()), count), count)
    thresholds = [net.threshold(octave, settings.levels) for octave in range(1, net.deepest + 2)]
    for octave, level in enumerate(thresholds, 1):
        yield (*about, "threshold", "", octave_name(octave, net.deepest), level, math.nan, math.nan, count)
    octaves = np.arange(1, net.deepest + 2, dtype=float)
    for name, number in zip(("middle", "width", "error"), critical_band(octaves, np.array(thresholds))):
        yield (*about, "critical band", name, "", number, math.nan, math.nan, count)
    own = wave_octaves(net)
    for octave in sorted(set(own[own > 0].tolist())) if len(net.heat) else ():
        wrong = net.heat[:, own == octave].mean(1)
        yield (*about, "heat", "", octave_name(octave, net.deepest), *t_interval(wrong), len(wrong))


def octave_name(octave: int, deepest: int) -> str:
    """The name of an octave.

    >>> octave_name(3, 3), octave_name(4, 3)
    ('octave 3', 'coarser')
    """
    return f"octave {octave}" if octave <= deepest else "coarser"


def wave_octaves(net: Net) -> np.ndarray:
    """The octave of each wave of the heat map; 0 for a change of brightness. Shape: (waves,)."""
    octave = octave_of(net.shape, net.deepest)
    return np.array([int(octave[tuple(k % n for k, n in zip(wave, net.shape))]) for wave in waves(net.shape)])


def proportion(hits: int, count: int, level: float = 0.95) -> Interval:
    """hits / count with Wilson's interval.

    >>> [round(number, 2) for number in proportion(0, 20)]
    [0.0, 0.0, 0.16]
    """
    limits = stats.binomtest(hits, count).proportion_ci(level, "wilson")
    return hits / count, float(limits.low), float(limits.high)


def examples(nets: Sequence[Net]) -> dict[str, pd.DataFrame]:
    """The numbers of every example: "spectra" by definition and octave, and "answers" by condition."""
    spectra, answers = [], []
    for net in nets:
        for name, values in net.spectra.items():
            about = {"model": net.name, "data": net.data, "definition": name}
            own = pd.DataFrame(values, columns=net.octaves).assign(example=net.examples, **about)
            long = own.melt(["model", "data", "definition", "example"], var_name="octave", value_name="importance")
            spectra.append(long.assign(share=net.shares(name).T.flatten()))
        common = {"model": net.name, "data": net.data, "example": net.examples, "truth": net.truth, "margin": net.margin}
        answers += [pd.DataFrame(common | {"condition": name, "answer": own}) for name, own in net.predicted.items()]
    return {"spectra": pd.concat(spectra, ignore_index=True), "answers": pd.concat(answers, ignore_index=True)}


def behaviour(net: Net, settings: Settings) -> dict[str, float]:
    """How one model behaves, in numbers that are larger for a more robust one; thresholds are log₂ of them.

    A threshold is taken to be half of the least level where it is smaller or unknown, and twice the largest one at most.
    """
    mean: Callable[[str], float] = lambda start: float(
        np.mean([net.accuracy(name) for name in net.predicted if name.startswith(start)])
    )
    least, most = settings.levels[0] / 2, 2 * settings.levels[-1]
    known: Callable[[float], float] = lambda level: least if math.isnan(level) else min(max(level, least), most)
    bounded: Callable[[int], float] = lambda octave: math.log2(known(net.threshold(octave, settings.levels)))
    return {
        "accuracy": net.accuracy(CLEAN),
        "accuracy under attacks": mean("attack"),
        "accuracy after low-pass filters": mean("low"),
        "accuracy after high-pass filters": mean("high"),
        "threshold of the finest noise": bounded(1),
        "threshold of the coarsest noise": bounded(net.deepest + 1),
    }
