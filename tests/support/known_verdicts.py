"""The stored verdicts of the controls. They change when a law changes, and then LAWS_VERSION must be raised.

After such a change, raise LAWS_VERSION in axioms/method_laws.py and store the new verdicts:

    cd tests && python -m support.known_verdicts
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from pullback.axioms import NAMES
from pullback.axioms.method_laws import LAWS_VERSION
from support.controls import CONTROLS, integrate, judged, keeper

FILE = Path(__file__).with_name("known_verdicts.csv")
KEY = ["dtype", "transform", "method", "axiom"]
REMINDER = (
    f"The verdicts of the laws are not the stored ones. Raise LAWS_VERSION (now {LAWS_VERSION}) in "
    "axioms/method_laws.py, then store the new ones with `cd tests && python -m support.known_verdicts`"
)
# Relative differences that another processor explains. The noise floor of a model is part of a tolerance.
SAME_RESIDUAL, SAME_TOLERANCE = 0.01, 0.05
ROUNDING = 0.01  # a residual below this fraction of its tolerance is rounding


def wavers(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    """Integrated gradients with noise: laws average it over seeds, or allow for what the seed changes."""
    return integrate(f, z, target, z0) * (1 + 0.02 * torch.randn(z.shape[1:]).to(z))


METHODS: dict[str | Callable[..., Tensor], list[str]] = {
    "gradient": list(NAMES),
    wavers: list(NAMES),
    **{method: sorted(broken) for method, broken in CONTROLS.items()},
    keeper: list(NAMES),
}


def measured() -> pd.DataFrame:
    """One row for each setting, method and axiom: verdict, residual and tolerance."""
    rows = []
    for dtype, transform in ((torch.float64, "pixel"), (torch.float32, "dwt(haar, level=1)")):
        for method, axioms in METHODS.items():
            name = method if isinstance(method, str) else method.__name__
            report = judged(method, axioms, dtype, transform)
            rows += [(str(dtype), transform, name, f.axiom, f.verdict, f.residual, f.tolerance) for f in report]
    return pd.DataFrame(rows, columns=[*KEY, "verdict", "residual", "tolerance"])


def differences(stored: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """A line for each row whose verdict or numbers are not as stored, or that only one of the tables has."""
    both = stored.merge(found, "outer", KEY)
    return [", ".join(map(str, row)) for row in both.itertuples(index=False) if not _same(*row[len(KEY) :])]


def _same(verdict: str, residual: float, tolerance: float, verdict_now: str, now: float, tolerance_now: float) -> bool:
    rounding = residual <= ROUNDING * tolerance and now <= ROUNDING * tolerance
    close = lambda a, b, most: (pd.isna(a) and pd.isna(b)) or abs(a - b) <= most * max(a, b)
    same_residual = rounding or close(residual, now, SAME_RESIDUAL)
    return verdict == verdict_now and same_residual and close(tolerance, tolerance_now, SAME_TOLERANCE)


def read(path: Path = FILE) -> tuple[int, pd.DataFrame]:
    """The version of the laws that the stored verdicts come from, and these verdicts."""
    table = pd.read_csv(path)
    (version,) = table.pop("laws_version").unique()
    return int(version), table


def store(found: pd.DataFrame, path: Path = FILE, version: int = LAWS_VERSION) -> None:
    """Stores the verdicts.  Raises: ValueError where they differ from those stored for the same version of the laws."""
    before, stored = read(path)
    if version == before and (changed := differences(stored, found)):
        raise ValueError("\n".join([REMINDER, *changed]))
    found.assign(laws_version=version).to_csv(path, index=False, float_format="%.3g")


if __name__ == "__main__":
    store(measured())
