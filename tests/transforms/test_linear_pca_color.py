"""Matrices, operators, learned bases, colour; and what every transform refuses."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.subjects import normal
from torch import Tensor

import pullback as pb
from pullback.core import precision
from pullback.core.constant import Constant
from pullback.transforms import PCA, Color, Linear, Operator, Transform, TransformClaim, get, pca
from pullback.transforms.registry import transforms as registry

# Linear -------------------------------------------------------------------------------------------------------------


def test_linear_is_the_matrix_product_on_the_whole_signal_or_on_each_channel() -> None:
    matrix, x = normal(9, 6), normal(2, 3, 2, seed=1)
    whole = Linear((3, 2), matrix)
    torch.testing.assert_close(whole(x)[:, 0], x.flatten(1) @ matrix.T)
    each = Linear((3, 2), matrix[:4, :2])
    torch.testing.assert_close(each(x), torch.einsum("mn,bcn->bcm", matrix[:4, :2], x))


@pytest.mark.parametrize(
    ("matrix", "claims"),
    [
        (torch.eye(4).flip(0), TransformClaim.ORTHOGONAL),
        (2 * torch.eye(4), TransformClaim.LINEAR | TransformClaim.BIJECTIVE),
        (torch.cat([torch.eye(4), torch.eye(4)]) / 2**0.5, TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS),
        (torch.cat([torch.eye(4), torch.eye(4)]).double() / 2**0.5, TransformClaim.PARSEVAL),
        (torch.cat([torch.eye(4), torch.ones(1, 4)]), TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS),
    ],
)
def test_linear_reads_its_claims_off_the_matrix(matrix: Tensor, claims: TransformClaim) -> None:
    transform = Linear((1, 4), matrix)
    assert transform.claims == claims  # √2 in single precision is not √2: a Parseval frame needs 10 digits
    assert not pb.axioms.check_transform(transform).faults


def test_a_tall_matrix_is_inverted_by_its_pseudo_inverse() -> None:
    matrix, z = normal(7, 4), normal(3, 1, 7, seed=1)
    expected = np.linalg.lstsq(matrix.numpy(), z[:, 0].numpy().T, rcond=None)[0].T
    np.testing.assert_allclose(Linear((1, 4), matrix).inverse(z)[:, 0].numpy(), expected, atol=1e-12)


def test_a_singular_matrix_is_refused_with_its_condition_number() -> None:
    with pytest.raises(ValueError, match=r"singular.*condition number is (inf|\d\.\d+e\+1\d)"):
        Linear((1, 3), [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, 1.0]])
    nearly = torch.diag(torch.tensor([1.0, 1.0, 1e-5]))
    assert Linear((1, 3), nearly).condition == pytest.approx(1e5, rel=1e-3)
    with pytest.raises(ValueError, match="condition number is 1e"):
        Linear((1, 3), nearly, max_condition=1e4)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.ones(2, 4), "loses 2 dimensions"),
        (torch.eye(5), "expected a matrix with 4 columns"),
        (torch.eye(4).to(torch.complex64), "real matrix"),
        (torch.full((4, 4), float("nan")), "NaN or infinity"),
        (torch.ones(4), "real matrix"),
        (torch.ones(0, 4), "real matrix"),
        ("nowhere.npy", "no file 'nowhere.npy'"),
    ],
)
def test_linear_refuses(matrix: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Linear((1, 4), matrix)


def test_linear_from_files(tmp_path: Path) -> None:
    matrix, x = normal(4, 4), normal(2, 1, 4)
    np.save(tmp_path / "a.npy", matrix.numpy())
    save_file({"other": torch.ones(1), "matrix": matrix}, tmp_path / "a.safetensors")
    for name in ("a.npy", "a.safetensors"):
        transform = get(f"linear('{tmp_path / name}')", shape=(1, 4))
        torch.testing.assert_close(transform(x)[:, 0], x[:, 0] @ matrix.T)
        assert get(transform.spec, shape=(1, 4)).spec == transform.spec
    save_file({"a": torch.ones(1), "b": matrix}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"holds .'a', 'b'."):
        get(f"linear('{tmp_path / 'b.safetensors'}')", shape=(1, 4))
    (tmp_path / "a.txt").write_text("1")
    with pytest.raises(ValueError, match=r"\.npy or \.safetensors"):
        get(f"linear('{tmp_path / 'a.txt'}')", shape=(1, 4))
    with pytest.raises(ValueError, match="missing a required argument: 'matrix'"):
        get("linear", shape=(1, 4))


def test_matrices_keep_double_precision_whatever_happens_to_the_module() -> None:
    x = normal(1, 1, 6)
    transform = Linear((1, 6), normal(6, 6))
    exact = transform(x)
    for change in (lambda t: t.half(), lambda t: t.to(torch.bfloat16), copy.deepcopy):
        assert torch.equal(change(transform)(x), exact)
    assert transform(x.float()).dtype == torch.float32
    assert transform(x.half()).dtype == torch.float32  # carried out in single precision
    assert transform(x.to("meta")).device.type == "meta"  # constants follow the data to its device
    assert torch.equal(transform(x), exact)


def test_a_constant_first_used_in_inference_mode_can_still_be_differentiated() -> None:
    with torch.inference_mode():
        constant = Constant(normal(2, 2))
        constant.like(torch.zeros(1))
    weight = torch.ones(2, requires_grad=True)
    (constant.like(weight) @ weight).sum().backward()
    assert weight.grad is not None


# Operator -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", list(Operator.examples()), ids=str)
def test_operators_keep_exactly_what_was_measured(transform: Transform) -> None:
    assert not pb.axioms.check_transform(transform).faults
    assert TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS in transform.claims


def test_operator_refuses_maps_that_are_not_linear_or_not_inverse() -> None:
    with pytest.raises(ValueError, match=r"LINEAR.*residual"):
        Operator((1, 4), lambda x: x + 1, lambda z: z - 1)
    with pytest.raises(ValueError, match=r"RECONSTRUCTS.*residual 5\.0e-01"):
        Operator((1, 4), lambda x: x, lambda z: z / 2)
    with pytest.raises(TypeError, match="forward must be a module or another callable, got Tensor"):
        Operator((1, 4), torch.eye(4), lambda z: z)  # type: ignore[arg-type]


def test_measured_claims_and_the_law_suite_use_one_tolerance() -> None:
    assert pb.axioms.tolerance is precision.tolerance


def test_operator_takes_modules_in_their_own_precision() -> None:
    layer = torch.nn.Linear(4, 4, bias=False)
    layer.weight.data = torch.linalg.qr(normal(4, 4))[0].float()
    transform = Operator((1, 4), layer, lambda z: z @ layer.weight)
    assert transform.claims == TransformClaim.ORTHOGONAL
    assert [name for name, _ in transform.named_parameters()] == ["_there.weight"]


# PCA ----------------------------------------------------------------------------------------------------------------


def signals(count: int, seed: int) -> Tensor:
    """Correlated signals (count, 2, 4) around a mean that is not zero."""
    mixing = normal(8, 8, seed=99)
    return (normal(count, 8, seed=seed) @ mixing + 3).reshape(count, 2, 4)


def test_pca_axes_are_those_of_the_covariance() -> None:
    data = signals(50, 0)
    fitted = PCA.fit(data)
    reference = np.cov(data.flatten(1).numpy().T)
    axes = fitted.axes.flatten(1).numpy()
    np.testing.assert_allclose(axes @ reference @ axes.T, np.diag(fitted.variances.numpy()), atol=1e-10)
    np.testing.assert_allclose(fitted.mean.flatten(), data.flatten(1).mean(0), atol=1e-12)
    assert bool((fitted.variances.diff() <= 0).all())


def test_streaming_gives_what_one_batch_gives_far_from_the_origin_too() -> None:
    data = signals(60, 1) + 1e6
    whole = PCA.fit(data)
    streamed = PCA.fit(part for part in data.split([1, 7, 30, 22]))
    torch.testing.assert_close(streamed.variances, whole.variances, rtol=1e-8, atol=0)
    torch.testing.assert_close(streamed.axes, whole.axes, rtol=0, atol=1e-7)
    naive = data.flatten(1).T @ data.flatten(1) / 60 - torch.outer(*[data.flatten(1).mean(0)] * 2)
    wrong = torch.linalg.eigvalsh(naive).flip(0) * 60 / 59  # what streaming Σ x xᵀ would give
    assert float((wrong - whole.variances).abs().max()) > 1e3 * float((streamed.variances - whole.variances).abs().max())


def test_whitening_whitens_what_it_was_not_fitted_on() -> None:
    fit, fresh = signals(20_000, 2), signals(20_000, 3)
    for whiten in (True, "zca"):
        z = PCA.fit(fit, whiten=whiten)(fresh).flatten(1)
        assert float((torch.cov(z.T) - torch.eye(8)).abs().max()) < 0.1
    plain = torch.cov(PCA.fit(fit)(fresh).flatten(1).T)
    assert float((plain - torch.diag(plain.diagonal())).abs().max()) < 0.1 * float(plain.max())
    assert float(plain.diagonal().max()) > 4  # control: without whitening, variances are not 1


def test_zca_stays_closest_to_the_signal() -> None:
    data = signals(100, 4)
    distance = {w: float((PCA.fit(data, whiten=w)(data).flatten(1) - data.flatten(1)).norm()) for w in (True, "zca")}
    assert distance["zca"] < distance[True]


def test_components_generalise_and_lose_nothing() -> None:
    directions = torch.linalg.qr(normal(8, 3))[0]
    low_rank = lambda seed: (normal(40, 3, seed=seed) @ directions.T).reshape(40, 2, 4)
    transform = PCA.fit(low_rank(0), components=3)
    fresh, other = low_rank(1), signals(5, 6)
    assert float(transform(fresh)[..., 3:].abs().max()) < 1e-12
    assert float(transform(other)[..., 3:].abs().max()) > 0.1
    torch.testing.assert_close(transform.inverse(transform(other)), other)
    assert transform.layout.bands[-1].name == "rest"
    assert transform.claims == TransformClaim.PARSEVAL


def test_rank_deficient_data_are_whitened_with_a_floor() -> None:
    transform = PCA.fit(signals(4, 0), whiten=True, floor=1e-4)
    x = normal(2, 2, 4)
    torch.testing.assert_close(transform.inverse(transform(x)), x)
    assert pb.transforms.condition_number(transform) == pytest.approx(100)
    constant = PCA.fit(torch.ones(3, 1, 4), whiten=True)
    assert bool(constant(torch.zeros(1, 1, 4)).eq(0).all())


def test_signals_too_large_for_a_dense_covariance_keep_the_first_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Falling variances: the part that each batch loses is small, and the axes fit signals that were not in the data."""
    spectrum = 0.6 ** torch.arange(40).double()
    draw = lambda count, seed: (normal(count, 40, seed=seed) * spectrum) @ torch.linalg.qr(normal(40, 40))[0] + 5
    data, fresh = draw(300, 1).reshape(300, 2, 20), draw(100, 2).reshape(100, 2, 20)
    dense = PCA.fit(data, components=6)
    monkeypatch.setattr(pca, "LARGEST", 10)
    streamed = PCA.fit((part for part in data.split([1, 150, 149])), components=6)
    torch.testing.assert_close(streamed.mean, dense.mean)
    torch.testing.assert_close(streamed.variances, dense.variances, rtol=1e-3, atol=0)
    kept = [float(t(fresh - t.mean)[..., :6].square().sum()) for t in (streamed, dense)]
    assert kept[0] == pytest.approx(kept[1], rel=1e-3)
    assert kept[0] > 0.99 * float((fresh - dense.mean).square().sum())
    assert not pb.axioms.check_transform(streamed).faults
    low_rank = data[:1] + (data[:, :, :1] - data[:1, :, :1]) * data[:1]  # at most two dimensions about its mean
    torch.testing.assert_close(PCA.fit(low_rank, components=1).variances, _dense_variances(low_rank)[:1])


