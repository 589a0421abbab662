"""What the studies of mixed recordings run."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ...attribution import get as get_method
from ...core.checks import check_path
from ..loaders.models import LoadedModel
from ..loaders.options import ModelOptions
from .tones import LENGTH, TONES, tones_model

IG, SMOOTH, SHAPLEY = (
    "integrated_gradients(steps=12)",
    "smoothgrad(samples=8, spread=0.01)",
    "shapley(by=octave, pairs=2, exact=false)",
)
MASK = "mask(alpha=0.03, steps=25)"
METHODS = (IG, f"+ * {IG}", f"mel * {IG}", SMOOTH, f"z * {SMOOTH}", SHAPLEY, MASK, f"z * {MASK}")
PAPER = "dwt(haar, level=3)"  # the domain of the paper's experiments with sound
FORMS = ("z * ", "+ * ", "mel * ")
NOISE, RECORDINGS = "noise", "recordings"


@dataclass(frozen=True)
class Settings(ModelOptions):
    """What is run.

    data: recordings, as in `load_photos`; "tones" are built in, and so is the model "tones".
    corruption: "recordings" mixes in a recording of another class, "noise" white noise.
    levels: of the target over the corruption, in dB, at which mixtures are explained.  peak: one more mixture, in which the
    corruption has this share of the target's peak; None leaves it out.  sweep: levels at which the model is only asked.
    methods: specs, which rank by |a|; "z * METHOD" ranks by |a ⊙ z|, "+ * METHOD" by the signed shares, and "mel * METHOD" by
    |z| in the cells of time × mel band whose shares sum to more than 0.
    domains: none takes the paper's, and those of audio but pixels and Fourier.
    budgets: the shares that are kept, of the number of samples.  budget: the one of figures, sounds and FF.
    seconds: of a segment.  targets: how many recordings are explained at most.  limit: how many are read at most.
    explored: the share of them on which contrasts are looked for; the others confirm what was found.
    shown: how many mixtures are drawn and written as sound.  The rest: see `ModelOptions`.

    >>> Settings().quick.model
    'tones'
    """

    model: str = "yamnet"
    data: str = "animals"
    corruption: str = RECORDINGS
    levels: tuple[float, ...] = (10.0, 0.0)
    peak: float | None = 0.2
    sweep: tuple[float, ...] = (30.0, 20.0, 15.0, 10.0, 5.0, 0.0, -5.0, -10.0)
    methods: tuple[str, ...] = METHODS
    domains: tuple[str, ...] = ()
    budgets: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2)
    budget: float = 0.1
    seconds: float = 0.975
    targets: int = 40
    limit: int = 200
    explored: float = 0.45
    shown: int = 2
    seed: int = 0
    batch_size: int | str = "auto"

    def __post_init__(self) -> None:
        for name in ("model", "data"):
            object.__setattr__(self, name, check_path(name, getattr(self, name)))
        for name in (each.name for each in dataclasses.fields(self) if isinstance(each.default, tuple)):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for spec in self.methods:
            get_method(bare(spec))
        if self.budget not in self.budgets or not all(0 < each <= 1 for each in self.budgets):
            raise ValueError(f"{self.name}: expected budgets in (0, 1], with {self.budget} among them; got {self.budgets}.")
        if not self.levels or self.seconds <= 0 or self.targets < 4 or not 0 < self.explored < 1:
            wanted = "at least one level, seconds > 0, targets ≥ 4 and explored in (0, 1)"
            got = f"{self.levels}, {self.seconds}, {self.targets} and {self.explored}"
            raise ValueError(f"{self.name}: expected {wanted}; got {got}.")

    @property
    def name(self) -> str:
        """The command."""
        return "study noise" if self.corruption == NOISE else "study overlap"

    @property
    def quick(self) -> "Settings":
        """Few recordings and cheap methods; built-in tones in place of YAMNet and animals, which may not be installed."""
        built_in = {"model": TONES, "data": TONES, "seconds": LENGTH} if self.model == Settings.model else {}
        few = {"methods": (IG, f"+ * {IG}"), "levels": (0.0,), "targets": min(8, self.targets), "shown": 1}
        return replace(self, **built_in, **few)  # type: ignore[arg-type]

    def load_model(self, note: Callable[[str], object] | None = None) -> LoadedModel:
        """The model, on its device.  Raises: ValueError where it does not take recordings."""
        loaded = tones_model() if self.model == TONES else self.loaded(self.model, note, kind="audio")
        if not loaded.signals.heard:
            raise ValueError(f"{self.name}: expected a model of recordings; {self.model[:60]} takes {loaded.signals.plural}.")
        return replace(loaded, module=loaded.module.to(self.device))

    def asked(self) -> dict[str, Any]:
        """All that the numbers of a mixture depend on, as plain data."""
        unimportant = ("targets", "limit", "explored", "shown", "data")
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in unimportant}


def bare(spec: str) -> str:
    """The method of a ranking.

    >>> bare("z * smoothgrad"), bare("gradient")
    ('smoothgrad', 'gradient')
    """
    return spec.split(" * ")[-1] if spec.startswith(FORMS) else spec
