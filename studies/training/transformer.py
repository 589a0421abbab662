"""A small vision transformer for pictures of 28 × 28."""

import itertools

import torch
from torch import Tensor, nn

from .fit import fitted, shuffled

PATCH, PLACES, WIDTH, HEADS, DEPTH = 4, 49, 64, 4, 3  # pixels, patches, features of a patch, heads, blocks


class Block(nn.Module):
    """x + attention(x), then x + mlp(x), each of normalised features: (batch, places, width) to the same."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.mixed(self.before(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.after(x))


class Transformer(nn.Module):
    """Patches of 4 × 4 pixels with learned places, three blocks, and the mean over places (Dosovitskiy et al. 2021)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.places = nn.Parameter(0.02 * torch.randn(PLACES, WIDTH))
        self.blocks = nn.Sequential(*[Block() for _ in range(DEPTH)])
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, classes))

    def forward(self, x: Tensor) -> Tensor:
        rows = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.blocks(rows).mean(1))


def network(classes: int = 10) -> nn.Module:
    """The network with first weights: (batch, 1, 28, 28) to (batch, classes)."""
    return Transformer(classes)


def trained(x: Tensor, label: Tensor, seed: int = 0, epochs: int = 12) -> nn.Module:
    """The network after `epochs` rounds through images x (count, 1, 28, 28) with classes `label` (count,).

    The last third of the rounds takes larger batches, so that the weights settle.
    """
    late = epochs // 3
    batches = shuffled(x, label, 100, epochs - late, seed), shuffled(x, label, 500, late, seed + 1)
    return fitted(network, itertools.chain(*batches), seed)
