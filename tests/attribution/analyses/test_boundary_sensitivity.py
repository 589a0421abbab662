"""The boundary report equals attributions in each boundary mode, from one stream of gradients, and detects borders."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from support.subjects import normal, smooth_net

import pullback as pb
from pullback.attribution import boundary_sensitivity

METHOD = "integrated_gradients(steps=5)"


def test_it_is_what_attributing_in_each_mode_gives() -> None:
    x, model = normal(3, 2, 21), smooth_net((2, 21))
    base = normal(1, 2, 21, seed=3)[0]
    report = boundary_sensitivity(model, x, 1, wavelet="db3", level=1, method=METHOD, baseline=base)
    for mode in ("periodization", "zero", "constant", "symmetric", "reflect", "periodic"):
        spec = f"dwt(db3, level=1, mode={mode})"
        direct = pb.attribute(model, x, 1, method=METHOD, transform=spec, baseline=base)
        pd.testing.assert_frame_equal(report.shares.loc[mode], direct.importance("octave"), rtol=1e-9)
        assert report.redundancy[mode] == direct.transform.redundancy
    assert report.shares.sum(axis=1).to_numpy() == pytest.approx(1)


def test_from_an_attribution_in_another_domain_without_the_model() -> None:
    x, model = normal(2, 1, 16, 12), smooth_net((1, 16, 12))
    expected = boundary_sensitivity(model, x, 0, wavelet="bior2.2", by="band", method=METHOD)
    for domain in ("pixel", "dct", "dwt(db2, level=1, mode=zero)"):
        att = pb.attribute(model, x, 0, method=METHOD, transform=domain)
        report = boundary_sensitivity(att, wavelet="bior2.2", by="band")
        pd.testing.assert_frame_equal(report.shares, expected.shares, rtol=1e-9)
    assert expected.level == report.level


def test_the_model_is_evaluated_once_for_all_modes() -> None:
    calls = []
    net = smooth_net((1, 32))

    def counted(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return net(x)

    x = normal(2, 1, 32)
    boundary_sensitivity(counted, x, 0, method=METHOD)
    assert sum(calls) == 2 * (3 + 5) + 2  # f(x) twice, f(x₀) and five steps of each example, and a point half way twice


def test_haar_on_even_sizes_has_no_border_and_long_filters_have() -> None:
    x, model = normal(3, 1, 64), smooth_net((1, 64))
    spread = {
        name: boundary_sensitivity(model, x, 0, wavelet=name, level=2, method=METHOD).largest for name in ("haar", "db2", "db8")
    }
    assert spread["haar"] < 1e-12
    assert spread["haar"] < 1e-3 < spread["db2"]
    assert spread["db8"] > 1e-2
    att = pb.attribute(model, x, 0, method=METHOD)
    inside = torch.zeros(1, 64, dtype=torch.float64)
    inside[:, 24:40] = 1
    far = pb.attribute(lambda y: model(y * inside), x * inside, 0, method=METHOD)
    modes = ["zero", "symmetric", "constant"]
    report = lambda subject: boundary_sensitivity(subject, wavelet="db2", level=2, modes=modes).largest
    assert report(far) < 1e-12  # signal and gradient are zero near the border
    assert report(att) > 1e-3


def test_the_numbers_of_the_report() -> None:
    report = boundary_sensitivity(smooth_net((1, 40)), normal(4, 1, 40), 0, wavelet="db4", method=METHOD)
    zero, other = report.shares.loc["zero"], report.shares.loc["reflect"]
    assert bool((report.spread >= (zero - other).abs() - 1e-15).all(axis=None))
    assert report.largest == report.spread.max().max()
    torch.testing.assert_close(torch.tensor(report.mean.loc["zero"].to_numpy()), torch.tensor(zero.mean().to_numpy()))
    assert "largest spread" in str(report)
    assert "redundancy" in str(report)
    assert isinstance(report.plot(), Figure)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda m, x: boundary_sensitivity(m), TypeError, "a model and x"),
        (lambda m, x: boundary_sensitivity(pb.attribute(m, x, 0), x), TypeError, "already has its x"),
        (lambda m, x: boundary_sensitivity(pb.attribute(m, x, 0, method="mask(steps=1)")), ValueError, "no covector"),
        (lambda m, x: boundary_sensitivity(pb.attribute(m, x, 0, transform="polar")), ValueError, "no covector"),
        (lambda m, x: boundary_sensitivity(m, x, 0, modes="zero"), ValueError, "at least two modes"),
        (lambda m, x: boundary_sensitivity(m, x, 0, modes=["zero", "zero"]), ValueError, "at least two modes"),
        (lambda m, x: boundary_sensitivity(m, x, 0, modes=["zero", "wrap"]), ValueError, "expected mode in"),
        (lambda m, x: boundary_sensitivity(m, x, 0, level=9), ValueError, "level must lie in"),
        (lambda m, x: boundary_sensitivity(m, x, 0, wavelet="nope"), ValueError, "not a discrete wavelet"),
        (lambda m, x: boundary_sensitivity(m, x, 0, by="colour"), ValueError, "expected by in"),
    ],
)
def test_wrong_arguments_are_refused(act: Callable[..., object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act(smooth_net((1, 32)), normal(1, 1, 32))


def test_sensitivities_are_not_multiplied_by_the_displacement() -> None:
    model, x = smooth_net((1, 32)), normal(2, 1, 32)
    report = boundary_sensitivity(pb.attribute(model, x, 0, method="gradient"), wavelet="db2", level=1)
    for mode in ("periodization", "zero"):
        direct = pb.attribute(model, x, 0, method="gradient", transform=f"dwt(db2, level=1, mode={mode})").importance("octave")
        np.testing.assert_allclose(report.shares.loc[mode], direct, atol=1e-12)
