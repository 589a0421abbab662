"""`pullback study volume`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import options
from .divided import measured, show_findings

MODELS = (
    f"A model of volumes; repeat it for several. {options.MODEL} If not given: two small networks, of digits and of regions of "
    "a brain, and a formula for a head."
)
DATA = "Packaged data, medmnist:FILE.npz, a folder of volumes or of CLASS/volume, or one file: once for all models or for each."
METHOD = "An attribution method; repeat it for several. If not given: the paper's two, with its settings."
BORDER = "Voxels with a larger value are the object. If not given: known for packaged data, Otsu's threshold for others."
QUICK = "20 volumes, one method and wavelet, by default digits: a trial of less than a minute, into results/volume-quick."
OUT = Path("results/volume")


@options.grouped
def volume(
    run: options.StudyOptions,
    model: Annotated[list[str] | None, typer.Option(help=MODELS)] = None,
    arch: Annotated[str | None, typer.Option(help=options.ARCH)] = None,
    output: Annotated[str | None, typer.Option(help=options.OUTPUT)] = None,
    input: Annotated[list[str] | None, typer.Option(help=options.INPUT)] = None,
    data: Annotated[list[str] | None, typer.Option(help=DATA)] = None,
    method: Annotated[list[str] | None, typer.Option(help=METHOD)] = None,
    transform: Annotated[list[str] | None, options.domains("the Haar and the db2 wavelet with 3 levels")] = None,
    limit: Annotated[int, options.number("Largest number of volumes of each data set that are explained.")] = 40,
    tested: Annotated[int, options.number("Largest number of volumes that are classified for the accuracy.", 0)] = 1160,
    border: Annotated[float | None, typer.Option(help=BORDER)] = None,
    pictures: Annotated[int, options.number("Volumes of each data set that are drawn and written as NIfTI.", 0)] = 3,
    quick: Annotated[bool, options.switch("--quick", QUICK)] = False,
    out: options.OutOption = OUT,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, …")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
) -> None:
    """Which scales of a volume's importance lie at the surface of the object in it, and which inside it.

    The paper says: coarse scales carry edges, fine scales the centre. Here with controls, intervals, and what a scale can tell.
    """
    from .. import studies

    asked: dict[str, Any] = {"limit": limit, "tested": tested, "border": border, "pictures": pictures, "seed": seed}
    given = {"models": model, "data": data, "methods": method, "transforms": transform}
    asked |= {name: tuple(value) for name, value in given.items() if value}
    asked |= {"arch": arch, "output": output, "inputs": tuple(input or ())}
    settings = studies.VolumeSettings(**asked, device=options.resolve_device(device))
    if quick:
        settings, out = settings.quick, Path("results/volume-quick") if out == OUT else out
    show_findings(measured(studies.volume, settings, out, "volumes", run))
