"""The front page stays short, and the citation names the version that is installed."""

import importlib.metadata
import re

from support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BYTES, PICTURE_BYTES, PYTHON_LINES = 6_000, 200_000, 12


def test_the_readme_is_short_and_holds_nothing_generated() -> None:
    assert len(README.encode()) <= BYTES
    assert ":begin -->" not in README


def test_the_readme_has_one_small_picture_whose_script_is_kept() -> None:
    (name,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    picture = ROOT / name
    assert picture.stat().st_size <= PICTURE_BYTES
    assert picture.with_suffix(".py").is_file()


def test_the_example_of_the_readme_is_short_and_shows_its_output() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```\n\n```text\n", README, re.DOTALL | re.MULTILINE)
    assert len([line for line in code.splitlines() if line]) <= PYTHON_LINES


def test_the_citation_names_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {importlib.metadata.version('pullback')}\n" in citation
