"""How concentrated a map is: descriptions, not merits. A map may be sparse because the domain is, or because it is wrong."""

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attribution import Attribution
from ..core.checks import check_number
from .base import Metric, Scores, register
from .judged import Judged


def gini(values: Tensor) -> Tensor:
    """Gini sparseness of |a|: 0 where all are equal, 1 - 1/d where one of d is not zero; 0 for an all-zero map.

    NaN for a map that holds NaN or infinity.

    G = 1 - 2 Σ_k |a|_(k) / ‖a‖₁ · (d - k + ½) / d, |a|_(1) ≤ … ≤ |a|_(d).

    It compares only maps of equally many coefficients, since one more zero raises it.

    values: (batch, *coeff). Shape: (batch,), without unit.  Source: Hurley & Rickard 2009; Chalasani et al. 2020.

    >>> gini(torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 2.0]]))
    tensor([0.0000, 0.7500])
    """
    ordered = _rising("gini", values)
    d = ordered.shape[1]
    rank = torch.arange(1, d + 1, device=values.device).to(ordered)
    total = ordered.sum(1)
    share = ordered / total.where(total != 0, 1)[:, None]
    return torch.where(total == 0, 0, 1 - 2 * (share * (d - rank + 0.5) / d).sum(1))


def cancellation(attribution: Attribution) -> Tensor:
    """Σ|a| / |f(x) - f(x₀)| of each example, at least 1 where the map is complete. Shape: (batch,).

    Near 1, hardly anything cancels, and a share of Σ|a| is a share of f(x) - f(x₀). Far above 1, large values of both signs
    cancel: then shares of Σ|a| tell where coefficients and gradients are large, and differ from domain to domain. Infinite or
    NaN where f(x) = f(x₀).

    >>> cancel = lambda x: 3 * x[:, 0, 0] - 2 * x[:, 0, 1]
    >>> cancellation(pb.attribute(cancel, torch.ones(1, 1, 2)))
    tensor([5.])
    """
    return attribution.values.flatten(1).abs().sum(1) / attribution.score_difference.abs()


def fraction_holding(values: Tensor, share: float = 0.9, *, of: int | None = None) -> Tensor:
    """The fewest coefficients whose |a| add up to `share` of Σ|a|, over `of`; 0 for an all-zero map.

    NaN for a map that holds NaN or infinity.

    of: the number to divide by. Take the number of signal samples to compare domains, since a frame has more
    coefficients than the signal has samples; the result may then exceed 1. None: the number of coefficients.

    values: (batch, *coeff). Shape: (batch,).  Raises: ValueError unless share lies in (0, 1] and of is at least 1.

    >>> fraction_holding(torch.tensor([[8.0, 1.0, 1.0, 0.0]]), 0.8)
    tensor([0.2500])
    >>> fraction_holding(torch.tensor([[8.0, 1.0, 1.0, 0.0]]), 0.8, of=2)
    tensor([0.5000])
    """
    if not 0 < share <= 1:
        raise ValueError(f"fraction_holding: share must lie in (0, 1], got {share}.")
    if of is not None and of < 1:
        raise ValueError(f"fraction_holding: `of` must be at least 1, got {of}.")
    ordered = _rising("fraction_holding", values).flip(1)
    reached = ordered.cumsum(1)
    total = reached[:, -1:]
    # Rounding: the running sum may miss its own last value by one unit in the last place.
    slack = torch.finfo(values.dtype).eps * ordered.shape[1] ** 0.5
    needed = (reached < share * total * (1 - slack)).sum(1) + 1
    held = needed.to(values.dtype) / (of or ordered.shape[1])
    return torch.where(total[:, 0] == 0, 0, held.where(total[:, 0].isfinite(), torch.nan))


def effective_number(values: Tensor, *, of: int | None = None) -> Tensor:
    """exp(H) / of, H = -Σ p ln p, p = |a| / Σ|a|: as many equal coefficients have the same entropy. NaN for an all-zero map.

    NaN for a map that holds NaN or infinity.  values: (batch, *coeff).  of: as in `fraction_holding`. Shape: (batch,).
    Source: Bhatt, Weller & Moura 2020 (complexity) for H; Hill 1973 for exp(H).

    >>> effective_number(torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]]))
    tensor([0.5000, 0.2500])
    """
    p = _shares("effective_number", values)
    return torch.exp(-torch.xlogy(p, p).sum(1)) / (of or p.shape[1])


