"""`explain` for recordings, volumes and series: figures, shares, and files to hear and to open."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch import nn

import pullback as pb
from pullback import cli, studies
from pullback.studies import KINDS, LoadedModel
from pullback.studies.kinds import Kind, Signal, wrong_kind
from pullback.studies.kinds.frames import Framed, in_parts
from pullback.studies.kinds.series import keeps_channels, of_channel
from pullback.studies.loaders.data import load_photos

Toy = Callable[..., LoadedModel]
Write = Callable[..., Path]
QUICK = {"method": "input_x_gradient"}
MODELS = """
import torch
from pullback.studies import LoadedModel
class Sums(torch.nn.Module):
    def forward(self, x):
        flat = x.flatten(1)
        return torch.stack([flat.tanh().mean(1), flat.square().mean(1)], 1)
def audio(): return LoadedModel("sums", Sums(), classes=("Crow", "Caw, quiet"), kind="audio", rate=16_000.0)
def bare(): return Sums()
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["pullback", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(10, 12, 8)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.5, 2, 3, 1])), tmp_path / "head.nii.gz")
    return tmp_path / "head.nii.gz"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(80, 3))
    np.savetxt(tmp_path / "walk.csv", values, delimiter=",", header="hip,knee,foot", comments="")
    return tmp_path / "walk.csv"


