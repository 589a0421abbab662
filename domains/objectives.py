"""What a fitted domain shall make small: costs of the attributions of a set of examples in a domain."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.checks import check_number, listed
from ..core.registry import Registry
from ..core.spec import parse
from ..transforms import Transform
from .largest import Largest
from .pairs import Pairs

BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_LEAST_TOTAL = 1e-3  # of the scale: a smaller Σ a counts as this


class Objective(abc.ABC):
    """A cost of each example in a domain; less is better. Costs of different domains compare where both are orthonormal."""

    name: str

    def costs(self, transform: Transform, pairs: Pairs, fit: Pairs | None = None) -> Tensor:
        """The cost of each example, (examples,), in double precision.  fit: the examples that the domain was fitted on."""
        with torch.no_grad():
            return torch.cat([self.each(_Values.of(transform, part)).double() for part in pairs.blocks])

    @abc.abstractmethod
    def each(self, a: "_Values") -> Tensor:
        """The cost of each example, (examples,)."""

    def smooth(self, transform: Transform, pairs: Pairs) -> Tensor:
        """The mean cost, or one near it, differentiable in what the transform depends on."""
        return self.each(_Values.of(transform, pairs)).mean()


@dataclass(frozen=True, eq=False)
class _Values:
    """Values a and coefficients z of x - x₀, (examples, d), Σ a and ‖x - x₀‖ ‖ḡ‖, (examples,), and the number of samples."""

    a: Tensor
    z: Tensor
    total: Tensor
    scale: Tensor
    samples: int
    blind: bool

    @classmethod
    def of(cls, transform: Transform, pairs: Pairs) -> "_Values":
        z, g = (part.flatten(1) for part in pairs.moved_by(transform))
        return cls(z * g, z, pairs.total, pairs.scale, pairs.displacement[0].numel(), pairs.blind)


objectives: Registry[Objective] = Registry("objective", "pullback.objectives")


@objectives.register("l1")
@dataclass(frozen=True)
class L1(Objective):
    """Σ|a| / ‖x - x₀‖ ‖ḡ‖, at most 1. Without a model, where Σ|a| = Σ z² is the same everywhere: Σ|z| / √n ‖z‖."""

    def each(self, a: _Values) -> Tensor:
        if a.blind:
            return a.z.abs().sum(1) / (a.samples * a.scale).sqrt()
        return a.a.abs().sum(1) / a.scale


@objectives.register("entropy")
@dataclass(frozen=True)
class Entropy(Objective):
    """-Σ q ln q with q = |a| / ‖x - x₀‖ ‖ḡ‖, as in `best_basis`; without a model, that of the energy z² / ‖z‖²."""

    def each(self, a: _Values) -> Tensor:
        q = (a.a.abs() / a.scale[:, None]).clamp(min=torch.finfo(a.a.dtype).tiny)  # at 0 its derivative is infinite
        return torch.special.entr(q).sum(1)


@objectives.register("selection")
@dataclass(frozen=True)
class Selection(Objective):
    """Mean over budgets of |1 - Σ_S a / Σ a|, S the coefficients of largest |a|: both halves of the selection error of f.

    For a linear f it is the two-sided selection error, ½ (|f(x_S) - f(x)| + |f(x without S) - f(x₀)|) / |f(x) - f(x₀)|.
    budgets: fractions of the number of signal samples.
    temperature: of `smooth`, where S is σ(ln(|a| / τ) / temperature), τ the smallest |a| that S holds.
    """

    budgets: Sequence[float] = BUDGETS
    temperature: float = 0.25

    def __post_init__(self) -> None:
        for budget in listed(self.budgets) or [None]:
            check_number("selection", "a budget", budget, 1e-9, 1)
        check_number("selection", "temperature", self.temperature, 1e-6)

    def each(self, a: _Values) -> Tensor:
        kept = torch.from_numpy(self._selected(a).sums()).to(a.a)
        return (1 - kept / _denominator(a)[:, None]).abs().mean(1)

    def smooth(self, transform: Transform, pairs: Pairs) -> Tensor:
        a = _Values.of(transform, pairs)
        size, least = a.a.abs(), torch.from_numpy(self._selected(a).sizes()).to(a.a)
        tiny = torch.finfo(size.dtype).tiny
        soft = [((size + tiny).log() - (t + tiny).log()[:, None]).div(self.temperature).sigmoid() for t in least.T]
        kept = torch.stack([(a.a * mask).sum(1) for mask in soft])
        return ((1 - kept / _denominator(a)).square() + 1e-4).sqrt().mean()

    def _selected(self, a: _Values) -> Largest:
        d = a.a.shape[1]
        return Largest(a.a.detach().cpu().numpy(), [min(d, max(1, round(budget * a.samples))) for budget in self.budgets])


@objectives.register("expected")
@dataclass(frozen=True)
class Expected(Objective):
    """-Σ_S a / ‖x - x₀‖ ‖ḡ‖, S the coefficients of largest mean value on the examples that the domain was fitted on.

    keep: the size of S, as a fraction of the number of signal samples.
    """

    keep: float = 0.01

    def __post_init__(self) -> None:
        check_number("expected", "keep", self.keep, 1e-9, 1)

    def costs(self, transform: Transform, pairs: Pairs, fit: Pairs | None = None) -> Tensor:
        with torch.no_grad():
            chosen = self._chosen(sum(_Values.of(transform, part).a.sum(0) for part in (fit or pairs).blocks), pairs)
            parts = [(_Values.of(transform, part), part.scale) for part in pairs.blocks]
            return torch.cat([-(v.a[:, chosen].sum(1) / scale).double() for v, scale in parts])

    def each(self, a: _Values) -> Tensor:
        chosen = a.a.detach().mean(0).topk(max(1, round(self.keep * a.samples))).indices
        return -a.a[:, chosen].sum(1) / a.scale

    def _chosen(self, sums: Tensor | int, pairs: Pairs) -> Tensor:
        count = max(1, round(self.keep * pairs.displacement[0].numel()))
        return torch.as_tensor(sums).topk(count).indices


def _denominator(a: _Values) -> Tensor:
    return a.total.sign().where(a.total != 0, 1) * a.total.abs().maximum(_LEAST_TOTAL * a.scale)


def get_objective(objective: str | Objective) -> Objective:
    """The objective that a spec such as "selection" or "expected(keep=0.05)" describes.  Raises: ValueError."""
    if isinstance(objective, Objective):
        return objective
    (call,) = parse(objective)
    return objectives.build(call)
