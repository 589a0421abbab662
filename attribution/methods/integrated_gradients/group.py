"""A group of examples whose integrated gradients are refined together: grids, running sums and saved state."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engine.row_index import RowIndex
from ...estimator import Evaluator, check_gradient
from ...resume import digests
from . import clenshaw_curtis
from .error_estimate import PARTS, Certificate, Grid, Path, certificate, is_smooth, pulls
from .quadrature import levels, refine, trapezoid_weights
from .sketch import Sketch, scales
from .substitution import IDENTITY, LADDER, NEAR, SIDES, Substitution, followed, singular_ends

_BEYOND, _LINEAR = PARTS, PARTS + 1  # the running sums: those of the correction, then these two
_NO_LIMIT = 64
Use = Callable[[int, np.ndarray, np.ndarray, Tensor], None]  # (member, which of its nodes, facts, ∇f)


class Group:
    """Examples whose pilots fit into one forward together; each is refined level by level until it meets the tolerance.

    sums: (members, sums, size): those of the correction, the parts beyond the nodes of a singular path, then the map of a
    path with jumps, or of each later smooth level.  spent: evaluations that are not nodes of the path.
    """

    def __init__(self, evaluator: Evaluator, members: Sequence[int], sketch: Sketch, gaps: int, most: int, ahead: int) -> None:
        self.evaluator, self.members, self.sketch, self.gaps, self.most = evaluator, members, sketch, gaps, most
        self.sizes = sizes = levels(most, gaps)
        self.step = (evaluator.point - evaluator.base).flatten(1)
        self.floor = 64 * torch.finfo(evaluator.point.dtype).eps
        self.scale = scales(self.step)
        self.sums = self.step.new_zeros(len(members), _LINEAR + max(1, len(sizes) - 1 + ahead), self.step.shape[1])
        self.origin = self.step.new_zeros(len(members), self.step.shape[1])  # ∇f at the first node
        self.pilot = self.step.new_empty(len(members), sizes[0], self.step.shape[1])
        self.paths: dict[int, Path] = {}
        self.spent = [0] * len(members)
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
        return min(self.sums.shape[1] - _LINEAR, self.limit.get(place, _NO_LIMIT))

    def covector(self, place: int) -> Tensor:
        """Σ w ∇f of a member, with the weights of its certificate. Shape: (size,)."""
        found, level, path = self.found[place], self.level[place], self.paths[place]
        if level == 0:
            return self.pilot.new_tensor(found.weights * path.speed) @ self.pilot[place]
        current = self.sums[place, _LINEAR + (level - 1 if path.grid.cells else 0)]
        current = current + self.sums.new_tensor(found.mix) @ self.sums[place, :PARTS]
        return current + self.sums[place, _BEYOND] if path.substitution.active else current

    def _judge(self, places: Sequence[int], tol: float, correct: bool) -> None:
        for place in places:
            path, level = self.paths[place], self.level[place]
            verdict = certificate(path, tol, correct, self.floor)
            more = level < self.last(place) and level + 1 < len(self.sizes)
            more = more and self.sizes[level + 1] + self.spent[place] <= self.most
            # The few nodes of a pilot are not enough to judge a singular path.
            if not more or (verdict.converged and (level or not path.substitution.active)):
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
        """Evaluates the pilot, whose gradients are kept until their weights are known; again where an end is singular."""
        grid = Grid.smooth(self.sizes[0] - 1)
        found = self._visit(dict.fromkeys(places, grid.nodes), self._hold)
        infinite = {place: np.isnan(facts[[0, -1], 1]) for place, facts in found.items()}
        self._replace_ends(found)
        changed = self._substitutions(grid, found, infinite)
        found |= self._visit({place: one.at(grid.nodes)[0] for place, one in changed.items()}, self._hold)
        for place, facts in found.items():
            self._check(place, facts)
            one = changed.get(place, IDENTITY)
            facts = one.facts(facts, grid.nodes)
            self.paths[place], self.level[place] = Path.of(grid, facts, self.step.shape[1], one), 0

    def _hold(self, place: int, chosen: np.ndarray, _: np.ndarray, gradient: Tensor) -> None:
        self.pilot[place, torch.as_tensor(chosen, device=gradient.device)] = gradient

    def _hold_ends(self, ends: Mapping[int, np.ndarray]) -> Use:
        return lambda place, chosen, facts, gradient: self._hold(place, -ends[place][chosen], facts, gradient)

    def _replace_ends(self, found: Mapping[int, np.ndarray]) -> None:
        """A gradient next to the end in place of one that is not finite; the score stays that of the end."""
        for near in NEAR:
            ends = {place: np.flatnonzero(np.isnan(facts[[0, -1], 1])) for place, facts in found.items()}
            room = self.gaps + 1 - self.sizes[0]
            ends = {place: which for place, which in ends.items() if 0 < len(which) <= room - self.spent[place]}
            wanted = {place: near * SIDES[which] for place, which in ends.items()}
            for place, facts in self._visit(wanted, self._hold_ends(ends)).items():
                found[place][-ends[place], 1:] = facts[:, 1:]  # the first node or the last
                self.spent[place] += len(facts)

    def _substitutions(
        self, grid: Grid, found: Mapping[int, np.ndarray], infinite: Mapping[int, np.ndarray]
    ) -> dict[int, Substitution]:
        """Those of the paths with a singular end; where there is no room for one, the next node's gradient is taken there."""
        ends, near = {}, {}
        for place, facts in found.items():
            singular = singular_ends(grid.nodes, facts, infinite[place])
            # Decided by the planned gaps and not by what may be spent, so that a run and its continuation agree.
            room = self.gaps + 1 - 2 * self.sizes[0] - self.spent[place]
            ladder = LADDER[: max(0, room) // max(1, int(singular.sum()))]
            if singular.any() and len(ladder) > 1:
                ends[place], near[place] = singular, np.outer(SIDES[singular], ladder).ravel()
                self.spent[place] += self.sizes[0] + len(near[place])
            for end in () if place in ends else np.flatnonzero(singular):
                facts[-end, 1:], self.pilot[place, -end] = facts[1 - 3 * end, 1:], self.pilot[place, 1 - 3 * end]
        read = self._visit(near)
        return {place: followed(ends[place], read[place], found[place], grid.weights) for place in near}

    def _check(self, place: int, facts: np.ndarray) -> None:
        """Raises: ValueError where a gradient is not finite."""
        check_gradient(torch.from_numpy(facts[:, 1:2].copy()), torch.from_numpy(np.full(len(facts), self.members[place])))

    def _refined(self, place: int, path: Path) -> tuple[Grid, np.ndarray]:
        """The second level of a path with jumps."""
        self.origin[place] = self.pilot[place, 0]
        new = refine(path.grid.nodes, path.changes(self.floor**2), self.sizes[1] - len(path.score))
        return Grid.on(np.sort(np.concatenate([path.grid.nodes, new]))), new

    def _halved(self, place: int, level: int) -> tuple[Grid, np.ndarray]:
        """A later level of a path with jumps: the running sum is halved, as all old weights are but that of node 0."""
        grid, new, shift = self.paths[place].grid.halved(self.sizes[level])
        shift *= self.paths[place].speed[0]
        self.sums[place, _LINEAR] = self.sums[place, _LINEAR] / 2 + shift * self.origin[place]
        return grid, new

    def _add_pilot(self, place: int, grid: Grid) -> None:
        """Adds the pilot's gradients with their new weights."""
        path = self.paths[place]
        at = np.searchsorted(grid.nodes, path.grid.nodes - 1e-12)
        self._sum(place, grid, at, np.column_stack([path.slope, path.square]), self.pilot[place], 1)
        if path.substitution.active:
            weights = self.sums.new_tensor(path.substitution.beyond() * path.speed[[0, -1]])
            self.sums[place, _BEYOND] = weights @ self.pilot[place, [0, -1]]

    def _add(self, grids: dict[int, Grid], new: dict[int, np.ndarray], level: int) -> None:
        """Evaluates the nodes `new`: their gradients go into the running sums, and the numbers into the paths."""
        rules = {place: self.paths[place].substitution for place in new}

        def add(place: int, chosen: np.ndarray, rows: np.ndarray, gradient: Tensor) -> None:
            nodes = new[place][chosen]
            facts = rules[place].facts(rows, nodes)
            self._sum(place, grids[place], np.searchsorted(grids[place].nodes, nodes), facts[:, 1:3], gradient, level)

        found = self._visit({place: rules[place].at(nodes)[0] for place, nodes in new.items()}, add)
        for place, facts in found.items():
            self._check(place, facts)
            facts = rules[place].facts(facts, new[place])
            self.paths[place], self.level[place] = self.paths[place].grown(grids[place], new[place], facts), level

    def _sum(self, place: int, grid: Grid, at: np.ndarray, facts: np.ndarray, gradient: Tensor, level: int) -> None:
        """Adds gradients (nodes, size) at the positions `at` of `grid`.  facts: F and ‖∇f ⊙ Δ‖², (nodes, 2)."""
        weights = np.zeros((len(at), self.sums.shape[1]))
        weights[:, :PARTS] = pulls(grid, grid.nodes[at], *facts.T)
        weights[:, _LINEAR] = grid.weights[at]
        if grid.cells:
            for step, column in enumerate(range(_LINEAR + level - 1, self.sums.shape[1])):
                weights[:, column] = clenshaw_curtis.weights(grid.cells << step)[at << step]
        speed = self.paths[place].substitution.at(grid.nodes[at])[1]
        self.sums[place] += self.sums.new_tensor(weights * speed[:, None]).T @ gradient

    def _visit(self, wanted: Mapping[int, np.ndarray], use: Use = lambda *_: None) -> dict[int, np.ndarray]:
        """[f, F, ‖∇f ⊙ Δ‖², sketch] of the nodes that each member wants; `use` sees them and ∇f, a few of one member at a time.

        wanted: α, or α - 1 with a negative sign.  Where ∇f is not finite, the numbers are NaN except f, and ∇f is 0.
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
        backward = any(np.signbit(nodes).any() for nodes in wanted.values())

        def points(rows: RowIndex) -> Tensor:
            at = table[rows.example, rows.sample, None]
            start = evaluator.base[rows.example]
            if backward:
                beside_x = torch.signbit(at).reshape(-1, *[1] * (start.ndim - 1))
                start = torch.where(beside_x, evaluator.point[rows.example], start)
            return start + (at * self.step[rows.example]).reshape(start.shape)

        found = {place: np.empty((len(nodes), 3 + self.sketch.size)) for place, nodes in wanted.items()}
        for index, score, gradient in evaluator.gradient_chunks(counts, points) if wanted else ():
            rows, gradient = self._facts(index, score, gradient.flatten(1))
            chosen = np.array(index.samples)
            for entry, first, last in index.runs():
                place, part = place_of[entry], slice(first, last)
                found[place][chosen[part]] = rows[part]
                use(place, chosen[part], rows[part], gradient[part])
        return found

    def _facts(self, index: RowIndex, score: Tensor, gradient: Tensor) -> tuple[np.ndarray, Tensor]:
        """The numbers of `_visit` for the rows of one forward, and ∇f with zeros where it is not finite."""
        scale = self.scale[index.example]
        moved = gradient * (self.step[index.example] / scale[:, None])
        unit = scales(moved)
        square = (moved / unit[:, None]).square().sum(1)
        known = torch.column_stack([score.to(moved), scale, unit, square, moved.sum(1), self.sketch(moved)])
        facts = known.cpu().numpy().astype(float)
        infinite = ~np.isfinite(facts).all(1)
        if infinite.any():
            facts[infinite, 2:] = np.nan
            gradient = gradient.masked_fill(torch.as_tensor(infinite, device=gradient.device)[:, None], 0)
        rows = np.column_stack([facts[:, 0] / facts[:, 1], facts[:, 4], facts[:, 2] ** 2 * facts[:, 3], facts[:, 5:]])
        return rows, gradient

    def state(self) -> dict[str, Tensor]:
        """What a later run needs to continue from these members, batch first.

        kept_sums: gradients of the pilot, or ∇f at the first node and the running sums.  kept_nodes: u, f, F, ‖∇f ⊙ Δ‖² and
        sketch of each.  kept_edges: between the path's parts.  kept_rule: the substitution's depths, powers and outer scores.
        kept_plan: nodes, cells, planned gaps, level, last level, other evaluations.  kept_x: digest.
        """
        state = torch.cat([self.origin[:, None], self.sums], 1)
        state = torch.nn.functional.pad(state, (0, 0, 0, max(0, self.pilot.shape[1] - state.shape[1])))
        facts, edges, plan, rules = [], [], [], []
        for place in range(len(self.members)):
            path, level = self.paths[place], self.level[place]
            if level == 0:
                state[place, : self.pilot.shape[1]] = self.pilot[place]
            facts.append(np.column_stack([path.grid.nodes, path.score, path.slope, path.square, path.sketch]))
            edges.append(path.grid.edges)
            plan.append([len(path.score), path.grid.cells, self.gaps, level, self.last(place), self.spent[place]])
            rules.append(np.concatenate(dataclasses.astuple(path.substitution)))
        signal = self.evaluator.signal[self.members[0] : self.members[-1] + 1]
        return {
            "kept_sums": state,
            "kept_nodes": torch.from_numpy(padded(facts)),
            "kept_edges": torch.from_numpy(np.stack(edges)),
            "kept_plan": torch.tensor(plan),
            "kept_rule": torch.from_numpy(np.stack(rules)),
            "kept_x": digests(signal),
        }

    def restore(self, earlier: Mapping[str, Any]) -> None:
        """Restores the members' `state` from the details of an earlier run."""
        for place, example in enumerate(self.members):
            count, cells, _, level, last, self.spent[place] = earlier["kept_plan"][example].tolist()
            known = earlier["kept_nodes"][example, :count].cpu().numpy()
            edges = earlier["kept_edges"][example].cpu().numpy()
            grid = Grid.smooth(cells) if cells else Grid(known[:, 0], trapezoid_weights(known[:, 0]), edges)
            rule = Substitution(*(tuple(pair) for pair in earlier["kept_rule"][example].reshape(3, 2).tolist()))
            self.paths[place] = Path.of(grid, known[:, 1:], self.step.shape[1], rule)
            self.level[place], self.limit[place] = level, last
            state = earlier["kept_sums"][example].to(self.sums)
            if level == 0:
                self.pilot[place] = state[: self.pilot.shape[1]]
                continue
            self.origin[place] = state[0]
            held = min(len(state) - 1, self.sums.shape[1])
            self.sums[place, :held] = state[1 : 1 + held]


def padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of unequal length as one array, padded with zeros at their ends."""
    longest = max(map(len, rows))
    return np.stack([np.pad(row, [(0, longest - len(row)), *[(0, 0)] * (row.ndim - 1)]) for row in rows])
