"""Networks that are trained on this machine: accuracy on data they never saw, the same bits each time, and the cache."""

import os
from pathlib import Path

import pytest
import torch
from support.zoo import installed

from pullback.studies.training import series, volumes
from pullback.studies.zoo import DATA, MODELS
from pullback.studies.zoo.digits import digits_of
from pullback.studies.zoo.trained import kept


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pullback" / "weights"


def test_the_network_of_gunpoint_knows_the_movements_of_new_series() -> None:
    module, card = installed(MODELS["gunpoint-net"])
    items = list(DATA["ucr"]("GunPoint"))
    x, label = torch.stack([item.read().values for item in items]), torch.tensor([item.label for item in items])
    assert x.shape == (150, 1, *(card.size or ()))
    assert (module(x).argmax(1) == label).double().mean() > 0.95
    assert {item.class_name for item in items} == set(card.classes)


def test_the_network_of_volumes_learns_from_a_few_hundred_digits() -> None:
    digits, label = installed(lambda: digits_of(range(40)))
    module = volumes.trained(digits, label, epochs=4)
    new, truth = digits_of(range(400, 420))
    x = volumes.extruded(new, torch.Generator().manual_seed(7))
    assert (module(x).argmax(1) == truth).double().mean() > 0.5  # chance is 0.1
    assert not any(parameter.requires_grad for parameter in module.parameters())


def few(count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, 1, 20, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(count) % 2


def test_a_network_is_trained_once_and_read_afterwards(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = kept("small", series, few()).state_dict()
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(series, "trained", lambda x, label: pytest.fail("trained again"))
    again = kept("small", series, few())
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert all(torch.equal(first[name], value) for name, value in again.state_dict().items())


def test_other_data_and_damaged_files_are_trained_anew(cache: Path) -> None:
    first = kept("small", series, few()).state_dict()
    kept("small", series, few(4))
    assert len(list(cache.iterdir())) == 2
    for path in cache.iterdir():
        path.write_bytes(b"damaged")
    again = kept("small", series, few()).state_dict()
    assert all(torch.equal(first[name], value) for name, value in again.items())


def test_a_cache_folder_that_cannot_be_written_is_no_fault(cache: Path) -> None:
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file stands where the folder would be")
    assert kept("small", series, few())(few()[0]).shape == (6, 2)
    assert os.path.isfile(cache.parent)


def test_volumes_are_digits_that_were_turned() -> None:
    """The digit keeps its amount of ink; the turn follows the generator; not turned, every slice is the digit."""
    digit = torch.zeros(1, 1, 28, 28)
    digit[..., 8:20, 10:18] = 1
    one, same, other = (volumes.extruded(digit, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert abs(float(one.sum()) / (12 * 8 * volumes.THICKNESS) - 1) < 0.02
    turns = volumes._turns(torch.rand(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double))
    assert (turns @ turns.mT - torch.eye(3)).abs().max() < 1e-12
    assert (torch.linalg.det(turns) - 1).abs().max() < 1e-12


def test_items_of_digits3d_do_not_depend_on_those_before() -> None:
    items = installed(lambda: [item for item, _ in zip(DATA["digits3d"](), range(3))])
    again = DATA["digits3d"]()
    next(again)
    assert torch.equal(next(again).read().values, items[1].read().values)
    assert [item.label for item in items] == [0, 1, 2]
