"""Definitions of importance by scale against closed forms: a linear model's gradient is its weight."""

import pytest
import torch
from torch import Tensor

import pullback as pb
from pullback.studies.robustness.octaves import wave
from pullback.studies.robustness.spectra import DEFINITIONS, normalised, spectra

SHAPE, DOMAIN = (2, 16, 16), "dwt(haar, level=3)"
WEIGHT, X = torch.randn(2, 3, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def measured(weight: Tensor, x: Tensor, domain: str = DOMAIN) -> tuple[list[str], dict[str, Tensor]]:
    f = lambda v: (v * weight).flatten(1).sum(1)
    att, own = pb.attribute(f, x, method="gradient", transform=[domain, "pixel"])
    return spectra(att, own.values)


def test_a_linear_model_has_the_spectra_of_its_weight() -> None:
    names, found = measured(WEIGHT[0], X)
    assert names == ["coarser", "octave 3", "octave 2", "octave 1"]
    transform = pb.transforms.get(DOMAIN, SHAPE)
    weight, z = transform(WEIGHT[:1]), transform(X)
    index = transform.layout.group("octave").index
    for number in range(len(names)):
        own = index == number
        g, c = weight[0][own].abs(), z[:, own].abs()
        expected = {"mean": g.mean().expand(3), "sum": g.sum().expand(3), "product": (c * g).sum(1), "coefficients": c.sum(1)}
        for name, value in expected.items():
            assert (found[name][:, number] / value - 1).abs().max() < 1e-10, (name, number)


def test_the_fourier_share_of_a_wave_is_in_its_octave_alone() -> None:
    for k, place in ((1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3)):
        weight = wave((16, 16), (k, 0), torch.zeros(2, dtype=torch.double))
        share = normalised(measured(weight, X)[1]["fourier"])
        assert (share[:, place] - 1).abs().max() < 1e-10, k


def test_opposed_colours_do_not_cancel_and_the_mean_does_not_count() -> None:
    one = wave((16, 16), (4, 3), torch.zeros(1, dtype=torch.double))
    opposed, alike = torch.cat([one, -one]), torch.cat([one, one])
    assert torch.allclose(measured(opposed, X)[1]["fourier"], measured(alike, X)[1]["fourier"])
    assert torch.allclose(measured(alike + 7, X)[1]["fourier"], measured(alike, X)[1]["fourier"], atol=1e-6)


def test_shares_ignore_the_scale_of_the_score_and_values_do_not() -> None:
    one, other = measured(WEIGHT[0], X)[1], measured(5 * WEIGHT[0], X)[1]
    for name, definition in DEFINITIONS.items():
        assert (normalised(one[name]) - normalised(other[name])).abs().max() < 1e-10
        factor = (25 if name == "fourier" else 5) if definition.model else 1
        assert (other[name] / one[name] - factor).abs().max() < 1e-10, name


def test_a_spectrum_does_not_depend_on_the_other_examples() -> None:
    together, alone = measured(WEIGHT[0], X)[1], measured(WEIGHT[0], X[1:2])[1]
    assert all((together[name][1] / alone[name][0] - 1).abs().max() < 1e-10 for name in DEFINITIONS)


def test_a_constant_score_has_no_shares() -> None:
    _, found = measured(torch.zeros(SHAPE, dtype=torch.double), X)
    assert not any(normalised(found[name]).any() for name in ("mean", "sum", "product", "fourier"))


@pytest.mark.parametrize("domain", ["dct", "dwt(db4, level=2)"])
def test_any_domain_with_octaves_will_do(domain: str) -> None:
    names, found = measured(WEIGHT[0], X, domain)
    assert names[0] == "coarser"
    assert all(values.shape == (3, len(names)) for values in found.values())
