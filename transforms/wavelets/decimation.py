"""Two filters with every second output kept, and their transpose, as products with one small matrix."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...core.constant import Constant
from ...core.isolation import lasting_tensors

Filters = tuple[Sequence[float], ...]  # of the approximation and of the detail

BLOCK = 8  # outputs of each filter per product: a matrix that is large enough to be fast, and has few zeros


class Decimation:
    """a_b[k] = Σ_m f_b[m] x[2k + m - left] along one axis, for two filters f_b of L taps, and its transpose.

    P neighbouring outputs of both filters read the same 2P + L - 2 samples. So the axis is cut into overlapping windows
    and each is multiplied by one (2P, 2P + L - 2) matrix. That is 1 + (L - 2) / 2P times the operations of the filters,
    but in one matrix product over all windows, which is the fastest way on a CPU and on a GPU.
    """

    def __init__(self, filters: Filters, left: int) -> None:
        self._taps, self._left = torch.tensor(filters, dtype=torch.double), left
        self._before = (self._taps.shape[1] - 1 - left) // 2  # outputs with k < 0 that reach sample 0
        self._matrices: dict[tuple[str, int], Constant] = {}

    def apply(self, x: Tensor, axis: int, count: int, mode: str) -> Tensor:
        """`count` outputs of the first filter, then as many of the second; x is continued beyond its ends by `mode`."""
        axis %= x.ndim
        out = self.blocks(x, axis, count, mode).movedim(axis + 1, axis).flatten(axis + 1, axis + 2)
        return (out if out.shape[axis + 1] == count else out.narrow(axis + 1, 0, count)).flatten(axis, axis + 1)

    def blocks(self, x: Tensor, axis: int, count: int, mode: str) -> Tensor:
        """At least `count` outputs of each filter, unordered. Shape: (…, blocks, 2, block, …) in place of axis."""
        block, blocks = _cut(count)
        matrix = self._matrix("outputs", block).like(x)
        reach = 2 * block * blocks + self._taps.shape[1] - 2 - self._left - x.shape[axis]
        windows = _windows(extend(x, axis, self._left, reach, mode), axis, matrix.shape[1], 2 * block)
        return apply_matrix(matrix, windows, axis + 1).unflatten(axis + 1, (2, block))

    def transpose(self, low: Tensor, high: Tensor, axis: int, size: int, mode: str) -> Tensor:
        """`size` samples from the outputs; mode is `zero`, or `periodic`, the transpose of `apply` in that mode."""
        return self.join(torch.stack([low, high], axis % low.ndim), axis % low.ndim, size, mode)

    def join(self, outputs: Tensor, axis: int, size: int, mode: str) -> Tensor:
        """`transpose` of outputs of both filters, (…, 2, n, …) with `axis` the first of the two."""
        block, blocks = _cut(-(-size // 2))
        matrix = self._matrix("samples", block).like(outputs)
        read, before = matrix.shape[1] // 2, self._before
        reach = block * (blocks - 1) + read - before - outputs.shape[axis + 1]
        outputs = extend(outputs, axis + 1, before, reach, mode)
        windows = _windows(outputs, axis + 1, read, block).movedim(axis, axis + 1)
        samples = apply_matrix(matrix, windows.flatten(axis + 1, axis + 2), axis + 1).flatten(axis, axis + 1)
        return samples if 2 * block * blocks == size else samples.narrow(axis, 0, size)

    def _matrix(self, of: str, block: int) -> Constant:
        """(2 block, samples) to make `outputs`, (2 block, 2 outputs) to make `samples`."""
        if (of, block) not in self._matrices:
            with lasting_tensors():
                self._matrices[of, block] = Constant(self._make(of, block))
        return self._matrices[of, block]

    def _make(self, of: str, block: int) -> Tensor:
        length = self._taps.shape[1]
        if of == "outputs":
            tap = torch.arange(2 * block + length - 2) - 2 * torch.arange(block)[:, None]
        else:
            k = torch.arange(-self._before, (2 * block - 1 + self._left) // 2 + 1)
            tap = torch.arange(2 * block)[:, None] + self._left - 2 * k
        inside = (tap >= 0) & (tap < length)
        matrix = torch.where(inside, self._taps[:, tap.clamp(0, length - 1)], 0)
        return matrix.flatten(0, 1) if of == "outputs" else matrix.movedim(0, 1).flatten(1)


def _cut(count: int) -> tuple[int, int]:
    """(length, number) of equal blocks that hold at least `count` outputs."""
    return min(count, BLOCK), -(-count // BLOCK)


def _windows(x: Tensor, axis: int, length: int, step: int) -> Tensor:
    """Overlapping windows of an axis that holds a whole number of them. Shape: (…, windows, length, …) in its place."""
    if not x.requires_grad:
        return x.unfold(axis, length, step).movedim(-1, axis + 1)
    # torch.func cannot batch the derivative of `unfold`. Slower: each window is put together from its pieces.
    count = (x.shape[axis] - length) // step + 1
    pieces = extend(x, axis, 0, -x.shape[axis] % step, "zero").unflatten(axis, (-1, step))
    starts = range(0, length, step)
    parts = [pieces.narrow(axis, at // step, count).narrow(axis + 1, 0, min(step, length - at)) for at in starts]
    return torch.cat(parts, axis + 1)


def apply_matrix(matrix: Tensor, x: Tensor, axis: int) -> Tensor:
    """The matrix (m, k) times the k entries along `axis`."""
    if axis == x.ndim - 1:
        return x.contiguous() @ matrix.T
    return (matrix @ x.flatten(axis + 1)).unflatten(-1, x.shape[axis + 1 :])


def extend(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """x continued beyond its ends along `axis`, by any number of samples; a negative `after` cuts it.

    zero | constant: the last sample again | periodic | symmetric: mirrored, the last sample twice | reflect: mirrored
    about the last sample.
    """
    n = x.shape[axis]
    if after < 0:
        return extend(x.narrow(axis, 0, n + after), axis, before, 0, mode)
    head = [_beyond(x, axis, -before, 0, mode)] if before > 0 else []
    tail = [_beyond(x, axis, n, n + after, mode)] if after else []
    return torch.cat([*head, x, *tail], axis) if head or tail else x


def _beyond(x: Tensor, axis: int, start: int, stop: int, mode: str) -> Tensor:
    """The samples at places start…stop - 1, outside 0…n - 1."""
    n, count = x.shape[axis], stop - start
    if mode == "zero":
        return x.new_zeros([count if i == axis % x.ndim else m for i, m in enumerate(x.shape)])
    if mode == "periodic" and count <= n:
        return x.narrow(axis, start % n, count)
    place = torch.arange(start, stop, device=x.device)
    if mode == "constant":
        return x.index_select(axis, place.clamp(0, n - 1))
    last = {"periodic": n, "symmetric": 2 * n - 1, "reflect": max(0, 2 * n - 2)}[mode]
    period = max(1, {"symmetric": 2 * n}.get(mode, last))
    place = place % period
    return x.index_select(axis, place if mode == "periodic" else torch.minimum(place, last - place))
