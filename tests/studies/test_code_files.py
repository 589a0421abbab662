"""Models in files of code: found by path and name, read anew when changed, and refused in a line."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from torch import nn

from pullback import studies

CODE = """
import torch
import beside
def make(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, beside.CLASSES))
class Nets:
    @staticmethod
    def small(): return make()
fault = lambda: undefined
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with net.py and the module that it imports; the current folder is another one."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "net.py").write_text(CODE)
    (folder / "beside.py").write_text("CLASSES = 4")
    (folder / "json.py").write_text("import torch\nmake = torch.nn.Flatten")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    return folder


def test_a_file_of_code_is_a_model(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(sys.path)
    for spec in ("code/net.py:make", "./code/net.py:make", f"{code}/net.py:make", Path("code/net.py:make")):
        assert len(studies.load_model(spec).module) == 2
    assert len(studies.load_model("code/net.py:Nets.small").module) == 2
    assert isinstance(studies.load_model("code/json.py:make").module, nn.Flatten)  # not the module json of Python
    assert json.loads("1") == 1
    monkeypatch.chdir(code)
    for spec in ("net.py:make", "net:make"):
        assert len(studies.load_model(spec).module) == 2
    assert sys.path == before


def test_changed_code_is_read_anew(code: Path) -> None:
    (code / "other.py").write_text("import torch\nmake = torch.nn.Flatten")
    assert isinstance(studies.load_model("code/other.py:make").module, nn.Flatten)
    (code / "other.py").write_text("import torch\nmake = torch.nn.Identity  # changed")
    assert isinstance(studies.load_model("code/other.py:make").module, nn.Identity)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("code/net.py", "as in code/net.py:make"),
        ("code/nothing.py:make", "there is no file"),
        ("code/net.py:nothing", "code/net.py has no 'nothing'; it defines "),
        ("code/net.py:", "expected package.module:callable or FILE.py:callable"),
        (":make", "expected package.module:callable"),
        (".net:make", "expected package.module:callable"),
        ("code/net:make", "expected package.module:callable or FILE.py:callable"),
        ("", "Unknown model ''. Choices"),
        ("code", "'code' is a folder"),
        ("m" * 100_000, "Unknown model"),
        ("x.onnx", "does not exist"),
        ("x.keras", "does not exist"),
    ],
)
def test_a_model_that_is_not_there_is_refused_in_a_line(spec: str, message: str, code: Path) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as refused:
        studies.load_model(spec)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 400


def test_an_error_in_the_users_code_is_the_users(code: Path) -> None:
    with pytest.raises(NameError, match="undefined"):
        studies.load_model("code/net.py:fault")
    (code / "broken.py").write_text("raise AttributeError('inside')")
    with pytest.raises(AttributeError, match="inside"):
        studies.load_model("code/broken.py:make")


def test_the_preparation_is_recorded(tmp_path: Path, code: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    asked = studies.Settings(
        "code/net.py:make", tmp_path / "a.png", "gradient", ("pixel",), size=8, mean=(0.5,), crop=False, pictures=0
    )
    studies.compare(asked, tmp_path / "o")
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    expected = {"size": 8, "mean": [0.5] * 3, "std": [0.229, 0.224, 0.225], "crop": False, "channels": 3}
    assert summary["preparation"] == expected
    assert summary["settings"]["mean"] == [0.5]
