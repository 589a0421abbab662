"""Rule 7 of numerics: constant models, empty bands, zeros, NaN, infinities, tiny and huge inputs."""

import pytest
import torch
from support.every_method import SHAPE, methods, run
from support.subjects import AsModule, normal

import pullback as pb
from pullback.attribution import Estimator


@methods
def test_7_constant_models_and_zero_input_give_zeros(method: Estimator) -> None:
    flat = AsModule(lambda x: 3.0 + 0.0 * x.flatten(1).sum(1))
    for x in (normal(2, *SHAPE), torch.zeros(2, *SHAPE, dtype=torch.float64)):
        for att in run(flat, x, method, target=None):
            assert float(att.values.abs().max()) == 0
            assert float(att.importance("octave").to_numpy().sum()) == 0
            assert bool(att.heatmap("octave").isfinite().all())
            assert bool(att.signal(keep=0.2).isfinite().all())


@methods
def test_7_nan_from_the_model_names_the_example(method: Estimator) -> None:
    x = normal(3, *SHAPE).abs()
    x[1, 0, 0, 0] = -50.0
    sick = AsModule(lambda x: torch.log(40 + x[:, 0, 0, 0]))
    with pytest.raises(ValueError, match="example 1"):
        run(sick, x, method, target=None)


def test_7_an_infinite_gradient_names_the_example() -> None:
    x = normal(3, *SHAPE).abs()
    x[2] = 0
    root = lambda x: x.flatten(1).abs().sum(1).sqrt()
    with pytest.raises(ValueError, match="gradient is not finite for example 2"):
        pb.attribute(root, x, method="gradient")


def test_7_a_model_without_a_gradient_says_so() -> None:
    with pytest.raises(ValueError, match="does not depend on its input through autograd"):
        pb.attribute(lambda x: x.detach().flatten(1).sum(1), normal(2, *SHAPE), method="gradient")


def test_7_empty_bands_are_zero() -> None:
    t = pb.transforms.get("dwt(haar, level=2)", (1, 1, 5))
    att = pb.attribute(lambda x: x.flatten(1).sum(1), normal(2, 1, 1, 5), transform=t)
    shares = att.importance("band")
    assert (att.layout.sizes == 0).any()
    assert bool(shares.notna().all(axis=None))


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1.0, 1e20, 1e30])
def test_7_tiny_and_huge_inputs_have_certificates(size: float) -> None:
    x = size * normal(2, 1, 8, dtype=torch.float32)
    weight = normal(8, dtype=torch.float32)
    model = lambda x: (x[:, 0] @ weight) + (x[:, 0, 0] > 0) * x[:, 0, 1]
    found = pb.attribute(model, x)
    assert bool(found.details["converged"].all())
    assert all(bool(value.isfinite().all()) for value in found.details.values())
    slope = weight.expand(2, 8).clone()
    slope[:, 1] += x[:, 0, 0] > 0
    torch.testing.assert_close(found.values[:, 0] / size, x[:, 0] / size * slope, rtol=1e-5, atol=1e-6)
