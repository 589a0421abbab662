"""The features of AST and of Whisper against the extractors of transformers, and tiny models of both, explained."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import Tensor

import pullback as pb
from pullback import cli, studies
from pullback.studies.loaders import hugging_face
from pullback.studies.loaders.sound_features import FEATURES, ASTFeatures

RATE = 16_000
AST = "ASTFeatureExtractor"
WHISPER = "WhisperFeatureExtractor"
SMALL = {AST: {"max_length": 98, "num_mel_bins": 32}, WHISPER: {"chunk_length": 1, "feature_size": 40}}  # 1 s of sound


@pytest.fixture(scope="module")
def library() -> Any:
    return pytest.importorskip("transformers", reason="pip install transformers")


def wave(samples: int, quiet: float = 0.1) -> np.ndarray:
    """Noise and a tone on an offset, which fade away."""
    noise = np.random.default_rng(0).standard_normal(samples) + np.sin(np.arange(samples))
    return (quiet * (noise * np.linspace(1, 0.01, samples) + 0.2)).astype(np.float32)


def theirs(extractor: Any, samples: np.ndarray) -> Tensor:
    return hugging_face.Extracted(extractor).samples(samples)


def distance(found: Tensor, expected: Tensor) -> float:
    """Root mean square difference, in the largest feature."""
    assert found.shape == expected.shape
    return float((found - expected).square().mean().sqrt() / expected.abs().max())


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values:UserWarning")  # of AST's own 128 bands
@pytest.mark.parametrize("samples", [300 + 400, 9_000, 40_000])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        (AST, {}),
        (AST, {"num_mel_bins": 64, "max_length": 100, "do_normalize": False}),
        (AST, {"mean": -6.8, "std": 5.5, "sampling_rate": 8000}),
        (WHISPER, {"chunk_length": 2}),
        (WHISPER, {"feature_size": 128, "chunk_length": 1, "padding_value": 0.01}),
        (WHISPER, {"n_fft": 512, "hop_length": 128, "chunk_length": 1}),
    ],
)
def test_features_equal_those_of_transformers(name: str, options: dict[str, Any], samples: int, library: Any) -> None:
    extractor = getattr(library, name)(**options)
    line = wave(samples)
    found, expected = FEATURES[name](extractor)(torch.from_numpy(line)[None]), theirs(extractor, line)
    assert distance(found, expected) < 1e-6
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()  # in the lowest band, where most of a frame cancels


def test_thirty_seconds_of_whisper_are_filled_with_zeros(library: Any) -> None:
    extractor = library.WhisperFeatureExtractor()
    line = wave(RATE)
    found = FEATURES[WHISPER](extractor)(torch.from_numpy(line)[None])
    assert found.shape == (1, 80, 3000)
    assert distance(found, theirs(extractor, line)) < 1e-6


@pytest.mark.parametrize("changed", ["periodic window", "no preemphasis", "mean kept", "other triangles"])
def test_another_front_end_differs(changed: str, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = library.ASTFeatureExtractor(**SMALL[AST])
    line = wave(RATE)
    if changed == "no preemphasis":
        monkeypatch.setattr("pullback.studies.loaders.sound_features.EMPHASIS", 0.0)
    features = ASTFeatures(extractor)
    if changed == "periodic window":
        features.window = torch.hann_window(400)
    if changed == "other triangles":
        features.bands = features.bands.roll(1, 0)
    if changed == "mean kept":
        monkeypatch.setattr(torch.Tensor, "mean", lambda self, *_, **__: torch.zeros_like(self[..., :1]))
    found = features(torch.from_numpy(line)[None])
    monkeypatch.undo()
    assert distance(found, theirs(extractor, line)) > 1e-4


@pytest.mark.parametrize("name", [AST, WHISPER])
def test_gradients_reach_every_sample_and_are_those_of_differences(name: str, library: Any) -> None:
    features = FEATURES[name](getattr(library, name)(**SMALL[name])).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.from_numpy(wave(8_000)).double()[None]
    weight = torch.randn(features(x).shape, generator=generator, dtype=x.dtype)
    score = lambda x: (features(x) * weight).sum()
    gradient = torch.autograd.functional.vjp(score, x)[1]
    toward = torch.randn(x.shape, generator=generator, dtype=x.dtype) * 1e-7
    difference = float(score(x + toward) - score(x - toward)) / 2
    assert difference == pytest.approx(float((gradient * toward).sum()), rel=1e-5)
    assert (gradient[:, :7_600] != 0).float().mean() > 0.99
    assert torch.autograd.functional.vjp(score, torch.zeros_like(x))[1].isfinite().all()


@pytest.fixture(scope="module")
def folders(library: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random models of two classes, saved with their extractors."""
    root = tmp_path_factory.mktemp("models")
    said: dict[str, Any] = {"id2label": {0: "caw", 1: "bark"}, "label2id": {"caw": 0, "bark": 1}}
    size: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    frames = {"max_length": 98, "num_mel_bins": 32}
    heard = {"d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_layers": 1}
    heard |= {"max_source_positions": 50, "num_mel_bins": 40, "classifier_proj_size": 4, "vocab_size": 8}
    heard |= {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 0}
    made = {
        AST: library.ASTForAudioClassification(library.ASTConfig(**size, **frames, **said)),
        WHISPER: library.WhisperForAudioClassification(library.WhisperConfig(**heard, **said)),
    }
    for name, module in made.items():
        torch.manual_seed(0)
        for weight in module.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        module.save_pretrained(root / name)
        getattr(library, name)(**SMALL[name]).save_pretrained(root / name)
    return {name: root / name for name in made}


