"""Examples in docstrings and guides run, what guides print is what they say, and their links and commands exist."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest
from support import ROOT
from support.source import ROOMS

from pullback.attribution.baselines.base import baselines
from pullback.attribution.estimator import estimators
from pullback.metrics.base import metrics
from pullback.transforms.registry import transforms

GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PYTHON = re.compile(r"^```python\n(.*?)^```\n(?:\s*^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
LINKS = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?(?: \"[^\"]*\")?\)|(?:src|href)=\"(?!https?:)([^\"#]+)\"")
EXAMPLES = 150, 375  # docstrings with examples, and examples in them, that must not become fewer


def modules() -> list[str]:
    """Every module of every room, rooms within rooms included."""
    faces = [importlib.import_module(f"pullback.{room}") for room in ROOMS]
    inside = [info.name for face in faces for info in pkgutil.walk_packages(face.__path__, f"{face.__name__}.")]
    return [*(face.__name__ for face in faces), *inside, "pullback", "pullback.cli"]


@pytest.mark.parametrize("name", modules())
def test_docstring_examples_run(name: str) -> None:
    names = {"torch": importlib.import_module("torch"), "pb": importlib.import_module("pullback")}
    found = doctest.testmod(importlib.import_module(name), extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


def test_docstrings_hold_no_fewer_examples_than_before() -> None:
    found = [test for name in modules() for test in doctest.DocTestFinder().find(importlib.import_module(name))]
    by_text = {test.docstring: len(test.examples) for test in found if test.examples}  # one text may have two names
    assert len(by_text) >= EXAMPLES[0]
    assert sum(by_text.values()) >= EXAMPLES[1]


def blocks(text: str) -> list[tuple[str, str]]:
    """(Python, the output that is shown behind it or "") for each Python block of a page."""
    return [(code, output) for code, output in PYTHON.findall(text)]


def run(page: str, name: str) -> None:
    """Runs the Python of a page in order, in one namespace, and compares what it prints with what the page shows."""
    names: dict[str, object] = {"__name__": "guide"}
    for code, shown in blocks(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, name, "exec"), names)
        if shown and printed.getvalue() != shown:
            raise AssertionError(f"{name} shows {shown!r}, and its Python prints {printed.getvalue()!r}")


@pytest.mark.parametrize("path", [g for g in GUIDES if blocks(g.read_text())], ids=lambda p: str(p.relative_to(ROOT)))
def test_python_in_the_guides_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "import quantus" in path.read_text():
        reason = "Quantus does not load: pip install '.[bench]'; its OpenCV needs libGL"
        pytest.importorskip("quantus", reason=reason, exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    for registry in (transforms, estimators, baselines, metrics):  # what a page registers is gone after it
        monkeypatch.setattr(registry, "_makers", dict(registry._makers))
    run(path.read_text(), path.name)


def test_the_guides_that_must_hold_python_do() -> None:
    assert {"README.md", "CONTRIBUTING.md"} <= {g.name for g in GUIDES if blocks(g.read_text())}


def test_output_that_differs_from_what_a_page_shows_is_seen() -> None:
    page = "```python\nx = 2\nprint(x)\n```\n\n```text\n2\n```\n\nThen:\n\n```python\nprint(x + 1)\n```\n"
    assert blocks(page) == [("x = 2\nprint(x)\n", "2\n"), ("print(x + 1)\n", "")]
    run(page, "page")
    with pytest.raises(AssertionError, match=r"page shows '3\\n', and its Python prints '2\\n'"):
        run(page.replace("text\n2", "text\n3"), "page")


def broken_links(page: str, folder: Path) -> list[str]:
    """Links of a page to files that do not exist, or to headings that the page they name does not hold."""
    broken = []
    for target, anchor, source in LINKS.findall(page):
        path = folder / (target or source)
        text = page if not (target or source) else path.read_text() if path.suffix == ".md" and path.is_file() else ""
        if not path.exists() or (anchor and text and anchor not in headings(text)):
            broken.append(f"{target or source}#{anchor}".removesuffix("#"))
    return broken


def headings(text: str) -> set[str]:
    """The anchors that a page's headings have on GitHub."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", GUIDES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_the_guides_resolve(path: Path) -> None:
    assert not broken_links(path.read_text(), path.parent)


def test_links_that_lead_nowhere_are_seen(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One, two\n")
    page = '## Here\n[a](a.md) [b](b.md "Title") <img src="c.png"> [d](a.md#one-two) [e](a.md#three) [f](#here) [g](#there)'
    assert broken_links(page, tmp_path) == ["b.md", "c.png", "a.md#three", "#there"]


def test_commands_that_the_guides_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = "\n".join(guide.read_text() for guide in GUIDES)
    goals = {one or other for one, other in re.findall(r"`make ([a-z-]+)`|^(?:    )?make ([a-z-]+)", text, re.MULTILINE)}
    assert {"lint", "test"} <= goals
    assert {goal for goal in goals if not re.search(rf"^{goal}:", makefile, re.MULTILINE)} == set()
