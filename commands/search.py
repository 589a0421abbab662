"""`pullback study search`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import options
from ..core.defaults import PICTURE_METHOD
from ..core.terminal import show, show_files
from .divided import measured

FAMILY = "menu, packets, block_klt, subband_klt or lattice, with options; repeat it for several. If not given: all of them."
ALSO = "Further model for the same data, on which the domains are judged too; repeat it for several."
OBJECTIVE = "What domains are trained and chosen by: l1, entropy, selection or expected."


@options.grouped
def search(
    run: options.StudyOptions,
    model: Annotated[str, typer.Option(help=options.MODEL)] = options.DEFAULT_MODEL,
    data: Annotated[str, typer.Option(help=options.DATA)] = "imagenet-sample",
    also: Annotated[list[str] | None, typer.Option(help=ALSO)] = None,
    family: Annotated[list[str] | None, typer.Option(help=FAMILY)] = None,
    objective: Annotated[str, typer.Option(help=OBJECTIVE)] = "l1",
    shortlist: Annotated[int, options.number("Candidates, the best by the objective, of which the model chooses.", 0)] = 0,
    method: options.MethodOption = PICTURE_METHOD,
    limit: Annotated[int | None, options.number("Largest number of signals.")] = None,
    cuts: Annotated[int, options.number("Parts of each signal, at most 5 of a picture; they count as one.")] = 1,
    samples: Annotated[int | None, options.number("Length of the parts of recordings and series.")] = None,
    folds: Annotated[int, options.number("Parts of the signals, of which each judges once.", 3)] = 5,
    quick: Annotated[bool, options.switch("--quick", "Only search three hidden frames, where the truth is known.")] = False,
    out: options.OutOption = Path("results/search"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, …")] = "auto",
    seed: Annotated[int, options.number("Seed of all random numbers.", 0)] = 0,
    batch_size: Annotated[str, typer.Option(help=options.BATCH)] = "auto",
) -> None:
    """Fit domains to what a model reads, and judge them on signals that the fit has not seen."""
    from ..studies import search as study

    asked: dict[str, Any] = {"families": tuple(family or study.FAMILIES), "objective": objective, "seed": seed}
    asked |= {"also": tuple(also or ()), "shortlist": shortlist, "samples": samples}
    asked |= {"method": method, "limit": limit, "cuts": cuts, "folds": folds, "batch_size": options.batch_size(batch_size)}
    settings = study.Search(model, data, device=options.resolve_device(device), **asked)
    found = measured(study.search_planted if quick else study.search, range(1) if quick else settings, out, "searches", run)
    for sentence in found.said:
        show(f"• {sentence}")
    show_files(out, found.files)
