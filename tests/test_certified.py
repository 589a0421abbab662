"""Certified integrated gradients: closed forms, honest numbers, budgets, and maps that do not depend on their company."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from subjects import linear_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import certificate, certified, quadrature, spectral
from pullback.attribution.paths import IntegratedGradients

SPEC = "integrated_gradients"
FULL = "integrated_gradients(tol=0, max_evaluations=50)"
TRUTH = "integrated_gradients(steps=4096, rule='midpoint')"


def relu_net(size: int, width: int = 24, seed: int = 0) -> nn.Module:
    """A small ReLU network with `width` kinks at most along a line."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.ReLU(), nn.Linear(width, 1)).double().eval()
    for number, parameter in enumerate(net.parameters()):
        parameter.data = normal(*parameter.shape, seed=seed + number) / parameter.shape[-1] ** 0.5
    return net


def error(found: pb.Attribution, truth: pb.Attribution) -> Tensor:
    """Relative L2 error of each map."""
    return (found.values - truth.values).flatten(1).norm(dim=1) / truth.values.flatten(1).norm(dim=1)


# Grids and rules


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
    amplitude, centre, distance = normal(size, seed=seed).numpy(), *torch.rand(2, size, generator=torch.Generator().manual_seed(
        seed)).double().numpy()  # fmt: skip
    distance = 0.25 + distance
    primitives = lambda at: amplitude / distance * np.arctan((np.atleast_1d(at)[:, None] - centre) / distance)
    return lambda at: amplitude / (distance**2 + (at[:, None] - centre) ** 2), primitives


def test_the_smooth_rule_converges_geometrically_and_knows_its_error() -> None:
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


# Closed forms


def test_linear_models_are_exact_in_every_rule_and_domain() -> None:
    x = normal(3, 2, 4, 4)
    net = linear_net((2, 4, 4))
    weight = net[1].weight.data.reshape(1, 2, 4, 4)
    rules = [f"{SPEC}(steps=2, rule='{rule}')" for rule in quadrature.RULES]
    for spec in [SPEC, FULL, f"{SPEC}(steps=3, correct=True)", *rules]:
        pixel, dct = pb.attribute(net, x, method=spec, transform=["pixel", "dct"])
        torch.testing.assert_close(pixel.values, x * weight, rtol=1e-12, atol=1e-12)
        assert float(pixel.gap.abs().max()) < 1e-13
        assert float(dct.gap.abs().max()) < 1e-13


def test_a_quadratic_and_an_exponential() -> None:
    x = normal(2, 1, 6)
    square = pb.attribute(lambda u: (u**2).flatten(1).sum(1), x, method=SPEC)
    torch.testing.assert_close(square.values, x**2, rtol=1e-10, atol=1e-10)
    power = pb.attribute(lambda u: u.exp().flatten(1).sum(1), x, method=FULL)
    torch.testing.assert_close(power.values, x.exp() - 1, rtol=1e-5, atol=1e-6)
    assert bool(power.details["smooth"].all())


@pytest.mark.parametrize("kink", [0.003, 0.31, 0.77])
def test_one_kink_at_a_known_place(kink: float) -> None:
    """f = ReLU(Σ u - kink · Σ x): the gradient is 0, then 1, so a = x (1 - kink)."""
    x = normal(1, 1, 5).abs() + 0.1
    found = pb.attribute(lambda u: (u.flatten(1).sum(1) - kink * x.sum()).relu(), x, method=f"{SPEC}(tol=0)")
    true = x * (1 - kink)
    real = float((found.values - true).norm() / true.norm())
    assert real < 2e-3
    assert float(found.details["local_error"]) > 0.1 * float(found.details["residual"].abs())
    assert float(found.gap.abs()) <= float(found.details["residual"].abs()) + 1e-12


