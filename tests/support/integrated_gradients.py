"""Specs, a network and errors for the tests of certified integrated gradients."""

import pytest
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.methods.integrated_gradients import quadrature
from support.subjects import normal

SPEC = "integrated_gradients"
FULL = "integrated_gradients(tol=0, max_evaluations=50)"
TRUTH = "integrated_gradients(steps=4096, rule='midpoint')"
MISSED = pytest.mark.filterwarnings("ignore::pullback.attribution.ConvergenceWarning")  # for budgets too small for tol


def relu_net(size: int, width: int = 24, seed: int = 0) -> nn.Module:
    """A small ReLU network with at most `width` kinks along a line."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.ReLU(), nn.Linear(width, 1)).double().eval()
    for number, parameter in enumerate(net.parameters()):
        parameter.data = normal(*parameter.shape, seed=seed + number) / parameter.shape[-1] ** 0.5
    return net


def error(found: pb.Attribution, truth: pb.Attribution) -> Tensor:
    """Relative L2 error of each map."""
    return (found.values - truth.values).flatten(1).norm(dim=1) / truth.values.flatten(1).norm(dim=1)


def spendable(evaluations: int) -> tuple[int, int]:
    """The evaluations that a path with jumps and a smooth path use, if `evaluations` are allowed."""
    gaps = quadrature.first_gaps(evaluations)
    halvings = len(quadrature.levels(evaluations, gaps)) - 2
    return evaluations, min(evaluations, (3 * quadrature.cells(gaps) << halvings) + 1)
