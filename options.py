"""The options of the command line, and their values."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
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
    "efficientnet-lite0, yamnet or another packaged model, timm:NAME, torchvision:NAME, hf:NAME (transformers), "
    "package.module:callable, FILE.py:callable, a TorchScript (.pt) or torch.export (.pt2) file, or a file of weights with "
    "--arch. A program in a file is code: load only what you trust. A callable takes no arguments and returns a module, "
    "(module, prepare) or a LoadedModel. Callables "
    "and files get photos of 224 × 224, cropped at the centre, with ImageNet's mean and std, unless the callable returns "
    "(module, prepare), or --size, --mean, --std, --channels or --crop say otherwise."
)
ARCH = (
    "Where --model is a file of weights (a state dict, a checkpoint that holds one, or .safetensors): the callable that builds "
    "the module, as package.module:callable or FILE.py:callable."
)
OUTPUT = (
    "Where the model returns a dictionary, a tuple or an object: the scores in it, as logits, 0 or heads.0 (a key, an index or "
    "an attribute; several joined by dots)."
)
INPUT = (
    "A further input of the model, as NAME=FILE.npy or NAME=NUMBER, as the model takes it for one signal; repeat it for "
    "several. It is the same for every signal, and is not attributed."
)
COMPARED_METHODS = f"A method, for example 'smoothgrad(samples=25)'. If not given: {PICTURE_METHOD}. Repeat it for several."
BASELINE = "What absent means: zero, mean, 'blur(sigma=10)' or another baseline."
BASELINES = f"{BASELINE} If not given: zero. Repeat it for several."
EFFORT = "quick, default or full: how many selections are scored for each map."
QUESTIONS = "A TOML file that declares the contrasts, see docs/statistics.md. If not given: controls, domains and methods."
GROUPS = "Which examples are one unit: a CSV file with the columns example and group, or a pattern such as '(.+)-crop[0-9]+'."
BASELINE_RUN = "The folder of an earlier comparison, with which this one is compared example by example."
SHARD = "Measure only this part of the work, for example 3/16; pullback merge, or --merge of a study, joins all parts."
MERGE = "The folder of a shard, which is joined with the others instead of measured; repeat it for each."
ENGINE = "process measures here, ray on a cluster of Ray, by default a new one that only this machine can reach."
ADDRESS = "With --engine ray: the cluster, auto or HOST:PORT."
WORKERS = "With --engine ray: the number of processes that measure. If not given: as many as there is room for."
GPUS = "With --engine ray: the share of a GPU for each worker, for example 0.5. If not given: a whole one on cuda."
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
SUBJECT = "Class to explain, by its number or its name. If not given: the predicted class of each signal."
KIND = "What the model takes, if it does not say so itself: image, audio, volume or series."
DATA = (
    "imagenet-sample, animals or other packaged data, a folder of files or of CLASS/file, one file, a .tar of WebDataset or a "
    ".parquet table, several of them as 'NAME-{000..009}.tar', or hf:NAME."
)
RATE = "Samples per second that the model takes, in Hz; recordings are resampled to it."
WINDOW = "Samples that the model takes at a time; of longer recordings the mean score of windows is explained."
KEYWORD = inspect.Parameter.KEYWORD_ONLY
NUMBERS = "one number, or one for each channel, as 0.485,0.456,0.406."
MethodOption = Annotated[str, typer.Option(help="An attribution method, for example 'smoothgrad(samples=25)'.")]
OutOption = Annotated[
    Path, typer.Option(help="Folder for the results; it is created if needed.", parser=_folder, metavar="FOLDER")
]


DEFAULT_MODEL = "efficientnet-lite0"
BATCH = "Largest number of model inputs in one forward: 'auto' or a number."


@dataclass(frozen=True)
class ModelOptions:
    """Which model runs, on what, and how its input is made: the options that commands share. Each field is one."""

    model: Annotated[str, typer.Option(help=MODEL)] = DEFAULT_MODEL
    arch: Annotated[str | None, typer.Option(help=ARCH)] = None
    output: Annotated[str | None, typer.Option(help=OUTPUT)] = None
    input: Annotated[list[str] | None, typer.Option(help=INPUT)] = None
    kind: Annotated[str | None, typer.Option(help=KIND)] = None
    rate: Annotated[float | None, decimal(RATE)] = None
    window: Annotated[int | None, number(WINDOW)] = None
    size: Annotated[int | None, number("Side of the model's input in pixels.")] = None
    mean: Annotated[str | None, typer.Option(help=f"Mean of the model's input, of values in 0…1: {NUMBERS}")] = None
    std: Annotated[str | None, typer.Option(help=f"Standard deviation of the model's input: {NUMBERS}")] = None
    channels: Annotated[int | None, typer.Option(help="3 for a model of colour pictures, 1 for grey ones.")] = None
    crop: Annotated[
        bool | None, typer.Option("--crop/--no-crop", help="Cut out the central square, or squeeze the picture.")
    ] = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, …")] = "auto"
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0

    def settings(self) -> dict[str, Any]:
        """The fields of `studies.Settings` that these options are."""
        parts = preparation(self.size, self.mean, self.std, self.channels, self.crop)
        parts |= {name: getattr(self, name) for name in ("model", "arch", "output", "kind", "rate", "window", "seed")}
        return parts | {"inputs": tuple(self.input or ()), "device": resolve_device(self.device)}


@dataclass(frozen=True)
class BatchedOptions(ModelOptions):
    """The same, and the number of inputs in one forward."""

    batch_size: Annotated[str, typer.Option(help=BATCH)] = "auto"

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"batch_size": batch_size(self.batch_size)}


SEVERAL = "Repeat it for several."


@dataclass(frozen=True)
class ComparedOptions(BatchedOptions):
    """The same for any number of models."""

    model: Annotated[list[str] | None, typer.Option(help=f"{MODEL} If not given: {DEFAULT_MODEL}. {SEVERAL}")] = None  # type: ignore[assignment]

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"model": tuple(self.model or (DEFAULT_MODEL,))}


@dataclass(frozen=True)
class WorkerOptions:
    """Which processes measure."""

    engine: Annotated[str, typer.Option(help=ENGINE)] = "process"
    address: Annotated[str | None, typer.Option(help=ADDRESS)] = None
    workers: Annotated[int | None, number(WORKERS)] = None
    gpus: Annotated[float | None, decimal(GPUS)] = None
    shard: Annotated[str | None, typer.Option(help=SHARD, metavar="NUMBER/COUNT")] = None

    def cluster(self) -> Any:
        """The `studies.Ray` of these options, or None.  Raises: ValueError for options that need another one."""
        from .core.checks import check_choice
        from .studies import Ray

        check_choice("--engine", "engine", self.engine, ("process", "ray"))
        asked = {name: getattr(self, name) for name in ("address", "workers", "gpus")}
        given = [f"--{name}" for name, value in asked.items() if value is not None]
        if self.engine == "process" and given:
            raise ValueError(f"--engine: {', '.join(given)} need --engine ray.")
        if self.engine == "ray" and self.shard is not None:
            raise ValueError("--engine: --shard is for work without --engine ray; give one of them.")
        return Ray(**asked) if self.engine == "ray" else None


@dataclass(frozen=True)
class StudyOptions(WorkerOptions):
    """Which processes measure a study."""

    merge: Annotated[list[Path] | None, typer.Option(help=MERGE)] = None

    def cluster(self) -> Any:
        """See `WorkerOptions`.  Raises: ValueError, too, where shards are to be merged and measured at once."""
        if self.merge and (self.shard is not None or self.engine != "process"):
            raise ValueError("--merge: finished shards are joined; give it without --shard and --engine.")
        return super().cluster()


@dataclass(frozen=True)
class EngineOptions(WorkerOptions, ComparedOptions):
    """Several models, and which processes measure."""

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"shard": self.shard}


@dataclass(frozen=True)
class AxiomOptions(ModelOptions):
    """The same with the small network by default."""

    model: Annotated[str, typer.Option(help="'small' (a network that is trained in seconds), or as in compare.")] = "small"


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with an option for each field of the dataclass that its parameter `run` is; it gets one instance of it."""
    signature = inspect.signature(command)
    group = signature.parameters["run"].annotation
    options = [inspect.Parameter(one.name, KEYWORD, default=one.default, annotation=one.type) for one in fields(group)]
    parts = [options if one.name == "run" else [one.replace(kind=KEYWORD)] for one in signature.parameters.values()]

    def called(**given: Any) -> Any:
        run = group(**{one.name: given.pop(one.name) for one in fields(group)})
        return command(run=run, **given)

    functools.update_wrapper(called, command)
    called.__signature__ = signature.replace(parameters=[one for part in parts for one in part])  # type: ignore[attr-defined]
    return called


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
