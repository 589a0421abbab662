"""Random numbers keyed by (seed, content of the example, sample): the same in any batch, order or split."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def keys(signal: Tensor) -> list[bytes]:
    """A digest of each example of `signal` (batch, *shape); the same for one example alone and in any batch."""
    arrays = signal.detach().double().cpu().numpy()
    return [hashlib.blake2b(one.tobytes(), digest_size=16).digest() for one in arrays]


def normal(out: Tensor, seed: int, row_keys: Sequence[bytes], samples: Sequence[int]) -> Tensor:
    """Fills row i of `out` (rows, …) with standard normal numbers keyed by (seed, row_keys[i], samples[i])."""
    generator = torch.Generator(out.device)
    for row, key, sample in zip(out, row_keys, samples):
        generator.manual_seed(derive(seed, key, sample))
        row.normal_(generator=generator)
    return out


def derive(seed: int, key: bytes, sample: int) -> int:
    """A 63-bit seed for one sample of one example."""
    digest = hashlib.blake2b(key + f"{seed}/{sample}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
