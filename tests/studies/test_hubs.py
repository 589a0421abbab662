"""Models of timm, torchvision and transformers, through small modules with the interfaces of these libraries."""

import builtins
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from torch import Tensor, nn

from pullback import studies


class ModelOutput(OrderedDict):  # type: ignore[type-arg]
    """As in transformers: a dictionary whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


class ViTConfig(SimpleNamespace):
    """As `PretrainedConfig`."""


class Wav2Vec2Config(ViTConfig):
    """Of a model of waves."""


class ASTConfig(ViTConfig):
    """Of a model of spectrograms."""


class BertConfig(ViTConfig):
    """Of a model of text."""


class Classifier(nn.Module):
    """Two scores of pixel_values (batch, 3, height, width), or of input_values (batch, samples)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config, self.scale = config, nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, values: Tensor, labels: Tensor | None = None, return_dict: bool | None = None) -> ModelOutput:
        assert values.ndim == (4 if type(self.config) is ViTConfig else 2)
        return ModelOutput(logits=values.flatten(1).tanh().mean(1, keepdim=True) * self.scale)


class ImageProcessor:
    """As `ViTImageProcessor`: resized, scaled and normalised."""

    do_normalize, image_mean, image_std = True, [0.5, 0.25, 0.5], [0.5, 0.5, 0.25]

    def __call__(self, images: Image.Image, return_tensors: str | None = None) -> dict[str, Tensor]:
        assert return_tensors == "pt"
        values = torch.from_numpy(np.array(images.resize((8, 8)), np.float32)).permute(2, 0, 1) / 255
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (self.image_mean, self.image_std))
        return {"pixel_values": ((values - mean) / std)[None]}


class WaveExtractor:
    """As `Wav2Vec2FeatureExtractor`: mean 0 and variance 1."""

    sampling_rate, model_input_names = 16_000, ["input_values", "attention_mask"]

    def __call__(self, raw_speech: np.ndarray, sampling_rate: int, return_tensors: str) -> dict[str, Tensor]:
        assert (sampling_rate, return_tensors, raw_speech.ndim) == (self.sampling_rate, "pt", 1)
        wave = torch.from_numpy(raw_speech)[None]
        return {"input_values": (wave - wave.mean()) / (wave.var(correction=0) + 1e-7).sqrt()}


class SpectrogramExtractor(WaveExtractor):
    """As `ASTFeatureExtractor`: 1024 frames of 128 bands."""

    def __call__(self, raw_speech: np.ndarray, sampling_rate: int, return_tensors: str) -> dict[str, Tensor]:
        return {"input_values": torch.zeros(1, 1024, 128)}


CONFIGS = {
    "org/vit": ViTConfig(id2label={0: "cat", 1: "dog"}, num_labels=2, problem_type=None),
    "org/tags": ViTConfig(id2label={0: "cat", 1: "dog"}, num_labels=2, problem_type="multi_label_classification"),
    "org/wave": Wav2Vec2Config(id2label={0: "yes", 1: "no"}, num_labels=2, problem_type=None),
    "org/ast": ASTConfig(id2label={0: "yes", 1: "no"}, num_labels=2, problem_type=None),
    "org/bert": BertConfig(id2label={}, num_labels=2, problem_type=None),
    "org/headless": ViTConfig(id2label={}, num_labels=2, problem_type=None),
}


def config_of(name: str) -> ViTConfig:
    if name not in CONFIGS:
        raise OSError(
            f"{name} is not a local folder and is not a valid model identifier listed on the hub\nIf this is private …"
        )
    return CONFIGS[name]


def classifier(name: str, output_loading_info: bool = False) -> tuple[Classifier, dict[str, list[str]]]:
    missing = ["classifier.weight", "classifier.bias"] if name == "org/headless" else []
    return Classifier(CONFIGS[name]), {"missing_keys": missing, "unexpected_keys": [], "mismatched_keys": []}


def extractor(name: str) -> WaveExtractor:
    return SpectrogramExtractor() if name == "org/ast" else WaveExtractor()


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ModuleType("transformers")
    auto = {"AutoModelForImageClassification": classifier, "AutoModelForAudioClassification": classifier}
    auto |= {"AutoConfig": config_of, "AutoFeatureExtractor": extractor, "AutoImageProcessor": lambda name: ImageProcessor()}
    for name, load in auto.items():
        setattr(found, name, SimpleNamespace(from_pretrained=load))
    found.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING = {ViTConfig: Classifier}  # type: ignore[attr-defined]
    found.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING = {Wav2Vec2Config: Classifier, ASTConfig: Classifier}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", found)


