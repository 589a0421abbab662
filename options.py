"""The options of the command line, and their values."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .core.defaults import PICTURE_METHOD


def number(about: str, least: int = 1) -> Any:
    """An option with a number of at least `least`."""
    return typer.Option(help=about, min=least)


def decimal(about: str) -> Any:
    """An option with a number of at least 0, which need not be whole."""
    return typer.Option(help=about, min=0.0)


def switch(name: str, about: str, **more: Any) -> Any:
    """An option without a value."""
    return typer.Option(name, metavar="", help=about, **more)


def domains(default: str) -> Any:
    """--transform, with the domains that are used if it is not given."""
    about = f"A domain, for example 'dwt(db4, level=3)'; repeat it for several. If not given: {default}."
    return typer.Option("--transform", help=about)


def _folder(text: str | Path) -> Path:
    """--out as a path; an empty one would be the current folder."""
    if not str(text).strip():
        raise typer.BadParameter("expected the name of a folder, got an empty text.")
    return Path(text)


MODEL = (
    "efficientnet-lite0, yamnet or another packaged model, "
    "timm:NAME, torchvision:NAME, package.module:callable, FILE.py:callable, or a TorchScript (.pt) or "
    "torch.export (.pt2) file. A model in a file is code: load only what you trust. A callable takes no arguments. Callables "
    "and files get photos of 224 × 224, cropped at the centre, with ImageNet's mean and std, unless the callable returns "
    "(module, prepare), or --size, --mean, --std, --channels or --crop say otherwise."
)
METHODS = f"The method to check. If not given: {PICTURE_METHOD}. With --matrix it may be repeated."
MATRIX = (
    "Make a table and a figure of methods × axioms × domains, for all methods of pullback and Captum or those of --method. "
    "Finished cells are stored in --out, and the same command continues from there."
)
FILES = (
    "Files to explain: pictures, recordings, volumes or series, as the model takes; or items of packaged data, as digits#0007."
)
EXPLAINED = "dwt(db4, level=4) and dct for pictures, two others for other signals"
TARGET = "Class to explain, by its number or its name; repeat it for several. If not given: the predicted class."
KIND = "What the model takes, if it does not say so itself: image, audio, volume or series."
DATA = "imagenet-sample, animals or other packaged data, a folder of files or of CLASS/file, one file, or hf:NAME."
NUMBERS = "one number, or one for each channel, as 0.485,0.456,0.406."
ModelOption = Annotated[str, typer.Option(help=MODEL)]
MethodOption = Annotated[str, typer.Option(help="An attribution method, for example 'smoothgrad(samples=25)'.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, …")]
SizeOption = Annotated[int | None, number("Side of the model's input in pixels.")]
MeanOption = Annotated[str | None, typer.Option(help=f"Mean of the model's input, of values in 0…1: {NUMBERS}")]
StdOption = Annotated[str | None, typer.Option(help=f"Standard deviation of the model's input: {NUMBERS}")]
ChannelsOption = Annotated[int | None, typer.Option(help="3 for a model of colour pictures, 1 for grey ones.")]
CropOption = Annotated[
    bool | None, typer.Option("--crop/--no-crop", help="Cut out the central square, or squeeze the picture.")
]
KindOption = Annotated[str | None, typer.Option(help=KIND)]
RateOption = Annotated[float | None, decimal("Samples per second that the model takes, in Hz; recordings are resampled to it.")]
WindowOption = Annotated[
    int | None,
    number("Samples that the model takes at a time; of longer recordings the mean score of windows is explained."),
]
BatchOption = Annotated[str, typer.Option(help="Largest number of model inputs in one forward: 'auto' or a number.")]
OutOption = Annotated[
    Path, typer.Option(help="Folder for the results; it is created if needed.", parser=_folder, metavar="FOLDER")
]
SeedOption = Annotated[int, typer.Option(help="Seed of all random numbers.")]


def resolve_device(name: str) -> str:
    """The device of that name; "auto" is cuda if there is one, else cpu.  Raises: ValueError if it cannot be used."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"Device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return name


def preparation(size: int | None, mean: str | None, std: str | None, channels: int | None, crop: bool | None) -> dict[str, Any]:
    """The parts of the preparation that are given, as `Preparation.changed` takes them."""
    return {"size": size, "mean": _numbers("--mean", mean), "std": _numbers("--std", std), "channels": channels, "crop": crop}


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """The numbers of an option, separated by commas or blanks.

    >>> _numbers("--mean", "0.5, 0.4 0.3")
    (0.5, 0.4, 0.3)
    """
    try:
        return None if text is None else tuple(map(float, text.replace(",", " ").split()))
    except ValueError:
        raise ValueError(f"{name}: expected {NUMBERS[:-1]}; got {text!r}.") from None


def batch_size(text: str) -> int | str:
    """--batch-size as 'auto' or a number.  Raises: ValueError."""
    if text != "auto" and not (text.isdecimal() and int(text)):
        raise ValueError(f"--batch-size: expected 'auto' or a whole number of at least 1, got {text!r}.")
    return text if text == "auto" else int(text)
