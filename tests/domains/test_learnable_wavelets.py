"""Trained lattices against the learnable wavelets of ptwt, whose orthogonality is a penalty."""

import pytest
import torch
from ptwt.wavelets_learnable import SoftOrthogonalWavelet
from support.subjects import normal
from torch import Tensor
from torch.nn import functional

from pullback.domains import Pairs
from pullback.domains.families import trained
from pullback.domains.objectives import get_objective
from pullback.transforms import Lattice, lattice_angles

SHAPE = (1, 32)


def pairs() -> Pairs:
    """Displacements with most energy at high frequencies, and covectors that read a part of it."""
    x = normal(24, *SHAPE).diff(dim=-1, append=torch.zeros(24, 1, 1).double())
    g = x + 0.7 * normal(24, *SHAPE, seed=1)
    return Pairs(x, g, x, (x * g).flatten(1).sum(1), torch.arange(24))


def soft(filters: tuple[Tensor, Tensor]) -> SoftOrthogonalWavelet:
    """ptwt's wavelet of an analysis pair (as it lies on the signal), in its single precision."""
    low, high = (taps.float().flip(-1).clone() for taps in filters)
    return SoftOrthogonalWavelet(low, high, low.flip(-1).clone(), high.flip(-1).clone())


def filtered(wavelet: SoftOrthogonalWavelet, x: Tensor) -> Tensor:
    """Approximation and detail of a ring."""
    taps = torch.stack([wavelet.dec_lo, wavelet.dec_hi]).flip(-1)[:, None]
    ring = torch.cat([x, x[..., : taps.shape[-1] - 2]], -1).float()
    return functional.conv1d(ring, taps, stride=2)


def l1(wavelet: SoftOrthogonalWavelet, data: Pairs) -> Tensor:
    a = filtered(wavelet, data.displacement) * filtered(wavelet, data.covector)
    return (a.abs().flatten(1).sum(1) / data.scale.float()).mean()


def test_ptwt_finds_no_fault_in_trained_filters_and_finds_one_where_a_tap_is_moved() -> None:
    build = lambda angles: Lattice(SHAPE, angles, 1)
    start = torch.tensor(lattice_angles("db3")).double()
    angles = trained(build, start, pairs(), get_objective("l1"), 20, 8, 0.1, 0)
    assert not torch.equal(angles, start)
    wavelet = soft(Lattice(SHAPE, angles, 1).filters[0][0])
    assert fault(wavelet) < 1e-10
    with torch.no_grad():
        wavelet.dec_lo[0] += 0.1
    assert fault(wavelet) > 1e-3


def test_what_a_penalty_gains_it_takes_from_orthogonality_and_the_vanishing_moment() -> None:
    """From db3, ptwt's way lowers Σ|a| further than angles do, by filters that angles do not allow."""
    data, objective = pairs(), get_objective("l1")
    build = lambda angles: Lattice(SHAPE, angles, 1)
    start = torch.tensor(lattice_angles("db3")).double()
    before = float(objective.costs(build(start), data).mean())
    assert float(l1(soft(build(start).filters[0][0]), data).detach()) == pytest.approx(before, abs=1e-5)  # they start as equals
    ours = build(trained(build, start, data, objective, 60, 24, 0.1, 0))
    assert float(objective.costs(ours, data).mean()) < before
    assert abs(float(ours.filters[0][0][1].sum())) < 1e-12
    faults = []
    for penalty in (0.0, 10.0):
        wavelet = soft(build(start).filters[0][0])
        optimizer = torch.optim.Adam(wavelet.parameters(), lr=0.01)
        for _ in range(60):
            optimizer.zero_grad()
            loss = l1(wavelet, data) + penalty * (wavelet.wavelet_loss() + wavelet.rec_lo_orthogonality_loss())
            loss.backward()
            optimizer.step()
        assert float(l1(wavelet, data).detach()) < before
        assert abs(float(wavelet.dec_hi.detach().sum())) > 1e-2
        faults.append(fault(wavelet))
    assert faults[0] > 0.1  # without a penalty Σ|a| falls as the filters shrink
    assert 1e-8 < faults[1] < 0.01


def fault(wavelet: SoftOrthogonalWavelet) -> float:
    """All that ptwt adds to a loss so that a wavelet stays orthonormal."""
    return float((wavelet.wavelet_loss() + wavelet.rec_lo_orthogonality_loss()).detach())
