"""What `quadrature` looks at: EfficientNet-Lite0 on photos, and small nets trained to tell which way up a crop stands."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pullback.studies import load_model, load_photos


def photos(size: int) -> Tensor:
    """foolbox's ImageNet photos as EfficientNet-Lite takes them. Shape: (20, 3, size, size)."""
    images = [image.resize((size, size), Image.Resampling.BICUBIC) for _, image in load_photos("imagenet-sample")]
    return torch.stack([(torch.tensor(np.asarray(im), dtype=torch.float32) - 127) / 128 for im in images]).permute(
        0, 3, 1, 2
    )


def efficientnet() -> nn.Module:
    return load_model("efficientnet-lite0").module.to(memory_format=torch.channels_last).requires_grad_(False)


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
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        activation(),
        nn.Conv2d(16, 32, 3, 2, 1),
        activation(),
        nn.Conv2d(32, 32, 3, 2, 1),
        activation(),
        nn.Flatten(),
        nn.Linear(32 * 64, 64),
        activation(),
        nn.Linear(64, 4),
    )


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
    model, (x, y), (held, answer) = build(), crops(6000, 0), crops(500, 1)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(5):
        for start in range(0, len(x), 100):
            loss = nn.functional.cross_entropy(model(x[start : start + 100]), y[start : start + 100])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    right = (model.eval()(held).argmax(1) == answer).float().mean()
    return model.double().requires_grad_(False), float(right)


def subject(name: str) -> tuple[nn.Module, Tensor, float | None]:
    """The net, its 20 images, and its share of right answers where it was trained here."""
    if name == "photos":
        return efficientnet(), photos(224), None
    nets = {
        "relu": lambda: convolutional(nn.ReLU),
        "smooth": lambda: convolutional(nn.SiLU),
        "transformer": Transformer,
    }
    model, right = trained(nets[name])
    return model, crops(20, 2)[0].double(), right
