"""The studies: files, what they conclude, resuming, and users' models and recordings."""

import contextlib
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import wavfile
from support.command_line import fails
from torch import Tensor, nn

from pullback import cli
from pullback.core.progress import Interrupted
from pullback.studies import OverlapSettings, noise, overlap
from pullback.studies.overlap import study
from pullback.studies.overlap.conclusions import EACH, LISTED, _listed, _stars, conclude, controlled, differences
from pullback.studies.overlap.tables import long
from pullback.studies.overlap.tones import HERTZ, RATE, ToneNet, tones

IG = "integrated_gradients(steps=4)"
SMALL: dict[str, Any] = {
    "model": "tones",
    "data": "tones",
    "seconds": 0.25,
    "domains": ("mdct",),
    "methods": (IG, f"+ * {IG}"),
    "levels": (0.0,),
    "peak": None,
    "sweep": (10.0, -10.0),
    "budgets": (0.1,),
    "shown": 1,
}


def small(**changes: Any) -> OverlapSettings:
    return OverlapSettings(**SMALL | changes)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> study.MixedRecordings:
    return overlap(small(), tmp_path_factory.mktemp("overlap"))


def test_every_file_is_there_and_says_the_same(found: study.MixedRecordings) -> None:
    assert all((found.out / name).stat().st_size for name in found.files)
    read = pd.read_parquet(found.out / "scores.parquet")
    assert len(read) == len(long(found.table))
    one = read[(read["control"] == "oracle") & (read["metric"] == "si_sdr")]
    own = found.table[found.table["control"] == "oracle"]
    assert one["score"].tolist() == own["si_sdr"].tolist()
    assert set(found.table["control"]) == {"attribution", "coefficient", "random", "oracle"}
    assert json.loads((found.out / "summary.json").read_text())["findings"] == found.summary["findings"]
    assert found.summary["findings"][1].startswith("Truth")  # first of the scores
    assert "audio" in (found.out / "report.html").read_text()


def test_what_the_model_reads_is_found_and_confirmed(found: study.MixedRecordings) -> None:
    """The signed map of a model of closed form separates tones; the unsigned one keeps both, as |coefficient| does."""
    rows = found.contrasts.set_index(["question", "method"])
    signed, plain = rows.loc[("si_sdr", f"+ * {IG}")], rows.loc[("si_sdr", IG)]
    assert signed["confirmed"]
    assert signed["confirmed_mean"] > 10
    assert not plain["confirmed"]
    assert abs(plain["mean"]) < 1
    assert signed["explored_p"] <= 0.05
    assert signed["confirmed_units"] == 9
    assert any("1 are confirmed" in sentence and f"+ * {IG}" in sentence for sentence in found.summary["findings"])


def test_a_contrast_without_a_difference_is_not_confirmed(found: study.MixedRecordings) -> None:
    """The control of the search: methods whose scores are those of |coefficient| with other noise."""
    rng, frame = np.random.default_rng(0), found.table.copy()
    own = frame["control"] == "attribution"
    base = frame[frame["control"] == "coefficient"].set_index("unit")["si_sdr"]
    many = [
        frame[own & (frame["method"] == IG)].assign(
            method=f"m{number}", si_sdr=lambda f: f["unit"].map(base) + rng.normal(size=16)
        )
        for number in range(40)
    ]
    table = pd.concat([frame[~own], *many])
    contrasts = conclude(table, found.sweep, small()).contrasts
    truth = contrasts[contrasts["question"] == "si_sdr"]
    assert len(truth) == 40
    assert not truth["confirmed"].any()


def test_few_targets_and_wide_intervals_are_named(found: study.MixedRecordings) -> None:
    few = found.table[found.table["unit"].isin(found.table["unit"].unique()[:4])]
    said = conclude(few, found.sweep, small()).summary["findings"]
    assert not any("nan" in sentence for sentence in said)
    assert all("4 targets are too few to see any difference" in one for one in said if "looked better" in one)
    assert not any("too few" in one for one in found.summary["findings"] if "looked better" in one)
    row = {"confirmed_mean": 0.2, "confirmed_low": -0.1, "confirmed_high": 0.5, "method": "m", "domain": "d", "level": "0 dB"}
    right = pd.DataFrame([row | {"budget": 0.1}, row | {"budget": 0.1, "confirmed_low": 0.1}])
    assert "+0.2* dB" in _listed(right, "dB")
    assert "contains 0" in _stars(right)
    assert _stars(right[1:]) == ""
    assert "*" not in _listed(right[1:], "dB")


