"""Shapley and Owen values against their definitions, Captum and closed forms; intervals against simulation; surrogates."""

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from captum.attr import ShapleyValues, ShapleyValueSampling
from support.compare import close
from support.nonlinear import Curved
from support.subjects import linear_net, normal, smooth_net
from torch import Tensor

import pullback as pb
from pullback.attribution.call import resolve_baseline
from pullback.attribution.methods.coalitions import Players

SHAPE = (1, 8, 8)
Worth = Callable[[frozenset[int]], float]


def worth(f: Any, T: pb.transforms.Transform, x: Tensor, base: Tensor, index: Tensor) -> Worth:
    """v(S) of one example, from the definition, one coalition at a time."""
    z, z0 = T(x[None]), T(base[None])

    def v(members: frozenset[int]) -> float:
        present = torch.isin(index, torch.tensor(sorted(members), dtype=torch.long))
        with torch.no_grad():
            return float(f(T.inverse(torch.where(present, z, z0)))[0, 0])

    known: dict[frozenset[int], float] = {}
    return lambda members: known.setdefault(members, v(members)) if members not in known else known[members]


def by_subsets(v: Worth, n: int) -> Tensor:
    """Σ_S |S|! (n - |S| - 1)! / n! (v(S ∪ i) - v(S))."""
    values = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        values.append(
            math.fsum(
                math.factorial(size)
                * math.factorial(n - size - 1)
                / math.factorial(n)
                * (v(frozenset(some) | {i}) - v(frozenset(some)))
                for size in range(n)
                for some in itertools.combinations(others, size)
            )
        )
    return torch.tensor(values, dtype=torch.float64)


def by_orders(v: Worth, n: int, unions: Sequence[Sequence[int]] | None = None) -> Tensor:
    """The mean gain over all orders, or over all orders in which unions stay together."""
    if unions is None:
        orders: list[tuple[int, ...]] = list(itertools.permutations(range(n)))
    else:
        orders = [
            tuple(itertools.chain.from_iterable(inner))
            for outer in itertools.permutations(unions)
            for inner in itertools.product(*(list(itertools.permutations(union)) for union in outer))
        ]
    gains = torch.zeros(len(orders), n, dtype=torch.float64)
    for row, order in enumerate(orders):
        for place, player in enumerate(order):
            gains[row, player] = v(frozenset(order[: place + 1])) - v(frozenset(order[:place]))
    return gains.mean(0)


@pytest.mark.parametrize("baseline", [None, "blur(sigma=2)"])
def test_exact_over_ten_bands_is_the_definition(baseline: str | None) -> None:
    shape = (1, 16, 16)
    x, f, T = normal(1, *shape), smooth_net(shape), pb.transforms.get("dwt(haar, level=3)", shape)
    assert len(T.layout.bands) == 10
    base = torch.zeros_like(x) if baseline is None else resolve_baseline(baseline, x)
    att = pb.attribute(f, x, 0, method="shapley", transform=T, baseline=baseline)
    expected = by_subsets(worth(f, T, x[0], base[0], T.layout.index), 10)
    close(T.layout.sum(att.values)[0], expected)
    assert float(att.completeness_gap.abs().max()) < 1e-12
    assert att.settings["evaluations"]["forward"] == 5 + 1 + 2**10


@pytest.mark.parametrize("domain", ["dct", "dwt(db2, level=1, mode=reflect)", Curved(SHAPE)], ids=str)
def test_exact_values_average_all_orders_and_agree_with_captum(domain: Any) -> None:
    x, f, T = normal(2, *SHAPE), smooth_net(SHAPE), pb.transforms.get(domain, SHAPE)
    base = torch.full_like(x, 0.3)
    by = "scale" if len(T.layout.bands) > 6 else "band"
    layout = T.layout.group(by)
    att = pb.attribute(f, x, 0, method=f"shapley({by})", transform=T, baseline=base)
    sums = layout.sum(att.values)
    for i in range(2):
        close(sums[i], by_orders(worth(f, T, x[i], base[i], layout.index), len(layout.bands)))
    captum = ShapleyValues(pb.Pullback(f, T)).attribute(T(x), T(base), 0, feature_mask=layout.index[None])
    pick = [int((layout.index.flatten() == b).nonzero()[0, 0]) for b in range(len(layout.bands))]
    close(sums, captum.flatten(1)[:, pick].double(), 1e-6)  # Captum answers in float32


