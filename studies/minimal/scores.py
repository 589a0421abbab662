"""Scores of masked signals that others use for such explanations: CP and hallucination."""

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from ..loaders.models import LoadedModel
from .changes import slope

STEEP = 0.1  # of the largest value, per sample: an edge
_FRAME = 0.01  # seconds whose mean square is the level of a recording
INFORMATION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "coefficients": lambda z, x: z.abs().flatten(1).sum(1),
    "signal": lambda z, x: x.abs().flatten(1).sum(1),
    "entropy": lambda z, x: entropy(z),
}


def entropy(z: Tensor) -> Tensor:
    """The entropy of z² / Σz² in nats, (rows,); 0 where z is 0.

    >>> entropy(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])).round(decimals=4)
    tensor([0.6931, 0.0000], dtype=torch.float64)
    """
    power = z.flatten(1).double().square()
    total = power.sum(1, keepdim=True)
    share = power / total.where(total > 0, 1)
    return torch.special.entr(share).sum(1)


def conciseness(probability: Tensor, z: Tensor, x: Tensor) -> dict[str, Tensor]:
    """CP = [p(x_m) / p(x)] / [I(x_m) / I(x)] for each information I, (rows,); row 0 is x itself. NaN where I(x_m) is 0.

    coefficients: ‖z‖₁; signal: ‖x‖₁; entropy: of z² / Σz². p is that of one class throughout: the largest probability of x_m
    would count another class as retained.  probability: (rows,).  z, x: (rows, …).
    Source: Kolek et al. 2023 (ShearletX), conciseness-preciseness scores.

    >>> z = torch.tensor([[[3.0, 1.0]], [[3.0, 0.0]]])
    >>> conciseness(torch.tensor([0.8, 0.6]), z, z)["coefficients"].round(decimals=4)
    tensor([1., 1.], dtype=torch.float64)
    """
    kept, found = (probability / probability[0]).double(), {}
    for name, information in INFORMATION.items():
        amount = information(z, x).double()
        found[name] = kept / (amount / amount[0]).where(amount > 0, torch.nan)
    return found


def view(model: LoadedModel, x: Tensor, step: float = 1.0) -> np.ndarray:
    """What is looked at for edges, (rows, *places): brightness in 0…1, the level of a recording, or the values themselves.

    x: (rows, channels, *spatial).  step: the distance of samples in seconds, of recordings.
    """
    show = model.picture()
    values = (x if show is None else show(x).clamp(0, 1)).double().mean(1)
    if model.signals.heard:
        frame = max(1, round(_FRAME / step))
        values = functional.avg_pool1d(values[:, None].square(), frame, max(1, frame // 2))[:, 0].sqrt()
    return values.cpu().numpy()


def edges(values: np.ndarray, onsets: bool = False) -> np.ndarray:
    """Where values (*places) are steep: their slope exceeds `STEEP` of the largest |value|.  onsets: rising only, of one axis.

    >>> edges(np.array([0.0, 0, 1, 1, 0, 0]), onsets=True).astype(int)
    array([0, 1, 1, 0, 0, 0])
    """
    most = np.abs(values).max(initial=0)
    if most == 0:
        return np.zeros(values.shape, bool)
    found = np.asarray(ndimage.sobel(values)) / 2 if onsets else slope(values)
    return np.asarray(found / most > STEEP)


def hallucination(values: np.ndarray, onsets: bool = False) -> list[float]:
    """#(edges of x_m that no edge of x is next to) / #(edges of x), for each row; row 0 is x. NaN where x has no edges.

    values: (rows, *places), as `view` gives them. Neighbours are all places at distance 1 along every axis.
    Source: Kolek et al. 2023 (ShearletX), hallucination score of pictures; here along any number of axes.
    """
    own = edges(values[0], onsets)
    near, count = ndimage.binary_dilation(own, np.ones((3,) * own.ndim)), int(own.sum())
    return [float((edges(one, onsets) & ~near).sum() / count) if count else float("nan") for one in values]
