"""What `quadrature` looks at: EfficientNet-Lite0 on photos, and small nets trained to tell which way up a crop stands."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.subjects.models import fitted
from pullback.studies import load_model, load_photos


def photos(size: int) -> Tensor:
    """foolbox's ImageNet photos as EfficientNet-Lite takes them. Shape: (20, 3, size, size)."""
    images = [image.resize((size, size), Image.Resampling.BICUBIC) for _, image in load_photos("imagenet-sample")]
    arrays = [torch.tensor(np.asarray(image), dtype=torch.float32) for image in images]
    return ((torch.stack(arrays) - 127) / 128).permute(0, 3, 1, 2)


class Transformer(nn.Module):
    """Patches, one attention block, mean, linear."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.place = nn.Parameter(0.02 * torch.randn(64, width))
        self.before, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 4, batch_first=True)
        self.middle = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        t = self.patches(x).flatten(2).transpose(1, 2) + self.place
        n = self.before(t)
        t = t + self.attention(n, n, n, need_weights=False)[0]
        return self.head((t + self.mix(self.middle(t))).mean(1))


def convolutional(activation: Callable[[], nn.Module]) -> nn.Module:
    """Three convolutions and two linear layers."""
    convolutions = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 32, 3, 2, 1), nn.Conv2d(32, 32, 3, 2, 1)
    layers = [part for layer in convolutions for part in (layer, activation())]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 64, 64), activation(), nn.Linear(64, 4))


def crops(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Crops of the photos turned by quarter turns, and how often."""
    generator = torch.Generator().manual_seed(seed)
    pictures = photos(80)
    which = torch.arange(count) % 20
    corner, turns = torch.randint(48, (count, 2), generator=generator), torch.randint(4, (count,), generator=generator)
    cut = [
        torch.rot90(pictures[i, :, a : a + 32, b : b + 32], int(k), (1, 2))
        for i, (a, b), k in zip(which.tolist(), corner.tolist(), turns.tolist())
    ]
    return torch.stack(cut), turns


def trained(build: Callable[[], nn.Module]) -> tuple[nn.Module, float]:
    """A net trained on crops, in double precision, and its share of right answers on others."""
    torch.manual_seed(0)
    model, (held, answer) = build(), crops(500, 1)
    right = (fitted(model, *crops(6000, 0), 2e-3, 5)(held).argmax(1) == answer).float().mean()
    return model.double().requires_grad_(False), float(right)


NETS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: convolutional(nn.ReLU),
    "smooth": lambda: convolutional(nn.SiLU),
    "transformer": Transformer,
}


def subject(name: str) -> tuple[nn.Module, Tensor, float | None]:
    """The net, its 20 images, and its share of right answers where it was trained here."""
    if name == "photos":
        net = load_model("efficientnet-lite0").module.to(memory_format=torch.channels_last)
        return net.requires_grad_(False), photos(224), None
    model, right = trained(NETS[name])
    return model, crops(20, 2)[0].double(), right