def test_differences_are_paired_by_target(found: study.MixedRecordings) -> None:
    own = differences(found.table.sample(frac=1, random_state=0), "si_sdr")
    again = differences(found.table, "si_sdr")
    for key, values in again.items():
        np.testing.assert_allclose(np.sort(own[key]), np.sort(values))
        assert len(values) == 16


def test_less_of_the_corruption_is_better(found: study.MixedRecordings) -> None:
    """The signed map of tones leaves less than |coefficient|, which counts as better; the unsigned one does not."""
    own = differences(found.table, "energy_left")
    left = {name: found.table.loc[found.table["control"] == name, "energy_left"].mean() for name in ("coefficient", "random")}
    mine = found.table[found.table["method"] == f"+ * {IG}"]["energy_left"].mean()
    [signed], [plain] = ([v for key, v in own.items() if key[0] == method] for method in (f"+ * {IG}", IG))
    assert signed.mean() == pytest.approx(left["coefficient"] - mine)
    rows = found.contrasts.set_index(["question", "method"]).loc["energy_left"]
    assert rows.loc[f"+ * {IG}", "confirmed"]
    assert rows.loc[IG, "mean"] == pytest.approx(plain.mean())
    assert not rows.loc[IG, "confirmed"]


def test_controls_are_asked_by_the_same_test(found: study.MixedRecordings) -> None:
    """Random coefficients leave less of the corruption too, and say nothing about the target; the ideal mask does both."""
    better = controlled(found.table).set_index(["question", "control"])["better"]
    assert better["energy_left", "random"] == better["energy_left", "oracle"] == better["si_sdr", "oracle"] == 1
    assert better["si_sdr", "random"] == 0
    said = [one for one in found.summary["findings"] if one.startswith("Over all targets")]
    assert ["shows none" in one for one in said] == [False, True, False]
    same = found.table.assign(energy_left=0.5)  # nothing is better where all leave as much
    assert not controlled(same).query("question == 'energy_left'")["better"].any()


def test_a_sentence_lists_the_largest_and_counts_the_others() -> None:
    row = {"confirmed_low": 0.1, "confirmed_high": 0.5, "domain": "d", "level": "0 dB", "budget": 0.1}
    rows = pd.DataFrame([row | {"method": f"m{place}", "confirmed_mean": place / 100} for place in range(20)])
    said = _listed(rows, "dB")
    assert said.startswith(": m19 in d (")
    assert said.count(" in d (") == LISTED
    assert said.endswith(f"{20 - LISTED} more stand in contrasts.csv")
    many = _listed(rows.assign(method="m"), "dB")
    assert many.count("dB at") == EACH
    assert many.endswith(f"{20 - EACH} more stand in contrasts.csv")


def test_sounds_are_not_clipped_and_keep_their_levels(found: study.MixedRecordings) -> None:
    names = [name for name in found.files if name.endswith(".wav")]
    assert len(names) == 6
    sounds = {name.split("0-")[-1].removesuffix(".wav"): wavfile.read(found.out / name) for name in names}
    assert all(rate == RATE and len(samples) == 1000 and samples.dtype == np.int16 for rate, samples in sounds.values())
    assert max(np.abs(samples).max() for _, samples in sounds.values()) == round(0.9 * 32767)
    mixture, target, corruption = (sounds[name][1].astype(float) for name in ("mixture", "target", "corruption"))
    assert np.abs(mixture - target - corruption).max() <= 2  # rounding
    assert abs(10 * np.log10((target**2).sum() / (corruption**2).sum())) < 0.01
    spectrum = np.abs(np.fft.rfft(sounds["mdct-oracle"][1]))
    assert 0.75 * HERTZ[0] < np.fft.rfftfreq(1000, 1 / RATE)[spectrum.argmax()] < 1.25 * HERTZ[0]


