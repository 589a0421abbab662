"""The contrasts of a comparison as one table, `contrasts.csv`, to whose rows the report leads."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import write_text
from .folder import Run

FILE = "contrasts.csv"
NUMBERS = ("mean", "low", "high", "p_corrected", "detectable", "units", "comparisons", "verdict")
Key = tuple[Any, ...]


def write_contrasts(summary: Mapping[str, Any], out: Path) -> list[str]:
    """Writes the table, a row for each contrast.  Returns the name of the file.

    what: "leader" against the other domains and its controls, "pairs" of domains, "question", or "other models".
    """
    rows = pd.DataFrame([row for _, row in contrasts(summary)], columns=["what", "data", "model", "method", *SIDES, *NUMBERS])
    write_text(out / FILE, rows.to_csv(index=False))
    return [FILE]


SIDES = ("question", "domain", "budget_kind", "first", "second")


def contrasts(summary: Mapping[str, Any]) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Each contrast of a summary with its key, in the order of the table."""
    cells = summary.get("cells") or [dict(summary.get("settings") or {}) | dict(summary)]
    for place, found in enumerate(summary.get("conclusions") or []):
        where = {name: cells[place].get(name) for name in ("data", "model", "method")} if place < len(cells) else {}
        yield from (((key[0], place, *key[1:]), where | row) for key, row in _concluded(found or {}))
    yield from _answered(summary)


def _answered(summary: Mapping[str, Any]) -> Iterator[tuple[Key, dict[str, Any]]]:
    for what, name in (("question", "answers"), ("other models", "across_models")):
        yield from (((what, number), {"what": what, **row}) for number, row in enumerate(summary.get(name) or []))


def _concluded(found: Mapping[str, Any]) -> Iterator[tuple[Key, dict[str, Any]]]:
    for name, one in (found.get("checks") or {}).items():
        yield ("leader", name), {**one, "what": "leader", "first": found.get("leader"), "second": name}
    for pair in found.get("pairs") or []:
        numbers = dict(pair.get("contrast") or {})
        yield ("pairs", pair["first"], pair["second"]), numbers | {**pair, "what": "pairs"}


def links(run: Run) -> dict[Key, dict[str, Any]]:
    """The address and the row of each contrast of a comparison, the heading being row 1; {} where there is no such table."""
    if run.summary.get("command") != "compare" or not (run.path / FILE).is_file():
        return {}
    keys = enumerate((key for key, _ in contrasts(run.summary)), 2)
    return {key: {"href": f"{run.link(FILE)}#row={row}", "row": f"{FILE}, row {row}"} for row, key in keys}


def sourced(sentences: Sequence[str], run: Run) -> list[dict[str, str]]:
    """Each sentence with the address and the rows of the contrasts that it is about; "" where it is about none."""
    known, groups = links(run), dict[str, list[int]]()
    for row, (key, one) in enumerate(contrasts(run.summary) if known else (), 2):
        ends = {"question": ": ", "other models": ", for other models"}
        about = one["question"] + ends[key[0]] if key[0] in ends else run.summary["conclusions"][key[1]]["sentence"]
        groups.setdefault(about, []).append(row)
    rows = [next((f"{own[0]}-{own[-1]}" for text, own in groups.items() if text in said), "") for said in sentences]
    return [{"text": said, "row": at, "href": f"{run.link(FILE)}#row={at}" if at else ""} for said, at in zip(sentences, rows)]
