"""Mixtures and their explanation, where the answer is known."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import pullback as pb
from pullback.metrics.separation import si_sdr
from pullback.studies.overlap.pair import RANKINGS, paper_pair
from pullback.studies.overlap.rankings import cells, gate, order, shares
from pullback.studies.overlap.recordings import Chosen, Clip, Recordings, answers, halves, mix, partner, segments, white_noise
from pullback.studies.overlap.settings import PAPER, Settings, bare
from pullback.studies.overlap.tones import RATE, ToneNet
from pullback.studies.overlap.trial import FLOOR, explained_levels, trial

IXG = "input_x_gradient"
SAMPLES = 1000


def tone(hertz: float, size: float = 1.0) -> Tensor:
    """(1, samples), a whole number of periods."""
    return size * torch.sin(2 * math.pi * hertz / RATE * torch.arange(SAMPLES, dtype=torch.double))[None]


def clip(hertz: float, label: int) -> Clip:
    return Clip(f"{hertz:g} Hz", label, f"class {label}", tone(hertz), tone(hertz), 1.0, True)


class ReadsOneTone(nn.Module):
    """Class 1 is the energy at 400 Hz; class 0 is a constant."""

    def forward(self, x: Tensor) -> Tensor:
        wave = tone(400.0)[0].to(x)
        return torch.stack([torch.zeros(len(x)).to(x), (x[:, 0] @ wave) / SAMPLES], 1)


def recordings(model: nn.Module, *clips: Clip) -> Recordings:
    return Recordings(model.eval(), ("0", "1"), RATE, list(clips), [clips[0]], [])


def settings(**changes: object) -> Settings:
    small = {"methods": (IXG,), "levels": (-20.0,), "peak": None, "sweep": (0.0,), "seconds": SAMPLES / RATE}
    return Settings(model="tones", data="tones", budgets=(0.001, 0.1), budget=0.1, **(small | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [-10.0, 0.0, 13.7, 40.0])
def test_a_level_is_exact(level: float) -> None:
    made = mix(tone(200.0), 3 * tone(811.0) + tone(90.0), level)
    assert abs(made.level - level) < 1e-10
    ratio = 10 * math.log10(float(made.target.square().sum() / made.corruption.square().sum()))
    assert abs(ratio - level) < 1e-10
    torch.testing.assert_close(made.x, made.target + made.corruption, rtol=0, atol=1e-15)
    assert float(made.x.abs().max()) <= 1 + 1e-12


def test_the_law_of_the_paper_is_a_ratio_of_peaks() -> None:
    made = mix(tone(200.0), white_noise(tone(200.0), 0, "a"), peak=0.2)
    assert float(made.corruption.abs().max() / made.target.abs().max()) == pytest.approx(0.2, abs=1e-12)
    assert made.level > 14  # noise has a higher crest than a tone
    for how in ({}, {"level": 0.0, "peak": 0.2}):
        with pytest.raises(ValueError, match="either a level"):
            mix(tone(200.0), tone(400.0), **how)


def test_noise_is_fixed_by_seed_and_name() -> None:
    like = tone(200.0)
    again, other, third = (white_noise(like, *key) for key in ((0, "a"), (1, "a"), (0, "b")))
    assert torch.equal(white_noise(like, 0, "a"), again)
    assert not torch.equal(again, other)
    assert not torch.equal(again, third)
    power = torch.fft.rfft(again[0]).abs().square()
    assert 0.7 < float(power[:250].mean() / power[250:].mean()) < 1.4  # white


def test_the_partner_has_another_class_and_follows_the_seed() -> None:
    all_clips = [clip(100.0 * (1 + number), number // 3) for number in range(6)]
    chosen = [partner(all_clips[0], recordings(ToneNet(), *all_clips), settings(seed=seed))[0] for seed in range(20)]
    assert set(chosen) == {"400 Hz", "500 Hz", "600 Hz"}
    assert chosen == [partner(all_clips[0], recordings(ToneNet(), *all_clips), settings(seed=seed))[0] for seed in range(20)]
    with pytest.raises(ValueError, match="two classes or more"):
        partner(all_clips[0], recordings(ToneNet(), *all_clips[:3]), settings())


def test_the_ideal_mask_separates_two_tones_and_a_map_keeps_what_the_model_reads() -> None:
    """The corruption is ten times as loud: |coefficient| keeps it, and the map of a model that reads the target the target."""
    found, kept = trial(clip(400.0, 1), recordings(ReadsOneTone(), clip(400.0, 1), clip(900.0, 0)), ("dft",), settings())
    rows = {(row["ranking"], row["budget"]): row for row in found["rows"]}
    for ranking in ("oracle", IXG):
        assert rows[ranking, 0.001]["si_sdr"] > 100
        assert rows[ranking, 0.001]["energy_left"] < 1e-10
        assert rows[ranking, 0.001]["target_share"] > 0.95
        assert rows[ranking, 0.001]["si_sdr_gain"] == pytest.approx(rows[ranking, 0.001]["si_sdr"] + 20, abs=1e-6)
    assert rows["coefficient", 0.001]["si_sdr"] == FLOOR  # nothing of the target is left
    assert rows["coefficient", 0.001]["energy_left"] == pytest.approx(1, abs=1e-6)
    assert rows["random", 0.001]["si_sdr"] < -15
    signal = kept.signals["-20 dB", "dft", "oracle", 0.001]
    assert float(si_sdr(signal, tone(400.0))[0]) > 100


def test_class_scores_are_those_of_the_metrics() -> None:
    found, kept = trial(clip(400.0, 1), recordings(ToneNet(), clip(400.0, 1), clip(800.0, 2)), ("dct",), settings())
    row = next(row for row in found["rows"] if (row["ranking"], row["budget"]) == ("coefficient", 0.1))
    x, signal = kept.mixtures["-20 dB"].x, kept.signals["-20 dB", "dct", "coefficient", 0.1]
    p, o, rest = (float(answers(ToneNet().eval(), one[None], 1)[0]) for one in (x, signal, x - signal))
    assert row["probability"] == pytest.approx(o, rel=1e-6)
    assert row["average_drop"] == pytest.approx(max(0.0, p - o) / p, rel=1e-6)
    assert row["average_increase"] == float(o > p)
    assert row["average_gain"] == pytest.approx(max(0.0, o - p) / (1 - p), abs=1e-9)
    assert row["ff"] == pytest.approx(p - rest, rel=1e-6)
    assert all("ff" not in row for row in found["rows"] if row["budget"] == 0.001)


def test_every_method_explains_every_mixture() -> None:
    asked = settings(levels=(10.0, 0.0), methods=(IXG, "gradient"), peak=0.2)
    assert list(explained_levels(asked)) == ["0.2 of the peak", "10 dB", "0 dB"]
    found, _ = trial(clip(400.0, 1), recordings(ToneNet(), clip(400.0, 1), clip(800.0, 2)), ("dct",), asked)
    levels = {name: {row["level"] for row in found["rows"] if row["ranking"] == name} for name in (IXG, "gradient", "oracle")}
    assert levels == {name: set(explained_levels(asked)) for name in (IXG, "gradient", "oracle")}
    assert found["levels"]["10 dB"]["level"] == pytest.approx(10, abs=1e-10)


def test_the_papers_mixture_is_drawn_where_its_recordings_are(tmp_path: Path) -> None:
    clips = [replace(clip(400.0, 1), name="a/crow"), replace(clip(800.0, 2), name="a/lark")]
    files, rows = paper_pair(recordings(ToneNet(), *clips), settings(peak=0.2), tmp_path)
    assert (tmp_path / files[0]).stat().st_size
    found = {row["ranking"]: row for row in rows}
    assert list(found) == list(RANKINGS)
    assert {row["budget"] for row in rows} == {0.1}
    assert {row["domain"] for row in rows} == {PAPER}
    mixed = {name: row["si_sdr"] - row["si_sdr_gain"] for name, row in found.items()}
    assert list(mixed.values()) == pytest.approx([20 * math.log10(5)] * len(mixed), abs=1e-6)
    assert all(row["si_sdr"] <= found["oracle"]["si_sdr"] for row in rows)
    for other in (settings(peak=None), settings(peak=0.2, corruption="noise")):
        assert paper_pair(recordings(ToneNet(), *clips), other, tmp_path) == ([], [])
    assert paper_pair(recordings(ToneNet(), clips[0]), settings(peak=0.2), tmp_path) == ([], [])


def test_forms_of_a_method() -> None:
    x = torch.stack([tone(400.0) + tone(1500.0)])
    maps = {spec: pb.attribute(ToneNet().eval(), x, 1, method=spec, transform="mdct") for spec in ("gradient", IXG)}
    product = maps["gradient"].values * maps["gradient"].displacement
    torch.testing.assert_close(order("z * gradient", maps["gradient"], RATE), product.abs())
    torch.testing.assert_close(shares(maps["gradient"]), maps[IXG].values)
    torch.testing.assert_close(order(f"+ * {IXG}", maps[IXG], RATE), maps[IXG].values)
    assert bare("mel * shapley(by=band)") == "shapley(by=band)"


def test_the_gate_keeps_whole_cells_by_size() -> None:
    att = pb.attribute(ToneNet().eval(), torch.stack([tone(400.0) + tone(1500.0)]), 1, method=IXG, transform="mdct")
    cell, found, size = cells(att, RATE), gate(att, RATE).flatten(), att.displacement.abs().flatten()
    sums = torch.zeros(int(cell.max()) + 1, dtype=torch.double).index_add_(0, cell, att.values.flatten())
    right = sums[cell] > 0
    assert right.any()
    assert not right.all()
    assert torch.equal(found[right], size[right])
    assert float(found[~right].max()) < float(found[right].min())


def test_segments_and_halves() -> None:
    cut = segments(torch.arange(10.0)[None], 4)
    assert cut.shape == (7, 1, 4)
    assert float(cut.mean(-1).abs().max()) < 1e-6
    assert segments(torch.ones(1, 2), 4).shape == (1, 1, 4)
    sides = halves(37, 0.45)
    assert (sides.count("explore"), sides.count("confirm")) == (16, 21)
    assert Chosen(nn.Identity(), [1])(torch.tensor([[3.0, 4.0]])).tolist() == [[4.0]]
