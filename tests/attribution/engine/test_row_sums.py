"""What is carried out once instead of for every row: sums of rows, players in the signal, smooth masks, counted memory."""

import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.compare import close
from support.nonlinear import Curved
from support.subjects import TRANSFORMS, Recorder, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import RowIndex
from pullback.attribution.engine.memory import Saved, nothing_kept
from pullback.attribution.engine.row_sums import accumulate, along, combined
from pullback.attribution.methods import coalitions as players
from pullback.attribution.methods.smooth_masks import SmoothMasks, interpolate, places
from pullback.studies.compare.grid import DOMAINS
from pullback.transforms import Transform, TransformClaim

SHAPE = (2, 8, 8)
LINEAR = [T for T in TRANSFORMS if TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS in T.claims]
FORMATS = [torch.contiguous_format, torch.channels_last]


def rows_of(example: Tensor) -> RowIndex:
    return RowIndex.of(example, torch.zeros_like(example))


# Sums ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", FORMATS)
@pytest.mark.parametrize("kept", FORMATS)
def test_sums_do_not_depend_on_the_memory_format(stored: torch.memory_format, kept: torch.memory_format) -> None:
    rows, weights = normal(5, 3, 4, 6), normal(5)
    example = torch.tensor([0, 0, 1, 1, 1])
    total = normal(2, 3, 4, 6, seed=1).contiguous(memory_format=kept)
    before = total.clone()
    accumulate(total, rows_of(example), rows.contiguous(memory_format=stored), weights)
    scaled = weights[:, None, None, None] * rows
    close(total, before + torch.stack([scaled[:2].sum(0), scaled[2:].sum(0)]), 1e-12)
    start, parts = normal(3, 4, 6, seed=2), normal(4, 3, 4, 6, seed=3)
    mixed = combined(start, normal(5, 4), parts.contiguous(memory_format=stored))
    close(mixed, start + torch.einsum("rp,pchw->rchw", normal(5, 4), parts), 1e-12)
    assert mixed.is_contiguous(memory_format=stored)


def test_rows_along_a_step_are_those_of_their_examples() -> None:
    start, step, by = normal(3, 2, 5), normal(3, 2, 5, seed=1), normal(4, 1, 1, seed=2)
    example = torch.tensor([1, 1, 2, 0])
    close(along(start, step, rows_of(example), by), start[example] + by * step[example], 1e-12)
    wrong = along(start, step, rows_of(torch.tensor([1, 1, 0, 2])), by)
    assert float((wrong - start[example] - by * step[example]).abs().max()) > 0.1  # the control: examples exchanged


# Players in the signal ----------------------------------------------------------------------------------------------


def fed(transform: Any, method: str, x: Tensor, batch_size: int = 7) -> Tensor:
    """All that the model sees."""
    model = Recorder(lambda x: x.flatten(1).square().sum(1))
    pb.attribute(model, x, method=method, transform=transform, batch_size=batch_size, baseline=0.25)
    return torch.cat(model.seen)


@pytest.mark.parametrize("transform", [*LINEAR, Curved(SHAPE)], ids=lambda t: f"{t.spec} {t.shape}")
def test_players_in_the_signal_add_up_to_the_masked_coefficients(transform: Transform, monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(2, *transform.shape)
    summed = fed(transform, "sobol(by=band, samples=2)", x)
    monkeypatch.setattr(players, "_HELD", 0)
    close(summed, fed(transform, "sobol(by=band, samples=2)", x), 1e-10)


def test_a_player_that_is_left_out_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    x, T = normal(1, *SHAPE), pb.transforms.get("dwt(db2, level=1)", SHAPE)
    right = fed(T, "sobol(by=band, samples=2)", x)
    parts = players.Game._parts
    monkeypatch.setattr(players.Game, "_parts", lambda self, example: parts(self, example).index_fill(0, torch.tensor(1), 0))
    assert float((fed(T, "sobol(by=band, samples=2)", x) - right).abs().max()) > 0.1  # the control


@pytest.mark.parametrize("method", ["occlusion(by=band)", "shapley(by=scale)", "sobol(by=band, samples=4)", "rise(masks=12)"])
def test_numbers_do_not_depend_on_rows_or_on_the_batch(method: str) -> None:
    x, f = normal(3, *SHAPE), smooth_net(SHAPE)
    run = lambda x, rows: pb.attribute(f, x, 0, method=method, transform="dwt(db2, level=2)", batch_size=rows).values
    whole = run(x, 64)
    close(run(x, 2), whole, 1e-13)
    close(torch.cat([run(one, 5) for one in x.split(1)]), whole, 1e-13)


def test_inverse_transforms_are_counted_by_players_and_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    T, x = pb.transforms.get("dwt(haar, level=1)", SHAPE), normal(2, *SHAPE)
    sizes: list[int] = []
    synthesis = type(T).synthesis
    monkeypatch.setattr(type(T), "synthesis", lambda self, z: sizes.append(len(z)) or synthesis(self, z))

    def rows(samples: int, budget: int = 3, level: int = 1) -> int:
        sizes.clear()
        T = pb.transforms.get(f"dwt(haar, level={level})", SHAPE)
        fed(T, f"shapley(by=band, exact=false, pairs={samples})", x, batch_size=budget)
        assert max(sizes) <= budget
        return sum(sizes)

    assert rows(2) == rows(8) == 2 * 4  # examples × players
    assert rows(8, budget=2, level=2) == 2 * 7
    assert rows(8, budget=1, level=2) == 2 * (2 + 2 * 8 * 6)  # seven are more than four times the rows of a forward
    monkeypatch.setattr(players, "_HELD", 4 * x[0].numel() - 1)  # what does not fit is transformed row by row
    assert rows(8) == 2 * (2 + 2 * 8 * 3)


def test_in_place_models_reach_neither_the_caller_nor_what_is_kept() -> None:
    x, T = normal(2, *SHAPE), pb.transforms.get("dwt(haar, level=1)", SHAPE)
    before = x.clone()
    f = lambda x: x.flatten(1).square().sum(1)
    for method in ("shapley(by=band)", "rise(masks=6)", "integrated_gradients(steps=4)"):
        spoilt = pb.attribute(
            lambda x: f(x.mul_(2) if not x.requires_grad else 2 * x), x, method=method, transform=T, batch_size=3
        )
        close(spoilt.values, pb.attribute(lambda x: f(2 * x), x, method=method, transform=T, batch_size=3).values, 1e-12)
    assert torch.equal(x, before)


# Smooth masks -------------------------------------------------------------------------------------------------------


def direct(masks: SmoothMasks, bits: Tensor, shift: Tensor) -> Tensor:
    """Each coefficient by itself, between the 2^dims nodes around it. Shape: (rows, *coeff)."""
    layout = masks.layout
    place, index = places(layout).flatten(1).to(bits), layout.index.flatten()
    grids = bits.unflatten(1, (len(layout.bands), *[masks.side] * masks.dims))
    out = bits.new_empty(len(bits), index.numel())
    for band in index.unique().tolist():
        at = masks.cells * place[:, index == band] + shift[:, :, None]
        out[:, index == band] = interpolate(grids[:, band], masks.side, at)
    return out.unflatten(1, layout.shape)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: f"{t.spec} {t.shape}")
