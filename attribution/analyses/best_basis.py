"""The orthonormal wavelet packet basis that fits an attribution best."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from ...core.precision import full_products
from ...transforms import WPT, Transform, TransformClaim
from ...transforms.shapes import check_shape
from ...transforms.wavelets.arguments import check_level, find_wavelet
from ...transforms.wavelets.dwt import halvings
from ...transforms.wavelets.filterbank import FilterBank
from ...transforms.wavelets.packet import split_nodes
from ..result import Attribution, known_covector

Cost = str | Callable[[Tensor], Tensor]
Maps = Attribution | Sequence[Attribution]
COSTS = ("entropy", "l1")
_BAD_COST = "best_basis: cost must return one finite number for each of its arguments, in a tensor of their shape;"


@overload
def best_basis(
    att: Maps, cost: Cost = ..., *, wavelet: str = ..., level: int | None = ..., per_example: Literal[False] = ...
) -> WPT: ...
@overload
def best_basis(
    att: Maps, cost: Cost = ..., *, wavelet: str = ..., level: int | None = ..., per_example: Literal[True]
) -> list[WPT]: ...
def best_basis(
    att: Maps, cost: Cost = "entropy", *, wavelet: str = "db4", level: int | None = None, per_example: bool = False
) -> WPT | list[WPT]:
    """The orthonormal wavelet packet transform in which the attribution costs least.

    Coifman and Wickerhauser's search, with the attribution in place of the signal. The values in any packet node follow
    from the covector ḡ that the attribution keeps, a = T(x - x₀) ⊙ T ḡ for shares and a = T ḡ for sensitivities, so the
    model is not run again. A node is split where the best costs of its children sum to less than its own.

    A cost is Σ c(q) over coefficients, q = |a| / N. The norm N belongs to the example and is the same in every
    orthonormal basis: ‖x - x₀‖ ‖ḡ‖ for shares, so that Σ q ≤ 1 (Cauchy-Schwarz), and ‖ḡ‖ for sensitivities, so that
    Σ q² = 1. A q below rounding errors counts as 0.

    att: any batch, or a sequence of batches that count as one set, in any linear domain; from a method whose values are
    linear in gradients, since only these keep a covector.
    cost: "entropy", -q log q for shares and -q² log q² for sensitivities; "l1", q; or a function of q, elementwise.
    wavelet: any orthonormal wavelet of PyWavelets.  level: the deepest nodes; None takes 5, or what the signal allows.
    per_example: a list with one transform for each example, instead of one transform for the sum over the set.

    Of bases with equal costs, the one with fewer nodes is taken.
    Source: Coifman & Wickerhauser 1992, §IV.
    Raises: TypeError or ValueError for no covector, an unknown cost, a wavelet not orthonormal, or a level too deep.

    >>> import torch, pullback as pb
    >>> x = torch.randn(8, 1, 16, generator=torch.Generator().manual_seed(0))
    >>> high = pb.transforms.get("wpt(haar, nodes=a+d)", shape=(1, 16))
    >>> att = pb.attribute(lambda x: high(x)[:, 0, 8:].pow(2).sum(1), x, method="input_x_gradient")
    >>> pb.best_basis(att, wavelet="haar", level=1).nodes
    ('a', 'd')
    """
    atts = list(att) if isinstance(att, Sequence) else [att]
    shapes = {tuple(known_covector("best_basis", one).shape[1:]) for one in atts}
    if len(shapes) != 1:
        got = sorted(shapes)
        raise ValueError(f"best_basis: expected at least one attribution, all of signals of one shape, got shapes {got}.")
    shape = check_shape("best_basis", shapes.pop())
    bank = FilterBank(find_wavelet("best_basis", wavelet))
    if not bank.orthonormal:
        raise ValueError(f"best_basis: wavelet must be orthonormal, such as db4, sym8 or haar, got {wavelet!r}.")
    depth = halvings(shape)
    level = check_level("best_basis", min(5, depth) if level is None else level, depth, str(shape))
    found = [_node_costs(one, cost, bank, level) for one in atts]
    table = _finite(torch.cat([torch.stack(list(costs.values())) for costs in found], 1)).tolist()  # (nodes, examples)
    columns = [slice(i, i + 1) for i in range(len(table[0]))] if per_example else [slice(None)]
    totals = [{path: math.fsum(row[column]) for path, row in zip(found[0], table)} for column in columns]
    chosen = [WPT(shape, wavelet, nodes=_search(costs, len(shape) - 1)) for costs in totals]
    return chosen if per_example else chosen[0]


def basis_cost(att: Attribution, transform: Transform, cost: Cost = "entropy") -> Tensor:
    """The cost that `best_basis` minimises, in any orthonormal transform. Shape: (batch,), double precision.

    Raises: ValueError where the transform is not orthonormal, and as `best_basis` does.

    >>> wave = torch.cos(torch.arange(16) * torch.pi / 4).reshape(1, 1, 16)
    >>> att = pb.attribute(lambda x: (x * wave).flatten(1).sum(1), wave, method="gradient")
    >>> bool(basis_cost(att, pb.transforms.get("dft", (1, 16))) < basis_cost(att, att.transform))
    True
    """
    if TransformClaim.ORTHOGONAL not in transform.claims:
        raise ValueError(f"basis_cost: costs compare in orthonormal bases only; {transform.spec} is not orthonormal.")
    scale = _Scale(att, cost)
    return _finite(scale.cost([transform(part) for part in scale.parts]))


def _search(costs: dict[str, float], dims: int) -> list[str]:
    """The leaves of the cheapest tree, found from the deepest nodes up: a node is split where its children cost less."""
    children: dict[str, list[str]] = {}
    for path in filter(None, costs):  # all but the root
        children.setdefault(path[:-dims], []).append(path)
    best: dict[str, tuple[float, list[str]]] = {}
    for path in sorted(costs, key=len, reverse=True):
        best[path] = costs[path], [path]
        below = [best.pop(child) for child in children.get(path, ())]
        total = math.fsum(value for value, _ in below)
        if below and total < costs[path]:
            best[path] = total, [leaf for _, leaves in below for leaf in leaves]
    return best[""][1]


def _node_costs(att: Attribution, cost: Cost, bank: FilterBank, level: int) -> dict[str, Tensor]:
    """{path: cost of each example, (batch,)} of all nodes of the full tree, level by level."""
    scale = _Scale(att, cost)
    dims, nodes = len(att.transform.shape) - 1, {"": torch.cat(scale.parts)}
    costs: dict[str, Tensor] = {}
    for depth in range(level + 1):
        costs |= {path: scale.cost(node.chunk(len(scale.parts))) for path, node in nodes.items()}
        with full_products(scale.parts[0]):
            nodes = split_nodes(bank, nodes, dims) if depth < level else {}
    return costs


class _Scale:
    """The signals (batch, *shape) whose coefficients multiply to the values, and the cost of these coefficients."""

    def __init__(self, att: Attribution, cost: Cost) -> None:
        if isinstance(cost, str) and cost not in COSTS:
            raise ValueError(f"best_basis: expected cost in {', '.join(COSTS)}, or a function; got {cost!r}.")
        covector = known_covector("best_basis", att)
        shares = att.kind == "share"
        self.parts = [att.transform.inverse(att.displacement), covector] if shares else [covector]
        self._norm = functools.reduce(torch.mul, [part.flatten(1).norm(dim=1).double() for part in self.parts])
        self._rounding = 64 * torch.finfo(covector.dtype).eps
        entropy = lambda q: torch.special.entr(q if shares else q * q)
        self._cost = cost if callable(cost) else {"entropy": entropy, "l1": lambda q: q}[cost]

    def cost(self, coefficients: Sequence[Tensor]) -> Tensor:
        """Σ c(q) of each example, where the values are the product of `coefficients`. Shape: (batch,), double precision."""
        values = functools.reduce(torch.mul, coefficients).flatten(1).abs().double()
        q = values / self._norm.where(self._norm > 0, 1)[:, None]
        each = self._cost(q.where(q > self._rounding, 0))
        if not isinstance(each, Tensor) or each.shape != q.shape:
            got = tuple(each.shape) if isinstance(each, Tensor) else repr(each)
            raise ValueError(f"{_BAD_COST} got {got} for {tuple(q.shape)}.")
        return each.sum(1)


def _finite(costs: Tensor) -> Tensor:
    if not bool(costs.isfinite().all()):
        raise ValueError(f"{_BAD_COST} got NaN or infinity.")
    return costs
