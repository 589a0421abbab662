"""`pullback study domains`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import options
from ..core.defaults import PICTURE_METHOD
from ..core.files import plain
from ..core.progress import bar
from ..core.terminal import complain, show
from .divided import show_findings

OUT = Path("results/domains")
RUNS = "Folders of finished comparisons that are read instead of run."
MODELS = f"Repeat it for several. {options.MODEL} If not given: six packaged ones of all kinds of signals, with their data."
DATA = f"{options.DATA} Once for all models, or once for each."
METHODS = "An attribution method; repeat it for several."
LIMIT = "Largest number of signals of each data set. If not given: 40, and fewer for the slow ones of the packaged models."
EFFORT = "quick, default or full, as in compare: only default and full make the whole protocol."
QUICK = "20 signals, few selections, and by default two LeNets on digits: a trial of less than a minute."


@options.grouped
def domains(
    run: options.StudyOptions,
    runs: Annotated[list[Path] | None, typer.Argument(help=RUNS)] = None,
    model: Annotated[list[str] | None, typer.Option(help=MODELS)] = None,
    arch: Annotated[str | None, typer.Option(help=options.ARCH)] = None,
    output: Annotated[str | None, typer.Option(help=options.OUTPUT)] = None,
    input: Annotated[list[str] | None, typer.Option(help=options.INPUT)] = None,
    data: Annotated[list[str] | None, typer.Option(help=DATA)] = None,
    method: Annotated[list[str] | None, typer.Option(help=METHODS)] = None,
    transform: Annotated[list[str] | None, options.domains("those of each kind of signal")] = None,
    limit: Annotated[int | None, options.number(LIMIT)] = None,
    effort: Annotated[str, typer.Option(help=EFFORT)] = "quick",
    quick: Annotated[bool, options.switch("--quick", QUICK)] = False,
    out: options.OutOption = OUT,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, …")] = "auto",
    batch_size: Annotated[str, typer.Option(help=options.BATCH)] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
) -> None:
    """Which domain each model reads in, and which findings repeat for other models, data and kinds of signals."""
    from .. import studies

    asked: dict[str, Any] = {"models": tuple(model or ()), "data": tuple(data or ()), "transforms": tuple(transform or ())}
    asked |= {"methods": tuple(method or (PICTURE_METHOD,)), "limit": limit, "effort": effort, "seed": seed}
    asked |= {"device": options.resolve_device(device), "batch_size": options.batch_size(batch_size)}
    asked |= {"arch": arch, "output": output, "inputs": tuple(input or ())}
    settings = studies.DomainsSettings(**asked)
    if quick:
        settings, out = settings.quick, Path("results/domains-quick") if out == OUT else out
    cluster = run.cluster()
    if run.shard is not None:
        with bar("steps", early=True) as progress:
            part = studies.domains_shard(settings, run.shard, out, progress, complain)
        show(f"shard {run.shard}: {part.photos} signals, {part.skipped} of them skipped, in {plain(out)}")
        return
    with bar("steps", early=True) as progress:
        found = studies.domains(settings, out, progress, complain, runs or (), cluster, run.merge or ())
    show_findings(found)