def test_smooth_masks_are_interpolated_at_every_coefficient(transform: Transform) -> None:
    masks = SmoothMasks.on(transform.layout, 3, normal(1))
    bits, shift = (normal(4, masks.bits) > 0).double(), normal(4, masks.dims, seed=1).abs() % 1
    close(masks.of(bits, shift).expand(4, *transform.layout.shape), direct(masks, bits, shift), 1e-12)


def test_the_separable_masks_are_used_where_it_matters_and_a_wrong_order_shows() -> None:
    for spec in DOMAINS:
        masks = SmoothMasks.on(pb.transforms.get(spec, (3, 32, 24)).layout, 7, normal(1))
        assert all(isinstance(band, list) for band in masks.bands)
        assert masks.channels == 3
    masks = SmoothMasks.on(pb.transforms.get("dct", (1, 6, 8)).layout, 3, normal(1))
    bits, shift = (normal(4, masks.bits) > 0).double(), normal(4, 2, seed=1).abs() % 1
    object.__setattr__(masks, "order", None)
    assert float((masks.of(bits, shift) - direct(masks, bits, shift)).abs().max()) > 0.1  # the control


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(0, 99))
def test_places_that_are_no_grid_are_interpolated_one_by_one(dims: int, seed: int) -> None:
    place = normal(dims, 1, 11, seed=seed).abs() % 1
    band = pb.transforms.layout.Band("all")
    layout = pb.transforms.Layout((band,), torch.zeros(1, 11, dtype=torch.long), torch.full_like(place, torch.nan), place)
    masks = SmoothMasks.on(layout, 2, place)
    bits, shift = (normal(3, masks.bits, seed=seed) > 0).double(), normal(3, dims).abs() % 1
    assert isinstance(masks.bands[0], list) == (dims == 1)
    close(masks.of(bits, shift), direct(masks, bits, shift), 1e-12)


# Memory -------------------------------------------------------------------------------------------------------------


def test_what_autograd_would_keep_is_counted_without_being_kept() -> None:
    deep = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(8)))
    x = torch.zeros(16, 64, requires_grad=True)
    with Saved(deep) as saved:
        output = deep(x)
    assert saved.bytes == 9 * x.nbytes  # the input of the first layer, and what each Tanh gives, which the next layer shares
    with pytest.raises(RuntimeError, match="nothing was kept"):
        output.sum().backward()


def test_what_is_recorded_is_not_kept() -> None:
    held: list[weakref.ref[Tensor]] = []

    def noted(x: Tensor) -> Tensor:
        held.append(weakref.ref(x))
        return x

    kept = []
    for context in (nothing_kept(), nullcontext()):
        held.clear()
        with context:
            output = noted(torch.zeros(4, requires_grad=True).exp()).sin()
        kept.append(held[0]() is not None)
        if len(kept) == 1:
            assert output.requires_grad
            with pytest.raises(RuntimeError, match="nothing was kept"):
                output.sum().backward()
    assert kept == [False, True]  # the second is the control


def test_memory_that_is_used_again_is_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    deep: Callable[[Tensor], Tensor] = nn.Sequential(*(nn.ReLU() for _ in range(16)))
    with Saved(deep) as saved:
        deep(torch.zeros(64, 64, requires_grad=True))  # each result is gone when the next but one is made
    assert saved.bytes == 16 * 64 * 64 * 4
    tensor = torch.zeros(8)
    one = Saved(None)
    one._count(tensor)
    one._count(tensor)
    assert one.bytes == tensor.nbytes  # the control: what is still there is counted once
    monkeypatch.setattr("pullback.attribution.engine.memory.StorageWeakRef.expired", lambda self: True)
    one._count(tensor)
    assert one.bytes == 2 * tensor.nbytes