def test_an_interrupted_study_goes_on_and_writes_the_same_files(found: study.MixedRecordings, tmp_path: Path) -> None:
    def stop(done: int, planned: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        overlap(small(), tmp_path, stop)
    assert json.loads((tmp_path / "summary.json").read_text())["state"] == "interrupted"
    calls: list[int] = []
    overlap(small(), tmp_path, lambda done, planned: calls.append(done))
    assert len(list((tmp_path / ".parts").glob("*.json"))) == 16
    for name in [".page.json", *(name for name in found.files if name not in ("summary.json", "report.html"))]:
        assert (tmp_path / name).read_bytes() == (found.out / name).read_bytes(), name


def test_finished_targets_are_not_run_again(found: study.MixedRecordings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("it ran again")

    monkeypatch.setattr(study, "trial", refuse)
    assert overlap(small(), found.out).table.equals(found.table)
    with pytest.raises(AssertionError, match="ran again"):
        overlap(small(levels=(3.0,)), found.out)


def test_an_interruption_within_a_target_says_how_far_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "trial", stop)
    with pytest.raises(Interrupted) as caught:
        overlap(small(), tmp_path)
    assert (caught.value.done, caught.value.planned) == (0, 16)


def test_white_noise_is_mixed_at_its_levels(tmp_path: Path) -> None:
    made = noise(out=tmp_path, **SMALL | {"corruption": "noise", "targets": 4, "levels": (6.0,)})
    assert set(made.table["corruption"]) == {"white noise"}
    np.testing.assert_allclose(made.table["level_db"], 6.0, atol=1e-4)
    assert made.summary["targets"] == 4


class HighOrLow(nn.Module):
    """Two classes: more energy below 500 Hz, or above."""

    def forward(self, x: Tensor) -> Tensor:
        power = torch.fft.rfft(x[:, 0]).abs().square()
        cut = round(500 / RATE * x.shape[-1])
        return torch.stack([power[:, :cut].sum(1), power[:, cut:].sum(1)], 1).clamp(min=1e-6).log()


def high_or_low() -> nn.Module:
    """A user's model."""
    return HighOrLow().eval()


def _write(path: Path, photo: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, int(RATE), (20_000 * photo.open().values[0].numpy()).astype(np.int16))


def test_a_users_model_and_folder_of_recordings(tmp_path: Path) -> None:
    for photo in tones().entries[::2]:
        _write(tmp_path / "mine" / f"{photo.name}.wav", photo)
    asked = {"model": f"{__file__}:high_or_low", "data": str(tmp_path / "mine"), "rate": RATE, "shown": 0}
    wavfile.write(tmp_path / "mine" / "silence.wav", int(RATE), np.zeros(1000, np.int16))
    _write(tmp_path / "mine" / "zopy.wav", tones().entries[0])
    made = overlap(small(**asked), tmp_path / "out")
    assert set(made.table["class"]) == {"0", "1"}  # without labels, the predicted class
    assert made.summary["targets"] == 8
    assert made.summary["notes"] == ["silence.wav: silence", "zopy.wav: a copy of 200 Hz 0.wav"]


def test_a_folder_of_esc50(tmp_path: Path) -> None:
    folder = tmp_path / "ESC-50"
    rows = [
        {"filename": f"{place}.wav", "target": photo.label, "category": photo.class_name}
        for place, photo in enumerate(tones().entries)
    ]
    for row, photo in zip(rows, tones().entries):
        _write(folder / "audio" / row["filename"], photo)
    (folder / "meta").mkdir()
    with (folder / "meta" / "esc50.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    made = overlap(small(data=f"esc50:{folder}", shown=0, targets=8), tmp_path / "out")
    assert set(made.table["class"]) == {f"{hertz:.0f} Hz" for hertz in HERTZ}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": 0.3}, "budgets in"),
        ({"levels": ()}, "at least one level"),
        ({"methods": ("no_such",)}, "no_such"),
        ({"model": "efficientnet-lite0"}, "a model of recordings"),
        ({"model": f"{__file__}:high_or_low", "kind": "image"}, "a model of recordings"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    if changes.get("model") == "efficientnet-lite0":
        pytest.importorskip("efficientnet_lite_pytorch")
    with pytest.raises(ValueError, match=said) as caught:
        overlap(small(**changes), tmp_path)
    assert len(str(caught.value)) <= 300


def test_too_few_recordings_are_refused(tmp_path: Path) -> None:
    for photo in tones().entries[:3]:
        _write(tmp_path / "mine" / f"{photo.name}.wav", photo)
    with pytest.raises(ValueError, match="expected 4 or more"):
        overlap(small(data=str(tmp_path / "mine")), tmp_path / "out")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    common = ["--quick", "--targets", "4", "--transform", "dct", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["pullback", "study", "noise", *common])
    with contextlib.suppress(SystemExit):
        cli.main()
    assert "The prediction is kept" in capfd.readouterr().out
    assert json.loads((tmp_path / "summary.json").read_text())["command"] == "study noise"
    assert fails(monkeypatch, "study", "overlap", *common) == 2
    assert "holds results of pullback study noise" in " ".join(capfd.readouterr().err.split())


def test_the_model_of_tones_names_them() -> None:
    x = torch.stack([photo.open().values for photo in tones().entries])
    assert ToneNet()(x).argmax(1).tolist() == [photo.label for photo in tones().entries]
