"""Mean and principal axes of streamed signals: no signal is kept."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean (n,) and Σ (x - mean)(x - mean)ᵀ (n, n) of flattened signals; exact, for n small enough for that matrix.

    Batches are merged by their means, which loses no digits to cancellation. Source: Chan, Golub & LeVeque 1983, eq. (1.5).
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def none(cls, like: Tensor) -> "Moments":
        """The moments of no signal; like: (n,)."""
        return cls(0, torch.zeros_like(like), like.new_zeros(len(like), len(like)))

    def merge(self, batch: Tensor) -> "Moments":
        """The moments with a batch (b, n) added."""
        total, mean, centred, step = _merge_means(self.count, self.mean, batch)
        return Moments(total, mean, self.scatter + centred.T @ centred + torch.outer(step, step))

    def principal(self) -> tuple[Tensor, Tensor]:
        """(variances, axes) by falling variance, (n,) and (n, n), axes as columns."""
        variances, axes = torch.linalg.eigh(self.scatter / (self.count - 1))
        return variances.flip(0).clamp(min=0), axes.flip(1)


@dataclass(frozen=True, eq=False)
class Sketch:
    """Moments without a dense matrix: the `rank` largest singular values and axes of all signals so far, (r,) and (r, n).

    A batch is stacked below the axes, which are scaled by their singular values, and the stack is decomposed again. This
    is exact if the data have no more than `rank` dimensions; else the parts cut off at each step are lost.
    Sources: Levy & Lindenbaum 2000; Ross, Lim, Lin & Yang 2008 (the moving mean).
    """

    count: int
    mean: Tensor
    values: Tensor
    axes: Tensor
    rank: int

    @classmethod
    def none(cls, like: Tensor, rank: int) -> "Sketch":
        """The sketch of no signal; like: (n,)."""
        return cls(0, torch.zeros_like(like), like.new_zeros(0), like.new_zeros(0, len(like)), rank)

    def merge(self, batch: Tensor) -> "Sketch":
        """The sketch with a batch (b, n) added."""
        merged = self
        for part in batch.split(self.rank):
            total, mean, centred, step = _merge_means(merged.count, merged.mean, part)
            rows = torch.cat([merged.values[:, None] * merged.axes, centred, step[None]])
            _, values, axes = torch.linalg.svd(rows, full_matrices=False)
            merged = Sketch(total, mean, values[: self.rank], axes[: self.rank], self.rank)
        return merged

    def principal(self) -> tuple[Tensor, Tensor]:
        """(variances, axes) by falling variance, (r,) and (n, r), of the directions in which the data vary."""
        varies = self.values > self.values.max() * torch.finfo(self.values.dtype).eps * math.sqrt(len(self.mean))
        return self.values[varies] ** 2 / (self.count - 1), self.axes[varies].T


def _merge_means(count: int, mean: Tensor, batch: Tensor) -> tuple[int, Tensor, Tensor, Tensor]:
    """(count, mean, batch about its own mean, √weight · difference of the means), whose scatters add up."""
    own, total = batch.mean(0), count + len(batch)
    step = own - mean
    return total, mean + step * (len(batch) / total), batch - own, step * math.sqrt(count * len(batch) / total)
