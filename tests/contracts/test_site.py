"""The pages that are generated for the documentation's site hold every public name and every registered object."""

import importlib
import inspect
import json
import re
import sys
from pathlib import Path

import pytest
from support import ROOT
from support.source import ROOMS

import pullback as pb
from pullback.axioms.method_laws import LAWS
from pullback.metrics import Needs

sys.path.insert(0, str(ROOT / "docs" / "site"))

import api
import bibliography
import downloads
import members


def public(room: str) -> set[str]:
    """The names of a room, and NAME.MEMBER for all methods and properties of its classes; annotated names are fields."""
    module = importlib.import_module(room)
    found = set(module.__all__)
    for name in module.__all__:
        held = vars(kind) if inspect.isclass(kind := getattr(module, name)) else {}
        bound = {own for own, member in held.items() if own[0] != "_" and hasattr(type(member), "__get__")}
        found |= {f"{name}.{own}" for own in bound - set(held.get("__annotations__", ()))}
    return found


def sections(page: str) -> dict[str, str]:
    """{name: text} of the sections of a page, without the block of the signature."""
    parts = re.split(r"^#+ [\w.]+ \{: #([\w.]+) \}\n", page, flags=re.MULTILINE)
    return {
        name: re.sub(r"^\s*```python\n[^>].*?^```\n", "", text, flags=re.DOTALL | re.MULTILINE).strip()
        for name, text in zip(parts[1::2], parts[2::2])
    }


@pytest.mark.parametrize("room", api.ROOMS)
def test_every_public_name_and_member_has_a_section_that_says_something(room: str) -> None:
    written = sections(api.pages()[f"api/{room}.md"])
    assert public(room) - set(written) == set()
    assert {name for name in public(room) if not written[name]} == set()


def test_every_room_with_public_names_has_a_page() -> None:
    rooms = ["pullback", *(f"pullback.{room}" for room in ROOMS if room != "commands")]  # parts of the command line
    assert [room for room in rooms if hasattr(importlib.import_module(room), "__all__")] == sorted(api.ROOMS, key=rooms.index)


def test_a_member_takes_the_docstring_of_its_base_and_one_without_any_is_seen() -> None:
    base = type("Base", (), {"f": lambda self: 1, "g": lambda self: 1})
    base.f.__doc__ = "What f does."
    page = api.entry("Own", type("Own", (base,), {"f": lambda self: 2, "g": property(lambda self: 2)}), 2)
    assert {name: text for name, text in sections(page).items() if name != "Own"} == {"Own.f": "What f does.", "Own.g": ""}


def test_every_registered_object_has_a_page_with_its_facts() -> None:
    found = members.sections()
    names = {"Transforms": pb.transforms.names(), "Methods": pb.attribution.names(), "Metrics": pb.metrics.names()}
    names["Axioms"] = [law.name for law in LAWS]
    assert {section: list(pages) for section, pages in found.items()} == {
        section: [f"{section.lower()}/{name}.md" for name in own] for section, own in names.items()
    }
    every = {path: text for pages in found.values() for path, text in pages.items()}
    assert [path for path, text in every.items() if not re.search(r"^\| source \| [^|\s]", text, re.MULTILINE)] == []
    assert [path for path, text in every.items() if not re.search(r"^\| (time|evaluations)\b", text, re.MULTILINE)] == []
    assert [path for path, text in every.items() if not re.search("claims|must be kept by|compares methods", text)] == []


def test_every_page_has_a_picture_but_those_that_say_why_not() -> None:
    every = {path: text for pages in members.sections().values() for path, text in pages.items()}
    bare = {path.split("/")[1][:-3] for path, text in every.items() if "![" not in text}
    needing = {name for name in pb.metrics.names() if pb.metrics.get(name).needs & (Needs.TRUTH | Needs.SOURCE)}
    assert bare == needing
    assert all(members.WITHOUT in every[f"metrics/{name}.md"] for name in bare)


def test_every_source_of_the_library_is_in_the_bibliography() -> None:
    page = (ROOT / "docs" / "bibliography.md").read_text()
    assert bibliography.missing(page, bibliography.stated()) == set()
    assert bibliography.missing(page, ["Nobody & Nowhere 1999, eq. (1)"]) == {("Nobody & Nowhere", "1999")}


def test_docstrings_become_markdown_that_shows_what_they_say() -> None:
    text = "a = |g_i| of (batch, *coeff) <b>.\n\n    plain = words\n\n    z_k = √2 x_k\n\n>>> 1 + 1\n2\n\nThe `x_0` stays."
    shown = api.prose(text)
    assert r"\|g<sub>i</sub>\| of (batch, \*coeff) <b>.".replace("<b>", r"\<b>") in shown
    assert "\n    plain = words\n" in shown
    assert '<div class="formula" markdown="0">' in shown
    assert "<msqrt>" in shown
    assert "<msub><mi>x</mi><mi>k</mi></msub>" in shown
    assert "```python\n>>> 1 + 1\n2\n```" in shown
    assert "`x_0`" in shown


def test_signatures_are_short() -> None:
    assert "pullback." not in api.signature("attribute", pb.attribute)
    assert api.signature("len", len) == "len(obj, /)"


TAUGHT = [ROOT / "docs" / "getting-started.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]


@pytest.mark.parametrize("path", TAUGHT, ids=lambda path: path.stem)
def test_a_notebook_holds_what_its_page_prints_and_shows(path: Path) -> None:
    text = path.read_text()
    cells = json.loads(downloads.notebook(text, path.parent))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    printed = "".join(line for cell in code for output in cell["outputs"] for line in output["text"])
    assert printed == "".join(re.findall(r"^```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert printed
    assert [cell["execution_count"] for cell in code] == [*range(1, len(re.findall("^```python", text, re.MULTILINE)) + 1)]
    pictures = [name for cell in cells for name in cell.get("attachments", ())]
    assert pictures == re.findall(r"^!\[.*/(.*)\)$", text, re.MULTILINE)
    compile(downloads.script(text), path.name, "exec")


def test_every_indented_line_of_a_docstring_is_a_formula_that_is_typeset_or_code() -> None:
    pages = api.pages() | {path: text for part in members.sections().values() for path, text in part.items()}
    fenced = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
    left = {line for text in pages.values() for line in re.findall(r"^    \S.*$", fenced.sub("", text), re.MULTILINE)}
    assert {line for line in left if re.search("[√Σ⊙ᵀε∈π∇²]", line)} == set()
    typeset = {path for path, text in pages.items() if "<math" in text}
    assert {"transforms/mdct.md", "transforms/dct.md", "methods/mask.md"} <= typeset
