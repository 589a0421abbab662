"""What holds for every packaged model: its description is true, its gradients are finite, and examples do not mix."""

import importlib.util

import pytest
import torch
from support import ROOT
from support.zoo import installed

from pullback.studies.zoo import DATA, MODELS, packages, trained
from pullback.studies.zoo.digits import digits_of
from pullback.studies.zoo.fashion_mnist import CLASSES, FASHION_NETS, fashion_of

TRAINED = FASHION_NETS.keys() | {"fashion-transformer", "digits3d-net", "brain-regions-net"}  # for half a minute and more
QUICK = MODELS.keys() - TRAINED
DEBIAN = FASHION_NETS.keys() | {"fashion-transformer", "brain-regions-net"}
FORMULAS = {"ct-tissues"}
SIZES = {"image": (28, 28), "audio": (5_001,), "volume": (5, 6, 7), "series": (150,)}  # where a model takes any


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are trained once for all tests, and not kept in the user's own cache folder."""
    monkeypatch.setattr(trained, "cache_folder", tmp_path_factory.getbasetemp)


@pytest.mark.parametrize("name", sorted(QUICK))
def test_a_model_does_what_its_card_says(name: str) -> None:
    module, card = installed(MODELS[name])
    size = card.size or SIZES[card.kind]
    assert card.name == name
    assert len(size) == len(SIZES[card.kind])
    assert card.window == (150 if name == "gunpoint-net" else None)
    assert (card.rate is not None) == (card.kind == "audio")
    assert all((card.source, card.licence, card.install.startswith("pip install") or name in FORMULAS))
    assert len(card.classes) - len(set(card.classes)) <= 2  # two kinds of cranes in ImageNet, and of maillots
    assert len(card.mean) == len(card.std) in (1, card.channels)
    assert not any(each.training for each in module.modules())
    x = 300 * torch.rand(3, card.channels, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together, alone = module(x), module(x[1:2])
    assert together.shape == (3, len(card.classes))
    assert torch.allclose(together[1:2], alone, rtol=1e-3, atol=1e-3)
    assert (together[0] - together[1]).abs().max() > 1e-3  # the input matters


@pytest.mark.parametrize("name", sorted(QUICK))
def test_gradients_are_finite_and_reach_the_input_also_for_silence(name: str) -> None:
    module, card = installed(MODELS[name])
    size = card.size or SIZES[card.kind]
    noise = torch.rand(1, card.channels, *size, generator=torch.Generator().manual_seed(0))
    for x in (noise, torch.zeros_like(noise)):
        x.requires_grad_()
        module(x)[0, 0].backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
    assert noise.grad is not None
    assert noise.grad.abs().max() > 0


@pytest.mark.parametrize("name", sorted(QUICK - {"crepe"}))
def test_building_a_model_leaves_random_numbers_as_they_are(name: str) -> None:
    before = torch.get_rng_state()
    installed(MODELS[name])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", sorted(MODELS.keys() - FORMULAS - DEBIAN))
def test_a_missing_package_is_named_with_the_command_that_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"^\w+ is missing: pip install (--no-deps )?[\w.= -]+\.$"):
        MODELS[name]()


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("animals", ""),
        ("brain-regions", ""),
        ("digits", ""),
        ("digits3d", ""),
        ("fashion-mnist", ""),
        ("head-ct", ""),
        ("ucr", "GunPoint"),
    ],
)
def test_missing_data_are_named_with_a_command(name: str, argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(packages.Path, "is_dir", lambda path: False)
    with pytest.raises(ImportError, match="install") as caught:
        next(DATA[name](*filter(None, [argument])))
    assert len(str(caught.value)) <= 300
    assert any(command in str(caught.value) for command in DATA[name].install.splitlines())


def test_the_first_item_of_a_data_set_fits_its_description() -> None:
    item = installed(lambda: next(DATA["digits"]()))
    digit = item.read()
    assert digit.values.shape == (1, 28, 28)
    assert (digit.step, digit.unit, digit.name, item.label, item.class_name) == ((1.0, 1.0), "pixel", item.name, 0, "0")
    volume = next(DATA["digits3d"]()).read()
    assert volume.values.shape == (1, 32, 32, 32)
    assert len(volume.step) == 3
    assert {name: each.kind for name, each in DATA.items()} == {
        "animals": "audio",
        "brain-regions": "volume",
        "digits": "image",
        "digits3d": "volume",
        "esc50": "audio",
        "fashion-mnist": "image",
        "head-ct": "volume",
        "medmnist": None,
        "ucr": "series",
    }


def test_digits_are_500_of_each_and_mixed() -> None:
    x, label = installed(lambda: digits_of(range(500)))
    assert label.bincount().tolist() == [500] * 10
    assert label[:10].tolist() == list(range(10))
    assert (x.min(), x.max()) == (0, 1)
    part, _ = digits_of(range(3, 5))
    assert torch.equal(part, x[30:50])


def test_clothes_are_read_from_the_files_of_the_package() -> None:
    x, label = installed(lambda: fashion_of("t10k", 10_000))
    assert x.shape == (10_000, 1, 28, 28)
    assert label.bincount().tolist() == [1_000] * len(CLASSES)
    assert (x.min(), x.max()) == (0, 1)
    first, numbers = fashion_of("t10k", 3)
    assert torch.equal(first, x[:3])
    assert [CLASSES[number] for number in numbers] == ["ankle boot", "pullover", "trouser"]
    assert fashion_of("train", 5)[1].tolist() == [9, 0, 0, 3, 0]


def test_networks_of_clothes_say_which_debian_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.Path, "is_dir", lambda path: False)
    for build in FASHION_NETS.values():
        with pytest.raises(ImportError, match="apt-get install dataset-fashion-mnist"):
            build()


def test_the_guide_names_every_model_and_data_set_with_its_command() -> None:
    text = (ROOT / "docs" / "zoo.md").read_text()
    arguments = {name: f"{name}:{each.argument}" if each.argument else name for name, each in DATA.items()}
    assert [name for name in [*MODELS, *arguments.values()] if f"`{name}`" not in text] == []
    commands = {line for each in DATA.values() for line in each.install.splitlines() if line.startswith(("pip", "apt-get"))}
    assert [command for command in commands if command not in text] == []
