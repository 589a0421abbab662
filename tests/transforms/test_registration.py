"""A transform whose claims are false cannot be registered, by decorator or as a plug-in."""

import importlib.metadata
from collections.abc import Iterable

import pytest
from torch import Tensor

import pullback as pb
from pullback.transforms import Transform, TransformClaim
from pullback.transforms.registry import transforms as registry


class Half(Transform):
    """Half the signal, which it claims to be an isometry."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = (1, 4)
        self.layout = pb.transforms.Pixel(self.shape).layout
        self.claims = TransformClaim.ORTHOGONAL
        self.spec = "half"

    def analysis(self, x: Tensor) -> Tensor:
        return x / 2

    def synthesis(self, z: Tensor) -> Tensor:
        return z * 2

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls()]


class Honest(Half):
    def __init__(self) -> None:
        super().__init__()
        self.claims = TransformClaim.LINEAR | TransformClaim.BIJECTIVE


class Modest(Half):
    def __init__(self) -> None:
        super().__init__()
        self.claims = TransformClaim.LINEAR


class Silent(Half):
    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return []


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_makers", dict(registry._makers))


@pytest.mark.usefixtures("clean_registry")
def test_false_claims_are_refused_with_the_residual_that_shows_it() -> None:
    with pytest.raises(ValueError, match=r"Half is not registered(.|\n)*BROKEN +isometric +5\.0e-01"):
        pb.register_transform("half")(Half)
    with pytest.raises(ValueError, match=r"UNCLAIMED +reconstructs"):
        pb.register_transform("half")(Modest)
    with pytest.raises(ValueError, match=r"examples\(\) is empty"):
        pb.register_transform("half")(Silent)
    with pytest.raises(TypeError, match="subclass of Transform, got dict"):
        pb.register_transform("half")(dict)  # type: ignore[type-var]
    assert "half" not in pb.transforms.names()
    assert pb.register_transform("half")(Honest) is Honest
    assert pb.transforms.names().count("half") == 1


@pytest.mark.usefixtures("clean_registry")
@pytest.mark.parametrize("decorated", [True, False])
@pytest.mark.parametrize("kind", [Half, Honest])
def test_plug_ins_are_checked_when_first_used(kind: type[Half], decorated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "plugged"

        @staticmethod
        def load() -> type[Half]:
            return pb.transforms.register("plugged")(kind) if decorated else kind

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry()])
    for _ in range(2):
        if kind is Honest:
            assert registry.maker("plugged") is Honest
        else:
            with pytest.raises(ValueError, match="Half is not registered"):
                registry.maker("plugged")
            assert "plugged" not in registry._makers


def test_third_parties_have_one_way_to_register() -> None:
    assert pb.register_transform is pb.transforms.register


@pytest.mark.usefixtures("clean_registry")
def test_an_error_in_a_law_is_named() -> None:
    class Raises(Honest):
        def analysis(self, x: Tensor) -> Tensor:
            raise IndexError("off by one")

    with pytest.raises(ValueError, match=r"BROKEN +reconstructs +inf(.|\n)*raised IndexError: off by one"):
        pb.register_transform("raises")(Raises)
