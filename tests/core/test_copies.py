"""Copies of modules: they compute the same, hold nothing that layers of the original hold, and leave the original as it was."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.uncopyable import MODELS, X, held
from torch import nn

from pullback.core.copies import copied

each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@each_model
def test_a_copy_computes_the_same_with_its_own_layers(make: Callable[[], nn.Module]) -> None:
    model = make()
    with torch.no_grad():
        expected = model(X)
    before = held(model)
    twin = copied(model)
    assert held(model) == before
    with torch.no_grad():
        torch.testing.assert_close(twin(X), expected, rtol=0, atol=1e-12)
        assert not {id(layer) for layer in twin.modules()} & {id(layer) for layer in model.modules()}
        for parameter in twin.parameters():
            parameter.fill_(0.5)
        assert not torch.allclose(twin(X), expected)  # so the copy uses its own parameters
        torch.testing.assert_close(model(X), expected, rtol=0, atol=0)


HOOKABLE = [name for name in MODELS if name not in ("script", "trace", "recurrent") and "graph" not in name]


@pytest.mark.parametrize("name", HOOKABLE)
def test_hooks_on_the_copy_run_and_those_of_the_original_do_not(name: str) -> None:
    model = MODELS[name]()
    twin = copied(model)
    seen = []
    for layers, mark in ((model, "original"), (twin, "copy")):
        for layer in layers.modules():
            if isinstance(layer, nn.ReLU) and not (name.startswith("object") and layer is getattr(layers, "held", None)):
                layer.register_forward_hook(lambda module, args, output, mark=mark: seen.append(mark))
    twin(X)
    assert set(seen) == {"copy"}


def test_shared_parameters_stay_shared() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].weight = model[0].weight
    model.held = [threading.Lock(), model[0].weight]  # type: ignore[assignment]
    twin = copied(model)
    held: Any = twin.held
    assert twin[0].weight is twin[1].weight is held[1] is not model[0].weight
    assert held[0] is model.held[0]  # type: ignore[index]


class RefusesToBeCopied(nn.Module):
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("there can only be one")


def test_a_class_that_refuses_is_named() -> None:
    model = nn.Sequential(nn.Linear(6, 2), RefusesToBeCopied())
    with pytest.raises(TypeError, match=r"RefusesToBeCopied cannot be copied .*only be one.*only calls the model") as caught:
        copied(model)
    assert len(str(caught.value)) <= 300
