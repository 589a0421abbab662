"""Doctests of every module, and the Python of README and CONTRIBUTING."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from support import ROOT

FOLDERS = ["transforms", "attribution", "axioms", "metrics", "studies"]
MODULES = [
    f"pullback.{folder}.{info.name}" for folder in FOLDERS for info in pkgutil.iter_modules([str(ROOT / folder)])
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    names = {"torch": importlib.import_module("torch"), "pb": importlib.import_module("pullback")}
    found = doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


def blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/axioms.md"])
def test_python_in_the_guides_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "guide"}
    found = blocks(ROOT / name)
    assert found
    for block in found:
        exec(compile(block, name, "exec"), names)


def test_files_and_commands_that_the_readme_names_exist() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text) + re.findall(r"src=\"(?!https?:)([^\"]+)\"", text):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    goals = re.findall(r"`make ([a-z-]+)`|^    make ([a-z-]+)", text, re.MULTILINE)
    assert goals
    for goal in {name for pair in goals for name in pair if name}:
        assert re.search(rf"^{goal}:", makefile, re.MULTILINE), goal
