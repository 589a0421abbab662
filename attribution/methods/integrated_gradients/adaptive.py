"""Integrated gradients with an estimate of their error, on nested grids that are chosen for each example.

There are two errors. The residual of completeness is known exactly, also on every part of the path, since each gradient
comes with the score: ∫_a^b ⟨∇f, Δ⟩ dα = f(b) - f(a). The error of the map is estimated: small changes of the weights
can make the residual 0, so the residual alone says nothing about the map.

The grid is made in nested levels. A pilot on the nodes of `clenshaw_curtis` shows whether the gradient is smooth or jumps.
Smooth paths continue with finer grids of that rule, whose error falls geometrically. Paths with jumps are refined: for a
gradient that moves like a random walk, as in deep ReLU networks, the expected squared error of a gap of width h is
‖change‖² h² / 12, and the next level places its nodes where they lower the total most. Their later levels halve every gap,
and so the old weights, and need a running sum only; smooth paths keep one sum for each later level.

Where the pilot shows a gradient at an end that is not finite, or out of all proportion, the path is followed in another
variable, in which the integrand is smooth (`substitution`): there it gets a pilot and levels of its own.

What is kept per example are a few sums of the signal's size, and a sketch of each gradient: random signed sums that keep
distances within some percent. Distances between whole maps, for any weights of the nodes, are computed from the sketches.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...estimator import Estimate, Evaluator
from .error_estimate import Certificate, Path
from .group import Group, padded
from .quadrature import cells, first_gaps
from .sketch import Sketch, scales
from .substitution import alpha

_AHEAD = 5  # doublings for which the saved state of a smooth path keeps sums


def certified(evaluator: Evaluator, tol: float, most: int, correct: bool, keep: bool = False) -> Estimate:
    """Shares by the method of this module, with at most `most` gradients per example.

    keep: whether `details` hold what a later call needs to continue; `evaluator.earlier` holds that of an earlier call.
    """
    if evaluator.engine.create_graph:
        advice = "with create_graph=True fix their number, as in integrated_gradients(steps=64)"
        raise ValueError(f"integrated_gradients: nodes that are chosen during the run have no derivative; {advice}.")
    sketch, earlier, batch = Sketch(evaluator.point), evaluator.earlier, len(evaluator.point)
    # All later grids halve the gaps that the first run planned.
    gaps = first_gaps(most) if earlier is None else int(earlier["kept_plan"][0, 2])
    together = max(1, evaluator.engine.limit // (cells(gaps) + 1))
    covectors: list[Tensor] = []
    paths: list[Path] = []
    spent: list[int] = []
    found: list[Certificate] = []
    kept: list[dict[str, Tensor]] = []
    for start in range(0, batch, together):
        group = Group(evaluator, range(batch)[start : start + together], sketch, gaps, most, _AHEAD if keep else 0)
        if earlier is not None:
            group.restore(earlier)
        group.run(tol, correct)
        places = range(len(group.members))
        covectors += [group.covector(place) for place in places]
        paths += [group.paths[place] for place in places]
        spent += group.spent
        found += [group.found[place] for place in places]
        if keep:
            kept.append(group.state())
    covector = torch.stack(covectors).reshape(evaluator.point.shape)
    return Estimate(evaluator.shares(covector).values, covector, _details(evaluator, paths, found, spent) | _joined(kept))


def _details(evaluator: Evaluator, paths: Sequence[Path], found: Sequence[Certificate], spent: Sequence[int]) -> dict[str, Any]:
    """The certificates as tensors, batch first; nodes and weights are padded with zeros."""
    like, scale = evaluator.point, scales((evaluator.point - evaluator.base).flatten(1))
    numbers = {
        name: like.new_tensor(np.array([getattr(one, name) for one in found], dtype=float))
        for name in ("residual", "residual_corrected", "local_error", "map_error", "correction")
    }
    order = [np.argsort(alpha(path.places)) for path in paths]
    nodes = [alpha(path.places)[at] for path, at in zip(paths, order)]
    weights = [(one.weights * path.speed)[at] for path, one, at in zip(paths, found, order)]
    evaluations = [len(path.score) + others for path, others in zip(paths, spent)]
    return {
        **{name: value if name in ("map_error", "correction") else scale * value for name, value in numbers.items()},
        "nodes": like.new_tensor(padded(nodes)),
        "weights": like.new_tensor(padded(weights)),
        "evaluations": torch.tensor(evaluations, device=like.device),
        "smooth": torch.tensor([one.smooth for one in found], device=like.device),
        "converged": torch.tensor([one.converged for one in found], device=like.device),
    }


def _joined(groups: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The saved states of all groups as one."""
    joined = {name: [group[name] for group in groups] for name in (groups[0] if groups else ())}
    if groups:
        longest = max(nodes.shape[1] for nodes in joined["kept_nodes"])
        pad = torch.nn.functional.pad
        joined["kept_nodes"] = [pad(nodes, (0, 0, 0, longest - nodes.shape[1])) for nodes in joined["kept_nodes"]]
    return {name: torch.cat(parts) for name, parts in joined.items()}
