"""The shares of octaves in units of the signal, and how far positive and negative coefficients cancel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..core.checks import is_number, quoted
from ..transforms.units import band_ranges, steps_of

if TYPE_CHECKING:
    import pandas as pd


def octave_table(attribution: Any, rate: float | Sequence[float], example: int) -> "pd.DataFrame":
    """A row for each octave of one example, coarse to fine; see `Attribution.octaves`.

    Raises: ValueError where `rate` is not one positive number, or one for each spatial axis.
    """
    import pandas as pd  # imported here, as it takes long

    one, axes = attribution[example], len(attribution.transform.shape) - 1
    rates = _rates(rate, axes)
    bands = one.layout.group("octave").bands
    step = steps_of(one.layout, tuple(1 / each for each in rates))
    found = pd.DataFrame(index=pd.Index([band.name for band in bands], name="octave"))
    for axis in range(len(step) if step and len(set(step)) > 1 else 1):
        mark = f" {axis + 1}" if step and len(set(step)) > 1 else ""
        ranges = [band_ranges(band, step)[axis] if step else (float("nan"),) * 2 for band in bands]
        found[f"low{mark}"], found[f"high{mark}"] = zip(*ranges)
    return found.assign(share=one.importance("octave").iloc[0], total=one.importance("octave", None).iloc[0])


def _rates(rate: Any, axes: int) -> tuple[float, ...]:
    given = tuple(rate) if isinstance(rate, list | tuple) else (rate,) * axes
    if len(given) != axes or not all(is_number(one) and 0 < one < float("inf") for one in given):
        wanted = "samples per second, or per mm or another unit" + f", one positive number or {axes}, one for each axis"
        raise ValueError(f"octaves: expected rate as {wanted}; got {quoted(rate)}.")
    return tuple(map(float, given))


def cancellation(attribution: Any) -> Tensor:
    """Σ|a| / |f(x) - f(x₀)| of each example, at least 1 where the map is complete. Shape: (batch,).

    Near 1, hardly anything cancels, and a share of Σ|a| is a share of f(x) - f(x₀). Far above 1, large values of both signs
    cancel: then shares of Σ|a| tell where coefficients and gradients are large, and differ from domain to domain. Infinite or
    NaN where f(x) = f(x₀).

    >>> import pullback as pb
    >>> cancel = lambda x: 3 * x[:, 0, 0] - 2 * x[:, 0, 1]
    >>> cancellation(pb.attribute(cancel, torch.ones(1, 1, 2)))
    tensor([5.])
    """
    return attribution.values.flatten(1).abs().sum(1) / attribution.score_difference.abs()
