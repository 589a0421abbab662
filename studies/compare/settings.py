"""`Settings`: what is compared; each of models, data, methods and baselines may be several."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.checks import check_choice, check_path, quoted
from ...core.defaults import PICTURE_METHOD
from ...metrics.protocol import Protocol
from ...metrics.selection import BUDGETS
from ..loaders.adapted import read_inputs
from ..loaders.model_formats import load_model
from ..loaders.models import LoadedModel

Several = str | Path | Sequence[str | Path]
FAMILIES = ("pixel", "dct")  # whose units are removed, beside those of a random rotation
EFFORTS: dict[str, dict[str, Any]] = {
    "quick": {"budgets": (0.01, 0.05, 0.1), "kinds": ("count",), "families": (), "controls": False},
    "default": {"budgets": (0.01, 0.05, 0.1), "kinds": ("count", "energy", "bits"), "families": FAMILIES, "controls": True},
    "full": {"budgets": BUDGETS, "kinds": ("count", "energy", "bits"), "families": None, "controls": True},
}


@dataclass(frozen=True)
class Settings:
    """What is compared. The four first fields, and baseline, take one value or several; each combination is a cell.

    method, transforms, baseline: specs, as in `attribute`; without transforms, those of the model's kind of signal.
    limit: the number of readable photos to take; None takes all.
    effort: "quick" scores few selections, by their number only; "full" scores them in every domain as family.
    size, mean, std, channels, crop: change the model's preparation, see `Preparation.changed`; None keeps a part.
    batch_size: the largest number of model inputs in one forward, as in `attribute`.
    pictures: the number of photos for which maps and reconstructions are drawn.
    kind, rate, window, output: what the model takes and returns, see `LoadedModel`; None keeps what it says itself.
    arch: where `model` is a file of weights: the callable that builds the module, see `load_model`.
    inputs: further inputs of the model, the same for every signal, as "NAME=FILE.npy" or "NAME=NUMBER".
    shard: "3/16" is the third of 16 parts of the work, for `compare_shard`; None is all of it.

    >>> Settings(transforms=("pixel", "dct"), limit=4).model
    ('efficientnet-lite0',)
    >>> len(Settings(method=("gradient", "smoothgrad"), baseline=("zero", "mean")).cells())
    4
    """

    model: Any = "efficientnet-lite0"
    data: Any = "imagenet-sample"
    method: Any = PICTURE_METHOD
    transforms: tuple[str, ...] = ()
    limit: int | None = None
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int | None = None
    crop: bool | None = None
    device: str = "cpu"
    seed: int = 0
    batch_size: int | str = "auto"
    pictures: int = 3
    kind: str | None = None
    rate: float | None = None
    window: int | None = None
    arch: str | None = None
    output: str | None = None
    inputs: tuple[str, ...] = ()
    effort: str = "default"
    baseline: Any = "zero"
    shard: str | None = None

    def __post_init__(self) -> None:
        check_choice("compare", "effort", self.effort, EFFORTS)
        self.part_of_work()
        for name in ("model", "data", "method", "baseline"):
            given = getattr(self, name)
            several = given if isinstance(given, list | tuple) else (given,)
            if not several:
                raise ValueError(f"compare: expected a {name}, or several; got none.")
            # plain data for the summary, each once
            object.__setattr__(self, name, tuple(dict.fromkeys(check_path(name, one) for one in several)))

    def cells(self) -> list["Settings"]:
        """The settings of each cell: models outside, then data, methods and baselines."""
        names = ("model", "data", "method", "baseline")
        every = itertools.product(*(getattr(self, name) for name in names))
        return [replace(self, **dict(zip(names, cell))) for cell in every]

    def part_of_work(self) -> tuple[int, int]:
        """The number of the shard, from 0 on, and that of all shards.  Raises: ValueError for another form.

        >>> Settings(shard="3/16").part_of_work(), Settings().part_of_work()
        ((2, 16), (0, 1))
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", "1/1" if self.shard is None else str(self.shard))
        number, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= number <= count:
            raise ValueError(f"shard: expected NUMBER/COUNT from 1/1 on, for example 3/16; got {quoted(self.shard)}.")
        return number - 1, count

    @property
    def method_label(self) -> str:
        """The method of a cell, with the baseline where it is not zero."""
        return self.method[0] if self.baseline[0] == "zero" else f"{self.method[0]}, baseline={self.baseline[0]}"

    def protocol(self) -> Protocol:
        """How the domains of a cell are scored."""
        return Protocol(self.transforms, (self.method[0],), (self.baseline[0],), seed=self.seed, **EFFORTS[self.effort])

    def load_model(self, note: Callable[[str], object] | None = None) -> LoadedModel:
        """The model of a cell, on its device.  note: as in `loaders.load_model`."""
        parts = {name: getattr(self, name) for name in ("size", "mean", "std", "channels", "crop")}
        said = {name: getattr(self, name) for name in ("kind", "rate", "window", "output")}
        loaded = load_model(self.model[0], self.device, arch=self.arch, note=note)
        loaded = loaded.described(**said, inputs=read_inputs(self.inputs)).prepared(**parts)
        return replace(loaded, module=loaded.module.to(self.device))

    @classmethod
    def read(cls, data: dict[str, Any]) -> "Settings":
        """The settings from what `plain` made of them, also if that was JSON in between."""
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        return cls(**given)

    def plain(self) -> dict[str, Any]:
        """The settings as plain data; single values as they are."""
        found = dataclasses.asdict(self)
        one = {name: found[name][0] for name in ("model", "data", "method", "baseline") if len(found[name]) == 1}
        return found | one
