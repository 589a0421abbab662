"""Localisation against truth: perfect, anti and random maps, ties, references, and truth that does not fit."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from support.subjects import normal, smooth_net
from torch import Tensor

import pullback as pb
from pullback.metrics import measure

LIFTS = ["relevance_mass", "relevance_rank", "relevance_auprc", "pointing_game"]


def summed(x: Tensor) -> Tensor:
    return x.flatten(1).sum(1)


def with_values(values: Tensor, transform: str = "pixel") -> pb.Attribution:
    """A map with these values, of any example."""
    x = normal(1, *values.shape[1:]).expand(values.shape)
    return pb.Attribution.from_map(values, x, transform, kind="share", values_in="z")


def lifts(values: Tensor, truth: Tensor, **options: object) -> list[pb.metrics.Scores]:
    return measure(summed, with_values(values), LIFTS, truth=truth, **options)  # type: ignore[arg-type]


def mask(batch: int, size: int, *true: int) -> Tensor:
    found = torch.zeros(batch, 1, size, dtype=torch.bool)
    found[..., list(true)] = True
    return found


def test_perfect_maps_have_one_over_chance_and_anti_maps_zero() -> None:
    truth = mask(1, 10, 2, 7)
    perfect = lifts(truth.double() * -3, truth)  # the sign does not count
    assert [float(found.details["raw"]) for found in perfect] == [1, 1, 1, 1]
    assert [float(found.value) for found in perfect[:2]] == [5, 5]
    anti = lifts((~truth).double(), truth)
    assert [float(found.value) for found in anti[:2]] == [0, 0]
    assert float(anti[3].value) == 0
    assert float(anti[2].details["raw"]) == pytest.approx(0.2)  # the truth comes last, all together
    assert float(perfect[2].value) > 2 > 1 > float(anti[2].value)


@pytest.mark.parametrize(("size", "true"), [(7, (0, 3)), (12, (4,)), (5, (0, 1, 2, 3))])
def test_random_maps_have_lift_one(size: int, true: tuple[int, ...]) -> None:
    """The mean over 4,000 random maps lies within four standard errors of 1."""
    values = normal(4000, 1, size, seed=2)
    for name, found in zip(LIFTS, lifts(values, mask(4000, size, *true))):
        error = float(found.value.std()) / 4000**0.5
        assert abs(float(found.value.mean()) - 1) < 4 * error, name


def test_the_chance_of_average_precision_is_its_mean_over_all_orders() -> None:
    orders = torch.tensor(list(itertools.permutations(range(5))), dtype=torch.float64)[:, None] + 1
    for true in ((0,), (1, 4), (0, 2, 3), (0, 1, 2, 3, 4)):
        found = lifts(orders, mask(120, 5, *true))[2]
        assert float(found.value.mean()) == pytest.approx(1, abs=1e-12)


def test_average_precision_agrees_with_scikit_learn_also_with_ties() -> None:
    reference = pytest.importorskip("sklearn.metrics").average_precision_score
    values, truth = normal(20, 1, 30).mul(3).round(), normal(20, 1, 30, seed=1) > 0.7
    found = lifts(values, truth)[2].details["raw"]
    known = [reference(t.flatten().numpy(), v.abs().flatten().numpy()) for t, v in zip(truth, values)]
    np.testing.assert_allclose(found, known, rtol=1e-12)


def test_equal_entries_count_as_in_a_random_order() -> None:
    """A constant map has no places: lift 1 wherever the truth is; by position, truth at the start would be perfect."""
    constant = torch.ones(1, 1, 6, dtype=torch.float64)
    for true in ((0, 1), (4, 5)):
        found = lifts(constant, mask(1, 6, *true))
        assert [float(each.value) for each in (found[0], found[1], found[3])] == pytest.approx([1, 1, 1])
    two = torch.tensor([[[3.0, 2.0, 2.0, 2.0, 0.0]]], dtype=torch.float64)
    rank = lifts(two, mask(1, 5, 0, 1))[1]  # the first, and one of three that tie
    assert float(rank.details["raw"]) == pytest.approx((1 + 1 / 3) / 2)


def test_zero_maps_and_truth_that_is_empty_are_not_defined_and_full_truth_is_chance() -> None:
    values = torch.stack([torch.zeros(1, 4), *normal(2, 1, 4)]).double()
    truth = torch.stack([mask(1, 4, 0)[0], mask(1, 4)[0], ~mask(1, 4)[0]])
    for name, found in zip(LIFTS, lifts(values, truth)):
        assert found.value[:2].isnan().all(), name
        assert float(found.value[2]) == pytest.approx(1), name


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float32, np.ndarray])
def test_truth_may_be_any_zeros_and_ones(kind: object) -> None:
    values, truth = normal(2, 1, 8), mask(2, 8, 1, 5)
    given = truth.numpy() if kind is np.ndarray else truth.to(kind)  # type: ignore[arg-type, call-overload]
    for a, b in zip(lifts(values, truth), lifts(values, given)):
        assert torch.equal(a.value, b.value)


def test_truth_in_the_signal_is_compared_with_the_heat_map_in_every_linear_domain() -> None:
    model, x, shape = smooth_net((2, 6, 8)), normal(2, 2, 6, 8), (2, 2, 6, 8)
    truth = normal(*shape, seed=4) > 1
    place = truth.any(1)
    maps = pb.attribute(model, x, 1, transform=["pixel", "dct", "swt(haar, level=1)"])
    results = [
        measure(model, maps[1], LIFTS, 1, truth=truth, truth_in="signal"),
        measure(model, maps[1], LIFTS, 1, truth=place),  # without channels: nothing else has that shape
        measure(model, maps[2], LIFTS, 1, truth=truth),  # a frame has another shape than the signal
        measure(model, maps[0], LIFTS, 1, truth=place),
        measure(model, maps[1], LIFTS, 1, truth=place[:, None]),
    ]
    for other in results[1:]:
        for a, b in zip(results[0], other):
            torch.testing.assert_close(a.value, b.value, rtol=1e-9, atol=1e-9)
    in_pixels = measure(model, maps[0], LIFTS, 1, truth=truth)  # samples are the coefficients: channels count
    assert not torch.allclose(in_pixels[0].value, results[0][0].value)
    in_z = measure(model, maps[1], LIFTS, 1, truth=truth, truth_in="z")
    assert not torch.allclose(in_z[0].value, results[0][0].value)


@pytest.mark.parametrize(
    ("spec", "shape", "truth_in", "match"),
    [
        ("dct", (2, 1, 8), None, "say which with truth_in="),
        ("dct", (2, 1, 7), None, "expected shape"),
        ("dct", (1, 1, 8), None, "expected shape"),
        ("swt(haar, level=1)", (2, 1, 8), "z", "in z; got"),
        ("swt(haar, level=1)", (2, 1, 16), "signal", "in the signal; got"),
        ("dct", (2, 1, 8), "pixels", "expected truth_in in z, signal"),
    ],
)
def test_truth_that_does_not_fit_or_fits_twice_is_refused(spec: str, shape: tuple[int, ...], truth_in: str, match: str) -> None:
    att = pb.attribute(summed, normal(2, 1, 8), transform=spec)
    for name in ("relevance_mass", "octave_distance"):
        with pytest.raises(ValueError, match=match) as raised:
            measure(summed, att, name, truth=torch.ones(shape), truth_in=truth_in)
        assert len(str(raised.value)) <= 300


def test_truth_that_is_no_mask_is_refused() -> None:
    att = pb.attribute(summed, normal(2, 1, 8))
    for truth, match in ((torch.rand(2, 1, 8), "True or 1"), (torch.full((2, 1, 8), torch.nan), "True or 1")):
        with pytest.raises(ValueError, match=match):
            measure(summed, att, "relevance_mass", truth=truth)
    with pytest.raises(TypeError, match="truth: expected a tensor"):
        measure(summed, att, "relevance_mass", truth=[[1, 0]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the coefficients that matter"):
        measure(summed, att, "relevance_mass")


def test_truth_in_the_signal_needs_a_linear_transform() -> None:
    x = normal(1, 1, 8)
    att = pb.attribute(summed, x, transform="polar")
    with pytest.raises(ValueError, match="not linear"):
        measure(summed, att, "relevance_mass", truth=mask(1, 8, 1), truth_in="signal")


@pytest.mark.parametrize("spec", ["dct", "dwt(haar, level=3)", "swt(haar, level=3)", "wpt(haar, level=3)"])
def test_octave_distance_counts_octaves(spec: str) -> None:
    x = normal(1, 1, 32)
    att = pb.attribute(summed, x, transform=spec)
    layout = att.layout.group("octave")
    of = lambda number: (layout.index == next(i for i, b in enumerate(layout.bands) if b.octave == f"octave {number}"))[None]
    for planted, found, distance in ((1, 1, 0), (1, 2, 1), (3, 1, 2)):
        moved = dataclasses.replace(att, values=of(found).double())
        (score,) = measure(summed, moved, "octave_distance", truth=of(planted), truth_in="z")
        assert float(score.value) == pytest.approx(distance, abs=1e-12)
    half = dataclasses.replace(att, values=of(1).double() / of(1).sum() + of(3).double() / of(3).sum())
    (score,) = measure(summed, half, "octave_distance", truth=of(3), truth_in="z")
    assert float(score.value) == pytest.approx(1)


def test_octave_distance_is_not_defined_without_octaves_mass_or_truth() -> None:
    x = normal(2, 1, 8)
    pixel = pb.attribute(summed, x)
    assert measure(summed, pixel, "octave_distance", truth=mask(2, 8, 1))[0].value.isnan().all()
    dct = pb.attribute(summed, x, transform="dct")
    dct.values[0] = 0
    truth = torch.stack([mask(1, 8, 1)[0], mask(1, 8)[0]])
    assert measure(summed, dct, "octave_distance", truth=truth, truth_in="z")[0].value.isnan().all()
    with pytest.raises(ValueError, match="no octave"):
        measure(summed, dct, "octave_distance", truth=truth, truth_in="signal")


@pytest.mark.parametrize("shape", [(6,), (1, 9), (3, 4, 5), (1, 3, 4, 2)])
def test_signals_of_any_number_of_axes_have_numbers(shape: tuple[int, ...]) -> None:
    x = normal(2, *shape)
    truth = x > 0
    for found in measure(summed, pb.attribute(summed, x), LIFTS, truth=truth):
        assert found.value.isfinite().all()


def test_numbers_do_not_depend_on_order_and_duplicates() -> None:
    values, truth = normal(3, 1, 20), normal(3, 1, 20, seed=1) > 0.5
    order = [2, 2, 0, 1]
    for a, b in zip(lifts(values, truth), lifts(values[order], truth[order], batch_size=1)):
        assert torch.equal(a.value[order], b.value)
