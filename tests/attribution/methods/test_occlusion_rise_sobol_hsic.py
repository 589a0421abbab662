"""Methods that remove coefficients: occlusion, RISE, Sobol and HSIC against closed forms, brute force and Captum."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation
from captum.attr import Occlusion as CaptumOcclusion
from hypothesis import given, settings
from hypothesis import strategies as st
from support.compare import close
from support.nonlinear import Curved
from support.subjects import TRANSFORMS, Recorder, linear_net, normal, smooth_net
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import pullback as pb
from pullback.attribution.methods.coalitions import BY, Players

SHAPE = (2, 8, 8)
DOMAINS = ["pixel", "dct", "dwt(db2, level=1, mode=symmetric)", "dft"]
FORWARD = [
    "occlusion(coefficient)",
    "occlusion(band)",
    "rise(masks=9)",
    "rise(masks=9, cells=band)",
    "sobol(samples=4)",
    "shapley(scale)",
    "shapley(block, exact=false, pairs=2)",
    "hsic(samples=8)",
    "lime(samples=9)",
    "kernel_shap(samples=64)",
]


# Occlusion ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", DOMAINS)
def test_occlusion_of_a_linear_model_is_coefficient_times_weight(domain: str) -> None:
    x, f, base = normal(2, *SHAPE), linear_net(SHAPE), normal(2, *SHAPE, seed=1)
    T = pb.transforms.get(domain, SHAPE)
    w = T.adjoint(f[1].weight.detach().reshape(1, *SHAPE))
    att = pb.attribute(f, x, method="occlusion(coefficient)", transform=T, baseline=base)
    close(att.values, T(x - base) * w)
    for by in ("band", "octave", "scale", "orientation"):
        att = pb.attribute(f, x, method=f"occlusion({by})", transform=T, baseline=base)
        layout = T.layout.group(by)
        close(layout.sum(att.values), layout.sum(T(x - base) * w))
        assert att.details["groups"] == [b.name for b, n in zip(layout.bands, layout.sizes) if n]


@pytest.mark.parametrize("domain", [*DOMAINS, Curved(SHAPE)], ids=str)
def test_occlusion_by_band_is_captums_feature_ablation_on_the_pullback(domain: Any) -> None:
    x, f, T = normal(2, *SHAPE), smooth_net(SHAPE), pb.transforms.get(domain, SHAPE)
    z = T(x)
    for value, absent in (
        ("baseline", T(torch.full_like(x, 0.5))),
        ("zero", torch.zeros_like(z)),
        ("mean", _means(T, z)),
    ):
        method = f"occlusion(band, value={value})"
        att = pb.attribute(f, x, 1, method=method, transform=T, baseline=0.5)
        captum = FeatureAblation(pb.Pullback(f, T)).attribute(z, absent, 1, feature_mask=T.layout.index[None])
        pick = [int((T.layout.index.flatten() == b).nonzero()[0, 0]) for b in range(len(T.layout.bands))]
        close(T.layout.sum(att.values), captum.flatten(1)[:, pick])
        close(att.displacement, z - absent)


def _means(T: pb.transforms.Transform, z: Tensor) -> Tensor:
    out = z.clone()
    for example, band in itertools.product(range(len(z)), range(len(T.layout.bands))):
        inside = T.layout.index == band
        out[example][inside] = z[example][inside].mean()
    return out


def test_occlusion_by_block_is_captums_occlusion_of_tiles() -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)
    att = pb.attribute(f, x, 0, method="occlusion(block, block=4)")
    captum = CaptumOcclusion(f).attribute(x, (2, 4, 4), (2, 4, 4), target=0)
    tiles = lambda values: values.unfold(2, 4, 4).unfold(3, 4, 4)
    close(tiles(att.values).sum((1, 4, 5)), tiles(captum.double()).mean((1, 4, 5)), 1e-7)  # Captum answers in float32


def test_a_group_is_spread_by_displacement_and_evenly_where_there_is_none() -> None:
    x = torch.tensor([[[3.0, -1.0, 0.0, 0.0]]], dtype=torch.float64)
    f = lambda x: x.flatten(1).sum(1) + 8
    values = pb.attribute(f, x, method="occlusion(block, block=2)").values
    close(values, torch.tensor([[[1.5, 0.5, 0.0, 0.0]]], dtype=torch.float64))
    players = Players.of(pb.transforms.get("pixel", (1, 4)).layout, "block", 2)
    close(players.spread(torch.tensor([[2.0, 6.0]]), x.float()), torch.tensor([[[1.5, 0.5, 3.0, 3.0]]]))


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: f"{t.spec} {t.shape}")
def test_players_partition_every_layout(transform: pb.transforms.Transform, by: str) -> None:
    players = Players.of(transform.layout, by, 2)
    assert players.index.shape == transform.layout.shape
    assert players.index.unique().tolist() == list(range(players.count))
    if by in ("block", "coefficient"):  # finer than bands
        for player in range(min(players.count, 50)):
            assert len(transform.layout.index[players.index == player].unique()) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))
def test_spreading_keeps_sums(height: int, width: int, block: int, seed: int) -> None:
    players = Players.of(pb.transforms.get("dct", (1, height, width)).layout, "block", block)
    values = normal(2, players.count, seed=seed)
    moved = normal(2, 1, height, width, seed=seed + 1).clamp(min=0.5) - 0.5  # many zeros
    out = players.spread(values, moved)
    sums = torch.zeros_like(values).index_add_(1, players.index.flatten(), out.flatten(1))
    close(sums, values, 1e-12)


# RISE ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["cells=coefficient, p=0.3", "cells=grid, grid=3", "cells=grid, grid=1, p=0.8"])
def test_rise_is_the_mean_score_where_a_coefficient_is_kept(options: str) -> None:
    """For x of ones in pixels, the inputs of the model are the masks themselves."""
    f = Recorder(smooth_net(SHAPE))
    att = pb.attribute(f, torch.ones(1, *SHAPE, dtype=torch.float64), 0, method=f"rise(masks=40, {options})", batch_size=7)
    masks = torch.cat(f.seen)[5:-1].flatten(
        1
    )  # after x, x₀, x beside a point half way, and x among the masks; before that point
    assert len(masks) == 40
    with torch.no_grad():
        score = f.f(masks.reshape(-1, *SHAPE))[:, 0]
    expected = (score @ masks) / masks.sum(0) - score.mean()
    close(att.values.flatten(), expected)


def test_rise_masks_are_smooth_independent_between_bands_and_kept_with_probability_p() -> None:
    T = pb.transforms.get("dwt(haar, level=1)", (1, 64))
    f = Recorder(lambda x: x.flatten(1).sum(1))
    x = T.inverse(torch.ones(1, 1, 64, dtype=torch.float64))
    pb.attribute(f, x, method="rise(masks=2000, p=0.3, grid=4)", transform=T)
    masks = T(torch.cat(f.seen)[4:])[:, 0]
    assert float(masks.min()) > -1e-12
    assert float(masks.max()) < 1 + 1e-12
    assert abs(float(masks.mean()) - 0.3) < 0.02
    low, high = masks[:, :32], masks[:, 32:]
    close(masks.mean(0), torch.full((64,), 0.3, dtype=masks.dtype), 0.05)
    assert float(low.diff(dim=1).abs().max()) < 4 / 32 + 0.02  # 4 cells over 32 coefficients
    correlation = torch.corrcoef(torch.stack([low[:, 16], high[:, 16], low[:, 17]]))
    assert abs(float(correlation[0, 1])) < 0.1
    assert float(correlation[0, 2]) > 0.8


def test_rise_over_bands_of_a_linear_model() -> None:
    x, f, p = normal(2, *SHAPE), linear_net(SHAPE), 0.4
    att = pb.attribute(f, x, method=f"rise(masks=4000, p={p}, cells=band)", transform="dwt(haar, level=2)")
    layout, T = att.layout, att.transform
    parts = layout.sum(T(x) * T.adjoint(f[1].weight.detach().reshape(1, *SHAPE)))
    error = layout.sum(att.values) - (1 - p) * parts  # E[f | kept] - E f
    assert float(error.abs().max()) < 5 * float(parts.square().sum(1).sqrt().max()) / 4000**0.5


# Sobol, HSIC --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", ["sobol", "halton", "latin"])
def test_sobol_of_additive_and_multiplicative_functions(design: str) -> None:
    """f = Σ c_k x_k: S_k = c_k² / Σ c².  f = Π (1 + c_k (x_k - ½)): S_k = V_k Π_{j≠k} (1 + V_j) / (Π (1 + V_j) - 1)."""
    c = torch.tensor([1.0, 2.0, 3.0, 0.0], dtype=torch.float64)
    x, method = torch.ones(1, 1, 4, dtype=torch.float64), f"sobol(coefficient, samples=1024, design={design})"
    mean = lambda f: torch.stack([pb.attribute(f, x, method=method, seed=s).values.flatten() for s in range(6)]).mean(0)
    additive = mean(lambda x: x.flatten(1) @ c)
    close(additive, c.square() / c.square().sum(), 0.02)
    assert float(additive[3]) == 0
    product = mean(lambda x: (1 + c * (x.flatten(1) - 0.5)).prod(1))
    v = c.square() / 12
    whole = (1 + v).prod()
    close(product, v * whole / (1 + v) / (whole - 1), 0.03)


def test_sobol_is_jansens_formula_on_its_own_masks() -> None:
    shape = (1, 5)
    f, n, players = Recorder(smooth_net(shape)), 16, 5
    x = torch.ones(1, *shape, dtype=torch.float64)
    att = pb.attribute(f, x, 0, method=f"sobol(coefficient, samples={n})", batch_size=1000)
    fed = f.seen[-2].reshape(players + 2, n, players)
    a, b = fed[0], fed[1]
    with torch.no_grad():
        score = f.f(fed.reshape(-1, *shape))[:, 0].reshape(players + 2, n).numpy()
    for k in range(players):
        swapped = a.clone()
        swapped[:, k] = b[:, k]
        close(fed[k + 2], swapped, 1e-15)
        expected = np.mean((score[0] - score[k + 2]) ** 2) / 2 / np.var(score[:2])
        assert abs(float(att.values[0, 0, k]) - expected) < 1e-12


def test_hsic_is_its_definition_on_its_own_masks() -> None:
    shape, n = (1, 5), 64
    f = Recorder(smooth_net(shape))
    att = pb.attribute(
        f, torch.ones(1, *shape, dtype=torch.float64), 0, method=f"hsic(coefficient, samples={n})", batch_size=1000
    )
    m = f.seen[2].flatten(1)
    assert set(m.unique().tolist()) == {0.0, 1.0}
    close(m.mean(0), torch.full((5,), 0.5, dtype=m.dtype))
    with torch.no_grad():
        y = f.f(f.seen[2])[:, 0]
    distance = (y[:, None] - y[None]).abs()
    L = torch.exp(-(distance**2) / 2 / distance[distance > 0].median() ** 2)
    H = torch.eye(n, dtype=m.dtype) - 1 / n
    expected = [torch.trace((m[:, k, None] == m[None, :, k]).to(m) @ H @ L @ H) / (n - 1) ** 2 for k in range(5)]
    close(att.values.flatten(), torch.stack(expected), 1e-14)


def test_hsic_finds_the_band_that_matters() -> None:
    T = pb.transforms.get("dwt(haar, level=2)", SHAPE)
    f = lambda x: (T.layout.sum(T(x))[:, 3] - 0.2).square()
    att = pb.attribute(f, normal(3, *SHAPE), method="hsic(samples=256)", transform=T)
    bands = T.layout.sum(att.values)
    assert bands.argmax(1).tolist() == [3, 3, 3]
    assert float(bands.min()) >= 0
    others = bands[:, [0, 1, 2, 4, 5, 6]]
    assert float((others / bands[:, 3:4]).max()) < 0.1


# All of them --------------------------------------------------------------------------------------------------------


class Largest(TorchDispatchMode):
    """The largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(one, Tensor):
                self.elements = max(self.elements, one.numel())
        return out


