"""Groups of coefficients as players of a game: the players, the value of f for a coalition, and how a value is spread."""

import abc
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.checks import check_choice, check_count
from ...transforms import Layout
from ...transforms.layout import GROUPINGS
from ..engine.row_index import RowIndex
from ..engine.row_sums import along, combined
from ..estimator import Chart, Cost, Estimate, Estimator, Evaluator, PointsOf

BY = ("coefficient", "block", *GROUPINGS)
ABSENT = ("baseline", "zero", "mean")
# The parts of one example's players in the signal may hold at most _HELD numbers, and _FORWARDS times the rows of one forward.
_HELD, _FORWARDS = 2**22, 4

# rows -> the presence of each player, (rows, players), 0 absent and 1 present; where coefficients
# are the players, also (rows, *coeff), or what broadcasts to it.
Design = Callable[[RowIndex], Tensor]
recent = functools.lru_cache(maxsize=4)  # keeps tables of the last few examples


@dataclass(frozen=True, eq=False)
class Players:
    """A partition of the coefficients: coefficient k belongs to player index[k]; every player has at least one.

    index: (*coeff), int64.  names: of the players; empty where every coefficient is a player.
    """

    index: Tensor
    names: tuple[str, ...]
    layout: Layout

    @classmethod
    def of(cls, layout: Layout, by: str, block: int = 8) -> "Players":
        """The players of a layout.

        by: "coefficient" for single coefficients, a name of `Layout.group`, or "block": the coefficients of one band that
        lie in one cell of `block` samples along every axis. Where a coefficient has no place (Fourier), cells are
        1 / block cycles/sample wide. Only "coefficient" separates channels.
        """
        if by == "coefficient":
            return cls(torch.arange(layout.index.numel()).reshape(layout.shape), (), layout)
        if by != "block":
            groups = layout.group(by)
            present = groups.sizes > 0  # a short signal leaves bands empty
            index = groups.index if bool(present.all()) else (present.cumsum(0) - 1)[groups.index]
            return cls(index, tuple(band.name for band, some in zip(groups.bands, present.tolist()) if some), layout)
        cells = torch.where(layout.position.isnan(), layout.frequency * block, layout.position / block)
        keys = torch.cat([layout.index[None], cells.nan_to_num(0).floor().long()])
        present, index = torch.unique(keys.flatten(1), dim=1, return_inverse=True)
        names = tuple(f"{layout.bands[band].name} {tuple(cell)}" for band, *cell in present.T.tolist())
        return cls(index.reshape(layout.shape), names, layout)

    @property
    def single(self) -> bool:
        """Whether every coefficient is a player."""
        return not self.names

    @property
    def count(self) -> int:
        """The number of players."""
        return len(self.names) or self.index.numel()

    def unions(self, by: str) -> list[list[int]]:
        """The players of each group of `Layout.group(by)`.  Raises: ValueError where a player belongs to two groups."""
        groups = self.layout.group(by).index.flatten()
        owner = torch.zeros(self.count, dtype=torch.long).scatter(0, self.index.flatten(), groups)
        if not torch.equal(owner[self.index.flatten()], groups):
            advice = "take players that lie within them, as by='band'"
            raise ValueError(f"unions: some players belong to two groups of {by!r}; {advice}.")
        return [(owner == group).nonzero()[:, 0].tolist() for group in owner.unique().tolist()]

    def spread(self, values: Tensor, displacement: Tensor) -> Tensor:
        """Each player's value (batch, players), spread in proportion to |displacement|; sums stay. Shape: (batch, *coeff)."""
        if self.single:
            return values.reshape(displacement.shape)
        index = self.index.flatten().to(values.device).expand(len(values), -1)
        size = displacement.abs().flatten(1).to(values)
        total = values.new_zeros(values.shape).scatter_add(1, index, size)
        count = torch.bincount(index[0], minlength=values.shape[1]).to(values).expand_as(values)
        # Where a player has no displacement, its coefficients get equal parts: size 1 each, their count as the total.
        size = torch.where(total > 0, 0, 1).to(size).gather(1, index) + size
        total, values = torch.where(total > 0, total, count).gather(1, index), values.gather(1, index)
        return (values * (size / total)).reshape(displacement.shape)


