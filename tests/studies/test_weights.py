"""Weights in files with `--arch`: state dicts, checkpoints of training programs, and safetensors."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from pullback import studies
from pullback.studies.loaders.weights import load_weights

CODE = """
import torch
from pullback.studies import LoadedModel
def make(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
def sound(): return LoadedModel("net", make(), classes=("Crow", "Lark", "Owl"), kind="audio", rate=8000.0, output=None)
def wide(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 5))
def given(): return make().state_dict()
"""


class Pair(nn.Module):
    """Two layers that share their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def state(scale: float = 1.0) -> dict[str, Tensor]:
    return {"1.weight": torch.arange(12.0).reshape(3, 4) * scale, "1.bias": torch.ones(3) * scale}


def named(prefix: str, scale: float = 1.0) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state(scale).items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


HELD = {
    "plain": (state(), ""),
    "lightning": (
        {"epoch": 3, "state_dict": named("model.") | {"loss.w": torch.ones(1)}},
        "under 'state_dict', without the prefix",
    ),
    "parallel": (named("module."), "its weights, without the prefix 'module.' of the keys"),
    "compiled": ({"model_state_dict": named("module._orig_mod.")}, "without the prefix 'module._orig_mod.'"),
    "average": ({"ema": state(2.0), "model": state()}, "under 'model', not those of 'ema', which fit too"),
    "optimizer": ({"net": state(), "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}, "under 'net'"),
    "beside": ({"loss": torch.ones(1), "weights": state()}, "under 'weights'"),
    "half": ({key: value.half() for key, value in state().items()}, ""),
}


@pytest.mark.parametrize("name", HELD)
def test_weights_are_found_in_what_training_programs_write_and_it_is_said(name: str, folder: Path) -> None:
    held, sentence = HELD[name]
    torch.save(held, folder / "w.pth")
    said: list[str] = []
    loaded = studies.load_model("w.pth", arch="code.py:make", note=said.append)
    torch.testing.assert_close(loaded.module.state_dict(), nn.modules.module.OrderedDict(state()), check_dtype=True)
    assert loaded.name == "w.pth"
    assert bool(said) == bool(sentence)
    assert sentence in "".join(said)
    if name == "lightning":
        assert "loss.w" in said[0]


def test_safetensors_with_metadata_and_shared_weights(folder: Path) -> None:
    save_file(state(), folder / "w.safetensors", metadata={"format": "pt"})
    assert torch.equal(studies.load_model(folder / "w.safetensors", arch="code.py:make").module[1].bias, torch.ones(3))
    saved, read = Pair(), Pair()
    save_model(saved, str(folder / "pair.safetensors"))  # writes the shared weights once
    load_weights(read, folder / "pair.safetensors", "Pair")
    assert torch.equal(read.second.weight, saved.first.weight)
    save_file({"first.weight": torch.zeros(4, 4)}, folder / "half.safetensors")
    apart = Pair()
    apart.second.weight = nn.Parameter(torch.ones(4, 4))
    with pytest.raises(ValueError, match=r"1 of 2 keys are missing \(second\.weight\)"):
        load_weights(apart, folder / "half.safetensors", "Pair")


def test_weights_of_another_device_are_read_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:7")
        torch.save(state(), folder / "cuda.pth")
    assert studies.load_model("cuda.pth", arch="code.py:make").module[1].bias.device.type == "cpu"


def test_the_description_comes_with_the_architecture(folder: Path) -> None:
    torch.save(state(), folder / "w.pth")
    loaded = studies.load_model("w.pth", arch="code.py:sound")
    assert (loaded.kind, loaded.rate, loaded.class_index("lark")) == ("audio", 8000.0, 1)


WRONG = {
    "missing": (named("other_"), r"2 of 2 keys are missing \(1\.weight, 1\.bias\); 2 keys are unexpected \(other_1\.weight"),
    "one": ({"1.weight": state()["1.weight"]}, r"1 of 2 keys are missing \(1\.bias\)"),
    "list": ([1, 2], "holds no state dict"),
    "nothing": ({"epoch": 1}, "holds no state dict"),
    "module": (nn.Linear(1, 1), r"is a pickled object \(torch\.nn\.modules\.linear\.Linear\), which runs code"),
}


@pytest.mark.parametrize("name", WRONG)
def test_weights_that_do_not_fit_are_refused_in_a_line(name: str, folder: Path) -> None:
    held, sentence = WRONG[name]
    torch.save(held, folder / "w.pth")
    with pytest.raises(ValueError, match=sentence) as refused:
        load_weights(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), Path("w.pth"), "code.py:make")
    assert len(str(refused.value)) <= 300


def test_shapes_that_differ_are_named_and_nothing_is_changed(folder: Path) -> None:
    torch.save(state(), folder / "w.pth")
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 5))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(ValueError, match=r"2 shapes differ: 1\.weight is \(3, 4\) in the file and \(5, 4\) in the module"):
        load_weights(module, Path("w.pth"), "code.py:wide")
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("model", "arch", "sentence"),
    [
        ("w.pth", None, r"It holds weights without code: build the module in a function, and add --arch FILE\.py:FUNCTION"),
        ("w.pth", "code.py", "arch: expected package.module:callable"),
        ("w.pth", "w.pth", "arch: expected package.module:callable"),
        ("w.pth", "code.py:given", r"Arch .* got OrderedDict: pass a file of weights as --model"),
        ("gone.pth", "code.py:make", "does not exist"),
        ("yamnet", "code.py:make", "arch: it is for files of weights"),
        ("code.py:make", "code.py:make", "arch: it is for files of weights"),
        ("empty.pth", "code.py:make", "is empty; copy or save it again"),
        ("empty.safetensors", None, "is empty; copy or save it again"),
        ("cut.pth", "code.py:make", "cut off or damaged"),
        ("cut.safetensors", "code.py:make", "cannot be read"),
        ("text.pth", "code.py:make", "--arch is for files of weights"),
        ("program.pt2", "code.py:make", r"a program of torch\.export; .* a model without it"),
        ("hub", None, "a folder that transformers saved is hf:hub"),
    ],
)
def test_what_is_no_file_of_weights_is_named(model: str, arch: str | None, sentence: str, folder: Path) -> None:
    torch.save(state(), folder / "w.pth")
    save_file(state(), folder / "w.safetensors")
    for name in ("empty.pth", "empty.safetensors"):
        (folder / name).write_bytes(b"")
    for whole in ("w.pth", "w.safetensors"):
        (folder / whole.replace("w", "cut", 1)).write_bytes((folder / whole).read_bytes()[:-20])
    (folder / "text.pth").write_text("no weights")
    if model == "program.pt2":
        torch.export.save(torch.export.export(nn.Flatten(), (torch.zeros(1, 2),)), folder / model)
    (folder / "hub").mkdir()
    (folder / "hub" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=sentence) as refused:
        studies.load_model(model, arch=arch)
    assert len(str(refused.value)) <= 300
