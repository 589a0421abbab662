"""The axioms of a method on a real model, or on a small network trained here; and the matrix of who keeps what."""

import dataclasses
import hashlib
import importlib.metadata
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...axioms.check import Method, check
from ...axioms.method_laws import LAWS_VERSION
from ...axioms.report import AxiomReport
from ...core.files import check_writable, read_json, write_text
from ...core.imports import import_callable
from ...core.progress import Interrupted, Progress
from ..loaders.data import load_photos
from ..loaders.model_formats import load_model
from ..report.figures import save, slug
from ..storage.fingerprint import answer, weights
from ..storage.workers import in_processes
from .figure import figure, page
from .matrix import (
    NOT_RUN,
    Cell,
    Question,
    attempt,
    cells,
    effort,
    every_method,
    find_method,
    spec,
    to_frame,
    unmeasured,
)

SMALL = "small"


def question(
    model: str = SMALL,
    *,
    data: str = "imagenet-sample",
    photos: int = 1,
    device: str = "cpu",
    seed: int = 0,
    double: bool = False,
) -> Question:
    """The model and signals on which methods are judged; the target is the predicted class of each.

    model: `small`, a convolutional network trained in seconds to name the direction of a grating, in double precision;
    or a spec as in `load_model`, which is then shown `photos` of `data`.
    double: convert the model and its input to double precision, in which laws can be judged more sharply.

    Raises: ValueError or ImportError, as `load_model` and `load_photos` do; ValueError where no photo can be read.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8), "red").save(f"{folder}/red.png")
    ...     asked = question("torch.nn:Flatten", data=folder, double=True)
    >>> asked.x.dtype, int(asked.target) < 224 * 224  # the largest of the outputs is a red one
    (torch.float64, True)
    """
    if model == SMALL:
        network, x = trained_on_gratings(seed)
        network, x = network.to(device), x.to(device)
    else:
        loaded = load_model(model, device)
        network = loaded.module
        found = load_photos(data, photos)
        images = [loaded.prepare(image) for _, image in found]
        if not images:
            raise ValueError(
                f"data: nothing in {data!r} could be read as an image; the first, {': '.join(found.skipped[0])}."
            )
        x = torch.stack(images).to(device)
        loaded.classify(x)  # which says what is wrong with the model or the size of its images
        network, x = (network.double(), x.double()) if double else (network, x)
    with torch.no_grad():
        return Question(network, x, network(x).argmax(1))


def trained_on_gratings(seed: int = 0, steps: int = 150) -> tuple[nn.Module, Tensor]:
    """A small ReLU network with batch normalisation that names one of four directions, and three gratings it never saw.

    Shapes: x (3, 1, 16, 16).
    """
    generator, threads = torch.Generator().manual_seed(seed), torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 7 * 7, 32),
            nn.ReLU(),
            nn.Linear(32, 4),
        ).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    torch.set_num_threads(1)  # the order of sums decides the last bits, by which stored cells know their network
    try:
        for _ in range(steps):
            x, label = gratings(64, generator)
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), label).backward()
            optimizer.step()
    finally:
        torch.set_num_threads(threads)
    network.requires_grad_(False)
    return network.eval(), gratings(3, generator)[0]


