"""Comparisons that many tests make."""

import numpy as np
import torch
from torch import Tensor

import pullback as pb
from pullback.transforms import Transform


def close(a: Tensor, b: Tensor, atol: float = 1e-10) -> None:
    """Fails unless the tensors agree to within `atol`, whatever their size."""
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def same(ours: Tensor, theirs: object) -> None:
    """Fails unless a tensor agrees with a reference of any kind (an array, a list), to 1e-10 relative or absolute."""
    torch.testing.assert_close(ours, torch.as_tensor(np.asarray(theirs)), rtol=1e-10, atol=1e-10)


def no_faults(transform: Transform) -> None:
    """Fails unless the transform keeps every law that it claims, and claims every law that it keeps."""
    report = pb.axioms.check_transform(transform)
    assert not report.faults, str(report)
