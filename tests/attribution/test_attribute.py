"""Attributions against closed forms, dense matrices and Captum; the covector path against f∘T⁻¹."""

import dataclasses

import captum.attr
import numpy as np
import pytest
import torch
from support.subjects import linear_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.methods.integrated_gradients.estimator import RULES
from pullback.axioms.transform_wrappers import Opaque
from pullback.transforms import Transform, get

SHAPE = (2, 9, 8)
DOMAINS = [
    "pixel",
    "dwt(db2, level=2)",
    "dwt(bior2.2, level=1)",
    "dwt(db3, level=1, mode=reflect)",
    "dct",
    "dft",
    "dct >> dwt(haar)",
]


def dense_inverse(t: Transform) -> Tensor:
    """The matrix of T⁻¹: (signal, coefficients)."""
    size = t.layout.index.numel()
    return t.inverse(torch.eye(size, dtype=torch.float64).reshape(size, *t.layout.shape)).flatten(1).T


@pytest.mark.parametrize("spec", DOMAINS)
@pytest.mark.parametrize(
    "method", ["input_x_gradient", "integrated_gradients(steps=2)", "integrated_gradients(steps=2, rule=trapezoid)"]
)
def test_linear_models_have_the_closed_form(spec: str, method: str) -> None:
    model, x, x0 = linear_net(SHAPE), normal(3, *SHAPE), normal(3, *SHAPE, seed=5)
    t = get(spec, SHAPE)
    att = pb.attribute(model, x, method=method, transform=t, baseline=x0)
    weights = dense_inverse(t).T @ model[1].weight[0]
    expected = weights.reshape(t.layout.shape) * (t(x) - t(x0))
    torch.testing.assert_close(att.values, expected.detach(), rtol=1e-10, atol=1e-10)
    assert float(att.completeness_gap.abs().max()) < 1e-12


@pytest.mark.parametrize("method", ["gradient", "input_x_gradient", "smoothgrad(samples=4)", "integrated_gradients(steps=5)"])
@pytest.mark.parametrize("spec", DOMAINS)
def test_the_covector_path_equals_f_of_t_inverse(spec: str, method: str) -> None:
    model, x, x0 = smooth_net(SHAPE), normal(3, *SHAPE), normal(3, *SHAPE, seed=5)
    t = get(spec, SHAPE)
    fast = pb.attribute(model, x, [0, 1, 2], method=method, transform=t, baseline=x0)
    direct = pb.attribute(model, x, [0, 1, 2], method=method, transform=Opaque(t), baseline=x0)
    scale = direct.values.abs().max()
    torch.testing.assert_close(fast.values / scale, direct.values / scale, rtol=0, atol=1e-12)
    assert direct.covector is None


