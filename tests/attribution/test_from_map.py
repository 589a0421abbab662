"""Maps that were made elsewhere: Captum's, arrays and files, in z or in the signal; what fits, and what is refused."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.subjects import linear_net, normal, smooth_net
from torch import Tensor

import pullback as pb
from pullback.attribution import Attribution
from pullback.metrics import Needs, measure

SHAPE = (3, 8, 6)
FIELDS = ("values", "coefficients", "displacement", "score_difference")


def test_the_values_of_a_map_of_ours_give_the_same_attribution() -> None:
    model, x, x0 = smooth_net(SHAPE), normal(2, *SHAPE), normal(2, *SHAPE, seed=3)
    for spec in ("pixel", "dct", "swt(haar, level=1)", "polar"):
        shape = SHAPE if spec != "polar" else (1, 9)
        net, signal, base = (
            (model, x, x0) if spec != "polar" else (smooth_net(shape), normal(2, *shape), normal(2, *shape, seed=3))
        )
        ours = pb.attribute(net, signal, 1, method="input_x_gradient", transform=spec, baseline=base)
        found = Attribution.from_map(
            ours.values.numpy(), signal, spec, kind="share", values_in="z", baseline=base, model=net, target=1
        )
        for name in FIELDS:
            torch.testing.assert_close(getattr(found, name), getattr(ours, name), rtol=1e-12, atol=1e-12, msg=f"{spec} {name}")


def test_metrics_on_it_equal_those_on_our_own_map() -> None:
    """Every metric, except those that use the covector of shares, which values alone do not tell."""
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    truth = normal(2, *SHAPE, seed=9) > 1
    for method, kind in (("input_x_gradient", "share"), ("gradient", "sensitivity")):
        ours = pb.attribute(model, x, 1, method=method, transform="dct")
        theirs = Attribution.from_map(ours.values, x, "dct", kind=kind, values_in="z", method=method)  # type: ignore[arg-type]
        specs = [name for name in pb.metrics.names() if fits(pb.metrics.get(name), kind)]
        explain = lambda model, x, target: Attribution.from_map(
            pb.attribute(model, x, target, method=method, transform="dct").values,  # noqa: B023
            x,
            "dct",
            kind=kind,  # noqa: B023
            values_in="z",
            method=method,  # noqa: B023
        )
        options: Any = {"truth": truth, "truth_in": "z", "source": x / 2}
        for spec, a, b in zip(
            specs, measure(model, ours, specs, 1, **options), measure(model, theirs, specs, 1, explain=explain, **options)
        ):
            torch.testing.assert_close(a.value, b.value, rtol=1e-9, atol=1e-9, equal_nan=True, msg=f"{method} {spec}")


def fits(metric: pb.metrics.Metric, kind: str) -> bool:
    if kind == "sensitivity":
        return Needs.SHARES not in metric.needs
    return not (Needs.EXPLAIN in metric.needs and metric.invariant is pb.metrics.Invariance.ORTHONORMAL)


@pytest.mark.parametrize("name", ["IntegratedGradients", "Saliency", "InputXGradient"])
def test_a_round_trip_with_captum(name: str) -> None:
    attr = pytest.importorskip("captum.attr")
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    with warnings.catch_warnings(action="ignore"):
        options: Any = {"abs": False} if name == "Saliency" else {"n_steps": 200} if name == "IntegratedGradients" else {}
        values = getattr(attr, name)(model).attribute(x.clone().requires_grad_(), target=1, **options)
    kind: Any = "sensitivity" if name == "Saliency" else "share"
    found = Attribution.from_map(values, x, kind=kind, model=model, target=1, method=name)
    method = {"IntegratedGradients": "integrated_gradients", "Saliency": "gradient", "InputXGradient": "input_x_gradient"}[name]
    ours = pb.attribute(model, x, 1, method=method)
    torch.testing.assert_close(found.values, ours.values, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.score_difference, ours.score_difference, rtol=1e-12, atol=1e-12)
    if name == "IntegratedGradients":
        assert found.completeness_gap.abs().max() < 1e-3
    assert (found.settings["method"], found.values.requires_grad) == (name, False)


@pytest.mark.parametrize("spec", ["dct", "dwt(bior2.2, level=1)", "swt(haar, level=1)"])
def test_a_gradient_in_the_signal_is_carried_to_every_linear_domain(spec: str) -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    pixel, ours = pb.attribute(model, x, 1, method="gradient", transform=["pixel", spec])
    found = Attribution.from_map(pixel.values, x, spec, kind="sensitivity", values_in="signal")
    torch.testing.assert_close(found.values, ours.values, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.heatmap(), ours.heatmap(), rtol=1e-9, atol=1e-9)
    assert pb.attribution.best_basis([found]) is not None


def test_what_a_map_in_the_signal_does_not_say_is_refused() -> None:
    x = normal(2, 1, 8)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"transform": "dct"}, "say which with values_in"),
        ({"transform": "dct", "values_in": "signal"}, "shares of samples say nothing"),
        ({"transform": "polar", "values_in": "signal", "kind": "sensitivity"}, "not linear"),
        ({"transform": "dct", "values_in": "pixels"}, "expected values_in in z, signal"),
        ({"transform": "swt(haar, level=1)", "values_in": "z"}, r"expected values of shape \(2, 1, 16\)"),
        ({"transform": "swt(haar, level=1)"}, "shares of samples say nothing"),
        ({"kind": "gradient"}, "expected kind in share, sensitivity"),
        ({"channels": "mean"}, "expected channels in spread"),
    ]
    for options, match in cases:
        with pytest.raises(ValueError, match=match) as raised:
            Attribution.from_map(x, x, **options)
        assert len(str(raised.value)) <= 300


def test_maps_summed_over_channels_are_spread_only_where_asked() -> None:
    model, x = linear_net(SHAPE), normal(2, *SHAPE)
    ours = pb.attribute(model, x)
    for summed in (ours.values.sum(1), ours.values.sum(1, keepdim=True)):
        with pytest.raises(ValueError, match=r"one number for the 3 channels of x; pass channels='spread'") as raised:
            Attribution.from_map(summed, x)
        assert len(str(raised.value)) <= 300
        found = Attribution.from_map(summed, x, channels="spread", model=model)
        torch.testing.assert_close(found.values.sum(1), ours.values.sum(1), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.completeness_gap, ours.completeness_gap, rtol=0, atol=1e-10)
        assert torch.equal(found.values[:, 0], found.values[:, 2])
        with pytest.raises(ValueError, match="cannot be undone"):
            Attribution.from_map(summed, x, channels="spread", kind="sensitivity")
    with pytest.raises(ValueError, match=r"add the channel axis with values\[:, None\]"):
        Attribution.from_map(x[:, 0], x[:, :1])
    one = Attribution.from_map(x[:, :1], x[:, :1], channels="spread")  # nothing to spread
    assert torch.equal(one.values, x[:, :1])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda v: v[0], "add the batch axis"),
        (lambda v: v.movedim(1, -1), "channels are last"),
        (lambda v: v[:1], "x holds 2 examples"),
        (lambda v: v[..., :5], "expected values of shape"),
        (lambda v: v.flatten(1), "expected values of shape"),
        (lambda v: torch.tensor(1.0), "expected values of shape"),
        (lambda v: v.new_zeros(0), "expected values of shape"),
        (lambda v: v.index_fill(0, torch.tensor([1]), torch.nan), "example 1 hold NaN"),
        (lambda v: v.index_fill(0, torch.tensor([0]), torch.inf), "example 0 hold NaN, infinity"),
        (lambda v: torch.full(v.shape, 1e300, dtype=torch.float64), "too large for float32"),
        (lambda v: v.to_sparse(), "expected a dense tensor"),
    ],
)
def test_values_that_do_not_fit_are_refused(change: Callable[[Tensor], Any], match: str) -> None:
    x = normal(2, *SHAPE, dtype=torch.float32)
    with pytest.raises(ValueError, match=match) as raised:
        Attribution.from_map(change(x), x)
    assert len(str(raised.value)) <= 300


@pytest.mark.parametrize(
    "values", [None, 3.0, "no/such/file.npy", [1.0], np.array(["a"]), np.array([1j]), torch.ones(2, 1, 4) * 1j]
)
def test_other_types_are_refused(values: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="from_map") as raised:
        Attribution.from_map(values, normal(2, 1, 4))
    assert len(str(raised.value)) <= 300


def test_numbers_of_any_format_become_those_of_x() -> None:
    x, whole = normal(2, 1, 4, dtype=torch.float32), torch.arange(8).reshape(2, 1, 4)
    forms = [whole, whole.int(), whole.half(), whole.bfloat16(), whole.double(), (whole.float(),), whole.numpy()]
    forms += [whole.numpy().astype(">f8"), whole.numpy()[:, :, ::-1].copy()[:, :, ::-1], np.float16(whole.numpy())]
    forms += [torch.nn.Parameter(whole.float()), whole.numpy() > 0]
    for form in forms:
        found = Attribution.from_map(form, x, kind="share")
        assert found.values.dtype == torch.float32
        assert torch.equal(found.values, whole.float()) or torch.equal(found.values, (whole > 0).float())
    half = Attribution.from_map(whole, x.half(), kind="share")
    assert half.values.dtype == half.coefficients.dtype == torch.float32
    assert torch.equal(Attribution.from_map(whole, x.numpy(), kind="share").coefficients, x)


def test_nothing_is_shared_with_the_caller() -> None:
    x, values = normal(2, 1, 4), normal(2, 1, 4, seed=1)
    found = Attribution.from_map(values, x)
    kept = found.values.clone(), found.coefficients.clone()
    x.zero_()
    values.zero_()
    assert torch.equal(found.values, kept[0])
    assert torch.equal(found.coefficients, kept[1])


def test_files_are_read_without_running_code(tmp_path: Path) -> None:
    x = normal(2, 1, 4)
    np.save(tmp_path / "map.npy", x.numpy())
    np.savez(tmp_path / "one.npz", anything=x.numpy())
    np.savez(tmp_path / "several.npz", values=x.numpy(), inputs=np.zeros(3))
    save_file({"attributions": x}, tmp_path / "map.safetensors")
    for name in ("map.npy", "one.npz", "several.npz", "map.safetensors"):
        assert torch.equal(Attribution.from_map(tmp_path / name, x).values, x)
        assert torch.equal(Attribution.from_map(str(tmp_path / name), x).values, x)
    np.savez(tmp_path / "two.npz", a=x.numpy(), b=x.numpy())
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "map.safetensors").read_bytes()[:-3])
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "map.pt").write_bytes(b"x")
    for name, match in (
        ("two.npz", "it holds a, b"),
        ("objects.npy", "arrays of objects"),
        ("cut.safetensors", "can be read"),
        ("empty.npy", "can be read"),
        ("map.pt", "expected a file .npy, .npz or .safetensors"),
        ("none.npy", "there is no file"),
    ):
        with pytest.raises(ValueError, match=match) as raised:
            Attribution.from_map(tmp_path / name, x)
        assert len(str(raised.value)) <= 300


def test_the_score_difference_is_given_measured_or_unknown() -> None:
    model, x, share = linear_net((1, 4)), normal(2, 1, 4), functools.partial(Attribution.from_map, kind="share")
    with torch.no_grad():
        known = (model(x) - model(x * 0))[:, 0]
    assert share(x, x).score_difference.isnan().all()
    torch.testing.assert_close(share(x, x, model=model).score_difference, known)
    assert share(x, x, model=model).settings["evaluations"]["forward"] > 0
    for given in (known, known.tolist(), known.numpy()):
        torch.testing.assert_close(share(x, x, score_difference=given).score_difference, known)
    torch.testing.assert_close(share(x, x, model=model, score_difference=known).score_difference, known)
    for wrong, match in (
        (known + 1, "but the model's is"),
        (known[:1].expand(3), "numbers, got shape"),
        ([torch.nan] * 2, "NaN"),
    ):
        with pytest.raises(ValueError, match=match) as raised:
            share(x, x, model=model, score_difference=wrong)
        assert len(str(raised.value)) <= 300
    with pytest.raises(TypeError, match="score_difference"):
        share(x, x, score_difference="large")


def test_it_can_be_shown_saved_and_taken_apart(tmp_path: Path) -> None:
    x = normal(2, *SHAPE)
    found = Attribution.from_map(x, x, "dwt(haar, level=1)", kind="sensitivity", values_in="signal", method="theirs")
    assert "theirs in dwt" in repr(found)
    assert found[1].values.shape == (1, *found.values.shape[1:])
    found.save(tmp_path / "map.safetensors")
    again = Attribution.load(tmp_path / "map.safetensors")
    assert torch.equal(again.values, found.values)
    assert found.importance("octave").sum(axis=1).tolist() == pytest.approx([1, 1])
    assert found.plot() is not None


def test_a_baseline_gives_the_displacement_that_metrics_remove() -> None:
    x = normal(2, 1, 8)
    found = Attribution.from_map(x, x, "dct", baseline="mean", values_in="z")
    torch.testing.assert_close(found.displacement, found.transform(x - x.mean(-1, keepdim=True)), rtol=1e-10, atol=1e-10)
    in_z = Attribution.from_map(x, x, "dct", baseline=pb.attribution.in_domain(0.5), values_in="z")
    torch.testing.assert_close(in_z.displacement, in_z.transform(x) - 0.5, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="baseline"):
        Attribution.from_map(x, x, baseline=torch.zeros(3))
    with pytest.raises(TypeError, match="unknown option 'steps'"):
        Attribution.from_map(x, x, steps=3)


def test_a_saliency_map_that_is_taken_as_shares_is_said() -> None:
    """Shares that sum to f(x) - f(x₀), and whatever is declared, are taken in silence."""
    model, x = linear_net((1, 8)), normal(3, 1, 8)
    shares = pb.attribute(model, x, 0, method="input_x_gradient").values  # of a linear model they sum to the difference
    saliency = pb.attribute(model, x, 0, method="gradient").values.abs()
    Attribution.from_map(shares, x, model=model, target=0)
    Attribution.from_map(shares, x)
    for kind in ("share", "sensitivity"):
        Attribution.from_map(saliency, x, kind=kind, model=model, target=0)  # type: ignore[arg-type]
    with pytest.warns(
        UserWarning, match=r"maps do not sum to f\(x\) - f\(x₀\): example \d has .*; pass kind='sensitivity'"
    ) as said:
        assert Attribution.from_map(saliency, x, model=model, target=0).kind == "share"
    assert said[0].filename == __file__
    assert len(str(said[0].message)) <= 300
    with pytest.warns(UserWarning, match=r"no value is negative, as in a saliency map"):
        Attribution.from_map(saliency, x)
