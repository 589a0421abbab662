"""Going on from a finished result: what is kept of a certified run, and how the next one takes it up.

For each example: the gradients at the pilot's nodes (17 to 22 of the signal's size) where the pilot was enough, else the
running sums, which are fewer; and about a thousand numbers for each node. Nothing that was evaluated is evaluated again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..transforms import Transform
from .estimator import Chart, Estimator, Evaluator
from .methods.integrated_gradients.error_estimate import Grid, Path
from .methods.integrated_gradients.quadrature import trapezoid_weights
from .result import Attribution

if TYPE_CHECKING:
    from .methods.integrated_gradients.adaptive import Group

AHEAD = 5  # doublings that the state of a smooth path can go on for
NAMES = ("kept_sums", "kept_nodes", "kept_edges", "kept_plan", "kept_x")
_ALIKE = 1e-3  # relative difference of f(x) - f(x₀) that another device or row budget may make
_ROUNDING = 64  # the same of x - x₀, in units of the last bit


def gaps(earlier: Mapping[str, Any]) -> int:
    """Gaps of the refined grid that the earlier run had planned; all later grids halve them."""
    return int(earlier["kept_plan"][0, 2])


def keep(group: "Group") -> dict[str, Tensor]:
    """The state of a finished group, batch first.

    kept_sums: gradients of the pilot, or ∇f at α = 0 and the running sums.  kept_nodes: α, f, F, ‖∇f ⊙ Δ‖² and the sketch of
    each node.  kept_edges: where the path's parts meet.  kept_plan: nodes, cells, planned gaps, level, last level.
    kept_x: a digest of x.
    """
    state = torch.cat([group.origin[:, None], group.sums], 1)
    state = torch.nn.functional.pad(state, (0, 0, 0, max(0, group.pilot.shape[1] - state.shape[1])))
    facts, edges, plan = [], [], []
    for place in range(len(group.members)):
        path, level = group.paths[place], group.level[place]
        if level == 0:
            state[place, : group.pilot.shape[1]] = group.pilot[place]
        facts.append(np.column_stack([path.grid.nodes, path.score, path.slope, path.square, path.sketch]))
        edges.append(path.grid.edges)
        plan.append([len(path.score), path.grid.cells, group.gaps, level, group.last(place)])
    return {
        "kept_sums": state,
        "kept_nodes": torch.from_numpy(_filled(facts)),
        "kept_edges": torch.from_numpy(np.stack(edges)),
        "kept_plan": torch.tensor(plan),
        "kept_x": digests(group.evaluator, group.members),
    }


def join(groups: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The states of all groups as one."""
    if not groups:
        return {}
    longest = max(group["kept_nodes"].shape[1] for group in groups)
    padded = [
        torch.nn.functional.pad(group["kept_nodes"], (0, 0, 0, longest - group["kept_nodes"].shape[1]))
        for group in groups
    ]
    joined = {name: torch.cat([group[name] for group in groups]) for name in NAMES if name != "kept_nodes"}
    return joined | {"kept_nodes": torch.cat(padded)}


def fill(group: "Group", earlier: Mapping[str, Any]) -> None:
    """Brings the members of a new group to where the earlier run left them."""
    for place, example in enumerate(group.members):
        count, cells, _, level, last = earlier["kept_plan"][example].tolist()
        known = earlier["kept_nodes"][example, :count].cpu().numpy()
        edges = earlier["kept_edges"][example].cpu().numpy()
        grid = Grid.smooth(cells) if cells else Grid(known[:, 0], trapezoid_weights(known[:, 0]), edges)
        group.paths[place] = Path.of(grid, known[:, 1:], group.step.shape[1])
        group.level[place], group.limit[place] = level, last
        state = earlier["kept_sums"][example].to(group.sums)
        if level == 0:
            group.pilot[place] = state[: group.pilot.shape[1]]
            continue
        group.origin[place] = state[0]
        held = min(len(state) - 1, group.sums.shape[1])
        group.sums[place, :held] = state[1 : 1 + held]


