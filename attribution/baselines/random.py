"""Baselines that are drawn: uniform, normal, or from reference signals."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.checks import check_choice, check_number
from ...core.tensors import check_range, ordinary
from ..engine.random import Keyed
from ..engine.row_index import RowIndex
from .base import Baseline, register
from .fixed import Mean


@register("uniform")
@dataclass(frozen=True)
class Uniform(Baseline):
    """x₀ ~ U(low, high), independent samples; None takes the example's smallest and largest value.

    Source: Sturmfels, Lundberg & Lee 2020.
    Raises: ValueError unless low < high, both finite.

    >>> pb.attribute(torch.nn.Flatten(), torch.zeros(1, 1, 2), 0, baseline=Uniform(2, 3)).displacement.abs().floor()
    tensor([[[2., 2.]]])
    """

    low: float | None = None
    high: float | None = None
    random = True
    examples = classmethod(lambda cls: [cls(), cls(low=-1.0, high=1.0)])

    def __post_init__(self) -> None:
        for what, value in (("low", self.low), ("high", self.high)):
            if value is not None:
                check_number("uniform", what, value)
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"uniform: low must lie below high, got low={self.low}, high={self.high}.")

    def draw(self, keyed: Keyed, rows: RowIndex) -> Tensor:
        x = keyed.signal[rows.example]
        unit = keyed.draw(rows, tuple(x.shape[1:]), Tensor.uniform_, "baseline")
        low = _broadcast(x.flatten(1).amin(1) if self.low is None else x.new_full((len(x),), self.low), x)
        high = _broadcast(x.flatten(1).amax(1) if self.high is None else x.new_full((len(x),), self.high), x)
        return low + (high - low) * unit


@register("gaussian")
@dataclass(frozen=True)
class Gaussian(Baseline):
    """x₀ ~ N(μ, σ² I), σ = spread · (max x - min x) per example.

    around: μ = "input" (x itself), "mean" (the mean of each channel) or "zero".
    Source: Smilkov et al. 2017; Sturmfels, Lundberg & Lee 2020 (around the input).
    Raises: ValueError where spread is below 0, or `around` is another word.

    >>> Gaussian(0.1, "mean").describe()
    'gaussian(spread=0.1, around=mean)'
    """

    spread: float = 0.5
    around: str = "input"
    random = True
    examples = classmethod(lambda cls: [cls(), cls(0.1, "mean"), cls(0.1, "zero")])

    def __post_init__(self) -> None:
        check_number("gaussian", "spread", self.spread, 0)
        check_choice("gaussian", "around", self.around, ("input", "mean", "zero"))

    def draw(self, keyed: Keyed, rows: RowIndex) -> Tensor:
        x = keyed.signal[rows.example]
        noise = keyed.draw(rows, tuple(x.shape[1:]), Tensor.normal_, "baseline")
        std = self.spread * (x.flatten(1).amax(1) - x.flatten(1).amin(1))
        centre = {"input": x, "mean": Mean().draw(keyed, rows), "zero": torch.zeros_like(x)}[self.around]
        return centre + _broadcast(std, x) * noise


@dataclass(frozen=True, eq=False)
class Among(Baseline):
    """x₀ drawn from reference signals; see `among`.  Raises: ValueError where they do not have the shape of x."""

    references: Tensor
    name = "among"
    random = True

    def draw(self, keyed: Keyed, rows: RowIndex) -> Tensor:
        """References without repetition until all were used, in an order that belongs to the example."""
        references, x = self.references.to(keyed.signal), keyed.signal
        if references.shape[1:] != x.shape[1:]:
            held, shape = tuple(references.shape[1:]), tuple(x.shape[1:])
            raise ValueError(f"baseline: among() holds references of shape {held}, but the examples have shape {shape}.")
        orders = {e: keyed.generator(e, "among").permutation(len(references)) for e in set(rows.examples)}
        pick = [orders[e][s % len(references)] for e, s in zip(rows.examples, rows.samples)]
        return references[torch.tensor(pick, device=references.device)]

    def describe(self) -> str:
        return f"among({len(self.references)} references)"


def among(references: Tensor) -> Baseline:
    """A baseline that is drawn from the rows of `references` (n, *shape), such as other examples of the data.

    Raises: TypeError or ValueError unless `references` is a finite real tensor of at least one row.

    >>> import torch
    >>> among(torch.zeros(20, 1, 8)).describe()
    'among(20 references)'
    """
    references = ordinary("among", references)
    if references.ndim < 2 or not len(references) or not references.is_floating_point():
        got = f"{references.dtype} of shape {tuple(references.shape)}"
        raise ValueError(f"among: expected a real floating-point tensor (n, *shape) with at least one reference, got {got}.")
    return Among(check_range("among", references.detach()))


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))
