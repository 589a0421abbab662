"""Transforms against the same transforms of other libraries: what is compared, what is not, and that the law sees errors."""

import subprocess
import sys

import numpy as np
import pytest
import pywt
import torch
from support.subjects import TRANSFORMS, normal
from torch import Tensor

import pullback as pb
from pullback.transforms import Reference, Transform, TransformClaim, get
from pullback.transforms.registry import transforms as registry


def judged(spec: str, shape: tuple[int, ...]) -> object:
    return pb.axioms.check_transform(get(spec, shape))["reference"]


# (transform, shape) -> the library that the law must compare it with
COMPARED = {
    ("dct", (2, 9)): "torch_dct.dct",
    ("dct(type=3)", (1, 6, 5)): "torch_dct.idct_2d",
    ("dct(type=1)", (1, 4, 3, 6)): "scipy.fft.dctn",
    ("dct(type=4)", (1, 9)): "scipy.fft.dctn",
    ("block_dct(block=3)", (1, 7, 8)): "scipy.fft.dctn",
    ("dft", (2, 8, 7)): "torch.fft.fftn",
    ("hartley", (2, 8, 7)): "torch.fft.fftn",
    ("hadamard", (1, 13, 8)): "scipy.linalg.hadamard",
    ("stft(window=blackman, size=7, hop=2)", (2, 40)): "torch.stft",
    ("dwt(bior4.4, level=2)", (2, 32, 16)): "pywt.wavedecn",
    ("dwt(db3, level=2, mode=symmetric)", (2, 37)): "ptwt.wavedec",
    ("dwt(db3, level=1, mode=reflect)", (1, 13, 18)): "ptwt.wavedec2",
    ("dwt(haar, level=2, mode=zero)", (1, 5, 8, 9)): "ptwt.wavedec3",
    ("dwt(sym4, level=2, mode=boundary)", (1, 32)): "ptwt.MatrixWavedec",
    ("dwt(db2, level=1, mode=boundary)", (2, 8, 12)): "ptwt.MatrixWavedec2",
    ("swt(bior2.2, level=2)", (1, 16, 12)): "pywt.swtn",
    ("wpt(db4, level=3)", (2, 32)): "pywt.WaveletPacketND",
    ("wpt(bior2.2, nodes=aa+ad+dd+daaa+daad+dada+dadd)", (1, 12, 8)): "pywt.WaveletPacketND",
}


@pytest.mark.parametrize(("transform", "library"), COMPARED.items(), ids=str)
def test_coefficients_and_reconstructions_are_those_of_the_library(transform: tuple, library: str) -> None:  # type: ignore[type-arg]
    finding = judged(*transform)
    assert finding.verdict == "kept"
    assert finding.details["library"] == library
    assert max(finding.details["coefficients"], finding.details["reconstruction"]) < 1e-12


@pytest.mark.parametrize(
    ("spec", "shape", "reason"),
    [
        ("pixel", (1, 8), "it names no other library"),
        ("dwt(db4, level=2)", (1, 14), "repeats the last of 7 samples"),
        ("dwt(haar, level=0)", (1, 8), "level 0 is the signal itself"),
        ("dwt(db20, level=1, mode=boundary)", (1, 64), "more than 24 taps"),
        ("swt(haar, level=2)", (1, 6), "multiples of 4 samples at level 2"),
        ("wpt(haar, level=2)", (1, 6), "repeats the last of 3 samples"),
    ],
)
def test_what_a_library_cannot_do_is_not_comparable_and_says_why(spec: str, shape: tuple[int, ...], reason: str) -> None:
    finding = judged(spec, shape)
    assert finding.verdict == "not applicable"
    assert finding.reason.startswith("not comparable: ")
    assert reason in finding.reason


@pytest.mark.parametrize("spec", ["dwt(dmey, level=1)", "swt(sym20, level=1)", "wpt(dmey, level=1)"])
def test_inverses_of_inexact_filters_are_not_comparable_and_coefficients_are(spec: str) -> None:
    finding = judged(spec, (1, 64))
    assert finding.verdict == "kept"
    assert "reconstruction" not in finding.details
    assert "reconstructions are not comparable: the filters are inexact" in finding.reason