@pytest.mark.parametrize("name", [AST, WHISPER])
def test_the_model_answers_as_its_pipeline_does(name: str, folders: dict[str, Path], library: Any) -> None:
    model = studies.load_model(f"hf:{folders[name]}")
    assert (model.kind, model.rate, model.classes) == ("audio", 16_000.0, ("caw", "bark"))
    line = wave(12_000)
    x = model.input(studies.Signal(torch.from_numpy(line)[None], (1 / RATE,), "s", "a.wav"))
    assert x.shape == (1, 12_000)  # nothing is added to a short recording
    theirs_alone = library.AutoModelForAudioClassification.from_pretrained(folders[name])
    with torch.no_grad():
        expected = theirs_alone(theirs(library.AutoFeatureExtractor.from_pretrained(folders[name]), line)).logits
    assert (expected[0, 0] - expected[0, 1]).abs() > 0.01
    assert torch.allclose(model.classify(x[None]), expected, atol=1e-4)


@pytest.mark.parametrize("name", [AST, WHISPER])
def test_of_a_long_recording_the_mean_of_windows_counts(name: str, folders: dict[str, Path]) -> None:
    model = studies.load_model(f"hf:{folders[name]}")
    assert model.window is not None
    x = torch.from_numpy(wave(5 * model.window // 2))[None, None]
    hop = model.window // 2
    windows = torch.cat([x[..., place * hop : place * hop + model.window] for place in range(4)])
    assert torch.allclose(model.whole(x).classify(x)[0], model.classify(windows).mean(0), atol=1e-5)


def test_a_recording_is_explained_by_the_command_line(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wavfile.write(tmp_path / "a.wav", RATE, np.round(20_000 * wave(8_000, 0.2)).astype(np.int16))
    method = ["--method", "integrated_gradients(steps=24)", "--transform", "dwt(haar, level=3)", "--target", "bark"]
    typed = ["explain", tmp_path / "a.wav", "--model", f"hf:{folders[AST]}", *method, "--out", tmp_path / "o"]
    monkeypatch.setattr(sys, "argv", ["pullback", *map(str, typed)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code, capsys.readouterr().err
    said = json.loads((tmp_path / "o" / "a-bark-dwt-haar-level-3.json").read_text())
    assert sum(one["share"] for one in said["octaves"]) == pytest.approx(1)
    total = sum(one["total"] for one in said["octaves"])
    assert total == pytest.approx(said["score_difference"], rel=0.1)
    assert abs(total) > 0.01


def test_shares_of_a_whisper_model_sum_to_the_difference_of_its_scores(folders: dict[str, Path]) -> None:
    module = studies.load_model(f"hf:{folders[WHISPER]}").module
    x, domains = torch.from_numpy(wave(8_000))[None, None], ["stft", "dwt(haar, level=3)"]
    for one in pb.attribute(module, x, 1, method="integrated_gradients(steps=24)", transform=domains):
        assert one.score_difference.abs() > 0.01
        assert one.completeness_gap.abs() < 0.1 * one.score_difference.abs()


def test_weights_of_16_bits_are_widened(folders: dict[str, Path], tmp_path: Path, library: Any) -> None:
    narrow = library.AutoModelForAudioClassification.from_pretrained(folders[WHISPER]).half()
    narrow.save_pretrained(tmp_path)
    library.AutoFeatureExtractor.from_pretrained(folders[WHISPER]).save_pretrained(tmp_path)
    x = torch.from_numpy(wave(9_000))[None, None]
    half, single = (studies.load_model(f"hf:{folder}") for folder in (tmp_path, folders[WHISPER]))
    assert {weight.dtype for weight in half.module.parameters()} == {torch.float32}
    assert torch.allclose(half.classify(x), single.classify(x), atol=0.02)


def test_an_extractor_that_makes_something_else_is_refused(library: Any) -> None:
    extractor = library.ASTFeatureExtractor(**SMALL[AST])
    line = wave(RATE)
    made = 1.01 * theirs(extractor, line)
    with pytest.raises(ValueError, match=r"its ASTFeatureExtractor makes other features than expected \(relative diff"):
        hugging_face._features("hf:a", extractor, torch.from_numpy(line)[None], made)
