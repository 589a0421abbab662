"""Displacements and covectors of a set of examples: all that their attributions in any linear domain follow from."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution
from ..attribution.result import known_covector
from ..core.checks import listed, quoted
from ..core.precision import in_full_products
from ..transforms import Transform, TransformClaim, get

_BLOCK = 2**22  # numbers of one tensor that are transformed together
_SMALL = 2**17  # numbers of one tensor, up to which a call costs about as much as the work in it


@dataclass(frozen=True, eq=False)
class Pairs:
    """For each example x - x₀ and ḡ, of which the values in a linear domain T are a = T(x - x₀) ⊙ T.adjoint(ḡ).

    displacement: x - x₀.  covector: ḡ.  signal: x. Shapes: (examples, *shape).
    score_difference: f(x) - f(x₀), (examples,).  group: what an example shares with others, such as its photo, (examples,).
    blind: whether the covector is the displacement, so that nothing of the model is left.

    >>> att = pb.attribute(lambda x: x.pow(2).sum((1, 2)), torch.tensor([[[3.0, 4.0]]]), transform="dct")
    >>> pairs = Pairs.of(att)
    >>> pairs.values(pb.transforms.get("pixel", (1, 2))).round(decimals=3), pairs.total.round(decimals=3)
    (tensor([[[ 9., 16.]]]), tensor([25.]))
    """

    displacement: Tensor
    covector: Tensor
    signal: Tensor
    score_difference: Tensor
    group: Tensor
    blind: bool = False

    @classmethod
    def of(cls, source: "Pairs | Attribution | Sequence[Attribution]", groups: object = None) -> "Pairs":
        """The pairs of attributions, which must keep a covector.

        groups: one number or name for each example; None makes each example its own group.
        Raises: TypeError or ValueError where an attribution keeps no covector, or groups are not one for each example.
        """
        if isinstance(source, Pairs):
            return source
        atts: list[Any] = list(source) if isinstance(source, list | tuple) else [source]
        covector = torch.cat([known_covector("fit_domain", att) for att in atts])
        moved = torch.cat([att.transform.inverse(att.displacement) for att in atts])
        signal = torch.cat([att.transform.inverse(att.coefficients) for att in atts])
        difference = torch.cat([att.score_difference for att in atts])
        return cls(moved, covector, signal, difference, _numbered(groups, len(covector)))

    def __len__(self) -> int:
        return len(self.displacement)

    def __getitem__(self, rows: Tensor | slice) -> "Pairs":
        parts = {name: getattr(self, name)[rows] for name in _TENSORS}
        return replace(self, **parts)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one signal."""
        return tuple(self.displacement.shape[1:])

    @functools.cached_property
    def scale(self) -> Tensor:
        """‖x - x₀‖ ‖ḡ‖, which Σ|a| exceeds in no orthonormal domain; 1 where it is 0. Shape: (examples,)."""
        product = self.displacement.flatten(1).norm(dim=1) * self.covector.flatten(1).norm(dim=1)
        return product.where(product > 0, 1)

    @functools.cached_property
    def total(self) -> Tensor:
        """⟨x - x₀, ḡ⟩ = Σ a, the same in every domain. Shape: (examples,)."""
        return (self.displacement * self.covector).flatten(1).sum(1)

    def values(self, transform: Transform) -> Tensor:
        """a in the domain of a linear transform. Shape: (examples, *coeff)."""
        z, g = self.moved_by(transform)
        return z * g

    def moved_by(self, transform: Transform) -> tuple[Tensor, Tensor]:
        """T(x - x₀) and T.adjoint(ḡ), the same tensor where the pairs are blind. Shapes: (examples, *coeff)."""
        if TransformClaim.ORTHOGONAL not in transform.claims:
            z = transform(self.displacement)
            return z, z if self.blind else transform.adjoint(self.covector)
        found = [part for whole in self._in(transform) for part in whole.split(len(self))]  # T⁻ᵀ = T
        return found[0], found[-1]

    def _in(self, transform: Transform) -> list[Tensor]:
        """`_ends` in an orthogonal domain; one that splits bands of the last one further goes on from there."""
        way = self._last and transform.refinement(self._last[0])
        made = [in_full_products(way, z) for z in self._last[1]] if way else [transform(x) for x in self._ends]
        self._last[:] = [] if made[0].requires_grad else [transform, made]
        return made

    @functools.cached_property
    def _ends(self) -> list[Tensor]:
        """x - x₀ and ḡ, together where a call costs about as much as its work; only the first where they are the same."""
        ends = [self.displacement] if self.blind else [self.displacement, self.covector]
        return [torch.cat(ends)] if self.displacement.numel() <= _SMALL else ends

    @functools.cached_property
    def _last(self) -> list[Any]:
        """The orthogonal transform that was last asked for, and `_ends` in its domain."""
        return []

    @property
    def blocks(self) -> list["Pairs"]:
        """Parts of a few examples each, so that memory does not grow with their number."""
        return [self] if len(self) <= self.per_block else self._parts

    @functools.cached_property
    def _parts(self) -> list["Pairs"]:
        return [self[slice(start, start + self.per_block)] for start in range(0, len(self), self.per_block)]

    @property
    def per_block(self) -> int:
        """The number of examples that are handled together."""
        return max(1, _BLOCK // math.prod(self.shape))

    def without_model(self) -> "Pairs":
        """The same displacements with themselves for covectors: what a search that never sees the model works with."""
        return replace(self, covector=self.displacement, blind=True)

    def shuffled(self, seed: int = 0) -> "Pairs":
        """Each displacement with the covector of an example of another group.  Raises: ValueError for one group."""
        names = self.group.unique()
        if len(names) < 2:
            raise ValueError("shuffled: expected examples of at least two groups, got one.")
        order = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).to(names.device)]
        taken = torch.empty(len(self), dtype=torch.long, device=self.group.device)
        for own, other in zip(order, order.roll(1)):
            mine, theirs = (self.group == own).nonzero()[:, 0], (self.group == other).nonzero()[:, 0]
            taken[mine] = theirs[torch.arange(len(mine), device=mine.device) % len(theirs)]
        return replace(self, covector=self.covector[taken])

    def moved(self, transform: Transform) -> "Pairs":
        """The same examples in the coordinates of an orthogonal transform that keeps their shape."""
        moved = {name: transform(getattr(self, name)) for name in ("displacement", "covector", "signal")}
        return replace(self, **moved)

    def as_attribution(self) -> Attribution:
        """The values in pixels as an `Attribution`, for analyses that take one."""
        fields: dict[str, Any] = {"coefficients": self.signal, "displacement": self.displacement, "covector": self.covector}
        pixel = get("pixel", self.shape)
        difference = self.score_difference
        return Attribution(self.values(pixel), **fields, score_difference=difference, transform=pixel)


_TENSORS = ("displacement", "covector", "signal", "score_difference", "group")


def _numbered(groups: object, count: int) -> Tensor:
    """Groups as numbers, (count,)."""
    if groups is None:
        return torch.arange(count)
    names = groups.tolist() if isinstance(groups, Tensor) else listed(groups)
    if not isinstance(names, list) or len(names) != count:
        raise ValueError(f"groups: expected one number or name for each of {count} examples, got {quoted(groups)}.")
    places = {name: number for number, name in enumerate(dict.fromkeys(map(str, names)))}
    return torch.tensor([places[str(name)] for name in names])


def picked(target: Any, rows: Tensor, count: int) -> Any:
    """The targets of these rows, where there is one for each of `count` examples; else the target of all."""
    if not isinstance(target, Tensor | list | tuple) or len(target) != count:
        return target
    return target[rows] if isinstance(target, Tensor) else [target[i] for i in rows.tolist()]