Resume = Attribution | Sequence[Attribution]
Evaluators = Sequence[tuple[list[int], Evaluator]]


def goes_on(
    resume: Resume,
    estimator: Estimator,
    evaluators: Evaluators,
    domains: Sequence[Transform],
    deltas: Sequence[Tensor],
    settings: Mapping[str, Any],
) -> list[tuple[list[int], Evaluator]]:
    """The evaluators, each with the earlier result of its first domain.

    evaluators: (which domains, evaluator).  deltas: f(x) - f(x₀) in each domain.
    settings: what else must be as it was, by name.
    Raises: TypeError or ValueError where `resume` is not what the same call returned before; it names what differs.
    """
    found = _results(resume, len(domains))
    if not estimator.resumes:
        raise ValueError(f"resume: {estimator!r} cannot go on; only integrated_gradients without steps can.")
    for members, evaluator in evaluators:
        for member, chart in zip(members, evaluator.charts):
            apart = _differences(found[member], domains[member], evaluator, chart, deltas[member], settings)
            if apart:
                raise ValueError(
                    f"resume: the result was made with another {', another '.join(apart)}; make the same call."
                )
    return [(members, replace(evaluator, earlier=found[members[0]].details)) for members, evaluator in evaluators]


def _differences(
    earlier: Attribution,
    domain: Transform,
    evaluator: Evaluator,
    chart: Chart,
    delta: Tensor,
    settings: Mapping[str, Any],
) -> list[str]:
    """What is not as it was, with how it was and is: x to the last bit, x₀ and f to rounding errors."""
    if earlier.transform.spec != domain.spec:
        return [f"transform ({earlier.transform.spec}, now {domain.spec})"]
    if earlier.coefficients.shape != chart.point.shape:
        return [f"x (of shape {tuple(earlier.coefficients.shape)}, now {tuple(chart.point.shape)})"]
    then = earlier.settings | earlier.settings.get("execution", {})
    apart = [f"{name} ({then.get(name)!r}, now {now!r})" for name, now in settings.items() if then.get(name) != now]
    moved = earlier.details["kept_x"].cpu() != digests(evaluator, range(len(delta)))
    if bool(moved.any()):
        return [f"x (example {int(moved.nonzero()[0, 0])} differs)", *apart]
    if apart:
        return apart
    rounding = _ROUNDING * torch.finfo(delta.dtype).eps
    baseline = _moved("baseline", earlier.displacement, chart.displacement, rounding)
    return baseline or _moved("model", earlier.score_difference, delta, _ALIKE)


def digests(evaluator: Evaluator, members: Iterable[int]) -> Tensor:
    """A number for each of these examples that tells x from any other."""
    return torch.tensor([int.from_bytes(evaluator.keyed.keys[member], "little", signed=True) for member in members])


def _moved(what: str, then: Tensor, now: Tensor, most: float) -> list[str]:
    then, now = then.to(now).reshape(len(now), -1), now.detach().reshape(len(now), -1)
    apart = ((then - now).norm(dim=1) > most * now.norm(dim=1)).nonzero()
    return [f"{what} (example {int(apart[0, 0])} differs)"] if len(apart) else []


def _results(resume: Resume, number: int) -> list[Attribution]:
    found: list[Any] = list(resume) if isinstance(resume, (list, tuple)) else [resume]
    if any(not isinstance(one, Attribution) for one in found):
        raise TypeError("resume: expected what pullback.attribute returned, an Attribution or a list of them.")
    if len(found) != number:
        raise ValueError(f"resume: expected one result for each of the {number} domains, got {len(found)}.")
    if any(not set(NAMES) <= set(one.details) for one in found):
        raise ValueError(
            "resume: this result holds nothing to go on from; make it with method='integrated_gradients(keep=True)'."
        )
    return found


def _filled(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of unequal length as one array, filled up with zeros."""
    longest = max(map(len, rows))
    return np.stack([np.pad(row, ((0, longest - len(row)), (0, 0))) for row in rows])
