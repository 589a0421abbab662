"""Function-preserving rewrites of a network: other modules, other weights, the same function."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn

from ...attribution.engine.open import open_engine
from ...core.precision import tolerance
from .graph import Chain, chains, folds, rectifiers, trace, used_once
from .modules import KINDS, Cancelling, Rectifier, Split, factored, residual_linear

Steps = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Rewritten:
    """One rewrite of a network.

    name: the rewrite, or several joined by " + ".  model: the new network, a copy; None where there was nothing to rewrite.
    sites: how many places were changed.  skipped: what was left as it was, and why.
    residual: largest relative difference of its outputs, on the given inputs and on random ones; equal: whether that is
    rounding.
    """

    name: str
    model: nn.Module | None
    sites: int
    skipped: tuple[str, ...]
    residual: float = 0.0
    equal: bool = True


class Surgery:
    """A copy of a network that is being rewritten, step by step."""

    def __init__(self, model: nn.Module, seed: int) -> None:
        self.model = copy.deepcopy(model).eval()
        self.generator = torch.Generator().manual_seed(seed)
        self.skipped: list[str] = []
        self.graph: fx.GraphModule | None = None
        try:
            self.graph = trace(self.model)
            self.model = self.graph
        except Exception as error:  # tracing runs the user's forward on proxies: anything may be raised
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            self.untraced = f"torch.fx cannot trace {type(model).__name__} ({type(error).__name__}: {reason})"

    def draw(self, *shape: int, like: Tensor) -> Tensor:
        """Standard normal numbers, in double precision."""
        return torch.randn(*shape, generator=self.generator).to(like.device).double()

    def wants_graph(self, step: str) -> fx.GraphModule | None:
        if self.graph is None:
            self.skipped.append(f"{step}: {self.untraced}")
        return self.graph

    def layers(self, kinds: tuple[type[nn.Module], ...]) -> list[tuple[str, nn.Module]]:
        """Named layers of exactly these kinds (or of a convolution's subclass) that are called as modules."""
        called = None if self.graph is None else {n.target for n in self.graph.graph.nodes if n.op == "call_module"}
        return [
            (name, module)
            for name, module in self.model.named_modules()
            if isinstance(module, kinds) and (called is None or name in called)
        ]

    def replace(self, name: str, module: nn.Module) -> None:
        """Puts `module` where the layer `name` stands."""
        parent, _, leaf = name.rpartition(".")
        setattr(self.model.get_submodule(parent), leaf, module)


def permute_channels(work: Surgery) -> int:
    """Hidden channels in another order."""
    return _on_chains(work, "permute_channels", _permute)


def rescale_channels(work: Surgery) -> int:
    """c > 0 into a channel before, and 1/c after, what is positively homogeneous (ReLU, pooling)."""
    return _on_chains(work, "rescale_channels", _rescale)


def _on_chains(work: Surgery, step: str, change: Callable[[Surgery, Chain], bool]) -> int:
    graph = work.wants_graph(step)
    if graph is None:
        return 0
    found, broken = chains(graph)
    work.skipped += [f"{step}: {reason}" for reason in broken]
    with torch.no_grad():
        return sum(change(work, chain) for chain in found)


def _permute(work: Surgery, chain: Chain) -> bool:
    if chain.channels < 2:
        return False
    order = torch.randperm(chain.channels, generator=work.generator).to(chain.first.weight.device)
    for module in (chain.first, *chain.between):
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if tensor.ndim and len(tensor) == chain.channels:
                tensor.copy_(tensor[order])
    weight = chain.last.weight
    blocks = weight.reshape(len(weight), chain.channels, -1)
    weight.copy_(blocks[:, order].reshape(weight.shape))
    return True


def _rescale(work: Surgery, chain: Chain) -> bool:
    place = chain.homogeneous_after()
    if place is None:
        work.skipped.append(f"rescale_channels: {chain.name}: what follows is not positively homogeneous")
        return False
    factor = (work.draw(chain.channels, like=chain.first.weight) / 2).exp().to(place.weight.dtype)
    for parameter in (place.weight, place.bias):
        if isinstance(parameter, Tensor):
            parameter.mul_(factor.reshape(-1, *[1] * (parameter.ndim - 1)))
    weight = chain.last.weight
    weight.copy_((weight.reshape(len(weight), chain.channels, -1) / factor[:, None]).reshape(weight.shape))
    return True


def fold_batchnorm(work: Surgery) -> int:
    """BatchNorm's running statistics multiplied into the layer before it."""
    graph = work.wants_graph("fold_batchnorm")
    if graph is None:
        return 0
    pairs, broken = folds(graph)
    work.skipped += [f"fold_batchnorm: {reason}" for reason in broken]
    with torch.no_grad():
        for node, source, layer, norm in pairs:
            shift = norm.bias if norm.affine else torch.zeros_like(norm.running_mean)
            scale = (norm.weight if norm.affine else 1) * (norm.running_var + norm.eps).rsqrt()
            bias = layer.bias if layer.bias is not None else torch.zeros_like(norm.running_mean)
            layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
            layer.bias = nn.Parameter((bias - norm.running_mean) * scale + shift)
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
    graph.recompile()
    return len(pairs)


def factor_linear(work: Surgery) -> int:
    """W = Q (Qᵀ W), two linear layers with a random orthogonal Q."""
    sites = [site for site in work.layers((nn.Linear,)) if type(site[1]) is nn.Linear]
    for name, layer in sites[-2:]:
        work.replace(name, factored(cast(nn.Linear, layer), work.draw))
    return len(sites[-2:])


def split_channels(work: Surgery) -> int:
    """A layer as two layers of half the channels each, joined again."""
    sites = [(name, layer) for name, layer in _affine(work) if _splits(layer)]
    for name, layer in _ends(sites):
        work.replace(name, Split(layer))
    return len(_ends(sites))


def cancelling_branches(work: Surgery) -> int:
    """layer(x) + b(x) - b(x), with b a copy of the layer with other weights."""
    sites = _ends(_affine(work))
    for name, layer in sites:
        work.replace(name, Cancelling(layer, work.draw))
    return len(sites)


def identity_residual(work: Surgery) -> int:
    """A square linear layer as x + (W - 1) x + b, and ReLU(x) as x + ReLU(-x)."""
    square = [
        (name, layer)
        for name, layer in work.layers((nn.Linear,))
        if type(layer) is nn.Linear and layer.in_features == layer.out_features
    ]
    for name, layer in square:
        work.replace(name, residual_linear(layer))
    return len(square) + _rectify(work, "identity_residual", ("residual",))


def relu_as_max(work: Surgery) -> int:
    """ReLU(x) as max(x, 0)."""
    return _rectify(work, "relu_as_max", ("max",))


def relu_as_clamp(work: Surgery) -> int:
    """ReLU(x) as clamp(x, min=0)."""
    return _rectify(work, "relu_as_clamp", ("clamp",))


def relu_as_abs(work: Surgery) -> int:
    """ReLU(x) as (x + |x|) / 2."""
    return _rectify(work, "relu_as_abs", ("abs",))


def relu_mixed(work: Surgery) -> int:
    """All forms of ReLU in turn."""
    return _rectify(work, "relu_mixed", KINDS)


def _rectify(work: Surgery, step: str, kinds: Sequence[str]) -> int:
    if work.graph is not None:
        nodes = rectifiers(work.graph)
        for number, (node, cap) in enumerate(nodes):
            name = f"rectifier_{step}_{number}"
            work.graph.add_module(name, Rectifier(kinds[number % len(kinds)], cap))
            node.op, node.target, node.args, node.kwargs = "call_module", name, node.args[:1], {}
        work.graph.recompile()
        return len(nodes)
    modules = work.layers((nn.ReLU, nn.ReLU6))
    for number, (name, module) in enumerate(modules):
        work.replace(name, Rectifier(kinds[number % len(kinds)], 6.0 if isinstance(module, nn.ReLU6) else None))
    work.skipped.append(f"{step}: ReLUs that are called as functions: {work.untraced}")
    return len(modules)


def _affine(work: Surgery) -> list[tuple[str, nn.Module]]:
    once = None if work.graph is None else used_once(work.graph)
    return [
        (name, layer)
        for name, layer in work.layers((nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))
        if once is None or name in once
    ]


def _splits(layer: nn.Module) -> bool:
    return len(layer.weight) > 1 and getattr(layer, "groups", 1) == 1  # type: ignore[arg-type]


def _ends(sites: Sequence[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module]]:
    """The first and the last site: enough to be seen, cheap on large networks."""
    return list({name: (name, layer) for name, layer in (*sites[:1], *sites[-1:])}.values())


REWRITES: dict[str, Callable[[Surgery], int]] = {
    step.__name__: step
    for step in (
        permute_channels,
        rescale_channels,
        fold_batchnorm,
        factor_linear,
        split_channels,
        cancelling_branches,
        identity_residual,
        relu_as_max,
        relu_as_clamp,
        relu_as_abs,
    )
}
_STEPS = REWRITES | {"relu_mixed": relu_mixed}

# All rewrites in two networks, and each ReLU in two forms: with modules that rules are written for, and without. A method
# that tells neither network from the original tells no single rewrite from it either.
TOGETHER: tuple[Steps, ...] = (
    ("permute_channels", "rescale_channels", "fold_batchnorm", "factor_linear", "split_channels", "identity_residual"),
    ("cancelling_branches", "relu_mixed"),
)
SINGLY: tuple[Steps, ...] = tuple((name,) for name in REWRITES)


def rewrites(model: nn.Module, x: Tensor, *, steps: Iterable[Steps] = SINGLY, seed: int = 0) -> list[Rewritten]:
    """Networks that compute the same function as `model` in another way; the model itself is not touched.

    x: (batch, *shape), where the outputs are compared, besides random inputs of its scale.
    steps: which rewrites to apply one after the other for each network; by default each alone.
    Layers that cannot be rewritten, and models that torch.fx cannot trace, are named in `skipped`.

    Raises: ValueError that lists the rewrites.

    >>> net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    >>> [r.name for r in rewrites(net, torch.ones(1, 4)) if r.model is None]
    ['fold_batchnorm']
    >>> all(r.equal for r in rewrites(net, torch.ones(1, 4)))
    True
    """
    found = []
    for names in steps:
        unknown = [name for name in names if name not in _STEPS]
        if unknown:
            raise ValueError(f"rewrites: expected steps among {', '.join(_STEPS)}; got {', '.join(unknown)}.")
        work = Surgery(model, seed)
        done = {name: _STEPS[name](work) for name in names}
        work.skipped += [f"{name}: found nothing to rewrite" for name, sites in done.items() if not sites]
        skipped = tuple(dict.fromkeys(work.skipped))
        name = " + ".join(name for name, sites in done.items() if sites) or " + ".join(names)
        if not any(done.values()):
            found.append(Rewritten(name, None, 0, skipped))
            continue
        residual = difference(model, work.model, x, seed)
        found.append(
            Rewritten(name, work.model, sum(done.values()), skipped, residual, residual <= 10 * tolerance(x.dtype))
        )
    return found


def difference(model: nn.Module, other: nn.Module, x: Tensor, seed: int) -> float:
    """Largest difference of the two networks' outputs, relative to the outputs' size, on x and on random inputs.

    Outputs are compared through random projections. Infinite where the other network cannot run.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, *x.shape[1:], generator=generator).to(x) * x.std() + x.mean()
    points = torch.cat([x, noise])
    try:
        a, b = (_outputs(network, points, seed) for network in (model, other))
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
        return float("inf")
    worst = (a - b).abs().max() / a.abs().max().clamp(min=torch.finfo(a.dtype).tiny)
    return float(worst) if bool(worst.isfinite()) else float("inf")


def _outputs(model: nn.Module, points: Tensor, seed: int) -> Tensor:
    def project(output: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(output[0].numel(), generator=generator).to(output)
        return output.flatten(1) @ direction

    with open_engine(model, points, project) as engine:
        return engine.scores(torch.arange(len(points), device=points.device), points.__getitem__)
