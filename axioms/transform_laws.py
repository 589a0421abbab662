"""The laws of `transforms.TransformClaim`, each as a residual that is 0 where the law holds."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.precision import tolerance
from ..transforms import Transform, TransformClaim
from .layout_laws import frequency_order
from .report import AxiomReport, Finding
from .validate_map import short


@dataclass(frozen=True)
class Draw:
    """Random tensors on which the laws are measured: x, y in the signal; z, w in coefficients, drawn independently of T."""

    x: Tensor
    y: Tensor
    z: Tensor
    w: Tensor


@dataclass(frozen=True)
class Law:
    """A statement, and how far a transform is from it. `claim` is None for what every transform must keep."""

    name: str
    statement: str
    claim: TransformClaim | None
    residual: Callable[[Transform, Draw], float | None]  # None where there is nothing to measure
    needs: TransformClaim = TransformClaim.NONE  # measured only where the transform claims these too


def gap(a: Tensor, b: Tensor) -> float:
    """max over examples of ‖a - b‖ / max(‖a‖, ‖b‖); infinite where the shapes differ or a number is not finite.

    In double precision and in units of the largest number: squares of very small or large ones would be 0 or infinite.
    """
    if a.shape != b.shape:
        return float("inf")
    if not bool(a.isfinite().all() and b.isfinite().all()):
        return float("inf")
    if a.numel() == 0:
        return 0.0
    one, two = a.double().flatten(1), b.double().flatten(1)
    unit = torch.maximum(one.abs().amax(1, keepdim=True), two.abs().amax(1, keepdim=True))
    one, two = (values / unit.where(unit > 0, 1) for values in (one, two))
    scale = torch.maximum(one.norm(dim=1), two.norm(dim=1))
    return float(((one - two).norm(dim=1) / scale.where(scale > 0, 1)).max())


def linear(t: Transform, d: Draw) -> float:
    """T(2x - 3y) = 2 Tx - 3 Ty, and the same for T⁻¹."""
    forward = gap(t(2 * d.x - 3 * d.y), 2 * t(d.x) - 3 * t(d.y))
    return max(forward, gap(t.inverse(2 * d.z - 3 * d.w), 2 * t.inverse(d.z) - 3 * t.inverse(d.w)))


def reconstructs(t: Transform, d: Draw) -> float:
    """T⁻¹ T x = x."""
    return gap(t.inverse(t(d.x)), d.x)


def surjective(t: Transform, d: Draw) -> float:
    """T T⁻¹ z = z for z drawn independently of T: z taken from T's range would pass for any frame."""
    return gap(t(t.inverse(d.z)), d.z)


def isometric(t: Transform, d: Draw) -> float:
    """‖Tx - Ty‖ = ‖x - y‖."""
    ratio = (t(d.x) - t(d.y)).flatten(1).norm(dim=1) / (d.x - d.y).flatten(1).norm(dim=1)
    return float((ratio - 1).abs().max()) if bool(ratio.isfinite().all()) else float("inf")


def adjoint(t: Transform, d: Draw) -> float:
    """⟨T⁻¹ z, g⟩ = ⟨z, T.adjoint(g)⟩, against ‖T⁻¹ z‖ ‖g‖."""
    synthesis, pulled = t.inverse(d.z), t.adjoint(d.y)
    left, right = (synthesis * d.y).flatten(1).sum(1), (d.z * pulled).flatten(1).sum(1)
    scale = synthesis.flatten(1).norm(dim=1) * d.y.flatten(1).norm(dim=1)
    return float(((left - right).abs() / scale.where(scale > 0, torch.ones_like(scale))).max())


def batch_independence(t: Transform, d: Draw) -> float:
    """T and T⁻¹ of one example are the same alone and in a batch."""
    alone = max(gap(t(d.x[i : i + 1]), t(d.x)[i : i + 1]) for i in range(len(d.x)))
    return max(alone, *(gap(t.inverse(d.z[i : i + 1]), t.inverse(d.z)[i : i + 1]) for i in range(len(d.z))))


