"""EDF files: EEG, sleep and other recordings, whose header names channels, rates and units."""

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ...core.files import plain
from ...core.imports import needs
from ...transforms.units import short
from .base import Part, check_size


def read_edf(path: Path, part: Part | None) -> tuple[np.ndarray, list[str], float, list[str]]:
    """(channels, time) in physical units, the names of the channels with their units, the step in s, and notes.

    Of channels with several rates those of the most frequent one are taken. part: only that is read.
    Raises: ValueError with one sentence.
    """
    file, notes = _opened(path)
    rates = Counter(one.sampling_frequency for one in file.signals)
    if not rates:
        raise ValueError(f"{plain(path.name)}: holds no channel.")
    if not file.is_continuous:
        raise ValueError(f"{plain(path.name)}: its parts are apart in time (EDF+D); save one part that has no gap.")
    rate = rates.most_common(1)[0][0]
    chosen = [one for one in file.signals if one.sampling_frequency == rate]
    if left := [one.label for one in file.signals if one.sampling_frequency != rate]:
        notes.append(f"{len(left)} channels with another rate than {short(rate)} Hz left out: {plain(', '.join(left))[:80]}")
    start, stop = _seconds(path, file.duration, part)
    check_size(path.name, (len(chosen), round((stop - start) * rate)))
    if (start, stop) != (0, file.duration):
        notes.append(f"seconds {short(start)} to {short(stop)} of {short(file.duration)}")
    values = np.stack([one.get_data_slice(start, stop).astype(np.float32) for one in chosen])
    names = [f"{one.label}, {one.physical_dimension}" if one.physical_dimension else one.label for one in chosen]
    return values, names, 1 / rate, notes


def _opened(path: Path) -> tuple[Any, list[str]]:
    """A file of which only the header was read, and what is wrong with its length."""
    with needs("Reading EDF", "'pullback[series]'"):
        import edfio
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            file = edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1")
    except Exception as error:  # edfio raises errors of many kinds for damaged headers
        raise ValueError(f"{plain(path.name)}: no header of EDF that can be read ({plain(str(error))[:80]}).") from None
    return file, ["the file is shorter than its header says"] if told else []


def _seconds(path: Path, duration: float, part: Part | None) -> tuple[float, float]:
    start, seconds = (part or Part())[:2]
    stop = duration if seconds is None else min(duration, start + seconds)
    if stop <= start:
        raise ValueError(f"{plain(path.name)}: lasts {short(duration)} s; that part of it is empty.")
    return start, stop
