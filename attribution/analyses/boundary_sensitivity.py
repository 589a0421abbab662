"""How much the shares of wavelet bands depend on the padding mode."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Unpack

import torch
from torch import Tensor

from ...core.imports import import_matplotlib, needs
from ...transforms import DWT
from ...transforms.wavelets.dwt import PADDED
from ..attribute import attribute
from ..call import Model, Options
from ..engine.score import Target
from ..result import Attribution, known_covector

if TYPE_CHECKING:
    import pandas as pd
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
    >>> 0 < found.largest < 1
    True
    """

    shares: "pd.DataFrame"
    redundancy: "pd.Series[float]"
    wavelet: str
    level: int

    @property
    def mean(self) -> "pd.DataFrame":
        """Mean over the examples. One row per mode."""
        return self.shares.groupby(level="mode", sort=False).mean()

    @property
    def spread(self) -> "pd.DataFrame":
        """Largest minus smallest share over the modes. One row per example, one column per group."""
        grouped = self.shares.groupby(level="example", sort=False)
        return grouped.max() - grouped.min()

    @property
    def largest(self) -> float:
        """The largest spread of any group in any example: padding alone may change shares by this much."""
        return float(self.spread.to_numpy().max())

    def __str__(self) -> str:
        table = self.mean.assign(redundancy=self.redundancy).round(4)
        head = f"mean share of Σ|a| with {self.wavelet}, level {self.level}, by padding mode"
        return f"{head}\n{table}\nlargest spread of a share over the modes, in one example: {self.largest:.4f}"

    def plot(self) -> "Figure":
        """A figure: for each group of bands, the mean share under each mode."""
        with needs("plot", "'pullback[cli]'"):
            import_matplotlib()
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
    subject: Attribution | Model,
    x: Tensor | None = None,
    target: Target = None,
    *,
    wavelet: str = "db4",
    level: int | None = None,
    modes: Sequence[str] = MODES,
    by: str = "octave",
    **options: Unpack[Options],
) -> BoundarySensitivity:
    """How much the shares of wavelet bands change with the padding mode alone, from one gradient stream.

    The covector ḡ of an attribution and the step x - x₀ do not depend on the padding. In each mode m

        a_m = T_m (x - x₀) ⊙ (T_m⁻¹)ᵀ ḡ,    share_m(b) = Σ_{k in b} |a_m,k| / Σ_k |a_m,k|,

    so the model is not run again. If a share differs between two models or two classes by no more than between modes,
    the difference may be an artefact of the border.

    subject: an Attribution in any linear domain that holds a covector (for sensitivities a_m = (T_m⁻¹)ᵀ ḡ), or a model,
    which is attributed once. x, target and options (method, baseline, seed … of `attribute`) are for a model only.
    level: None takes the deepest of at most 3 that every mode allows.  by: as in `Attribution.importance`.
    Raises: ValueError for no covector, fewer than two modes, or one that forbids this level; TypeError for a model without x.

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
        found = attribute(subject, x, target, **options)
    covector = known_covector("boundary_sensitivity", found)
    if isinstance(modes, str) or len(set(modes)) < 2:
        raise ValueError(f"boundary_sensitivity: expected at least two modes of {', '.join(MODES)}; got {modes!r}.")
    step, shape = found.transform.inverse(found.displacement), found.transform.shape
    level = min(DWT(shape, wavelet, mode=mode).level for mode in modes) if level is None else level
    transforms = {mode: DWT(shape, wavelet, level, mode) for mode in modes}
    shares = {mode: _shares(found, transform, step, covector, by) for mode, transform in transforms.items()}
    import pandas as pd  # imported here, as it takes long

    redundancy = pd.Series({mode: transform.redundancy for mode, transform in transforms.items()}, name="redundancy")
    return BoundarySensitivity(pd.concat(shares, names=["mode", "example"]), redundancy, wavelet, level)


def _shares(found: Attribution, transform: DWT, step: Tensor, covector: Tensor, by: str) -> "pd.DataFrame":
    with torch.no_grad():
        displacement, pulled = transform(step), transform.adjoint(covector)
        values = displacement * pulled if found.kind == "share" else pulled
    return replace(found, values=values, displacement=displacement, transform=transform).importance(by)
