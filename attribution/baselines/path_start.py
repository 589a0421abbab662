"""Where the paths of one domain start: x₀, and z₀ where the baseline is declared in coefficients."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.tensors import check_range
from ...transforms import Transform
from ..engine.random import Keyed
from ..engine.row_index import RowIndex
from .base import Baseline


@dataclass(frozen=True, eq=False)
class Start:
    """The start of the paths in one domain.

    signal: x₀, (batch, *shape).  coefficients: z₀, (batch, *coeff), where the baseline is declared in z, else None.
    draw: x₀ of given rows, (rows, *shape).  random: whether different samples of an example have different x₀.
    """

    signal: Tensor
    coefficients: Tensor | None
    draw: Callable[[RowIndex], Tensor]
    random: bool = False

    @functools.cached_property
    def nonzero(self) -> bool:
        """Whether x₀ has an entry that is not zero."""
        return bool(self.signal.any())


def starts(rule: Baseline, domains: Sequence[Transform], x: Tensor, seed: int, create_graph: bool = False) -> list[Start]:
    """The start in each domain. Starts with equal x₀ hold the same tensor."""
    if rule.coordinates == "signal":
        keyed = Keyed(x, seed)
        first = RowIndex.product(torch.ones(len(x), dtype=torch.long), x.device)
        base = _checked(rule, rule.draw(keyed, first), x, create_graph)
        draw = functools.partial(rule.draw, keyed) if rule.random else repeated(base)
        return [Start(base, None, draw, rule.random)] * len(domains)
    found: list[Start] = []
    for domain in domains:
        z0 = rule.coefficients(domain, x)
        base = _checked(rule, domain.inverse(z0), x, create_graph)
        base = next((known.signal for known in found if torch.equal(known.signal, base)), base)
        found.append(Start(base, z0, repeated(base)))
    return found


def repeated(base: Tensor) -> Callable[[RowIndex], Tensor]:
    """A function that gives each row the `base` (batch, …) of its example."""
    return lambda rows: base[rows.example]


def _checked(rule: Baseline, base: Tensor, x: Tensor, create_graph: bool) -> Tensor:
    if base.shape != x.shape:
        raise ValueError(f"baseline: {rule.describe()} gave shape {tuple(base.shape)} for x of shape {tuple(x.shape)}.")
    return check_range("baseline", (base if create_graph else base.detach()).to(x))
