"""Who keeps what: methods × axioms × domains × models, as a table beside what the literature says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from torch import Tensor

from ...attribution import names as method_names
from ...attribution.engine.score import Target
from ...attribution.estimator import get as get_estimator
from ...axioms.cheap_forms import cheap_form
from ...axioms.check import Method, check
from ...axioms.method_laws import NAMES
from ...axioms.report import AxiomReport, Finding
from ...transforms import Layout
from ...transforms import get as get_transform
from .captum_methods import MOST_ROWS, ROWS, captum_methods
from .default_options import asked
from .literature import expected

NOT_RUN = "not run"  # how the reason of a cell begins that no time was left for


@dataclass(frozen=True, eq=False)
class Question:
    """A model and the signals on which methods are judged."""

    model: Callable[..., Any]
    x: Tensor
    target: Target = None


def find_method(name: str) -> Method:
    """The method of that name: a spec of ours, or one of Captum's as "captum.DeepLift".

    Raises: ValueError that lists Captum's.
    """
    if not name.startswith("captum."):
        return name
    known = captum_methods()
    if name not in known:
        raise ValueError(f"Method {name!r}: expected one of {', '.join(known)}, or a spec of ours.")
    return known[name]


def run(method: str, question: Question, **options: Any) -> AxiomReport:
    """`check` on a question, for a method by name.  options: transform, baseline, axioms, seed, tolerance."""
    return check(question.model, question.x, question.target, method=find_method(method), **options)


def every_method() -> list[str]:
    """The names of all own estimators that can be built without arguments, and of Captum's methods."""
    return [*(name for name in method_names() if name != "captum"), *captum_methods()]


@dataclass(frozen=True)
class Cell:
    """One method in one domain on one model."""

    model: str
    transform: str
    method: str


def cells(models: Iterable[str], methods: Sequence[str], transforms: Sequence[str]) -> list[Cell]:
    """All of them, domain by domain."""
    return [Cell(model, transform, method) for model in models for transform in transforms for method in methods]


def matrix(
    questions: Mapping[str, Question],
    methods: Sequence[str] | None = None,
    transforms: Sequence[str] = ("pixel",),
    axioms: str | Sequence[str] = "all",
    seed: int = 0,
    report: Callable[[AxiomReport], None] | None = None,
) -> pd.DataFrame:
    """One row for each model, transform, method and axiom, as in `to_frame`.

    report: called with each finished report, to show progress.
    """
    found: dict[Cell, AxiomReport] = {}
    for cell in cells(questions, every_method() if methods is None else methods, transforms):
        found[cell] = attempt(cell, questions[cell.model], axioms, seed)
        if report is not None:
            report(found[cell])
    return to_frame(found)


def to_frame(found: Mapping[Cell, AxiomReport]) -> pd.DataFrame:
    """The findings as a table.

    Columns: model, transform, method, axiom, verdict, holds, residual, tolerance, evaluations, reason, literature ("kept",
    "BROKEN" or ""), agrees (True, False or None), why (where measurement and literature are known to differ).
    """
    return pd.DataFrame(
        [asdict(cell) | _row(cell.method, finding) for cell, report in found.items() for finding in report]
    )


def attempt(cell: Cell, question: Question, axioms: str | Sequence[str] = "all", seed: int = 0) -> AxiomReport:
    """The report on a cell, or one that says of every axiom why it could not be measured."""
    try:
        method = spec(cell, question)
        _check_cost(method, cell, question)
        return run(method, question, transform=cell.transform, axioms=axioms, seed=seed)
    except (ValueError, TypeError, ImportError) as error:
        return unmeasured(cell, f"{cell.method}: {error}", axioms)


def spec(cell: Cell, question: Question) -> str:
    """The spec that the cell's method is asked with; its name alone where the transform cannot be built."""
    try:
        return asked(cell.method, _layout(cell, question))
    except (ValueError, TypeError, ImportError):
        return cell.method


def _layout(cell: Cell, question: Question) -> Layout:
    return get_transform(cell.transform, tuple(question.x.shape[1:])).layout


_MAPS = 40  # brief maps that a full check asks for, roughly


def effort(cell: Cell, question: Question) -> float:
    """Roughly what a cell costs, in model evaluations of one example without a gradient: to start with the dearest."""
    try:
        subject, layouts = find_method(spec(cell, question)), [_layout(cell, question)]
        if not isinstance(subject, str):
            return _MAPS * next((rows for name, rows in ROWS.items() if cell.method.startswith(name)), 3)
        own = get_estimator(subject)
        costs = [(maps, one.cost(layouts)) for maps, one in ((_MAPS, cheap_form(own)), (3, own))]
        return sum(maps * (cost.total + 2 * cost.gradients) for maps, cost in costs)
    except (ValueError, TypeError, ImportError):
        return 0


def _check_cost(method: str, cell: Cell, question: Question) -> None:
    """Refuses an own method whose one map of one example needs more model evaluations than Captum's may."""
    subject = find_method(method)
    if isinstance(subject, str):
        needed = get_estimator(subject).cost([_layout(cell, question)]).total
        if needed > MOST_ROWS:
            raise ValueError(f"needs {needed:,} model evaluations for one example; the limit here is {MOST_ROWS:,}")


def unmeasured(cell: Cell, reason: str, axioms: str | Sequence[str] = "all") -> AxiomReport:
    """A report in which no axiom applies."""
    wanted = NAMES if axioms in ("all", "promised") else [axioms] if isinstance(axioms, str) else axioms
    return AxiomReport(cell.method, tuple(Finding(name, None, None, None, reason) for name in wanted))


def _row(method: str, f: Finding) -> dict[str, Any]:
    entry = expected(method if method.startswith("captum.") else method.split("(")[0], f.axiom)
    differs = "" if entry is None else entry.differs or entry.may_differ
    agrees = None if entry is None or f.residual is None else entry.holds == f.holds
    return {
        "axiom": f.axiom,
        "verdict": f.verdict,
        "holds": f.holds,
        "residual": f.residual,
        "tolerance": f.tolerance,
        "evaluations": f.evaluations,
        "reason": f.reason,
        "literature": "" if entry is None else "kept" if entry.holds else "BROKEN",
        "agrees": agrees,
        "why": differs if agrees is False else "",
    }