def test_owen_values_average_the_orders_that_keep_unions_together() -> None:
    x, f, T = normal(1, *SHAPE), smooth_net(SHAPE), pb.transforms.get("dwt(haar, level=2)", SHAPE)
    unions = [[0], [1, 2, 3], [4, 5, 6]]
    assert Players.of(T.layout, "band").unions("scale") == [[0], [1, 2, 3], [4, 5, 6]]
    v = worth(f, T, x[0], torch.zeros(SHAPE, dtype=torch.float64), T.layout.index)
    expected = by_orders(v, 7, unions)
    att = pb.attribute(f, x, 0, method="shapley(band, unions=scale)", transform=T)
    close(T.layout.sum(att.values)[0], expected)
    rows = att.settings["evaluations"]["forward"] - 3
    assert rows < 2**7
    assert not torch.allclose(expected, by_orders(v, 7), atol=1e-6)  # they are not the Shapley values
    scales = pb.attribute(f, x, 0, method="shapley(scale)", transform=T)
    close(T.layout.group("scale").sum(att.values), T.layout.group("scale").sum(scales.values))  # but their sums are
    many = pb.attribute(f, x, 0, method="shapley(band, unions=scale, exact=false, pairs=400)", transform=T)
    error = (T.layout.sum(many.values)[0] - expected).abs()
    assert bool((error <= 5 * many.details["standard_error"][0] + 1e-12).all())


def test_closed_forms() -> None:
    x, T = normal(2, *SHAPE), pb.transforms.get("dwt(haar, level=2)", SHAPE)
    z, layout = T(x), T.layout
    linear = linear_net(SHAPE)
    w = T.adjoint(linear[1].weight.detach().reshape(1, *SHAPE))
    close(pb.attribute(linear, x, method="shapley(coefficient, exact=false, pairs=2)", transform=T).values, z * w)
    bands = layout.sum(z)
    # Unanimity: a product of bands is 0 until all bands are present, so each has the same share.
    product = pb.attribute(lambda x: layout.sum(T(x)).prod(1), x, method="shapley", transform=T)
    close(layout.sum(product.values), (bands.prod(1, keepdim=True) / 7).expand(2, 7))
    # (Σ b)² = Σ b² + Σ pairs: a pair's product is halved. Antithetic orders are exact for pairs, with no error left.
    square = lambda x: layout.sum(T(x)).sum(1).square()
    expected = bands * bands.sum(1, keepdim=True)
    close(layout.sum(pb.attribute(square, x, method="shapley", transform=T).values), expected)
    sampled = pb.attribute(square, x, method="shapley(exact=false, pairs=2)", transform=T)
    close(layout.sum(sampled.values), expected)
    assert float(sampled.details["standard_error"].max()) < 1e-12


def test_spreading_keeps_band_sums_and_dummies_get_zero() -> None:
    x, T = normal(2, *SHAPE), pb.transforms.get("dct", SHAPE)
    names = [band.name for band in T.layout.bands]
    ignores = lambda x: T.layout.sum(T(x))[:, 2:].square().prod(1)
    att = pb.attribute(ignores, x, method="shapley", transform=T)
    assert att.details["groups"] == names
    assert float((T.layout.sum(att.values)[:, :2].abs() / att.score_difference.abs()[:, None]).max()) < 1e-12
    share = att.values / att.coefficients.abs()  # constant within each band
    for band in range(len(names)):
        inside = share[:, T.layout.index == band]
        close(inside, inside[:, :1].expand_as(inside))


def test_exact_values_of_coefficients_satisfy_every_claim() -> None:
    method = pb.attribution.get("shapley(coefficient, exact=true)")
    assert method.claims == ~pb.attribution.MethodClaim.NONE
    x = normal(2, 1, 8)
    x[..., 6] = x[..., 2]
    values = lambda f, base=None: pb.attribute(f, x, method=method, baseline=base).values[:, 0]
    swap = lambda x: x[..., [0, 1, 6, 3, 4, 5, 2, 7]]
    even = values(lambda x: _interacting(x) + _interacting(swap(x)))
    close(even[:, 2], even[:, 6])
    assert not torch.allclose(values(_interacting)[:, 2], values(_interacting)[:, 6])  # the control: an f that is not symmetric
    assert float(values(lambda x: _interacting(x[..., [0, 1, 2, 4, 5, 6, 7]]))[:, 3].abs().max()) == 0
    one = x.clone()
    one[..., 5] += 1
    assert bool((values(_interacting, one)[:, 5] != 0).all())
    square = lambda x: x.flatten(1).square().sum(1).square()
    close(values(lambda x: 2 * _interacting(x) - 3 * square(x)), 2 * values(_interacting) - 3 * values(square))