@pytest.mark.parametrize(
    "method",
    [
        "rise(masks={})",
        "rise(masks={}, cells=band)",
        "sobol(samples={})",
        "hsic(samples={})",
        "shapley(band, exact=false, pairs={})",
        "squaregrad(samples={})",
        "vargrad(samples={})",
        "expected_gradients(samples={})",
    ],
)
def test_memory_grows_with_the_batch_size_and_not_with_the_number_of_masks(method: str) -> None:
    shape = (1, 64, 64)
    x = normal(2, *shape, dtype=torch.float32)
    f = lambda x: x.flatten(1).square().sum(1)

    def largest(samples: int, batch_size: int) -> int:
        with Largest() as mode:
            pb.attribute(f, x, method=method.format(samples), transform="dwt(haar, level=1)", batch_size=batch_size)
        return mode.elements

    assert largest(32, batch_size=2) == largest(8, batch_size=2)
    assert largest(8, batch_size=8) > largest(8, batch_size=2)  # the control: the measure does see what grows


@pytest.mark.parametrize("method", FORWARD)
def test_no_gradient_is_computed_and_no_forward_exceeds_the_batch_size(method: str) -> None:
    class Hard(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert len(x) <= 3
            return (x > 0).flatten(1).double().sum(1)

    x = normal(2, *SHAPE)
    for att in pb.attribute(Hard(), x, method=method, transform=["dwt(haar, level=1)", Curved(SHAPE)], batch_size=3):
        assert att.settings["evaluations"]["gradient"] == 0
        assert not att.values.requires_grad


@pytest.mark.parametrize("method", [*FORWARD, "vargrad(samples=5)", "expected_gradients(samples=5)"])
def test_out_of_memory_halves_the_batch_size_and_changes_nothing(method: str) -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)

    def small(x: Tensor) -> Tensor:
        if len(x) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return f(x)

    close(
        pb.attribute(small, x, 0, method=method, transform="dct", batch_size=16).values,
        pb.attribute(f, x, 0, method=method, transform="dct").values,
        1e-13,
    )


