"""The layers that rewrites insert into a network, and the models that laws are measured on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...core.copies import copied
from ...core.precision import SINGLE

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
    """A layer as two layers with half of its output channels each, whose outputs are joined."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        half = len(layer.weight) // 2
        self.axis = -1 if isinstance(layer, nn.Linear) else 1 - layer.weight.ndim
        self.parts = nn.ModuleList([_slice(layer, slice(None, half)), _slice(layer, slice(half, None))])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], self.axis)


def _slice(layer: nn.Module, part: slice) -> nn.Module:
    """A copy of a layer with some of its output channels."""
    piece: Any = copied(layer)
    for name, parameter in layer.named_parameters(recurse=False):
        setattr(piece, name, nn.Parameter(parameter.detach()[part].clone()))
    setattr(piece, "out_features" if isinstance(layer, nn.Linear) else "out_channels", len(piece.weight))
    return piece


class Cancelling(nn.Module):
    """layer(x) + b(x) - b'(x), where b and b' are equal copies of the layer with random weights."""

    def __init__(self, layer: nn.Module, draw: Draw) -> None:
        super().__init__()
        branch = copied(layer)
        with torch.no_grad():
            for parameter in branch.parameters():
                noise = draw(*parameter.shape, like=parameter)
                parameter.copy_(noise * parameter.double().square().mean().sqrt())
        self.layer, self.branch, self.twin = layer, branch, copied(branch)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + (self.branch(x) - self.twin(x))


class Residual(nn.Module):
    """A square linear layer W x + b, written as x + ((W - 1) x + b)."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = copied(layer)
        with torch.no_grad():
            self.layer.weight.sub_(torch.eye(len(layer.weight)).to(layer.weight))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)


def factored(layer: nn.Linear, draw: Draw) -> nn.Module:
    """W = Q (Qᵀ W), with a random orthogonal Q, as two linear layers."""
    weight = layer.weight.detach()
    rotation = torch.linalg.qr(draw(len(weight), len(weight), like=weight)).Q
    first, second = linear(rotation.T @ weight.double()), linear(rotation, layer.bias)
    return nn.Sequential(first, second).to(weight)


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A linear layer with this weight, (out, in), and bias, (out,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


class CallableModule(nn.Module):
    """A module that calls a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Preceded(nn.Module):
    """f(change(x)): a model after a change of the signal."""

    def __init__(self, model: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.change = model, change
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.model(self.change(x))


def blind(model: nn.Module, directions: Tensor) -> nn.Module:
    """f(x - Q Qᵀ x), which no change of x in the span of Q affects.  directions: the orthonormal Q, (samples, count)."""

    def project(x: Tensor) -> Tensor:
        basis, flat = directions.to(x), x.flatten(1)
        return (flat - flat @ basis @ basis.T).reshape(x.shape)

    return Preceded(model, project)


class Combined(nn.Module):
    """f(x) + q h(x), for two models and a weight."""

    def __init__(self, first: nn.Module, second: nn.Module, weight: float) -> None:
        super().__init__()
        self.first, self.second, self.weight = first, second, weight
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.weight * self.second(x)


def saturating(direction: Tensor, slope: float, sign: float) -> nn.Module:
    """sign · (1 - ReLU(1 - slope ⟨direction, z⟩)), (rows, 1), as layers.  direction: of z's shape."""
    flat = direction.reshape(1, -1)
    one = torch.ones_like(flat[0, :1])
    last = linear(torch.full_like(flat[:, :1], -sign), sign * one)
    return nn.Sequential(nn.Flatten(), linear(-slope * flat, one), nn.ReLU(), last).eval()


def small_network(shape: tuple[int, ...], classes: int = 3, width: int = 12, seed: int = 0) -> nn.Module:
    """A small ReLU network on signals of this shape, with random weights that the seed fixes."""
    sizes = (torch.Size(shape).numel(), width, width, classes)
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in zip(sizes, sizes[1:]):
        weight = torch.randn(fan_out, fan_in, generator=generator, dtype=SINGLE) * (2 / fan_in) ** 0.5
        layers += [linear(weight, torch.randn(fan_out, generator=generator, dtype=SINGLE) / 2), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()