def gratings(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noisy sine gratings in four directions, and which one.  Shapes: (count, 1, 16, 16) and (count,)."""
    label = torch.randint(4, (count,), generator=generator)
    draw = torch.rand(count, 2, 1, 1, generator=generator, dtype=torch.double)
    angle = label.double().reshape(-1, 1, 1) * torch.pi / 4
    rows, columns = torch.meshgrid(*[torch.arange(16, dtype=torch.double)] * 2, indexing="ij")
    wave = torch.sin(
        (0.6 + 0.5 * draw[:, 0]) * (rows * angle.cos() + columns * angle.sin()) + 2 * torch.pi * draw[:, 1]
    )
    noise = torch.randn(count, 16, 16, generator=generator, dtype=torch.double)
    return (wave + 0.3 * noise)[:, None], label


def judge(method: str, asked: Question, **options: Any) -> AxiomReport:
    """`pullback.axioms.check` for a method by name.

    method: a spec of ours, one of Captum's as "captum.DeepLift", or "package.module:callable" for a callable
    (f, x, target, x0) -> tensor.  options: transform, baseline, axioms, seed, tolerance.

    Raises: ValueError that lists the choices, and as `check` does.

    >>> asked = Question(nn.Linear(4, 2).double(), torch.full((1, 4), 2.0).double(), 0)
    >>> judge("gradient", asked, axioms="completeness").holds("completeness")
    False
    """
    return check(asked.model, asked.x, asked.target, method=_subject(method), **options)


def _subject(method: str) -> Method:
    if ":" not in method:
        return find_method(method)
    return import_callable(method, "Method", "a callable (f, x, target, x0) -> tensor")


def write_report(report: AxiomReport, out: str | Path) -> list[str]:
    """axioms.html and axioms.json in `out`; their names.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     names = write_report(AxiomReport("gradient", ()), folder)
    ...     AxiomReport.from_dict(read_json(Path(folder) / names[1])).subject
    'gradient'
    """
    write_text(Path(out) / "axioms.html", report.to_html())
    write_text(Path(out) / "axioms.json", report.to_json())
    return ["axioms.html", "axioms.json"]


def write_matrix(
    questions: dict[str, Question],
    out: str | Path,
    *,
    methods: Sequence[str] | None = None,
    transforms: Sequence[str] = ("pixel",),
    seed: int = 0,
    minutes: float | None = None,
    jobs: int = 1,
    report: Callable[[AxiomReport], None] | None = None,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
) -> tuple[Any, list[str]]:
    """The matrix as a table, and the names of the files that it is written to: .csv, .json, .html and a .png for each model.

    Each finished cell is stored in `out`/cells, and is not measured again when the question is the same, weights included.
    Several calls may share `out`, at one time or after one another: a call finds what the others have finished. A
    KeyboardInterrupt becomes Interrupted, with the number of finished cells.
    minutes: no cell is started after so many; those left are "not applicable" until the same call goes on.
    jobs: so many cells at a time, each in a process of its own with one thread.
    report: called with each new report.  progress: called with (cells done, cells), those of earlier calls first.
    note: called with a sentence where stored cells are of other weights of these models, and are measured anew.

    A method or transform that does not exist, or does not suit the question, is "not applicable", with the reason.

    >>> import tempfile
    >>> asked = {"line": Question(nn.Linear(4, 2).double(), torch.full((1, 4), 2.0).double(), 0)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table, files = write_matrix(asked, folder, methods=["gradient"])
    >>> files, table.set_index("axiom").loc[["completeness", "linearity"], "verdict"].tolist()
    (['matrix.csv', 'matrix.json', 'matrix.html', 'matrix-line.png'], ['BROKEN', 'kept'])
    """
    out, deadline = Path(out), None if minutes is None else time.monotonic() + 60 * minutes
    check_writable(out)
    known = {name: _model(asked) for name, asked in questions.items()}
    settings = {
        cell: _fingerprint(cell, questions[cell.model], seed, known[cell.model])
        for cell in cells(questions, every_method() if methods is None else methods, transforms)
    }
    paths = {cell: out / "cells" / f"{_name(setting)}.json" for cell, setting in settings.items()}
    left = [cell for cell, path in paths.items() if read_json(path) is None]
    if note is not None and (others := _of_other_weights(out / "cells", [settings[cell] for cell in left])):
        note(
            f"{others} of the cells stored in {out / 'cells'} are of a model with other weights or another answer; they are "
            "measured anew."
        )
    done = itertools.count(len(paths) - len(left))
    progress = progress or (lambda done, planned: None)
    progress(next(done), len(paths))
    tasks = [(cell, questions[cell.model], seed, paths[cell], settings[cell]) for cell in left]
    try:
        for finished in _measured(tasks, jobs, deadline):
            progress(next(done), len(paths))
            if report is not None:
                report(finished)
    except KeyboardInterrupt:
        raise Interrupted(sum(path.is_file() for path in paths.values()), len(paths)) from None
    late = f"{NOT_RUN}: the time was up; the same call goes on from here"
    stored = {cell: read_json(path) for cell, path in paths.items()}
    table = to_frame(
        {
            cell: unmeasured(cell, late) if found is None else AxiomReport.from_dict(found)
            for cell, found in stored.items()
        }
    )
    return table, _write_table(table, out)


def _write_table(table: Any, out: Path) -> list[str]:
    """Writes .csv, .json, .html, and a .png for each model that was measured; returns their names."""
    write_text(out / "matrix.csv", table.to_csv(index=False))
    write_text(out / "matrix.json", table.to_json(orient="records", indent=1, force_ascii=False))
    write_text(out / "matrix.html", page(table))
    figures = [
        save(figure(part), out / f"matrix-{slug(str(model))}.png")
        for model, part in table.groupby("model", sort=False)
        if not part["reason"].str.startswith(NOT_RUN).all()
    ]
    return ["matrix.csv", "matrix.json", "matrix.html", *figures]


Task = tuple[Cell, Question, int, Path, dict[str, Any]]  # the arguments of `measure_cell`


def _measured(tasks: Sequence[Task], jobs: int, deadline: float | None) -> Iterator[AxiomReport]:
    """Measures and stores these cells, and yields the reports as they are finished."""
    if jobs > 1:  # the dearest first, so that none of them is left to run alone
        dearest = sorted(tasks, key=lambda task: -effort(task[0], task[1]))
        yield from in_processes(measure_cell, dearest, jobs, deadline)
        return
    for task in tasks:
        if deadline is not None and time.monotonic() > deadline:
            return
        yield measure_cell(*task)


def measure_cell(cell: Cell, asked: Question, seed: int, path: Path, settings: dict[str, Any]) -> AxiomReport:
    """The report on a cell, stored at `path` with the settings by which it is known and the seconds that it took."""
    start = time.monotonic()
    found = attempt(cell, asked, seed=seed)
    seconds = round(time.monotonic() - start, 1)
    date = time.strftime("%Y-%m-%d", time.gmtime())
    how = {"settings": settings, "seconds": seconds, "date": date}
    write_text(path, json.dumps(found.to_dict() | how, indent=1))
    return found


def _name(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def _fingerprint(cell: Cell, asked: Question, seed: int, model: dict[str, Any]) -> dict[str, Any]:
    """All that decides what a cell comes to; of x, its shape, dtype and a sum.  model: as `_model` gives it."""
    x = asked.x.double()
    signal = [str(asked.x.dtype), list(x.shape), float(x.sum()), float(x.square().sum())]
    target = asked.target.tolist() if isinstance(asked.target, Tensor) else str(asked.target)
    versions = {name: importlib.metadata.version(name) for name in ("pullback", "torch")}
    return (
        dataclasses.asdict(cell)
        | model
        | {
            "asked": spec(cell, asked),
            "seed": seed,
            "x": signal,
            "target": target,
            "versions": versions,
            "laws_version": LAWS_VERSION,
        }
    )


def _model(asked: Question) -> dict[str, Any]:
    """The model's weights, and its answer to the signals, which tells functions without weights apart."""
    try:
        with torch.no_grad():
            found = answer(asked.model(asked.x))
    except Exception:  # the cells will meet it, and say so
        found = []
    return {"weights": weights(asked.model), "answer": found}


def _of_other_weights(folder: Path, left: Sequence[dict[str, Any]]) -> int:
    """How many of the stored cells are what is still to be measured, but for the model's weights or answer."""
    plain: Callable[[dict[str, Any]], str] = lambda setting: json.dumps(
        {key: value for key, value in setting.items() if key not in ("weights", "answer", "target")}, sort_keys=True
    )
    stored = [read_json(path) for path in folder.glob("*.json")]
    wanted = {plain(setting) for setting in left}
    return sum(plain(cell["settings"]) in wanted for cell in stored if cell is not None)
