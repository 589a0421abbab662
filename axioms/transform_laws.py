"""`check_transform`: every law on one transform, as a report."""

import torch

from ..core.precision import tolerance
from ..transforms import Transform
from ..transforms.laws import Result, measure_laws
from .report import AxiomReport, Finding
from .validate_map import short


def check_transform(
    transform: Transform, *, seed: int = 0, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> AxiomReport:
    """Measures every law on `transform`: each claim must hold, and each law that holds must be claimed.

    The law `reference` compares coefficients and reconstructions with the library that the transform names, if it names
    one; its `details` hold the name and both residuals.

    Raises: TypeError where the subject is not a Transform.

    >>> import pullback as pb
    >>> report = pb.axioms.check_transform(pb.transforms.get("dct", shape=(1, 8)))
    >>> report.holds("isometric"), report["reference"].reason, report.faults
    (True, 'compared with torch_dct.dct', ())
    """
    if not isinstance(transform, Transform):
        got = type(transform).__name__
        raise TypeError(
            f"check_transform: expected a Transform, got {got}; build one with pullback.transforms.get(spec, shape)."
        )
    findings = tuple(_finding(result, dtype) for result in measure_laws(transform, seed, dtype, device))
    return AxiomReport(f"{transform.spec} on signals of shape {transform.shape}", findings)


def _finding(result: Result, dtype: torch.dtype) -> Finding:
    law, measured, source = result.law, result.measured, f"rounding of {short(dtype)}, 3 eps^(2/3)"
    judged = (result.holds, measured.residual, tolerance(dtype), measured.reason, result.claimed)
    return Finding(law.name, *judged, law.statement, tolerance_source=source, details=measured.details)
