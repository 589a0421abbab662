"""How often intervals of a mean hold the true mean: `python -m benchmarks.scripts.coverage`.

Numbers with a known mean are drawn again and again: 8, 20 or 50 that are normal, lognormal (very skewed) or Student's t with
3 degrees of freedom (heavy tails), and scores of several models on the same examples. It writes
results/interval-coverage.json, of which `make pages` makes tables.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy import stats

from benchmarks.results.stored import RESULTS
from pullback.core.files import write_text
from pullback.metrics.statistics import family, mean_interval, two_level_interval
from pullback.metrics.statistics.intervals import t_interval

Draw = Callable[[np.random.Generator, Any], np.ndarray]
DISTRIBUTIONS: dict[str, Draw] = {  # each with mean 0
    "normal": lambda rng, shape: rng.normal(size=shape),
    "lognormal": lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5),
    "t3": lambda rng, shape: rng.standard_t(3, size=shape),
    "difference of two lognormal": lambda rng, shape: rng.lognormal(size=shape) - rng.lognormal(size=shape),
}
UNITS, LEVELS, MODELS = (8, 20, 50), (0.95, 0.995), (2, 3, 5, 10)


def bca(values: np.ndarray, level: float) -> tuple[float, float, float]:
    """The bias-corrected and accelerated bootstrap, as SciPy has it."""
    rng = np.random.default_rng(0)
    found = stats.bootstrap((values,), np.mean, confidence_level=level, n_resamples=2000, rng=rng).confidence_interval
    return float(values.mean()), float(found.low), float(found.high)


INTERVALS: dict[str, Callable[[np.ndarray, float], tuple[float, float, float]]] = {
    "bootstrap-t": lambda values, level: mean_interval(values, level=level),
    "Student's t": t_interval,
    "BCa": bca,
}


def covered(intervals: list[tuple[float, float, float]]) -> dict[str, float]:
    """The share of intervals that hold 0, and their median width."""
    low, high = np.array(intervals)[:, 1:].T
    return {"coverage": float(((low <= 0) & (high >= 0)).mean()), "width": round(float(np.median(high - low)), 4)}


def one_level(repetitions: int) -> Iterator[dict[str, Any]]:
    """An entry for each interval, level, distribution and number of units."""
    for name, draw in DISTRIBUTIONS.items():
        for units in UNITS:
            values = draw(np.random.default_rng(units), (repetitions, units))
            for level in LEVELS:
                for interval, make in INTERVALS.items():
                    found = covered([make(row, level) for row in values])
                    yield {"interval": interval, "level": level, "distribution": name, "units": units} | found


def two_levels(repetitions: int, examples: int = 20) -> Iterator[dict[str, Any]]:
    """Scores = model + example + both, each normal: models count as much as the rest, or not at all."""
    for models in MODELS:
        for spread in (0.0, 1.0):
            rng = np.random.default_rng(models)
            parts = [(models, 1), (1, examples), (models, examples)]
            drawn = [sum(s * rng.normal(size=shape) for s, shape in zip((spread, 1.0, 1.0), parts)) for _ in range(repetitions)]
            found = covered([two_level_interval(one) for one in drawn])
            yield {"models": models, "model_sd": spread, "examples": examples} | found


def claims(repetitions: int, units: int = 20, contrasts: int = 10) -> Iterator[dict[str, Any]]:
    """How often a family without any difference has a claim of one, with and without the correction."""
    for name, draw in DISTRIBUTIONS.items():
        if name.startswith("difference"):
            continue
        rng = np.random.default_rng(0)
        ours = others = 0
        for _ in range(repetitions):
            found = family({str(i): one for i, one in enumerate(draw(rng, (contrasts, units)) - draw(rng, (contrasts, units)))})
            ours += any(one.verdict in ("better", "worse") for one in found.values())
            others += any(one.p <= 0.05 for one in found.values())
        rates = {"holm": ours / repetitions, "uncorrected": others / repetitions}
        yield {"distribution": name, "units": units, "contrasts": contrasts} | rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=RESULTS / "interval-coverage.json")
    given = parser.parse_args()
    count = given.repetitions
    report: dict[str, Any] = {"repetitions": count, "one_level": list(one_level(count)), "two_levels": list(two_levels(count))}
    report |= {"claim_repetitions": count // 5, "claims": list(claims(count // 5))}
    write_text(given.out, json.dumps(report | {"numpy": np.__version__, "scipy": scipy.__version__}, indent=1) + "\n")


if __name__ == "__main__":
    main()
