"""`pullback study planted`."""

from pathlib import Path
from typing import Annotated

import typer

from .. import options
from .divided import measured, show_findings

METHOD = "An attribution method that is tried; repeat it for several. If not given: integrated_gradients(steps=16)."
TASK = "A task, for example '2-D, loud'; repeat it for several. If not given: all; a wrong name lists them."


@options.grouped
def planted(
    run: options.StudyOptions,
    seeds: Annotated[int, options.number("Seeds of each task that must count.")] = 20,
    first: Annotated[int, options.number("The first seed.", 0)] = 0,
    task: Annotated[list[str] | None, typer.Option(help=TASK)] = None,
    examples: Annotated[int, options.number("Signals that are explained in each trial.", 20)] = 96,
    method: Annotated[list[str] | None, typer.Option(help=METHOD)] = None,
    quick: Annotated[bool, options.switch("--quick", "One seed of six tasks: a trial of less than a minute.")] = False,
    out: options.OutOption = Path("results/planted"),
) -> None:
    """Plant the class in a known domain, and see which scores name the domain and which make false claims.

    Networks are trained on signals in which atoms of a hidden domain carry the class; controls have nothing to be found.
    """
    from .. import studies

    methods = {"methods": tuple(method)} if method else {}
    settings = studies.PlantedSettings(seeds, first, tuple(task or ()), examples=examples, **methods)
    show_findings(measured(studies.planted, settings.quick if quick else settings, out, "seeds", run))
