"""What the robustness study runs: models, data, and the conditions under which they are asked again."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...attribution import get as get_method
from ...core.checks import check_count, check_path, check_seed, quoted
from ..loaders.options import ModelOptions
from ..training.adversarial import RECIPES
from ..zoo.fashion_mnist import FASHION_NETS

PAIR = ("mnist-lenet", "mnist-lenet-robust")
DEFAULT_DATA = ("fashion-mnist",) * len(FASHION_NETS) + ("digits",) * len(PAIR)
_REPEATED = re.compile(r"-seed\d+$")


@dataclass(frozen=True)
class Settings(ModelOptions):
    """What is measured.

    models: specs as in `load_model`; without them the twelve networks of the paper's experiment and two LeNets. Names that
    differ only in their ending -seed0, -seed1, … are repetitions of one training and form one group.
    data: one spec for all models, or one for each. Models with the same data are compared with the first one of them.
    transform: a domain with octaves; None for the Haar wavelet, as deep as the signals allow, at most 5 levels.
    method: a method of the kind "sensitivity".  limit: the number of readable examples.
    attacks: ε of projected gradient ascent of `steps` steps, and levels: root mean squares of the noise of an octave, both in
    units of an example's range (of brightness 0…1 for pictures).  heat: examples of the Fourier heat map.
    wave: the root mean square of its waves.
    The rest: see `ModelOptions`.

    >>> Settings(models=("net:make",), data=("photos",)).group("net-seed3")
    'net'
    """

    models: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    transform: str | None = None
    method: str = "gradient"
    limit: int | None = 500
    attacks: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2)
    steps: int = 10
    levels: tuple[float, ...] = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
    heat: int = 100
    wave: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("models", "data"):
            given = getattr(self, name)
            several = [given] if isinstance(given, str | os.PathLike) else given
            object.__setattr__(self, name, tuple(check_path("robustness", one) for one in several))
        for name in ("attacks", "levels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_count("robustness", "steps", self.steps)
        check_count("robustness", "heat", self.heat, 0)
        check_seed("robustness", self.seed)
        self._check_ladder("attacks", self.attacks)
        self._check_ladder("levels", self.levels)
        if twice := [name for name in self.models if self.models.count(name) > 1]:
            raise ValueError(f"robustness: expected different models, got {quoted(twice[0])} twice.")
        if len(self.data) > 1 and len(self.data) != len(self.models):
            what = f"one data set, or one for each of {len(self.models)} models"
            raise ValueError(f"robustness: expected {what}, got {len(self.data)}.")
        if (kind := get_method(self.method).kind) != "sensitivity":
            advice = "choose one of the kind sensitivity, such as gradient or smoothgrad(samples=25, spread=0.25)"
            raise ValueError(f"robustness: {self.method} gives values of the kind {kind}, not ∂f/∂z; {advice}.")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each model with its data."""
        models = self.models or (*FASHION_NETS, *PAIR)
        data = self.data or (("imagenet-sample",) if self.models else DEFAULT_DATA)
        return list(zip(models, data * len(models) if len(data) == 1 else data, strict=True))

    @property
    def quick(self) -> "Settings":
        """Few examples and conditions; without models the two LeNets, which need no training."""
        few: dict[str, Any] = {"limit": min(40, self.limit or 40), "steps": 3, "heat": 10}
        few |= {"attacks": self.attacks[1::2], "levels": self.levels[1::2]}
        return replace(self, **few) if self.models else replace(self, models=PAIR, data=("digits",), **few)

    @property
    def question(self) -> dict[str, Any]:
        """What the numbers of an example depend on, besides the model and the example."""
        names = ("transform", "method", "attacks", "steps", "levels", "heat", "wave", "seed", "device")
        return {name: getattr(self, name) for name in names}

    def group(self, model: str) -> str:
        """The name that repetitions of one training share."""
        return _REPEATED.sub("", model)

    @staticmethod
    def _check_ladder(name: str, values: Sequence[float]) -> None:
        if not values or not all(0 < one < other for one, other in zip(values, (*values[1:], float("inf")))):
            raise ValueError(f"robustness: {name} must be positive numbers that grow, got {quoted(values)}.")


def recipe(group: str) -> str | None:
    """The training that the name of a group of packaged networks says, as "pgd"; None for other models."""
    last = group.removeprefix("fashion-")
    return last if last != group and last in RECIPES else None
