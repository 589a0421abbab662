"""Metrics of few players, and descriptions of how concentrated a map is."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from support.subjects import linear_net, normal, smooth_net
from torch import Tensor

import pullback as pb
from pullback.metrics import effective_number, measure, participation

SHAPE = (1, 16)
DWT = "dwt(haar, level=3)"


def test_on_a_linear_model_bands_lose_exactly_their_sums() -> None:
    model, x, x0 = linear_net(SHAPE), normal(3, *SHAPE), normal(3, *SHAPE, seed=8)
    for spec in (DWT, "dct", "dwt(db2, level=2, mode=reflect)"):
        att = pb.attribute(model, x, transform=spec, baseline=x0)
        deletion, shapley = measure(model, att, ["band_deletion", "band_shapley_error"])
        torch.testing.assert_close(deletion.details["bands"], deletion.details["drops"], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(deletion.value, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-12)
        assert shapley.value.max() < 1e-10


def test_wrong_maps_are_told_apart() -> None:
    model, x = linear_net(SHAPE), normal(3, *SHAPE)
    att = pb.attribute(model, x, transform=DWT)
    anti = dataclasses.replace(att, values=-att.values)
    deletion, shapley = measure(model, anti, ["band_deletion", "band_shapley_error"])
    torch.testing.assert_close(deletion.value, -torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(shapley.value, torch.full((3,), 2, dtype=torch.float64), rtol=1e-9, atol=0)


def test_exact_shapley_values_agree_with_the_definition_by_orders() -> None:
    """φ_B is the mean gain of B over all orders of the bands."""
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    att = pb.attribute(model, x, 1, transform="dwt(haar, level=2)")
    (found,) = measure(model, att, "band_shapley_error(by=band)", 1)
    owner, count = att.layout.index, len(att.layout.bands)

    def worth(members: set[int]) -> Tensor:
        inside = torch.isin(owner, torch.tensor(sorted(members), dtype=torch.long))
        with torch.no_grad():
            return model(att.transform.inverse(att.coefficients * inside))[:, 1]

    gains = torch.zeros(2, count, dtype=torch.float64)
    for order in itertools.permutations(range(count)):
        for place, band in enumerate(order):
            gains[:, band] += worth({*order[:place], band}) - worth({*order[:place]})
    torch.testing.assert_close(found.details["shapley"], gains / math.factorial(count), rtol=1e-10, atol=1e-10)


def test_shapley_maps_have_no_error_and_gradients_times_input_have() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    for by in ("scale", "octave"):
        own = pb.attribute(model, x, 1, method=f"shapley(by={by})", transform=DWT)
        assert measure(model, own, f"band_shapley_error(by={by})", 1)[0].value.max() < 1e-10
    other = pb.attribute(model, x, 1, method="input_x_gradient", transform=DWT)
    assert measure(model, other, "band_shapley_error", 1)[0].value.min() > 1e-3


def test_too_many_bands_sensitivities_and_other_groups_are_refused() -> None:
    model, x = smooth_net((1, 32, 32)), normal(1, 1, 32, 32)
    att = pb.attribute(model, x, 1, transform="dct", method="input_x_gradient")
    with pytest.raises(ValueError, match="at most 10") as raised:
        measure(model, att, "band_shapley_error(by=band)", 1)
    assert len(str(raised.value)) <= 300
    gradient = pb.attribute(model, x, 1, transform="dct", method="gradient")
    for name in ("band_deletion", "band_shapley_error"):
        with pytest.raises(ValueError, match="needs shares"):
            measure(model, gradient, name, 1)
        with pytest.raises(ValueError, match="expected by in"):
            pb.metrics.get(f"{name}(by=coefficient)")


def test_one_band_and_constant_models_are_not_defined() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    assert measure(model, pb.attribute(model, x, 0), "band_deletion", 0)[0].value.isnan().all()
    assert measure(model, pb.attribute(model, x, 0), "band_shapley_error", 0)[0].value.max() < 0.1  # completeness
    constant = lambda x: x.flatten(1).sum(1) * 0 + 2
    flat = pb.attribute(constant, x, transform=DWT)
    for found in measure(constant, flat, ["band_deletion", "band_shapley_error"]):
        assert found.value.isnan().all()


def test_numbers_do_not_depend_on_batch_size_order_and_duplicates() -> None:
    model, x, order = smooth_net(SHAPE), normal(3, *SHAPE), [1, 1, 2, 0]
    specs = ["band_deletion", "band_shapley_error", "effective_number", "participation", "gini", "fraction_holding"]
    once = measure(model, pb.attribute(model, x, [0, 1, 2], transform=DWT), specs, [0, 1, 2])
    targets = [[0, 1, 2][i] for i in order]
    again = measure(model, pb.attribute(model, x[order], targets, transform=DWT), specs, targets, batch_size=3)
    for a, b in zip(once, again):
        torch.testing.assert_close(a.value[order], b.value, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_as_many_equal_coefficients_are_that_effective_number(count: int) -> None:
    values = torch.zeros(1, 1, 8, dtype=torch.float64)
    values[..., :count] = -2
    for number in (effective_number, participation):
        assert float(number(values)) == pytest.approx(count / 8, abs=1e-12)
        assert float(number(values, of=4)) == pytest.approx(count / 4, abs=1e-12)
        torch.testing.assert_close(number(values * 1e30), number(values))


def test_effective_number_agrees_with_the_entropy_of_scipy() -> None:
    values = normal(3, 1, 20)
    known = stats.entropy(values.flatten(1).abs().numpy(), axis=1)
    np.testing.assert_allclose(effective_number(values, of=1).log(), known, rtol=1e-10)


def test_concentration_counts_samples_so_that_frames_are_not_favoured_and_has_no_vote() -> None:
    x = normal(2, 1, 16)
    names = ["effective_number", "participation", "fraction_holding", "gini"]
    assert not any(pb.metrics.get(name).ranks_domains for name in names)
    pixel, doubled = (
        pb.Attribution.from_map(torch.cat([x] * n, -1), x, t, values_in="z")
        for n, t in ((1, "pixel"), (2, "swt(haar, level=1)"))
    )
    f = lambda x: x.flatten(1).sum(1)
    for a, b in zip(measure(f, pixel, names[:3]), measure(f, doubled, names[:3])):
        torch.testing.assert_close(2 * a.value, b.value, rtol=1e-9, atol=0.07)


def test_zero_maps_are_not_concentrated() -> None:
    x = normal(2, 1, 8)
    values = torch.stack([torch.zeros(1, 8, dtype=torch.float64), x[1]])
    f = lambda x: x.flatten(1).sum(1)
    specs = ["effective_number", "participation", "gini", "fraction_holding(share=0.5)"]
    for found in measure(f, pb.Attribution.from_map(values, x), specs):
        assert found.value.isnan().tolist() == [True, False]
    for wrong in ("fraction_holding(share=0)", "fraction_holding(share=2)"):
        with pytest.raises(ValueError, match="share"):
            pb.metrics.get(wrong)
