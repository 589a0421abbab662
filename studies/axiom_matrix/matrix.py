"""The cells of the matrix: one method in one domain on one model, and the table that their reports make."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from ...attribution import names as method_names
from ...attribution.estimator import get as get_estimator
from ...axioms.cheap_forms import cheap_form
from ...axioms.check import Method, check
from ...axioms.method_laws import NAMES
from ...axioms.report import AxiomReport, Finding
from ...core.imports import import_callable
from ...transforms import Layout
from ...transforms import get as get_transform
from .captum_methods import EVALUATIONS, captum_methods
from .default_options import check_cost, with_options
from .literature import expected
from .subject import Subject

NOT_RUN = "not run"  # the first words of the reason of cells for which there was no time
_MAPS = 40  # roughly the number of cheap maps in a full check


@dataclass(frozen=True)
class Cell:
    """One method in one domain on one model, each by name."""

    model: str
    transform: str
    method: str


def find_method(name: str) -> Method:
    """The method of that name: a spec, one of Captum's as "captum.DeepLift", or "package.module:callable".

    Raises: ValueError that says what was expected.
    """
    if ":" in name:
        return import_callable(name, "Method", "a callable (f, x, target, x0) -> tensor")
    if not name.startswith("captum."):
        return name
    known = captum_methods()
    if name not in known:
        raise ValueError(f"Method {name!r}: expected one of {', '.join(known)}, or a spec of pullback.")
    return known[name]


def check_method(subject: Subject, method: str, **options: Any) -> AxiomReport:
    """`pullback.axioms.check` on a subject, for a method by name.

    method: a spec, one of Captum's as "captum.DeepLift", or "package.module:callable" for a callable
    (f, x, target, x0) -> tensor.  options: transform, baseline, axioms, seed, tolerance, progress.

    Raises: ValueError that lists the choices, and as `check` does.

    >>> import torch
    >>> subject = Subject(torch.nn.Linear(4, 2).double(), torch.full((1, 4), 2.0).double(), 0)
    >>> check_method(subject, "gradient", axioms="completeness").holds("completeness")
    False
    """
    return check(subject.model, subject.x, subject.target, method=find_method(method), **options)


def every_method() -> list[str]:
    """The names of all estimators that need no arguments, and of Captum's methods."""
    return [*(name for name in method_names() if name != "captum"), *captum_methods()]


def cells(models: Iterable[str], methods: Sequence[str], transforms: Sequence[str]) -> list[Cell]:
    """All cells, domain by domain."""
    return [Cell(model, transform, method) for model in models for transform in transforms for method in methods]


def attempt(cell: Cell, subject: Subject, axioms: str | Sequence[str] = "all", seed: int = 0) -> AxiomReport:
    """The report on a cell, or a report in which each axiom has the reason why the cell could not be measured."""
    try:
        method = spec(cell, subject)
        if isinstance(found := find_method(method), str):
            check_cost(get_estimator(found).cost([_layout(cell, subject)]).total)
        return check_method(subject, method, transform=cell.transform, axioms=axioms, seed=seed)
    except (ValueError, TypeError, ImportError) as error:
        return unmeasured(cell, f"{cell.method}: {error}", axioms)


def unmeasured(cell: Cell, reason: str, axioms: str | Sequence[str] = "all") -> AxiomReport:
    """A report in which no axiom applies."""
    wanted = NAMES if axioms in ("all", "claimed") else [axioms] if isinstance(axioms, str) else axioms
    return AxiomReport(cell.method, tuple(Finding(name, None, None, None, reason) for name in wanted))


def spec(cell: Cell, subject: Subject) -> str:
    """The cell's method with its options in this domain; its name alone where the transform cannot be built."""
    try:
        return with_options(cell.method, _layout(cell, subject))
    except (ValueError, TypeError, ImportError):
        return cell.method


def _layout(cell: Cell, subject: Subject) -> Layout:
    return get_transform(cell.transform, tuple(subject.x.shape[1:])).layout


def effort(cell: Cell, subject: Subject) -> float:
    """Roughly the model evaluations that a cell needs for one example; one with a gradient counts three."""
    try:
        method, layouts = find_method(spec(cell, subject)), [_layout(cell, subject)]
        if not isinstance(method, str):
            return _MAPS * next((count for name, count in EVALUATIONS.items() if cell.method.startswith(name)), 3)
        own = get_estimator(method)
        costs = [(maps, one.cost(layouts)) for maps, one in ((_MAPS, cheap_form(own)), (3, own))]
        return sum(maps * (cost.total + 2 * cost.gradients) for maps, cost in costs)
    except (ValueError, TypeError, ImportError):
        return 0


def to_frame(found: Mapping[Cell, AxiomReport]) -> pd.DataFrame:
    """The findings as a table.

    Columns: model, transform, method, axiom, verdict, holds, residual, tolerance, evaluations, reason, literature ("kept",
    "BROKEN" or ""), agrees (True, False or None), why (where measurement and literature are known to differ).
    """
    return pd.DataFrame([asdict(cell) | _row(cell.method, one) for cell, report in found.items() for one in report])


def _row(method: str, finding: Finding) -> dict[str, Any]:
    names = ("axiom", "verdict", "holds", "residual", "tolerance", "evaluations", "reason")
    row = {name: getattr(finding, name) for name in names}
    entry = expected(method if method.startswith("captum.") else method.split("(")[0], finding.axiom)
    if entry is None:
        return row | {"literature": "", "agrees": None, "why": ""}
    agrees = None if finding.residual is None else entry.holds == finding.holds
    why = (entry.differs or entry.may_differ) if agrees is False else ""
    return row | {"literature": "kept" if entry.holds else "BROKEN", "agrees": agrees, "why": why}
