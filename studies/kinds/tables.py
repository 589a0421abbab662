"""Series in text files: CSV, and the .ts format of the UCR and UEA archives."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...core.files import plain

# Names of a column that says when a row was measured, and its unit in s.
TIMES = dict.fromkeys(("time", "t", "seconds", "s", "time_s", "time (s)", "time [s]"), 1.0)
TIMES |= dict.fromkeys(("ms", "time_ms", "time (ms)", "time [ms]", "milliseconds"), 1e-3)
EVEN = 1e-3  # the largest relative change of the step for one rate


def read_csv(path: Path) -> tuple[np.ndarray, list[str], float | None, list[str]]:
    """A CSV file with a row for each time: (channels, time), the channels' names, the step in s if it is known, and notes.

    A first row with text is the header. A first column called time, t or seconds, if it rises evenly, gives the step; one
    without a name that counts the rows is left out. Columns are separated by commas, semicolons or tabs.
    Raises: ValueError for text among the numbers, gaps, and files that are no table.
    """
    options: Any = {"header": None, "dtype": str, "comment": "#", "encoding_errors": "replace", "encoding": "utf-8-sig"}
    try:
        table = pd.read_csv(path, sep=_separator(path), skip_blank_lines=True, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{plain(path.name)}: no table that can be read ({plain(str(error).strip())[:120]}).") from None
    numbers = table.apply(pd.to_numeric, errors="coerce")
    header = bool(numbers.iloc[0].isna().all())
    first = table.iat[0, 0]
    names = [str(name).strip() for name in table.iloc[0]] if header else [f"channel {i}" for i in range(table.shape[1])]
    numbers, table = numbers.iloc[int(header) :], table.iloc[int(header) :]
    if numbers.empty:
        raise ValueError(f"{plain(path.name)}: holds a header and no numbers.")
    if numbers.isna().to_numpy().any():
        row, column = np.argwhere(numbers.isna().to_numpy())[0]
        found = f"line {row + 1 + header} of column {names[column][:40]!r} holds {str(table.iat[row, column])[:40]!r}"
        raise ValueError(f"{plain(path.name)}: expected numbers; {plain(found)}. Fill gaps, and drop columns of text.")
    values = numbers.to_numpy(float).T
    if header and pd.isna(first) and len(values) > 1 and (np.diff(values[0]) == 1).all():
        return values[1:], names[1:], None, ["its first column, which counts the rows, left out"]
    return _without_time(path, values, names)


def _separator(path: Path) -> str:
    """The mark between columns: that which the first line has most often, a comma if none.  Raises: ValueError for UTF-16."""
    with path.open("rb") as file:
        line = file.readline(100_000)
    if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError(f"{plain(path.name)}: its text is UTF-16; save it as UTF-8.")
    return max(",;\t", key=lambda mark: line.count(mark.encode()))


def _without_time(path: Path, values: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str], float | None, list[str]]:
    unit = TIMES.get(names[0].lower())
    if unit is None:
        steps = np.diff(values[0]) if len(values) > 1 else np.zeros(0)
        rises = len(steps) > 1 and steps[0] > 0 and np.ptp(steps) <= EVEN * steps[0]
        said = "its first column rises evenly, as times do, and is read as a channel; call it time if it holds seconds"
        return values, names, None, [said] * bool(rises)
    if len(values) < 2:
        raise ValueError(f"{plain(path.name)}: holds a column of times and no channel.")
    steps = np.diff(values[0])
    even = len(steps) > 0 and steps.min() > 0 and np.ptp(steps) <= EVEN * steps.mean()
    if not even:
        raise ValueError(f"{plain(path.name)}: the times in column {names[0]!r} do not rise evenly; resample them first.")
    return values[1:], names[1:], unit * float((values[0, -1] - values[0, 0]) / len(steps)), []


def read_ts(path: Path, case: int = 0) -> tuple[np.ndarray, str, int]:
    """One series of a .ts file, (channels, time), its class ("" where there is none), and the number of series.

    Channels are separated by colons and values by commas; the class, where @classLabel says true, stands last.
    Raises: ValueError for files without data, gaps and channels of different lengths.
    """
    lines, labelled = _ts_lines(path), bool(ts_classes(path))
    if not lines:
        raise ValueError(f"{plain(path.name)}: expected a line @data and series below it.")
    row = lines[check_case(path, case, len(lines))].split(":")
    if any("(" in channel for channel in row):
        raise ValueError(f"{plain(path.name)}: its values have times, which are not read; save values at even times.")
    channels = [_row(path, channel) for channel in row[: -1 if labelled else None]]
    lengths = {len(channel) for channel in channels}
    if len(lengths) != 1:
        found = f"its channels have {', '.join(map(str, sorted(lengths)))} values" if channels else "it has no channel"
        raise ValueError(f"{plain(path.name)}: {found}; expected one length.")
    return np.array(channels), row[-1].strip() if labelled else "", len(lines)


def check_case(path: Path, case: int, count: int) -> int:
    """The number of a series in a file of several.  Raises: ValueError."""
    if not 0 <= case < count:
        raise ValueError(f"{plain(path.name)}#{case}: the file holds {count} series, 0 to {count - 1}.")
    return case


def ts_rows(path: Path) -> list[list[str]]:
    """What stands below @data in a .ts file: for each series its channels as text and, if there are classes, its class."""
    return [line.split(":") for line in _ts_lines(path)]


def ts_cases(path: Path) -> list[str]:
    """The class of each series of a .ts file, "" where it has none."""
    labelled = bool(ts_classes(path))
    return [line.rpartition(":")[2].strip() if labelled else "" for line in _ts_lines(path)]


def _ts_lines(path: Path) -> list[str]:
    """The lines below @data, without comments; they are not taken apart, so that one series of thousands is read fast."""
    lines = iter(path.read_text(encoding="utf-8", errors="replace").splitlines())
    for line in lines:
        if line.strip().lower() == "@data":
            break
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def ts_classes(path: Path) -> tuple[str, ...]:
    """The names of the classes that the head of a .ts file states; one empty name if it says only that there are classes."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split()
            kind = [word.lower() for word in words[:2]]
            if kind[:1] == ["@data"]:
                break
            if kind == ["@classlabel", "true"]:
                return tuple(words[2:]) or ("",)
    return ()


def _row(path: Path, text: str) -> list[float]:
    try:
        return [float(value) for value in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{plain(path.name)}: expected numbers, {plain(error)[:80]}; fill the gaps first.") from None


def load_array(path: Path) -> dict[str, Any]:
    """The arrays of an .npz file by their names, that of an .npy file as "values".  Raises: ValueError, also for pickles."""
    try:
        found = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix.lower() == ".npy" else None)
        return {"values": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except Exception as error:  # numpy and zipfile raise errors of many kinds for damaged files
        raise ValueError(f"{plain(path.name)}: no array that can be read ({plain(str(error))[:120].rstrip('.')}).") from None


def pick_array(path: Path, arrays: dict[str, Any], names: tuple[str, ...]) -> np.ndarray:
    """The array of one of these names, or the only one.  Raises: ValueError where there is none, or no real numbers."""
    chosen = next((name for name in names if name in arrays), next(iter(arrays), "") if len(arrays) == 1 else "")
    if not chosen:
        held = ", ".join(arrays)[:100]
        raise ValueError(
            f"{plain(path.name)}: expected one array, or one that is called {names[0]}; it holds {plain(held) or 'none'}."
        )
    found: np.ndarray = arrays[chosen]
    if found.dtype.kind not in "buif":
        raise ValueError(f"{plain(path.name)}: expected real numbers, it holds {found.dtype}.")
    return found
