"""The networks that benchmarks run on: random, seeded weights (throughput needs no training), frozen, in eval mode."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullback.studies import load_model

QUICK = os.environ.get("PULLBACK_BENCH") == "quick"


@dataclass(frozen=True)
class Subject:
    """A network and what it looks at.  x: (images, *shape).  target: the class that is explained."""

    name: str
    module: nn.Module
    x: Tensor
    target: int = 0


@dataclass(frozen=True)
class Plan:
    """How a network is built for signals of a shape, that shape (at full size and quick), and how many signals."""

    build: Callable[[tuple[int, ...]], nn.Module]
    shape: tuple[int, ...]
    quick: tuple[int, ...]
    on_cpu: int
    elsewhere: int


def subject(name: str, device: str = "cpu", images: int | None = None, quick: bool = QUICK) -> Subject:
    """The network `name` of `PLANS` on `device`, with its signals.  images: None takes what the device can bear."""
    plan = PLANS[name]
    if images is None:
        images = min(2, plan.on_cpu) if quick else plan.on_cpu if device == "cpu" else plan.elsewhere
    shape = plan.quick if quick else plan.shape
    return Subject(name, network(name, device, shape), signals((images, *shape)).to(device))


@functools.lru_cache(maxsize=1)
def network(name: str, device: str, shape: tuple[int, ...]) -> nn.Module:
    """One network is kept, so that benchmarks which follow each other need not build it again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = PLANS[name].build(shape)
    return module.eval().requires_grad_(False).to(device)


def signals(size: tuple[int, ...], seed: int = 0) -> Tensor:
    """Noise whose amplitude falls with frequency as 1/f, as in photographs and music, and a little white noise.

    Every signal has mean 0 and variance 1.  Shape: `size`, (signals, channels, *axes).
    """
    white, grain = torch.randn((2, *size), generator=torch.Generator().manual_seed(seed))
    axes = tuple(range(2, len(size)))
    squares = (torch.fft.fftfreq(size[a]).reshape(-1, *[1] * (len(size) - 1 - a)).square() for a in axes)
    frequency = sum(squares, torch.zeros(())).sqrt()
    pink = torch.fft.ifftn(torch.fft.fftn(white, dim=axes) / (frequency + 1 / size[-1]), dim=axes).real
    mixed = F.normalize(pink.flatten(1), dim=1) + 0.1 * F.normalize(grain.flatten(1), dim=1)
    mixed = mixed - mixed.mean(1, keepdim=True)
    return (mixed / mixed.std(1, keepdim=True)).reshape(size)


def fitted(net: nn.Module, x: Tensor, label: Tensor, rate: float, epochs: int) -> nn.Module:
    """The network after some epochs of Adam on batches of 100, in order."""
    optimizer = torch.optim.Adam(net.parameters(), rate)
    for rows in epochs * list(torch.arange(len(x)).split(100)):
        optimizer.zero_grad()
        F.cross_entropy(net(x[rows]), label[rows]).backward()
        optimizer.step()
    return net.eval()


class Bottleneck(nn.Module):
    """One residual block of ResNet-50: 1 × 1, 3 × 3, 1 × 1 convolutions, each with its normalisation."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *normed(nn.Conv2d(inside, width, 1, bias=False)),
            nn.ReLU(inplace=True),
            *normed(nn.Conv2d(width, width, 3, stride, 1, bias=False)),
            nn.ReLU(inplace=True),
            *normed(nn.Conv2d(width, 4 * width, 1, bias=False), 0.25),
        )
        is_same = stride == 1 and inside == 4 * width
        skip = () if is_same else normed(nn.Conv2d(inside, 4 * width, 1, stride, bias=False))
        self.shortcut = nn.Sequential(*skip)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def normed(convolution: nn.Conv2d, scale: float = 1.0) -> tuple[nn.Module, nn.Module]:
    """A convolution and its normalisation.  scale: below 1, untrained residual sums keep their size over 16 blocks."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    norm = nn.BatchNorm2d(convolution.out_channels)
    nn.init.constant_(norm.weight, scale)
    return convolution, norm


def resnet50(shape: tuple[int, ...] = (3, 224, 224)) -> nn.Module:
    """ResNet-50 (He et al. 2016, table 1; stride in the 3 × 3 convolution): 25.6 million parameters."""
    layers: list[nn.Module] = [
        *normed(nn.Conv2d(shape[0], 64, 7, 2, 3, bias=False)),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    inside = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(count):
            layers.append(Bottleneck(inside, width, stride if block == 0 else 1))
            inside = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))


class Layer(nn.Module):
    """One layer of a transformer: attention and a perceptron, each after a normalisation and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.queries_keys_values, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, t: Tensor) -> Tensor:  # (batch, tokens, width)
        parts = self.queries_keys_values(self.first(t)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts.unbind(0))
        t = t + self.out(mixed.transpose(1, 2).flatten(2))
        return t + self.perceptron(self.second(t))


class VisionTransformer(nn.Module):
    """ViT-B/16 (Dosovitskiy et al. 2021, table 1) unless told otherwise: 86.6 million parameters."""

    def __init__(self, side: int = 224, patch: int = 16, width: int = 768, heads: int = 12, depth: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, 1 + (side // patch) ** 2, width))
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:  # (batch, 3, side, side)
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.place
        return self.head(self.norm(self.layers(tokens))[:, 0])


def convnet(channels: int, dims: int, widths: tuple[int, ...], kernel: int, stride: int, classes: int) -> nn.Module:
    """A plain network over one, two or three axes: convolution, ReLU and pooling for each width, a mean, a linear layer.

    kernel, stride: of the first convolution; the others have 3 and 1.
    """
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[dims - 1]
    mean = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dims - 1]
    layers: list[nn.Module] = []
    for depth, (before, width) in enumerate(zip((channels, *widths), widths)):
        size = (kernel, stride, kernel // 2) if depth == 0 else (3, 1, 1)
        layers += [convolution(before, width, *size), nn.ReLU(inplace=True), pool(2)]
        nn.init.kaiming_normal_(layers[-3].weight, nonlinearity="relu")  # type: ignore[arg-type]
    return nn.Sequential(*layers, mean(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def tiny() -> nn.Module:
    """A convolutional network of three classes for images of any size, so small that memory is the library's own."""
    generator = torch.Generator().manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
    net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / parameter.shape[-1]
    return net.eval()


PHOTO, THUMBNAIL = (3, 224, 224), (3, 32, 32)
PLANS = {
    "efficientnet-lite0": Plan(lambda _: load_model("efficientnet-lite0").module, PHOTO, THUMBNAIL, 2, 16),
    "resnet50": Plan(resnet50, PHOTO, THUMBNAIL, 1, 16),
    "vit-b16": Plan(lambda of: VisionTransformer(of[-1], depth=2 if of[-1] < 224 else 12), PHOTO, THUMBNAIL, 1, 16),
    # Raw sound, 50 classes as in ESC-50; the first kernel spans 2 ms.
    "audio": Plan(lambda _: convnet(1, 1, (64, 64, 128, 256, 512), 80, 4, 50), (1, 44_100), (1, 2_048), 4, 32),
    "volume": Plan(lambda _: convnet(1, 3, (16, 32, 64, 128), 3, 1, 11), (1, 64, 64, 64), (1, 16, 16, 16), 2, 16),
    # So cheap that the library's own work shows.
    "small": Plan(lambda _: convnet(3, 2, (32, 64, 128), 5, 2, 10), PHOTO, THUMBNAIL, 2, 32),
}
