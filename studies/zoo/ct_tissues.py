"""Which tissues a computed tomography holds: a formula, so that the right explanation is known."""

import torch
from torch import Tensor, nn

from .card import Card

AIR, BONE, WIDTH = -500.0, 226.0, 25.0  # Hounsfield units: the most of air, the least of bone, and how soft the borders are
_NONE = 1e-6  # the share of a tissue of which there is nothing


class TissueShares(nn.Module):
    """The logarithms of the shares of voxels that are air, soft tissue and bone; softmax of them gives the shares.

    air = mean σ((-500 - x) / 25), bone = mean σ((x - 226) / 25), soft tissue = 1 - air - bone, with x in Hounsfield units.
    Shapes: (batch, 1, *spatial) to (batch, 3). Gradients stand at the borders of a tissue, and are next to zero inside it.

    >>> TissueShares()(torch.tensor([[[-1000.0, 40.0, 40.0, 1000.0]]])).softmax(1).round(decimals=2)
    tensor([[0.2500, 0.5000, 0.2500]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """The logarithms of the shares in each volume."""
        voxels = x.flatten(1)
        air, bone = torch.sigmoid((AIR - voxels) / WIDTH).mean(1), torch.sigmoid((voxels - BONE) / WIDTH).mean(1)
        return (torch.stack([air, 1 - air - bone, bone], 1) + _NONE).log()


def ct_tissues() -> tuple[nn.Module, Card]:
    """A model without weights, for volumes of any size."""
    source = "studies/zoo/ct_tissues.py, a formula"
    return TissueShares().eval(), Card("ct-tissues", "volume", ("air", "soft tissue", "bone"), source, "MIT", "")
