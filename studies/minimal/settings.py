"""What the study of minimal images runs: models, data, domains, and the prices of coefficients."""

import os
from dataclasses import dataclass, replace
from typing import Any

from ...attribution import get as get_method
from ...core.checks import check_count, check_number, check_path, check_seed, is_number, quoted
from ..loaders.options import ModelOptions

PRICES = (0.01, 1.0, 5.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
PAPER = "dwt(haar, level=3)"  # the domain of the paper's pictures
DATA = {  # on what the packaged models are run where nothing is said
    "mnist-lenet": "digits",
    "mnist-lenet-robust": "digits",
    "digits3d-net": "digits3d",
    "digits3d-small-net": "digits3d",
    "gunpoint-net": "ucr:GunPoint",
    "ct-tissues": "head-ct",
    "yamnet": "animals",
    "crepe": "animals",
    "crepe-tiny": "animals",
}
QUICK = "mnist-lenet"


@dataclass(frozen=True)
class Settings(ModelOptions):
    """What is measured.

    models: specs as in `load_model`.  data: one spec for all models, or one for each; without, the packaged data of each model,
    or imagenet-sample.  transforms: the domains; without, the paper's for pictures and the wavelet of each other kind.
    prices: α times the number of coefficients, in units of |f(x) - f(x₀)| of each signal.  alphas: α itself, as in the paper,
    instead of prices.  steps, continuation, lr: as in `mask_path`.
    method: whose map ranks the coefficients of a control.  limit: the number of readable signals.
    pictures: for how many signals of each model and domain a grid is drawn.  seconds: at most so much of a recording is used.
    The rest: see `ModelOptions`.

    >>> Settings(alphas=[1e-5, 1e-3]).ladder, Settings(models="mnist-lenet").pairs
    ((1e-05, 0.001), [('mnist-lenet', 'digits')])
    """

    models: tuple[str, ...] = ("efficientnet-lite0",)
    data: tuple[str, ...] = ()
    transforms: tuple[str, ...] = ()
    prices: tuple[float, ...] = PRICES
    alphas: tuple[float, ...] = ()
    steps: int = 45
    continuation: float | None = None
    lr: float = 0.1
    method: str = "integrated_gradients(steps=16)"
    limit: int | None = 20
    pictures: int = 3
    seconds: float | None = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("models", "data"):
            given = getattr(self, name)
            several = [given] if isinstance(given, str | os.PathLike) else given
            object.__setattr__(self, name, tuple(check_path("minimal", one) for one in several))
        for name in ("transforms", "prices", "alphas", "inputs"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) or is_number(given) else tuple(given))
        check_count("minimal", "steps", self.steps)
        check_count("minimal", "pictures", self.pictures, 0)
        check_seed("minimal", self.seed)
        get_method(self.method)
        if self.seconds is not None and check_number("minimal", "seconds", self.seconds, 0) == 0:
            raise ValueError("minimal: seconds must be positive, got 0.")
        self._check_ladder()
        self._check_pairs()

    def _check_pairs(self) -> None:
        if len(set(self.models)) < max(1, len(self.models)):
            raise ValueError(f"minimal: expected at least one model, and each once, got {quoted(self.models)}.")
        if len(self.data) > 1 and len(self.data) != len(self.models):
            raise ValueError(
                f"minimal: expected one data set, or one for each of {len(self.models)} models, got {len(self.data)}."
            )

    def _check_ladder(self) -> None:
        what, values = ("alphas", self.alphas) if self.alphas else ("prices", self.prices)
        for value in values:
            check_number("minimal", what, value, 0)
        if not values or any(not 0 < one < other for one, other in zip(values, (*values[1:], float("inf")))):
            raise ValueError(f"minimal: {what} must be positive numbers that grow, got {quoted(values)}.")

    @property
    def ladder(self) -> tuple[float, ...]:
        """The alphas, or the prices where no alpha is given."""
        return self.alphas or self.prices

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each model with its data."""
        if not self.data:
            return [(model, DATA.get(model, "imagenet-sample")) for model in self.models]
        return list(zip(self.models, self.data * len(self.models) if len(self.data) == 1 else self.data, strict=True))

    @property
    def quick(self) -> "Settings":
        """Few signals and steps, in the default domain; without another model, a small one: less than a minute."""
        own = self.models if self.models != Settings.models else (QUICK,)
        few: dict[str, Any] = {"limit": min(self.limit or 6, 6), "steps": min(self.steps, 40)}
        return replace(self, models=own, pictures=min(self.pictures, 1), **few)

    @property
    def question(self) -> dict[str, Any]:
        """What the numbers of a signal depend on, besides the model, the domain and the signal."""
        names = ("prices", "alphas", "steps", "continuation", "lr", "method", "seconds", "seed", "device")
        return {name: getattr(self, name) for name in names} | {"records": 2}  # the form of what is stored
