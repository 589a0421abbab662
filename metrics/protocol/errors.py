"""Selection errors of one map: by control, family, kind of budget and answer, all from one open model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...transforms import Transform
from ..judged import Answer, Answers, Judged
from ..selection import Budgets
from .families import Family, projected

Curves = NDArray[np.float64]  # (batch, budgets, 2): f(kept) - f(x) and f(left) - f(x₀), in units of the answer


@dataclass(frozen=True)
class Cell:
    """What a curve of selection errors belongs to.

    control: the ranking, "attribution" for the map itself.  family: what is removed, "own" or the name of a domain.
    by: the kind of budget.  answer: the number that f is.
    """

    domain: str
    control: str
    family: str
    by: Budgets
    answer: str = "score"


@dataclass(frozen=True)
class Distinct:
    """The selections of one ranking, each once: of which example, of how many coefficients, and who asked.

    example, count: (rows,).  place: the row of each question, (kinds × budgets, batch).
    """

    example: Tensor
    count: Tensor
    place: Tensor

    @classmethod
    def of(cls, judged: Judged, ranking: str, kinds: tuple[Budgets, ...], budgets: tuple[float, ...]) -> "Distinct":
        """Those of a ranking of a map."""
        table = torch.cat([judged.counts(ranking, budgets, by) for by in kinds])
        example = torch.arange(table.shape[1], device=table.device).expand_as(table)
        rows, place = torch.stack([example, table], -1).flatten(0, 1).unique(dim=0, return_inverse=True)
        return cls(rows[:, 0], rows[:, 1], place.reshape(table.shape))


@dataclass(frozen=True, eq=False)
class Grid:
    """What is asked of one map: budgets, kinds of budgets, and the answers that are compared."""

    budgets: tuple[float, ...]
    kinds: tuple[Budgets, ...]
    answers: tuple[Answer, ...]

    def curves(self, judged: Judged, domain: str, control: str, families: Mapping[str, Family | None]) -> dict[Cell, Curves]:
        """f(kept) - f(x) and f(left) - f(x₀) of a ranking, in each of the families, from which `errors` makes E.

        In its own family (None) the selection alone is kept, or alone removed, to the baseline; in the family P what is
        removed, r, is replaced by Π_P(r), or as `blur` and `noise` say. Each distinct input is evaluated once in each family.
        """
        asked = Distinct.of(judged, control, self.kinds, self.budgets)
        found: dict[Cell, Curves] = {}
        for family, (kept, left) in zip(families, _answers(judged, control, asked, list(families.values()))):
            for answer in self.answers:
                halves = self._halves(judged, asked, getattr(kept, answer), getattr(left, answer), answer)
                found |= {Cell(domain, control, family, by, answer): each for by, each in zip(self.kinds, halves)}
        return found

    def _halves(self, judged: Judged, asked: Distinct, kept: Tensor, left: Tensor, answer: Answer) -> list[Curves]:
        """The curves of each kind of budget."""
        at_x, at_base = judged.at_ends(answer)
        halves = torch.stack([kept[asked.place] - at_x, left[asked.place] - at_base], -1)
        return [part.transpose(0, 1).double().cpu().numpy() for part in halves.chunk(len(self.kinds))]


def errors(curve: Curves, difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """E = ½ (|f(kept) - f(x)| + |f(left) - f(x₀)|) / mean |f(x) - f(x₀)|, (batch, budgets).

    difference: f(x) - f(x₀), (batch,).
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN where f(x) = f(x₀) everywhere
        found: NDArray[np.float64] = np.abs(curve).mean(-1) / np.abs(difference).mean()
    return found


def _answers(
    judged: Judged, control: str, asked: Distinct, families: Sequence[Family | None]
) -> Iterator[tuple[Answers, Answers]]:
    """What the model says where each distinct selection is kept, and where it is removed, by each family.

    All inputs of a selection stand next to each other, since T⁻¹ gives its component once for all of them.
    """
    rank, each = judged.rank(control), 2 * len(families)

    def points(part: slice) -> Tensor:
        number = torch.arange(part.start, min(part.stop, each * len(asked.example)), device=rank.device)
        row, variant = number // each, number % each
        some = slice(int(row[0]), int(row[-1]) + 1)
        of, count = asked.example[some], asked.count[some].reshape(-1, *[1] * (rank.ndim - 1))
        shown = judged.selected(rank[of] < count, of, variant % 2 == 1, row - row[0])
        for place, family in enumerate(families):
            if family is not None and bool((own := variant // 2 == place).any()):
                shown[own] = _removed(family, judged.ends[asked.example[row[own]], 0], shown[own])
        return shown

    table = judged.at(asked.example.repeat_interleave(each), points).table.unflatten(0, (-1, len(families), 2))
    return ((Answers.of(table[:, place, 0]), Answers.of(table[:, place, 1])) for place in range(len(families)))


def _removed(family: Family, x: Tensor, shown: Tensor) -> Tensor:
    """x without what the family takes away of the component that `shown` lacks. Shape: (rows, *shape)."""
    return x - (projected(family, x - shown) if isinstance(family, Transform) else family(x - shown))
