"""Minimal images of one signal: known answers of a linear model, equal sparsity, other classes, single scores."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pullback import transforms
from pullback.studies import LoadedModel, MinimalSettings, Preparation
from pullback.studies.minimal.changes import ARRANGEMENT, DRAWS, HARMLESS, PARTS, WHOLE, changes, low_pass, shuffled, slope
from pullback.studies.minimal.images import (
    CONTROLS,
    EQUAL,
    HARD,
    IMAGES,
    NEAR,
    NONZERO,
    OWN,
    OWN_LIMIT,
    PHOTO,
    SOFT,
    VERSIONS,
    Kept,
    Subject,
    limit,
    measured,
)
from pullback.studies.minimal.scores import conciseness, edges, entropy, hallucination, view

WEIGHT = torch.tensor([4.0, -3.0, 2.0, 1.0, 0.5, -0.25, 3.0, 0.1]).double()


class Line(nn.Module):
    """Scores ⟨w, x⟩, 0.05 and -1: below 0.05 the second class is seen."""

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1) @ WEIGHT.to(x)
        return torch.stack([score, torch.full_like(score, 0.05), torch.full_like(score, -1.0)], 1)


def subject(x: Tensor, **settings: Any) -> Subject:
    model = LoadedModel("line", Line(), kind="series")
    own = MinimalSettings(models="line", **({"alphas": (0.3, 1.5, 3.5), "steps": 40, "continuation": None} | settings))
    return Subject(model, x, transforms.get("pixel", tuple(x.shape[1:])), own)


@pytest.fixture(scope="module")
def found() -> tuple[dict[str, Any], dict[str, Tensor]]:
    return measured(subject(torch.ones(1, 1, 8).double()))


def rows(record: dict[str, Any], image: str) -> list[dict[str, Any]]:
    return [row for row in record["rows"] if row["image"] == image]


def test_the_masks_of_a_linear_model_are_thresholds(found: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    record, signals = found
    for place, alpha in enumerate((0.3, 1.5, 3.5)):
        expected = (alpha < WEIGHT).double()[None]  # ∂f/∂m is the weight, as x is 1
        assert signals[SOFT][place].tolist() == expected.tolist()
        assert signals[HARD][place].tolist() == expected.tolist()
        row = rows(record, SOFT)[place]
        assert row["count"] == int(expected.sum())
        assert row["sparsity"] == 1 - expected.mean()
        assert row["logit"] == pytest.approx(float(WEIGHT[expected[0] > 0].sum()), abs=1e-10)
    assert record["target"] == 0
    assert record["logit"] == pytest.approx(float(WEIGHT.sum()), abs=1e-10)


def test_every_image_keeps_exactly_as_many_coefficients(found: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    record, signals = found
    for name in (HARD, *CONTROLS):
        assert [int((one != 0).sum()) for one in signals[name]] == [row["count"] for row in rows(record, SOFT)]
        assert [row["sparsity"] for row in rows(record, name)] == [row["sparsity"] for row in rows(record, SOFT)]


def test_a_soft_mask_is_rounded_to_a_whole_number_of_coefficients() -> None:
    one = subject(torch.arange(1.0, 9).reshape(1, 1, 8).double())
    mask = torch.tensor([[[0.9, 0.9, 0.8, 0.1, 0, 0, 0, 0]], [[1.0] * 8], [[0.2] + [0.0] * 7]]).double()
    kept = Kept.of(mask, one.attribution(0), 0)
    assert kept.counts == (3, 8, 0)
    assert kept.coefficients[HARD][0].tolist() == [[1, 2, 3, 0, 0, 0, 0, 0]]
    assert torch.equal(kept.coefficients[SOFT], mask * one.x)
    for name in (HARD, *CONTROLS):
        assert (kept.coefficients[name] != 0).flatten(1).sum(1).tolist() == [3, 8, 0]
    assert kept.coefficients["coefficient"][0].tolist() == [[0, 0, 0, 0, 0, 6, 7, 8]]


def test_prices_are_in_units_of_the_score_difference() -> None:
    relative = subject(2 * torch.ones(1, 1, 8).double(), alphas=(), prices=(0.8, 8.0))
    record, _ = measured(relative)
    total = 2 * float(WEIGHT.sum())  # f(x) - f(0)
    assert [row["alpha"] for row in rows(record, SOFT)] == pytest.approx([0.1 * total, total])
    assert [row["count"] for row in rows(record, SOFT)] == [int((price * total < 2 * WEIGHT).sum()) for price in (0.1, 1.0)]


def test_the_class_that_is_kept_is_that_of_the_signal(found: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    record, _ = found
    assert {row["predicted"] for row in rows(record, SOFT)} == {0}
    assert record["empty"] == {"logit": 0.0, "predicted": 1}
    assert limit(record["rows"], SOFT, 0)["place"] == 2
    assert limit(record["rows"], SOFT, 2) is None


def test_another_class_is_optimised_in_the_same_way(found: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    rival = found[0]["rival"]
    assert rival["class"] == 2
    assert rival["alpha"] == 3.5  # of the mask nearest to a sparsity of 92 %
    assert rival["sparsity"] == 1.0
    assert rival["predicted"] == 1
    assert rival["before"]["logit"] == -1.0


def test_changes_are_applied_to_the_sparsest_image_with_the_class(found: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    record, _ = found
    changed = record["changed"]
    assert [row["image"] for row in changed if row["change"] == WHOLE] == list(VERSIONS)
    sparsity = {row["image"]: row["sparsity"] for row in changed}
    assert sparsity == {PHOTO: 0.0, NEAR: 1 - 1 / 8, EQUAL: 1 - 1 / 8, OWN: 1 - 1 / 8, OWN_LIMIT: sparsity[OWN_LIMIT]}
    kept = [row["count"] for row in record["ladder"] if row["image"] == "coefficient" and row["predicted"] == 0]
    assert sparsity[OWN_LIMIT] == 1 - min(kept) / 8
    assert {row["change"] for row in changed} == {WHOLE, "shifted 1/16", *ARRANGEMENT[:2], "low-pass 1/8", "low-pass 1/16"}
    assert all(row["predicted"] == 0 for row in changed if row["change"] == WHOLE and row["image"] == OWN)
    assert sum(row["change"] == ARRANGEMENT[0] and row["image"] == PHOTO for row in changed) == DRAWS


def test_controls_are_sought_at_counts_of_their_own(found: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    """With the weights of a linear model as the map, the first k coefficients are its k largest weights."""
    for row in found[0]["ladder"]:
        if row["image"] == "signed attribution":
            best = float(WEIGHT.sort(descending=True).values[: row["count"]].sum())
            assert row["predicted"] == int(best <= 0.05)
            assert row["sparsity"] == 1 - row["count"] / 8
    counts = {name: [row["count"] for row in found[0]["ladder"] if row["image"] == name] for name in CONTROLS}
    assert set(map(tuple, counts.values())) == {(7, 4, 2, 1)}  # of 8, from 90 % to a single one


def test_a_soft_mask_has_more_entries_above_zero_than_its_norm(found: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
    one = subject(torch.ones(1, 1, 8).double(), alphas=(0.3,), steps=5)  # too few steps: masks are between 0 and 1
    row = rows(measured(one)[0], SOFT)[0]
    assert row["count"] < row["nonzero"]
    assert all(row["nonzero"] == row["count"] for row in found[0]["rows"])  # this mask holds zeros and ones


def test_no_two_usual_prices_share_a_mask() -> None:
    """With `continuation`, the two largest of the former prices had the same masks, so that the last price said nothing."""
    signal, weight = torch.ones(1, 1, 4096).double(), torch.arange(1, 4097).double() ** -1.5

    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = x.flatten(1) @ weight.to(x)
            return torch.stack([score, torch.full_like(score, 1e-9)], 1)

    settings = MinimalSettings(models="wide", method="input_x_gradient")
    model = LoadedModel("wide", Wide(), kind="series")
    found, _ = measured(Subject(model, signal, transforms.get("pixel", (1, 4096)), settings))
    counts = [row["count"] for row in rows(found, SOFT)]
    assert len(counts) == len(settings.prices)
    price = torch.tensor(settings.prices).double() * weight.sum() / 4096
    assert counts == pytest.approx([int((weight > one).sum()) for one in price], abs=2)  # 45 steps: one or two in between
    left = [count for count in counts if count]
    assert len(set(left)) == len(left) >= 7


def test_a_signal_with_the_class_of_the_empty_one_has_no_changed_images() -> None:
    record, _ = measured(subject(torch.zeros(1, 1, 8).double()))
    assert record["target"] == record["empty"]["predicted"] == 1
    assert {row["image"] for row in record["changed"]} == {PHOTO}


def test_a_model_with_one_output_is_refused() -> None:
    one = subject(torch.ones(1, 1, 8).double())
    model = LoadedModel("single", nn.Sequential(nn.Flatten(), nn.Linear(8, 1)).double(), kind="series")
    with pytest.raises(ValueError, match="single: expected at least two classes"):
        measured(Subject(model, one.x, one.transform, one.settings))


def test_conciseness_of_the_signal_is_one_and_the_class_is_fixed() -> None:
    z = torch.tensor([[3.0, 1.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).double()
    found = conciseness(torch.tensor([0.8, 0.4, 0.1]).double(), z, z)
    for name in ("coefficients", "signal"):
        assert found[name][:2].tolist() == pytest.approx([1.0, 0.5 / 0.75])
    assert all(math.isnan(value[2]) for value in found.values())
    assert math.isnan(found["entropy"][1])  # a single coefficient has no entropy
    assert entropy(torch.ones(1, 8)).item() == pytest.approx(math.log(8))


@pytest.mark.parametrize("shape", [(12,), (12, 12), (12, 12, 12)])
def test_hallucination_counts_edges_that_the_signal_lacks(shape: tuple[int, ...]) -> None:
    half, corner = np.zeros(shape), np.zeros(shape)
    half[..., 6:] = 1.0
    corner[(slice(0, 2),) * len(shape)] = 1.0
    own = int(edges(half).sum())
    assert own == 2 * math.prod(shape[:-1])  # the step is steep on both of its sides
    assert hallucination(np.stack([half, half, np.zeros(shape), half / 3])) == [0, 0, 0, 0]
    added = int((edges(corner) & ~(edges(half))).sum())
    assert hallucination(np.stack([half, half + corner]))[1] == added / own > 0
    assert all(math.isnan(one) for one in hallucination(np.stack([np.zeros(shape)] * 2)))


def test_onsets_are_edges_that_rise() -> None:
    click = np.zeros(12)
    click[4:8] = 1.0
    assert edges(click).nonzero()[0].tolist() == [3, 4, 7, 8]
    assert edges(click, onsets=True).nonzero()[0].tolist() == [3, 4]


def test_what_is_looked_at() -> None:
    picture = LoadedModel("p", nn.Flatten(), Preparation(4, (0.5,) * 3, (0.25,) * 3))
    assert view(picture, torch.zeros(1, 3, 4, 4)).tolist() == np.full((1, 4, 4), 0.5).tolist()
    sound = LoadedModel("s", nn.Flatten(), kind="audio", rate=100.0)
    assert view(sound, torch.tensor([[[3.0, -3.0, 0.0, 0.0]]]), 1 / 100).tolist() == [[3, 3, 0, 0]]


@pytest.mark.parametrize("shape", [(2, 1, 9), (2, 3, 8, 8), (1, 1, 4, 4, 6)])
def test_shuffling_moves_every_cell_and_changes_none(shape: tuple[int, ...]) -> None:
    x = torch.arange(math.prod(shape)).double().reshape(shape)
    model = LoadedModel("toy", nn.Flatten(), kind={3: "series", 4: "image", 5: "volume"}[len(shape)])
    shuffles = [change for name, change in changes(model, x[:1], 0) if name == ARRANGEMENT[0]]
    assert len(shuffles) == DRAWS
    for change in shuffles:
        found = change(x)
        assert torch.equal(found.flatten(1).sort().values, x.flatten(1).sort().values)
        inner = (slice(None), slice(None), *[slice(0, size // 2 * 2) for size in shape[2:]])
        assert not (found == x)[inner].any()
    other = torch.zeros_like(x[:1])
    orders = [tuple(change(x).flatten().tolist()) for change in (*shuffles,)]
    again = [c(x) for name, c in changes(model, x[:1], 0) if name == ARRANGEMENT[0]]
    assert [tuple(one.flatten().tolist()) for one in again] == orders
    assert torch.equal(shuffled(other, 2, np.arange(2 ** (len(shape) - 2))), other)


def test_filters_and_edges() -> None:
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    assert torch.allclose(low_pass(x, 1.0), x, atol=1e-12)
    assert torch.allclose(low_pass(x, 0.0), x.mean().expand_as(x), atol=1e-12)
    assert torch.allclose(low_pass(low_pass(x, 0.2), 0.2), low_pass(x, 0.2), atol=1e-12)
    ramp = np.add.outer(3 * np.arange(6.0), 4 * np.arange(6.0))
    assert slope(ramp)[2:-2, 2:-2] == pytest.approx(5.0)
    model = LoadedModel("toy", nn.Flatten(), Preparation(16, (0.5,), (0.25,)))
    drawn = dict(changes(model, x, 0))["edges"]
    assert torch.allclose(drawn(torch.full_like(x, 0.3)), torch.full_like(x, -2.0))  # black
    step = torch.cat([torch.zeros(1, 1, 16, 8), torch.ones(1, 1, 16, 8)], 3).double()
    assert (0.25 * drawn(step) + 0.5)[0, 0, 0].tolist() == pytest.approx([0] * 7 + [1, 1] + [0] * 7)
    assert [name for name in dict(changes(model, x, 0)) if name != WHOLE] == [*HARMLESS, *ARRANGEMENT, *PARTS]


def test_names_are_all_different() -> None:
    assert len({*IMAGES, *VERSIONS, NONZERO}) == len(IMAGES) + len(VERSIONS) + 1
