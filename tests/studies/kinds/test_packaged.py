"""Packaged models and data sets by their names."""

from pathlib import Path

import pytest
import torch
from support.zoo import installed

from pullback import studies
from pullback.studies import KINDS
from pullback.studies.loaders.data import load_photos
from pullback.studies.loaders.packaged import packaged_model


def test_a_packaged_model_takes_its_packaged_data(tmp_path: Path) -> None:
    model = studies.load_model("ct-tissues")
    assert (model.kind, model.classes) == ("volume", ("air", "soft tissue", "bone"))
    volumes = installed(lambda: load_photos("digits3d", 2, KINDS["volume"]))
    assert [(photo.name, signal.values.shape) for photo, signal in volumes] == [
        ("0000", (1, 32, 32, 32)),
        ("0001", (1, 32, 32, 32)),
    ]
    options = {"model": model, "method": "input_x_gradient", "transforms": ["dwt(haar, level=2)"], "target": "soft"}
    found = studies.explain("digits3d#0001", out=tmp_path, **options)
    assert found.files[0] == "digits3d-0001-soft-tissue-dwt-haar-level-2.png"
    assert all((tmp_path / name).is_file() for name in found.files)


def test_digits_are_pictures_with_labels() -> None:
    photos, rule = installed(lambda: load_photos("digits", 12)).labelled(10, tuple("0123456789"))
    assert [photo.label for photo, _ in photos] == [*range(10), 0, 1]
    assert rule == "the names of the model's classes"
    _, picture = next(iter(photos))
    assert (picture.size, picture.mode) == ((28, 28), "RGB")
    model = installed(lambda: packaged_model("mnist-lenet"))
    scores = torch.stack([model.input(picture) for _, picture in photos])
    assert scores.shape == (12, 1, 28, 28)
    assert model.classify(scores).argmax(1).tolist() == [*range(10), 0, 1]


def test_yamnet_explains_probabilities() -> None:
    model = installed(lambda: packaged_model("yamnet"))
    assert (model.kind, model.rate, model.independent) == ("audio", 16_000.0, True)
    x = 0.1 * torch.randn(1, 1, 16_000, generator=torch.Generator().manual_seed(0))
    scores = model.whole(x).classify(x)
    assert torch.allclose(scores, model.classify(x).sigmoid())


@pytest.mark.parametrize(
    ("spec", "kind", "sentence"),
    [
        ("digits", "audio", "Data 'digits' are image signals, but the model takes recordings"),
        ("ucr", "series", "Data 'ucr': expected ucr:NAME"),
        ("digits:3", "image", "Data 'digits:3': expected digits"),
    ],
)
def test_packaged_data_that_do_not_fit_are_refused(spec: str, kind: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        load_photos(spec, kind=KINDS[kind])
