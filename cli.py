"""The command line: it parses arguments, calls the library and prints results."""

import contextlib
import dataclasses
import importlib.metadata
import math
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from .attribution.methods.integrated_gradients.estimator import PICTURE_METHOD
from .core.files import check_writable, plain
from .core.progress import Interrupted, bar

MISTAKE, FAULT, INTERRUPTED = 2, 3, 130  # exit statuses; 1 says that a law is broken
LONGEST = 300  # characters of a message
EXPLAINED = ("dwt(db4, level=4)", "dct")
STORED = {"compare": "photos", "axioms": "cells"}  # what these commands have stored when they are interrupted

# Text of the user is shown as it is: without markup, because names of files may hold brackets and colons.
PLAIN: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
console = Console(**PLAIN)


class _Commands(TyperGroup):
    """The commands. Ctrl-C ends each of them with one line, which says what is stored."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except Interrupted as stopped:
            _complain(f"interrupted: {_stored(stopped, STORED.get(ctx.invoked_subcommand, 'parts'))}")
        except KeyboardInterrupt:
            _complain("interrupted")
        raise typer.Exit(INTERRUPTED) from None


def _stored(stopped: Interrupted, what: str) -> str:
    if stopped.done:
        return f"{stopped.done} of {stopped.planned} {what} are finished and stored; run the same command to continue"
    return f"none of {stopped.planned} {what} is finished; the same command starts from the beginning"


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, cls=_Commands)


def _number(about: str, least: int = 1) -> Any:
    """An option with a number of at least `least`."""
    return typer.Option(help=about, min=least)


def _switch(name: str, about: str, **more: Any) -> Any:
    """An option without a value."""
    return typer.Option(name, metavar="", help=about, **more)


def _domains(default: str) -> Any:
    """--transform, with the domains that are used if it is not given."""
    about = f"A domain, for example 'dwt(db4, level=3)'; repeat it for several. If not given: {default}."
    return typer.Option("--transform", help=about)


def _folder(text: str | Path) -> Path:
    """--out as a path; an empty one would be the current folder."""
    if not str(text).strip():
        raise typer.BadParameter("expected the name of a folder, got an empty text.")
    return Path(text)


MODEL = (
    "efficientnet-lite0, timm:NAME, torchvision:NAME, package.module:callable, FILE.py:callable, or a TorchScript (.pt) or "
    "torch.export (.pt2) file. A model in a file is code: load only what you trust. A callable takes no arguments. Callables "
    "and files get photos of 224 × 224, cropped at the centre, with ImageNet's mean and std, unless the callable returns "
    "(module, prepare), or --size, --mean, --std, --channels or --crop say otherwise."
)
METHODS = f"The method to check. If not given: {PICTURE_METHOD}. With --matrix it may be repeated."
MATRIX = (
    "Make a table and a figure of methods × axioms × domains, for all methods of pullback and Captum or those of --method. "
    "Finished cells are stored in --out, and the same command continues from there."
)
DATA = "imagenet-sample, a folder of images, a folder of CLASS/image.jpg, one image file, or hf:NAME."
NUMBERS = "one number, or one for each channel, as 0.485,0.456,0.406."
ModelOption = Annotated[str, typer.Option(help=MODEL)]
MethodOption = Annotated[str, typer.Option(help="An attribution method, for example 'smoothgrad(samples=25)'.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, …")]
SizeOption = Annotated[int | None, _number("Side of the model's input in pixels.")]
MeanOption = Annotated[str | None, typer.Option(help=f"Mean of the model's input, of values in 0…1: {NUMBERS}")]
StdOption = Annotated[str | None, typer.Option(help=f"Standard deviation of the model's input: {NUMBERS}")]
ChannelsOption = Annotated[int | None, typer.Option(help="3 for a model of colour pictures, 1 for grey ones.")]
CropOption = Annotated[
    bool | None, typer.Option("--crop/--no-crop", help="Cut out the central square, or squeeze the picture.")
]
BatchOption = Annotated[str, typer.Option(help="Largest number of model inputs in one forward: 'auto' or a number.")]
OutOption = Annotated[
    Path, typer.Option(help="Folder for the results; it is created if needed.", parser=_folder, metavar="FOLDER")
]
SeedOption = Annotated[int, typer.Option(help="Seed of all random numbers.")]


def _version(asked: bool) -> None:
    if asked:
        console.print(f"pullback {importlib.metadata.version('pullback')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, _switch("--version", "Print the version and exit.", callback=_version, is_eager=True)] = False,
) -> None:
    """In which coordinates does this model think?"""


@app.command()
def compare(
    model: ModelOption = "efficientnet-lite0",
    data: Annotated[str, typer.Option(help=DATA)] = "imagenet-sample",
    method: MethodOption = PICTURE_METHOD,
    transform: Annotated[list[str] | None, _domains("pixel, dct, dft and seven wavelets; summary.json lists them")] = None,
    limit: Annotated[int | None, _number("Largest number of photos; unreadable files do not count.")] = None,
    out: OutOption = Path("results/compare"),
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    batch_size: BatchOption = "auto",
    size: SizeOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    channels: ChannelsOption = None,
    crop: CropOption = None,
    pictures: Annotated[int, _number("Number of photos whose maps are drawn.", 0)] = 3,
) -> None:
    """Compare transform domains on a model and photos, from one gradient stream."""
    from . import studies

    domains = tuple(transform or studies.DOMAINS)
    run: dict[str, Any] = {"device": resolve_device(device), "batch_size": _batch_size(batch_size)}
    run |= _preparation(size, mean, std, channels, crop)
    settings = studies.Settings(model, data, method, domains, limit=limit, seed=seed, pictures=pictures, **run)
    with bar("steps", early=True) as progress:
        found = studies.compare(settings, out, progress, note=_complain)
    _print_comparison(found)


@app.command()
def explain(
    image: Annotated[Path, typer.Argument(help="The picture to explain.")],
    model: ModelOption = "efficientnet-lite0",
    method: MethodOption = PICTURE_METHOD,
    transform: Annotated[list[str] | None, _domains(" and ".join(EXPLAINED))] = None,
    target: Annotated[int | None, typer.Option(help="Class to explain. If not given: the predicted class.")] = None,
    out: OutOption = Path("results/explain"),
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    batch_size: BatchOption = "auto",
    size: SizeOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    channels: ChannelsOption = None,
    crop: CropOption = None,
) -> None:
    """Explain one picture: where, and in which octaves, is the score of a class?"""
    from . import studies

    parts = _preparation(size, mean, std, channels, crop)
    settings = studies.Settings(model, device=resolve_device(device), batch_size=_batch_size(batch_size), **parts)
    asked: dict[str, Any] = {"method": method, "transforms": transform or EXPLAINED, "target": target, "seed": seed}
    run: dict[str, Any] = {"out": out, "device": settings.device, "batch_size": settings.batch_size}
    with bar("model evaluations", early=True) as progress:
        found = studies.explain(image, model=settings.load_model(), **asked, **run, progress=progress)
    name = f" ({found.class_name})" if found.class_name else ""
    said = f"score {found.score:.3f}"
    if not math.isnan(found.probability):
        said = f"class {found.target}{name}, {said}, probability {found.probability:.1%}"
    _print(plain(f"{model}: {found.image}: {said}"))
    for spec, shares in found.shares.items():
        _print_table(spec, ("octave", "share of Σ|a|"), [(str(name), f"{share:.1%}") for name, share in shares.items()])
    if found.not_converged:
        advice = "the method missed its tolerance; give it more evaluations or a larger tolerance"
        _print(f"{len(found.not_converged)} of {len(found.shares)} maps did not converge: {advice}")
    if found.notes:
        _print(f"note: {'; '.join(found.notes)}")
    _print_files(out, found.files)


@app.command()
def axioms(
    method: Annotated[list[str] | None, typer.Option(help=METHODS)] = None,
    model: Annotated[str, typer.Option(help="'small' (a network that is trained in seconds), or as in compare.")] = "small",
    transform: Annotated[list[str] | None, _domains("pixel; with --matrix, pixel and dct")] = None,
    axiom: Annotated[list[str] | None, typer.Option(help="Check only this axiom; repeat it for several.")] = None,
    matrix: Annotated[bool, _switch("--matrix", MATRIX)] = False,
    minutes: Annotated[float | None, _number("With --matrix: start no cell after this many minutes.", 0)] = None,
    jobs: Annotated[int, _number("With --matrix: number of cells at a time, each in a process with one thread.")] = 1,
    data: Annotated[str, typer.Option(help="Photos for models other than 'small', as in compare.")] = "imagenet-sample",
    photos: Annotated[int, _number("Number of photos.")] = 1,
    out: OutOption = Path("results/axioms"),
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    size: SizeOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    channels: ChannelsOption = None,
    crop: CropOption = None,
    double: Annotated[bool, _switch("--double", "Run the model in double precision, for sharper verdicts.")] = False,
) -> None:
    """Measure which axioms a method keeps: a method of pullback, captum.NAME, or package.module:callable.

    The callable is (f, z, target, z0) -> tensor. The exit status is 1 if an axiom that the method claims is broken, if the
    method does not return a map, or if no axiom could be measured.
    """
    from . import studies

    check_writable(out)
    alone = {
        "--method": len(method or []) > 1,
        "--transform": len(transform or []) > 1,
        "--minutes": minutes,
        "--jobs": jobs > 1,
    }
    if not matrix and (several := [name for name, given in alone.items() if given]):
        raise ValueError(f"axioms: several methods or domains, --minutes and --jobs need --matrix; got {', '.join(several)}.")
    source: dict[str, Any] = {"data": data, "photos": photos, "preparation": _preparation(size, mean, std, channels, crop)}
    subject = studies.load_subject(model, **source, device=resolve_device(device), seed=seed, double=double)
    chosen = list(dict.fromkeys(axiom or [])) or "all"
    if matrix:
        cells: dict[str, Any] = {"methods": method, "transforms": transform or ["pixel", "dct"], "axioms": chosen, "jobs": jobs}
        with bar("cells") as progress:
            told: dict[str, Any] = {"report": _print, "progress": progress, "note": _complain}
            _, files = studies.write_matrix({model: subject}, out, seed=seed, minutes=minutes, **cells, **told)
        _print_files(out, files)
        return
    asked = {"model": model, "double": double} | source
    options = {"transform": (transform or ["pixel"])[0], "axioms": chosen, "seed": seed}
    with bar("axioms") as progress:
        named = (method or [PICTURE_METHOD])[0]
        report, files = studies.check_and_write(subject, named, out, asked | options, **options, progress=progress)
    _print(report)
    _print_files(out, files)
    failed = any(f.verdict == "UNUSABLE" or (f.verdict == "BROKEN" and f.claimed) for f in report)
    raise typer.Exit(1 if failed or all(finding.holds is None for finding in report) else 0)


@app.command()
def transforms(
    check: Annotated[bool, _switch("--check", "Measure every law on every example, and print faults in full.")] = False,
    verbose: Annotated[bool, _switch("--verbose", "With --check: print every finding.")] = False,
) -> None:
    """List the registered transforms and their claims. With --check, the exit status is 1 if a claim is wrong."""
    from . import studies

    if verbose and not check:
        raise ValueError("transforms: --verbose needs --check.")
    if check:
        raise typer.Exit(_check_transforms(verbose))
    rows = [list(row.values()) for row in studies.transform_rows()]
    _print_table(None, ("name", "claims", "z / x", "what it is"), rows)


def _check_transforms(verbose: bool) -> int:
    """Prints a row for each transform, and every law that is not as claimed (or every law); 1 if there is a fault."""
    from .studies.catalogue import check_all

    with bar("transforms") as progress:
        checked = list(check_all(progress))
    for report in (report for each in checked for report in each.reports):
        if verbose or report.faults:
            _print(report if verbose else dataclasses.replace(report, findings=report.faults))
    title = f"relative residuals in double precision; tolerance {next(iter(checked[0].reports[0])).tolerance:.0e}"
    head = ("name", "laws", "examples", "largest residual", "against other libraries", "verdict")
    rows = [(each.name, *each.cells, f"{each.faults} faults" if each.faults else "kept") for each in checked]
    _print_table(title, head, rows)
    faults = sum(each.faults for each in checked)
    console.print(f"{faults} faults" if faults else "Every claim holds, and every law that holds is claimed.")
    return 1 if faults else 0


def _print_comparison(found: Any) -> None:
    from .studies.compare.verdicts import findings
    from .studies.report.page import cell, means, narrow

    width = min(max(len(str(domain)) for domain in found.table["transform"]), console.width // 3)
    columns = narrow(console.width - width - 4)
    gap = " (gap: median)" if "relative_gap" in [name for name, _, _ in columns] else ""
    table = Table(title=f"means over photos{gap}")
    table.add_column("domain", width=width, overflow="fold")
    for _, title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for domain, values in means(found.table).iterrows():
        table.add_row(plain(domain), *(cell(name, values[name]) for name, _, _ in columns))
    console.print(table)
    for sentence in findings(found.table):
        console.print(plain(f"• {sentence}"))
    for kind, said in (("skipped", "skipped"), ("notes", "read with a change")):
        named = list(dict.fromkeys(entry["file"] for entry in found.summary[kind]))
        if named:
            shown = ", ".join(named[:5]) + (", …" if len(named) > 5 else "")
            _print(f"{said}: {shown} ({len(named)} in all; reasons: summary.json)")
    _print_files(found.out, found.files)


def _print_files(out: Path, files: list[str]) -> None:
    _print(f"results in {plain(out)}: {', '.join(files)}")


def _print_table(title: str | None, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(*head, title=title and plain(title), title_justify="left")
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table)


def _print(text: object) -> None:
    """Prints a text or a report as it is, however long its lines are."""
    console.print(plain(text, keep="\n"), soft_wrap=True)


def _complain(text: object) -> None:
    """One line on standard error."""
    line = plain(" ".join(str(text).split("\n")))
    if len(line) > LONGEST:  # the first words say what is wrong, the last ones what to do
        line = f"{line[: LONGEST - 120]} … {line[-100:]}"
    Console(stderr=True, **PLAIN).print(f"pullback: {line}", style="red", soft_wrap=True)


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


def _preparation(
    size: int | None, mean: str | None, std: str | None, channels: int | None, crop: bool | None
) -> dict[str, Any]:
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


def _batch_size(text: str) -> int | str:
    if text != "auto" and not (text.isdecimal() and int(text)):
        raise ValueError(f"--batch-size: expected 'auto' or a whole number of at least 1, got {text!r}.")
    return text if text == "auto" else int(text)


class _Stream:
    """A text stream that replaces what its terminal has no letters for, and goes on in silence when its reader has gone."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream or open(os.devnull, "w")  # noqa: SIM115  (there is none where it was closed)
        if hasattr(self.stream, "reconfigure"):
            self.stream.reconfigure(errors="replace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> Any:
        return self._while_read(self.stream.write, text)

    def flush(self) -> None:
        self._while_read(self.stream.flush)

    def _while_read(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except BrokenPipeError:  # as in `pullback axioms | head -1`: the work and the exit status stay the same
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
            return call(*args)


@contextlib.contextmanager
def _plain_streams() -> Iterator[None]:
    """Inside, all that is printed goes through `_Stream`, and a warning is one line."""
    out, err = _Stream(sys.stdout), _Stream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.showwarning = lambda message, *where, **more: _complain(f"warning: {message}")
        try:
            yield
        finally:
            out.flush()
            err.flush()


def _is_mistake(error: Exception) -> bool:
    """Whether the user can mend it: the system refused something, or the library itself raised, with a sentence."""
    if isinstance(error, OSError | MemoryError):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(last.filename).is_relative_to(Path(__file__).parent) and (last.line or "").startswith("raise")
    return ours and isinstance(error, ValueError | TypeError | ImportError)


def _run() -> int:
    """Runs the command. Returns the exit status."""
    try:
        return app(standalone_mode=False) or 0
    except Exception as error:
        if hasattr(error, "format_message"):  # of the parser of the options
            _complain(error.format_message())
        elif _is_mistake(error):
            _complain(error)
        else:
            traceback.print_exception(error)
            _complain("this is a fault of pullback or of the model, not of the call; the lines above say where.")
            return FAULT
        return MISTAKE


def main() -> None:
    """Entry point: a mistake of the user is one line on standard error and exit status 2; a fault keeps its traceback."""
    with _plain_streams():
        status = _run()
    sys.exit(status)
