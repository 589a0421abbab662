"""Tables in Markdown, and the cells that several of them share."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

RATIO = "**{ratio:.2f}** ({low:.2f}–{high:.2f})"  # the median, and the smallest and largest of its rounds


class NothingStored(LookupError):
    """No result is stored of what a section shows."""


def table(rows: pd.DataFrame) -> str:
    """Markdown of a frame without its index, with columns of numbers to the right."""
    body = [["" if pd.isna(cell) else _text(str(cell)) for cell in row] for row in rows.to_numpy()]
    is_number = [all(row[i][:1] in "0123456789-+–*" for row in body) for i in range(len(rows.columns))]
    head = [_text(str(name)) for name in rows.columns]
    lines = [head, ["---:" if right else "---" for right in is_number], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").replace("<", "&lt;").split())


def filled(head: str, template: str, found: pd.DataFrame) -> str:
    """A table of a head and a template, both cut at " | "; each row fills it.  Raises: NothingStored where there is none."""
    if not len(found):
        raise NothingStored
    rows = [[said(cell, row) for cell in template.split(" | ")] for row in found.to_dict("records")]
    return table(pd.DataFrame(rows, columns=head.split(" | ")))


def said(template: str, row: Mapping[str, Any]) -> str:
    """A template, with a dash for what was not noted, and without the range of rounds where none were taken."""
    return re.sub(r"\bnan%?", "–", template.format(**row).replace(" (nan–nan)", ""))


def over(rows: pd.DataFrame) -> str:
    """The ratio of one row; of several, their median, smallest and largest."""
    found = rows["ratio"]
    several = {"ratio": found.median(), "low": found.min(), "high": found.max()}
    return said(RATIO, several if len(rows) > 1 else {"low": float("nan"), "high": float("nan"), **rows.iloc[0]})


def met(rows: pd.DataFrame) -> str:
    """The goal that the rows share, and how many of them meet it."""
    goal, count = rows["goal"].dropna(), int((rows["ratio"] <= rows["goal"]).sum())
    words = f"met by {count} of {len(rows)}" if len(rows) > 1 else "met" if count else "missed"
    return f"{goal.iloc[0]:.3g}, {words}" if len(goal) else ""
