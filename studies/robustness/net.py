"""What was measured of one model, over all its examples."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .octaves import depth, waves
from .spectra import DEFINITIONS, normalised
from .subject import CLEAN, Subject


@dataclass(frozen=True, eq=False)
class Net:
    """One model and its examples, in their order.

    group: shared by repetitions of one training.  octaves: of the domain, coarse to fine.
    spectra: by definition (examples, octaves), not normalised.  predicted: by condition (examples,).  truth: (examples,), the
    labels, or what the model says of the unchanged example.  margin: between the two highest scores.
    heat: (examples, waves), 1 where the answer is wrong.  shape: of the spatial axes.  classes: the number of outputs.
    """

    name: str
    group: str
    data: str
    domain: str
    classes: int
    shape: tuple[int, ...]
    examples: list[str]
    octaves: list[str]
    spectra: dict[str, np.ndarray]
    predicted: dict[str, np.ndarray]
    truth: np.ndarray
    margin: np.ndarray
    heat: np.ndarray

    @classmethod
    def joined(
        cls, name: str, group: str, data: str, run: tuple[Subject, Tensor], classes: int, names: list[str], parts: Any
    ) -> "Net":
        """The net of stored pieces, see `subject.measured`."""
        joined: Callable[[Any], np.ndarray] = lambda values: np.concatenate(
            [np.asarray(value, dtype=float) for value in values]
        )
        spectra = {each: joined(part["spectra"][each] for part in parts) for each in DEFINITIONS}
        predicted = {each: joined(part["predicted"][each] for part in parts).astype(int) for each in parts[0]["predicted"]}
        truth, margin = (joined(part[each] for part in parts) for each in ("truth", "margin"))
        domain, shape = run[0].domain, tuple(run[1].shape[2:])
        heat = [part["heat"] for part in parts if part["heat"]]
        hot = joined(heat) if heat else np.zeros((0, len(waves(shape))))
        about = (name, group, data, domain, classes, shape, names, parts[0]["octaves"])
        return cls(*about, spectra, predicted, truth.astype(int), margin, hot)

    @property
    def deepest(self) -> int:
        """The octaves that filters and noise tell apart."""
        return depth(self.shape)

    def shares(self, definition: str) -> np.ndarray:
        """The normalised spectrum of each example, (examples, octaves)."""
        return normalised(torch.from_numpy(self.spectra[definition])).numpy()

    def kept(self, condition: str) -> np.ndarray:
        """Whether the answer to each example is the same under a condition."""
        return self.predicted[condition] == self.predicted[CLEAN]

    def right(self, condition: str) -> np.ndarray:
        """Whether the answer to each example is right under a condition."""
        return self.predicted[condition] == self.truth

    def accuracy(self, condition: str) -> float:
        """The share of right answers."""
        return float(self.right(condition).mean())

    def passing(self, definition: str, octave: int, low: bool) -> np.ndarray:
        """The share of each example's importance that a filter lets pass: the score "will this prediction survive?"."""
        fine = self.shares(definition)[:, max(1, len(self.octaves) - octave) :].sum(1)
        return 1 - fine if low else fine

    def threshold(self, octave: int, levels: Sequence[float]) -> float:
        """The noise of an octave at which the accuracy is half way from that without noise to chance.

        Between two levels it is interpolated over log(level) - below the first one over the level. It is infinite where the
        accuracy stays above, and NaN where it is no better than chance without noise.
        Source: Subramanian et al. 2023 (critical bands), there at 50 %.
        """
        half = (self.accuracy(CLEAN) + 1 / self.classes) / 2
        before, above = 0.0, self.accuracy(CLEAN)
        if above <= half:
            return math.nan
        for level in levels:
            here = self.accuracy(f"noise {octave} {level:g}")
            if here <= half:
                part = (above - half) / max(above - here, 1e-12)
                return part * level if before == 0 else math.exp(math.log(before) + part * math.log(level / before))
            before, above = level, here
        return math.inf
