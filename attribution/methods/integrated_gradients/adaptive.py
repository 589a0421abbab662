"""Integrated gradients that know their error: nested grids, chosen per example, and a certificate.

Two errors are told apart. The residual of completeness is exact, on every part of the path too, since the score comes
free with each gradient: ∫_a^b ⟨∇f, Δ⟩ dα = f(b) - f(a). The error of the map itself is estimated. Small changes of the
weights move a residual to zero; it says nothing of the map then.

The grid is made in nested levels. A pilot on the nodes of `spectral` shows whether the gradient is smooth or jumps. Smooth
paths go on to finer grids of that rule, whose error falls geometrically. Others are refined: for a gradient that moves
like a random evaluator, as those of deep ReLU networks do, the expected squared error of a gap of width h is ‖change‖² h² / 12,
and the next level puts its nodes where they lower the total most. Their later levels halve every gap, so that old weights
are halved too, and a running sum takes the place of the gradients; smooth paths keep one sum for each level to come.

Kept per example are a few sums of the signal's size, and a sketch of each gradient: random signed sums that keep
distances within some percent. Distances between whole maps, however their nodes are weighted, are read off the sketches.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...estimator import Estimate, Evaluator
from .error_estimate import Certificate, Path
from .group import Group, Sketch, scales
from .quadrature import first_gaps, levels

_AHEAD = 5  # doublings for which the saved state of a smooth path keeps sums


def certified(evaluator: Evaluator, tol: float, most: int, correct: bool, keep: bool = False) -> Estimate:
    """Shares by the method of this module, with at most `most` gradients per example.

    keep: whether `details` hold what a later call needs to go on; where the evaluator has an `earlier` result, it does.
    """
    if evaluator.engine.create_graph:
        raise ValueError(
            "integrated_gradients: nodes that are chosen on the way have no derivative; with create_graph=True "
            "fix their number, as in integrated_gradients(steps=64)."
        )
    sketch, earlier = Sketch(evaluator.point), evaluator.earlier
    # All later grids halve the gaps that the first run planned.
    gaps = first_gaps(most) if earlier is None else int(earlier["kept_plan"][0, 2])
    sizes = levels(most, gaps)
    together = max(1, evaluator.engine.limit // sizes[0])
    covector = torch.empty_like(evaluator.point)
    paths: list[Path] = []
    found: list[Certificate] = []
    kept: list[dict[str, Tensor]] = []
    for start in range(0, len(evaluator.point), together):
        members = range(start, min(start + together, len(evaluator.point)))
        group = Group(evaluator, members, sketch, gaps, sizes, _AHEAD if keep else 0)
        if earlier is not None:
            group.restore(earlier)
        group.run(tol, correct)
        covector[start : members.stop] = group.covectors().reshape(-1, *evaluator.point.shape[1:])
        paths += [group.paths[place] for place in range(len(members))]
        found += [group.found[place] for place in range(len(members))]
        if keep:
            kept.append(group.state())
    return Estimate(evaluator.shares(covector).values, covector, _details(evaluator, paths, found) | _joined(kept))


def _details(evaluator: Evaluator, paths: Sequence[Path], found: Sequence[Certificate]) -> dict[str, Any]:
    """The certificates as tensors, batch first; nodes and weights are filled up with zeros."""
    like, scale = evaluator.point, scales((evaluator.point - evaluator.base).flatten(1))
    most = max(len(path.score) for path in paths)

    def each(values: Sequence[float]) -> Tensor:
        return like.new_tensor(np.array(values, dtype=float))

    def fill(rows: Sequence[np.ndarray]) -> Tensor:
        return like.new_tensor(np.stack([np.pad(row, (0, most - len(row))) for row in rows]))

    return {
        "residual": scale * each([one.before for one in found]),
        "residual_corrected": scale * each([one.after for one in found]),
        "local_error": scale * each([one.local for one in found]),
        "map_error": each([one.error for one in found]),
        "correction": each([one.moved for one in found]),
        "nodes": fill([path.grid.nodes for path in paths]),
        "weights": fill([one.weights for one in found]),
        "evaluations": torch.tensor([len(path.score) for path in paths], device=like.device),
        "smooth": torch.tensor([one.smooth for one in found], device=like.device),
        "converged": torch.tensor([one.meets for one in found], device=like.device),
    }


def _joined(groups: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The saved states of all groups as one."""
    if not groups:
        return {}
    longest = max(group["kept_nodes"].shape[1] for group in groups)

    def pad(nodes: Tensor) -> Tensor:
        return torch.nn.functional.pad(nodes, (0, 0, 0, longest - nodes.shape[1]))

    joined = {name: torch.cat([group[name] for group in groups]) for name in groups[0] if name != "kept_nodes"}
    return joined | {"kept_nodes": torch.cat([pad(group["kept_nodes"]) for group in groups])}
