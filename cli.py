"""The command line: it parses arguments, calls the library and prints results."""

import dataclasses
import dis
import importlib.metadata
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import options
from .commands import study
from .core import terminal
from .core.defaults import PICTURE_METHOD
from .core.files import check_writable
from .core.progress import Interrupted, bar
from .core.terminal import complain, plain_streams, show, show_files, show_table

MISTAKE, FAULT, INTERRUPTED = 2, 3, 130  # exit statuses; 1 says that a law is broken
STORED = {"compare": "photos", "axioms": "cells"}  # what these commands have stored when they are interrupted


class _Commands(TyperGroup):
    """The commands. Ctrl-C ends each of them with one line, which says what is stored."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except Interrupted as stopped:
            complain(f"interrupted: {_stored(stopped, STORED.get(ctx.invoked_subcommand, 'parts'))}")
        except KeyboardInterrupt:
            complain("interrupted")
        raise typer.Exit(INTERRUPTED) from None


def _stored(stopped: Interrupted, what: str) -> str:
    if stopped.done:
        return f"{stopped.done} of {stopped.planned} {what} are finished and stored; run the same command to continue"
    return f"none of {stopped.planned} {what} is finished; the same command starts from the beginning"


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, cls=_Commands)
app.add_typer(study, name="study")


def _version(asked: bool) -> None:
    if asked:
        terminal.console.print(f"pullback {importlib.metadata.version('pullback')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, options.switch("--version", "Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """In which coordinates does this model think?"""


@app.command()
def compare(
    model: options.ModelOption = "efficientnet-lite0",
    data: Annotated[str, typer.Option(help=options.DATA)] = "imagenet-sample",
    method: options.MethodOption = PICTURE_METHOD,
    transform: Annotated[
        list[str] | None,
        options.domains("pixel, dct, dft and seven wavelets for pictures, others for other signals; summary.json lists them"),
    ] = None,
    limit: Annotated[int | None, options.number("Largest number of photos; unreadable files do not count.")] = None,
    out: options.OutOption = Path("results/compare"),
    device: options.DeviceOption = "auto",
    seed: options.SeedOption = 0,
    batch_size: options.BatchOption = "auto",
    size: options.SizeOption = None,
    mean: options.MeanOption = None,
    std: options.StdOption = None,
    channels: options.ChannelsOption = None,
    crop: options.CropOption = None,
    kind: options.KindOption = None,
    rate: options.RateOption = None,
    window: options.WindowOption = None,
    pictures: Annotated[int, options.number("Number of photos whose maps are drawn.", 0)] = 3,
) -> None:
    """Compare transform domains on a model and photos or other signals, from one gradient stream."""
    from . import studies
    from .studies.compare.verdicts import findings
    from .studies.report.printed import print_comparison

    run: dict[str, Any] = {"device": options.resolve_device(device), "batch_size": options.batch_size(batch_size)}
    run |= options.preparation(size, mean, std, channels, crop) | {"kind": kind, "rate": rate, "window": window}
    settings = studies.Settings(model, data, method, tuple(transform or ()), limit, seed=seed, pictures=pictures, **run)
    with bar("steps", early=True) as progress:
        found = studies.compare(settings, out, progress, note=complain)
    print_comparison(found, findings(found.table))


@app.command()
def explain(
    files: Annotated[list[Path], typer.Argument(help=options.FILES)],
    model: options.ModelOption = "efficientnet-lite0",
    method: options.MethodOption = PICTURE_METHOD,
    transform: Annotated[list[str] | None, options.domains(options.EXPLAINED)] = None,
    target: Annotated[list[str] | None, typer.Option(help=options.TARGET)] = None,
    top: Annotated[int, options.number("Without --target: explain so many classes, those with the highest scores.")] = 1,
    start: Annotated[float, options.decimal("Read a recording from this second on.")] = 0.0,
    seconds: Annotated[float | None, options.decimal("Read so many seconds of it; without it at most 60.")] = None,
    out: options.OutOption = Path("results/explain"),
    device: options.DeviceOption = "auto",
    seed: options.SeedOption = 0,
    batch_size: options.BatchOption = "auto",
    size: options.SizeOption = None,
    mean: options.MeanOption = None,
    std: options.StdOption = None,
    channels: options.ChannelsOption = None,
    crop: options.CropOption = None,
    kind: options.KindOption = None,
    rate: options.RateOption = None,
    window: options.WindowOption = None,
) -> None:
    """Explain a picture, a recording, a volume or a series: where, and in which octaves, is the score of a class?

    Of several files, those that cannot be explained are named and left out; the exit status is then 2.
    """
    from . import studies
    from .studies.report.printed import print_explanation

    parts = options.preparation(size, mean, std, channels, crop) | {"kind": kind, "rate": rate, "window": window}
    settings = studies.Settings(
        model, device=options.resolve_device(device), batch_size=options.batch_size(batch_size), **parts
    )
    asked: dict[str, Any] = {"method": method, "transforms": transform, "targets": target or (), "top": top, "seed": seed}
    asked["part"] = studies.Part(start, seconds) if start or seconds is not None else None
    run: dict[str, Any] = {"out": out, "device": settings.device, "batch_size": settings.batch_size}
    loaded, failed = settings.load_model(), False
    for file in files:
        try:
            with bar("model evaluations", early=True) as progress:
                found = list(studies.explain_top(file, model=loaded, **asked, **run, progress=progress))
        except Exception as error:
            if len(files) == 1 or not _is_mistake(error):
                raise
            complain(error)
            failed = True
            continue
        for one in found:
            print_explanation(model, one, out)
    if failed:
        raise typer.Exit(MISTAKE)


@app.command()
def axioms(
    method: Annotated[list[str] | None, typer.Option(help=options.METHODS)] = None,
    model: Annotated[str, typer.Option(help="'small' (a network that is trained in seconds), or as in compare.")] = "small",
    transform: Annotated[list[str] | None, options.domains("pixel; with --matrix, pixel and dct")] = None,
    axiom: Annotated[list[str] | None, typer.Option(help="Check only this axiom; repeat it for several.")] = None,
    matrix: Annotated[bool, options.switch("--matrix", options.MATRIX)] = False,
    minutes: Annotated[float | None, options.number("With --matrix: start no cell after this many minutes.", 0)] = None,
    jobs: Annotated[int, options.number("With --matrix: number of cells at a time, each in a process with one thread.")] = 1,
    data: Annotated[str, typer.Option(help="Photos for models other than 'small', as in compare.")] = "imagenet-sample",
    photos: Annotated[int, options.number("Number of photos.")] = 1,
    out: options.OutOption = Path("results/axioms"),
    device: options.DeviceOption = "auto",
    seed: options.SeedOption = 0,
    size: options.SizeOption = None,
    mean: options.MeanOption = None,
    std: options.StdOption = None,
    channels: options.ChannelsOption = None,
    crop: options.CropOption = None,
    double: Annotated[bool, options.switch("--double", "Run the model in double precision, for sharper verdicts.")] = False,
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
    source: dict[str, Any] = {
        "data": data,
        "photos": photos,
        "preparation": options.preparation(size, mean, std, channels, crop),
    }
    subject = studies.load_subject(model, **source, device=options.resolve_device(device), seed=seed, double=double)
    chosen = list(dict.fromkeys(axiom or [])) or "all"
    if matrix:
        cells: dict[str, Any] = {"methods": method, "transforms": transform or ["pixel", "dct"], "axioms": chosen, "jobs": jobs}
        with bar("cells") as progress:
            told: dict[str, Any] = {"report": show, "progress": progress, "note": complain}
            _, files = studies.write_matrix({model: subject}, out, seed=seed, minutes=minutes, **cells, **told)
        show_files(out, files)
        return
    asked = {"model": model, "double": double} | source
    how = {"transform": (transform or ["pixel"])[0], "axioms": chosen, "seed": seed}
    with bar("axioms") as progress:
        named = (method or [PICTURE_METHOD])[0]
        report, files = studies.check_and_write(subject, named, out, asked | how, **how, progress=progress)
    show(report)
    show_files(out, files)
    failed = any(f.verdict == "UNUSABLE" or (f.verdict == "BROKEN" and f.claimed) for f in report)
    raise typer.Exit(1 if failed or all(finding.holds is None for finding in report) else 0)


@app.command()
def transforms(
    check: Annotated[bool, options.switch("--check", "Measure every law on every example, and print faults in full.")] = False,
    verbose: Annotated[bool, options.switch("--verbose", "With --check: print every finding.")] = False,
) -> None:
    """List the registered transforms and their claims. With --check, the exit status is 1 if a claim is wrong."""
    from . import studies

    if verbose and not check:
        raise ValueError("transforms: --verbose needs --check.")
    if check:
        raise typer.Exit(_check_transforms(verbose))
    rows = [list(row.values()) for row in studies.transform_rows()]
    show_table(None, ("name", "claims", "z / x", "what it is"), rows)


def _check_transforms(verbose: bool) -> int:
    """Prints a row for each transform, and every law that is not as claimed (or every law); 1 if there is a fault."""
    from .studies.catalogue import check_all

    with bar("transforms") as progress:
        checked = list(check_all(progress))
    for report in (report for each in checked for report in each.reports):
        if verbose or report.faults:
            show(report if verbose else dataclasses.replace(report, findings=report.faults))
    title = f"relative residuals in double precision; tolerance {next(iter(checked[0].reports[0])).tolerance:.0e}"
    head = ("name", "laws", "examples", "largest residual", "against other libraries", "verdict")
    rows = [(each.name, *each.cells, f"{each.faults} faults" if each.faults else "kept") for each in checked]
    show_table(title, head, rows)
    faults = sum(each.faults for each in checked)
    terminal.console.print(f"{faults} faults" if faults else "Every claim holds, and every law that holds is claimed.")
    return 1 if faults else 0


def _is_mistake(error: Exception) -> bool:
    """Whether the user can mend it: the system refused something, or the library itself raised, with a sentence."""
    if isinstance(error, OSError | MemoryError):
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or not isinstance(error, ValueError | TypeError | ImportError):
        return False
    code = last.tb_frame.f_code
    ours = str(last.tb_frame.f_globals.get("__name__")).partition(".")[0] == __package__
    return ours and code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]  # a `raise`, and not an operation that failed


def _run() -> int:
    """Runs the command. Returns the exit status."""
    try:
        return app(standalone_mode=False) or 0
    except Exception as error:
        if hasattr(error, "format_message"):  # of the parser of the options
            complain(error.format_message())
        elif _is_mistake(error):
            complain(error)
        else:
            traceback.print_exception(error)
            complain("this is a fault of pullback or of the model, not of the call; the lines above say where.")
            return FAULT
        return MISTAKE


def main() -> None:
    """Entry point: a mistake of the user is one line on standard error and exit status 2; a fault keeps its traceback."""
    with plain_streams():
        status = _run()
    sys.exit(status)
