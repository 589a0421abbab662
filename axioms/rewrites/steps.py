"""The rewrites: each is a function that changes a network, keeps what it computes, and returns how many places it changed."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, fx, nn

from ...core.copies import copied
from ...core.network_graph import AFFINE, fold, folds, trace, used_once
from ...core.precision import SINGLE
from .graph import RELUS, Chain, chains, rectifiers
from .modules import KINDS, Cancelling, Rectifier, Residual, Split, factored

Place = TypeVar("Place")
Site = tuple[str, nn.Module]  # a place that can be rewritten: the name of a layer, and the layer


class Editor:
    """A copy of a network that is rewritten step by step, as a graph where torch.fx can trace it."""

    def __init__(self, model: nn.Module, seed: int) -> None:
        self.model = copied(model).eval()
        self.generator = torch.Generator().manual_seed(seed)
        self.skipped: list[str] = []  # what could not be rewritten, and why
        self.graph: fx.GraphModule | None = None
        try:
            with torch.enable_grad():  # some models compute another function where no gradients are recorded
                self.graph = trace(self.model)
            self.model = self.graph
        except Exception as error:  # tracing runs the user's forward on proxies, which may raise anything
            reason = next(iter(str(error).strip().splitlines()), "")
            self.untraced = f"torch.fx cannot trace {type(model).__name__} ({type(error).__name__}: {reason})"

    def draw(self, *shape: int, like: Tensor) -> Tensor:
        """Standard normal numbers in double precision."""
        return torch.randn(*shape, generator=self.generator, dtype=SINGLE).to(like.device).double()

    def places(self, step: str, find: Callable[[fx.GraphModule], tuple[list[Place], list[str]]]) -> list[Place]:
        """What `find` finds in the graph. Where it finds nothing is noted as skipped; without a graph, the whole step is."""
        found, broken = ([], [self.untraced]) if self.graph is None else find(self.graph)
        self.skipped += [f"{step}: {reason}" for reason in broken]
        return found

    def layers(self, kinds: tuple[type[nn.Module], ...], once: bool = False) -> list[Site]:
        """Layers of these kinds that are called as modules, or those of them that are called once."""
        found = [site for site in self.model.named_modules() if isinstance(site[1], kinds)]
        if self.graph is None:
            return found
        called = used_once(self.graph) if once else {n.target for n in self.graph.graph.nodes if n.op == "call_module"}
        return [(name, layer) for name, layer in found if name in called]

    def linear(self) -> list[tuple[str, nn.Linear]]:
        """Linear layers, without those of derived classes."""
        return [(name, layer) for name, layer in self.layers(AFFINE) if type(layer) is nn.Linear]

    def replace(self, sites: Sequence[tuple[str, nn.Module]], change: Callable[..., nn.Module]) -> int:
        """Puts change(layer) in the place of each layer; returns their number."""
        for name, layer in sites:
            parent, _, leaf = name.rpartition(".")
            setattr(self.model.get_submodule(parent), leaf, change(layer))
        return len(sites)


def permute_channels(editor: Editor) -> int:
    """Puts hidden channels in another order."""
    return sum(_permute(editor, chain) for chain in editor.places("permute_channels", chains))


def rescale_channels(editor: Editor) -> int:
    """Multiplies a channel by c > 0 before, and divides it after, what is positively homogeneous (ReLU, pooling)."""
    return sum(_rescale(editor, chain) for chain in editor.places("rescale_channels", chains))


@torch.no_grad()
def _permute(editor: Editor, chain: Chain) -> bool:
    if chain.channels < 2:
        return False
    order = torch.randperm(chain.channels, generator=editor.generator).to(chain.first.weight.device)
    for module in (chain.first, *chain.between):
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if tensor.ndim and len(tensor) == chain.channels:
                tensor.copy_(tensor[order])
    weight = chain.last.weight
    blocks = weight.reshape(len(weight), chain.channels, -1)
    weight.copy_(blocks[:, order].reshape(weight.shape))
    return True


@torch.no_grad()
def _rescale(editor: Editor, chain: Chain) -> bool:
    place = chain.homogeneous_after()
    if place is None:
        editor.skipped.append(f"rescale_channels: {chain.name}: what follows is not positively homogeneous")
        return False
    factor = (editor.draw(chain.channels, like=chain.first.weight) / 2).exp().to(place.weight.dtype)
    for parameter in (place.weight, place.bias):
        if isinstance(parameter, Tensor):
            parameter.mul_(factor.reshape(-1, *[1] * (parameter.ndim - 1)))
    weight = chain.last.weight
    weight.copy_((weight.reshape(len(weight), chain.channels, -1) / factor[:, None]).reshape(weight.shape))
    return True


def fold_batchnorm(editor: Editor) -> int:
    """Multiplies the running statistics of BatchNorm into the layer before it."""
    editor.places("fold_batchnorm", folds)  # for the reasons why others cannot be folded
    return 0 if editor.graph is None else fold(editor.graph)


def factor_linear(editor: Editor) -> int:
    """Writes W as Q (Qᵀ W): two linear layers with a random orthogonal Q."""
    return editor.replace(editor.linear()[-2:], lambda layer: factored(layer, editor.draw))


def split_channels(editor: Editor) -> int:
    """Writes a layer as two layers with half of its channels each."""
    sites = [(name, layer) for name, layer in editor.layers(AFFINE, once=True) if getattr(layer, "groups", 1) == 1]
    return editor.replace(_ends([site for site in sites if len(site[1].weight) > 1]), Split)  # type: ignore[arg-type]


def cancelling_branches(editor: Editor) -> int:
    """Writes layer(x) as layer(x) + b(x) - b(x), where b is a copy of the layer with other weights."""
    return editor.replace(_ends(editor.layers(AFFINE, once=True)), lambda layer: Cancelling(layer, editor.draw))


def identity_residual(editor: Editor) -> int:
    """Writes a square linear layer as x + (W - 1) x + b, and ReLU(x) as x + ReLU(-x)."""
    square = [(name, layer) for name, layer in editor.linear() if layer.in_features == layer.out_features]
    return editor.replace(square, Residual) + _rectify(editor, "identity_residual", ("residual",))


def _rectify(editor: Editor, step: str, kinds: Sequence[str]) -> int:
    """Writes the ReLUs of a network in these forms in turn: max(x, 0), clamp(x, min=0), (x + |x|) / 2, x + ReLU(-x)."""
    forms = itertools.cycle(kinds)
    if editor.graph is None:
        editor.skipped.append(f"{step}: ReLUs that are called as functions: {editor.untraced}")
        return editor.replace(editor.layers(RELUS), lambda relu: Rectifier(next(forms), getattr(relu, "max_val", None)))
    nodes = list(rectifiers(editor.graph))
    for number, (node, cap) in enumerate(nodes):
        name = f"rectifier_{step}_{number}"
        editor.graph.add_module(name, Rectifier(next(forms), cap))
        node.op, node.target, node.args, node.kwargs = "call_module", name, node.args[:1], {}
    editor.graph.recompile()
    return len(nodes)


def _ends(sites: Sequence[Site]) -> list[Site]:
    """The first and the last place, which are enough for a method to notice, so that large networks stay cheap."""
    return list(sites) if len(sites) < 2 else [sites[0], sites[-1]]


_WEIGHTS = (permute_channels, rescale_channels, fold_batchnorm, factor_linear, split_channels)
_LAYERS = (cancelling_branches, identity_residual)
_RELUS = {f"relu_as_{kind}": (kind,) for kind in ("max", "clamp", "abs")} | {"relu_mixed": KINDS}
STEPS: dict[str, Callable[[Editor], int]] = {step.__name__: step for step in (*_WEIGHTS, *_LAYERS)}
STEPS |= {name: functools.partial(_rectify, step=name, kinds=kinds) for name, kinds in _RELUS.items()}
REWRITES = tuple(name for name in STEPS if name != "relu_mixed")  # each changes one thing
