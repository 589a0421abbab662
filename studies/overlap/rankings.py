"""The orders by which coefficients of a mixture are kept: methods, and what is made of their maps."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...attribution import Attribution

CELLS_PER_SECOND, MEL = 15.0, 140.0  # cells of the gate: 1/15 s × 140 mel, about a twentieth of 8 kHz
CONTROLS = ("coefficient", "random", "oracle")


def order(spec: str, attribution: Attribution, rate: float) -> Tensor:
    """The number by which a ranking orders coefficients, the largest first, (batch, *coeff).

    "METHOD": |a|.  "z * METHOD": |a ⊙ z|.  "+ * METHOD": the shares, so that what speaks against the class comes last.
    "mel * METHOD": see `gate`.  rate: samples per second, in Hz.
    """
    if spec.startswith("+ * "):
        return shares(attribution)
    if spec.startswith("z * "):
        return (attribution.values * attribution.displacement).abs()
    return gate(attribution, rate) if spec.startswith("mel * ") else attribution.values.abs()


def shares(attribution: Attribution) -> Tensor:
    """a, or a ⊙ (z - z₀) where a is a sensitivity, (batch, *coeff)."""
    return attribution.values if attribution.kind == "share" else attribution.values * attribution.displacement


def gate(attribution: Attribution, rate: float) -> Tensor:
    """|z| where the shares in its cell of time × mel band sum to more than 0; the other coefficients follow, by |z|.

    The baseline that works on a mel spectrogram, as a mask for any domain whose coefficients have a frequency: one answer for
    each cell of 1/15 s and 140 mel. Coefficients without a place, as those of the DCT, share the cells of all times. For a
    sensitivity the share is a ⊙ z.  Shape: (batch, *coeff).
    """
    flat = shares(attribution).flatten(1)
    cell = cells(attribution, rate).to(flat.device)
    sums = flat.new_zeros(len(flat), int(cell.max()) + 1).index_add_(1, cell, flat)
    size = attribution.displacement.abs()
    largest = size.flatten(1).amax(1).reshape(-1, *[1] * (size.ndim - 1))
    return torch.where(sums[:, cell].reshape(size.shape) > 0, size, size - 2 * largest)


def cells(attribution: Attribution, rate: float) -> Tensor:
    """The number of each coefficient's cell, (coefficients,).  mel(f) = 1127 ln(1 + f / 700)."""
    layout = attribution.layout
    mel = 1127 * torch.log1p(layout.frequency[0].nan_to_num(0) * rate / 700)
    time = (layout.position[0].nan_to_num(0) / rate * CELLS_PER_SECOND).floor()
    many = math.ceil(attribution.transform.shape[-1] / rate * CELLS_PER_SECOND) + 1
    return ((mel / MEL).floor() * many + time).long().flatten()


def distinct(specs: Sequence[str]) -> list[str]:
    """Each spec once."""
    return list(dict.fromkeys(specs))
