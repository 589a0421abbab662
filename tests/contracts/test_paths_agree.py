"""Every estimator in every domain gives the same numbers by pulling back a covector and by running on f∘T⁻¹ itself."""

import pytest
import torch
from support.subjects import ESTIMATORS, TRANSFORMS, normal, smooth_net
from torch import Tensor

import pullback as pb
from pullback.attribution import Estimator
from pullback.axioms.transform_wrappers import Opaque
from pullback.transforms import Transform, TransformClaim
from pullback.transforms.registry import transforms as registry


class Skewed(Opaque):
    """The control: its adjoint is not the adjoint of its inverse."""

    def __init__(self, inner: Transform) -> None:
        super().__init__(inner)
        self.claims = inner.claims

    def transpose(self, g: Tensor) -> Tensor:
        return self.inner.transpose(g) * (1 + 1e-6)


def attribution(estimator: Estimator, transform: Transform) -> pb.Attribution:
    x, base = normal(2, *transform.shape, seed=1), normal(*transform.shape, seed=2)
    return pb.attribute(smooth_net(transform.shape), x, 1, method=estimator, transform=transform, baseline=base, seed=3)


def difference(a: Tensor, b: Tensor) -> float:
    """Largest entry of a - b, relative to the largest of b."""
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-30))


def reported_error(found: pb.Attribution) -> float:
    """0, except for methods that choose their nodes by the lengths they measure: lengths in z are not those in x, so the
    nodes differ, and each map is exact only to within the relative error that it reports."""
    error = found.details.get("map_error")
    return 0.0 if error is None else 3 * float(error.max()) * float(found.values.norm() / found.values.abs().max())


def is_shared(transform: Transform) -> bool:
    return TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS in transform.claims


ONE_OF_EACH = [max(registry.maker(name).examples(), key=lambda t: len(t.layout.bands)) for name in registry.names()]
LINEAR = [transform for transform in ONE_OF_EACH if is_shared(transform)]
OTHERS = [transform for transform in ONE_OF_EACH if not is_shared(transform)]
CHEAPEST = pb.attribution.get("gradient")
name = lambda value: value.spec if isinstance(value, Transform) else repr(value)


@pytest.mark.parametrize("transform", LINEAR, ids=name)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name)
def test_covector_path_equals_direct_path(estimator: Estimator, transform: Transform) -> None:
    carried, direct = attribution(estimator, transform), attribution(estimator, Opaque(transform))
    assert difference(carried.values, direct.values) < 1e-9 + reported_error(carried) + reported_error(direct)
    assert difference(carried.displacement, direct.displacement) < 1e-9
    torch.testing.assert_close(carried.score_difference, direct.score_difference)
    assert direct.covector is None


@pytest.mark.parametrize("transform", [t for t in TRANSFORMS if is_shared(t)], ids=lambda t: f"{t.spec} {t.shape}")
def test_every_example_agrees_under_the_cheapest_estimator(transform: Transform) -> None:
    carried, direct = attribution(CHEAPEST, transform), attribution(CHEAPEST, Opaque(transform))
    assert difference(carried.values, direct.values) < 1e-9


@pytest.mark.parametrize("transform", OTHERS, ids=name)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name)
def test_transforms_that_are_not_linear_run_with_every_estimator(estimator: Estimator, transform: Transform) -> None:
    found = attribution(estimator, transform)
    assert found.values.shape == (2, *transform.layout.shape)
    assert bool(found.values.isfinite().all())
    assert float(found.values.abs().max()) > 0
    assert found.covector is None


def test_the_comparison_sees_an_adjoint_that_is_off_by_a_millionth() -> None:
    transform = pb.transforms.get("dct", (1, 8))
    assert difference(attribution(CHEAPEST, Skewed(transform)).values, attribution(CHEAPEST, Opaque(transform)).values) > 5e-7


def test_every_registered_name_is_covered() -> None:
    assert {type(transform).name for transform in ONE_OF_EACH} == set(registry.names())
    assert {type(estimator).name for estimator in ESTIMATORS} == set(pb.attribution.names())