@dataclass(frozen=True, eq=False)
class Game:
    """v(m) = f(T⁻¹(s + m ⊙ (z - s))) in one domain: m the presence of each player, s the substitute for absent coefficients.

    displacement: z - s, (batch, *coeff).
    """

    evaluator: Evaluator
    chart: Chart
    players: Players
    displacement: Tensor
    _kept: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, evaluator: Evaluator, chart: Chart, players: Players, absent: str) -> "Game":
        """absent: "baseline" (z₀), "zero", or "mean" (that of the coefficient's band in this example)."""
        if absent == "mean":
            return cls(evaluator, chart, players, chart.point - band_mean(chart.layout, chart.point))
        return cls(evaluator, chart, players, chart.displacement if absent == "baseline" else chart.point)

    def values(self, samples: int, design: Design) -> Tensor:
        """v of every sample. Shape: (batch, samples)."""
        return self.evaluator.scores(samples, self._points(samples, design))

    def fitted(self, samples: int, coalitions: Callable[[int], Tensor], fit: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """fit(m, v) for each example, m = coalitions(example), (samples, players). Shape: (batch, players)."""
        table = recent(coalitions)
        values = self.values(samples, per_example(table))
        return torch.stack([fit(table(example).to(v), v) for example, v in enumerate(values)])

    def chunks(self, samples: int, design: Design) -> Iterator[tuple[RowIndex, Tensor, Tensor]]:
        """(rows, presence, v), a chunk of rows at a time, example by example."""
        fed: list[Tensor] = []

        def remembered(rows: RowIndex) -> Tensor:
            fed[:] = [design(rows)]
            return fed[0]

        for rows, value in self.evaluator.score_chunks(samples, self._points(samples, remembered)):
            yield rows, fed[0].to(value), value

    def _points(self, samples: int, design: Design) -> PointsOf:
        """rows -> u.  Masks of signal size exist for one chunk of rows only."""
        most = min(_FORWARDS * self.evaluator.engine.limit, _HELD // self.evaluator.point[0].numel())
        few = self.players.count <= min(samples, most)

        def points(rows: RowIndex) -> Tensor:
            absence = design(rows).to(self.displacement) - 1
            return (self._summed if few and absence.ndim == 2 else self._masked)(rows, absence)

        return points

    def _masked(self, rows: RowIndex, absence: Tensor) -> Tensor:
        """T⁻¹(z + absence ⊙ (z - s)).  absence: -1 where a player is absent, (rows, players), or (rows, *coeff)."""
        if absence.ndim == 2:
            absence = absence if self.players.single else absence[:, self._owner.flatten()]
            absence = absence.reshape(-1, *self.displacement.shape[1:])
        return self.chart.push(along(self.chart.point, self.displacement, rows, absence))

    def _summed(self, rows: RowIndex, absence: Tensor) -> Tensor:
        """The same for linear T⁻¹: u plus a weighted sum of the players' parts of T⁻¹(z - s)."""
        point, runs = self.evaluator.point, rows.runs()
        return torch.cat([combined(point[entry], absence[start:end], self._parts(entry)) for entry, start, end in runs])

    def _parts(self, example: int) -> Tensor:
        """T⁻¹ of each player's part of z - s, kept for the last example. Shape: (players, *u)."""
        if example not in self._kept:
            self._kept.clear()
            owner, moved, engine = self._owner, self.displacement[example], self.evaluator.engine
            players = torch.arange(self.players.count, device=owner.device).reshape(-1, *[1] * owner.ndim)
            parts = [self.chart.push(torch.where(owner == some, moved, 0)) for some in players.split(engine.limit)]
            self._kept[example] = engine.arranged(torch.cat(parts))
        return self._kept[example]

    @functools.cached_property
    def _owner(self) -> Tensor:
        """The player of each coefficient. Shape: (*coeff)."""
        return self.players.index.to(self.displacement.device)


class Perturbation(Estimator):
    """A method that needs no gradient: it evaluates f with coefficients present and absent.

    Every domain has its own perturbations, so the number of evaluations grows with the number of domains.
    by, block: the players, see `Players.of`.  value: the substitute for absent coefficients, see `Game.of`.
    """

    by: str
    block: int
    value = "baseline"

    def __post_init__(self) -> None:
        self._check("by", self.by, BY)

    def _check(self, what: str, by: str, choices: Sequence[str]) -> None:
        check_choice(self.name, what, by, choices)
        check_choice(self.name, "value", self.value, ABSENT)
        check_count(self.name, "block", self.block)

    def players(self, layout: Layout) -> Players:
        """The players in a domain of that layout."""
        return Players.of(layout, self.by, self.block)

    @abc.abstractmethod
    def evaluations(self, players: Players) -> int:
        """Evaluations for one example."""

    @abc.abstractmethod
    def play(self, game: Game) -> tuple[Tensor, dict[str, Any]]:
        """The players' values (batch, players), and details."""

    def estimate(self, evaluator: Evaluator) -> Estimate:
        games = [Game.of(evaluator, chart, self.players(chart.layout), self.value) for chart in evaluator.charts]
        played = [self.play(game) for game in games]
        values = [game.players.spread(found, game.displacement) for game, (found, _) in zip(games, played)]
        details = [{"groups": list(game.players.names)} | more for game, (_, more) in zip(games, played)]
        return Estimate(values, details=details, displacements=[game.displacement for game in games])

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(forwards=sum(self.evaluations(self.players(layout)) for layout in layouts))


def band_mean(layout: Layout, values: Tensor) -> Tensor:
    """The mean of each coefficient's band in its example. Shape: as `values`, (batch, *coeff)."""
    means = layout.sum(values) / layout.sizes.to(values).clamp(min=1)
    return means[:, layout.index.to(values.device)]


def per_example(table: Callable[[int], Tensor]) -> Design:
    """The design whose rows for an example are `table(example)`, (samples, players)."""

    def design(rows: RowIndex) -> Tensor:
        parts = [table(entry)[rows.samples[first:last]] for entry, first, last in rows.runs()]
        return torch.cat(parts).to(rows.example.device)

    return design


def subsets(n: int) -> np.ndarray:
    """All subsets of n things; bit i of the row's number says whether i is in. Shape: (2^n, n), bool."""
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
