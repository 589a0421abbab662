"""The pages that are generated for the documentation's site hold every public name and every registered object."""

import importlib
import sys

import pytest
from support import ROOT

import pullback as pb

sys.path.insert(0, str(ROOT / "docs" / "site"))

import api
import members


@pytest.mark.parametrize("room", api.ROOMS)
def test_every_public_name_has_a_section(room: str) -> None:
    page = api.pages()[f"api/{room}.md"]
    module = importlib.import_module(room)
    assert [name for name in module.__all__ if f"## {name} {{: #{name} }}" not in page] == []


def test_every_registered_object_has_a_page_with_its_facts() -> None:
    found = members.sections()
    assert list(found["Transforms"]) == [f"transforms/{name}.md" for name in pb.transforms.names()]
    assert list(found["Methods"]) == [f"methods/{name}.md" for name in pb.attribution.names()]
    assert list(found["Metrics"]) == [f"metrics/{name}.md" for name in pb.metrics.names()]
    assert all("## Facts" in page for section in ("Transforms", "Methods", "Metrics") for page in found[section].values())
    assert "completeness" in found["Axioms"]["axioms/index.md"]


def test_docstrings_become_markdown_that_shows_what_they_say() -> None:
    text = "a = |g_i| of (batch, *coeff).\n\n    z = T x\n\n>>> 1 + 1\n2\n\nThe `x_0` stays."
    shown = api.prose(text)
    assert r"\|g\_i\| of (batch, \*coeff)." in shown
    assert "\n    z = T x\n" in shown
    assert "```python\n>>> 1 + 1\n2\n```" in shown
    assert "`x_0`" in shown


def test_signatures_are_short() -> None:
    assert "pullback." not in api.signature("attribute", pb.attribute)
    assert api.signature("len", len) == "len(obj, /)"
