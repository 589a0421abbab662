"""`Settings`: what is compared; each of models, data, methods and baselines may be several."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.checks import check_choice, check_path
from ...core.defaults import PICTURE_METHOD
from ...metrics.protocol import Protocol
from ...metrics.protocol.conclusion import KINDS
from ...metrics.selection import BUDGETS
from ..loaders.models import LoadedModel
from ..loaders.options import ModelOptions
from ..storage.pieces import part_of_work

Several = str | Path | Sequence[str | Path]
MOVED, CHANGED = 20, 3  # signals near x: those that are scored for infidelity, and those that are explained for max-sensitivity
BASELINE = ", baseline="  # between a method and its baseline, in the names of cells
FEW = (0.01, 0.05, 0.1)  # budgets
FAMILIES = ("pixel", "dct")  # whose units are removed, beside those of a random rotation
EFFORTS: dict[str, dict[str, Any]] = {
    "quick": {"budgets": FEW, "kinds": ("count",), "families": (), "controls": False, "whole": False},
    "default": {"budgets": FEW, "kinds": KINDS, "families": FAMILIES, "controls": True, "whole": False},
    "full": {"budgets": BUDGETS, "kinds": KINDS, "families": None, "controls": True, "oracle": 4},
}


@dataclass(frozen=True)
class Settings(ModelOptions):
    """What is compared. The four first fields, and baseline, take one value or several; each combination is a cell.

    method, transforms, baseline: specs, as in `attribute`; without transforms, those of the model's kind of signal.
    limit: the number of readable photos to take; None takes all.
    effort: "quick" scores few selections, by their number only; "full" scores them in every domain as family.
    batch_size: the largest number of model inputs in one forward, as in `attribute`.
    pictures: the number of photos for which maps and reconstructions are drawn.
    groups: which photos are one unit of statistics, such as crops of one photo: a CSV file or a pattern, see `units_of`.
    shard: "3/16" is the third of 16 parts of the work, for `compare_shard`; None is all of it.  The rest: see `ModelOptions`.

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
    seed: int = 0
    batch_size: int | str = "auto"
    pictures: int = 3
    effort: str = "default"
    baseline: Any = "zero"
    shard: str | None = None
    groups: str | None = None

    def __post_init__(self) -> None:
        check_choice("compare", "effort", self.effort, EFFORTS)
        part_of_work(self.shard)
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

    @property
    def method_label(self) -> str:
        """The method of a cell, with the baseline where it is not zero."""
        return self.method[0] if self.baseline[0] == "zero" else f"{self.method[0]}{BASELINE}{self.baseline[0]}"

    def protocol(self) -> Protocol:
        """How the domains of a cell are scored."""
        return Protocol(self.transforms, (self.method[0],), (self.baseline[0],), seed=self.seed, **EFFORTS[self.effort])

    @property
    def invariant(self) -> tuple[str, ...]:
        """Metrics that cannot rank domains; at effort full one more, which makes maps of changed signals."""
        each = f"infidelity(samples={MOVED})", f"max_sensitivity(samples={CHANGED})"
        return each if self.effort == "full" else each[:1]

    @property
    def measured_in(self) -> str:
        """The domain of the map on which these are measured."""
        return "pixel" if "pixel" in self.transforms else self.transforms[0]

    def load_model(self, note: Callable[[str], object] | None = None) -> LoadedModel:
        """The model of a cell, on its device.  note: as in `loaders.load_model`."""
        return self.loaded(self.model[0], note)

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
