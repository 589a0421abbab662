"""Subjects of tests: every example of every registered class, and small models."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.estimator import estimators
from pullback.transforms.registry import transforms

TRANSFORMS = [example for name in transforms.names() for example in transforms.maker(name).examples()]
_FIRST = pb.transforms.DWT((2, 7, 6), "db2", level=1)
TRANSFORMS += [
    pb.transforms.Compose(_FIRST, pb.transforms.DCT(_FIRST.layout.shape)),
    pb.transforms.Compose(pb.transforms.DCT((1, 9)), pb.transforms.DWT((1, 9), "bior2.2", level=1)),
]
ESTIMATORS = [example for name in estimators.names() for example in estimators.maker(name).examples()]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def smooth_net(shape: tuple[int, ...], classes: int = 3, seed: int = 0) -> nn.Module:
    """A small smooth network on signals of `shape`, any number of axes, in double precision."""
    size = torch.Size(shape).numel()
    net = nn.Sequential(nn.Flatten(), nn.Linear(size, 8), nn.Softplus(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, classes))
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / max(1, parameter.shape[-1]) ** 0.5
    return net.double().eval()


def convolutional_net(dtype: torch.dtype = torch.float64) -> nn.Module:
    """Two convolutions with three outputs, for images of shape (3, 12, 14)."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.SiLU(), nn.Conv2d(6, 6, 3, stride=2), nn.SiLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(180, 3)).to(dtype).eval()


class Untraceable(nn.Module):
    """A network with a branch that depends on its input, so that torch.fx cannot read it. Signals: (1, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.act, self.head = nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.layer(x.flatten(1)))
        return self.head(h if float(h.detach().sum()) > -1 else -h)


class AsModule(nn.Module):
    """A function wrapped in a module, for methods that hook layers."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def linear_net(shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    """f(x) = ⟨w, x⟩ + b in double precision."""
    return nn.Sequential(smooth_net(shape, 1, seed)[0], _layer(torch.Size(shape).numel(), seed)).double().eval()


def _layer(size: int, seed: int) -> nn.Linear:
    layer = nn.Linear(size, 1)
    layer.weight.data = normal(1, size, seed=seed)
    layer.bias.data = normal(1, seed=seed + 1)
    return layer


class Recorder(nn.Module):
    """A module that computes f and keeps its inputs."""

    def __init__(self, f: Any) -> None:
        super().__init__()
        self.f, self.seen = f, []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return self.f(x)


class Scan(torch.Tensor):
    """A tensor of a subclass that takes part in no operation of torch, to find out who passes it on."""

    @classmethod
    def of(cls, x: Tensor) -> "Scan":
        return x.as_subclass(cls)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{getattr(func, '__name__', func)} was called on a Scan")
