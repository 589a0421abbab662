"""Specs, names and plug-ins."""

import importlib.metadata
from typing import Any

import pytest
import torch

import pullback as pb
from pullback.core.registry import Registry
from pullback.core.spec import Spec, parse


class Square:
    def __init__(self, side: float, colour: str = "red") -> None:
        self.side, self.colour = side, colour


class Circle:
    pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dct", [Spec("dct")]),
        (" dwt( db4 , level=3 ) >> pixel", [Spec("dwt", ("db4",), {"level": 3}), Spec("pixel")]),
        ("a(x=[1, 'b,c'], y=None, z=true)", [Spec("a", (), {"x": [1, "b,c"], "y": None, "z": True})]),
        ("along(dwt(db4) >> dct, axes=1)", [Spec("along", ("dwt(db4) >> dct",), {"axes": 1})]),
        ("a('it\\'s', 1e-3)", [Spec("a", ("it's", 1e-3))]),
        ("a([none, [4, b]], (1,), (2), [], ())", [Spec("a", ([None, [4, "b"]], (1,), 2, [], ()))]),
        ("a([dct(1), 'x, y'], z={'b': [1]})", [Spec("a", (["dct(1)", "x, y"],), {"z": {"b": [1]}})]),
        ("a(-1, +.5)", [Spec("a", (-1, 0.5))]),
        ("a(1., 0x1f, 1e3, 1_000)", [Spec("a", (1.0, 31, 1000.0, 1000))]),
    ],
)
def test_specs_are_calls_with_literals_words_and_specs(text: str, expected: list[Spec]) -> None:
    assert list(parse(text)) == expected


@pytest.fixture
def shapes() -> Registry[Any]:
    registry: Registry[Any] = Registry("shape", "example.shapes", vet)
    registry.register("square")(Square)
    return registry


def vet(kind: object) -> None:
    if kind is Square:
        raise ValueError("squares are not plug-ins")


def test_a_spec_builds_the_object_after_the_leading_arguments(shapes: Registry[Any]) -> None:
    (call,) = parse("square(colour=blue)")
    built = shapes.build(call, 2.0)
    assert (built.side, built.colour) == (2.0, "blue")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sqare", "Unknown shape 'sqare'. Did you mean 'square'.* Choices: square"),
        ("square.big", r"Did you mean 'square\(big\)'"),
        ("square(1, 2, 3)", "shape 'square': too many positional arguments. Its arguments: colour"),
    ],
)
def test_a_wrong_spec_lists_the_choices(shapes: Registry[Any], spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shapes.build(parse(spec)[0], 1.0)


def test_a_name_is_known_in_any_case(shapes: Registry[Any]) -> None:
    assert shapes.maker("Square") is shapes.maker("SQUARE") is Square


def test_a_name_belongs_to_one_class(shapes: Registry[Any]) -> None:
    with pytest.raises(ValueError, match="'square' belongs to Square; choose another name"):
        shapes.register("square")(Circle)
    assert shapes.register("square")(Square) is Square  # the same class again, as when a module is reloaded


@pytest.mark.parametrize("kind", [Square, Circle])
def test_a_plug_in_is_checked_before_it_is_accepted(shapes: Registry[Any], kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "plugged"

        @staticmethod
        def load() -> type:
            shapes.register("beside")(kind)
            return kind

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry()] if group == "example.shapes" else [])
    assert shapes.names() == ["plugged", "square"]
    if kind is Circle:
        assert shapes.maker("plugged") is Circle
        assert "beside" in shapes.names()
        return
    with pytest.raises(ValueError, match="squares are not plug-ins"):
        shapes.maker("plugged")
    assert "beside" not in shapes.names()


def test_a_registered_name_is_found_without_a_search_of_the_environment(
    shapes: Registry[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: searched.append(group) or [])
    assert "square" in shapes
    assert shapes.maker("square") is Square
    assert not searched
    assert "circle" not in shapes
    assert searched == ["example.shapes"]


def test_known_metrics_methods_and_transforms_need_no_search_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = ("gain", "selection_error(budgets=[0.5])")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: pytest.fail(f"searched for {group}"))
    assert [pb.metrics.get(spec).name for spec in specs] == ["gain", "selection_error"]
    x = torch.ones(1, 1, 8)
    pb.attribute(lambda x: x.sum((1, 2)), x, method="integrated_gradients(steps=2)", transform="dwt(haar, level=1)")
