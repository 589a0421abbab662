"""What the study of domains compares."""

from dataclasses import dataclass, fields, replace
from typing import Any

from ...attribution import get as get_method
from ...core.checks import check_choice, check_count, check_path, check_seed
from ...core.defaults import PICTURE_METHOD
from ..compare.settings import EFFORTS
from ..compare.settings import Settings as Comparison
from ..loaders.options import ModelOptions

LIMIT = 40
DEFAULT = {  # two networks for clothes, and one for each other kind of signal: how many take ten minutes, training apart
    ("efficientnet-lite0", "imagenet-sample"): 10,
    ("fashion-erm-seed0", "fashion-mnist"): LIMIT,
    ("fashion-transformer", "fashion-mnist"): LIMIT,
    ("yamnet", "animals"): 12,
    ("digits3d-net", "digits3d"): 20,
    ("gunpoint-net", "ucr:GunPoint"): LIMIT,
}
QUICK = ("mnist-lenet", "digits"), ("mnist-lenet-robust", "digits")
FEW = ("pixel", "dct", "dwt(haar, level=2)")


@dataclass(frozen=True)
class Settings(ModelOptions):
    """What is compared.

    models: specs as in `load_model`; without them six packaged ones with their data.  data: one for all, or one for each.
    methods: specs, each in a cell of its own.  transforms: specs; without them those of each kind of signal.
    limit: the largest number of signals of each data set; without it 40, and fewer for slow ones of the packaged six.
    effort: as in `compare`; with "quick" a claim is provisional.
    The rest: see `ModelOptions`.

    >>> Settings(models=("net:make", "net:other"), data=("photos",)).pairs
    [('net:make', 'photos'), ('net:other', 'photos')]
    """

    models: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    methods: tuple[str, ...] = (PICTURE_METHOD,)
    transforms: tuple[str, ...] = ()
    limit: int | None = None
    effort: str = "quick"
    seed: int = 0
    batch_size: int | str = "auto"

    def __post_init__(self) -> None:
        for name in ("models", "data", "methods", "transforms"):
            given = getattr(self, name)
            several = [given] if isinstance(given, str) else given
            object.__setattr__(self, name, tuple(check_path("study domains", one) for one in several))
        check_choice("study domains", "effort", self.effort, EFFORTS)
        if self.limit is not None:
            check_count("study domains", "limit", self.limit, 1)
        check_seed("study domains", self.seed)
        for method in self.methods:
            get_method(method)
        if (self.models or self.data) and (not self.models or len(self.data) not in (1, len(self.models))):
            got = f"got {len(self.models)} models and {len(self.data)} data sets"
            raise ValueError(f"study domains: expected models with one data set, or one for each; {got}.")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each model with its data."""
        data = self.data * len(self.models) if len(self.data) == 1 else self.data
        return list(dict.fromkeys(zip(self.models, data))) if self.models else list(DEFAULT)

    @property
    def quick(self) -> "Settings":
        """20 signals, few selections; without models two LeNets on digits, which need no training, in three domains."""
        few: dict[str, Any] = {"limit": min(20, self.limit or LIMIT), "effort": "quick", "transforms": self.transforms or FEW}
        if self.models:
            return replace(self, **few)
        return replace(self, models=tuple(m for m, _ in QUICK), data=tuple(d for _, d in QUICK), **few)

    def comparison(self, model: str, data: str) -> Comparison:
        """The comparison of one pair."""
        few = self.limit or (LIMIT if self.models else DEFAULT[model, data])
        how: dict[str, Any] = {"limit": few, "effort": self.effort, "seed": self.seed, "pictures": 0}
        how |= {"batch_size": self.batch_size} | {one.name: getattr(self, one.name) for one in fields(ModelOptions)}
        return Comparison(model, data, self.methods, self.transforms, **how)
