"""Whether a network reads the atoms and nothing else: measured by taking parts of the signal away, before a seed counts."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...attribution import open_engine
from ...attribution.targets import log_odds
from .signals import Parts

LEARNED, KEPT, LEAST = (
    0.97,
    0.03,
    0.07,
)  # accuracy; how much of it distractors may change; its distance from chance without atoms
MOVED = 0.15  # the largest mean change of the log-odds by the distractors, of their mean distance from those of no signal


@dataclass(frozen=True)
class Reliance:
    """What the network makes of the parts of new signals.

    accuracy: on all of the signal.  without_atoms: should be chance, ½.  without_distractors: should be as with them.
    moved: mean |f(x) - f(x without distractors)| / mean |f(x) - f(0)|, f the log-odds of the class.
    """

    accuracy: float
    without_atoms: float
    without_distractors: float
    moved: float

    @property
    def fault(self) -> str:
        """Why the seed does not count; "" where it does."""
        if self.accuracy < LEARNED:
            return f"not learned (accuracy {self.accuracy:.2f})"
        if abs(self.without_atoms - 0.5) > LEAST:
            return f"reads more than the atoms (accuracy {self.without_atoms:.2f} without them)"
        if abs(self.accuracy - self.without_distractors) > KEPT or self.moved > MOVED:
            return f"reads the distractors (they move the log-odds by {self.moved:.2f})"
        return ""


def log_odds_of(model: nn.Module, label: Tensor, *signals: Tensor) -> list[Tensor]:
    """The log-odds of the class of each example, for several versions of the signals; each (count,)."""
    example = torch.arange(len(label))
    with open_engine(model, signals[0], log_odds(label)) as engine:
        return [engine.scores(example, each.__getitem__) for each in signals]


def reliance(model: nn.Module, parts: Parts) -> Reliance:
    """The reliance of a model of two classes on the parts of signals."""
    rest, noise = parts.background, parts.distractors
    versions = parts.x, rest + noise, rest + parts.atoms, torch.zeros_like(rest)
    whole, bare, clean, nothing = log_odds_of(model, parts.label, *versions)
    right, without_atoms, without_distractors = (int((odds > 0).sum()) / len(odds) for odds in (whole, bare, clean))
    moved = float((whole - clean).abs().mean() / (whole - nothing).abs().mean())
    return Reliance(right, without_atoms, without_distractors, moved)