def test_constant_models_and_empty_paths_have_zero_maps() -> None:
    x = normal(2, 1, 5)
    for spec in (SPEC, f"{SPEC}(tol=0)", f"{SPEC}(steps=4, correct=True)"):
        flat = pb.attribute(lambda u: 0 * u.flatten(1).sum(1) + 2, x, method=spec)
        still = pb.attribute(smooth_net((1, 5)), x, 0, method=spec, baseline=x)
        for found in (flat, still):
            assert not found.values.any()
            assert all(bool(value.isfinite().all()) for value in found.details.values())


# The certificate


def recomputed(net: Callable[[Tensor], Tensor], x: Tensor, found: pb.Attribution, example: int) -> dict[str, Tensor]:
    """Map, residual and local errors of one example from its nodes and weights alone."""
    count = int(found.details["evaluations"][example])
    nodes, weights = found.details["nodes"][example, :count], found.details["weights"][example, :count]
    points = (nodes.reshape(-1, *[1] * (x.ndim - 1)) * x[example]).requires_grad_()
    score = net(points).reshape(-1)
    (gradient,) = torch.autograd.grad(score.sum(), points)
    shares = (gradient * x[example]).flatten(1)
    slope = shares.sum(1)
    trapezoid = nodes.diff() * (slope[1:] + slope[:-1]) / 2
    return {
        "values": weights @ shares,
        "residual_corrected": weights @ slope - (score[-1] - score[0]).detach(),
        "local_error": (score.diff() - trapezoid).abs().sum().detach(),
    }


@pytest.mark.parametrize("spec", [SPEC, FULL, f"{SPEC}(tol=0)", f"{SPEC}(tol=0, max_evaluations=131)"])
def test_the_certificate_is_what_its_nodes_and_weights_give(spec: str) -> None:
    x, net = normal(4, 2, 3, 3), relu_net(18)
    found = pb.attribute(net, x, method=spec)
    for example in range(len(x)):
        expected = recomputed(net, x, found, example)
        torch.testing.assert_close(found.values[example].flatten(), expected["values"], rtol=1e-10, atol=1e-12)
        for name in ("residual_corrected", "local_error"):
            torch.testing.assert_close(found.details[name][example], expected[name], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.gap, found.details["residual_corrected"], rtol=1e-9, atol=1e-12)
    plain = pb.attribute(net, x, method=IntegratedGradients(**found.settings["options"] | {"correct": False}))
    torch.testing.assert_close(plain.gap, found.details["residual"], rtol=1e-9, atol=1e-12)
    apart = (plain.values - found.values).flatten(1).norm(dim=1) / plain.values.flatten(1).norm(dim=1)
    torch.testing.assert_close(apart, found.details["correction"], rtol=1e-6, atol=1e-9)
    assert bool((apart <= found.details["map_error"] * (1 + 1e-9)).all())
    assert bool((found.gap.abs() <= found.details["residual"].abs() + 1e-12).all())


