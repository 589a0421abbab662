"""The study: comparisons of several models and data, or finished ones, as one table."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import check_writable, plain, slug, write_parquet, write_text
from ...core.progress import Progress
from ..compare.cluster import Ray, connected
from ..compare.grid import compare
from ..compare.settings import Settings as Comparison
from ..compare.shards import Shard, compare_shard, merge
from ..compare.summary import versions
from ..report.report import write_page
from ..report.section import write_section
from ..storage.results import Results
from ..storage.store import digest
from . import tables
from .figure import drawn
from .settings import Settings
from .tables import CONTRARY, EQUAL, ONCE, OPEN, REPEATS

Told = Callable[[str], object]
Measure = Callable[[Comparison, Path, Progress | None], Any]
CAPTIONS = {
    "domains.png": "A row for each model and data set, a column for each domain: the selection error of the domain that most "
    "cells have, less that of each domain, in points. Bold: a finding after correction; =: equal; pale: open; "
    "blank: not compared; ★: claimed."
}
_SHOWN = 8  # pairs in a sentence


@dataclass(frozen=True)
class Domains:
    """The result.

    cells: which domain each model, data set and method claims.  contrasts: of the domains of each cell.  repeats: which of
    them hold in several cells.  summary: settings and sentences.  out, files: where it is.
    """

    cells: pd.DataFrame
    contrasts: pd.DataFrame
    repeats: pd.DataFrame
    summary: dict[str, Any]
    out: Path
    files: list[str]


def domains(
    settings: Settings | None = None,
    out: str | Path = "results/domains",
    progress: Progress | None = None,
    note: Told | None = None,
    runs: Sequence[str | Path] = (),
    engine: Ray | None = None,
    shards: Sequence[str | Path] = (),
    **options: Any,
) -> Domains:
    """Which domain each model reads in by the comparison protocol, and which findings repeat for other models or data.

    A finding is a contrast of two domains that the protocol claims in its cell and that survives Holm's correction over the
    contrasts of all cells. It repeats where a cell with other data or another model claims the same sign.

    settings: see `Settings`; or its fields as `options`.  runs: folders of finished comparisons that are read instead of run.
    Written into `out`: cells.csv, contrasts.csv, contrasts.parquet, repeats.csv, summary.json, domains.png, and a comparison
    in a folder for each model and data set, where the same call continues.  progress: called with (steps done, planned).
    note: called with a sentence for packaged models or data that are not installed.
    engine: a cluster that measures, as in `compare`.  shards: folders of `domains_shard`, which are merged instead of measured.

    Raises: ValueError for wrong settings or folders, or where `out` holds other results; ImportError; OSError; Interrupted.
    """
    settings, out, told = dataclasses.replace(settings or Settings(), **options), Path(out), note or (lambda text: None)
    found = [cell for run in runs for cell in tables.read(Path(run))]
    check_writable(out)
    results = Results(out, "study domains")
    asked = {"settings": dataclasses.asdict(settings), "runs": [plain(run) for run in runs]}
    with results.run(asked, alone=True):
        left_out: list[dict[str, str]] = []
        if not runs:
            with contextlib.nullcontext() if engine is None else connected(engine):  # one cluster for all comparisons
                found = _compared(settings, out, progress, told, left_out, _measure(engine, shards, told))
        cells, contrasts = tables.cell_table(found), tables.contrast_table(found)
        repeats = tables.repeat_table(contrasts)
        summary = asked | {"versions": versions(), "left_out": left_out, "findings": sentences(cells, contrasts, repeats)}
        files = _write(cells, contrasts, repeats, out)
        results.update(summary | {"files": files}, alone=True)
    write_page([out])
    return Domains(cells, contrasts, repeats, summary, out, files)


def domains_shard(
    settings: Settings, shard: str, out: str | Path, progress: Progress | None = None, note: Told | None = None
) -> Shard:
    """Measures one part of the comparisons of the study, as `compare_shard`; `domains` joins all parts.

    shard: "3/16" is the third of 16 parts.  Raises: as `domains`.
    """
    out, told = Path(out), note or (lambda text: None)
    check_writable(out)

    def measure(asked: Comparison, folder: Path, report: Progress | None) -> Shard:
        return compare_shard(dataclasses.replace(asked, shard=shard), folder, report, note=told)

    parts: list[Shard] = [part for _, part in _pairs(settings, out, progress, told, [], measure)]
    return Shard(out, sum(part.photos for part in parts), sum(part.skipped for part in parts))


def _measure(engine: Ray | None, shards: Sequence[str | Path], told: Told) -> Measure:
    """What makes the comparison of a pair in its folder."""
    if shards:
        return lambda asked, folder, report: _merged([Path(one) / folder.name for one in shards], folder)
    return lambda asked, folder, report: compare(asked, folder, report, note=told, engine=engine)


def _merged(shards: Sequence[Path], folder: Path) -> None:
    """Joins the shards of a comparison.  Raises: ImportError where no shard has it, since its packages were not installed."""
    if not any(shard.exists() for shard in shards):
        raise ImportError(f"no shard holds {folder.name}")
    merge(shards, folder)


def _compared(
    settings: Settings, out: Path, progress: Progress | None, told: Told, left_out: list[dict[str, str]], measure: Measure
) -> list[tables.Cell]:
    """The cells of a comparison for each model and data set; packaged ones that are not installed are left out."""
    return [cell for folder, _ in _pairs(settings, out, progress, told, left_out, measure) for cell in tables.read(folder)]


def _pairs(
    settings: Settings, out: Path, progress: Progress | None, told: Told, left_out: list[dict[str, str]], measure: Measure
) -> Iterator[tuple[Path, Any]]:
    """The folder of each model with its data, and what was measured there.  Raises: ImportError where none is installed."""
    for number, (model, data) in enumerate(settings.pairs):
        folder = out / _folder(model, data)
        try:
            found = measure(settings.comparison(model, data), folder, _share(progress, number, len(settings.pairs)))
        except ImportError as error:
            if settings.models:
                raise
            left_out.append({"model": model, "data": data, "reason": str(error)})
            told(f"{model} on {data} is left out: {error}")
        else:
            yield folder, found
    if len(left_out) == len(settings.pairs):
        raise ImportError("; ".join(dict.fromkeys(one["reason"] for one in left_out))[:300])


def _folder(model: str, data: str) -> str:
    """A name for each pair, also where only the folders of two models differ."""
    return f"{slug(Path(model).name)}-{slug(Path(data).name)}-{digest([model, data])[:6]}"


def _share(progress: Progress | None, number: int, count: int) -> Progress | None:
    return progress and (lambda done, planned: progress(number * planned + done, count * planned))


def sentences(cells: pd.DataFrame, contrasts: pd.DataFrame, repeats: pd.DataFrame) -> list[str]:
    """What is claimed in cells, what repeats, and what does not."""
    claimed = cells[cells["claimed"] != ""]
    said = [f"A domain is claimed in {len(claimed)} of {len(cells)} cells (model, data and method)."]
    for (method, name), own in claimed.groupby(["method", "claimed"], sort=False):
        where = [f"{row['model']} on {row['data']}" for row in own.to_dict("records")]
        other = len(own.drop_duplicates(["data", "model"])) > 1
        said.append(f"{name} is claimed with {method} by {'; '.join(where)}: {'it repeats' if other else 'found once'}.")
    tested = int(contrasts.dropna(subset=["p"]).drop_duplicates([*tables.CELL, "p", "low", "high"]).shape[0])
    counts = repeats["outcome"].value_counts()
    parts = [f"{int(counts.get(name, 0))} {name}" for name in (CONTRARY, ONCE, EQUAL, OPEN)]
    how = f"Holm over {tested} contrasts of all cells"
    head = f"Of {len(repeats)} pairs of domains that two cells or more compare ({how})"
    said.append(f"{head}: {_repeated(repeats)}, {', '.join(parts)}.")
    said += _needs_map(repeats[repeats["outcome"] == REPEATS])
    for outcome, words in ((REPEATS, "Repeats"), (CONTRARY, "Contrary between cells")):
        own = repeats[repeats["outcome"] == outcome].sort_values(["beyond", "claims"], ascending=False)
        named = [_pair(row) for row in own.head(_SHOWN).to_dict("records")]
        more = f"; {len(own) - _SHOWN} more stand in repeats.csv" if len(own) > _SHOWN else ""
        said += [f"{words}: {'; '.join(named)}{more}."] if named else []
    return said


def _repeated(repeats: pd.DataFrame) -> str:
    """How many pairs repeat in several data sets, of those that are compared in several, and how many only in one."""
    own, many = repeats[repeats["outcome"] == REPEATS], int((repeats["compared"] > 1).sum())
    wide = int((own["sets"] > 1).sum())
    return f"{wide} repeat in two data sets (of {many} that two have), {len(own) - wide} for other models of one data set"


def _needs_map(repeated: pd.DataFrame) -> list[str]:
    """How many of the pairs that repeat do so where the map adds to what the domain compacts."""
    count = int((repeated["beyond"] > 1).sum())
    more = "the map of the better domain also selects better than its largest coefficients"
    rest = "elsewhere the lead may be what the domain compacts, which needs no map"
    return (
        [f"Of {len(repeated)} that repeat in either way, {count} do so in cells in which {more}; {rest}."]
        if len(repeated)
        else []
    )


def _pair(row: dict[str, Any]) -> str:
    """A pair of domains, with the cells that claim it."""
    other = row["second"] if row["better"] == row["first"] else row["first"]
    order = f"{row['better']} before {other}" if row["better"] else f"{row['first']} and {row['second']}"
    words = {"models": "model", "sets": "data set"}
    counts = ", ".join(f"{row[name]} {word}{'s' * (row[name] != 1)}" for name, word in words.items())
    beyond = f"; beyond its largest coefficients in {row['beyond']}" if row["better"] else ""
    return f"{order} with {row['method']} ({row['claims']} of {row['cells']} cells, {counts}{beyond})"


def _write(cells: pd.DataFrame, contrasts: pd.DataFrame, repeats: pd.DataFrame, out: Path) -> list[str]:
    """Writes the tables and the figure. Returns the names of all files."""
    for name, table in (("cells", cells), ("contrasts", contrasts), ("repeats", repeats)):
        write_text(out / f"{name}.csv", table.to_csv(index=False))
    write_parquet(out / "contrasts.parquet", contrasts)
    pictures = drawn(cells, contrasts, out)
    named = [("Cells", cells, "cells.csv"), ("Pairs of domains", repeats, "repeats.csv")]
    shown = [(title, table.reset_index(drop=True), file) for title, table, file in named]
    write_section(out, "Which domain does each model read in, and does it repeat?", shown, CAPTIONS)
    return ["report.html", "summary.json", "cells.csv", "contrasts.csv", "contrasts.parquet", "repeats.csv", *pictures]