def test_details_survive_saving_and_slicing(tmp_path: Path) -> None:
    T = "dwt(haar, level=1)"
    att = pb.attribute(_interacting, normal(3, 1, 6), method="shapley(exact=false)", transform=[T, "pixel"])[0]
    att.save(tmp_path / "a.safetensors")
    again = pb.Attribution.load(tmp_path / "a.safetensors")[1]
    assert again.details["groups"] == ["a1", "d1"]
    assert torch.equal(again.details["interval"], att.details["interval"][1:2])
    assert again.settings["options"]["pairs"] == 32


# Sampling -----------------------------------------------------------------------------------------------------------


def _interacting(x: Tensor) -> Tensor:
    """Interactions of every order, so that no antithetic pair is exact."""
    x = x.flatten(1)
    return (1 + x).prod(1) + torch.sin(3 * x.sum(1)) + (x[:, 0] * x[:, 1] * x[:, 2]).exp()


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_cover_the_true_value_at_their_stated_level(confidence: float) -> None:
    x = normal(400, 1, 6, seed=5)
    truth = pb.attribute(_interacting, x, method="shapley(coefficient)").values[:, 0]
    method = f"shapley(coefficient, exact=false, pairs=24, confidence={confidence})"
    att = pb.attribute(_interacting, x, method=method)
    low, high = att.details["interval"].unbind(-1)
    covered = float(((low <= truth) & (truth <= high)).double().mean())
    assert abs(covered - confidence) < 0.025, covered
    middle, half = (low + high) / 2, (high - low) / 4  # the control: intervals of half the width
    assert float(((truth - middle).abs() <= half).double().mean()) < confidence - 0.1
    close(middle, att.values[:, 0])
    error = (att.values[:, 0] - truth) / att.details["standard_error"]
    assert abs(float(error.mean())) < 0.05  # unbiased
    assert float(att.completeness_gap.abs().max()) < 1e-12 * float(att.score_difference.abs().max()) + 1e-12


def test_the_error_falls_with_the_square_root_of_the_pairs_and_is_below_that_of_plain_orders() -> None:
    x = normal(50, 1, 8, seed=2)
    f = lambda x: x.flatten(1).sum(1).pow(3) + _interacting(x)
    get = lambda pairs: pb.attribute(f, x, method=f"shapley(coefficient, exact=false, pairs={pairs})")
    ratio = get(16).details["standard_error"] / get(256).details["standard_error"]
    assert 3.5 < float(ratio.median()) < 4.5
    captum = ShapleyValueSampling(f)
    torch.manual_seed(0)
    plain = captum.attribute(x, n_samples=32, perturbations_per_eval=1)
    truth = pb.attribute(f, x, method="shapley(coefficient)").values
    assert float((get(16).values - truth).norm()) < float((plain - truth).norm())


def test_the_same_seed_repeats_and_another_differs() -> None:
    x = normal(2, 1, 6)
    get = lambda seed: pb.attribute(_interacting, x, method="shapley(coefficient, exact=false, pairs=2)", seed=seed).values
    assert torch.equal(get(0), get(0))
    assert not torch.allclose(get(0), get(1))


def test_up_to_ten_players_are_exact_and_up_to_sixteen_where_asked() -> None:
    f = lambda x: x.flatten(1).sum(1).square()
    for players, options in {10: "", 12: ", exact=true"}.items():
        att = pb.attribute(f, normal(1, 1, players), method=f"shapley(coefficient{options})")
        assert att.settings["evaluations"]["forward"] == 5 + 1 + 2**players
    assert "standard_error" in pb.attribute(f, normal(1, 1, 11), method="shapley(coefficient, pairs=2)").details
    x = normal(1, 1, 17)
    assert "standard_error" in pb.attribute(f, x, method="shapley(coefficient, pairs=2)").details
    with pytest.raises(ValueError, match=r"17 players need more; take exact=false, pairs=… \(antithetic permutation sampling"):
        pb.attribute(f, x, method="shapley(coefficient, exact=true)")
    one = pb.attribute(f, x, method="shapley(band, exact=false)")  # pixels are one band: there is one order
    close(one.completeness_gap, torch.zeros(1, dtype=x.dtype))