def test_weights_that_sum_to_less_than_one_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: a rule that loses 2 % shows as a residual and as a local error, corrected or not."""
    x, net = normal(3, 1, 16), linear_net((1, 16))
    good = pb.attribute(net, x, method=f"{SPEC}(correct=False)")
    assert bool((good.details["residual"].abs() < 1e-12).all())
    assert bool(good.details["converged"].all())
    right, smooth = quadrature.trapezoid_weights, spectral.weights
    monkeypatch.setattr(certificate, "trapezoid_weights", lambda nodes: 0.98 * right(nodes))
    monkeypatch.setattr(spectral, "weights", lambda cells: 0.98 * smooth(cells))
    for spec in (f"{SPEC}(tol=0.01, correct=False)", f"{SPEC}(tol=0.01)"):
        bad = pb.attribute(net, x, method=spec)
        torch.testing.assert_close(bad.details["residual"] / bad.delta, torch.full_like(bad.delta, -0.02))
        assert not bad.details["converged"].any()
        assert bool((bad.details["evaluations"] == spendable(200)[1]).all())
        assert bool((bad.gap.abs() > 0.01 * bad.delta.abs()).all())


@pytest.mark.parametrize("evaluations", [50, 100])
def test_the_estimated_map_error_is_the_true_one_within_a_factor(evaluations: int) -> None:
    """Within a factor of 2 on nine in ten, and nowhere less than a third of the truth; some of these nets are unkind."""
    ratios = []
    for seed in range(3):
        x, net = normal(10, 1, 64, seed=seed), relu_net(64, 200, seed)
        found = pb.attribute(net, x, method=f"{SPEC}(tol=0, max_evaluations={evaluations})")
        ratios.append(found.details["map_error"] / error(found, pb.attribute(net, x, method=TRUTH)))
    ratio = torch.cat(ratios)
    assert float(((ratio > 0.5) & (ratio < 2)).double().mean()) >= 0.9, ratio
    assert float(ratio.min()) > 1 / 3
    control = ratio / 4  # a rule that knows a quarter of its error
    assert float(((control > 0.5) & (control < 2)).double().mean()) < 0.5


def test_a_smooth_net_meets_the_tolerance_with_the_pilot_alone() -> None:
    x, net = normal(4, 1, 8), smooth_net((1, 8))
    found = pb.attribute(net, x, 0, method=SPEC)
    assert bool((found.details["evaluations"] == 17).all())
    assert float(error(found, pb.attribute(net, x, 0, method="integrated_gradients(steps=64)")).max()) < 1e-3


# Budgets, stopping, company


class Mixed(nn.Module):
    """Linear where the first entry is positive, a ReLU net elsewhere: examples that stop early and late in one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.hard, self.easy = relu_net(12), linear_net((1, 12))

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x[:, 0, :1] > 0, self.easy(x), self.hard(x))


def mixed_batch() -> Tensor:
    x = normal(6, 1, 12)
    x[::2, 0, 0] = x[::2, 0, 0].abs() + 0.1
    x[1::2, 0, 0] = -x[1::2, 0, 0].abs() - 0.1
    return x


@pytest.mark.parametrize("rows", [1, 7, 64, "auto"])
def test_a_map_does_not_depend_on_rows_or_company(rows: int | str) -> None:
    x, net, spec = mixed_batch(), Mixed().eval(), f"{SPEC}(tol=1e-3, max_evaluations=120)"
    found = pb.attribute(net, x, method=spec, rows=rows)
    spent = found.details["evaluations"]
    assert len(spent.unique()) > 1
    assert found.settings["evaluations"]["gradient"] == int(spent.sum())
    for example in range(len(x)):
        alone = pb.attribute(net, x[example : example + 1], method=spec)
        torch.testing.assert_close(found.values[example], alone.values[0], rtol=1e-10, atol=1e-12)
        assert int(alone.details["evaluations"][0]) == int(spent[example])


def spendable(evaluations: int) -> tuple[int, int]:
    """What a path with jumps and a smooth path spend of a budget."""
    gaps = quadrature.first_gaps(evaluations)
    halvings = len(quadrature.levels(evaluations, gaps)) - 2
    return evaluations, min(evaluations, (3 * quadrature.cells(gaps) << halvings) + 1)


@pytest.mark.parametrize("evaluations", [8, 20, 50, 65, 100, 123, 200])
def test_budgets_are_kept_and_spent(evaluations: int) -> None:
    x, net = normal(2, 1, 12), relu_net(12)
    whole = pb.attribute(net, x, method=f"{SPEC}(tol=0, max_evaluations={evaluations})")
    assert whole.settings["evaluations"]["gradient"] == int(whole.details["evaluations"].sum())
    assert set(whole.details["evaluations"].tolist()) <= set(spendable(evaluations))
    if evaluations >= 33:
        smooth = pb.attribute(smooth_net((1, 12)), x, 0, method=f"{SPEC}(tol=0, max_evaluations={evaluations})")
        assert set(smooth.details["evaluations"].tolist()) == {spendable(evaluations)[1]}
        assert 0.93 * evaluations < spendable(evaluations)[1] <= evaluations
    some = pb.attribute(net, x, method=f"{SPEC}(tol=0.02, max_evaluations={evaluations})")
    assert bool((some.details["evaluations"] <= evaluations).all())
    limit = some.details["converged"] | (some.details["evaluations"] >= spendable(evaluations)[1])
    assert bool(limit.all())


