"""`Outcome`: what a law measured on a method, and the evidence that it keeps."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..core.plain_data import plain
from ..transforms.laws import relative_distance
from .case import Case
from .tolerances import Tolerance

_LISTED = 512  # a counterexample lists inputs up to this size number by number


@dataclass(frozen=True)
class Outcome:
    """Residual and tolerance of a law; both are None where it does not apply, and `reason` says why."""

    residual: float | None
    tolerance: Tolerance | None = None
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)  # kept where the law is broken
    details: dict[str, Any] = field(default_factory=dict)  # always kept

    @property
    def broken(self) -> bool:
        """Whether the residual exceeds the tolerance."""
        return self.residual is not None and self.tolerance is not None and self.residual > self.tolerance.value

    def because(self, reason: str) -> "Outcome":
        """The outcome with one more reason."""
        return replace(self, reason="; ".join(filter(None, (self.reason, reason))))


def inapplicable(reason: str) -> Outcome:
    """The outcome of a law that cannot be measured here."""
    return Outcome(None, reason=reason)


def compare(a: Tensor, b: Tensor, tolerance: Tolerance, case: Case, names: tuple[str, str]) -> Outcome:
    """The outcome for two maps that should be equal, (batch, *coeff) each.  names: what the two are called in a report."""
    residual = relative_distance(a, b)
    if a.shape != b.shape:
        return Outcome(residual, tolerance, f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}")
    each = [relative_distance(a[i : i + 1], b[i : i + 1]) for i in range(len(a))]
    worst = max(range(len(a)), key=each.__getitem__)
    one, two = a[worst].flatten(), b[worst].flatten()
    top = (one - two).abs().topk(min(5, len(one))).indices
    maps = {"coefficients": top.tolist(), names[0]: one[top].tolist(), names[1]: two[top].tolist()}
    totals = [float(one.sum()), float(two.sum())]
    problem = {"model": type(case.model).__name__, "target": shown(case.target), "x": shown(case.x[worst])}
    return Outcome(residual, tolerance, evidence={"example": worst, **maps, "totals": totals, **problem})


def largest(values: Tensor, index: list[int], residual: Tensor, x: Tensor, model: str) -> tuple[float, dict[str, Any]]:
    """The largest residual of the batch, and the evidence for it.

    values: maps (batch, coeff).  index: the coefficients that the law is about.  residual: (batch,).  model: its formula.
    """
    worst = int(residual.argmax())
    shares = {"a": values[worst, index].tolist(), "largest |a|": float(values[worst].abs().max())}
    evidence = {"example": worst, "coefficients": index, **shares, "model": model, "x": shown(x[worst])}
    return float(residual.max()), evidence


def shown(value: Any) -> Any:
    """`value` as JSON can hold it: short tensors number by number, long ones by shape, mean and norm."""
    return plain(value, _numbers)


def _numbers(tensor: Tensor) -> Any:
    if tensor.numel() <= _LISTED:
        return tensor.tolist()
    wide = tensor.double()
    return {"shape": list(tensor.shape), "mean": float(wide.mean()), "norm": float(torch.linalg.vector_norm(wide))}


def worst_of(outcomes: list[Outcome]) -> Outcome:
    """The outcome whose residual is largest relative to its tolerance."""
    return max(outcomes, key=lambda o: (o.residual or 0.0) / max(o.tolerance.value if o.tolerance else 0.0, 1e-300))
