"""The section of a study in the report of its folder: its title, its tables, and the captions of its figures and sounds."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import plain, read_json, write_text
from .explained import captions
from .folder import Run

SECTION = ".page.json"  # beside the results
MOST_ROWS = 500  # of a table of the page; its file has all
EXPLAINED = "Where, and in which octaves, is the score of a class?"
Shown = tuple[str, pd.DataFrame, str]


def write_section(out: Path, title: str, tables: Sequence[Shown], captions: Mapping[str, str], about: str = "") -> None:
    """Stores what the report of the folder `out` says of a study, besides its findings; `write_page` writes the page.

    tables: (name, rows, file). Where a file is given, the index of a row is its place in that CSV file, from 0 on.
    captions: of figures and sounds, by the name of the file or its beginning.  about: how to read all.
    """
    held = [{"name": name, "file": file, **_plain(rows, bool(file))} for name, rows, file in tables]
    text = json.dumps({"title": title, "about": about, "tables": held, "captions": dict(captions)}, ensure_ascii=False)
    write_text(out / SECTION, text)


def _plain(rows: pd.DataFrame, placed: bool) -> dict[str, Any]:
    shown = rows.head(MOST_ROWS)
    cells = [list(map(_text, row)) for row in shown.itertuples(index=False, name=None)]
    places = [int(place) for place in shown.index] if placed else []
    return {"heads": [plain(name) for name in rows], "rows": cells, "places": places, "left": len(rows) - len(shown)}


def _text(value: Any) -> str:
    """A cell as the page shows it."""
    return plain(value) if not isinstance(value, float) else f"{value:.4g}" if math.isfinite(value) else "–"


def section(run: Run) -> dict[str, Any]:
    """The stored section with links to rows; one without a title where none is stored."""
    held, named = _held(run), EXPLAINED if run.summary.get("command") == "explain" else ""
    texts = {"title": held.get("title", named), "about": held.get("about", "")}
    tables = [_linked(table, run) for table in held.get("tables", [])]
    return texts | {"captions": held.get("captions") or captions(run), "tables": tables}


def _held(run: Run) -> dict[str, Any]:
    found = read_json(run.path / SECTION)
    return found if isinstance(found, dict) else {}


def _linked(table: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """A table, whose rows have an address and a number where they stand in a file; the heading is row 1."""
    numbers = [place + 2 for place in table["places"]]
    links = [{"href": f"{run.link(table['file'])}#row={number}", "row": number} for number in numbers]
    rows = itertools.zip_longest(table["rows"], links)
    return dict(table) | {"rows": [{"cells": cells, "link": link} for cells, link in rows]}


def caption(name: str, captions: Mapping[str, str]) -> str:
    """The caption of a file: that of its name, else of the longest beginning of it.

    >>> caption("scales-a.png", {"scales": "Scales.", "scales-a.png": "Scales of a."})
    'Scales of a.'
    """
    known = [start for start in captions if name.startswith(start)]
    return captions[max(known, key=len)] if known else ""
