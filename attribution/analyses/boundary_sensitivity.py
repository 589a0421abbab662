"""How much the shares of wavelet bands owe to the way in which the border is continued."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from ...core.imports import needs
from ...transforms import DWT, TransformClaim
from ...transforms.wavelets.dwt import PADDED
from ..attribute import attribute
from ..call import BaselineLike, Method
from ..engine.score import Target
from ..result import Attribution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODES = ("periodization", *PADDED)


@dataclass(frozen=True, eq=False)
class BoundarySensitivity:
    """Shares of the same attribution under several padding modes.

    shares: one row per (mode, example), one column per group of bands, coarse to fine; rows sum to 1.
    redundancy: coefficients per sample of each mode; where it exceeds 1, border coefficients are counted more than once.

    >>> import torch, pullback as pb
    >>> ramp, modes = torch.arange(16.0).reshape(1, 1, 16), ("periodization", "symmetric")
    >>> found = pb.attribution.boundary_sensitivity(lambda x: x.square().flatten(1).sum(1), ramp, level=1, modes=modes)
    >>> found.redundancy.to_dict()
    {'periodization': 1.0, 'symmetric': 1.375}
    >>> 0 < found.largest < 1  # so much of a share is the border's doing
    True
    """

    shares: pd.DataFrame
    redundancy: pd.Series
    wavelet: str
    level: int

    @property
    def mean(self) -> pd.DataFrame:
        """Mean over the examples. One row per mode."""
        return self.shares.groupby(level="mode", sort=False).mean()

    @property
    def spread(self) -> pd.DataFrame:
        """Largest less smallest share over the modes. One row per example, one column per group."""
        grouped = self.shares.groupby(level="example", sort=False)
        return grouped.max() - grouped.min()

    @property
    def largest(self) -> float:
        """The largest spread of any group in any example: differences of shares below it may be the border's doing."""
        return float(self.spread.to_numpy().max())

    def __str__(self) -> str:
        table = self.mean.assign(redundancy=self.redundancy)
        return (
            f"mean share of Σ|a| with {self.wavelet}, level {self.level}, by padding mode\n{table.round(4)}\n"
            f"largest spread of a share over the modes, in one example: {self.largest:.4f}"
        )

    def plot(self) -> "Figure":
        """A figure: for each group of bands, the mean share under each mode."""
        with needs("plot", "'pullback[cli]'"):
            from matplotlib.figure import Figure
        figure = Figure(figsize=(1.5 + 0.9 * self.shares.shape[1], 3.2), layout="constrained")
        axis = figure.subplots()
        mean = self.mean
        for place, (mode, row) in enumerate(mean.iterrows()):
            offset = (place - (len(mean) - 1) / 2) * 0.8 / len(mean)
            axis.bar([i + offset for i in range(len(row))], row.to_numpy(), 0.8 / len(mean), label=str(mode))
        axis.set_xticks(range(mean.shape[1]), list(mean.columns))
        axis.set_ylabel("mean share of Σ|a|")
        axis.set_title(f"{self.wavelet}, level {self.level}; largest spread {self.largest:.3f}", fontsize=10)
        axis.legend(fontsize=7)
        return figure


def boundary_sensitivity(
    subject: Attribution | Callable[..., Any],
    x: Tensor | None = None,
    target: Target = None,
    *,
    wavelet: str = "db4",
    level: int | None = None,
    modes: Sequence[str] = MODES,
    by: str = "octave",
    method: Method = "integrated_gradients",
    baseline: BaselineLike = None,
    batch_size: int | str = "auto",
    seed: int = 0,
) -> BoundarySensitivity:
    """How much the shares of wavelet bands change with the padding mode alone, from one gradient stream.

    The covector ḡ of an attribution and the step x - x₀ do not know of any padding. In each mode m

        a_m = T_m (x - x₀) ⊙ (T_m⁻¹)ᵀ ḡ,    share_m(b) = Σ_{k in b} |a_m,k| / Σ_k |a_m,k|,

    so the model is not run again. A share that differs between modes by as much as it differs between two models or
    two classes is an artefact of the border and no finding.

    subject: an Attribution that holds a covector (for sensitivities a_m = (T_m⁻¹)ᵀ ḡ; any linear domain), or a model,
    which is then walked once with `method`; x, target, baseline, batch_size, seed are for it alone.
    level: None takes the deepest of at most 3 that every mode allows.  by: as in `Attribution.importance`.

    Raises: ValueError where the attribution has no covector, no mode or fewer than two are named, or a mode cannot be
    had at this level; TypeError where a model comes without x.

    >>> import torch, pullback as pb
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1)).eval()
    >>> x = torch.ones(1, 1, 64)
    >>> pb.attribution.boundary_sensitivity(model, x, wavelet="haar", level=1).largest < 1e-5
    True
    """
    if isinstance(subject, Attribution):
        if x is not None:
            raise TypeError("boundary_sensitivity: an Attribution already has its x; pass it alone, or a model with x.")
        found = subject
    elif x is None:
        raise TypeError("boundary_sensitivity: expected an Attribution, or a model and x.")
    else:
        found = attribute(subject, x, target, method=method, baseline=baseline, batch_size=batch_size, seed=seed)
    covector = _covector(found)
    step = found.transform.inverse(found.displacement)
    transforms = _transforms(found.transform.shape, wavelet, level, modes)
    shares = {mode: _shares(found, transform, step, covector, by) for mode, transform in transforms.items()}
    redundancy = pd.Series({mode: transform.redundancy for mode, transform in transforms.items()}, name="redundancy")
    depth = next(iter(transforms.values())).level
    return BoundarySensitivity(pd.concat(shares, names=["mode", "example"]), redundancy, wavelet, depth)


def _covector(found: Attribution) -> Tensor:
    if found.covector is None or TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS not in found.transform.claims:
        method = found.settings.get("method", "this method")
        raise ValueError(
            f"boundary_sensitivity: the attribution of {method} in {found.transform.spec} has no covector, from "
            "which the other modes follow; take a method that is linear in gradients, such as "
            "integrated_gradients, in a linear domain."
        )
    return found.covector


def _transforms(shape: tuple[int, ...], wavelet: str, level: int | None, modes: Sequence[str]) -> dict[str, DWT]:
    if isinstance(modes, str) or len(set(modes)) < 2:
        raise ValueError(f"boundary_sensitivity: expected at least two modes of {', '.join(MODES)}; got {modes!r}.")
    if level is None:
        level = min(DWT(shape, wavelet, mode=mode).level for mode in modes)
    return {mode: DWT(shape, wavelet, level, mode) for mode in modes}


def _shares(found: Attribution, transform: DWT, step: Tensor, covector: Tensor, by: str) -> pd.DataFrame:
    with torch.no_grad():
        displacement = transform(step)
        pulled = transform.adjoint(covector)
        values = displacement * pulled if found.kind == "share" else pulled
    return replace(found, values=values, displacement=displacement, transform=transform).importance(by)
