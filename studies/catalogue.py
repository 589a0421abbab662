"""The registered transforms and metrics as rows of tables: what they claim, and whether the transforms keep it."""

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..attribution import attribute
from ..axioms import AxiomReport, check_transform
from ..core.progress import Progress
from ..metrics import Metric
from ..metrics import get as get_metric
from ..metrics import names as metric_names
from ..transforms import Transform, TransformClaim
from ..transforms import get as get_transform
from ..transforms.registry import transforms


def transform_rows() -> Iterator[dict[str, str]]:
    """The table of `pullback transforms`: name, claims, coefficients per sample and summary of each transform.

    For a signal of shape (3, 64, 64), or (1, 64) for transforms of one axis; the first example of those that need arguments.

    >>> next(row["redundancy"] for row in transform_rows() if row["name"] == "dct")
    '1.00'
    """
    for name in transforms.names():
        maker = transforms.maker(name)
        built = _build(name, [(3, 64, 64), (1, 64)]) or _examples(name)[0]
        summary = (maker.__doc__ or "").strip().split("\n\n")[0]
        numbers = {"claims": claim_words(built.claims), "redundancy": f"{built.redundancy:.2f}"}
        yield {"name": name, **numbers, "summary": " ".join(summary.split())}


def _build(name: str, shapes: Sequence[tuple[int, ...]]) -> Transform | None:
    for shape in shapes:
        with contextlib.suppress(ValueError, TypeError):
            return get_transform(name, shape)
    return None


def _examples(name: str) -> list[Transform]:
    return list(transforms.maker(name).examples())  # type: ignore[attr-defined]


def claim_words(claims: TransformClaim) -> str:
    """Claims in the fewest words: ORTHOGONAL and PARSEVAL stand for what they contain.

    >>> claim_words(pb.transforms.get("dct", (1, 8)).claims)
    'ORTHOGONAL'
    """
    for union in (TransformClaim.ORTHOGONAL, TransformClaim.PARSEVAL, TransformClaim.LINEAR | TransformClaim.BIJECTIVE):
        if union in claims:
            rest = claims & ~union
            name = "LINEAR BIJECTIVE" if union == TransformClaim.LINEAR | TransformClaim.BIJECTIVE else str(union.name)
            return " ".join([name, *(str(claim.name) for claim in rest)])
    return " ".join(str(claim.name) for claim in claims) or "none"


def metric_rows(specs: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """What `pullback metrics` prints: a row for each spec, or for every registered metric with its default options.

    chance: the expected value of a random map, or None.  invariance: the changes of domain that leave it as it is.
    evaluations: of the model, for one example.  needs: names of `Needs`.

    >>> next(metric_rows(["infidelity"]))["invariance"]
    'linear'
    """
    still = attribute(lambda x: x.flatten(1).sum(1), torch.ones(1, 1, 64), method="input_x_gradient")
    for metric in map(get_metric, specs or metric_names()):
        row: dict[str, Any] = {"name": metric.name, "formula": metric.formula, "source": metric.source, "better": metric.better}
        row |= {"chance": metric.chance, "invariance": metric.invariant.name.lower(), "compares": _compared(metric)}
        yield row | {"evaluations": metric.cost(still), "needs": [str(each.name).lower() for each in metric.needs]}


def metric_text(spec: str) -> str:
    """A metric in full: what is in its row, its options, and its docstring."""
    metric, (row,) = get_metric(spec), metric_rows([spec])
    facts = row | {
        "needs": ", ".join(row["needs"]) or "nothing else",
        "chance": "-" if row["chance"] is None else row["chance"],
    }
    lines = [repr(metric), *(f"  {name:<12}{value}" for name, value in facts.items()), "", inspect.getdoc(metric) or ""]
    return "\n".join(lines)


def _compared(metric: Metric) -> str:
    """What a better value of the metric may be a finding about."""
    if metric.better == "neither":
        return "nothing"
    return "domains, methods" if metric.ranks_domains else "methods"


@dataclass(frozen=True)
class Checked:
    """One registered transform, with a report on each of its examples."""

    name: str
    reports: Sequence[AxiomReport]

    @property
    def faults(self) -> int:
        """The number of laws that are not as claimed, over all examples."""
        return sum(len(report.faults) for report in self.reports)

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Laws measured, examples, the largest residual with its law, and the comparison with other libraries."""
        measured = [finding for report in self.reports for finding in report if finding.holds is not None]
        promised = [finding for finding in measured if finding.claimed is not False]
        worst = max(promised, key=lambda finding: finding.residual or 0.0)
        laws = len({finding.axiom for finding in measured})
        return str(laws), str(len(self.reports)), f"{worst.residual:.0e} {worst.axiom}", self._compared()

    def _compared(self) -> str:
        """The other libraries, the largest distance from them, and the number of examples that they can compute."""
        found = [report["reference"] for report in self.reports if report["reference"].holds is not None]
        if not found:
            return "-"
        libraries = dict.fromkeys(finding.details.get("library", "failed").split(".")[0] for finding in found)
        distance = max(finding.residual or 0.0 for finding in found)
        return f"{distance:.0e} {', '.join(libraries)} ({len(found)}/{len(self.reports)})"


def check_all(progress: Progress) -> Iterator[Checked]:
    """Every law on every example of every registered transform.  progress: called with (transforms done, transforms)."""
    names = transforms.names()
    for done, name in enumerate(names):
        progress(done, len(names))
        yield Checked(name, [check_transform(example) for example in _examples(name)])
    progress(len(names), len(names))
