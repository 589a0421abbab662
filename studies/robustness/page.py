"""The report of the robustness study: a page, and its parts for other pages."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import write_whole
from ..report.section import write_section
from .spectra import DEFINITIONS
from .verdicts import QUESTIONS, sign

CAPTIONS = {
    "paper": "The paper's figure, digitised, beside the same definition here: mean |∂f/∂z| of each scale, normalised in each "
    "example. The paper's shares of one training sum to less than 1; here they sum to 1, and the first is the approximation.",
    "spectra": "Importance by octave in every definition. Bands: 95 % intervals over trainings, or over examples where a "
    "group has one model.",
    "behaviour": "How the models behave: right answers after ideal radial filters, the root mean square of the noise of one "
    "octave that brings the accuracy half way to chance (on the grey line: twice the largest level or more), and right answers "
    "under projected gradient ascent.",
    "examples": "How well a score of one gradient, the share of importance that a filter lets pass, tells which answers "
    "survive it. Grey: controls. 0.5 is chance.",
    "heat": "Fourier heat map: wrong answers when one wave is added to the brightness, before the normalisation.",
    "models": "One dot a model. *: an r over groups that is significant after correction for all pairs; models of one group "
    "are no independent evidence, so that their r has no star.",
}


def caption(file: str) -> str:
    """What a figure shows.

    >>> caption("heat-digits.png")[:16]
    'Fourier heat map'
    """
    return CAPTIONS[file.partition(".")[0].partition("-")[0]]


def shares(table: pd.DataFrame, data: str) -> pd.DataFrame:
    """The mean shares of each group in per cent: a row for each definition and group, a column for each octave."""
    rows = table[(table["data"] == data) & (table["model"] == "") & (table["quantity"] == "share")]
    wide = rows.pivot_table(index=["name", "group"], columns="band", values="value", sort=False)
    found = (100 * wide).map(lambda value: f"{value:.1f}").reset_index()
    found["name"] = found["name"].map(lambda name: DEFINITIONS[name].formula)
    return found.rename(columns={"name": "definition"})


def accuracies(table: pd.DataFrame, data: str) -> pd.DataFrame:
    """Right answers of each group in per cent: unchanged and under attacks, mean over its models."""
    rows = table[(table["data"] == data) & (table["model"] == "") & (table["quantity"] == "accuracy")]
    rows = rows[rows["name"].str.startswith("attack") | (rows["name"] == "clean")]
    wide = rows.pivot_table(index="group", columns="name", values="value", sort=False)
    found = (100 * wide).map(lambda value: f"{value:.1f}").reset_index()
    return found.rename(columns=lambda name: str(name).replace("attack", "ε =").replace("clean", "unchanged"))


def contrasts(found: pd.DataFrame, question: str) -> pd.DataFrame:
    """The rows of one of `QUESTIONS`, with corrected intervals in words."""
    rows = found[found["question"] == question]
    verdict = {1: "above 0", -1: "below 0", 0: "not different from 0"}
    if question == "examples":
        verdict = {1: "better", -1: "worse", 0: "not different"}
        rows = rows[rows["against"].notna()]
    said: Callable[[Any], str] = lambda value: DEFINITIONS[value].formula if value in DEFINITIONS else value
    columns = {"data": "data", "group": "group", "score": "name", "condition": "condition", "against": "against"}
    cells = {head: [said(value) if isinstance(value, str) else "" for value in rows[name]] for head, name in columns.items()}
    cells["difference or r"] = [
        f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
        for value, low, high in rows[["value", "low", "high"]].itertuples(index=False)
    ]
    cells["n"] = [f"{count} {units}" for count, units in zip(rows["n"], rows["units"])]
    cells["verdict"] = [verdict[sign(row)] for _, row in rows.iterrows()]
    shown = pd.DataFrame(cells, index=rows.index)
    return shown.loc[:, (shown != "").any()]


def write(table: pd.DataFrame, found: pd.DataFrame, about: Mapping[str, Any], pictures: Sequence[str], out: Path) -> None:
    """Stores what the report says of the study."""
    data = list(dict.fromkeys(table["data"]))
    tables = [(f"{name}: right answers, %", accuracies(table, name), "") for name in data]
    tables += [(f"{name}: shares by octave, %", shares(table, name), "") for name in data]
    asked = [name for name in QUESTIONS if (found["question"] == name).any()]
    tables += [(QUESTIONS[name], contrasts(found.reset_index(drop=True), name), "claims.csv") for name in asked]
    title = f"On which scales do {about['models']} models rely, and does it say how they behave?"
    write_section(out, title, tables, {name: caption(name) for name in pictures})


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Writes a compressed table, whole or not at all, with the same bytes for the same rows."""
    packed = gzip.compress(rows.to_csv(index=False).encode(), mtime=0)
    write_whole(path, lambda name: Path(name).write_bytes(packed))