def test_a_longer_run_goes_on_from_the_nodes_of_a_shorter_one() -> None:
    x, net = normal(3, 1, 12), relu_net(12)
    runs = [pb.attribute(net, x, method=f"{SPEC}(tol=0, max_evaluations={n})") for n in (50, 100, 200)]
    for short, long in zip(runs, runs[1:]):
        for few, many in zip(short.details["nodes"], long.details["nodes"]):
            assert set(few.tolist()) <= set(many.tolist())


def test_stopping_gives_the_map_of_the_level_where_it_stopped() -> None:
    x, net = normal(3, 1, 12), relu_net(12)
    stopped = pb.attribute(net, x, method=f"{SPEC}(tol=0.05)")
    for example, spent in enumerate(stopped.details["evaluations"].tolist()):
        if spent in (50, 100, 200):
            fixed = pb.attribute(net, x[example : example + 1], method=f"{SPEC}(tol=0, max_evaluations={spent})")
            torch.testing.assert_close(stopped.values[example], fixed.values[0], rtol=1e-10, atol=1e-12)


JOBS = {"jumps": relu_net(12, 200), "smooth": smooth_net((1, 12), 1)}
RUNS = [
    ("tol=0.3", 50, "tol=0", 50),
    ("tol=0", 50, "tol=0", 200),
    ("tol=0.05", 200, "tol=0.002", 400),
    ("tol=0", 33, "tol=0", 66),
]