@pytest.mark.usefixtures("transformers")
def test_an_image_classifier_of_transformers_is_explained_by_name(tmp_path: Path) -> None:
    Image.new("RGB", (20, 16), "orange").save(tmp_path / "a.png")
    model = studies.load_model("hf:org/vit")
    assert (model.kind, model.classes, model.independent) == ("image", ("cat", "dog"), False)
    assert not model.module.training
    found = studies.explain(
        tmp_path / "a.png", model=model, target="dog", transforms=["dct"], method="gradient", out=tmp_path / "o"
    )
    x = ImageProcessor()(Image.new("RGB", (20, 16), "orange"), return_tensors="pt")["pixel_values"]
    assert found.score == pytest.approx(float(2 * x.tanh().mean()), rel=1e-5)
    said = model.preparation()
    assert (said["prepare"], said["mean"], said["output"]) == ("ImageProcessor", (0.5, 0.25, 0.5), "logits")
    picture = model.picture()
    assert picture is not None
    assert picture(x)[0, :, 0, 0].tolist() == pytest.approx([1.0, 165 / 255, 0.0], abs=1e-6)
    assert model.prepared(size=4).input(Image.new("RGB", (9, 9))).shape == (3, 4, 4)
    assert studies.load_model("hf:org/tags").independent


@pytest.mark.usefixtures("transformers")
def test_an_audio_classifier_of_transformers_takes_waves_at_its_rate(tmp_path: Path) -> None:
    line = np.random.default_rng(0).integers(-9000, 9000, 4000).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 8000, line)
    model = studies.load_model("hf:org/wave")
    assert (model.kind, model.rate, model.classes) == ("audio", 16_000.0, ("yes", "no"))
    found = studies.explain(
        tmp_path / "a.wav", model=model, target="No", transforms=["dct"], method="gradient", out=tmp_path / "o"
    )
    assert found.notes == ("resampled from 8000 to 16000 Hz; there is nothing above 4000 Hz",)
    assert found.class_name == "no"
    x = model.input(studies.KINDS["audio"].read(tmp_path / "a.wav"))
    assert x.shape == (1, 8000)
    assert [float(x.mean()), float(x.std(correction=0))] == pytest.approx([0, 1], abs=1e-5)


@pytest.mark.usefixtures("transformers")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("org/ast", r"SpectrogramExtractor makes features \(1024, 128\) of the sound outside of torch; supported are AST"),
        ("org/bert", "expected a classifier of images or of audio, got BertConfig"),
        ("org/headless", r"it has no weights for classifier\.bias, classifier\.weight; take one that was fine-tuned"),
        ("org/gone", "'hf:org/gone': org/gone is not a local folder"),
    ],
)
def test_other_models_of_transformers_are_refused(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        studies.load_model(f"hf:{name}")
    assert len(str(refused.value)) <= 300


@pytest.mark.parametrize("spec", ["hf:org/vit", "timm:resnet18", "torchvision:resnet18"])
def test_a_missing_library_is_named_with_its_command(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("transformers", "timm", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return known(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"needs (transformers|timm|torchvision\S*): pip install"):
        studies.load_model(spec)


class Transforms:
    """As the presets of torchvision."""

    mean, std = [0.5] * 3, [0.25] * 3

    def __call__(self, image: Image.Image) -> Tensor:
        return torch.ones(3, 8, 8)


def flat(classes: int) -> nn.Module:
    net: Any = nn.Sequential(nn.Flatten(), nn.Linear(192, classes))
    net.num_classes = classes
    return net


def test_a_model_of_timm_brings_its_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = ModuleType("timm"), []

    def create_model(name: str, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return flat(5)

    compose = SimpleNamespace(transforms=[Transforms()])
    parts = {
        "create_model": create_model,
        "is_model": lambda name: name == "resnet18",
        "list_models": lambda pattern: ["resnet18"],
    }
    data = {"resolve_model_data_config": lambda module: {"input_size": (3, 8, 8)}, "create_transform": lambda **config: compose}
    for name, value in {**parts, "data": SimpleNamespace(**data)}.items():
        setattr(found, name, value)
    monkeypatch.setitem(sys.modules, "timm", found)
    model = studies.load_model("timm:resnet18")
    assert asked == [("resnet18", True)]
    assert model.prepare is compose
    assert model.preparation()["std"] == (0.25,) * 3
    assert model.classes == ()
    with pytest.raises(ValueError, match=r"Unknown timm model 'resnet'. Close: resnet18"):
        studies.load_model("timm:resnet")


def test_a_model_of_torchvision_brings_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(meta={"categories": ["cat", "dog"]}, transforms=Transforms))
    found, inner = ModuleType("torchvision"), ModuleType("torchvision.models")
    parts = {
        "get_model": lambda name, weights: flat(2),
        "get_model_weights": lambda name: weights,
        "list_models": lambda: ["tiny"],
    }
    for name, value in parts.items():
        setattr(inner, name, value)
    monkeypatch.setitem(sys.modules, "torchvision", found)
    monkeypatch.setitem(sys.modules, "torchvision.models", inner)
    model = studies.load_model("torchvision:tiny")
    assert model.class_index("DOG") == 1
    assert model.classify(model.input(Image.new("RGB", (9, 9)))[None]).shape == (1, 2)
    with pytest.raises(ValueError, match="Unknown torchvision model 'huge'"):
        studies.load_model("torchvision:huge")
