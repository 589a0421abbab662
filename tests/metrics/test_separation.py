"""Audio separation: closed forms, torchmetrics, a constant in the mixture, the oracle and the control."""

import math

import pytest
import torch
from support.subjects import normal

import pullback as pb
from pullback.metrics import dominant, energy_left, ideal_order, measure, si_sdr, si_sdr_gain

N = 64
TIME = torch.arange(N, dtype=torch.float64) / N


def tone(cycles: int, size: float = 1.0) -> torch.Tensor:
    """A cosine that is orthogonal to tones of other whole numbers of cycles, (1, 1, N)."""
    return size * torch.cos(2 * math.pi * cycles * TIME)[None, None]


def summed(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1).sum(1)


@pytest.mark.parametrize("zero_mean", [True, False])
def test_si_sdr_agrees_with_torchmetrics(zero_mean: bool) -> None:
    audio = pytest.importorskip("torchmetrics.functional.audio")
    estimate, reference = normal(3, 2, 50), normal(3, 2, 50, seed=1) + 0.5
    theirs = audio.scale_invariant_signal_distortion_ratio(estimate, reference, zero_mean=zero_mean)
    torch.testing.assert_close(si_sdr(estimate, reference, zero_mean=zero_mean), theirs, rtol=1e-9, atol=1e-9)


def test_si_sdr_of_orthogonal_parts_is_their_ratio_for_any_scale() -> None:
    source, rest = tone(3), tone(7, 0.2)
    for scale in (0.01, 1.0, -5.0):
        assert float(si_sdr(scale * (source + rest), source)) == pytest.approx(20 * math.log10(5), abs=1e-9)


def test_a_constant_is_not_distortion_unless_asked() -> None:
    """A mixture of 14 dB plus one volt: without removing the mean it would be judged at -3.1 dB."""
    mixture = tone(3) + tone(7, 0.2)
    assert float(si_sdr(mixture + 1, tone(3))) == pytest.approx(13.979, abs=1e-3)
    assert float(si_sdr(mixture + 1, tone(3), zero_mean=False)) == pytest.approx(10 * math.log10(0.5 / 1.02), abs=1e-9)


def test_gain_and_energy_left_of_an_estimate_that_halves_the_corruption() -> None:
    source, rest = tone(3), tone(7, 0.4)
    estimate = 0.9 * source + 0.5 * rest + 2
    assert float(si_sdr_gain(estimate, source, source + rest)) == pytest.approx(20 * math.log10(0.9 / 0.5), abs=1e-9)
    assert float(energy_left(estimate, source, rest)) == pytest.approx(0.25, abs=1e-12)
    assert float(energy_left(source, source, rest)) == pytest.approx(0, abs=1e-12)
    mixed = rest + 0.3 * source  # a corruption that is correlated with the source is told apart from it
    assert float(energy_left(source, source, mixed)) == pytest.approx(0, abs=1e-12)
    assert float(energy_left(source + mixed, source, mixed)) == pytest.approx(1, abs=1e-12)


def test_what_is_not_defined_is_nan_and_perfect_is_infinite() -> None:
    source, zero = tone(3)[0, 0], torch.zeros(N, dtype=torch.float64)
    assert si_sdr(source, zero).isnan()
    assert si_sdr(zero, source).isnan()
    assert float(si_sdr(torch.tensor([2.0, -2.0]), torch.tensor([1.0, -1.0]))) == math.inf
    assert energy_left(source, source, zero).isnan()
    assert energy_left(source, source, 2 * source).isnan()
    with pytest.raises(ValueError, match="one shape"):
        si_sdr(source, source[None])
    with pytest.raises(TypeError, match="expected a tensor"):
        si_sdr([1.0], source)  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", ["dct", "dft", "mdct(size=16)"])
def test_the_oracle_bounds_every_selection_and_the_metric_of_its_own_map_reaches_it(spec: str) -> None:
    source = tone(3) + tone(5, 0.5)
    x = source + tone(11, 2) + 0.3 * normal(1, 1, N)
    T = pb.transforms.get(spec, (1, N))
    order = ideal_order(T, source, x)
    best = pb.Attribution.from_map(order - order.amin() + 1, x, T, kind="share", values_in="z")
    (found,) = measure(summed, best, "separation(keep=0.1)", source=source)
    torch.testing.assert_close(found.value, found.details["oracle"], rtol=1e-9, atol=1e-9)
    for seed in range(5):
        random = pb.Attribution.from_map(normal(*order.shape, seed=seed), x, T, kind="share", values_in="z")
        (other,) = measure(summed, random, "separation(keep=0.1)", source=source)
        assert float(other.value) < float(other.details["oracle"])
    blind = pb.Attribution.from_map(T(x), x, T, kind="share", values_in="z")
    (control,) = measure(summed, blind, "separation(keep=0.1)", source=source)
    assert float(control.value) == float(control.details["coefficient"])
    assert float(control.value) < float(found.value)


def test_a_model_blind_ranking_separates_the_louder_tone() -> None:
    """The control that every number needs: the largest bins separate a loud source without any model."""
    source, x = tone(4), tone(4) + tone(9, 0.2)
    att = pb.attribute(summed, x, transform="dft")
    (found,) = measure(summed, att, "separation(keep=0.02)", source=source)
    assert float(found.details["coefficient"]) > 100
    assert float(measure(summed, att, "separation(keep=1.0)", source=source)[0].value) == pytest.approx(0, abs=1e-6)


def test_dominant_coefficients_are_truth_for_localisation() -> None:
    source, rest = tone(3), tone(11)
    T = pb.transforms.get("mdct(size=16)", (1, N))
    truth = dominant(T, source, rest)
    assert 0.1 < float(truth.double().mean()) < 0.9
    good, bad = (pb.Attribution.from_map(T(part), source + rest, T, values_in="z") for part in (source, rest))
    lift = [float(measure(summed, att, "relevance_mass", truth=truth, truth_in="z")[0].value) for att in (good, bad)]
    assert lift[0] > 1 > lift[1]


def test_a_source_is_needed_and_must_fit() -> None:
    att = pb.attribute(summed, tone(3), transform="dct")
    with pytest.raises(ValueError, match="pass source="):
        measure(summed, att, "separation")
    with pytest.raises(ValueError, match="shape of x"):
        measure(summed, att, "separation", source=tone(3)[0])
    with pytest.raises(ValueError, match="keep"):
        pb.metrics.get("separation(keep=0)")
    zero = pb.Attribution.from_map(torch.zeros(1, 1, N), tone(3), "pixel")
    assert measure(summed, zero, "separation", source=tone(3))[0].value.isnan().all()
