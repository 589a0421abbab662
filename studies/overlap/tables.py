"""The tables of the studies."""

from typing import Any

import pandas as pd

from ...metrics.protocol.table import COLUMNS
from .rankings import CONTROLS
from .recordings import halves
from .settings import Settings
from .trial import Record

TRUTH = ("si_sdr", "si_sdr_gain", "energy_left", "target_share")
CLASS = ("probability", "log_odds", "fid_in", "ff", "average_drop", "average_increase", "average_gain")


def wide(records: list[Record], settings: Settings) -> pd.DataFrame:
    """A row for each mixture, domain, ranking and budget.

    level: its name; level_db: ‖target‖² over ‖corruption‖² in dB.  method: of the map, "" for a control.
    control: "attribution", "coefficient", "random" or "oracle".  half: explore or confirm.  unit: the target.
    """
    rows = [_about(one, half, row) | row for one, half in _halved(records, settings) for row in one["rows"]]
    frame = pd.DataFrame(rows)
    control = frame["ranking"].isin(CONTROLS)
    frame["method"], frame["control"] = frame["ranking"].mask(control, ""), frame["ranking"].where(control, "attribution")
    first = ["data", "model", "unit", "corruption", "class", "half", "level", "level_db", "kept", "domain", "method", "control"]
    frame = frame.assign(data=settings.data, model=settings.model)
    return frame[[*first, "budget", *TRUTH, *CLASS]]


def _halved(records: list[Record], settings: Settings) -> list[tuple[Record, str]]:
    return list(zip(records, halves(len(records), settings.explored)))


def _about(record: Record, half: str, row: dict[str, Any]) -> dict[str, Any]:
    level = record["levels"][row["level"]]
    own = {"unit": record["target"], "class": record["class"], "corruption": record["corruption"], "half": half}
    return own | {"level_db": level["level"], "kept": level["kept"]}


def long(table: pd.DataFrame) -> pd.DataFrame:
    """The long table, a row for each number, with the columns of `compare_domains` and "level".

    example: the mixture.  unit: the target.
    """
    frame = table.assign(family="own", budget_kind="count", example=table["unit"] + " + " + table["corruption"])
    names = [name for name in COLUMNS if name not in ("metric", "score")] + ["level", "level_db"]
    found = frame.melt(names, [*TRUTH, *CLASS], var_name="metric", value_name="score").dropna(subset="score")
    return found[[*COLUMNS, "level", "level_db"]]


def prediction(records: list[Record], settings: Settings) -> pd.DataFrame:
    """A row for each target and level at which the model is only asked, and for the explained mixtures."""
    rows = []
    for one, half in _halved(records, settings):
        own = {"unit": one["target"], "class": one["class"], "corruption": one["corruption"], "half": half}
        asked = {f"{level:g} dB": said for level, said in zip(settings.sweep, one["sweep"])}
        for name, said in (asked | one["levels"]).items():
            rows.append(
                own | {"name": name, "level_db": said["level"], "probability": said["probability"], "kept": said["kept"]}
            )
    return pd.DataFrame(rows)