def test_a_part_that_needs_more_memory_than_is_free_is_refused(
    tone: Write, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample takes 200 bytes, and 100 in each domain; a tone of half a second at 16 kHz has 8,000."""
    asked = {"model": toy("audio"), "transforms": ["dct", "pixel"], "out": tmp_path / "o"} | QUICK
    x = toy("audio").input(KINDS["audio"].read(tone()))
    need = x.numel() * 400
    monkeypatch.setattr("pullback.studies.kinds.base.free_bytes", lambda device: need - 1)
    with pytest.raises(ValueError, match=r"values in 2 domains need about 0.0 GB of memory, and 0.0 GB are free; explain a"):
        studies.explain(tone(), **asked)
    assert not (tmp_path / "o").exists()
    for enough in (need, None):
        monkeypatch.setattr("pullback.studies.kinds.base.free_bytes", lambda device, enough=enough: enough)
        assert studies.explain(tone(), **asked).files


def test_a_recording_has_a_figure_shares_in_hz_and_a_sound(tone: Write, toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = studies.explain(tone(hertz=3000), model=toy("audio", rate=16_000.0), target="crow", out=out, **QUICK)
    assert (found.target, found.class_name) == (0, "Crow")
    assert found.files == [
        "tone-Crow-stft.png",
        "tone-Crow-dwt-db8-level-8.png",
        "tone-Crow-stft.json",
        "tone-Crow-stft-top10.wav",
        "tone-Crow-dwt-db8-level-8.json",
        "tone-Crow-dwt-db8-level-8-top10.wav",
    ]
    assert all((out / name).stat().st_size > 100 for name in found.files)
    facts = json.loads((out / "tone-Crow-stft.json").read_text())
    largest = max(facts["octaves"], key=lambda band: band["share"])
    assert (facts["unit"], largest["frequencies"], facts["class"]) == ("Hz", [[2000, 4000]], "Crow")
    assert sum(band["share"] for band in facts["bands"]) == pytest.approx(1)
    assert sum(band["total"] for band in facts["bands"]) == pytest.approx(sum(band["total"] for band in facts["octaves"]))
    assert facts["score_difference"] == pytest.approx(found.score_difference)
    totals = [sum(each.values()) for each in found.totals.values()]
    assert totals == pytest.approx([totals[0]] * 2)  # of linear domains
    assert all(factor > 0 for factor in found.cancellation.values())
    spec = "stft(window=hann, size=128, hop=64)"
    assert found.frequencies[spec][largest["name"]] == "2000–4000 Hz"
    heard, rate = soundfile.read(out / "tone-Crow-stft-top10.wav")
    assert (rate, len(heard)) == (16_000, 4_000)
    assert np.abs(np.fft.rfft(heard)).argmax() / len(heard) * rate == pytest.approx(3000)


def test_a_volume_keeps_its_affine_and_its_maps_sum_to_the_score(nifti: Path, toy: Toy, tmp_path: Path) -> None:
    out, model = tmp_path / "out", toy("volume")
    found = studies.explain(nifti, model=model, transforms=["dwt(haar, level=2)"], target=1, out=out, **QUICK)
    stem = "head-Caw-dwt-haar-level-2"
    assert found.files == [
        f"{stem}{end}" for end in (".png", "-projections.png", ".json", "-top10.nii.gz", "-map.nii.gz", "-octaves.nii.gz")
    ]
    shown = {end: nibabel.load(out / f"{stem}-{end}.nii.gz") for end in ("top10", "map", "octaves")}
    assert all(np.array_equal(image.affine, np.diag([-1.5, 2, 3, 1])) for image in shown.values())
    assert shown["map"].shape == (10, 12, 8)
    assert shown["octaves"].shape == (10, 12, 8, 3)
    gradient_times_input = 2 * np.square(nibabel.load(nifti).get_fdata()).mean()
    assert shown["map"].get_fdata().sum() == pytest.approx(gradient_times_input, rel=1e-4)
    assert shown["octaves"].get_fdata().sum(-1) == pytest.approx(shown["map"].get_fdata(), abs=1e-6)
    assert (
        found.frequencies["dwt(haar, level=2, mode=periodization)"]["octave 1"]
        == "0.167–0.333 × 0.125–0.25 × 0.0833–0.167 cycles/mm (3–6 × 4–8 × 6–12 mm)"
    )


def test_a_series_is_drawn_by_channel(table: Path, toy: Toy, tmp_path: Path) -> None:
    domains = ["dwt(db4, level=2)", "along(dct, axes=0)", "polar"]
    found = studies.explain(table, model=toy("series", rate=50.0), transforms=domains, target=0, out=tmp_path / "out", **QUICK)
    assert [name for name in found.files if name.endswith("-channels.png")] == ["walk-Crow-dwt-db4-level-2-channels.png"]
    assert np.load(tmp_path / "out" / "walk-Crow-polar-top10.npy").shape == (3, 80)
    assert "read at the model's 50 Hz, as the file names no rate" in found.notes
    assert found.frequencies["dwt(db4, level=2, mode=periodization)"]["octave 1"] == "12.5–25 Hz"
    assert not any("Hz" in text for text in found.frequencies["along(dct, axes=0)"].values())


def test_channels_are_told_apart_where_the_transform_keeps_them_apart() -> None:
    kept = {"dct": True, "stft": True, "dwt(db2)": True, "along(dct, axes=0)": False, "per_axis(dct, dct)": False}
    assert {spec: keeps_channels(pb.transforms.get(spec, (3, 32))) for spec in kept} == kept
    x = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0))
    att = pb.attribute(lambda x: x.flatten(1).tanh().sum(1), x, transform="stft")
    parts = [of_channel(att, channel).heatmap() for channel in range(3)]
    assert torch.allclose(sum(parts, torch.zeros(1)), att.heatmap(), atol=1e-5)
    own = pb.attribute(lambda x: x.flatten(1).tanh().sum(1), x).values
    assert torch.allclose(torch.stack(parts, 1), own, atol=1e-5)


# Windows -----------------------------------------------------------------------------------------------------------------


def test_windows_are_attributed_as_one_map() -> None:
    """The map of a clip is the mean of the maps of its windows, each at its place."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Flatten(), nn.Linear(10, 4), nn.Tanh(), nn.Linear(4, 2)).double().eval()
    x = torch.randn(2, 1, 33, dtype=torch.float64)
    starts = [0, 5, 10, 15, 20, 23]
    options = {"method": "integrated_gradients(steps=8, rule=gauss_legendre)"}
    whole = pb.attribute(Framed(inner, 10), x, 1, **options)
    wanted = torch.zeros_like(x)
    for start in starts:
        wanted[..., start : start + 10] += pb.attribute(inner, x[..., start : start + 10], 1, **options).values / len(starts)
    assert torch.allclose(whole.values, wanted, atol=1e-12)
    alone = torch.stack([inner(x[..., start : start + 10]) for start in starts]).mean(0)
    assert torch.allclose(Framed(inner, 10)(x), alone, atol=1e-12)


@pytest.mark.parametrize("pieces", [7, 8, 40])
def test_pieces_in_parts_have_the_same_gradient_and_bounded_memory(pieces: int) -> None:
    """Of 8 pieces or fewer all are kept for the backward pass, of more only those of one part."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(10, 50), nn.Tanh(), nn.Linear(50, 2)).double().eval()
    x = torch.randn(2, pieces, 10, dtype=torch.float64, requires_grad=True)
    kept: list[int] = []
    pack: Callable[[torch.Tensor], torch.Tensor] = lambda found: [kept.append(found.numel()), found][1]  # type: ignore[func-returns-value]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda found: found):
        found = in_parts(inner, x, 8)
    assert torch.allclose(found, inner(x), atol=1e-12)
    assert torch.allclose(*(torch.autograd.grad(scores.square().sum(), x)[0] for scores in (found, inner(x))), atol=1e-12)
    assert torch.equal(in_parts(inner, x.detach(), 8), found.detach())
    assert (sum(kept) >= 2 * 50 * pieces) == (pieces <= 8)  # the hidden layer
    assert in_parts(lambda rows: {"logits": rows}, x, 8).keys() == {"logits"}


def test_a_clip_longer_than_the_window_is_explained_as_a_whole(tone: Write, toy: Toy, tmp_path: Path) -> None:
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(1000, 2)).eval()
    model = LoadedModel("fixed", fixed, kind="audio", rate=16_000.0, window=1000)
    found = studies.explain(tone(), model=model, transforms=["dct"], target=1, out=tmp_path / "out", **QUICK)
    heard, _ = soundfile.read(tmp_path / "out" / found.files[-1])
    assert len(heard) == 4000
    with pytest.raises(ValueError, match="does not accept recordings of 1 × 4000"):
        studies.explain(tone(), model=LoadedModel("fixed", fixed, kind="audio"), target=1, out=tmp_path / "o", **QUICK)


# Models ------------------------------------------------------------------------------------------------------------------


def test_classes_have_names() -> None:
    model = LoadedModel("toy", nn.Identity(), classes=("Crow", "Crowing, rooster", "Dog", "Guard dog", "Cat"))
    found = {"crow": 0, "rooster": 1, "Dog": 2, "guard": 3, "4": 4, 1: 1}
    assert {name: model.class_index(name) for name in found} == found
    for name, sentence in (
        ("ow", r"several .* Crow \(0\), Crowing"),
        ("crw", r"no class .* close ones: Crow \(0\)"),
        ("", "no class"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.class_index(name)


def test_prepare_may_say_how_it_changed_the_grid(nifti: Path, toy: Toy) -> None:
    signal = KINDS["volume"].read(nifti)
    half = lambda one: one.values[..., ::2, ::2, ::2]
    bare = toy("volume", prepare=half).fitted(signal)
    assert (bare.unit, bare.step) == ("voxel", (1.0, 1.0, 1.0))
    assert "mm are unknown; let it return a Signal" in bare.notes[0]
    told = toy("volume", prepare=lambda one: one.but(values=half(one), step=tuple(2 * size for size in one.step))).fitted(
        signal
    )
    assert (told.unit, told.step, told.notes) == ("mm", (3.0, 4.0, 6.0), ())


def test_what_prepare_returns_is_checked(tone: Write, toy: Toy) -> None:
    spectrogram = lambda one: torch.zeros(1, 64, 96)
    with pytest.raises(ValueError, match=r"expected prepare to return floats \(channels, samples\), got shape \(1, 64, 96\)"):
        toy("audio", prepare=spectrogram).input(KINDS["audio"].read(tone()))


def test_options_say_what_a_bare_module_takes() -> None:
    model = LoadedModel("toy", nn.Flatten(), studies.Preparation(8))
    assert model.described() is not None
    audio = model.described("audio", 8000.0, 100)
    assert (audio.kind, audio.rate, audio.window) == ("audio", 8000.0, 100)
    assert audio.input(Signal(torch.ones(1, 120), (1 / 8000,), "s", "a")).shape == (1, 120)
    with pytest.raises(ValueError, match="toy takes a recording: size change how pictures are prepared"):
        audio.prepared(size=3)
    with pytest.raises(ValueError, match="image, audio, volume, series"):
        model.described("sound")
    with pytest.raises(ValueError, match="positive number of Hz"):
        model.described("audio", 0.0)


def test_independent_outputs_have_sigmoids() -> None:
    logits = torch.tensor([[3.0, -1.0, 2.0]])
    model = LoadedModel("toy", nn.Flatten(), kind="audio", independent=True, window=3)
    whole = model.whole(logits[None])
    assert torch.allclose(whole.probabilities(whole.classify(logits[None])), logits.double().sigmoid())
    long = torch.tensor([[[3.0, -1.0, 2.0, 0.0]]])
    halves = torch.stack([long[0, :, :3].sigmoid(), long[0, :, 1:4].sigmoid()]).mean(0)
    assert torch.allclose(model.whole(long).classify(long), halves)
    assert LoadedModel("toy", nn.Identity()).probabilities(logits).sum() == pytest.approx(1)


# The command -------------------------------------------------------------------------------------------------------------


def test_the_command_explains_several_files_and_goes_on(
    tone: Write, nifti: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nets.py").write_text(MODELS)
    (tmp_path / "text.wav").write_text("no sound")
    monkeypatch.chdir(tmp_path)
    first, odd = tone("a b.wav", rate=44_100, channels=2), tone("a-b #%'é.wav", hertz=2500)
    arguments = ["--model", "nets.py:audio", "--method", "input_x_gradient", "--transform", "dct", "--top", 2, "--out", "out"]
    assert run(monkeypatch, "explain", first, "text.wav", nifti, "gone.wav", odd, *arguments) == cli.MISTAKE
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("pullback:")]
    assert len(lines) == 3
    assert "text.wav: no sound that can be read" in lines[0]
    assert "head.nii.gz: a volume, but the model sums takes recordings" in lines[1]
    assert "gone.wav: no such file; expected a recording" in lines[2]
    assert said.out.count("nets.py:audio: a b.wav: class") == 2
    assert "note: mean of 2 channels; resampled from 44100 to 16000 Hz" in said.out
    assert "500–1000 Hz" in said.out
    assert len(list((tmp_path / "out").glob("*.wav"))) == len(list((tmp_path / "out").glob("*.png"))) == 4
    assert run(monkeypatch, "explain", odd, *arguments, "--target", "caw") == 0
    assert "(Caw, quiet)" in capsys.readouterr().out


def test_options_describe_a_bare_module_and_a_part_of_a_file(
    tone: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nets.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    arguments = ["--model", "nets.py:bare", "--method", "input_x_gradient", "--transform", "dct", "--out", "out"]
    more = ["--kind", "audio", "--rate", 8000, "--window", 500, "--start", 0.1, "--seconds", 0.1]
    assert run(monkeypatch, "explain", tone(), *arguments, *more) == 0
    assert "seconds 0.1 to 0.2 of 0.25" in capsys.readouterr().out
    heard, rate = soundfile.read(next((tmp_path / "out").glob("*.wav")))
    assert (rate, len(heard)) == (8000, 800)
    assert run(monkeypatch, "explain", tone(), *arguments) == cli.MISTAKE
    said = capsys.readouterr().err
    assert "tone.wav: a recording, but the model nets.py:bare takes images" in said
    assert "if the model takes recordings, say so with --kind audio" in said
    assert run(monkeypatch, "explain", tone(), *arguments, "--kind", "audio") == cli.MISTAKE
    assert "--kind audio needs --rate" in capsys.readouterr().err
    assert run(monkeypatch, "compare", "--data", tone(), "--model", "nets.py:bare", "--out", "out") == cli.MISTAKE
    assert "say so with --kind audio" in capsys.readouterr().err


def test_files_of_one_slug_keep_their_own_results(tone: Write, toy: Toy, tmp_path: Path) -> None:
    paths = [tone("a b.wav"), tone("a+b.wav", hertz=2000), tone("a  b.wav", hertz=500)]
    options = {"model": toy("audio"), "transforms": ["dct"], "target": 0, "out": tmp_path / "out"} | QUICK
    names = [name for path in paths for name in studies.explain(path, **options).files]
    assert len(set(names)) == 9
    tones = [json.loads((tmp_path / "out" / name).read_text())["image"] for name in names if name.endswith(".json")]
    assert tones == [str(path) for path in paths]


# Folders -----------------------------------------------------------------------------------------------------------------


def test_a_folder_of_recordings_has_labels_and_leaves_out_own_files(tone: Write, toy: Toy, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("Caw", "Crow"):
        (data / name).mkdir(parents=True)
        tone(f"data/{name}/1.wav")
    Image.new("RGB", (4, 4)).save(data / "Crow" / "cover.png")
    studies.explain(data / "Crow" / "1.wav", model=toy("audio"), transforms=["dct"], target=0, out=data / "Crow", **QUICK)
    photos, rule = load_photos(data, kind=KINDS["audio"]).labelled(2, ("Crow", "Caw"))
    assert [(photo.name, photo.label, signal.values.shape) for photo, signal in photos] == [
        ("Caw/1.wav", 1, (1, 4000)),
        ("Crow/1.wav", 0, (1, 4000)),
    ]
    assert rule == "the names of the model's classes"
    left = dict(photos.skipped)
    assert left["Crow/1-Crow-dct-top10.wav"] == left["Crow/1-Crow-dct.json"] == "a file that pullback wrote"
    assert "cover.png: no sound that can be read" in left["Crow/cover.png"]


def test_names_of_files_tell_kinds_apart() -> None:
    kinds: dict[str, Kind] = dict(KINDS)
    wrong = {"a.wav": "volume", "a.nii.gz": "audio", "a.csv": "image", "a.PNG": "series"}
    assert all(wrong_kind(Path(name), kinds[kind]) for name, kind in wrong.items())
    right = {"a.npy": "volume", "b.npy": "series", "unknown": "image", "c.WAV": "audio"}
    assert not any(wrong_kind(Path(name), kinds[kind]) for name, kind in right.items())
    assert [kinds["volume"].stem("a.b.nii.gz"), kinds["audio"].stem("a.b.wav"), kinds["audio"].stem("a.b")] == [
        "a.b",
        "a.b",
        "a",
    ]
