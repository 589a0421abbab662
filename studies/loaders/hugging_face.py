"""Classifiers of pictures and of sound of the Hugging Face hub, and of folders that transformers saved."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ...core.imports import needs
from ...core.precision import wide
from ..kinds import Signal
from .models import LoadedModel, values_of
from .sound_features import FEATURES

MULTI_LABEL = "multi_label_classification"
ALIKE = 1e-3  # of the largest feature: what rounding changes in the lowest band is a tenth of it


@dataclass(frozen=True)
class Processed:
    """An image processor of transformers as a `prepare`, with the mean and std of what it returns."""

    processor: Any

    def __call__(self, image: Image.Image) -> Tensor:
        found: Tensor = self.processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return found

    @property
    def mean(self) -> tuple[float, ...]:
        """Of the values in 0…1, for each channel; 0 where the processor does not normalise."""
        return tuple(self.processor.image_mean) if getattr(self.processor, "do_normalize", True) else (0.0,)

    @property
    def std(self) -> tuple[float, ...]:
        """As `mean`; 1 where the processor does not normalise."""
        return tuple(self.processor.image_std) if getattr(self.processor, "do_normalize", True) else (1.0,)

    def __repr__(self) -> str:
        return type(self.processor).__name__


@dataclass(frozen=True)
class Extracted:
    """A feature extractor of transformers as a `prepare` of recordings; it returns samples, with a channel in front."""

    extractor: Any

    def __call__(self, signal: Signal) -> Tensor:
        return self.samples(signal.values[0].numpy())

    def samples(self, wave: np.ndarray) -> Tensor:
        """What it makes of one wave, (1, …)."""
        rate = self.extractor.sampling_rate
        found = self.extractor(wave, sampling_rate=rate, return_tensors="pt")
        made: Tensor = found[self.extractor.model_input_names[0]]
        return made

    def __repr__(self) -> str:
        return type(self.extractor).__name__


class OneChannel(nn.Module):
    """A module of waves (batch, samples), or of features of them, as one of recordings (batch, 1, samples).

    >>> OneChannel(nn.Identity())(torch.zeros(2, 1, 5)).shape
    torch.Size([2, 5])
    """

    def __init__(self, module: nn.Module, features: nn.Module | None = None) -> None:
        super().__init__()
        self.inner, self.features = module, features or nn.Identity()

    def forward(self, x: Tensor) -> Any:
        return self.inner(self.features(x[:, 0]))


def from_hub(name: str) -> LoadedModel:
    """The image or audio classifier `name` of the hub, or in a folder, with its own preparation and class names.

    Raises: ImportError that says what to install; ValueError for models of another task, without a trained head, or of
    features that are made of the sound outside of torch, but for those of `sound_features`.
    """
    spec = f"hf:{name}"
    with needs(spec, "transformers"):
        import transformers
    try:
        config = transformers.AutoConfig.from_pretrained(name)
    except OSError as error:  # neither a folder nor a name of the hub, or the hub cannot be reached
        raise ValueError(f"Model {spec!r}: {str(error).strip().splitlines()[0][:200]}") from None
    if type(config) in transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        module = _with_head(spec, transformers.AutoModelForImageClassification, name)
        return _described(spec, module, Processed(transformers.AutoImageProcessor.from_pretrained(name)), "image")
    if type(config) in transformers.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING:
        return _of_sound(spec, transformers, name)
    raise ValueError(f"Model {spec!r}: expected a classifier of images or of audio, got {type(config).__name__}.")


def _of_sound(spec: str, transformers: Any, name: str) -> LoadedModel:
    """A classifier of waves, or of features that are made of them inside of the module, so that samples have gradients."""
    with warnings.catch_warnings():  # of the lowest bands of AST, which hold no frequency by its design
        warnings.filterwarnings("ignore", "At least one mel filter has all zero values", UserWarning)
        extractor = transformers.AutoFeatureExtractor.from_pretrained(name)
    prepare, rate = Extracted(extractor), float(extractor.sampling_rate)
    wave = np.random.default_rng(0).standard_normal(round(rate)).astype(np.float32) / 10
    made = prepare.samples(wave)
    if made.ndim == 2:
        waves = OneChannel(_with_head(spec, transformers.AutoModelForAudioClassification, name))
        return _described(spec, waves, prepare, "audio", rate=rate)
    features = _features(spec, extractor, torch.from_numpy(wave)[None], made)
    module = _with_head(spec, transformers.AutoModelForAudioClassification, name)
    module = module.to(wide(next(module.parameters()).dtype))  # samples of 16 bits would change quiet bands
    known: dict[str, Any] = {"rate": rate, "window": features.longest, "filled": False}
    return _described(spec, OneChannel(module, features), values_of, "audio", **known)


def _features(spec: str, extractor: Any, wave: Tensor, made: Tensor) -> Any:
    """The module that makes the extractor's features.  made: those of `wave`.  Raises: ValueError where there is none."""
    name = type(extractor).__name__
    if name not in FEATURES:
        what = f"its {name} makes features {tuple(made.shape[1:])} of the sound outside of torch"
        known = f"{', '.join(FEATURES)}, and models of waves, such as wav2vec2, HuBERT and WavLM"
        raise ValueError(f"Model {spec!r}: {what}; supported are {known}.")
    features = FEATURES[name](extractor)
    found = features(wave)
    error = (found - made).abs().max() / made.abs().max() if found.shape == made.shape else torch.inf
    if not error <= ALIKE:
        raise ValueError(f"Model {spec!r}: its {name} makes other features than expected (relative difference {error:.2g}).")
    return features


def _with_head(spec: str, classes: Any, name: str) -> nn.Module:
    """The classifier.  Raises: ValueError where a part of it has no weights: transformers would draw them at random."""
    module, loading = classes.from_pretrained(name, output_loading_info=True)
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(
            f"Model {spec!r}: it has no weights for {', '.join(missing[:3])}; take one that was fine-tuned to classify."
        )
    found: nn.Module = module
    return found


def _described(spec: str, module: nn.Module, prepare: Any, kind: str, **known: Any) -> LoadedModel:
    config: Any = getattr(module, "inner", module).config
    names = {int(key): str(name) for key, name in (config.id2label or {}).items()}
    classes = tuple(names.get(place, "") for place in range(config.num_labels)) if names else ()
    independent = config.problem_type == MULTI_LABEL
    return LoadedModel(spec, module, prepare, classes, kind, independent=independent, output="logits", **known)