def _dense_variances(data: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(torch.cov(data.flatten(1).T)).flip(0)


def test_pca_of_images_that_no_dense_matrix_would_fit() -> None:
    """48 × 64 × 3 samples = 9,216: the covariance would be refused, 4 axes are not."""
    bases = normal(3, 3, 48, 64, seed=5)
    images = lambda seed: torch.einsum("bk,kchw->bchw", normal(12, 3, seed=seed), bases)
    transform = PCA.fit(images(0).split(5), components=2)
    fresh = images(1)
    torch.testing.assert_close(transform.inverse(transform(fresh)), fresh)
    assert transform.claims == TransformClaim.PARSEVAL
    with pytest.raises(ValueError, match="vary in 3 directions only"):
        PCA.fit(images(0), components=5)


def test_pca_saves_and_loads(tmp_path: Path) -> None:
    x = normal(2, 2, 4)
    for options in ({}, {"whiten": "zca"}, {"components": 3, "whiten": True}):
        transform = PCA.fit(signals(20, 0), **options)
        transform.save(tmp_path / "p.safetensors")
        loaded = get(f"pca('{tmp_path / 'p.safetensors'}')", shape=(2, 4))
        assert torch.equal(loaded(x), transform(x))
        assert loaded.claims == transform.claims
        assert get(loaded.spec, (2, 4)).spec == loaded.spec
    with pytest.raises(ValueError, match=r"fitted on signals of shape \(2, 4\), got \(1, 8\)"):
        get(f"pca('{tmp_path / 'p.safetensors'}')", shape=(1, 8))
    save_file({"a": torch.ones(1)}, tmp_path / "q.safetensors")
    with pytest.raises(ValueError, match=r"not a file that PCA\.save wrote"):
        PCA.load(tmp_path / "q.safetensors")
    with pytest.raises(ValueError, match="no file"):
        PCA.load(tmp_path / "none.safetensors")


def test_an_unfitted_pca_says_how_to_fit_it() -> None:
    with pytest.raises(ValueError, match=r"not fitted yet. Fit it with PCA\.fit"):
        get("pca", shape=(1, 8))


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (torch.ones(1, 4), {}, ValueError, "at least two examples, got 1"),
        ([], {}, ValueError, "at least two examples, got 0"),
        (torch.ones(0, 4), {}, ValueError, "not empty"),
        (torch.ones(3, 4, dtype=torch.long), {}, ValueError, "int64"),
        (torch.ones(3, 4, dtype=torch.complex64), {}, ValueError, "complex64"),
        (torch.tensor([[1.0], [float("nan")]]), {}, ValueError, "a batch: example 1 holds NaN"),
        ([torch.ones(3, 4), torch.ones(3, 5)], {}, ValueError, r"shape of the first, \(4,\), got \(5,\)"),
        ([(torch.ones(3, 4), 0)], {}, TypeError, "got tuple"),
        (torch.ones(2, 9_000), {}, ValueError, "more than 8,192 samples.*pass components=64"),
        (torch.ones(2, 9_000), {"components": 9_000}, ValueError, "1…8999"),
        (torch.ones(3, 4), {"components": 4}, ValueError, "1…3"),
        (torch.ones(3, 4), {"components": 2.0}, ValueError, "1…3"),
        (torch.ones(3, 4), {"whiten": "pca"}, ValueError, "expected whiten in"),
        (torch.ones(3, 4), {"whiten": "zca", "components": 2}, ValueError, "every axis"),
        (torch.ones(3, 4), {"floor": 0}, ValueError, "floor must lie"),
    ],
)
def test_pca_refuses(data: Tensor, options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PCA.fit(data, **options)  # type: ignore[arg-type]


# Colour -------------------------------------------------------------------------------------------------------------


def test_ycbcr_is_bt601() -> None:
    x = normal(2, 3, 4, 5)
    r, g, b = x.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    torch.testing.assert_close(Color((3, 4, 5), "ycbcr")(x), torch.stack([y, (b - y) / 1.772, (r - y) / 1.402], 1))


def test_opponent_separates_grey_and_composes_with_a_wavelet() -> None:
    grey = normal(1, 1, 16, 16).expand(1, 3, 16, 16)
    z = get("color(opponent)", shape=(3, 16, 16))(grey)
    torch.testing.assert_close(z[:, 0], grey[:, 0] * 3**0.5)
    assert float(z[:, 1:].abs().max()) < 1e-12
    both = get("color(opponent) >> dwt(db4, level=3)", shape=(3, 16, 16))
    assert both.claims == TransformClaim.ORTHOGONAL
    assert float(both(grey)[:, 1:].abs().max()) < 1e-12
    names = [band.name for band in Color((3, 16, 16)).layout.bands]
    assert names == ["luminance", "red-green", "yellow-blue"]


def test_color_refuses() -> None:
    with pytest.raises(ValueError, match="3 channels"):
        Color((1, 8, 8))
    with pytest.raises(ValueError, match="opponent, ycbcr"):
        Color((3, 8), "hsv")


@pytest.mark.parametrize("name", registry.names())
def test_every_transform_refuses_what_it_cannot_take(name: str) -> None:
    transform = next(iter(registry.maker(name).examples()))
    x = torch.zeros(2, *transform.shape)
    for wrong, message in [
        (x[:0], "at least one example"),
        (x[0], "add the batch axis"),
        (x.long(), r"convert it with \.float"),
        (x.to(torch.complex64), "real and imaginary parts as two channels"),
        (torch.zeros(2, 5, *transform.shape), "build the transform with shape="),
    ]:
        with pytest.raises(ValueError, match=message):
            transform(wrong)
    with pytest.raises(TypeError, match="got list"):
        transform(x.tolist())


def test_every_example_can_be_printed_and_names_no_band_twice() -> None:
    for name in ("linear", "pca", "color", "polar"):
        for example in registry.maker(name).examples():
            assert re.match(name, example.spec)
            assert int(example.layout.sizes.sum()) == example.layout.index.numel()
