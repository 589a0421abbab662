"""Every example keeps exactly what it claims, in every precision; every law catches a transform broken on purpose."""

import dataclasses
from collections.abc import Iterable

import pytest
import torch
from support.subjects import TRANSFORMS, normal
from torch import Tensor

import pullback as pb
from pullback.transforms import Layout, Transform, TransformClaim, get


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: f"{t.spec} {t.shape}")
def test_keeps_exactly_what_it_claims(transform: Transform, dtype: torch.dtype) -> None:
    report = pb.axioms.check_transform(transform, dtype=dtype)
    assert not report.faults, str(report)


@pytest.mark.parametrize(
    "transform", [t for t in TRANSFORMS if TransformClaim.LINEAR in t.claims], ids=lambda t: f"{t.spec} {t.shape}"
)
def test_adjoint_is_the_transposed_jacobian_of_the_inverse(transform: Transform) -> None:
    z = torch.zeros(transform.layout.shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda one: transform.inverse(one[None])[0], z)
    g = normal(1, *transform.shape)
    expected = torch.tensordot(g[0], jacobian, dims=g.ndim - 1)
    torch.testing.assert_close(transform.adjoint(g)[0], expected, rtol=1e-10, atol=1e-10)


class Broken(Transform):
    """An orthogonal transform (a flip), to be broken in one place."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = (1, 6)
        self.layout = pb.transforms.Pixel(self.shape).layout
        self.claims = TransformClaim.ORTHOGONAL
        self.spec = type(self).__name__

    def analysis(self, x: Tensor) -> Tensor:
        return x.flip(-1)

    def synthesis(self, z: Tensor) -> Tensor:
        return z.flip(-1)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls()]


class Affine(Broken):
    def analysis(self, x: Tensor) -> Tensor:
        return x.flip(-1) + 1

    def synthesis(self, z: Tensor) -> Tensor:
        return (z - 1).flip(-1)


class NonlinearInverse(Broken):
    """Linear and exact on the range of T, but T⁻¹ is not linear: only z drawn independently of T shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.layout = pb.transforms.Pixel((1, 12)).layout
        self.claims = TransformClaim.PARSEVAL

    def analysis(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], -1) / 2**0.5

    def synthesis(self, z: Tensor) -> Tensor:
        first, second = z.chunk(2, -1)
        return first * 2**0.5 + (first - second).abs()


class Lossy(Broken):
    def synthesis(self, z: Tensor) -> Tensor:
        return torch.cat([z.flip(-1)[..., :-1], 0 * z[..., :1]], -1)


class Redundant(NonlinearInverse):
    def __init__(self) -> None:
        super().__init__()
        self.claims = TransformClaim.ORTHOGONAL

    def synthesis(self, z: Tensor) -> Tensor:
        return sum(z.chunk(2, -1)) / 2**0.5  # type: ignore[return-value]


class Scaled(Broken):
    def analysis(self, x: Tensor) -> Tensor:
        return 2 * x

    def synthesis(self, z: Tensor) -> Tensor:
        return z / 2


class Modest(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.claims = TransformClaim.NONE


class WrongAdjoint(Broken):
    def transpose(self, g: Tensor) -> Tensor:
        return g


class MixesBatch(Broken):
    def analysis(self, x: Tensor) -> Tensor:
        return (x / x.abs().max()).flip(-1)


class ChangesArgument(Broken):
    def analysis(self, x: Tensor) -> Tensor:
        return x.mul_(-1)

    def synthesis(self, z: Tensor) -> Tensor:
        return -z


class WrongLayout(Broken):
    def __init__(self) -> None:
        super().__init__()
        good = pb.transforms.DCT((1, 6)).layout
        self.layout = type(good)(good.bands[:1], good.index, good.frequency, good.position)


class SwappedFrequencies(Broken):
    """The coefficients of two octaves state each other's frequency."""

    def __init__(self) -> None:
        super().__init__()
        honest = pb.transforms.DWT((1, 64), "db4", level=2)
        self.shape, self.claims = honest.shape, honest.claims
        self.analysis, self.synthesis = honest.analysis, honest.synthesis  # type: ignore[method-assign]
        self.layout = self.lie(honest.layout)

    def lie(self, layout: Layout) -> Layout:
        first, second = (layout.frequency[:, layout.index == band].unique() for band in (1, 2))
        swapped = torch.where(layout.index == 1, second, torch.where(layout.index == 2, first, layout.frequency))
        return dataclasses.replace(layout, frequency=swapped)


class SwappedBands(SwappedFrequencies):
    """Two bands have each other's name and range."""

    def lie(self, layout: Layout) -> Layout:
        coarse, second, first = layout.bands
        return dataclasses.replace(layout, bands=(coarse, first, second))


@pytest.mark.parametrize(
    ("subject", "axiom"),
    [
        (Affine, "linear"),
        (NonlinearInverse, "linear"),
        (Lossy, "reconstructs"),
        (Redundant, "surjective"),
        (Scaled, "isometric"),
        (WrongAdjoint, "adjoint"),
        (MixesBatch, "batch_independence"),
        (ChangesArgument, "purity"),
        (WrongLayout, "layout"),
        (SwappedFrequencies, "frequencies"),
        (SwappedBands, "frequencies"),
    ],
)
def test_each_law_catches_its_control(subject: type[Broken], axiom: str) -> None:
    report = pb.axioms.check_transform(subject())
    assert report[axiom].verdict == "BROKEN", str(report)
    assert not pb.axioms.check_transform(Broken()).faults


@pytest.mark.parametrize(
    "spec",
    [
        "dct",
        "dwt(db4)",
        "dwt(haar, mode=reflect)",
        "dft",
        "hadamard",
        "laplacian",
        "dtcwt",
        "swt",
        "wpt(db4)",
        "block_dct",
    ],
)
@pytest.mark.parametrize("shape", [(1, 64), (1, 24, 20)], ids=str)
def test_stated_frequencies_are_in_order_at_larger_sizes_too(spec: str, shape: tuple[int, ...]) -> None:
    assert pb.axioms.check_transform(get(spec, shape))["frequencies"].verdict == "kept"


def test_frequencies_are_not_judged_where_none_are_stated() -> None:
    assert pb.axioms.check_transform(get("pixel", (1, 8)))["frequencies"].verdict == "not applicable"


def test_claiming_too_little_is_a_fault() -> None:
    report = pb.axioms.check_transform(Modest())
    assert {f.axiom for f in report.faults} == {"linear", "reconstructs", "surjective", "isometric"}
    assert all(f.verdict == "UNCLAIMED" for f in report.faults)


@pb.axioms.parametrize([pb.transforms.DCT, Broken()])
def test_parametrize(law) -> None:  # type: ignore[no-untyped-def]
    law()


def test_parametrize_fails_on_a_broken_subject_and_on_an_expected_failure_that_is_kept() -> None:
    (mark,) = [pb.axioms.parametrize([Scaled()]).mark]
    with pytest.raises(AssertionError, match=r"BROKEN +isometric"):
        mark.args[1][0].values[0]()
    repaired = pb.axioms.parametrize([Broken()], expected_failures={"linear": "known"}).mark
    with pytest.raises(AssertionError, match="expected to fail but kept"):
        repaired.args[1][0].values[0]()


def test_the_base_class_cannot_be_built() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Transform()  # type: ignore[abstract]


def test_check_transform_refuses_what_is_not_a_transform() -> None:
    with pytest.raises(TypeError, match="build one with"):
        pb.axioms.check_transform("dct")  # type: ignore[arg-type]