@pytest.mark.parametrize("job", list(JOBS))
@pytest.mark.parametrize(("early", "few", "late", "many"), RUNS)
def test_a_continued_run_is_the_run_made_at_once_and_counts_what_is_new(
    job: str, early: str, few: int, late: str, many: int
) -> None:
    net, x = JOBS[job], normal(5, 1, 12)
    run = lambda tol, most, keep="", **more: pb.attribute(
        net, x, method=f"{SPEC}({tol}, max_evaluations={most}{keep})", transform=["pixel", "dct"], **more)  # fmt: skip
    first, once = run(early, few, ", keep=True"), run(late, many)
    then = run(late, many, resume=first, rows=40)
    for before, after, whole in zip(first, then, once):
        torch.testing.assert_close(after.values, whole.values, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(after.details["map_error"], whole.details["map_error"], rtol=1e-6, atol=1e-14)
        assert torch.equal(after.details["evaluations"], whole.details["evaluations"])
        new = after.details["evaluations"] - before.details["evaluations"]
        assert after.settings["evaluations"]["gradient"] == int(new.sum())
        assert "kept_sums" not in after.details


def test_a_run_goes_on_twice_from_a_file_in_single_precision_and_on_its_own(tmp_path: Path) -> None:
    net, x = JOBS["jumps"].float(), normal(4, 1, 12, dtype=torch.float32)
    run = lambda most, x=x, **more: pb.attribute(
        net, x, method=f"{SPEC}(tol=0, max_evaluations={most}, keep=True)", **more
    )
    first, once = run(50), run(200)
    first.save(tmp_path / "first.safetensors")
    middle = run(100, resume=pb.Attribution.load(tmp_path / "first.safetensors"))
    then = run(200, resume=middle)
    torch.testing.assert_close(then.values, once.values, rtol=1e-4, atol=1e-6)
    new = then.details["evaluations"] - middle.details["evaluations"]
    assert then.settings["evaluations"]["gradient"] == int(new.sum()) >= 384
    alone = run(200, x[2:3], resume=first[2])
    torch.testing.assert_close(alone.values[0], once.values[2], rtol=1e-4, atol=1e-6)
    less = run(20, resume=first)  # nothing left to spend: the map it has
    torch.testing.assert_close(less.values, first.values, rtol=1e-4, atol=1e-6)
    assert less.settings["evaluations"]["gradient"] == 0
    JOBS["jumps"].double()


def test_only_the_same_run_goes_on() -> None:
    net, x = JOBS["smooth"], normal(3, 1, 12)
    first = pb.attribute(net, x, method=f"{SPEC}(keep=True)")
    based = pb.attribute(net, x, method=f"{SPEC}(keep=True)", baseline=torch.zeros_like(x))
    again = lambda **more: pb.attribute(**{"model": net, "x": x, "method": SPEC, "resume": first} | more)
    moved = x.clone()
    moved[1] += 1
    nudged = x.clone()
    nudged[2, 0, 3] = torch.nextafter(x[2, 0, 3], torch.tensor(9.0))
    for change, message in [
        ({"x": moved}, r"another x \(example 1 differs\)"),
        ({"x": x[:2]}, r"another x \(of shape \(3, 1, 12\), now \(2, 1, 12\)\)"),
        ({"x": nudged}, r"another x \(example 2 differs\)"),
        ({"baseline": 1.0}, r"another baseline \('zero', now '1.0'\)"),
        ({"baseline": 1e-6 * x, "resume": based}, r"another baseline \(example 0 differs\)"),
        ({"model": smooth_net((1, 12), 1, seed=1)}, r"another model \(example"),
        ({"target": 0}, r"another target \(None, now 0\)"),
        ({"transform": "dct"}, r"another transform \(pixel, now dct\)"),
        ({"transform": ["pixel", "dct"]}, "one result for each of the 2 domains, got 1"),
        ({"compile": {"backend": "eager"}}, r"another compiled \(False, now True\)"),
        ({"method": f"{SPEC}(steps=5)"}, "cannot go on"),
        ({"resume": again()}, "holds nothing to go on from"),
    ]:
        with pytest.raises(ValueError, match=message):
            again(**change)
    with pytest.raises(TypeError, match=r"what pullback\.attribute returned"):
        again(resume=[3])
    with pytest.raises(TypeError, match=r"what pullback\.attribute returned"):
        again(resume=3)


def test_gradients_are_not_stored() -> None:
    """The largest thing kept per example is the pilot: more evaluations do not make the largest tensor larger."""
    largest = []
    for evaluations in (100, 400):
        group_sizes: list[int] = []

        class Spy(certified.Group):
            def _raise(self, places: list[int], level: int, seen: list[int] = group_sizes) -> None:  # type: ignore[override]
                super()._raise(places, level)
                seen.append(max(v.numel() for v in vars(self).values() if isinstance(v, Tensor)))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(certified, "Group", Spy)
            pb.attribute(relu_net(12), normal(2, 1, 12), method=f"{SPEC}(tol=0, max_evaluations={evaluations})")
        largest.append(max(group_sizes))
    assert largest[0] == largest[1]


def test_sketches_keep_distances() -> None:
    rows = normal(6, 30_000)
    sketch = certified._Sketch(rows)(rows)
    assert sketch.shape == (6, 1024)
    torch.testing.assert_close(torch.cdist(sketch, sketch), torch.cdist(rows, rows), rtol=0.1, atol=0)
    few = normal(3, 40)
    assert certified._Sketch(few)(few) is few


def test_non_linear_domains_have_their_own_certificate() -> None:
    x, net = normal(2, 2, 4, 4).abs() + 0.2, relu_net(32)

    class Cubes(pb.transforms.Transform):
        def __init__(self) -> None:
            super().__init__()
            self.shape = (2, 4, 4)
            self.layout = pb.transforms.Pixel(self.shape).layout
            self.claims = pb.transforms.Claim.RECONSTRUCTS | pb.transforms.Claim.SURJECTIVE
            self.spec = "cubes"

        def analysis(self, x: Tensor) -> Tensor:
            return x**3

        def synthesis(self, z: Tensor) -> Tensor:
            return z.sign() * z.abs() ** (1 / 3)

        @classmethod
        def examples(cls) -> list[pb.transforms.Transform]:
            return [cls()]

    base = torch.full_like(x, 0.1)
    found = pb.attribute(net, x, method=f"{SPEC}(tol=0.02)", transform=[Cubes(), "pixel"], baseline=base)
    assert not torch.equal(found[0].details["nodes"], found[1].details["nodes"])
    truth = pb.attribute(net, x, method=TRUTH, transform=Cubes(), baseline=base)
    assert float(error(found[0], truth).max()) < 0.03


# Fixed rules and bad input


def test_fixed_rules_are_uncorrected_unless_asked() -> None:
    x, net = normal(3, 1, 12), relu_net(12)
    plain = pb.attribute(net, x, method=f"{SPEC}(steps=30, rule='graded')")
    moved = pb.attribute(net, x, method=f"{SPEC}(steps=30, rule='graded', correct=True)")
    assert float(plain.gap.abs().max()) > 1e-4
    torch.testing.assert_close(moved.details["residual"], plain.gap, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(moved.details["residual_corrected"], moved.gap, rtol=1e-9, atol=1e-12)
    assert bool((moved.gap.abs() <= plain.gap.abs()).all())
    change = (moved.values - plain.values).flatten(1).norm(dim=1)
    assert bool((change <= 0.1 * plain.values.flatten(1).norm(dim=1) * (1 + 1e-9)).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("rule='simpson', steps=4", "expected rule in"),
        ("rule='graded'", "needs a number of nodes"),
        ("tol=-1", "tol must be"),
        ("tol=1.5", "tol must be"),
        ("max_evaluations=7", "max_evaluations must be a whole number of at least 8"),
        ("steps=0", "steps must be"),
        ("steps=1, rule='trapezoid'", "at least 2"),
        ("correct=1", "correct must be"),
        ("keep=1", "keep must be"),
        ("keep=True, steps=5", "belongs to the certified method"),
    ],
)
def test_bad_options(options: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pb.attribution.get(f"{SPEC}({options})")


def test_a_model_that_breaks_on_the_path_is_named() -> None:
    x = normal(3, 1, 4).abs() + 0.5
    x[1] = -x[1]
    with pytest.raises(ValueError, match="example 1"):
        pb.attribute(lambda u: (u.flatten(1).sum(1) + 1).log(), x, method=SPEC)


def test_a_jump_between_two_nodes_is_not_certified() -> None:
    """Gradients are 0 at every node but f jumps: only the scores show it, and the certificate must listen to them."""
    step = lambda v, at: torch.clamp((v - at) * 500, 0, 1)
    model = lambda x: step(x[:, 0, 0], 0.4137) - step(x[:, 0, 1], 0.7111) + 0.5 * x[:, 0, 2]
    found = pb.attribute(model, torch.ones(1, 1, 4, dtype=torch.float64))
    truth = torch.tensor([[[1.0, -1.0, 0.5, 0.0]]], dtype=torch.float64)
    wrong = float((found.values - truth).norm() / truth.norm())
    assert wrong < 0.1 or (not bool(found.details["converged"]) and float(found.details["map_error"]) > 0.3 * wrong)


def test_a_gradient_that_is_not_finite_names_the_example() -> None:
    x = torch.ones(3, 1, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"not finite for example [0-2]"):
        pb.attribute(lambda x: x.flatten(1).sqrt().sum(1), x)


def test_create_graph_asks_for_fixed_steps() -> None:
    with pytest.raises(ValueError, match=r"steps=64"):
        pb.attribute(smooth_net((1, 4)), normal(1, 1, 4).requires_grad_(), 0, create_graph=True)
