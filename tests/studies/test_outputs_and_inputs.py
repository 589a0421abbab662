"""Models that return several things, take further inputs, or come with names: in Python and on the command line."""

import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from torch import Tensor, nn

from pullback import attribute, cli, studies
from pullback.studies import LoadedModel, Preparation
from pullback.studies.loaders.adapted import Adapted, read_inputs
from pullback.studies.loaders.outputs import MissingOutput, pick, tables

SIZE = Preparation(8)
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Boxes = namedtuple("Boxes", "places scores")


class ModelOutput(OrderedDict):  # type: ignore[type-arg]
    """As in transformers: a dictionary that is also read by attribute and by place."""

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else tuple(self.values())[key]

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


@dataclass
class Scores:
    logits: Tensor
    loss: None = None


class Returns(nn.Module):
    """Two scores, in what `shape` makes of them and of the input."""

    def __init__(self, shape: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> object:
        flat = x.flatten(1)
        return self.shape(torch.stack([flat.tanh().mean(1), flat.square().mean(1)], 1), x)


FORMS: dict[str, tuple[Callable[[Tensor, Tensor], object], str | int]] = {
    "detections": (lambda y, x: {"boxes": x[:, 0], "scores": y, "labels": y.argmax(1)}, "scores"),
    "key with a dot": (lambda y, x: {"head.a": {"b": y}}, "head.a.b"),
    "model output": (lambda y, x: ModelOutput(logits=y, hidden_states=(x, x)), "logits"),
    "model output by place": (lambda y, x: ModelOutput(logits=y, hidden_states=(x, x)), 0),
    "tuple": (lambda y, x: (x, y), "-1"),
    "nested": (lambda y, x: ((x, {"heads": [x, y]}), x), "0.1.heads.1"),
    "named tuple": (lambda y, x: Boxes(x, y), "scores"),
    "object": (lambda y, x: Scores(y), "logits"),
    "generator": (lambda y, x: (each for each in (x, y)), "1"),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_output_is_named_by_key_place_or_attribute(name: str) -> None:
    shape, output = FORMS[name]
    wanted = Returns(lambda y, x: y)(X)
    model = LoadedModel("net", Returns(shape).eval(), SIZE, output=output)
    assert torch.equal(model.classify(X), wanted)
    assert model.preparation()["output"] == output
    first = attribute(model.module, X, 1, method="gradient").values
    assert torch.equal(first, attribute(Returns(lambda y, x: y).eval(), X, 1, method="gradient").values)


@pytest.mark.parametrize("name", [name for name in FORMS if "dot" not in name and "nested" not in name])
def test_an_output_that_is_not_named_is_suggested(name: str) -> None:
    shape, output = FORMS[name]
    with pytest.raises(ValueError, match="expected a classifier that returns") as refused:
        LoadedModel("net", Returns(shape), SIZE).classify(X[:1])
    named = str(refused.value).partition("Pass --output ")[2].rstrip(".").split(" or ")
    assert {str(output), "1", "logits"} & set(named)
    for each in named:
        assert pick(Returns(shape)(X[:1]), each).shape == (1, 2)


def test_an_output_that_is_not_there_is_refused_with_those_that_are() -> None:
    several = Returns(lambda y, x: {"logits": y, "aux": (x,)})
    for wrong in ("logit", "aux.1", "aux.x", "logits.shape", "0.0"):
        with pytest.raises(MissingOutput, match=r"returns dict with 'logits' \(1, 2\), 'aux' \(tuple\)"):
            LoadedModel("net", several, SIZE, output=wrong).classify(X[:1])
    with pytest.raises(MissingOutput, match=r"returns \(1, 2\), which needs no output"):
        LoadedModel("net", Returns(lambda y, x: y), SIZE, output="logits").classify(X[:1])
    with pytest.raises(ValueError, match=r"returns \(batch, classes\) as aux\.0, got \(1, 3, 8, 8\)"):
        LoadedModel("net", several, SIZE, output="aux.0").classify(X[:1])
    assert list(tables({"a": {"b": {"c": {"d": X[:, 0, 0]}}}}, 2)) == []


def test_an_output_may_be_a_function() -> None:
    model = LoadedModel("net", Returns(lambda y, x: (y, x)), SIZE, output=lambda both: both[0] * 2)
    assert torch.equal(model.classify(X), 2 * Returns(lambda y, x: y)(X))
    assert "<lambda>" in model.preparation()["output"]


class Aged(nn.Module):
    """The scores depend on an age, and on a factor with a default."""

    def forward(self, x: Tensor, age: Tensor, factor: float = 1.0) -> Tensor:
        return factor * age * x.flatten(1)[:, :2]


@pytest.fixture(params=["module", "script", "exported by place", "exported by name"])
def aged(request: pytest.FixtureRequest) -> nn.Module:
    x, age = torch.zeros(2, 3, 8, 8), torch.zeros(2, 2)
    many = {0: torch.export.Dim("rows", min=1, max=64)}
    if request.param == "script":
        with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
            script: nn.Module = torch.jit.script(Aged().eval())
        return script
    if request.param == "module":
        return Aged().eval()
    place = request.param == "exported by place"
    args, kwargs = ((x, age), {}) if place else ((x,), {"age": age})
    shapes: Any = {"x": many, "age": many}
    module: nn.Module = torch.export.export(Aged().eval(), args, kwargs, dynamic_shapes=shapes).module()
    return module


def test_a_further_input_goes_with_every_row(aged: nn.Module) -> None:
    age = torch.tensor([[2.0, 3.0]])
    model = LoadedModel("net", aged, SIZE, model_kwargs={"age": age.double()})
    assert torch.equal(model.classify(X), age * X.flatten(1)[:, :2])
    found = attribute(model.module, X, 1, method="integrated_gradients(steps=2)", batch_size=3)
    assert torch.allclose(found.values.flatten(1).sum(1), 3 * X.flatten(1)[:, 1])
    with pytest.raises(ValueError, match=r"It takes age too: pass --input age=FILE\.npy"):
        LoadedModel("net", aged, SIZE).classify(X)


def test_inputs_are_checked_and_recorded() -> None:
    age = torch.ones(1, 2)
    model = LoadedModel("net", Aged().eval(), SIZE, model_args=(age,), model_kwargs={"factor": 2.0})
    assert torch.equal(model.classify(X), 2 * X.flatten(1)[:, :2])
    said = model.preparation()["inputs"]
    assert said["1"].startswith("torch.float32 (1, 2) ")
    assert said["factor"] == "2.0"
    other = LoadedModel("net", Aged(), SIZE, model_args=(2 * age,)).preparation()["inputs"]
    assert other["1"] != said["1"]
    assert model.described(inputs={"factor": 3.0}).module.inner is model.module.inner
    for wrong, sentence in (("agee", "close: age"), ("mask", "after the signal it takes age, factor"), ("x", "it takes age")):
        with pytest.raises(ValueError, match=f"net: it has no input '{wrong}'; .*{sentence}"):
            LoadedModel("net", Aged(), SIZE, model_kwargs={wrong: age})
    with pytest.raises(ValueError, match="it takes nothing after the signal"):
        LoadedModel("net", nn.Flatten(), SIZE, model_kwargs={"age": age})
    for value, sentence in ((torch.ones(3), r"The input age is \(3,\); .* as \(1, 3\)"), (2, "The input age is the number 2")):
        broken = LoadedModel("net", nn.Bilinear(192, 2, 2), SIZE, model_kwargs={"input2": value})
        with pytest.raises(ValueError, match=sentence.replace("age", "input2")):
            broken.classify(X.flatten(1))


def test_half_models_get_inputs_in_their_own_format(tmp_path: Path) -> None:
    class Line(nn.Linear):
        def forward(self, x: Tensor, shift: Tensor) -> Tensor:
            return super().forward(x.flatten(1)) + shift

    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    model = LoadedModel("net", Line(192, 2).half().eval(), SIZE, model_kwargs={"shift": torch.ones(1, 2)})
    found = studies.explain(tmp_path / "a.png", model=model, transforms=["pixel"], method="gradient", out=tmp_path / "o")
    assert np.isfinite(found.score)


def test_inputs_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("age.npy", np.arange(2, dtype=">f8")[None])
    np.save("objects.npy", np.array([{}], dtype=object))
    Path("empty.npy").write_bytes(b"")
    found = read_inputs(["age=age.npy", "factor=2", "flag=false", "none=null"])
    assert torch.equal(found.pop("age"), torch.tensor([[0.0, 1.0]]).double())
    assert found == {"factor": 2, "flag": False, "none": None}
    for wrong, sentence in {
        "age": "expected NAME=FILE.npy or NAME=NUMBER",
        "=3": "expected NAME",
        "a b=3": "expected NAME",
        "age=gone.npy": "No such file",
        "age=empty.npy": "is no .npy file of numbers",
        "age=objects.npy": "is no .npy file of numbers",
        "age=old": "a number, true, false or null",
        "age=[1]": "a number, true, false or null",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            read_inputs([wrong])
    with pytest.raises(ValueError, match="age is given twice"):
        read_inputs(["age=1", "age=2"])


def test_an_adapted_model_keeps_its_mode_and_repeats_inputs_without_copies() -> None:
    adapted = Adapted(Aged().eval(), None, (torch.ones(1, 2), torch.ones(4)), {})
    assert not adapted.training
    (age, other), _ = adapted.inputs(X)
    assert age.shape == (2, 2)
    assert age.stride(0) == 0
    assert other.shape == (4,)


def test_classes_are_found_without_their_signs_and_by_words() -> None:
    names = ("🐦 Crow", "Crow family", "Lark/Ünïcode", "tench, Tinca tinca", "a" * 200)
    model = LoadedModel("birds", nn.Identity(), classes=names)
    asked = {"crow": 0, "🐦": 0, "CROW FAMILY": 1, "lark ünïcode": 2, "tinca tinca": 3, "tench": 3}
    assert {name: model.class_index(name) for name in asked} == asked
    with pytest.raises(ValueError, match=r"close ones: tench, Tinca tinca \(3\)"):
        model.class_index("tensch")
    with pytest.raises(ValueError, match="birds has 5 classes: 🐦 Crow, Crow family") as refused:
        model.class_index("zebra")
    assert len(str(refused.value)) < 300
    with pytest.raises(ValueError, match="names no classes: pass its number"):
        LoadedModel("net", nn.Identity()).class_index("crow")


# The command, for every kind ---------------------------------------------------------------------------------------------

NETS = """
import torch
from torch import nn
from pullback.studies import LoadedModel, Preparation
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 4)
    def forward(self, x, age):
        flat = x.flatten(1)
        features = torch.stack([flat.tanh().mean(1), flat.cos().mean(1), flat.sin().mean(1)], 1)
        return {"logits": self.head(features) * age, "x": x}
NAMES = "🐦 Crow", "Lark", "Owl", "Wren"
def named(**more): return LoadedModel("net", Net(), classes=NAMES, **more)
def image(): return named(prepare=Preparation(8))
def audio(): return named(kind="audio", rate=8000.0, window=1000)
def volume(): return named(kind="volume")
def series(): return named(kind="series")
def none(): pass
def cls(): return Net
"""


@pytest.fixture
def signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Two files of each kind, nets that take them, and weights; the folder is the current one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "nets.py").write_text(NETS)
    for name in ("1", "2"):
        Image.fromarray(rng.integers(0, 255, (9, 8, 3), dtype=np.uint8)).save(f"{name}.png")
        wavfile.write(f"{name}.wav", 8000, rng.integers(-9000, 9000, 1500).astype(np.int16))
        np.save(f"{name}.npy", rng.normal(size=(4, 6, 5)).astype(np.float32))
        np.savetxt(f"{name}.csv", rng.normal(size=(40, 2)), delimiter=",")
    np.save("age.npy", np.full((1, 1), 2.0))
    weight = torch.arange(12.0).reshape(4, 3) / 20
    torch.save({"state_dict": {"module.head.weight": weight, "module.head.bias": torch.arange(4.0)}}, "w.ckpt")
    ends = {"image": "png", "audio": "wav", "volume": "npy", "series": "csv"}
    return {kind: [f"1.{end}", f"2.{end}"] for kind, end in ends.items()}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pullback", *arguments, "--method", "gradient", "--transform", "pixel"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("kind", ["image", "audio", "volume", "series"])
def test_every_kind_has_weights_outputs_inputs_and_names(
    kind: str, signals: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", "w.ckpt", "--arch", f"nets.py:{kind}"]
    more = ["--output", "logits", "--input", "age=age.npy"]
    assert run(monkeypatch, "explain", *signals[kind], *model, *more, "--top", "3", "--out", "o") == 0
    said = capsys.readouterr()
    assert "loaded the state dict under 'state_dict', without the prefix 'module.' of the keys" in said.err
    assert said.out.count("class 3 (Wren)") == said.out.count("class 2 (Owl)") == 2
    assert run(monkeypatch, "explain", signals[kind][0], *model, *more, "--target", "crow", "--target", "1", "--out", "o") == 0
    assert "class 0 (🐦 Crow)" in capsys.readouterr().out
    wrong = (
        (["--target", "Wrem", *more], "close ones: Wren (3)"),
        (more[2:], "Pass --output logits"),
        (more[:2], "It takes age too"),
    )
    for asked, sentence in wrong:
        assert run(monkeypatch, "explain", signals[kind][0], *model, *asked, "--out", "o") == cli.MISTAKE
        assert sentence in capsys.readouterr().err
    check = ["--axiom", "determinism", "--data", signals[kind][0], "--target", "owl", "--out", "a"]
    assert run(monkeypatch, "axioms", *model, *more, *check) == 0


def test_a_comparison_records_output_inputs_and_architecture(
    signals: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = studies.Settings(
        "w.ckpt", "1.csv", "gradient", ("pixel",), arch="nets.py:series", output="logits", inputs=("age=age.npy",), pictures=0
    )
    summary = studies.compare(asked, tmp_path / "o").summary
    assert summary["settings"]["arch"] == "nets.py:series"
    assert summary["preparation"]["output"] == "logits"
    assert summary["preparation"]["inputs"]["age"].startswith("torch.float64 (1, 1) ")
    studies.compare(asked, tmp_path / "o")  # stored work is used again
    np.save("age.npy", np.full((1, 1), 2.0 + 1e-9))
    told: list[str] = []
    studies.compare(asked, tmp_path / "o", note=told.append)
    assert any("starts from the beginning" in sentence for sentence in told)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("nets.py:none", "got NoneType: the function returns nothing"),
        ("nets.py:cls", "got the class Net; return an instance, Net()"),
        ("nets.py:named", "It takes age too"),
    ],
)
def test_what_a_callable_returns_is_checked(
    model: str,
    sentence: str,
    signals: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "explain", "1.csv", "--model", model, "--kind", "series", "--out", "o") == cli.MISTAKE
    assert sentence in capsys.readouterr().err


def test_data_of_another_kind_are_refused(
    signals: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--model", "nets.py:audio", "--output", "logits", "--input", "age=age.npy", "--out", "o"]
    for data, sentence in (
        ((), "'imagenet-sample' are images, but the model takes recordings"),
        (("--data", "1.png"), "an image"),
    ):
        assert run(monkeypatch, "compare", *more, *data) == cli.MISTAKE
        assert sentence in capsys.readouterr().err