def participation(values: Tensor, *, of: int | None = None) -> Tensor:
    """(Σ|a|)² / (of · Σ a²): the same with less weight on small coefficients. NaN for an all-zero map.

    NaN for a map that holds NaN or infinity.  values: (batch, *coeff).  of: as in `fraction_holding`. Shape: (batch,).
    Source: Hill 1973, the number of order 2; in physics the participation ratio.

    >>> participation(torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]]))
    tensor([0.5000, 0.2500])
    """
    p = _shares("participation", values)
    return 1 / (p.square().sum(1) * (of or p.shape[1]))


def _shares(who: str, values: Tensor) -> Tensor:
    """|a| / Σ|a|, (batch, coefficients), NaN for an all-zero map."""
    ordered = _rising(who, values)
    return ordered / ordered.sum(1, keepdim=True)


def _rising(who: str, values: Tensor) -> Tensor:
    """|a| of every map in rising order, (batch, coefficients), NaN for a map with NaN or infinity in it.

    Divided by the largest where the sum would overflow.  Raises: TypeError where `values` is not a tensor.
    """
    if not isinstance(values, Tensor):
        raise TypeError(f"{who}: expected a tensor (batch, *coeff), such as att.values; got {type(values).__name__}.")
    ordered = values.flatten(1).abs().sort(1).values
    if not ordered.shape[1]:
        return ordered
    total, largest = ordered.sum(1, keepdim=True), ordered[:, -1:]
    return torch.where(total.isfinite(), ordered, torch.where(largest.isfinite(), ordered / largest, torch.nan))


class _Concentration(Metric):
    """A description of the values alone, without evaluations; NaN for an all-zero map."""

    better = "neither"

    def cost(self, attribution: Attribution) -> int:
        return 0

    def measure(self, judged: Judged) -> Scores:
        values = judged.attribution.values
        return Scores(self.of(values, math.prod(judged.attribution.transform.shape)).where(values.flatten(1).any(1), torch.nan))

    @abstractmethod
    def of(self, values: Tensor, samples: int) -> Tensor:
        """values: (batch, *coeff).  samples: of one signal, which is the same in every domain. Shape: (batch,)."""


@register("effective_number")
@dataclass(frozen=True)
class EffectiveNumber(_Concentration):
    """exp(H) / N, H the entropy of |a| / Σ|a|, N the samples of the signal; NaN for an all-zero map. See `effective_number`."""

    formula = "exp(-Σ p ln p) / N, p = |a| / Σ|a|"
    source = "Bhatt, Weller & Moura 2020 (complexity); Hill 1973"

    def of(self, values: Tensor, samples: int) -> Tensor:
        return effective_number(values, of=samples)


@register("participation")
@dataclass(frozen=True)
class Participation(_Concentration):
    """(Σ|a|)² / (N Σ a²), N the samples of the signal; NaN for an all-zero map. See `participation`."""

    formula = "(Σ|a|)² / (N Σ a²)"
    source = "Hill 1973, order 2"

    def of(self, values: Tensor, samples: int) -> Tensor:
        return participation(values, of=samples)


@register("gini")
@dataclass(frozen=True)
class Gini(_Concentration):
    """The Gini sparseness of |a|; NaN for an all-zero map. It compares only maps of equally many coefficients; see `gini`."""

    formula = "1 - 2 Σ_k |a|_(k) / ‖a‖₁ · (d - k + ½) / d"
    source = "Hurley & Rickard 2009; Chalasani et al. 2020"

    def of(self, values: Tensor, samples: int) -> Tensor:
        return gini(values)


@register("fraction_holding")
@dataclass(frozen=True)
class FractionHolding(_Concentration):
    """The fewest coefficients that hold `share` of Σ|a|, over the samples of the signal; NaN for an all-zero map.

    share: in (0, 1].  See `fraction_holding`.  Raises: ValueError for another share.
    """

    share: float = 0.9
    formula = "the fewest coefficients with Σ|a| ≥ share of the total, over N"
    source = "this project"

    def __post_init__(self) -> None:
        if not check_number(self.name, "share", self.share, 0, 1):
            raise ValueError(f"{self.name}: share must lie in (0, 1], got {self.share}.")

    def of(self, values: Tensor, samples: int) -> Tensor:
        return fraction_holding(values, self.share, of=samples)
