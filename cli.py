"""The command line: it parses arguments, calls the library and prints results."""

import dataclasses
import dis
import importlib.metadata
import json
import shutil
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import options
from .commands import runs, study
from .core import terminal
from .core.defaults import PICTURE_METHOD
from .core.files import check_writable, plain
from .core.progress import Interrupted, bar
from .core.terminal import complain, plain_streams, show, show_files, show_table, tell, typed

MISTAKE, FAULT, INTERRUPTED = 2, 3, 130  # exit statuses; 1 says that a law is broken
STORED = {"compare": "examples", "axioms": "cells"}  # what these commands have stored when they are interrupted


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


PLAIN: Any = {"rich_markup_mode": None} if shutil.get_terminal_size().columns < 72 else {}  # tables of help would cut words off
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, cls=_Commands, **PLAIN)
app.add_typer(study, name="study")


def _version(asked: bool) -> None:
    if asked:
        terminal.console.print(f"pullback {importlib.metadata.version('pullback')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, options.switch("--version", "Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    """In which coordinates does this model think?"""


@app.command()
@options.grouped
def compare(
    run: options.EngineOptions,
    data: Annotated[list[str] | None, typer.Option(help=f"{options.DATA} {options.SEVERAL}")] = None,
    method: Annotated[list[str] | None, typer.Option(help=options.COMPARED_METHODS)] = None,
    baseline: Annotated[list[str] | None, typer.Option(help=options.BASELINES)] = None,
    transform: Annotated[
        list[str] | None,
        options.domains("pixel, dct, dft and seven wavelets for pictures, others for other signals; summary.json lists them"),
    ] = None,
    limit: Annotated[int | None, options.number("Largest number of examples; unreadable files do not count.")] = None,
    pictures: Annotated[int | None, options.number("Number of examples whose maps are drawn, in each cell: 3.", 0)] = None,
    effort: Annotated[str, typer.Option(help=options.EFFORT)] = "default",
    quick: Annotated[bool, options.switch("--quick", "As --effort quick with 2 examples, and maps of one.")] = False,
    questions: Annotated[Path | None, typer.Option(help=options.QUESTIONS)] = None,
    groups: Annotated[str | None, typer.Option(help=options.GROUPS)] = None,
    baseline_run: Annotated[Path | None, typer.Option(help=options.BASELINE_RUN)] = None,
    out: options.OutOption = Path("results/compare"),
) -> None:
    """Compare transform domains on models and photos or other signals, from one gradient stream for each model and method.

    --model, --data, --method and --baseline may be repeated: each combination is compared.
    """
    from . import studies
    from .studies.report.printed_comparison import print_comparison

    if quick:
        effort, limit, pictures = "quick", 2 if limit is None else limit, 1 if pictures is None else pictures
    asked: dict[str, Any] = {"data": tuple(data or ("imagenet-sample",)), "method": tuple(method or (PICTURE_METHOD,))}
    asked |= {"baseline": tuple(baseline or ("zero",)), "transforms": tuple(transform or ()), "limit": limit, "effort": effort}
    settings = studies.Settings(**run.settings(), **asked, pictures=3 if pictures is None else pictures, groups=groups)
    cluster = run.cluster()
    declared = None if questions is None else studies.read_questions(questions)
    if run.shard is not None:
        if baseline_run is not None:
            raise ValueError("compare: --baseline-run is for whole runs; give it to pullback merge.")
        with bar("steps", early=True) as progress:
            part = studies.compare_shard(settings, out, progress, note=complain, questions=declared)
        show(f"shard {run.shard}: {part.photos} examples, {part.skipped} of them skipped, in {plain(out)}")
        return
    with bar("steps", early=True) as progress:
        told: dict[str, Any] = {"note": complain, "questions": declared, "before": baseline_run}
        found = studies.compare(settings, out, progress, **told, engine=cluster, show=tell)
    print_comparison(found)


for _command in (runs.merge, runs.status, runs.cost):
    app.command()(_command)


@app.command()
@options.grouped
def explain(
    run: options.BatchedOptions,
    files: Annotated[list[Path], typer.Argument(help=options.FILES)],
    method: options.MethodOption = PICTURE_METHOD,
    baseline: Annotated[str, typer.Option(help=options.BASELINE)] = "zero",
    transform: Annotated[list[str] | None, options.domains(options.EXPLAINED)] = None,
    target: Annotated[list[str] | None, typer.Option(help=options.TARGET)] = None,
    top: Annotated[int, options.number("Without --target: explain so many classes, those with the highest scores.")] = 1,
    start: Annotated[float, options.decimal("Read a recording from this second on.")] = 0.0,
    seconds: Annotated[float | None, options.decimal("Read so many seconds of it; without it at most 60.")] = None,
    out: options.OutOption = Path("results/explain"),
) -> None:
    """Explain a picture, a recording, a volume or a series: where, and in which octaves, is the score of a class?

    Of several files, those that cannot be explained are named and left out; the exit status is then 2.
    """
    from . import studies
    from .studies.report.printed import print_explanation

    settings = studies.Settings(**run.settings())
    asked: dict[str, Any] = {"method": method, "baseline": baseline, "transforms": transform, "top": top}
    asked |= {"part": studies.Part(start, seconds) if start or seconds is not None else None, "seed": settings.seed}
    asked |= {"targets": target or (), "out": out, "device": settings.device, "batch_size": settings.batch_size}
    loaded, failed = settings.load_model(complain), 0
    for file in files:
        try:
            with bar("model evaluations", early=True) as progress:
                found = list(studies.explain_top(file, model=loaded, **asked, progress=progress))
        except Exception as error:
            if len(files) == 1 or not _is_mistake(error):
                raise
            complain(error if file.name in str(error) else f"{file.name}: {error}")
            failed += 1
            continue
        for one in found:
            print_explanation(run.model, one, out)
    if failed < len(files):
        show(f"report: {plain(studies.write_page([out])[0])}")
    if failed:
        raise typer.Exit(MISTAKE)


@app.command()
@options.grouped
def axioms(
    run: options.AxiomOptions,
    method: Annotated[list[str] | None, typer.Option(help=options.METHODS)] = None,
    transform: Annotated[list[str] | None, options.domains("pixel; with --matrix, pixel and dct")] = None,
    axiom: Annotated[list[str] | None, typer.Option(help="Check only this axiom; repeat it for several.")] = None,
    matrix: Annotated[bool, options.switch("--matrix", options.MATRIX)] = False,
    minutes: Annotated[float | None, options.number("With --matrix: start no cell after this many minutes.", 0)] = None,
    jobs: Annotated[int, options.number("With --matrix: number of cells at a time, each in a process with one thread.")] = 1,
    data: Annotated[str, typer.Option(help="Signals for models other than 'small', as in compare.")] = "imagenet-sample",
    photos: Annotated[int, options.number("Number of signals.")] = 1,
    target: Annotated[str | None, typer.Option(help=options.SUBJECT)] = None,
    out: options.OutOption = Path("results/axioms"),
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
    given = {
        name: value for name, value in run.settings().items() if value not in (None, ()) and name not in ("device", "seed")
    }
    source: dict[str, Any] = {"data": data, "photos": photos, "target": target}
    how: dict[str, Any] = {"device": options.resolve_device(run.device), "seed": run.seed}
    loaded = studies.Settings(**given, **how).load_model(complain) if run.model != studies.SMALL else run.model
    parts = {name: value for name, value in given.items() if name != "model"} if run.model == studies.SMALL else {}
    subject = studies.load_subject(loaded, **source, **how, double=double, preparation=parts)
    chosen = list(dict.fromkeys(axiom or [])) or "all"
    if matrix:
        cells: dict[str, Any] = {"methods": method, "transforms": transform or ["pixel", "dct"], "axioms": chosen, "jobs": jobs}
        with bar("cells") as progress:
            told: dict[str, Any] = {"report": show, "progress": progress, "note": complain}
            _, files = studies.write_matrix({run.model: subject}, out, seed=run.seed, minutes=minutes, **cells, **told)
        show_files(out, files)
        return
    check: dict[str, Any] = {"transform": (transform or ["pixel"])[0], "axioms": chosen, "seed": run.seed}
    with bar("axioms") as progress:
        named = (method or [PICTURE_METHOD])[0]
        question = given | source | {"double": double} | check
        report, files = studies.check_and_write(subject, named, out, question, **check, progress=progress)
    show(report)
    show_files(out, files)
    failed = any(f.verdict == "UNUSABLE" or (f.verdict == "BROKEN" and f.claimed) for f in report)
    raise typer.Exit(1 if failed or all(finding.holds is None for finding in report) else 0)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of results; several are shown side by side.")],
    out: Annotated[
        Path | None, typer.Option(help="The page. If not given: report.html in the folder, or here for several.")
    ] = None,
) -> None:
    """Write the report of results again, or one of several runs side by side: one page that needs no other file."""
    from . import studies

    for path in studies.write_page(folders, out):
        show(path)


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


@app.command()
def metrics(
    names: Annotated[list[str] | None, typer.Argument(help="Show these in full, with options as in 'gain(by=bits)'.")] = None,
    as_json: Annotated[bool, options.switch("--json", "Print JSON, one object for each metric.")] = False,
) -> None:
    """List the registered metrics: formula, source, chance level, what leaves them as they are, and what they cost and need."""
    from . import studies
    from .studies.report.printed import print_metrics

    if as_json:
        show(json.dumps(list(studies.metric_rows(names or ())), indent=2, ensure_ascii=False))
    elif names:
        show("\n\n".join(map(studies.metric_text, names)))
    else:
        print_metrics(list(studies.metric_rows()))


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
        with typed(sys.argv[1:]):
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
