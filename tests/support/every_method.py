"""Runs a registered method in one domain of each kind."""

from collections.abc import Callable

import pytest
from torch import Tensor

import pullback as pb
from pullback.attribution import Estimator
from support.subjects import ESTIMATORS

SHAPE = (2, 7, 6)
DOMAINS = ["pixel", "dwt(db2, level=1)", "dwt(db2, level=1, mode=reflect)", "dct", "dft"]
FEW = ["dwt(db2, level=1, mode=reflect)", "dft"]  # for forwards of one row, of which there are thousands
methods = pytest.mark.parametrize("method", ESTIMATORS, ids=repr)


def run(model: Callable[..., Tensor], x: Tensor, method: Estimator, **options) -> list[pb.Attribution]:  # type: ignore[no-untyped-def]
    given = {"target": 1, "transform": DOMAINS} | options
    return pb.attribute(model, x, method=method, **given)


def least(method: Estimator) -> int:
    """The smallest batch size that the method runs with: DeepLift evaluates x and x₀ together."""
    return 2 if "DeepLift" in repr(method) else 1
