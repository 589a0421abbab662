"""x at the door: subclasses, layouts and several inputs, its size, and what is said about a model's own errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.subjects import Scan, linear_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb

SHAPE = (1, 4, 6)
X = normal(2, *SHAPE, seed=3)
MODEL = smooth_net(SHAPE)


def values(x: Tensor, model: Any = MODEL, target: Any = 1, **options: Any) -> Tensor:
    return pb.attribute(model, x, target, **{"method": "gradient"} | options).values


@pytest.mark.parametrize(
    "method", ["gradient", "integrated_gradients(steps=3, rule=midpoint)", "smoothgrad(samples=2)", "occlusion"]
)
@pytest.mark.parametrize(
    "form",
    [
        Scan.of,
        nn.Parameter,
        lambda x: x.clone().requires_grad_(),
        lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: torch.stack([x, x])[1],
        lambda x: torch.complex(x, -x).conj().imag,
    ],
    ids=["hostile subclass", "parameter", "with gradient", "transposed", "channels_last", "part of another", "lazy sign"],
)
def test_the_form_of_x_does_not_change_the_map(form: Callable[[Tensor], Tensor], method: str) -> None:
    found = values(form(X), method=method, transform="dct")
    assert type(found) is Tensor
    assert not found.requires_grad
    torch.testing.assert_close(found, values(X, method=method, transform="dct"), rtol=1e-12, atol=1e-12)


def test_an_expanded_x_is_a_batch_of_equal_examples() -> None:
    found = values(X[:1].expand(3, *SHAPE), method="smoothgrad(samples=2)")
    torch.testing.assert_close(found, values(X[:1], method="smoothgrad(samples=2)").expand_as(found))


@pytest.mark.parametrize("form", [Scan.of, nn.Parameter, lambda x: x.requires_grad_()])
def test_other_tensors_may_be_of_a_subclass_too(form: Callable[[Tensor], Tensor]) -> None:
    """A baseline, references, z₀, arguments of the model and the inputs of `Joint`."""
    base, gain = normal(2, *SHAPE, seed=4), torch.tensor([1.0, -2.0]).double()
    options = {"method": "integrated_gradients(steps=3, rule=midpoint)"}
    scaled = lambda x, g: (MODEL(x) * g[:, None])[:, 0]
    torch.testing.assert_close(
        values(X, scaled, None, baseline=form(base.clone()), model_args=(form(gain.clone()),), **options),
        values(X, scaled, None, baseline=base, model_args=(gain,), **options),
    )
    of, there = pb.attribution.among, pb.attribution.in_domain
    for rule in (of, there):
        torch.testing.assert_close(values(X, baseline=rule(form(base.clone()))), values(X, baseline=rule(base)))
    joint = pb.attribution.Joint(lambda a, b: a.flatten(1).sum(1) * b[:, 0], (form(X.clone()), form(gain[:, None].clone())))
    torch.testing.assert_close(
        values(joint.pack(form(X.clone()), form(gain[:, None].clone())), joint, None),
        values(joint.pack(X, gain[:, None]), joint, None),
    )


def test_the_laws_and_the_analyses_take_a_subclass() -> None:
    net = linear_net(SHAPE)
    assert pb.axioms.check(net, Scan.of(X), method="gradient", axioms="linearity").holds("linearity")
    assert pb.attribution.mask_path(MODEL, Scan.of(X), 1, alphas=[0.0], steps=1).mask.shape == (2, 1, *SHAPE)
    with pb.attribution.open_engine(net, Scan.of(X)) as engine:
        assert engine.scores(torch.arange(2), X.__getitem__).shape == (2,)


def test_a_parameter_keeps_its_graph_where_one_is_asked_for() -> None:
    x = nn.Parameter(X)
    values(x, lambda x: x.flatten(1).pow(3).sum(1), None, create_graph=True).sum().backward()
    torch.testing.assert_close(x.grad, 6 * X)


@pytest.mark.parametrize("held", [tuple, list, lambda parts: dict(zip("ab", parts))], ids=["tuple", "list", "mapping"])
def test_several_inputs_are_told_of_joint(held: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"x: .*pb.attribution.Joint\(model, .*g.pack.*torch.stack") as caught:
        values(held((X, X[:, 0])))
    assert len(str(caught.value)) <= 300
    assert "x.values()" in str(caught.value) or not isinstance(held((X, X)), dict)


@pytest.mark.parametrize("wrong", [X, {"a": X}, [X, None], [[1.0]]], ids=["tensor", "mapping", "nothing", "numbers"])
def test_joint_takes_a_tuple_of_tensors(wrong: Any) -> None:
    with pytest.raises(TypeError, match="Joint: expected a t"):
        pb.attribution.Joint(MODEL, wrong)


def test_joint_refuses_inputs_that_are_not_dense() -> None:
    joint = pb.attribution.Joint(MODEL, (X, X))
    with pytest.raises(ValueError, match=r"Joint: expected a dense tensor, .*to_dense\(\)"):
        joint.pack(X, X.to_sparse())


@pytest.mark.parametrize("wrong", ["x", "baseline", "references", "z0"])
def test_tensors_that_are_not_dense_are_refused_at_every_door(wrong: str) -> None:
    sparse = X.to_sparse()
    calls: dict[str, Callable[[], Any]] = {
        "x": lambda: values(sparse),
        "baseline": lambda: values(X, baseline=sparse),
        "references": lambda: pb.attribution.among(sparse),
        "z0": lambda: values(X, baseline=pb.attribution.in_domain(sparse)),
    }
    with pytest.raises(ValueError, match=r"expected a dense tensor, got one in torch.sparse_coo"):
        calls[wrong]()


# The size of x ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ["pixel", "dct", "dwt(haar, level=1)", "polar"])
@pytest.mark.parametrize("exponent", [-30, -20, 20, 31])
def test_sizes_within_the_limits_keep_their_precision(transform: str, exponent: int) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(24, 1, bias=False)).eval()
    options: dict[str, Any] = {"method": "integrated_gradients(steps=4, rule=midpoint)", "transform": transform}
    scale = 10.0**exponent
    plain, found = (values(x.float(), net, None, **options) for x in (X, X * scale))
    torch.testing.assert_close(found.double() / scale, plain.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "dtype"), [(1e-40, torch.float32), (1e-33, torch.float32), (1e-310, torch.float64)])
def test_a_signal_too_small_for_its_format_names_its_example(size: float, dtype: torch.dtype) -> None:
    x = torch.stack([X[0], X[1] / X[1].abs().max() * size]).to(dtype)
    with pytest.raises(ValueError, match=r"x: example 1 holds no number above .*too small for float.* scale x"):
        values(x, linear_net(SHAPE).to(dtype), None)
    x[1, 0, 0, 0] = 1.0  # small numbers beside a large one are within its rounding
    values(x, linear_net(SHAPE).to(dtype), None)
    values(torch.zeros_like(x), linear_net(SHAPE).to(dtype), None)


@pytest.mark.parametrize(("size", "dtype"), [(3e38, torch.float32), (1e33, torch.float32), (1e300, torch.float64)])
def test_a_signal_too_large_for_its_format_names_its_example(size: float, dtype: torch.dtype) -> None:
    x = torch.stack([X[0], X[1] / X[1].abs().max() * size]).to(dtype)
    net = linear_net(SHAPE).to(dtype)
    with pytest.raises(ValueError, match=r"x: example 1 holds numbers up to .*too large for float.* scale x"):
        values(x, net, None)
    with pytest.raises(ValueError, match=r"baseline: example 1 holds numbers up to .*too large for float.* scale baseline"):
        values(X.to(dtype), net, None, baseline=x)


# Notes -----------------------------------------------------------------------------------------------------------------


class Raising(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize(
    ("model", "noted"),
    [
        (nn.Linear(5, 2).double(), True),
        (nn.Conv2d(3, 2, 3).double(), True),
        (nn.BatchNorm3d(1).double().eval(), True),
        (nn.Sequential(nn.Flatten(), nn.Unflatten(1, (7, 7))), True),
        (lambda x: x.permute(0, 2, 1), True),
        (Raising(RuntimeError("the database is closed")), False),
        (Raising(RuntimeError("expected m1 and m2 to have the same dtype, but got: float != double")), False),
        (Raising(ValueError("license expired")), False),
        (Raising(KeyError("size")), False),
    ],
)
def test_the_shape_of_x_is_noted_where_the_error_is_about_shapes(model: Any, noted: bool) -> None:
    with pytest.raises((RuntimeError, ValueError, KeyError)) as caught:
        values(X, model, lambda out: out.flatten(1).sum(1))
    assert any("x has shape (2, 1, 4, 6)" in note for note in getattr(caught.value, "__notes__", ())) == noted


def test_own_errors_get_no_note() -> None:
    for target in (None, lambda out: out, 7):
        with pytest.raises(ValueError, match="target:") as caught:
            values(X, MODEL, target)
        assert not hasattr(caught.value, "__notes__")


def test_the_exception_of_interrupted_work_has_a_public_name() -> None:
    assert issubclass(pb.Interrupted, KeyboardInterrupt)


def test_quantus_may_pass_arrays_with_negative_strides() -> None:
    inputs = X.float().numpy()
    explain = pb.attribution.quantus_explain("gradient")
    net = smooth_net(SHAPE).float()
    turned, plain = (explain(net, array, np.array([0, 2])) for array in (inputs[..., ::-1], inputs[..., ::-1].copy()))
    assert (turned == plain).all()
