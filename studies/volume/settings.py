"""What the study of volumes runs."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...attribution import get as get_method
from ...core.checks import check_count, check_number, check_path, check_seed
from ...core.files import slug
from ..loaders.models import LoadedModel
from ..loaders.options import ModelOptions
from ..zoo import MODELS
from ..zoo.ct_tissues import AIR

DEFAULT = (("digits3d-net", "digits3d"), ("brain-regions-net", "brain-regions"), ("ct-tissues", "head-ct"))
QUICK = "digits3d-small-net"  # which is trained in seconds
BORDERS = {"digits3d": 0.5, "brain-regions": 0.65, "head-ct": AIR}  # half of full ink; between fluid and grey matter; of air
METHODS = "integrated_gradients(steps=25, rule=trapezoid)", "smoothgrad(samples=25, spread=0.0001)"  # as in the paper
WAVELETS = "dwt(haar, level=3)", "dwt(db2, level=3)"  # the paper's, and a smoother one


@dataclass(frozen=True)
class Settings(ModelOptions):
    """What is measured.

    models: specs as in `load_model`, of models that take volumes; without them three packaged ones with their data.
    data: one spec for all models, or one for each.  methods, transforms: specs, as in `attribute`; the first of each is drawn.
    limit: the number of volumes that are explained.  tested: the number of those that are classified for the accuracy.
    border: voxels with a larger value are the object; None takes a known value for packaged data, and Otsu's for others.
    pictures: the number of volumes of each data set that are drawn and written.  The rest: see `ModelOptions`.

    >>> Settings(models="net:make", data="medmnist:adrenal.npz").pairs
    [('net:make', 'medmnist:adrenal.npz')]
    """

    models: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    methods: tuple[str, ...] = METHODS
    transforms: tuple[str, ...] = WAVELETS
    limit: int = 40
    tested: int = 1160
    border: float | None = None
    pictures: int = 3
    seed: int = 0
    batch_size: int | str = "auto"

    def __post_init__(self) -> None:
        for name in ("models", "data", "methods", "transforms"):
            given = getattr(self, name)
            several = [given] if isinstance(given, str | os.PathLike) else given
            object.__setattr__(self, name, tuple(check_path("study volume", one) for one in several))
        for name, least in (("limit", 1), ("tested", 0), ("pictures", 0)):
            check_count("study volume", name, getattr(self, name), least)
        if self.border is not None:
            check_number("study volume", "border", self.border)
        check_seed("study volume", self.seed)
        if not (self.methods and self.transforms):
            raise ValueError("study volume: expected at least one method and one transform.")
        for method in self.methods:
            get_method(method)
        self._check_pairs()

    def _check_pairs(self) -> None:
        if self.models or self.data:
            counts = (1, len(self.models))
            if len(self.data) not in counts or not self.models or len(set(self.pairs)) < len(self.models):
                got = f"got {len(self.models)} models and {len(self.data)} data sets"
                raise ValueError(f"study volume: expected different models with one data set, or one for each; {got}.")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each model with its data."""
        if not self.models:
            return list(DEFAULT)
        return list(zip(self.models, self.data * len(self.models) if len(self.data) == 1 else self.data))

    @property
    def quick(self) -> "Settings":
        """20 volumes, 200 for the accuracy, one method and wavelet; without models the digits, with a small network."""
        few: dict[str, Any] = {"limit": min(20, self.limit), "tested": min(200, self.tested), "pictures": min(1, self.pictures)}
        few |= {"transforms": self.transforms[:1], "methods": self.methods[:1]}
        return replace(self, **few) if self.models else replace(self, models=(QUICK,), data=DEFAULT[0][1:], **few)

    @property
    def question(self) -> dict[str, Any]:
        """What the numbers of a volume depend on, besides the model and the volume."""
        return {name: getattr(self, name) for name in ("methods", "transforms", "border", "seed")}

    def border_of(self, data: str) -> float | None:
        """The value above which a voxel belongs to the object; None for Otsu's."""
        return self.border if self.border is not None else BORDERS.get(data)

    def load(self, model: str) -> LoadedModel:
        """A model, on its device; where it does not say what it takes: volumes.  Raises: ValueError for another kind."""
        found = self.loaded(model)
        if found.signals.axes != 3 and (not found.signals.resized or model in MODELS):
            raise ValueError(f"study volume: {model[:80]} takes {found.signals.plural}; expected a model of volumes.")
        return found.described("volume")


def stem(model: str, data: str) -> str:
    """The beginning of the names of the files of a model and its data.

    >>> stem("/home/me/nets.py:make", "medmnist:/data/adrenal.npz")
    'nets.py-make-adrenal.npz'
    """
    return "-".join(slug(Path(name).name) or "some" for name in (model, data))
