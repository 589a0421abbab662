"""The sections of docs/statistics.md, from the stored simulation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.stored import RESULTS, ROOT, read

from .tables import NothingStored, filled


def stored(root: Path) -> dict[str, Any]:
    """What `benchmarks.scripts.coverage` found.  Raises: NothingStored."""
    found = read(root / RESULTS.relative_to(ROOT) / "interval-coverage.json")
    if not found:
        raise NothingStored
    return dict(found)


def coverage(root: Path) -> str:
    """The coverage of each interval of a mean, with its median width."""
    found = stored(root)
    rows = pd.DataFrame(found["one_level"])
    rows["text"] = [f"{100 * row.coverage:.1f} % ({row.width:.2f})" for row in rows.itertuples()]
    wide = rows.pivot_table(
        index=["level", "distribution", "units"], columns="interval", values="text", aggfunc="first", sort=False
    )
    head = "level | numbers | how many | bootstrap-t | Student's t | BCa"
    cells = "{level:.1%} | {distribution} | {units} | {bootstrap-t} | {Student's t} | {BCa}"
    return f"""{filled(head, cells, wide.reset_index())}

{found["repetitions"]:,} repetitions; the median width is in brackets."""


def two_levels(root: Path) -> str:
    """The coverage of the interval over models and examples."""
    head = "models | spread between models | examples | coverage of 95 % | median width"
    cells = "{models:.0f} | {model_sd:.0f} | {examples:.0f} | {coverage:.1%} | {width:.2f}"
    return filled(head, cells, pd.DataFrame(stored(root)["two_levels"]))


def claims(root: Path) -> str:
    """How often a family without differences has a claim."""
    found = stored(root)
    head = "numbers | units | contrasts | families with a false claim, Holm | without correction"
    cells = "{distribution} | {units} | {contrasts} | {holm:.1%} | {uncorrected:.1%}"
    return f"""{filled(head, cells, pd.DataFrame(found["claims"]))}

{found["claim_repetitions"]:,} families each."""


SECTIONS: dict[str, Callable[[Path], str]] = {"coverage": coverage, "two-levels": two_levels, "false-claims": claims}
