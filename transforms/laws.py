"""The laws of transforms, each as a residual that is 0 where the law holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.precision import tolerance
from .base import Transform, TransformClaim
from .layout_laws import frequency_order
from .reference import Array, Reference

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Draw:
    """Random tensors on which the laws are measured: x, y are signals; z, w are coefficients, drawn independently of T."""

    x: Tensor
    y: Tensor
    z: Tensor
    w: Tensor

    @classmethod
    def of(cls, transform: Transform, seed: int, dtype: torch.dtype, device: torch.device | str) -> "Draw":
        """Standard normal tensors that fit `transform`, three examples each."""
        generator = torch.Generator().manual_seed(seed)
        shapes = [transform.shape] * 2 + [transform.layout.shape] * 2
        drawn = (torch.randn(3, *shape, generator=generator, dtype=torch.double) for shape in shapes)
        return cls(*(part.to(device, dtype) for part in drawn))


@dataclass(frozen=True)
class Measurement:
    """What a law measured: a residual, or None and the reason why there is none.  details: what else was measured."""

    residual: float | None
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def relative_distance(a: Tensor, b: Tensor) -> float:
    """max over examples of ‖a - b‖ / max(‖a‖, ‖b‖); infinite where the shapes differ or a number is not finite.

    It is computed in double precision and in units of the largest number, since squares of very small or very large
    numbers would be 0 or infinite.
    """
    if a.shape != b.shape or not bool(a.isfinite().all() and b.isfinite().all()):
        return float("inf")
    if a.numel() == 0:
        return 0.0
    one, two = a.double().flatten(1), b.double().flatten(1)
    unit = torch.maximum(one.abs().amax(1, keepdim=True), two.abs().amax(1, keepdim=True))
    one, two = (values / unit.where(unit > 0, 1) for values in (one, two))
    scale = torch.maximum(one.norm(dim=1), two.norm(dim=1))
    return float(((one - two).norm(dim=1) / scale.where(scale > 0, 1)).max())


# The laws of claims, for any two maps T and T⁻¹ -------------------------------------------------------------------------
def linear(t: Map, inverse: Map, d: Draw) -> float:
    """T(2x - 3y) = 2 Tx - 3 Ty, and the same for T⁻¹."""
    forward = relative_distance(t(2 * d.x - 3 * d.y), 2 * t(d.x) - 3 * t(d.y))
    return max(forward, relative_distance(inverse(2 * d.z - 3 * d.w), 2 * inverse(d.z) - 3 * inverse(d.w)))


def reconstructs(t: Map, inverse: Map, d: Draw) -> float:
    """T⁻¹ T x = x."""
    return relative_distance(inverse(t(d.x)), d.x)


def surjective(t: Map, inverse: Map, d: Draw) -> float:
    """T T⁻¹ z = z for z drawn independently of T: any frame would pass with a z from the range of T."""
    return relative_distance(t(inverse(d.z)), d.z)


def isometric(t: Map, inverse: Map, d: Draw) -> float:
    """‖Tx - Ty‖ = ‖x - y‖."""
    there, here = ((a - b).flatten(1).norm(dim=1) for a, b in ((t(d.x), t(d.y)), (d.x, d.y)))
    ratio = torch.where(here > 0, there / here, 1 + there)
    return float((ratio - 1).abs().max()) if bool(ratio.isfinite().all()) else float("inf")


CLAIMS = {TransformClaim[law.__name__.upper()]: law for law in (linear, reconstructs, surjective, isometric)}


# The laws of all transforms ---------------------------------------------------------------------------------------------
def adjoint(t: Transform, d: Draw) -> float:
    """⟨T⁻¹ z, g⟩ = ⟨z, T.adjoint(g)⟩, against ‖T⁻¹ z‖ ‖g‖."""
    synthesis, pulled = t.inverse(d.z), t.adjoint(d.y)
    left, right = (synthesis * d.y).flatten(1).sum(1), (d.z * pulled).flatten(1).sum(1)
    scale = synthesis.flatten(1).norm(dim=1) * d.y.flatten(1).norm(dim=1)
    return float(((left - right).abs() / scale.where(scale > 0, torch.ones_like(scale))).max())


def batch_independence(t: Transform, d: Draw) -> float:
    """T and T⁻¹ of one example are the same alone and in a batch."""
    one = [relative_distance(t(d.x[i : i + 1]), t(d.x)[i : i + 1]) for i in range(len(d.x))]
    return max(one + [relative_distance(t.inverse(d.z[i : i + 1]), t.inverse(d.z)[i : i + 1]) for i in range(len(d.z))])


def purity(t: Transform, d: Draw) -> float:
    """T and T⁻¹ do not change their argument, and give the same result again."""
    x, z = d.x.clone(), d.z.clone()
    first = t(x), t.inverse(z)
    changed = max(relative_distance(x, d.x), relative_distance(z, d.z))  # before a second call changes it back
    return max(changed, relative_distance(t(x), first[0]), relative_distance(t.inverse(z), first[1]))


def layout(t: Transform, d: Draw) -> float:
    """Every coefficient has one band, a frequency and a position; the shape is that of z. Exact: 0 or infinite."""
    n, dims = t.layout, t.layout.frequency.shape[0]
    fits = t(d.x).shape[1:] == n.index.shape and n.frequency.shape == n.position.shape == (dims, *n.index.shape)
    labels = n.index.numel() == 0 or 0 <= int(n.index.min()) <= int(n.index.max()) < len(n.bands)
    return 0.0 if fits and labels and len({band.name for band in n.bands}) == len(n.bands) else float("inf")


def frequencies(t: Transform, d: Draw) -> Measurement:
    """Measured frequencies come in the order that the layout states."""
    disorder = frequency_order(t, torch.cat([d.z, d.w]))
    return Measurement(disorder, "" if disorder is not None else "nothing stated")


def reference(t: Transform, d: Draw) -> Measurement:
    """Coefficients of x and reconstructions from z are those of the library that the transform names."""
    try:
        named = t.reference
        if not isinstance(named, Reference):
            return Measurement(None, f"not comparable: {named}")
        note, x, z = f"compared with {named.library}", d.x.cpu().double(), d.z.cpu().double()
        found = {"coefficients": relative_distance(t(d.x).cpu(), _packed(named.analysis(x)))}
        if isinstance(named.synthesis, str):
            note += f"; reconstructions are not comparable: {named.synthesis}"
        else:
            found["reconstruction"] = relative_distance(t.inverse(d.z).cpu(), torch.as_tensor(named.synthesis(z)))
    except ImportError as error:
        return Measurement(None, f"not comparable: {error}")
    return Measurement(max(found.values()), note, {"library": named.library, **found})


def _packed(bands: Array | Sequence[Array]) -> Tensor:
    """Coefficients that are one tensor, or one tensor for each band."""
    if isinstance(bands, (Tensor, np.ndarray)):
        return torch.as_tensor(bands)
    return torch.cat([torch.as_tensor(band).flatten(2) for band in bands], -1)


@dataclass(frozen=True)
class Law:
    """A statement, and how far a transform is from it. `claim` is None for a law that every transform must keep."""

    name: str
    statement: str
    claim: TransformClaim | None
    residual: Callable[[Transform, Draw], float | Measurement]
    needs: TransformClaim = TransformClaim.NONE  # measured only on transforms that claim this


def _of_claim(name: str, statement: str, claim: TransformClaim) -> Law:
    return Law(name, statement, claim, lambda t, d: CLAIMS[claim](t, t.inverse, d))


LAWS: tuple[Law, ...] = (
    _of_claim("linear", "T(ax + by) = a Tx + b Ty, T⁻¹ too", TransformClaim.LINEAR),
    _of_claim("reconstructs", "T⁻¹ T x = x", TransformClaim.RECONSTRUCTS),
    _of_claim("surjective", "T T⁻¹ z = z for any z", TransformClaim.SURJECTIVE),
    _of_claim("isometric", "‖Tx - Ty‖ = ‖x - y‖", TransformClaim.ISOMETRIC),
    Law("adjoint", "⟨T⁻¹ z, g⟩ = ⟨z, adjoint(g)⟩", None, adjoint, TransformClaim.LINEAR),
    Law("batch_independence", "T of an example does not depend on the batch", None, batch_independence),
    Law("purity", "arguments unchanged, results repeatable", None, purity),
    Law("layout", "every coefficient has one named band", None, layout),
    Law("frequencies", "energies lie in the order of the stated frequencies", None, frequencies, TransformClaim.LINEAR),
    Law("reference", "coefficients and reconstructions are those of another library", None, reference),
)


@dataclass(frozen=True)
class Result:
    """One law on one transform."""

    law: Law
    measured: Measurement
    holds: bool | None  # None where the law does not apply
    claimed: bool | None  # None for a law that every transform must keep

    @property
    def fault(self) -> str:
        """BROKEN: it should hold and does not; UNCLAIMED: it holds and is not claimed; else empty."""
        if self.holds is None or self.holds is (self.claimed is not False):
            return ""
        return "UNCLAIMED" if self.holds else "BROKEN"


def measure_laws(
    transform: Transform, seed: int = 0, dtype: torch.dtype = torch.double, device: torch.device | str = "cpu"
) -> list[Result]:
    """Every law on `transform`, on random signals and coefficients. A law that raises an error is broken."""
    data, results = Draw.of(transform, seed, dtype, device), []
    with torch.no_grad():
        for law in LAWS:
            measured = _measure(law, transform, data)
            holds = None if measured.residual is None else measured.residual <= tolerance(dtype)
            results.append(Result(law, measured, holds, None if law.claim is None else law.claim in transform.claims))
    return results


def _measure(law: Law, transform: Transform, data: Draw) -> Measurement:
    if law.needs not in transform.claims:
        return Measurement(None, f"needs {law.needs.name}")
    try:
        found = law.residual(transform, data)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return Measurement(float("inf"), f"raised {type(error).__name__}: {error}")
    return found if isinstance(found, Measurement) else Measurement(found)
