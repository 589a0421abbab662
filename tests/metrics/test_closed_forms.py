"""Every metric on linear models, where it follows from sums of the map: against slow, obvious loops, to 1e-10."""

import math

import numpy as np
import pytest
import torch
from support.metrics import KnownShares, judge, random_map, valued
from support.subjects import linear_net, normal

import pullback as pb
from pullback.metrics import measure
from pullback.metrics.selection import counts

SHAPE, SIZE = (1, 6, 8), 48
MODEL, X, X0 = linear_net(SHAPE), normal(4, *SHAPE), normal(4, *SHAPE, seed=8)
DOMAINS = ["pixel", "dct", "dwt(haar, level=1)", "swt(haar, level=1)", "dtcwt(level=1)"]
BUDGETS = (0.05, 0.1, 0.3, 0.6, 1.0)
domains = pytest.mark.parametrize("domain", DOMAINS)


def mapped(domain: str, seed: int | None = None) -> pb.Attribution:
    """The exact shares of the linear model, or other numbers in their place."""
    att = pb.attribute(MODEL, X, transform=domain, baseline=X0)
    return att if seed is None else valued(att, normal(*att.values.shape, seed=seed))


def removed_sums(att: pb.Attribution, ranked: torch.Tensor, shares: torch.Tensor, numbers: list[int]) -> np.ndarray:
    """Σ of the shares of the first coefficients by `ranked`, (batch, numbers). Slow and obvious."""
    rows = []
    for score, share in zip(ranked.flatten(1), shares.flatten(1), strict=True):
        place = sorted(range(len(score)), key=lambda k: -float(score[k]))
        rows.append([sum(float(share[k]) for k in place[:number]) for number in numbers])
    return np.array(rows)


def area(curve: np.ndarray, numbers: list[int]) -> np.ndarray:
    """The mean height over 0, n₁, n₂ … by the trapezoidal rule."""
    width = np.diff([0, *numbers])
    return ((curve[:, 1:] + curve[:, :-1]) / 2 * width).sum(1) / numbers[-1]


@domains
def test_insertion_deletion_and_rate_fidelity_are_cumulated_sums(domain: str) -> None:
    exact, other = mapped(domain), mapped(domain, 3)
    numbers, total = [round(b * SIZE) for b in BUDGETS], exact.values.flatten(1).sum(1).numpy()[:, None]
    for att in (exact, other):
        kept = removed_sums(att, att.values.abs(), exact.values, numbers) / total
        start = np.zeros((4, 1))
        found = measure(MODEL, att, [f"{name}(budgets={list(BUDGETS)})" for name in ("insertion", "deletion")])
        np.testing.assert_allclose(found[0].value, area(np.hstack([start, kept]), numbers), atol=1e-10)
        np.testing.assert_allclose(found[1].value, area(np.hstack([1 + start, 1 - kept]), numbers), atol=1e-10)
        (rate,) = measure(MODEL, att, f"rate_fidelity(by=count, budgets={list(BUDGETS)})")
        np.testing.assert_allclose(rate.details["kept"], kept, atol=1e-10)
        np.testing.assert_allclose(rate.curve, 1 - np.abs(1 - kept), atol=1e-10)


@domains
def test_srg_is_the_difference_of_signed_sums_and_turns_with_the_sign(domain: str) -> None:
    exact, att = mapped(domain), mapped(domain, 3)
    size = att.values[0].numel()
    numbers = [round(b * size) for b in BUDGETS]
    spec = f"srg(budgets={list(BUDGETS)})"
    most = removed_sums(att, att.values, exact.values, numbers)
    least = removed_sums(att, -att.values, exact.values, numbers)
    unit = exact.values.flatten(1).sum(1).abs().numpy()
    expected = area(np.hstack([np.zeros((4, 1)), most - least]), numbers) / unit
    np.testing.assert_allclose(measure(MODEL, att, spec)[0].value, expected, atol=1e-10)
    turned = valued(att, -att.values)
    torch.testing.assert_close(measure(MODEL, turned, spec)[0].value, -measure(MODEL, att, spec)[0].value, rtol=0, atol=1e-12)
    ties = valued(att, att.values.round())
    for one in (ties, valued(att, 0 * att.values)):
        turned = valued(one, -one.values)
        torch.testing.assert_close(measure(MODEL, turned, spec)[0].value, -measure(MODEL, one, spec)[0].value, rtol=0, atol=0)


@domains
def test_shares_of_a_linear_model_correlate_fully_at_every_size(domain: str) -> None:
    att = mapped(domain)
    for spec in ("mu_fidelity", "mu_fidelity(subset=3)", "mu_fidelity(correlation=spearman, samples=20)"):
        torch.testing.assert_close(measure(MODEL, att, spec)[0].value, torch.ones(4).double(), rtol=0, atol=1e-10)
    found = measure(MODEL, att, "sensitivity_n(sizes=[1, 0.05, 0.3, 0.8], samples=20)")[0]
    torch.testing.assert_close(found.curve, torch.ones(4, 4).double(), rtol=0, atol=1e-10)
    opposite = measure(MODEL, valued(att, -att.values), "sensitivity_n")[0]
    torch.testing.assert_close(opposite.value, -torch.ones(4).double(), rtol=0, atol=1e-10)


