"""`pullback study minimal`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import options
from ..core.terminal import show_table
from .divided import measured, show_findings

OUT = Path("results/minimal")
MODELS = f"Repeat it for several. {options.MODEL}"
DATA = f"{options.DATA} Once for all models, or once for each. If not given: packaged data that suit the model."
PRICE = (
    "A price of all coefficients together, in units of |f(x) - f(0)| of each signal; repeat it, small ones first. If not "
    "given: {}."
)
ALPHA = "α itself, the price of one coefficient in units of the score, as in the paper, instead of --price; repeat it."
CONTINUATION = "The fraction of --steps for each price after the first, which starts from known masks; 0: each price alone."
SECONDS = "At most so much of a recording is used."
QUICK = "Six signals and 40 steps, of a small packaged network if no model is given, into results/minimal-quick."
METHOD = "The method whose map ranks the coefficients of a control."


@options.grouped
def minimal(
    run: options.StudyOptions,
    model: Annotated[list[str] | None, typer.Option(help=MODELS)] = None,
    data: Annotated[list[str] | None, typer.Option(help=DATA)] = None,
    transform: Annotated[list[str] | None, options.domains("dwt(haar, level=3) for pictures, a wavelet for others")] = None,
    price: Annotated[list[float] | None, typer.Option(help=PRICE.format("0.01 … 10000"))] = None,
    alphas: Annotated[list[float] | None, typer.Option(help=ALPHA)] = None,
    steps: Annotated[int, options.number("Steps of NAdam for each price; the paper takes 500.")] = 45,
    continuation: Annotated[float, typer.Option(help=CONTINUATION, min=0.0, max=1.0)] = 0.0,
    method: Annotated[str, typer.Option(help=METHOD)] = "integrated_gradients(steps=16)",
    limit: Annotated[int, options.number("Largest number of signals of each data set.")] = 20,
    pictures: Annotated[int, options.number("Signals of each model and domain for which a grid is drawn.", 0)] = 3,
    seconds: Annotated[float, options.decimal(SECONDS)] = 2.0,
    quick: Annotated[bool, options.switch("--quick", QUICK)] = False,
    out: options.OutOption = OUT,
    arch: Annotated[str | None, typer.Option(help=options.ARCH)] = None,
    output: Annotated[str | None, typer.Option(help=options.OUTPUT)] = None,
    input: Annotated[list[str] | None, typer.Option(help=options.INPUT)] = None,
    kind: Annotated[str | None, typer.Option(help=options.KIND)] = None,
    rate: Annotated[float | None, options.decimal(options.RATE)] = None,
    window: Annotated[int | None, options.number(options.WINDOW)] = None,
    size: Annotated[int | None, options.number("Side of the model's input in pixels.")] = None,
    mean: Annotated[str | None, typer.Option(help=f"Mean of the model's input, of values in 0…1: {options.NUMBERS}")] = None,
    std: Annotated[str | None, typer.Option(help=f"Standard deviation of the model's input: {options.NUMBERS}")] = None,
    channels: Annotated[int | None, typer.Option(help="3 for a model of colour pictures, 1 for grey ones.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, …")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
) -> None:
    """How few coefficients keep a prediction, against controls with equally many, and whether they show texture."""
    from .. import studies

    asked: dict[str, Any] = options.preparation(size, mean, std, channels, None)
    asked |= {"kind": kind, "rate": rate, "window": window, "arch": arch, "output": output, "inputs": tuple(input or ())}
    asked |= {"data": tuple(data or ()), "transforms": tuple(transform or ()), "alphas": tuple(alphas or ())}
    asked |= {"steps": steps, "continuation": continuation or None, "method": method, "limit": limit, "pictures": pictures}
    asked |= {"seconds": seconds or None, "seed": seed, "device": options.resolve_device(device)}
    given: dict[str, Any] = {"models": tuple(model or ()), "prices": tuple(price or ())}
    settings = studies.MinimalSettings(**asked, **{name: value for name, value in given.items() if value})
    if quick:
        settings, out = settings.quick, Path("results/minimal-quick") if out == OUT else out
    found = measured(studies.minimal, settings, out, "gradients", run)
    heads = ("model", "domain", "image", "class kept up to", "loses it")
    rows = studies.minimal_limits(found.summary)
    show_table("Sparsity: median and 95 % interval", heads, rows[list(heads)].to_numpy().tolist())
    show_findings(found)
