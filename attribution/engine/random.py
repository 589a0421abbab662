"""Random numbers keyed by (seed, content of the example, sample): the same in any batch, order or split."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.precision import wide
from .row_index import RowIndex

_DRAWN = wide(torch.bool)  # single precision
_GOLDEN = -7046029254386353131  # 2⁶⁴ over the golden ratio, the step of splitmix64; odd, so that no two places meet


def keys(signal: Tensor) -> list[bytes]:
    """A digest of each example of `signal` (batch, *shape); the same for one example alone, in any batch, on any device.

    It is a sum, modulo 2⁶⁴, of the entries' bits times odd numbers: whole numbers have the same sum in any order.
    """
    bits = signal.detach().double().flatten(1).view(torch.long)
    bits = bits ^ (bits >> 29)  # single precision leaves the lowest bits empty
    place = torch.arange(bits.shape[1], device=bits.device)
    return [row.tobytes() for row in (bits * (_mixed(place + 1) | 1)).sum(1).cpu().numpy()]


def _mixed(number: Tensor) -> Tensor:
    """Whole numbers with their bits well mixed (the finisher of splitmix64: Steele, Lea & Flood 2014)."""
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        number = (number ^ (number >> shift)) * factor
    return number ^ (number >> 31)


def fill(out: Tensor, draw: Callable[..., Any], seed: int, row_keys: Sequence[bytes], samples: Sequence[int | str]) -> Tensor:
    """Fills row i of `out` (rows, …) by `draw(row, generator=…)`, keyed by (seed, row_keys[i], samples[i])."""
    generator = torch.Generator(out.device)
    for row, key, sample in zip(out, row_keys, samples):
        generator.manual_seed(derive(seed, key, sample))
        draw(row, generator=generator)
    return out


def derive(seed: int, key: bytes, sample: int | str) -> int:
    """A 63-bit seed for one sample of one example."""
    digest = hashlib.blake2b(key + f"{seed}/{sample}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True, eq=False)
class Keyed:
    """Random numbers for the examples of a batch. A stream names what numbers are for; different streams are independent.

    signal: the examples, (batch, *shape).
    """

    signal: Tensor
    seed: int

    def draw(self, index: RowIndex, shape: tuple[int, ...], method: Callable[..., Any], stream: str = "") -> Tensor:
        """One tensor of `shape` for each row, filled as in `fill`. Shape: (rows, *shape).

        Drawn in single precision for any signal, so that a run in double precision sees the same numbers.
        """
        out = self.signal.new_empty((len(index), *shape), dtype=_DRAWN)
        names = [f"{s}/{stream}" if stream else s for s in index.samples]
        return fill(out, method, self.seed, [self.keys[e] for e in index.examples], names).to(self.signal)

    def priorities(self, index: RowIndex, size: int, stream: str) -> Tensor:
        """Whole numbers that put `size` places into a random order, no two of a row equal. Shape: (rows, size).

        The outputs of splitmix64, computed for all rows at once; the same on any device.
        """
        names = zip(index.examples, index.samples)
        seeds = torch.tensor([derive(self.seed, self.keys[e], f"{s}/{stream}") for e, s in names], device=self.signal.device)
        return _mixed(seeds[:, None] + torch.arange(1, size + 1, device=seeds.device) * _GOLDEN)

    def generator(self, example: int, stream: str) -> np.random.Generator:
        """A generator for what is drawn once for an example, such as a design or a set of orders."""
        return np.random.default_rng(derive(self.seed, self.keys[example], stream))

    def seed_of(self, example: int) -> int:
        """A seed for everything random about one example, for code that takes a seed."""
        return derive(self.seed, self.keys[example], 0)

    @functools.cached_property
    def keys(self) -> list[bytes]:
        """The digest of each example."""
        return keys(self.signal)