@domains
def test_correlations_are_those_of_scipy(domain: str) -> None:
    from scipy import stats

    att, exact = mapped(domain, 3), mapped(domain)
    for kind, known in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        found = measure(MODEL, att, f"mu_fidelity(correlation={kind})")[0]
        for i in range(4):
            expected = known(found.details["sums"][i], found.details["drops"][i]).statistic
            assert float(found.value[i]) == pytest.approx(expected, abs=1e-10)
    shared = measure(MODEL, valued(att, exact.values), "mu_fidelity")[0]  # the same sets: drops are sums of exact shares
    torch.testing.assert_close(found.details["drops"], shared.details["sums"], rtol=1e-10, atol=1e-10)


@domains
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient"])
@pytest.mark.parametrize("law", ["noise", "noisy_baseline"])
def test_infidelity_of_a_linear_model(domain: str, method: str, law: str) -> None:
    """0 for its gradient; for c times it, (1 - c)² E[Δ²], and β = 1 / c repairs it."""
    att = pb.attribute(MODEL, X, transform=domain, baseline=X0, method=method)
    spec = f"infidelity(perturbation={law}, samples=10)"
    for factor in (1.0, 3.0, -1.0):
        found = measure(MODEL, valued(att, factor * att.values), spec)[0]
        zero = torch.zeros(4).double()
        torch.testing.assert_close(found.details["relative"], zero + (1 - factor) ** 2, rtol=0, atol=1e-10)
        torch.testing.assert_close(found.details["beta"], zero + 1 / factor, rtol=0, atol=1e-10)
        repaired = found.details["scaled"] / found.value.clamp(min=1e-300)
        if factor > 1:
            torch.testing.assert_close(repaired, zero, rtol=0, atol=1e-10)
        assert factor != 1 or float(found.value.max()) < 1e-20


@pytest.mark.parametrize("budget", [0.05, 0.1, 0.4])
def test_class_answers_follow_from_sums_through_the_sigmoid(budget: float) -> None:
    model = KnownShares()
    exact = pb.attribute(model, model.inputs(5), 0, method="input_x_gradient", transform="dct")
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    for att in (exact, random_map(exact, 1)):
        sums = removed_sums(att, att.values.abs(), exact.values, [round(budget * 64)])[:, 0]
        total = exact.values.flatten(1).sum(1).numpy()
        p, o, left = (sigmoid(v - model.bias) for v in (total, sums, total - sums))
        expected = {
            "average_drop": np.maximum(0, p - o) / p,
            "average_increase": (o > p).astype(float),
            "average_gain": np.maximum(0, o - p) / (1 - p),
            "ff": p - left,
            "fid_in": ((o > 0.5) == (p > 0.5)).astype(float),
        }
        for name, known in expected.items():
            np.testing.assert_allclose(judge(pb.metrics.get(f"{name}(budget={budget})"), model, att).value, known, atol=1e-10)


def test_answers_may_be_probabilities_or_margins() -> None:
    model = KnownShares()
    exact = pb.attribute(model, model.inputs(5), 0, method="input_x_gradient", transform="dct")
    sums, total = removed_sums(exact, exact.values.abs(), exact.values, [3])[:, 0], exact.values.flatten(1).sum(1).numpy()
    sigmoid = lambda v: 1 / (1 + np.exp(-(v - model.bias)))
    kept = np.abs(sigmoid(sums) - sigmoid(total)) / np.abs(sigmoid(total) - sigmoid(0))
    removed = np.abs(sigmoid(total - sums) - sigmoid(0)) / np.abs(sigmoid(total) - sigmoid(0))
    by = lambda answer: judge(pb.metrics.get(f"selection_error(budgets=[0.05], answer={answer})"), model, exact).value
    np.testing.assert_allclose(by("probability"), (kept + removed) / 2, atol=1e-10)
    torch.testing.assert_close(by("margin"), by("score"))  # the other logit is constant
    assert math.isclose(float(by("score")[0]), abs(sums[0] - total[0]) / abs(total[0]), abs_tol=1e-10)


@pytest.mark.parametrize("by", ["count", "energy", "bits", "coefficients"])
def test_the_whole_budget_buys_the_signal(by: str) -> None:
    for domain in ("pixel", "dct"):
        att = mapped(domain)
        rank = pb.core.tensors.ranks(att.values.abs())
        most = counts(att, rank, 1.0, by)
        if by != "bits" or domain == "pixel":
            assert most.tolist() == [SIZE] * 4
            found = measure(MODEL, att, f"rate_fidelity(by={by}, budgets=[1.0])")[0]
            torch.testing.assert_close(found.value, torch.ones(4).double(), rtol=0, atol=1e-10)
