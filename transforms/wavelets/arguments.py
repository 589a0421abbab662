"""Wavelets by name, as PyWavelets' objects, or as filters; and the number of levels."""

import functools
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pywt

from ...core.checks import listed, quoted, whole
from .filterbank import reconstruction_error

Wavelet: TypeAlias = str | pywt.Wavelet | Sequence[Sequence[float]]  # a name, an object, or (dec_lo, dec_hi, rec_lo, rec_hi)
Level = int | str | None  # "max" is the deepest

_ORDER = "[dec_lo, dec_hi, rec_lo, rec_hi]"
_LONGEST = 1024  # taps
_LEAST_EXACT = 0.05  # the largest error of one level that the Neumann steps of a bank take to rounding

_known = functools.cache(lambda: frozenset(pywt.wavelist(kind="discrete")))


def find_wavelet(who: str, wavelet: Wavelet) -> pywt.Wavelet:
    """The discrete wavelet of that name, in any case, or of these filters.

    Raises: ValueError that lists the families, or where filters do not rebuild the signal; TypeError for anything else.
    """
    if isinstance(wavelet, pywt.Wavelet):
        return _checked(who, wavelet.name, wavelet.filter_bank)
    if not isinstance(wavelet, str):
        return _checked(who, "custom", wavelet)
    if wavelet.lower() not in _known():
        advice = "take haar, db4, sym8, coif3, bior4.4 or another of pywt.wavelist(kind='discrete')"
        raise ValueError(
            f"{who}: {quoted(wavelet)} is not a discrete wavelet of PyWavelets; {advice}, a pywt.Wavelet, or filters."
        )
    return pywt.Wavelet(wavelet.lower())


def _checked(who: str, name: str, bank: Any) -> pywt.Wavelet:
    """The wavelet of four filters of one even length, if they rebuild a signal."""
    wanted = f"{who}: a wavelet must be a name, a pywt.Wavelet, or four filters {_ORDER} of one even length"
    try:
        filters = np.array([listed(part, _LONGEST) for part in listed(bank, 4) or []], dtype=np.double)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(f"{wanted}, got {quoted(bank)}.") from None
    if filters.ndim != 2 or len(filters) != 4 or filters.shape[1] % 2 or not 0 < filters.shape[1] <= _LONGEST:
        raise ValueError(f"{wanted}, got {quoted(bank)}; pad shorter ones with zeros, as PyWavelets does in bior4.4.")
    dec_lo, dec_hi, rec_lo, rec_hi = map(tuple, filters.tolist())
    error = reconstruction_error((rec_lo, rec_hi), (dec_lo[::-1], dec_hi[::-1]))
    if not error < _LEAST_EXACT:  # also where it is NaN
        found = f"these rebuild it with an error of {error:.1g}; is their order {_ORDER}?"
        raise ValueError(f"{who}: the filters of a wavelet must rebuild every signal; {found}")
    return pywt.Wavelet(name, filter_bank=(dec_lo, dec_hi, rec_lo, rec_hi))


def wavelet_spec(wavelet: pywt.Wavelet) -> str:
    """What a spec says of the wavelet: its name where PyWavelets has these filters under that name, else the filters."""
    name = wavelet.name
    if name in _known() and pywt.Wavelet(name).filter_bank == wavelet.filter_bank:
        return str(name)
    return str([list(filters) for filters in wavelet.filter_bank])


def check_level(who: str, level: Level, deepest: int, where: str, what: str = "level") -> int:
    """`level`; for "max" the deepest; for None 3, or the deepest where that is less.

    Warns where that is level 0, the signal itself.
    Raises: ValueError that names the deepest level where a number is too large; TypeError for anything else.
    """
    if level is None or (isinstance(level, str) and level.lower() == "max"):
        if deepest == 0:
            advice = f"take a shorter wavelet, a larger signal or another mode, or {what}=0"
            warnings.warn(f"{who}: {what} 0, the signal itself, is the deepest for {where}; {advice}.", stacklevel=2)
        return min(3, deepest) if level is None else deepest
    count = whole(level)
    if count is None:
        raise TypeError(f"{who}: {what} must be a whole number, max or none, got {quoted(level)}.")
    if not 0 <= count <= deepest:
        advice = f"take a smaller {what} or max, a shorter wavelet or a larger signal"
        raise ValueError(f"{who}: {what} must lie in 0…{deepest} for a signal of {where}, got {quoted(count)}; {advice}.")
    return count
