"""Captum's methods that hook layers, on models as people have them: the hooks run on a copy, or the model is refused."""

import threading
import warnings
from collections.abc import Callable

import pytest
import torch
from support.uncopyable import MODELS, Holder, X, held, net
from torch import Tensor, nn

import pullback as pb

pytest.importorskip("captum")
HOOKABLE = [name for name in MODELS if name not in ("script", "trace", "recurrent")]


@pytest.mark.parametrize("name", HOOKABLE)
def test_deeplift_is_complete_so_its_hooks_ran_and_the_model_is_as_before(name: str) -> None:
    model = MODELS[name]()
    before = held(model)
    deep, plain = (pb.attribute(model, X, 1, method=f"captum({method})") for method in ("DeepLift", "InputXGradient"))
    assert float(deep.completeness_gap.abs().max()) < 1e-10
    assert float(plain.completeness_gap.abs().max()) > 1e-3  # what hooks that do not run would give
    if name not in ("outputs that are kept", "weight_norm", "spectral_norm"):  # every call of these writes attributes
        assert held(model) == before


class Explodes(Holder):
    """A model that raises at its n-th call; its copies go on counting."""

    def __init__(self, calls: list[int], at: int) -> None:
        super().__init__(threading.Lock())
        self.count, self.at = iter(calls), at

    def forward(self, x: Tensor) -> Tensor:
        if next(self.count) == self.at:
            raise KeyError("boom")
        return self.net(x)


@pytest.mark.parametrize("at", [1, 3, 7, 9])  # while f is read, and on the copy
def test_the_model_is_as_before_after_an_exception(at: int) -> None:
    model = Explodes(list(range(1, 100)), at)
    before = held(model)
    with pytest.raises(KeyError, match="boom"):
        pb.attribute(model, X, 1, method="captum(DeepLift)", batch_size=2)
    assert held(model) == before


def scripted(make: Callable[[], object]) -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return make()  # type: ignore[return-value]


PROGRAMS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "script": (lambda: scripted(lambda: torch.jit.script(net())), "model: it is a TorchScript module"),
    "trace": (lambda: scripted(lambda: torch.jit.trace(net(), X)), "model: it is a TorchScript module"),
    "frozen": (lambda: scripted(lambda: torch.jit.freeze(torch.jit.script(net()))), "model: it is a TorchScript module"),
    "inside": (
        lambda: nn.Sequential(scripted(lambda: torch.jit.script(net())), nn.ReLU()).eval(),
        "layer '0' is a TorchScript",
    ),
    "in an attribute": (lambda: Holder(scripted(lambda: torch.jit.script(net()))), "layer 'held' is a TorchScript"),
    "exported": (
        lambda: torch.export.export(net(), (X,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module(),
        "model: it is an exported program",
    ),
}


@pytest.mark.parametrize("method", ["DeepLift", "GuidedBackprop", "LRP", "GuidedGradCam, layer=0"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_without_layers_are_refused_by_name(name: str, method: str) -> None:
    make, said = PROGRAMS[name]
    with pytest.raises(TypeError, match=f"{said}.*hooks layers.*nn.Module that it was made from") as caught:
        pb.attribute(make(), X, 1, method=f"captum({method})")
    assert len(str(caught.value)) <= 300
    assert pb.attribute(make(), X, 1, method="captum(IntegratedGradients)").values.shape == X.shape


def test_a_model_that_refuses_to_be_copied_is_named_and_methods_that_call_it_run() -> None:
    class Alone(Holder):
        def __deepcopy__(self, memo: object) -> "Alone":
            raise RuntimeError("there can only be one")

    with pytest.raises(TypeError, match=r"Alone cannot be copied .*only be one.*only calls the model"):
        pb.attribute(Alone(), X, 1, method="captum(DeepLift)")
    assert pb.attribute(Alone(), X, 1).values.shape == X.shape
