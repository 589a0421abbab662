"""`pullback study robustness`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import options
from ..core.terminal import show_table
from .divided import measured, show_findings

MODELS = (
    f"Repeat it for several; those with one data set are compared with the first. {options.MODEL} If not given: twelve small "
    "networks on Fashion-MNIST, trained as usual and in three ways against attacks, and two LeNets on digits."
)
DATA = f"{options.DATA} Once for all models, or once for each."
TRANSFORM = "A domain with octaves, for example 'dwt(db4, level=4)' or dct. If not given: the Haar wavelet."
QUICK = "Few examples and conditions: a trial of less than a minute, by default into results/robustness-quick."
OUT = Path("results/robustness")
METHOD = "A method of the kind sensitivity, for example 'smoothgrad(samples=25, spread=0.25)'."


@dataclass(frozen=True)
class Options(options.StudyOptions, options.ModelOptions):
    """Several models, and how their input is made."""

    model: Annotated[list[str] | None, typer.Option(help=MODELS)] = None  # type: ignore[assignment]


@options.grouped
def robustness(
    run: Options,
    data: Annotated[list[str] | None, typer.Option(help=DATA)] = None,
    transform: Annotated[str | None, typer.Option(help=TRANSFORM)] = None,
    method: Annotated[str, typer.Option(help=METHOD)] = "gradient",
    limit: Annotated[int, options.number("Largest number of examples of each data set.")] = 500,
    heat: Annotated[int, options.number("Examples of the Fourier heat map.", 0)] = 100,
    quick: Annotated[bool, options.switch("--quick", QUICK)] = False,
    out: options.OutOption = OUT,
) -> None:
    """On which scales models rely, and whether that says how they bear filters, noise and attacks."""
    from .. import studies

    parts = run.settings()
    models = tuple(parts.pop("model") or ())
    asked: dict[str, Any] = {"method": method, "transform": transform, "limit": limit, "heat": heat}
    settings = studies.RobustnessSettings(models, tuple(data or ()), **asked, **parts)
    if quick:
        settings, out = settings.quick, Path("results/robustness-quick") if out == OUT else out
    found = measured(studies.robustness, settings, out, "forwards", run)
    for data_set, rows in found.accuracies.items():
        show_table(f"{data_set}: right answers, %", list(rows.columns), rows.to_numpy().tolist())
    show_findings(found)
