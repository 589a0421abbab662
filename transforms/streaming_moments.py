"""Mean and principal axes of streamed signals: no signal is kept."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean (n,) and Σ (x - mean)(x - mean)ᵀ (n, n) of flattened signals: exact, for n that allow a dense matrix.

    Batches are merged by their means, which loses no digits to cancellation. Source: Chan, Golub & LeVeque 1983, eq. (1.5).
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def none(cls, like: Tensor) -> "Moments":
        """Of no signal yet; like: (n,)."""
        return cls(0, torch.zeros_like(like), like.new_zeros(len(like), len(like)))

    def merge(self, batch: Tensor) -> "Moments":
        """With a batch (b, n) more."""
        total, mean, centred, step = _merge_means(self.count, self.mean, batch)
        return Moments(total, mean, self.scatter + centred.T @ centred + torch.outer(step, step))

    def principal(self) -> tuple[Tensor, Tensor]:
        """(variances, axes) by falling variance, (n,) and (n, n), axes as columns."""
        variances, axes = torch.linalg.eigh(self.scatter / (self.count - 1))
        return variances.flip(0).clamp(min=0), axes.flip(1)


@dataclass(frozen=True, eq=False)
class Sketch:
    """The same without a dense matrix: the `rank` largest singular values and axes of all signals so far, (r,) and (r, n).

    A batch is stacked below the axes, scaled by their singular values, and the stack is decomposed anew. Exact as long
    as the data have no more than `rank` dimensions; beyond, what is cut off at each step is lost.
    Sources: Levy & Lindenbaum 2000; Ross, Lim, Lin & Yang 2008 (the moving mean).
    """

    count: int
    mean: Tensor
    values: Tensor
    axes: Tensor
    rank: int

    @classmethod
    def none(cls, like: Tensor, rank: int) -> "Sketch":
        """Of no signal yet; like: (n,)."""
        return cls(0, torch.zeros_like(like), like.new_zeros(0), like.new_zeros(0, len(like)), rank)

    def merge(self, batch: Tensor) -> "Sketch":
        """With a batch (b, n) more."""
        merged = self
        for part in batch.split(self.rank):
            total, mean, centred, step = _merge_means(merged.count, merged.mean, part)
            rows = torch.cat([merged.values[:, None] * merged.axes, centred, step[None]])
            _, values, axes = torch.linalg.svd(rows, full_matrices=False)
            merged = Sketch(total, mean, values[: self.rank], axes[: self.rank], self.rank)
        return merged

    def principal(self) -> tuple[Tensor, Tensor]:
        """(variances, axes) by falling variance, (r,) and (n, r), of the directions in which the data vary at all."""
        told = self.values > self.values.max() * torch.finfo(self.values.dtype).eps * math.sqrt(len(self.mean))
        return self.values[told] ** 2 / (self.count - 1), self.axes[told].T


def _merge_means(count: int, mean: Tensor, batch: Tensor) -> tuple[int, Tensor, Tensor, Tensor]:
    """(count, mean, batch about its own mean, √weight · difference of the means), whose scatters add up."""
    own, total = batch.mean(0), count + len(batch)
    step = own - mean
    return total, mean + step * (len(batch) / total), batch - own, step * math.sqrt(count * len(batch) / total)
