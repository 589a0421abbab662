"""`Outcome`: what a law measured on a method, and the evidence it keeps."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..core.plain import plain
from ..transforms.laws import relative_distance
from .tolerances import Limit
from .trial import Case

_LISTED = 512  # inputs up to this size are kept in a counterexample as they are


@dataclass(frozen=True)
class Outcome:
    """residual and limit; None where the law does not apply, and `reason` says why.

    evidence: shown where the law is broken.  details: kept always.
    """

    residual: float | None
    limit: Limit | None = None
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def noting(self, reason: str) -> "Outcome":
        return replace(self, reason="; ".join(filter(None, (self.reason, reason))))


def inapplicable(reason: str) -> Outcome:
    """The outcome of a law that cannot be measured here."""
    return Outcome(None, reason=reason)


def compare(a: Tensor, b: Tensor, limit: Limit, case: Case, names: tuple[str, str]) -> Outcome:
    """Two maps that should be equal, (batch, *coeff) each; `names` says what each is the map of."""
    residual = relative_distance(a, b)
    if a.shape != b.shape:
        return Outcome(residual, limit, f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}")
    each = [relative_distance(a[i : i + 1], b[i : i + 1]) for i in range(len(a))]
    worst = max(range(len(a)), key=each.__getitem__)
    one, two = a[worst].flatten(), b[worst].flatten()
    top = (one - two).abs().topk(min(5, len(one))).indices
    numbers = {names[0]: one[top].tolist(), names[1]: two[top].tolist()}
    evidence = {
        "example": worst,
        "coefficients": top.tolist(),
        **numbers,
        "totals": [float(one.sum()), float(two.sum())],
        "model": type(case.model).__name__,
        "target": shown(case.target),
        "x": shown(case.x[worst]),
    }
    return Outcome(residual, limit, evidence=evidence)


def shown(value: Any) -> Any:
    """`value` as JSON can hold it: tensors number by number, long ones by shape, mean and norm."""
    return plain(value, _numbers)


def _numbers(tensor: Tensor) -> Any:
    if tensor.numel() <= _LISTED:
        return tensor.tolist()
    wide = tensor.double()
    return {"shape": list(tensor.shape), "mean": float(wide.mean()), "norm": float(torch.linalg.vector_norm(wide))}


def worse(outcomes: list[Outcome]) -> Outcome:
    """The outcome that is furthest above its limit."""
    return max(outcomes, key=lambda o: (o.residual or 0.0) / max(o.limit.value if o.limit else 0.0, 1e-300))
