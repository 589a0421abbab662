"""The registered transforms, as rows of a table."""

import contextlib
from collections.abc import Iterator, Sequence

from ..transforms import Claim, Transform
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
        yield {"name": name, "claims": claim_words(built.claims), "redundancy": f"{built.redundancy:.2f}",
               "summary": " ".join(summary.split())}  # fmt: skip


def _build(name: str, shapes: Sequence[tuple[int, ...]]) -> Transform | None:
    for shape in shapes:
        with contextlib.suppress(ValueError, TypeError):
            return get_transform(name, shape)
    return None


def claim_words(claims: Claim) -> str:
    """Claims in the fewest words: ORTHOGONAL and PARSEVAL stand for what they contain.

    >>> claim_words(pb.transforms.get("dct", (1, 8)).claims)
    'ORTHOGONAL'
    """
    for union in (Claim.ORTHOGONAL, Claim.PARSEVAL, Claim.LINEAR | Claim.BIJECTIVE):
        if union in claims:
            rest = claims & ~union
            name = "LINEAR BIJECTIVE" if union == Claim.LINEAR | Claim.BIJECTIVE else str(union.name)
            return " ".join([name, *(str(claim.name) for claim in rest)])
    return " ".join(str(claim.name) for claim in claims) or "none"
