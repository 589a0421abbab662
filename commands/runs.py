"""`pullback merge`, `status` and `cost`: about comparisons and studies that run, or ran, in folders."""

from pathlib import Path
from typing import Annotated

import typer

from .. import options
from ..core.files import plain
from ..core.terminal import show, show_table


def merge(
    folders: Annotated[list[Path], typer.Argument(help="The folders of all shards, or one in which they lie.")],
    out: options.OutOption,
    baseline_run: Annotated[Path | None, typer.Option(help=options.BASELINE_RUN)] = None,
) -> None:
    """Join the shards of a comparison: the same files and numbers as of one whole run. No model is loaded."""
    from .. import studies
    from ..studies.report.printed_comparison import print_comparison

    found = studies.merge(folders, out, baseline_run)
    print_comparison(found)


def status(
    folders: Annotated[list[Path], typer.Argument(help="Folders of comparisons, studies or shards, or in which they lie.")],
) -> None:
    """Say how far comparisons and studies are, also while they run: what is done and planned, time left, skipped, shards."""
    from .. import studies
    from ..studies.report.printed import print_status

    found = studies.status(folders)
    print_status(found, studies.missing_shards(found))


def cost(
    trial: Annotated[Path, typer.Argument(help="The folder of a small comparison with these settings, on this hardware.")],
    photos: Annotated[int, options.number("The number of examples of the large one.")] = 1000,
    workers: Annotated[int, options.number("Shards or workers of Ray that run at one time, each on its own hardware.")] = 1,
) -> None:
    """Say what a large comparison will cost, from the time that the examples of a small one have taken."""
    from .. import studies

    found = studies.expected_cost(trial, photos)
    head = ("model", "data", "method", "domains", "measured", "seconds for one", f"hours for {photos:,}")
    rows = [[plain(each.model), plain(each.data), plain(each.method), str(each.domains), str(each.measured)] for each in found]
    times = [[f"{each.seconds:.3g}", f"{each.hours:.3g}"] for each in found]
    show_table(None, head, [row + time for row, time in zip(rows, times)])
    total = sum(each.hours for each in found)
    show(f"all: {total:.3g} hours in one worker, {total / workers:.3g} hours in {workers}")
