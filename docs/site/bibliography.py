"""The sources that the library names, and the entries of the bibliography."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "transforms", "attribution", "axioms", "metrics", "domains", "studies")
STATED = re.compile(
    r"(?:Sources?(?: [a-z ]+)?: |\bsource = \")(.*?)(?:\"\n|\"\"\"|\n\s*\n|\n\s*(?:Raises|>>>|Shapes?:))", re.DOTALL
)
CITATION = re.compile(r"([^.;:()\d]*?) ?((?:19|20)\d\d)\b")


def stated() -> Iterator[str]:
    """What stands behind `Source:` and `source =` in the library."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield from (" ".join(match[1].split()) for match in STATED.finditer(path.read_text(encoding="utf-8")))


def citations(text: str) -> list[tuple[str, str]]:
    """(names, year) of each work that a statement names; a year in brackets behind a title has no names before it.

    >>> citations("Yeh et al. 2019, definition 2.1; for images, Fel & Vigouroux 2022.")
    [('Yeh et al', '2019'), ('for images, Fel & Vigouroux', '2022')]
    """
    found = CITATION.findall(text.replace("et al.", "et al"))
    return [(names.strip(), year) for names, year in found if names.strip()]


def entries(page: str) -> set[tuple[str, str]]:
    """(first author, year) of each entry of the page."""
    first = re.findall(r"^- (.+?)(?:,| &| et al\.|) (?:.*? )??((?:19|20)\d\d)\. ", page, re.MULTILINE)
    return {(name, year) for name, year in first}


def missing(page: str, texts: Iterator[str] | list[str]) -> set[tuple[str, str]]:
    """The citations of the texts to which no entry of the page belongs."""
    held = entries(page)
    found = {each for text in texts for each in citations(text)}
    return {(names, year) for names, year in found if not any(own in names for own, when in held if when == year)}
