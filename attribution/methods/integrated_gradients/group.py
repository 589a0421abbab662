"""A group of examples whose integrated gradients are refined together: grids, running sums and saved state."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engine.row_index import RowIndex
from ...estimator import Evaluator, check_gradient
from ...resume import digests
from . import clenshaw_curtis
from .error_estimate import PARTS, Certificate, Grid, Path, certificate, is_smooth, pulls
from .quadrature import refine, trapezoid_weights

SKETCH = 1024  # numbers kept of each gradient; about 2 % of relative error in distances
_LINEAR = PARTS  # the running sums: first those of the correction, then that of the current weights
_NO_LIMIT = 64


class Sketch:
    """`SKETCH` signed sums of the entries of ∇f ⊙ Δ, with the same signs for all; the entries themselves if they are fewer.

    The expected squared length is that of ∇f ⊙ Δ.
    """

    def __init__(self, like: Tensor) -> None:
        signs = torch.randint(0, 2, (like[0].numel(),), generator=torch.Generator().manual_seed(0)) * 2 - 1
        self._signs, self.size = signs.to(like), min(len(signs), SKETCH)

    def __call__(self, rows: Tensor) -> Tensor:
        """rows: (rows, size). Shape: (rows, sketch)."""
        if rows.shape[1] <= SKETCH:
            return rows
        signed = torch.nn.functional.pad(rows * self._signs, (0, -rows.shape[1] % SKETCH))
        return signed.reshape(len(rows), -1, SKETCH).sum(1)


class Group:
    """Examples whose pilots fit into one forward together; each is refined level by level until it meets the tolerance.

    sums: (members, sums, size): those of the correction, then the map of a path with jumps, or of each later smooth level.
    """

    def __init__(
        self, evaluator: Evaluator, members: Sequence[int], sketch: Sketch, gaps: int, sizes: Sequence[int], ahead: int
    ) -> None:
        self.evaluator, self.members, self.sketch, self.gaps, self.sizes = evaluator, members, sketch, gaps, sizes
        self.step = (evaluator.point - evaluator.base).flatten(1)
        self.floor = 64 * torch.finfo(evaluator.point.dtype).eps
        self.scale = scales(self.step)
        self.sums = self.step.new_zeros(len(members), PARTS + max(1, len(sizes) - 1 + ahead), self.step.shape[1])
        self.origin = self.step.new_zeros(len(members), self.step.shape[1])  # ∇f at α = 0
        self.pilot = self.step.new_empty(len(members), sizes[0], self.step.shape[1])
        self.paths: dict[int, Path] = {}
        self.level: dict[int, int] = {}
        self.limit: dict[int, int] = {}  # the last level for which an earlier run kept sums of a smooth path
        self.found: dict[int, Certificate] = {}

    def run(self, tol: float, correct: bool) -> None:
        self._judge(list(self.paths), tol, correct)  # those of an earlier run
        for level in range(len(self.sizes)):
            due = [p for p in range(len(self.members)) if p not in self.found and self.level.get(p, -1) == level - 1]
            if due:
                self._advance(due, level)
                self._judge(due, tol, correct)

    def last(self, place: int) -> int:
        """The highest level that a path can reach with the sums that are kept."""
        if not self.paths[place].grid.cells or not self.level[place]:
            return _NO_LIMIT
        return min(self.sums.shape[1] - PARTS, self.limit.get(place, _NO_LIMIT))

    def covector(self, place: int) -> Tensor:
        """Σ w ∇f of a member, with the weights of its certificate. Shape: (size,)."""
        found, level = self.found[place], self.level[place]
        if level == 0:
            return self.pilot.new_tensor(found.weights) @ self.pilot[place]
        current = self.sums[place, _LINEAR + (level - 1 if self.paths[place].grid.cells else 0)]
        return current + self.sums.new_tensor(found.mix) @ self.sums[place, :PARTS]

    def _judge(self, places: Sequence[int], tol: float, correct: bool) -> None:
        for place in places:
            verdict = certificate(self.paths[place], tol, correct, self.floor)
            if verdict.converged or self.level[place] >= min(len(self.sizes) - 1, self.last(place)):
                self.found[place] = verdict

    def _advance(self, places: Sequence[int], level: int) -> None:
        """Refines these paths from the level below to `level`."""
        if level == 0:
            self._start(places)
            return
        new, grids = {}, {}
        for place in places:
            grids[place], new[place] = self._next(place, level)
            if level == 1:
                self._add_pilot(place, grids[place])
        self._add(grids, new, level)

    def _next(self, place: int, level: int) -> tuple[Grid, np.ndarray]:
        """The grid of the next level, and its new nodes."""
        path, cells = self.paths[place], self.paths[place].grid.cells
        if cells and (level > 1 or (3 * cells < self.sizes[1] and is_smooth(path, self.floor))):
            factor = 3 if level == 1 else 2
            grid = Grid.smooth(cells * factor)
            return grid, grid.nodes[np.arange(grid.cells + 1) % factor != 0]
        return self._refined(place, path) if level == 1 else self._halved(place, level)

    def _start(self, places: Sequence[int]) -> None:
        """Evaluates the pilot, whose gradients are kept until their weights are known."""
        grid = Grid.smooth(self.sizes[0] - 1)
        facts = {place: np.empty((self.sizes[0], 3 + self.sketch.size)) for place in places}
        for place, chosen, rows, gradient in self._visit(dict.fromkeys(places, grid.nodes)):
            facts[place][chosen] = rows
            self.pilot[place, torch.as_tensor(chosen, device=gradient.device)] = gradient
        for place, known in facts.items():
            self.paths[place], self.level[place] = Path.of(grid, known, self.step.shape[1]), 0

    def _refined(self, place: int, path: Path) -> tuple[Grid, np.ndarray]:
        """The second level of a path with jumps."""
        self.origin[place] = self.pilot[place, 0]
        new = refine(path.grid.nodes, path.changes(self.floor**2), self.sizes[1] - len(path.score))
        return Grid.on(np.sort(np.concatenate([path.grid.nodes, new]))), new

    def _halved(self, place: int, level: int) -> tuple[Grid, np.ndarray]:
        """A later level of a path with jumps: the running sum is halved, as all old weights are but that of node 0."""
        grid, new, shift = self.paths[place].grid.halved(self.sizes[level])
        self.sums[place, _LINEAR] = self.sums[place, _LINEAR] / 2 + shift * self.origin[place]
        return grid, new

    def _add_pilot(self, place: int, grid: Grid) -> None:
        """Adds the pilot's gradients with their new weights."""
        path = self.paths[place]
        at = np.searchsorted(grid.nodes, path.grid.nodes - 1e-12)
        self._sum(place, grid, at, np.column_stack([path.slope, path.square]), self.pilot[place], 1)

    def _add(self, grids: dict[int, Grid], new: dict[int, np.ndarray], level: int) -> None:
        """Evaluates the nodes `new`: their gradients go into the running sums, and the numbers into the paths."""
        facts = {place: np.empty((len(nodes), 3 + self.sketch.size)) for place, nodes in new.items()}
        for place, chosen, rows, gradient in self._visit(new):
            facts[place][chosen] = rows
            at = np.searchsorted(grids[place].nodes, new[place][chosen])
            self._sum(place, grids[place], at, rows[:, 1:3], gradient, level)
        for place, known in facts.items():
            self.paths[place], self.level[place] = self.paths[place].grown(grids[place], new[place], known), level

    def _sum(self, place: int, grid: Grid, at: np.ndarray, facts: np.ndarray, gradient: Tensor, level: int) -> None:
        """Adds gradients (nodes, size) at the positions `at` of `grid`.  facts: F and ‖∇f ⊙ Δ‖², (nodes, 2)."""
        weights = np.zeros((len(at), self.sums.shape[1]))
        weights[:, :PARTS] = pulls(grid, grid.nodes[at], *facts.T)
        weights[:, _LINEAR] = grid.weights[at]
        if grid.cells:
            for step, column in enumerate(range(_LINEAR + level - 1, self.sums.shape[1])):
                weights[:, column] = clenshaw_curtis.weights(grid.cells << step)[at << step]
        self.sums[place] += self.sums.new_tensor(weights).T @ gradient

    def _visit(self, wanted: Mapping[int, np.ndarray]) -> Iterator[tuple[int, np.ndarray, np.ndarray, Tensor]]:
        """(member, which of its wanted nodes, [f, F, ‖∇f ⊙ Δ‖², sketch], ∇f), a few nodes of one member at a time.

        f and Δ are divided by the size of Δ, and ∇f ⊙ Δ by its own size before it is squared, so that small or large
        inputs or gradients stay in the range of the dtype; NumPy's double precision has a wider range.
        """
        evaluator = self.evaluator
        counts = torch.zeros(len(evaluator.point), dtype=torch.long, device=self.step.device)
        table = self.step.new_zeros(len(evaluator.point), max(map(len, wanted.values()), default=0))
        place_of = {self.members[place]: place for place in wanted}
        for place, nodes in wanted.items():
            counts[self.members[place]] = len(nodes)
            table[self.members[place], : len(nodes)] = table.new_tensor(nodes)

        def points(rows: RowIndex) -> Tensor:
            moved = table[rows.example, rows.sample, None] * self.step[rows.example]
            return evaluator.base[rows.example] + moved.reshape(-1, *evaluator.base.shape[1:])

        for index, score, gradient in evaluator.gradient_chunks(counts, points):
            gradient = gradient.flatten(1)
            scale = self.scale[index.example]
            moved = gradient * (self.step[index.example] / scale[:, None])
            unit = scales(moved)
            square = (moved / unit[:, None]).square().sum(1)
            known = torch.column_stack([score.to(moved), scale, unit, square, moved.sum(1), self.sketch(moved)])
            check_gradient(known, index.example)
            facts, chosen = known.cpu().numpy().astype(float), np.array(index.samples)
            rows = np.column_stack([facts[:, 0] / facts[:, 1], facts[:, 4], facts[:, 2] ** 2 * facts[:, 3], facts[:, 5:]])
            for entry, first, last in index.runs():
                yield place_of[entry], chosen[first:last], rows[first:last], gradient[first:last]

    def state(self) -> dict[str, Tensor]:
        """What a later run needs to continue from these members, batch first.

        kept_sums: gradients of the pilot, or ∇f at α = 0 and the running sums.  kept_nodes: α, f, F, ‖∇f ⊙ Δ‖² and sketch of
        each.  kept_edges: between the path's parts.  kept_plan: nodes, cells, planned gaps, level, last level.  kept_x: digest.
        """
        state = torch.cat([self.origin[:, None], self.sums], 1)
        state = torch.nn.functional.pad(state, (0, 0, 0, max(0, self.pilot.shape[1] - state.shape[1])))
        facts, edges, plan = [], [], []
        for place in range(len(self.members)):
            path, level = self.paths[place], self.level[place]
            if level == 0:
                state[place, : self.pilot.shape[1]] = self.pilot[place]
            facts.append(np.column_stack([path.grid.nodes, path.score, path.slope, path.square, path.sketch]))
            edges.append(path.grid.edges)
            plan.append([len(path.score), path.grid.cells, self.gaps, level, self.last(place)])
        signal = self.evaluator.signal[self.members[0] : self.members[-1] + 1]
        return {
            "kept_sums": state,
            "kept_nodes": torch.from_numpy(padded(facts)),
            "kept_edges": torch.from_numpy(np.stack(edges)),
            "kept_plan": torch.tensor(plan),
            "kept_x": digests(signal),
        }

    def restore(self, earlier: Mapping[str, Any]) -> None:
        """Restores the members' `state` from the details of an earlier run."""
        for place, example in enumerate(self.members):
            count, cells, _, level, last = earlier["kept_plan"][example].tolist()
            known = earlier["kept_nodes"][example, :count].cpu().numpy()
            edges = earlier["kept_edges"][example].cpu().numpy()
            grid = Grid.smooth(cells) if cells else Grid(known[:, 0], trapezoid_weights(known[:, 0]), edges)
            self.paths[place] = Path.of(grid, known[:, 1:], self.step.shape[1])
            self.level[place], self.limit[place] = level, last
            state = earlier["kept_sums"][example].to(self.sums)
            if level == 0:
                self.pilot[place] = state[: self.pilot.shape[1]]
                continue
            self.origin[place] = state[0]
            held = min(len(state) - 1, self.sums.shape[1])
            self.sums[place, :held] = state[1 : 1 + held]


def scales(step: Tensor) -> Tensor:
    """The next power of two above the largest entry of each example, (batch, size); 1 where all entries are 0."""
    largest = step.abs().amax(1)
    return torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent)


def padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of unequal length as one array, padded with zeros at their ends."""
    longest = max(map(len, rows))
    return np.stack([np.pad(row, [(0, longest - len(row)), *[(0, 0)] * (row.ndim - 1)]) for row in rows])