def test_every_family_that_another_library_has_is_compared_on_an_example() -> None:
    found = {type(t).name for t in TRANSFORMS if not isinstance(t.reference, str)}
    assert found == {"block_dct", "dct", "dft", "dwt", "hadamard", "hartley", "stft", "swt", "wpt"}


# Controls: a wrong reference is caught -------------------------------------------------------------------------------


class Cumulative(Transform):
    """Sums of a signal from its first sample on, which names NumPy."""

    wrong = ""

    def __init__(self) -> None:
        super().__init__()
        self.shape, self.layout = (2, 5), pb.transforms.Pixel((2, 5)).layout
        self.claims, self.spec = TransformClaim.LINEAR | TransformClaim.BIJECTIVE, "cumulative"

    def analysis(self, x: Tensor) -> Tensor:
        return x.cumsum(-1)

    def synthesis(self, z: Tensor) -> Tensor:
        return z.diff(dim=-1, prepend=z[..., :1] * 0)

    @property
    def reference(self) -> Reference | str:
        forward, inverse = (lambda x: np.cumsum(x.numpy(), -1)), (lambda z: np.diff(z.numpy(), prepend=0))
        return {
            "": Reference("numpy.cumsum", forward, inverse),
            "coefficients": Reference("numpy.cumsum", lambda x: np.cumsum(x.numpy(), -2), inverse),
            "reconstruction": Reference("numpy.cumsum", forward, lambda z: z.numpy() * (1 + 1e-9)),
            "shape": Reference("numpy.cumsum", lambda x: x.numpy()[..., :4], inverse),
            "error": Reference("numpy.cumsum", lambda x: 1 / [], inverse),  # type: ignore[operator]
        }[self.wrong]

    @classmethod
    def examples(cls) -> list[Transform]:
        return [cls()]


@pytest.mark.parametrize("wrong", ["coefficients", "reconstruction", "shape", "error"])
def test_a_wrong_reference_breaks_the_law_and_refuses_the_registration(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_makers", dict(registry._makers))
    assert pb.axioms.check_transform(Cumulative())["reference"].verdict == "kept"
    kind = type("Wrong", (Cumulative,), {"wrong": wrong})
    report = pb.axioms.check_transform(kind())
    assert [finding.axiom for finding in report.faults] == ["reference"]
    with pytest.raises(ValueError, match=r"Wrong is not registered(.|\n)*BROKEN +reference"):
        pb.transforms.register("wrong")(kind)
    assert pb.transforms.register("right")(Cumulative) is Cumulative


def test_a_transform_that_is_not_what_it_names_is_caught() -> None:
    """The control on the other side: a wavelet transform with the filters of another wavelet still inverts itself."""
    transform = get("dwt(db4, level=2)", (1, 32))
    transform.wavelet = pywt.Wavelet("sym4")
    report = pb.axioms.check_transform(transform)
    assert [finding.axiom for finding in report.faults] == ["reference"]
    assert report["reference"].residual > 0.1


def test_a_library_that_is_not_installed_is_not_comparable() -> None:
    class Missing(Cumulative):
        @property
        def reference(self) -> Reference:
            import a_library_that_does_not_exist  # noqa: F401

            raise AssertionError

    finding = pb.axioms.check_transform(Missing())["reference"]
    assert finding.verdict == "not applicable"
    assert "No module named 'a_library_that_does_not_exist'" in finding.reason


def test_references_run_in_double_precision() -> None:
    finding = pb.axioms.check_transform(get("dwt(db12, level=1, mode=boundary)", (1, 64)), dtype=torch.float32)["reference"]
    assert finding.verdict == "kept"
    assert finding.residual < 1e-6


def test_using_transforms_does_not_load_ptwt() -> None:
    code = (
        "import sys, torch, pullback as pb; x = torch.zeros(1, 1, 8);"
        "[pb.transforms.get(name, (1, 8))(x) for name in ('dct', 'dwt(haar, mode=zero)', 'swt', 'wpt', 'hadamard')];"
        "print('ptwt' in sys.modules); pb.axioms.check_transform(pb.transforms.get('dwt(haar, mode=zero)', (1, 8)));"
        "print('ptwt' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_the_law_changes_nothing() -> None:
    transform, x = get("dwt(db2, level=1, mode=boundary)", (1, 8)), normal(1, 1, 8)
    before = transform(x)
    pb.axioms.check_transform(transform)
    assert torch.equal(transform(x), before)
