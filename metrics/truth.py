"""The coefficients, or the samples, that matter, beside the map that should have found them."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..attribution import Attribution
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
    where = fits(transform, shape, batch, truth_in)
    if len(where) == 2 and not isinstance(transform, Pixel):  # in pixels, samples are the coefficients
        what = f"shape {shape} fits the coefficients of {transform.spec[:60]} and the signal"
        raise ValueError(f"truth: {what}; say which with truth_in='z' or truth_in='signal'.")
    return where[0]


def fits(transform: Transform, shape: tuple[int, ...], batch: int, truth_in: str | None) -> list[str]:
    """Of "z" and "signal", and of these of what `truth_in` says, those that a mask fits.  Raises: ValueError where none."""
    z, signal = (batch, *transform.layout.shape), (batch, *transform.shape)
    summed = [(batch, *signal[2:]), (batch, 1, *signal[2:])] if len(signal) > 2 else []
    both = {"z": shape == z, "signal": shape in [signal, *summed]}
    if truth_in is not None:
        check_choice("metrics", "truth_in", truth_in, IN)
        both = {truth_in: both[truth_in]}
    where = [name for name, fit in both.items() if fit]
    if not where:
        wanted = {"z": f"{z} in z", "signal": f"{signal} or {(batch, *signal[2:])} in the signal"}
        raise ValueError(f"truth: expected shape {', '.join(wanted[name] for name in both)}; got {shape}.")
    return where


def check_truth(truth: Any, attribution: Attribution, truth_in: str | None) -> None:
    """Raises: TypeError or ValueError unless `truth` is None, or a mask that fits the map."""
    if truth is not None:
        fits(attribution.transform, tuple(_mask(truth).shape), len(attribution), truth_in)


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
