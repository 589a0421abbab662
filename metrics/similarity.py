"""How much two maps of one example have in common."""

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from ..attribution import Attribution
from ..attribution.call import is_signal_linear


def covectors(attribution: Attribution) -> Tensor:
    """The covector of a map in z, (batch, *coeff): T.adjoint(ḡ) for shares that keep ḡ, else the values.

    Its ℓ2 norm and its angles are equal in all orthonormal domains, unlike those of shares (z - z₀) ⊙ T.adjoint(ḡ).
    """
    transform, covector = attribution.transform, attribution.covector
    if attribution.kind == "sensitivity" or covector is None or not is_signal_linear(transform):
        return attribution.values
    return transform.adjoint(covector)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩ / (‖a‖ ‖b‖) of each example, (batch,); NaN where one of them is zero.  a, b: (batch, …).

    >>> cosine(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[4.0, 3.0], [1.0, 1.0]]))
    tensor([0.9600,    nan])
    """
    a, b = (_unit(each.flatten(1)) for each in (a, b))
    return (a * b).sum(1)


def _unit(rows: Tensor) -> Tensor:
    """Each row divided by its norm; NaN for a row of zeros. Large rows are scaled first, so that squares do not overflow."""
    rows = rows / rows.abs().amax(1, keepdim=True)
    return rows / rows.norm(dim=1, keepdim=True)


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """The correlation of the ranks of each example, ties with their mean rank, (batch,); NaN where all of a or b are equal.

    >>> spearman(torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]), torch.tensor([[10.0, 40.0, 90.0], [1.0, 2.0, 3.0]]))
    tensor([1., nan])
    """
    ranked = (stats.rankdata(each.detach().cpu().flatten(1).numpy(), axis=1) for each in (a, b))
    first, second = (each - each.mean(1, keepdims=True) for each in ranked)
    norms = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    with np.errstate(invalid="ignore"):
        return torch.from_numpy((first * second).sum(1) / norms).to(a)
