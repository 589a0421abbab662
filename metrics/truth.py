"""The coefficients, or the samples, that matter, beside the map that should have found them."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.checks import check_choice, quoted
from ..core.tensors import ordinary
from ..transforms import Transform
from ..transforms.linear import Pixel
from .judged import Judged

IN = ("z", "signal")


def compared(judged: Judged) -> tuple[Tensor, Tensor]:
    """(size of the map, whether it matters) of every coefficient, or of every place in the signal, each (batch, cells).

    Truth in z is compared with |a|, truth in the signal with |heatmap()|, in which channels are summed; there, a place matters
    where any channel does.  Raises: TypeError or ValueError where the truth does not fit, or `truth_in` must say what it is.
    """
    attribution, truth = judged.attribution, _mask(judged.truth)
    place = placed(attribution.transform, tuple(truth.shape), len(attribution), judged.truth_in)
    if place == "z":
        size = attribution.values
    else:
        size = attribution.heatmap()
        truth = truth if truth.shape == size.shape else truth.any(1)
    return size.abs().flatten(1), truth.to(size.device).flatten(1)


def placed(transform: Transform, shape: tuple[int, ...], batch: int, truth_in: str | None) -> str:
    """Whether truth of that shape lies in "z" or in the "signal".

    Raises: ValueError where it fits neither, or both and `truth_in` does not say which.
    """
    z, signal = (batch, *transform.layout.shape), (batch, *transform.shape)
    summed = [(batch, *signal[2:]), (batch, 1, *signal[2:])] if len(signal) > 2 else []
    fits = {"z": shape == z, "signal": shape in [signal, *summed]}
    if truth_in is not None:
        check_choice("metrics", "truth_in", truth_in, IN)
        fits = {truth_in: fits[truth_in]}
    where = [name for name, fit in fits.items() if fit]
    if len(where) == 2 and isinstance(transform, Pixel):
        return "z"  # samples are the coefficients
    if not where:
        wanted = {"z": f"{z} in z", "signal": f"{signal} or {(batch, *signal[2:])} in the signal"}
        raise ValueError(f"truth: expected shape {', '.join(wanted[name] for name in fits)}; got {shape}.")
    if len(where) == 2:
        what = f"shape {shape} fits the coefficients of {transform.spec[:60]} and the signal"
        raise ValueError(f"truth: {what}; say which with truth_in='z' or truth_in='signal'.")
    return where[0]


def _mask(truth: Any) -> Tensor:
    """Raises: TypeError or ValueError unless it holds truth values, or zeros and ones."""
    truth = torch.from_numpy(np.array(truth)) if isinstance(truth, np.ndarray) else ordinary("truth", truth)
    if truth.dtype != torch.bool and not bool(((truth == 0) | (truth == 1)).all()):
        raise ValueError(f"truth: expected True or 1 where it matters, False or 0 elsewhere; got {quoted(truth.dtype)}.")
    return truth.bool()


def octaves(transform: Transform) -> Tensor | None:
    """The octave of each band of `layout.group("octave")`, from coarse to fine, (bands,); None where a band spans all.

    Octave j holds the frequencies in (2^-(j+1), 2^-j] cycles/sample and lies at -j; the band that includes frequency 0 lies
    one octave below the lowest frequency that it does not hold.
    """
    bands = transform.layout.group("octave").bands
    if any(band.octave == "all" or band.unit != "cycles/sample" for band in bands):
        return None
    return torch.tensor([-float(math.floor(-math.log2(band.high))) for band in bands])
