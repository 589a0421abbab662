"""Volumes of balls, and models that read nothing but their surface, or nothing but their centre."""

from pathlib import Path

import numpy as np

SIDE, RADIUS = 16, 6.0
MODELS = f"""
import torch
from torch import nn


def reads(inner, outer):
    grid = torch.stack(torch.meshgrid(*[torch.arange({SIDE}) - {(SIDE - 1) / 2}] * 3, indexing="ij")).norm(dim=0)
    weight = ((grid >= inner) & (grid < outer)).to(torch.get_default_dtype())
    signs = torch.randint(2, weight.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model = nn.Sequential(nn.Flatten(), nn.Linear({SIDE**3}, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([weight * signs, -weight * signs]).flatten(1))
        model[1].bias.copy_(torch.tensor([9.0, 0.0]))
    return model.eval()


def shell():
    return reads({RADIUS - 1}, {RADIUS + 1})


def centre():
    return reads(0.0, 3.0)


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = shell()

    def forward(self, x, gain):
        return dict(other=x.flatten(1), scores=gain * self.inner(x))


def named():
    return Named().eval()


def picture():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
"""


def balls(count: int, folder: Path) -> tuple[str, str]:
    """A file of models and one of MedMNIST with noisy balls. Returns "FILE.py" and "medmnist:FILE.npz"."""
    away = np.sqrt(sum(g**2 for g in np.meshgrid(*[np.arange(SIDE) - (SIDE - 1) / 2] * 3, indexing="ij")))
    generator = np.random.default_rng(0)
    volumes = 150 * (away < RADIUS) + generator.uniform(0, 60, (count, SIDE, SIDE, SIDE))
    np.savez(folder / "balls.npz", test_images=volumes.astype(np.uint8), test_labels=np.zeros((count, 1), np.uint8))
    (folder / "toys.py").write_text(MODELS)
    return str(folder / "toys.py"), f"medmnist:{folder / 'balls.npz'}"
