"""The length of the code by which budgets in bits are counted."""

import math
import zlib

import numpy as np
import pytest
import torch
from support.metrics import valued
from support.subjects import normal

import pullback as pb
from pullback.core.tensors import ranks
from pullback.metrics.code_length import STEP, atom_norms, code_lengths, difference, sample_code_length, steps
from pullback.metrics.selection import counts


def lengths_of(att: pb.Attribution, rank: torch.Tensor) -> torch.Tensor:
    return code_lengths(att, rank, steps(difference(att)))


def whole_length(att: pb.Attribution) -> torch.Tensor:
    return sample_code_length(att.transform, difference(att))


def adaptive(zeros: int, ones: int) -> float:
    """Bits of a sequence by the estimator of Krichevsky & Trofimov, one symbol after another."""
    seen, bits = [0, 0], 0.0
    for symbol in [0] * zeros + [1] * ones:
        bits -= math.log2((seen[symbol] + 0.5) / (sum(seen) + 1))
        seen[symbol] += 1
    return bits


def slow_length(quantised: np.ndarray, bands: np.ndarray) -> float:
    """The code of all coefficients, band by band and digit by digit. Slow and obvious."""
    bits = 0.0
    for band in np.unique(bands):
        digits = [int(abs(q)).bit_length() for q in quantised[bands == band]]
        for level in range(max(digits) + 1):
            bits += adaptive(sum(d == level for d in digits), sum(d > level for d in digits))
        bits += sum(digits)  # sign, and the digits after the first
    return bits


def mapped(domain: str, shape: tuple[int, ...] = (1, 12, 10)) -> pb.Attribution:
    x = normal(3, *shape).cumsum(-1).cumsum(-2)
    return pb.attribute(lambda x: x.flatten(1).square().sum(1), x, transform=domain)


@pytest.mark.parametrize("domain", ["pixel", "dct", "dwt(db2, level=2)", "swt(haar, level=1)", "dtcwt(level=1)", "laplacian"])
def test_lengths_are_those_of_the_code_of_what_is_kept(domain: str) -> None:
    att = mapped(domain)
    rank = ranks(att.values.abs())
    lengths, bands = lengths_of(att, rank), att.layout.index.flatten()
    unit = steps(difference(att))[:, None] / atom_norms(att.transform)[bands]
    for i, count in ((0, 1), (1, 17), (2, lengths.shape[1])):
        kept = torch.where(rank[i].flatten() < count, att.displacement[i].flatten() / unit[i], 0).round().numpy()
        assert float(lengths[i, count - 1]) == pytest.approx(slow_length(kept, bands.numpy()), abs=1e-8)
    everything = mapped("pixel")
    torch.testing.assert_close(whole_length(att), lengths_of(everything, ranks(everything.values))[:, -1], rtol=1e-6, atol=0)


@pytest.mark.parametrize("domain", ["pixel", "dct", "swt(haar, level=1)"])
def test_the_most_coefficients_within_a_budget(domain: str) -> None:
    att = mapped(domain)
    rank = ranks(att.values.abs())
    lengths, whole = lengths_of(att, rank), whole_length(att)
    for budget in (0.02, 0.2, 0.7):
        for i, count in enumerate(counts(att, rank, budget, "bits").tolist()):
            assert count == 1 or float(lengths[i, count - 1]) <= budget * float(whole[i]) * (1 + 1e-9)
            assert (lengths[i, count:] > budget * whole[i]).all()


@pytest.mark.parametrize(("shape", "few"), [((1, 32_000), 1), ((1, 480_000), 3), ((3, 256, 256), 5)])
def test_the_whole_code_buys_every_sample_of_a_sparse_signal(shape: tuple[int, ...], few: int) -> None:
    x = torch.zeros(1, *shape).double()
    x.view(-1)[torch.randperm(x.numel(), generator=torch.Generator().manual_seed(0))[:few]] = normal(few)
    att = pb.Attribution.from_map(x.abs(), x, "pixel", kind="share")
    assert int(counts(att, ranks(att.values), 1.0, "bits")) == x.numel()


def test_order_within_the_ranking_does_not_change_the_whole_code() -> None:
    att = mapped("dwt(haar, level=1)")
    one, other = (lengths_of(att, ranks(score))[:, -1] for score in (att.values, normal(*att.values.shape)))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def packed(att: pb.Attribution, count: int) -> float:
    """Bits by zlib of the quantised coefficients that are kept, as 16-bit numbers."""
    unit = steps(difference(att))[:1, None] / atom_norms(att.transform)[att.layout.index.flatten()]
    kept = torch.where(ranks(att.displacement.abs())[0].flatten() < count, att.displacement[0].flatten() / unit[0], 0)
    return 8 * len(zlib.compress(kept.round().numpy().astype("<i2").tobytes(), 9))


def test_lengths_go_with_those_of_zlib() -> None:
    """zlib codes bytes and not digits, but sees runs along the positions: within a factor of 0.7 to 2.2, in the same order."""
    rows = []
    for domain in ("pixel", "dct", "dwt(db2, level=3)", "swt(haar, level=1)"):
        att = mapped(domain, (1, 64, 64))[:1]
        lengths = lengths_of(att, ranks(att.displacement.abs()))[0]
        rows += [(float(lengths[count - 1]), packed(att, count)) for count in (40, 200, 1000, 3000)]
    ours, theirs = np.array(rows).T
    assert ((0.7 * ours < theirs) & (theirs < 2.2 * ours)).all(), rows
    assert np.corrcoef(np.log(ours), np.log(theirs))[0, 1] > 0.95


def test_a_smooth_signal_costs_less_in_a_basis_that_compacts_it_and_a_frame_is_charged_for_its_size() -> None:
    share = {}
    for domain in ("pixel", "dct", "swt(haar, level=1)"):
        att = mapped(domain, (1, 32, 32))
        share[domain] = float((lengths_of(att, ranks(att.displacement.abs()))[:, -1] / whole_length(att)).mean())
    assert share["pixel"] == pytest.approx(1)
    assert share["dct"] < 0.9 < 1.5 < share["swt(haar, level=1)"]


def test_the_step_does_not_depend_on_the_domain_or_its_scale() -> None:
    """A domain whose coefficients are 100 times as large costs the same."""
    x = normal(2, 1, 30)
    model = lambda x: x.flatten(1).square().sum(1)
    matrix = torch.linalg.qr(normal(30, 30, seed=5)).Q
    one, large = (pb.attribute(model, x, transform=pb.transforms.Linear((1, 30), scale * matrix)) for scale in (1, 100))
    torch.testing.assert_close(steps(difference(one)), x.square().mean((1, 2)).sqrt() * STEP)
    rank = ranks(one.values.abs())
    torch.testing.assert_close(lengths_of(one, rank), lengths_of(large, rank), rtol=1e-9, atol=0)


def test_nothing_to_code_and_coordinates_without_a_length() -> None:
    att = mapped("dct")
    still = valued(att, att.values)
    still.displacement.zero_()
    rank = ranks(still.values.abs())
    assert counts(still, rank, 0.5, "bits").min() >= 1
    with pytest.raises(ValueError, match="polar is not linear"):
        counts(mapped("polar"), ranks(mapped("polar").values), 0.5, "bits")