@pytest.mark.parametrize("spec", DOMAINS)
def test_gradients_equal_captum_on_the_pullback(spec: str) -> None:
    model, x, target = smooth_net(SHAPE), normal(3, *SHAPE), torch.tensor([2, 0, 1])
    t = get(spec, SHAPE)
    f, z = pb.Pullback(model, t), t(x)
    saliency = captum.attr.Saliency(f).attribute(z.clone().requires_grad_(), target=target, abs=False)
    ours = pb.attribute(model, x, target, method="gradient", transform=t).values
    torch.testing.assert_close(ours, saliency, rtol=1e-9, atol=1e-12)
    product = captum.attr.InputXGradient(f).attribute(z.clone().requires_grad_(), target=target).detach()
    torch.testing.assert_close(
        pb.attribute(model, x, target, method="input_x_gradient", transform=t).values, product, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("spec", DOMAINS)
def test_integrated_gradients_equal_captum_on_the_pullback(spec: str) -> None:
    model, x, x0 = smooth_net(SHAPE), normal(3, *SHAPE), normal(3, *SHAPE, seed=5)
    t = get(spec, SHAPE)
    theirs = captum.attr.IntegratedGradients(pb.Pullback(model, t)).attribute(t(x), t(x0), target=1, n_steps=50)
    ours = pb.attribute(model, x, 1, method="integrated_gradients(steps=50)", transform=t, baseline=x0).values
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-6  # Captum casts its steps to single precision


@pytest.mark.parametrize("rule", RULES)
def test_quadratures_are_exact_where_they_should_be(rule: str) -> None:
    nodes, weights = RULES[rule](6)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert weights @ nodes == pytest.approx(0.5, abs=1e-14)
    if rule == "gauss_legendre":
        assert weights @ nodes**11 == pytest.approx(1 / 12, abs=1e-14)


def test_a_quadrature_whose_weights_do_not_sum_to_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: weights 1/n at n nodes with halved ends, as in a well-known library, lose 1/n of f(x) - f(x0)."""

    def biased(steps: int) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = trapezoid(steps)
        return nodes, weights * (steps - 1) / steps

    trapezoid = RULES["trapezoid"]
    monkeypatch.setitem(RULES, "trapezoid", biased)
    att = pb.attribute(linear_net(SHAPE), normal(2, *SHAPE), method="integrated_gradients(steps=25, rule=trapezoid)")
    slope = att.values.flatten(1).sum(1)  # of a linear model: 24/25 of f(x) - f(0)
    torch.testing.assert_close(slope, att.score_difference * 24 / 25, rtol=1e-10, atol=1e-12)
    assert float((att.completeness_gap / att.score_difference).abs().min()) > 0.03


def test_integrated_gradients_of_a_quadratic_in_closed_form() -> None:
    a = normal(18, 18)
    model = lambda x: ((x.flatten(1) @ a) * x.flatten(1)).sum(1)
    x, x0 = normal(2, 1, 18), normal(2, 1, 18, seed=4)
    att = pb.attribute(model, x, method="integrated_gradients(steps=1, rule=midpoint)", transform="dct", baseline=x0)
    t = get("dct", (1, 18))
    gradient = ((x + x0).flatten(1) / 2 @ (a + a.T)).reshape(x.shape)
    torch.testing.assert_close(att.values, (t(x) - t(x0)) * t(gradient), rtol=1e-10, atol=1e-10)
    assert float(att.completeness_gap.abs().max()) < 1e-11


def test_smoothgrad_is_the_mean_gradient_at_its_own_noise() -> None:
    """Noise of spread × (max - min), zero mean; a quadratic model's mean gradient reads the mean of the noise."""
    x = normal(1, 1, 64)
    model = lambda x: (x.flatten(1) ** 2).sum(1) / 2
    att = pb.attribute(model, x, method="smoothgrad(samples=2000, spread=0.25)")
    std = 0.25 * float(x.max() - x.min())
    error = (att.values - x).flatten()
    assert float(error.abs().max()) < 5 * std / 2000**0.5
    one = pb.attribute(model, x, method="smoothgrad(samples=1, spread=0.25)").values - x
    assert float(one.std()) == pytest.approx(std, rel=0.3)


def test_many_domains_share_one_stream_in_order() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    one = pb.attribute(model, x, 0, transform="dct", method="integrated_gradients(steps=8)")
    many = pb.attribute(model, x, 0, transform=DOMAINS, method="integrated_gradients(steps=8)")
    assert [a.transform.spec for a in many] == [get(spec, SHAPE).spec for spec in DOMAINS]
    assert all(a.settings["evaluations"] == one.settings["evaluations"] == {"forward": 8, "gradient": 16} for a in many)
    gaps = torch.stack([a.completeness_gap for a in many])
    torch.testing.assert_close(gaps, gaps[:1].expand_as(gaps), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", DOMAINS)
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients(steps=6)"])
def test_heatmaps_conserve_band_totals_and_add_up_to_the_pixels(spec: str, method: str) -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    pixel, att = pb.attribute(model, x, 1, method=method, transform=["pixel", spec])
    maps = att.heatmap("octave")
    torch.testing.assert_close(maps.sum(1), pixel.values.sum(1), rtol=0, atol=1e-10)
    if method != "gradient":
        torch.testing.assert_close(maps.flatten(2).sum(2), att.layout.group("octave").sum(att.values), rtol=0, atol=1e-10)
        bare = dataclasses.replace(att, covector=None)  # rebuilt from a / (z - z0)
        torch.testing.assert_close(bare.heatmap("octave").sum((1, 2, 3)), att.values.flatten(1).sum(1), rtol=0, atol=1e-10)


def test_signal_keeps_the_top_coefficients_and_the_baseline_elsewhere() -> None:
    model, x, x0 = smooth_net(SHAPE), normal(2, *SHAPE), normal(2, *SHAPE, seed=9)
    att = pb.attribute(model, x, 0, transform="dct", baseline=x0, method="integrated_gradients(steps=4)")
    torch.testing.assert_close(att.signal(keep=1.0), x, rtol=0, atol=1e-10)
    kept = att.transform(att.signal(keep=0.25))
    changed = (kept - att.transform(x0)).abs() > 1e-9
    for size, kept_here in zip(att.values.abs(), changed):
        assert int(kept_here.sum()) == round(0.25 * x[0].numel())
        assert float(size[kept_here].min()) >= float(size[~kept_here].max()) - 1e-12
    for bad in (0, 1.5, -1, "all"):
        with pytest.raises(ValueError, match="fraction"):
            att.signal(keep=bad)  # type: ignore[arg-type]


def test_importance_normalizations() -> None:
    att = pb.attribute(
        smooth_net(SHAPE), normal(3, *SHAPE), 0, transform="dwt(haar, level=2)", method="integrated_gradients(steps=8)"
    )
    np.testing.assert_allclose(att.importance("band", None).sum(axis=1), att.values.flatten(1).sum(1), atol=1e-12)
    for by in ("scale", "band", "orientation", "octave"):
        for normalize in ("share", "density"):
            np.testing.assert_allclose(att.importance(by, normalize).sum(axis=1), 1, atol=1e-12)
    assert list(att.importance("octave").columns) == ["coarser", "octave 2", "octave 1"]
    with pytest.raises(ValueError, match="expected normalize in share"):
        att.importance(normalize="max")


def test_save_and_load_keep_everything(tmp_path) -> None:  # type: ignore[no-untyped-def]
    att = pb.attribute(smooth_net(SHAPE), normal(3, *SHAPE), 0, transform="dct >> dwt(haar)")
    att.save(tmp_path / "a.safetensors")
    again = pb.Attribution.load(tmp_path / "a.safetensors")
    for name in ("values", "coefficients", "displacement", "score_difference", "covector"):
        torch.testing.assert_close(getattr(again, name), getattr(att, name), rtol=0, atol=0)
    assert again.settings == att.settings
    assert again.transform.spec == att.transform.spec
    opaque = pb.attribute(smooth_net(SHAPE), normal(1, *SHAPE), 0, transform=Opaque(get("dct", SHAPE)))
    opaque.save(tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="cannot be built from its name"):
        pb.Attribution.load(tmp_path / "b.safetensors")
    assert pb.Attribution.load(tmp_path / "b.safetensors", get("dct", SHAPE)).values.shape == opaque.values.shape
    assert {p.name for p in tmp_path.iterdir()} == {"a.safetensors", "b.safetensors"}


def test_load_refuses_what_save_did_not_write(tmp_path) -> None:  # type: ignore[no-untyped-def]
    att = pb.attribute(smooth_net(SHAPE), normal(1, *SHAPE), 0, transform="dct")
    att.save(tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    for content in (b"", b"text", whole[:100], whole[: len(whole) // 2]):
        (tmp_path / "b.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match=r"not a file that Attribution\.save wrote"):
            pb.Attribution.load(tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="holds coefficients of shape"):
        pb.Attribution.load(tmp_path / "a.safetensors", get("pixel", (1, 9)))
    with pytest.raises(FileNotFoundError):
        pb.Attribution.load(tmp_path / "none.safetensors")


def test_slices_of_a_result_and_xarray() -> None:
    att = pb.attribute(smooth_net(SHAPE), normal(3, *SHAPE), 0, transform="dwt(haar, level=1)")
    torch.testing.assert_close(att[1].values, att.values[1:2])
    torch.testing.assert_close(att[-1].completeness_gap, att.completeness_gap[2:])
    assert len(att[:2].score_difference) == 2
    table = att.to_xarray()
    assert float(table["values"].where(table["band"] == "dd1").sum()) == pytest.approx(
        float(att.layout.sum(att.values)[:, 3].sum())
    )


def test_a_result_is_a_batch_of_its_examples() -> None:
    att = pb.attribute(linear_net((1, 6)), normal(3, 1, 6))
    assert len(att) == len(list(att)) == 3
    for number, one in enumerate(att):
        torch.testing.assert_close(one.values, att.values[number : number + 1], rtol=0, atol=0)
    torch.testing.assert_close(att[np.int64(-1)].values, att.values[2:], rtol=0, atol=0)
    for missing in (3, -4, slice(5, 9)):
        with pytest.raises(IndexError, match="it holds 3 examples"):
            att[missing]


def test_what_a_model_raises_says_what_it_was_given() -> None:
    model = nn.Conv2d(3, 1, 3).double()
    image = normal(3, 8, 8)
    with pytest.raises(RuntimeError) as caught:
        pb.attribute(model, image)
    (note,) = caught.value.__notes__
    assert "x has shape (3, 8, 8), (batch, *shape)" in note
    assert "x[None]" in note


def test_a_row_of_a_table_is_no_figure() -> None:
    att = pb.attribute(nn.Linear(6, 2).double(), normal(3, 6), 0)
    with pytest.raises(ValueError, match=r"plot: .* x has shape \(6,\)"):
        att.plot()


def test_a_figure_of_each_kind_of_signal() -> None:
    for shape in [(1, 32), (3, 16, 16), (1, 8, 8, 8)]:
        att = pb.attribute(smooth_net(shape), normal(1, *shape), 0, transform="dwt(haar, level=2)", method="gradient")
        assert len(att.plot().axes) == 5  # signal, three octaves, shares
    with pytest.raises(IndexError, match="expected an example"):
        att.plot(3)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (None, 0.0),
        (2, 2.0),
        (torch.tensor(3.0), 3.0),
        (torch.full(SHAPE, 4.0), 4.0),
        (lambda x: torch.ones_like(x) * 5, 5.0),
    ],
)
def test_forms_of_the_baseline(baseline, expected: float) -> None:  # type: ignore[no-untyped-def]
    x = normal(2, *SHAPE)
    att = pb.attribute(linear_net(SHAPE), x, baseline=baseline)
    torch.testing.assert_close(att.displacement, x - expected)


class Captioner(nn.Module):
    """A model whose output is a dictionary, for targets that are callables."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": x.flatten(1)[:, :4] * 2, "mask": x.sum(1)}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (9, "class in 0…2, got 9"),
        (-1, "class in 0…2, got -1"),
        ([0, 1], "one class per example, 2"),
        (lambda out: out.sum(), "one scalar per example"),
        (lambda out: out[:, 0] > 0, "real floating-point"),
        (None, "one output per example"),
    ],
)
def test_wrong_targets_are_clear_errors(target, message: str) -> None:  # type: ignore[no-untyped-def]
    x = normal(2 if target != [0, 1] else 3, *SHAPE)
    with pytest.raises(ValueError, match=message.replace("2", str(len(x))) if target == [0, 1] else message):
        pb.attribute(smooth_net(SHAPE), x, target)
    for wrong in ("cat", 1.5, torch.zeros(2, 2)):
        with pytest.raises(TypeError, match="a class index"):
            pb.attribute(smooth_net(SHAPE), x, wrong)  # type: ignore[arg-type]


def test_callable_targets_reach_any_output() -> None:
    x = normal(2, *SHAPE)
    att = pb.attribute(Captioner(), x, lambda out: out["logits"][:, 1] - out["logits"][:, 0], method="gradient")
    assert sorted(att.values[0].flatten().unique().tolist()) == [-2.0, 0.0, 2.0]
    with pytest.raises(ValueError, match="Pass a callable"):
        pb.attribute(Captioner(), x, 1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": torch.zeros(0, *SHAPE)}, ValueError, "not empty"),
        ({"x": torch.zeros(4)}, ValueError, r"\(batch, \*shape\)"),
        ({"x": torch.zeros(2, *SHAPE, dtype=torch.long)}, ValueError, "floating-point"),
        ({"x": [1.0]}, TypeError, "expected a tensor"),
        ({"x": np.zeros((2, *SHAPE))}, TypeError, r"got ndarray; pass torch.from_numpy\(x\)"),
        ({"seed": "a"}, TypeError, "seed: expected a whole number, got 'a'"),
        ({"x": torch.full((2, *SHAPE), float("nan"))}, ValueError, "example 0 holds NaN"),
        ({"model": 3}, TypeError, "callable"),
        ({"baseline": torch.zeros(5)}, ValueError, "baseline: expected a real tensor"),
        ({"baseline": "white"}, (TypeError, ValueError), "baseline"),
        ({"baseline": float("inf")}, ValueError, "baseline: example 0"),
        ({"batch_size": 0}, ValueError, "batch_size: expected"),
        ({"batch_size": "many"}, ValueError, "batch_size: expected"),
        ({"method": "integrated_gradient"}, ValueError, "Did you mean 'integrated_gradients'"),
        ({"method": pb.attribution.Gradient}, TypeError, r"build it: Gradient\(\)"),
        ({"execution": "auto"}, TypeError, "expected pb.Execution"),
        ({"model_args": torch.ones(2)}, TypeError, "model_args: expected a tuple"),
        ({"method": "captum.DeepLift"}, ValueError, r"Did you mean 'captum\(DeepLift\)'"),
        ({"transform": 3}, TypeError, "expected a spec such as 'dct', or a Transform; got 3"),
        ({"method": "integrated_gradients(steps=0)"}, ValueError, "at least 1"),
        ({"method": "integrated_gradients(steps=1, rule=trapezoid)"}, ValueError, "at least 2"),
        ({"method": "integrated_gradients(rule=simpson)"}, ValueError, "expected rule in"),
        ({"method": "smoothgrad(samples=0)"}, ValueError, "at least 1"),
        ({"method": "smoothgrad(spread=-1)"}, ValueError, "spread must be"),
        ({"method": "gradient >> gradient"}, ValueError, "one method"),
        ({"transform": ["dct", "dwt(haar, level=30)"]}, ValueError, "level must lie in"),
    ],
)
def test_bad_arguments_are_clear_errors(change: dict, error: type[Exception], message: str) -> None:  # type: ignore[type-arg]
    arguments = {"model": smooth_net(SHAPE), "x": normal(2, *SHAPE), "target": 0} | change
    with pytest.raises(error, match=message):
        pb.attribute(**arguments)
