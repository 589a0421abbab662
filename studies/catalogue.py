"""The registered transforms, as rows of a table: what they claim, and whether they keep it."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..axioms import AxiomReport, check_transform
from ..core.progress import Progress
from ..transforms import Transform, TransformClaim
from ..transforms import get as get_transform
from ..transforms.registry import transforms


def transform_rows() -> Iterator[dict[str, str]]:
    """What `pullback transforms` lists: name, claims, coefficients per sample and what it is.

    Of a (3, 64, 64) signal, or of (1, 64) for transforms of one axis; those that need arguments show their first example.

    >>> next(row["redundancy"] for row in transform_rows() if row["name"] == "dct")
    '1.00'
    """
    for name in transforms.names():
        maker = transforms.maker(name)
        built = _build(name, [(3, 64, 64), (1, 64)]) or next(iter(maker.examples()))  # type: ignore[attr-defined]
        summary = (maker.__doc__ or "").strip().split("\n\n")[0]
        yield {
            "name": name,
            "claims": claim_words(built.claims),
            "redundancy": f"{built.redundancy:.2f}",
            "summary": " ".join(summary.split()),
        }


def _build(name: str, shapes: Sequence[tuple[int, ...]]) -> Transform | None:
    for shape in shapes:
        with contextlib.suppress(ValueError, TypeError):
            return get_transform(name, shape)
    return None


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


@dataclass(frozen=True)
class Checked:
    """One registered transform: a report on each of its examples, and their shapes."""

    name: str
    reports: Sequence[AxiomReport]
    shapes: Sequence[tuple[int, ...]]

    @property
    def faults(self) -> int:
        """How many laws are not as claimed, over all examples."""
        return sum(len(report.faults) for report in self.reports)

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Laws measured, examples, smallest and largest signal, and the promised law that came closest to breaking."""
        measured = [finding for report in self.reports for finding in report if finding.holds is not None]
        promised = [
            (finding.residual / finding.tolerance, finding)
            for finding in measured
            if finding.claimed is not False and finding.residual is not None and finding.tolerance
        ]
        _, worst = max(promised, key=lambda pair: pair[0])
        ends = min(self.shapes, key=math.prod), max(self.shapes, key=math.prod)
        sizes = " … ".join(dict.fromkeys("×".join(map(str, shape)) for shape in ends))
        return (
            str(len({finding.axiom for finding in measured})),
            str(len(self.reports)),
            sizes,
            f"{worst.residual:.0e} / {worst.tolerance:.0e} ({worst.axiom})",
        )


def check_all(progress: Progress) -> Iterator[Checked]:
    """Every law on every example of every registered transform.  progress: called with (transforms done, transforms)."""
    names = transforms.names()
    for done, name in enumerate(names):
        progress(done, len(names))
        examples: list[Transform] = list(transforms.maker(name).examples())  # type: ignore[attr-defined]
        yield Checked(name, [check_transform(example) for example in examples], [example.shape for example in examples])
    progress(len(names), len(names))
