"""What is kept of a gradient: a few signed sums of its entries, and the scale that keeps it in the range of the dtype."""

import torch
from torch import Tensor

SKETCH = 1024  # numbers kept of each gradient; about 2 % of relative error in distances


class Sketch:
    """`SKETCH` signed sums of the entries of ∇f ⊙ Δ, with the same signs for all; the entries themselves if they are fewer.

    The expected squared length is that of ∇f ⊙ Δ.
    """

    def __init__(self, like: Tensor) -> None:
        signs = torch.randint(0, 2, (like[0].numel(),), generator=torch.Generator().manual_seed(0)) * 2 - 1
        self._signs, self.size = signs.to(like), min(len(signs), SKETCH)

    def __call__(self, rows: Tensor) -> Tensor:
        """rows: (rows, size). Shape: (rows, sketch)."""
        if rows.shape[1] <= SKETCH:
            return rows
        signed = torch.nn.functional.pad(rows * self._signs, (0, -rows.shape[1] % SKETCH))
        return signed.reshape(len(rows), -1, SKETCH).sum(1)


def scales(step: Tensor) -> Tensor:
    """The next power of two above the largest entry of each example, (batch, size); 1 where all entries are 0."""
    largest = step.abs().amax(1)
    return torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent)
