"""Groups of coefficients as players of a game: who plays, what f is worth to a coalition, how a group's value is spread."""

import abc
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...core.checks import check_count
from ...transforms import Layout
from ...transforms.layout import GROUPINGS
from ..engine.row_index import RowIndex
from ..engine.row_sums import along, combined
from ..estimator import Chart, Cost, Estimate, Estimator, Evaluator, PointsOf

BY = ("coefficient", "block", *GROUPINGS)
ABSENT = ("baseline", "zero", "mean")
# What the players of one example are in the signal may take so many numbers, and so many times the rows of one forward.
_HELD, _FORWARDS = 2**22, 4

# rows -> how present each player is, (rows, players), 0 absent and 1 present; where coefficients
# are the players, also (rows, *coeff), or what broadcasts to it.
Design = Callable[[RowIndex], Tensor]


@dataclass(frozen=True, eq=False)
class Players:
    """A partition of the coefficients: coefficient k belongs to player index[k]; every player has at least one.

    index: (*coeff), int64.  names: of the players; empty where every coefficient is one.
    """

    index: Tensor
    names: tuple[str, ...]
    layout: Layout

    @classmethod
    def of(cls, layout: Layout, by: str, block: int = 8) -> "Players":
        """Players are single coefficients, the groups of `Layout.group(by)`, or for "block" the coefficients of one band
        that lie in one cell of `block` samples along every axis; where a coefficient has no place (Fourier), cells are
        1 / block cycles/sample wide. Channels are not told apart, except by "coefficient".
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
        """How many players."""
        return len(self.names) or self.index.numel()

    def unions(self, by: str) -> list[list[int]]:
        """The players of each group of `Layout.group(by)`.  Raises: ValueError where a player belongs to two of them."""
        groups = self.layout.group(by).index.flatten()
        owner = torch.zeros(self.count, dtype=torch.long).scatter(0, self.index.flatten(), groups)
        if not torch.equal(owner[self.index.flatten()], groups):
            raise ValueError(
                f"unions: some players belong to two groups of {by!r}; take players that lie within them, such "
                "as by='band'."
            )
        return [(owner == group).nonzero()[:, 0].tolist() for group in owner.unique().tolist()]

    def owner(self, device: torch.device) -> Tensor:
        """The player of each coefficient. Shape: (coefficients,)."""
        return self.index.flatten().to(device)

    def spread(self, values: Tensor, displacement: Tensor) -> Tensor:
        """Each player's value (batch, players), shared among its coefficients in proportion to |displacement|, or evenly
        where that is 0 throughout: sums over players are the values. Shape: (batch, *coeff).
        """
        if self.single:
            return values.reshape(displacement.shape)
        index = self.index.flatten().to(values.device).expand(len(values), -1)
        size = displacement.abs().flatten(1).to(values)
        total = values.new_zeros(values.shape).scatter_add(1, index, size)
        count = torch.bincount(index[0], minlength=values.shape[1]).to(values).expand_as(values)
        # A player that is nowhere moved has the same share everywhere; 1 stands for that, and its count for the total.
        size = torch.where(total > 0, 0, 1).to(size).gather(1, index) + size
        total, values = torch.where(total > 0, total, count).gather(1, index), values.gather(1, index)
        return (values * (size / total)).reshape(displacement.shape)


@dataclass(frozen=True, eq=False)
class Game:
    """v(m) = f(T⁻¹(s + m ⊙ (z - s))) in one domain, m given for each player, s what replaces an absent coefficient.

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

    def chunks(self, samples: int, design: Design) -> Iterator[tuple[RowIndex, Tensor, Tensor]]:
        """(rows, presence, v) for one chunk of rows after another, example by example."""
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
            absence = absence if self.players.single else absence[:, self._owner]
            absence = absence.reshape(-1, *self.displacement.shape[1:])
        return self.chart.push(along(self.chart.point, self.displacement, rows, absence))

    def _summed(self, rows: RowIndex, absence: Tensor) -> Tensor:
        """The same for linear T⁻¹: u plus a sum of what each player is in u, T⁻¹ of its part of z - s."""
        return torch.cat(
            [
                combined(self.evaluator.point[entry], absence[first:last], self._parts(entry))
                for entry, first, last in rows.runs()
            ]
        )

    def _parts(self, example: int) -> Tensor:
        """What each player is in u, kept for the last example. Shape: (players, *u)."""
        if example not in self._kept:
            self._kept.clear()
            player = torch.arange(self.players.count, device=self.displacement.device)
            moved, owner = self.displacement[example], self.players.index.to(player.device)
            parts = [
                self.chart.push(torch.where(owner == some.reshape(-1, *[1] * owner.ndim), moved, 0))
                for some in player.split(self.evaluator.engine.limit)
            ]
            self._kept[example] = self.evaluator.engine.arranged(torch.cat(parts))
        return self._kept[example]

    @functools.cached_property
    def _owner(self) -> Tensor:
        return self.players.owner(self.displacement.device)


class Perturbation(Estimator):
    """Forward-only estimators: f is read with coefficients present and absent; no gradient is taken.

    Every domain has its own perturbations, so model rows grow with the number of domains.
    """

    value = "baseline"  # what absent coefficients are replaced by

    @abc.abstractmethod
    def players(self, layout: Layout) -> Players:
        """Who plays in a domain of that layout."""

    @abc.abstractmethod
    def evaluations(self, players: Players) -> int:
        """Evaluations for one example."""

    @abc.abstractmethod
    def play(self, game: Game) -> tuple[Tensor, dict[str, Any]]:
        """The players' values (batch, players), and details."""

    def estimate(self, evaluator: Evaluator) -> Estimate:
        games = [Game.of(evaluator, chart, self.players(chart.layout), self.value) for chart in evaluator.charts]
        values, details = [], []
        for game in games:
            found, more = self.play(game)
            values.append(game.players.spread(found, game.displacement))
            details.append({"groups": list(game.players.names)} | more)
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


def check_players(who: str, by: str, block: int = 1, value: str = "baseline", more: Sequence[str] = ()) -> None:
    """Raises: ValueError that lists the choices."""
    if by not in (*BY, *more):
        raise ValueError(f"{who}: expected by in {', '.join((*BY, *more))}; got {by!r}.")
    check_count(who, "block", block)
    if value not in ABSENT:
        raise ValueError(f"{who}: expected value in {', '.join(ABSENT)}; got {value!r}.")
