"""The parts that rewrites put into a network, and the networks on which laws are measured."""

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

KINDS = ("max", "clamp", "abs", "residual")
Draw = Callable[..., Tensor]


class Rectifier(nn.Module):
    """ReLU, or ReLU capped at `cap`, in another form: "max", "clamp", "abs" for (x + |x|)/2, "residual" for x + ReLU(-x).

    >>> x = torch.tensor([-1.0, 0.5, 9.0])
    >>> [Rectifier(kind, 6.0)(x).tolist() == [0.0, 0.5, 6.0] for kind in KINDS]
    [True, True, True, True]
    """

    def __init__(self, kind: str, cap: float | None = None) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"Rectifier: expected kind in {', '.join(KINDS)}; got {kind!r}.")
        self.kind, self.cap = kind, cap
        # Each module is called once: methods that hook modules cannot tell two calls apart.
        self.lower = nn.ReLU() if kind == "residual" else None
        self.upper = nn.ReLU() if kind == "residual" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.cap is None:
            return self._relu(x, self.lower)
        if self.kind == "max":
            return torch.minimum(self._relu(x, None), torch.full_like(x, self.cap))
        if self.kind == "clamp":
            return x.clamp(0, self.cap)
        # min(y, cap) = cap - relu(cap - y)
        return self.cap - self._relu(self.cap - self._relu(x, self.lower), self.upper)

    def _relu(self, x: Tensor, relu: nn.Module | None) -> Tensor:
        if self.kind == "max":
            return torch.maximum(x, torch.zeros_like(x))
        if self.kind == "clamp":
            return x.clamp(min=0)
        return (x + x.abs()) / 2 if relu is None else x + relu(-x)


class Split(nn.Module):
    """A layer as two layers with half of its output channels each, joined."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        half = len(layer.weight) // 2  # type: ignore[arg-type]
        self.axis = -1 if isinstance(layer, nn.Linear) else 1 - len(cast(Tensor, layer.weight).shape)
        self.parts = nn.ModuleList([_slice(layer, slice(None, half)), _slice(layer, slice(half, None))])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], self.axis)


def _slice(layer: nn.Module, part: slice) -> nn.Module:
    piece = copy.deepcopy(layer)
    for name, parameter in layer.named_parameters(recurse=False):
        setattr(piece, name, nn.Parameter(parameter.detach()[part].clone()))
    setattr(piece, "out_features" if isinstance(layer, nn.Linear) else "out_channels", len(piece.weight))  # type: ignore[arg-type]
    return piece


class Cancelling(nn.Module):
    """layer(x) + b(x) - b'(x) with b = b'."""

    def __init__(self, layer: nn.Module, draw: Draw) -> None:
        super().__init__()
        branch = copy.deepcopy(layer)
        with torch.no_grad():
            for parameter in branch.parameters():
                noise = draw(*parameter.shape, like=parameter)
                parameter.copy_(noise * parameter.double().square().mean().sqrt())
        self.layer, self.branch, self.twin = layer, branch, copy.deepcopy(branch)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + (self.branch(x) - self.twin(x))


class Residual(nn.Module):
    """x + layer(x)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)


def residual_linear(layer: nn.Linear) -> nn.Module:
    """x + ((W - 1) x + b)."""
    inner = copy.deepcopy(layer)
    with torch.no_grad():
        inner.weight.sub_(torch.eye(len(inner.weight)).to(inner.weight))
    return Residual(inner)


def factored(layer: nn.Linear, draw: Draw) -> nn.Module:
    """W = Q (Qᵀ W) with a random orthogonal Q, as two linear layers."""
    weight = layer.weight.detach()
    rotation = torch.linalg.qr(draw(len(weight), len(weight), like=weight)).Q
    first, second = linear(rotation.T @ weight.double()), linear(rotation, layer.bias)
    return nn.Sequential(first, second).to(weight)


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A linear layer with these numbers.  weight: (out, in)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


class CallableModule(nn.Module):
    """A model that is a plain function, as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Blind(nn.Module):
    """f(x - Q Qᵀ x): no direction in the span of Q's columns has any effect.

    directions: orthonormal columns (samples, count).
    """

    def __init__(self, model: nn.Module, directions: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("directions", directions)

    def forward(self, x: Tensor) -> Any:
        basis = self.get_buffer("directions").to(x)
        flat = x.flatten(1)
        return self.model((flat - flat @ basis @ basis.T).reshape(x.shape))


class Shifted(nn.Module):
    """f(x - m)."""

    def __init__(self, model: nn.Module, shift: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Any:
        return self.model(x - self.get_buffer("shift").to(x))


class Combined(nn.Module):
    """f(x) + q h(x)."""

    def __init__(self, first: nn.Module, second: nn.Module, weight: float) -> None:
        super().__init__()
        self.first, self.second, self.weight = first, second, weight

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.weight * self.second(x)


def saturating(direction: Tensor, slope: float, sign: float) -> nn.Module:
    """sign · (1 - ReLU(1 - slope ⟨direction, z⟩)), as layers.  direction: shaped like z. Output: (rows, 1)."""
    flat = direction.reshape(1, -1)
    one = torch.ones_like(flat[0, :1])
    return nn.Sequential(
        nn.Flatten(), linear(-slope * flat, one), nn.ReLU(), linear(torch.full_like(flat[:, :1], -sign), sign * one)
    ).eval()


def small_network(shape: tuple[int, ...], classes: int = 3, width: int = 12, seed: int = 0) -> nn.Module:
    """A ReLU network on signals of `shape` with seeded weights: what laws run on where no model is given."""
    sizes = (torch.Size(shape).numel(), width, width, classes)
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in zip(sizes, sizes[1:]):
        weight = torch.randn(fan_out, fan_in, generator=generator) * (2 / fan_in) ** 0.5
        layers += [linear(weight, torch.randn(fan_out, generator=generator) / 2), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()