@pytest.mark.parametrize("method", FORWARD)
def test_each_domain_has_the_same_numbers_as_alone(method: str) -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)
    domains: list[Any] = ["dct", "dwt(haar, level=1)", Curved(SHAPE)]
    for domain, att in zip(domains, pb.attribute(f, x, 0, method=method, transform=domains)):
        close(att.values, pb.attribute(f, x, 0, method=method, transform=domain).values, 1e-13)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("occlusion(by=colour)", "coefficient, block, band, scale, orientation, octave"),
        ("occlusion(value=noise)", "baseline, zero, mean"),
        ("occlusion(block, block=0)", "block must be a whole number of at least 1"),
        ("rise(masks=0)", "masks must be a whole number of at least 1"),
        ("rise(p=0)", r"must lie in \(0, 1\), got 0"),
        ("rise(p=1.0)", r"must lie in \(0, 1\)"),
        ("rise(cells=colour)", "grid"),
        ("rise(grid=0)", "grid must be"),
        ("sobol(samples=48)", "powers of two only, got samples=48; take 64"),
        ("sobol(design=grid)", "sobol, halton, latin"),
        ("sobol(by=colour)", "coefficient, block"),
        ("hsic(samples=1)", "at least 2"),
    ],
)
def test_bad_options_list_the_choices(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pb.attribution.get(spec)


def test_a_nan_at_some_mask_names_the_example() -> None:
    x = torch.stack([torch.full(SHAPE, 0.5), torch.full(SHAPE, 1.0)])
    broken = lambda x: 1 / torch.where((x[:, 0, 0, 0] == 0) & (x[:, 1, 7, 7] == 1), 0.0, 1.0) * x[:, 0, 0, 0]
    with pytest.raises(ValueError, match="returned nan for example 1"):
        pb.attribute(broken, x, method="occlusion(block, block=4, value=zero)", baseline=0.1, batch_size=4)