# Surrogates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["dct", "dwt(haar, level=2)", Curved(SHAPE)], ids=str)
def test_kernel_shap_on_every_coalition_is_the_shapley_value(domain: Any) -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)
    options: dict[str, Any] = {"transform": domain, "baseline": "mean"}
    fit = pb.attribute(f, x, 0, method="kernel_shap(samples=8192)", **options)
    close(fit.values, pb.attribute(f, x, 0, method="shapley(exact=true)", **options).values)


def test_kernel_shap_samples_come_close_and_are_complete() -> None:
    x = normal(3, 1, 12)
    truth = pb.attribute(_interacting, x, method="shapley(coefficient, exact=true)").values
    errors = []
    for samples in (100, 2000):
        fit = pb.attribute(_interacting, x, method=f"kernel_shap(coefficient, samples={samples})")
        close(fit.completeness_gap, torch.zeros(3, dtype=x.dtype))
        errors.append(float((fit.values - truth).norm() / truth.norm()))
    assert errors[1] < errors[0] / 2
    linear = pb.attribute(lambda x: 3 * x.flatten(1).sum(1), x, method="kernel_shap(coefficient, samples=100)")
    close(linear.values, 3 * x)
    close(
        pb.attribute(_interacting, x, method="kernel_shap(band)").completeness_gap, torch.zeros(3, dtype=x.dtype)
    )  # one player


def test_lime_recovers_a_linear_function_and_shrinks_with_the_ridge() -> None:
    x, f = normal(2, *SHAPE), linear_net(SHAPE)
    T = pb.transforms.get("dwt(haar, level=2)", SHAPE)
    parts = T.layout.sum(T(x) * T.adjoint(f[1].weight.detach().reshape(1, *SHAPE)))
    exact = pb.attribute(f, x, method="lime(ridge=0, samples=64)", transform=T)
    close(T.layout.sum(exact.values), parts)
    small = pb.attribute(f, x, method="lime(ridge=1, samples=64)", transform=T)
    assert float(small.values.norm()) < 0.6 * float(exact.values.norm())


def test_lime_solves_its_normal_equations() -> None:
    seen: list[Tensor] = []
    g = smooth_net((1, 4))

    def f(x: Tensor) -> Tensor:
        seen.append(x.flatten(1).clone())
        return g(x)[:, 0]

    x = torch.ones(1, 1, 4, dtype=torch.float64)
    att = pb.attribute(f, x, method="lime(coefficient, samples=50, width=0.5, ridge=0.1)", batch_size=1000)
    m = seen[-2]
    assert m[0].tolist() == [1, 1, 1, 1]
    with torch.no_grad():
        v = g(m[:, None])[:, 0]
    w = torch.exp(-((1 - (m.sum(1) / 4).sqrt()) ** 2) / 0.25)
    w = w / w.sum()
    design = torch.cat([torch.ones(50, 1).to(m), m], 1)
    penalty = torch.diag(torch.tensor([0.0, 0.1, 0.1, 0.1, 0.1], dtype=m.dtype))
    expected = torch.linalg.solve(design.T @ (w[:, None] * design) + penalty, design.T @ (w * v))
    close(att.values.flatten(), expected[1:])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("shapley(by=colour)", "coefficient, block, band, scale, orientation, octave"),
        ("shapley(unions=colour)", "expected unions .or none. in band, scale, orientation, octave"),
        ("shapley(pairs=1)", "pairs must be a whole number of at least 2"),
        ("shapley(exact=maybe)", "true, false or none"),
        ("shapley(confidence=1)", r"must lie in \(0, 1\)"),
        ("kernel_shap(samples=1)", "at least 2"),
        ("lime(samples=1)", "at least 2"),
        ("lime(width=0)", "width must be above 0"),
        ("lime(ridge=-1)", "ridge at least 0"),
        ("lime(value=noise)", "baseline, zero, mean"),
    ],
)
def test_bad_options_list_the_choices(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pb.attribution.get(spec)


def test_bad_players_for_a_domain() -> None:
    x, f = normal(1, *SHAPE), linear_net(SHAPE)
    with pytest.raises(ValueError, match="at least the number of players, 64, got 20"):
        pb.attribute(f, x, method="kernel_shap(coefficient, samples=20)")
    with pytest.raises(ValueError, match="belong to two groups of 'scale'"):
        pb.attribute(f, x, method="shapley(orientation, unions=scale)", transform="dwt(haar, level=2)")
