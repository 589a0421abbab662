"""Grids and rules of integrated gradients with an error estimate: nested nodes, weights and errors."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subjects import normal

from pullback.attribution.methods.integrated_gradients import clenshaw_curtis as spectral
from pullback.attribution.methods.integrated_gradients import error_estimate as certificate
from pullback.attribution.methods.integrated_gradients import quadrature


@given(st.integers(8, 700))
@settings(deadline=None)
def test_levels_grow_to_the_whole_budget(evaluations: int) -> None:
    sizes = quadrature.levels(evaluations, quadrature.first_gaps(evaluations))
    assert sizes[-1] == evaluations
    assert all(a < b for a, b in zip(sizes, sizes[1:]))
    assert all(b in (2 * a - 1, 2 * a) for a, b in zip(sizes[1:], sizes[2:]))


@given(st.integers(33, 300), st.integers(8, 900))
@settings(deadline=None)
def test_levels_of_a_continued_run_are_those_of_one_run(first: int, evaluations: int) -> None:
    sizes = quadrature.levels(evaluations, quadrature.first_gaps(first))
    assert sizes[-1] <= max(evaluations, sizes[0])
    if len(sizes) > 1:
        assert sizes == quadrature.levels(sizes[-1], quadrature.first_gaps(sizes[-1]))
        assert quadrature.levels(sizes[-1] + 1, quadrature.first_gaps(first))[-1] in (sizes[-1], sizes[-1] + 1)
        assert 2 * sizes[-1] > min(evaluations, 2 * sizes[-1] - 1)


@given(st.integers(8, 300), st.integers(0, 9))
@settings(deadline=None, max_examples=25)
def test_nested_grids_keep_their_nodes_and_halve_their_weights(evaluations: int, seed: int) -> None:
    sizes = quadrature.levels(evaluations, quadrature.first_gaps(evaluations))
    nodes = spectral.nodes(sizes[0] - 1)
    change = normal(sizes[0] - 1, seed=seed).abs().numpy()
    new = quadrature.refine(nodes, change, sizes[1] - sizes[0])
    assert len(new) == sizes[1] - sizes[0]
    grid = certificate.Grid.on(np.sort(np.concatenate([nodes, new])))
    for count in sizes[2:]:
        finer, new, shift = grid.halved(count)
        old = np.isin(finer.nodes, grid.nodes)
        assert len(finer.nodes) == count
        assert set(finer.nodes) == set(grid.nodes) | set(new)
        expected = grid.weights / 2
        expected[0] += shift
        np.testing.assert_allclose(finer.weights[old], expected, atol=1e-15)
        grid = finer
    assert abs(grid.weights.sum() - 1) < 1e-13
    assert abs(grid.weights @ grid.nodes - 0.5) < 1e-13


@pytest.mark.parametrize("cells", [8, 10, 16, 21, 48, 96])
def test_the_smooth_rule_is_nested_and_exact_for_lines(cells: int) -> None:
    nodes, weights = spectral.nodes(cells), spectral.weights(cells)
    np.testing.assert_allclose(spectral.nodes(3 * cells)[::3], nodes, atol=1e-14)
    assert (np.diff(nodes) > 0).all()
    assert (weights > 0).all()
    assert abs(weights.sum() - 1) < 1e-14
    assert abs(weights @ nodes - 0.5) < 1e-14


def poles(seed: int, size: int = 200) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
    """(g, f) with g_i = a_i / (p_i² + (α - c_i)²): poles at distances p_i from the path; f is a sum of arctangents."""
    amplitude, centre, distance = (
        normal(size, seed=seed).numpy(),
        *torch.rand(2, size, generator=torch.Generator().manual_seed(seed)).double().numpy(),
    )
    distance = 0.25 + distance
    primitives = lambda at: amplitude / distance * np.arctan((np.atleast_1d(at)[:, None] - centre) / distance)
    return lambda at: amplitude / (distance**2 + (at[:, None] - centre) ** 2), primitives


def test_the_smooth_rule_converges_geometrically_and_estimates_its_error() -> None:
    errors, ratios = [], []
    for seed in range(6):
        g, primitives = poles(seed)
        truth = primitives(1.0)[0] - primitives(0.0)[0]
        for cells in (16, 24, 36, 48):
            nodes = spectral.nodes(cells)
            errors.append(np.linalg.norm(spectral.weights(cells) @ g(nodes) - truth))
            known = spectral.error(g(nodes), g(nodes).sum(1), primitives(nodes).sum(1), 1e-15)
            ratios.append(known / errors[-1])
    ratio = np.array(ratios)
    assert (np.array(errors).reshape(6, 4)[:, -1] < 1e-5 * np.array(errors).reshape(6, 4)[:, 0]).all()
    assert ((ratio > 0.5) & (ratio < 2)).mean() >= 0.8, ratio
    assert ((ratio > 0.2) & (ratio < 5)).all(), ratio
    control = np.array(ratios) * 4
    assert ((control > 0.5) & (control < 2)).mean() < 0.5


def test_scores_give_the_coefficients_of_twice_the_degree() -> None:
    """f = Σ c_k T_k up to 2N - 1 from f and df/ds at N + 1 nodes."""
    cells = 9
    c = normal(2 * cells, seed=4).numpy()
    c[-1] = 0  # of the highest two degrees only the sum shows
    s = -np.cos(np.pi * np.arange(cells + 1) / cells)
    slope = np.polynomial.chebyshev.chebder(c)
    found = spectral._from_scores(np.polynomial.chebyshev.chebval(s, c), np.polynomial.chebyshev.chebval(s, slope))
    np.testing.assert_allclose(found[: len(slope)], slope[: len(found)], atol=1e-12)


@pytest.mark.parametrize("rule", list(quadrature.RULES))
def test_weights_sum_to_one(rule: str) -> None:
    nodes, weights = quadrature.RULES[rule](7)
    assert abs(weights.sum() - 1) < 1e-14
    assert 0 <= nodes.min() < nodes.max() <= 1


def test_new_nodes_go_where_the_gradient_changes_and_rounding_does_not_move_them() -> None:
    nodes = np.linspace(0, 1, 11)
    change = np.ones(10)
    change[3] = 1e6
    assert all(((new > 0.3) & (new < 0.4)).all() for new in [quadrature.refine(nodes, change, 5)])
    noisy = change * (1 + 1e-6 * normal(10).numpy())
    np.testing.assert_array_equal(quadrature.refine(nodes, change, 15), quadrature.refine(nodes, noisy, 15))
    assert len(quadrature.refine(nodes, np.zeros(10), 7)) == 7
