"""The command line: parses, calls the library, prints."""

import dataclasses
import importlib.metadata
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from .core.progress import bar

INTERRUPTED = 130  # exit status, as shells give it
EXPLAINED = ("dwt(db4, level=4)", "dct")
METHOD = "integrated_gradients(tol=0.05, max_evaluations=100)"

console = Console()


class _Commands(TyperGroup):
    """The commands; an interrupt of any of them is a line that says what is kept, where something is."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            _complain(": ".join(["interrupted", *map(str, interrupt.args)]))
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    help="In which coordinates does this model think?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    cls=_Commands,
)

MODEL = (
    "efficientnet-lite0, timm:NAME, torchvision:NAME, package.module:callable, or a .pt / .pt2 file. Callables (without "
    "arguments) and files get photos of 224 × 224, cropped at the centre, with ImageNet's mean and std, unless the callable "
    "returns (module, prepare)."
)
ModelOption = Annotated[str, typer.Option(help=MODEL)]
MethodOption = Annotated[str, typer.Option(help="An attribution method, as in 'smoothgrad(samples=25)'.")]


def _transforms(default: str) -> Any:
    """--transform, with what is taken where it is not given."""
    said = f"A domain, as in 'dwt(db4, level=3)'; repeat it for several. If not given: {default}."
    return typer.Option("--transform", help=said)


DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, …")]
SizeOption = Annotated[
    int | None, typer.Option(help="Side of the model's input in pixels, for models that do not say.", min=1)
]
RowsOption = Annotated[str, typer.Option(help="Most model rows in one forward pass: 'auto' or a number.")]


def _version(asked: bool) -> None:
    if asked:
        console.print(f"pullback {importlib.metadata.version('pullback')}", highlight=False)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", help="Print the version and exit.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """In which coordinates does this model think?"""


@app.command()
def compare(
    model: ModelOption = "efficientnet-lite0",
    data: Annotated[str, typer.Option(help="imagenet-sample, a folder, a folder of CLASS/image.jpg, or hf:NAME.")] = (
        "imagenet-sample"
    ),
    method: MethodOption = METHOD,
    transform: Annotated[
        list[str] | None, _transforms("pixel, dct, dft and seven wavelets; summary.json names them")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many photos that can be read.", min=1)] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; made if need be.")] = Path("results/compare"),
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(help="Fixes every random number.")] = 0,
    rows: RowsOption = "auto",
    size: SizeOption = None,
    pictures: Annotated[int, typer.Option(help="Photos whose maps are drawn.", min=0)] = 3,
) -> None:
    """Compare transform domains on a model and photos, from one gradient stream."""
    from . import studies

    settings = studies.Settings(
        model=model,
        data=data,
        method=method,
        limit=limit,
        device=resolve_device(device),
        seed=seed,
        batch_size=_rows(rows),
        pictures=pictures,
    )
    if transform:
        settings = dataclasses.replace(settings, transforms=tuple(transform))
    loaded = studies.load_model(model, settings.device, _preparation(size))
    with bar("per cent of the work") as progress:
        outcome = studies.compare(
            settings, out, lambda done, planned: progress(100 * done / planned, 100), loaded, _complain
        )
    _print_outcome(outcome)


@app.command()
def explain(
    image: Annotated[Path, typer.Argument(help="The picture to explain.")],
    model: ModelOption = "efficientnet-lite0",
    method: MethodOption = METHOD,
    transform: Annotated[list[str] | None, _transforms(" and ".join(EXPLAINED))] = None,
    target: Annotated[int | None, typer.Option(help="Class to explain; the predicted one if not given.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("results/explain"),
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(help="Fixes every random number.")] = 0,
    rows: RowsOption = "auto",
    size: SizeOption = None,
) -> None:
    """Explain one picture: where, and in which octaves, the score of a class sits."""
    from . import studies

    with bar("model rows", early=True) as progress:
        found = studies.explain(
            image,
            model=studies.load_model(model, resolve_device(device), _preparation(size)),
            method=method,
            transforms=transform or list(EXPLAINED),
            target=target,
            out=out,
            device=resolve_device(device),
            seed=seed,
            batch_size=_rows(rows),
            progress=progress,
        )
    name = f" ({found.class_name})" if found.class_name else ""
    said = (
        f"score {found.score:.3f}"
        if math.isnan(found.probability)
        else f"class {found.target}{name}, score {found.score:.3f}, probability {found.probability:.1%}"
    )
    console.print(f"{found.image}: {said}", highlight=False, markup=False)
    for spec, shares in found.shares.items():
        table = Table("octave", "share of Σ|a|", title=spec, title_justify="left")
        for name, share in shares.items():
            table.add_row(str(name), f"{share:.1%}")
        console.print(table)
    _print_files(out, found.files)


@app.command()
def axioms(
    method: Annotated[
        list[str] | None, typer.Option(help=f"The method to judge, {METHOD} if not given; with --matrix, repeat it.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="'small' (a network trained here in seconds), or as in compare.")
    ] = "small",
    transform: Annotated[list[str] | None, _transforms("pixel; with --matrix, pixel and dct")] = None,
    axiom: Annotated[list[str] | None, typer.Option(help="Check this one only; repeat it for several.")] = None,
    matrix: Annotated[
        bool,
        typer.Option(
            "--matrix",
            metavar="",
            help="Methods × axioms × domains as a table and a figure: every method of ours and of Captum's, or "
            "those of --method. Finished cells are kept in --out, and the same command goes on from there.",
        ),
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(help="With --matrix: start no further cell after so many minutes.", min=0)
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="With --matrix: so many cells at a time, in processes of one thread each.", min=1)
    ] = 1,
    data: Annotated[str, typer.Option(help="Photos for models other than 'small', as in compare.")] = "imagenet-sample",
    photos: Annotated[int, typer.Option(help="How many photos.", min=1)] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("results/axioms"),
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(help="Fixes every random number.")] = 0,
    double: Annotated[
        bool, typer.Option("--double", metavar="", help="Run the model in double precision: sharper verdicts.")
    ] = False,
) -> None:
    """Measure which axioms a method keeps: one of ours, 'captum.DeepLift' …, or package.module:callable.

    The callable is (f, x, target, x0) -> tensor. Exit status 1 where a promised axiom is broken, where the method's answer is
    no map, or where no axiom could be measured.
    """
    from . import studies

    studies.check_writable(out)
    asked = studies.question(model, data=data, photos=photos, device=resolve_device(device), seed=seed, double=double)
    if matrix:
        with bar("cells") as progress:
            _, files = studies.write_matrix(
                {model: asked},
                out,
                methods=method,
                transforms=transform or ["pixel", "dct"],
                seed=seed,
                minutes=minutes,
                jobs=jobs,
                report=_print_report,
                progress=progress,
                note=_complain,
            )
        _print_files(out, files)
        return
    with bar("laws") as progress:
        report = studies.judge(
            (method or [METHOD])[0],
            asked,
            transform=(transform or ["pixel"])[0],
            axioms=axiom or "all",
            seed=seed,
            progress=progress,
        )
    _print_report(report)
    _print_files(out, studies.write_report(report, out))
    failed = any(f.verdict == "UNUSABLE" or (f.verdict == "BROKEN" and f.claimed) for f in report)
    raise typer.Exit(1 if failed or all(finding.holds is None for finding in report) else 0)


@app.command()
def transforms(
    check: Annotated[
        bool, typer.Option("--check", metavar="", help="Measure every law on every example, and print faults in full.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", metavar="", help="With --check: print every finding.")] = False,
) -> None:
    """List the registered transforms and their claims. With --check, the exit status is 1 if a claim is wrong."""
    from . import studies

    if check:
        raise typer.Exit(_check_transforms(verbose))
    table = Table("name", "claims", "z / x", "what it is")
    for row in studies.transform_rows():
        table.add_row(row["name"], row["claims"], row["redundancy"], row["summary"])
    console.print(table)


def _check_transforms(verbose: bool) -> int:
    """Prints a row for each transform, and every law that is not as claimed (or every law); 1 if there is a fault."""
    from .studies.catalogue import check_all

    with bar("transforms") as progress:
        checked = list(check_all(progress))
    for report in (report for each in checked for report in each.reports):
        if verbose or report.faults:
            _print_report(report if verbose else dataclasses.replace(report, findings=report.faults))
    limit = f"{next(iter(checked[0].reports[0])).tolerance:.0e}"
    title = f"relative residuals in double precision; tolerance {limit}"
    table = Table("name", "laws", "examples", "largest residual", "against other libraries", "verdict", title=title)
    for each in checked:
        table.add_row(each.name, *each.cells, f"{each.faults} faults" if each.faults else "kept")
    console.print(table)
    faults = sum(each.faults for each in checked)
    console.print(f"{faults} faults" if faults else "every claim holds, and every law that holds is claimed")
    return 1 if faults else 0


def _print_report(report: Any) -> None:
    console.print(str(report), highlight=False, markup=False, soft_wrap=True)


def _print_outcome(outcome: Any) -> None:
    from .studies.report import page as report

    names = max(len(str(domain)) for domain in outcome.table["transform"])
    width = min(names, console.width // 3)
    columns = report.narrow(console.width - width - 4)
    gap = " (gap: median)" if "relative_gap" in [name for name, _, _ in columns] else ""
    table = Table(title=f"means over photos{gap}")
    table.add_column("domain", width=width, overflow="fold")
    for _, title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for domain, values in report.means(outcome.table).iterrows():
        table.add_row(str(domain), *(report.cell(name, values[name]) for name, _, _ in columns))
    console.print(table)
    for sentence in report.findings(outcome.table):
        console.print(f"• {sentence}", highlight=False)
    _print_skipped(outcome.summary["skipped"])
    _print_files(outcome.out, outcome.files)


def _print_skipped(skipped: list[dict[str, str]], most: int = 5) -> None:
    """The first few by name."""
    if skipped:
        named = ", ".join(entry["file"] for entry in skipped[:most]) + (", …" if len(skipped) > most else "")
        console.print(
            f"skipped, since they cannot be read as images: {named} ({len(skipped)} in all; why: summary.json)",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _complain(text: str) -> None:
    Console(stderr=True).print(f"pullback: {text}", style="red", highlight=False, markup=False, soft_wrap=True)


def _print_files(out: Path, files: list[str]) -> None:
    console.print(f"results in {out}: {', '.join(files)}", highlight=False, soft_wrap=True)


def resolve_device(name: str) -> str:
    """`auto` is cuda where there is one, else cpu.  Raises: ValueError for a device that torch does not know or have."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"Device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return name


def _rows(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"rows: expected 'auto' or a whole number of at least 1, got {text!r}.")
    return int(text)


def _preparation(size: int | None) -> Any:
    from . import studies

    return None if size is None else studies.Preparation(size=size)


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit status 2."""
    try:
        app()
    except (ValueError, TypeError, ImportError, OSError, MemoryError) as error:
        _complain(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
