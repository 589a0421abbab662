"""The page about axioms says what is stored, how much is missing, and what comes from another version of the laws."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support import ROOT
from support.subjects import normal

from pullback import studies
from pullback.axioms.method_laws import LAWS_VERSION
from pullback.axioms.rewrites.modules import small_network
from pullback.studies.axiom_matrix.matrix import Question

sys.path.append(str(ROOT))


@pytest.fixture
def generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/axioms.py, reading and writing in a folder of this test."""
    module = importlib.import_module("benchmarks.axioms")
    monkeypatch.setattr(module, "STORED", tmp_path / "stored")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def test_the_page_is_written_from_what_is_stored(generator: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("captum")
    question = Question(small_network((1, 8, 8)).double(), normal(1, 1, 8, 8), 0)
    studies.write_matrix(
        {"net": question}, tmp_path / "run", methods=["gradient", "shapley"], transforms=["pixel", "dct"]
    )
    generator.store("net", tmp_path / "run")
    figures = generator.figures()
    assert "### net\n\n4 cells" in figures
    assert f"2 of {len(generator.every_method())} methods in all 2 domains; in fewer: `absgrad` (0)" in figures
    assert "1 signal, float64" in figures
    assert "another version" not in figures
    told = generator.asked()
    assert "net, `shapley`" in told
    assert "`shapley(by=block, block=4, unions=band)` in `pixel`" in told
    assert "`shapley(by=orientation)` in `dct`" in told
    assert "| `gradient` | ✗ | ✗ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✗ | ✓ |" in generator.summary()
    assert "| gradient | `gradient` | ✗ (✗) | ✓ (✓) | ✗ (✗) | ✓ (✓) | ✓ (✓) |" in generator.literature()
    assert (
        "- `shapley`, dummy: kept according to Shapley 1953, broken on net in 2 of 2 domains" in generator.differences()
    )

    path = tmp_path / "stored" / "matrix-net.json"
    source = json.loads(path.read_text())
    assert source["laws_version"] == {str(LAWS_VERSION): 4}
    path.write_text(json.dumps(source | {"laws_version": {str(LAWS_VERSION): 1, "0": 3}}))
    assert "3 of the cells come from another version of the laws." in generator.figures()
    path.unlink()
    assert "No file says which version of the laws" in generator.figures()


def test_verdicts_of_another_version_are_named(generator: ModuleType, tmp_path: Path) -> None:
    entry = {
        "method": "m",
        "axiom": "dummy",
        "known": "kept",
        "asked": 3,
        "wrong": [],
        "nearest residual / tolerance": 0.5,
    }
    settings = {"seeds": 1, "precisions": ["a"], "domains": ["b", "c", "d"]}
    for version, old in ((LAWS_VERSION, False), (0, True)):
        text = json.dumps({"settings": settings | {"laws_version": version}, "entries": [entry]})
        (tmp_path / "axiom-verdicts.json").write_text(text)
        assert ("another version of the laws" in generator.stability()) is old
        assert "3 verdicts with a known answer" in generator.stability()


def test_the_sections_of_the_page_are_those_of_the_generator(generator: ModuleType) -> None:
    text = (ROOT / "docs" / "axioms.md").read_text()
    for name in generator.SECTIONS:
        assert text.count(f"<!-- {name}:begin -->") == text.count(f"<!-- {name}:end -->") == 1
    assert text.count(":begin -->") == len(generator.SECTIONS)
