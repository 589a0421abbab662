"""The page about axioms says what is stored, how much of it is missing, and when it is older than the laws."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support import ROOT
from support.subjects import normal

from pullback import studies
from pullback.axioms.rewrites.modules import small_network
from pullback.studies.axiom_matrix.matrix import Question
from pullback.studies.axiom_matrix.run import code

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
    assert "older" not in figures
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
    path.write_text(path.read_text().replace(code(), "0" * 16))
    assert "4 of the cells are older than the laws of this version." in generator.figures()
    path.unlink()
    assert "may be older than the laws" in generator.figures()


def test_old_verdicts_are_called_old(generator: ModuleType, tmp_path: Path) -> None:
    entry = {
        "method": "m",
        "axiom": "dummy",
        "known": "kept",
        "asked": 3,
        "wrong": [],
        "nearest residual / tolerance": 0.5,
    }
    settings = {"seeds": 1, "precisions": ["a"], "domains": ["b", "c", "d"], "code": code()}
    for digest, old in ((code(), False), ("0" * 16, True)):
        text = json.dumps({"settings": settings | {"code": digest}, "entries": [entry]})
        (tmp_path / "axiom-verdicts.json").write_text(text)
        assert ("older than the laws" in generator.stability()) is old
        assert "3 verdicts with a known answer" in generator.stability()


def test_the_sections_of_the_page_are_those_of_the_generator(generator: ModuleType) -> None:
    text = (ROOT / "docs" / "axioms.md").read_text()
    for name in generator.SECTIONS:
        assert text.count(f"<!-- {name}:begin -->") == text.count(f"<!-- {name}:end -->") == 1
    assert text.count(":begin -->") == len(generator.SECTIONS)
