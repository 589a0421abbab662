"""How concentrated a map is."""

import torch
from torch import Tensor


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