def purity(t: Transform, d: Draw) -> float:
    """T and T⁻¹ leave their argument as it was, and give the same result again."""
    x, z = d.x.clone(), d.z.clone()
    first = t(x), t.inverse(z)
    return max(gap(x, d.x), gap(z, d.z), gap(t(x), first[0]), gap(t.inverse(z), first[1]))


def layout(t: Transform, d: Draw) -> float:
    """Every coefficient has one band, a frequency and a position; the shape is that of z. Exact: 0 or infinite."""
    n, dims = t.layout, t.layout.frequency.shape[0]
    fits = t(d.x).shape[1:] == n.index.shape and n.frequency.shape == n.position.shape == (dims, *n.index.shape)
    labels = n.index.numel() == 0 or 0 <= int(n.index.min()) <= int(n.index.max()) < len(n.bands)
    return 0.0 if fits and labels and len({band.name for band in n.bands}) == len(n.bands) else float("inf")


def frequencies(t: Transform, d: Draw) -> float | None:
    """Measured frequencies come in the order that the layout states."""
    return frequency_order(t, torch.cat([d.z, d.w]))


LAWS: tuple[Law, ...] = (
    Law("linear", "T(ax + by) = a Tx + b Ty, T⁻¹ too", TransformClaim.LINEAR, linear),
    Law("reconstructs", "T⁻¹ T x = x", TransformClaim.RECONSTRUCTS, reconstructs),
    Law("surjective", "T T⁻¹ z = z for any z", TransformClaim.SURJECTIVE, surjective),
    Law("isometric", "‖Tx - Ty‖ = ‖x - y‖", TransformClaim.ISOMETRIC, isometric),
    Law("adjoint", "⟨T⁻¹ z, g⟩ = ⟨z, adjoint(g)⟩", None, adjoint, needs=TransformClaim.LINEAR),
    Law("batch_independence", "T of an example does not depend on the batch", None, batch_independence),
    Law("purity", "arguments unchanged, results repeatable", None, purity),
    Law("layout", "every coefficient has one named band", None, layout),
    Law(
        "frequencies",
        "energies lie in the order of the stated frequencies",
        None,
        frequencies,
        needs=TransformClaim.LINEAR,
    ),
)


def draw(transform: Transform, seed: int, dtype: torch.dtype, device: torch.device | str, batch: int = 3) -> Draw:
    """Standard normal tensors that fit `transform`."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [transform.shape, transform.shape, transform.layout.shape, transform.layout.shape]
    return Draw(
        *(torch.randn(batch, *shape, generator=generator, dtype=torch.double).to(device, dtype) for shape in shapes)
    )


def check_transform(
    transform: Transform, *, seed: int = 0, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> AxiomReport:
    """Measures every law on `transform`: what it claims must hold, and what holds must be claimed.

    Raises: TypeError where the subject is not a Transform.

    >>> import pullback as pb
    >>> report = pb.axioms.check_transform(pb.transforms.get("dct", shape=(1, 8)))
    >>> report.holds("isometric"), report.faults
    (True, ())
    """
    if not isinstance(transform, Transform):
        raise TypeError(
            f"check_transform: expected a Transform, got {type(transform).__name__}; build one with "
            "pullback.transforms.get(spec, shape)."
        )
    data = draw(transform, seed, dtype, device)
    with torch.no_grad():
        findings = tuple(_finding(law, transform, data, tolerance(dtype)) for law in LAWS)
    return AxiomReport(f"{transform.spec} on signals of shape {transform.shape}", findings)


def _finding(law: Law, transform: Transform, data: Draw, limit: float) -> Finding:
    claimed = None if law.claim is None else law.claim in transform.claims
    residual: float | None = None
    holds, reason = None, ""
    if law.needs not in transform.claims:
        reason = f"needs {law.needs.name}"
    else:
        try:
            residual = law.residual(transform, data)
            holds, reason = (None, "nothing stated") if residual is None else (residual <= limit, "")
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            residual, holds, reason = float("inf"), False, f"raised {type(error).__name__}: {error}"
    source = f"rounding of {short(data.x.dtype)}, 3 eps^(2/3)"
    return Finding(law.name, holds, residual, limit, reason, claimed, law.statement, tolerance_source=source)
