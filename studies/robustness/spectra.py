"""Importance by scale, in every definition that is in use."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...attribution import Attribution
from .octaves import share_by_octave


@dataclass(frozen=True)
class Definition:
    """One definition of the importance of a scale.

    formula: as a figure names it.  about: what it is.  model: False for a control that never sees the model.
    """

    formula: str
    about: str
    model: bool = True


DEFINITIONS = {
    "mean": Definition("mean |∂f/∂z|", "the mean of |∂f/∂z| over the coefficients of a scale"),
    "sum": Definition("Σ |∂f/∂z|", "the sum of |∂f/∂z| over the coefficients of a scale"),
    "product": Definition("Σ |z · ∂f/∂z|", "the sum of |z · ∂f/∂z| over the coefficients of a scale"),
    "fourier": Definition("Σ |FFT(∇f)|²", "the power of the gradient by octave of radial frequency, without the mean"),
    "coefficients": Definition("Σ |z|", "control: the sum of |z|, which never sees the model", False),
}


def spectra(att: Attribution, gradient: Tensor) -> tuple[list[str], dict[str, Tensor]]:
    """The octaves of the domain, coarse to fine, and the importance of each in every one of `DEFINITIONS`: (batch, octaves).

    att: ∂f/∂z of a method of the kind "sensitivity", and z.  gradient: ∇f in the signal, (batch, channels, *spatial).
    The values are not normalised.

    >>> import pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([3.0, 1.0])  # z has (x₁ + x₂) / √2 and (x₁ - x₂) / √2
    >>> x = torch.tensor([[[2.0, 0.0]]])
    >>> att, own = pb.attribute(f, x, method="gradient", transform=["dwt(haar, level=1)", "pixel"])
    >>> names, found = spectra(att, own.values)
    >>> names, found["mean"].round(decimals=4).tolist(), found["product"].round(decimals=4).tolist()
    (['coarser', 'octave 1'], [[2.8284, 1.4142]], [[4.0, 2.0]])
    """
    layout = att.layout.group("octave")
    by_octave: Callable[[Tensor], Tensor] = lambda values: layout.sum(values.abs().double())
    sums = by_octave(att.values)
    found = {
        "mean": sums / layout.sizes.to(sums).clamp(min=1),
        "sum": sums,
        "product": by_octave(att.values * att.coefficients),
        "fourier": share_by_octave(gradient, len(layout.bands) - 1),
        "coefficients": by_octave(att.coefficients),
    }
    return [band.name for band in layout.bands], found


def normalised(values: Tensor) -> Tensor:
    """The values of each example over their sum; zeros where all are 0. Shape: (batch, octaves).

    >>> normalised(torch.tensor([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [0.0, 0.0]]
    """
    total = values.sum(-1, keepdim=True)
    return torch.where(total > 0, values / total.where(total > 0, 1), 0)
