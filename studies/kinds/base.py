"""`Kind`: all that depends on whether a signal is an image, a recording, a volume or a series."""

import itertools
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from torch import Tensor, nn

from ...attribution import Attribution
from ...attribution.engine.memory import free_bytes
from ...attribution.plot import Show
from ...core.files import plain
from .signal import Signal, sizes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_VALUES = 2**27  # of a signal in memory: half a gigabyte in single precision
SHORTER = "explain a shorter part, with --seconds"
# Bytes of memory for each value, and again for each domain, as measured on recordings of one and five minutes: integrated
# gradients in stft and dwt with all files take 430, in one of them 230 to 340.
FOR_VALUE, FOR_DOMAIN = 200, 100


class Part(NamedTuple):
    """The part of a file that is read: from `start` on, `seconds` long; None takes as much as fits.

    case: the number of a signal in a file that holds several, from 0 on; None takes the first.
    """

    start: float = 0.0
    seconds: float | None = None
    case: int | None = None


class Wants(NamedTuple):
    """What a model expects: samples per second in Hz, and samples of one input; None where any number fits."""

    rate: float | None = None
    window: int | None = None


class Kind(ABC):
    """A kind of signal. A new one is a subclass in a file of its own, and one line in `kinds.KINDS`.

    name: as `LoadedModel.kind` says it.  what: one such file, in words.  axes: the number of spatial axes.
    plural: several of them.  suffixes: how the names of its files end, in small letters.
    several: those of files that may hold several signals, one of which FILE#NUMBER takes.
    folders: whether a folder may hold one signal.
    caption: what the figures of `compared` show.
    resized: whether signals are pictures, which are resized to the model's size, so that options can change how.
    heard: whether they are sounds.  needs_rate: whether a model must say how many samples per second it takes.
    windowed: whether they run in time, so that the size of an input is a window of longer signals.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    plural: ClassVar[str]
    resized: ClassVar[bool] = False
    heard: ClassVar[bool] = False
    needs_rate: ClassVar[bool] = False
    windowed: ClassVar[bool] = False
    caption: ClassVar[str] = ""
    folders: ClassVar[bool] = False
    several: ClassVar[tuple[str, ...]] = ()
    axes: ClassVar[int]
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path, part: Part | None = None) -> Signal:
        """The signal of a file.  Raises: ValueError with one sentence; OSError; ImportError that says what to install."""

    @abstractmethod
    def domains(self, shape: Sequence[int]) -> tuple[str, ...]:
        """The domains in which signals of `shape` (channels, *spatial) are compared by default."""

    @abstractmethod
    def figures(self, att: Attribution, signal: Signal, title: str, show: Show | None = None) -> dict[str, "Figure"]:
        """Figures of the map of one example, by the end of their name.

        signal: the input of the model, on its grid.  show: as in `attribution.plot`.
        """

    def compared(self, att: Attribution, signal: Signal, title: str) -> dict[str, "Figure"]:
        """The figures of a comparison, besides those that all kinds have."""
        return self.figures(att, signal, title)

    def batches(self, read: Sequence[tuple[Any, Signal]]) -> list[list[tuple[Any, Signal]]]:
        """Runs of signals of one shape, which can be evaluated together; all where `prepare` must make them of one size."""
        if self.resized:
            return [list(read)] if read else []
        return [list(run) for _, run in itertools.groupby(read, lambda pair: pair[1].values.shape)]

    def explained(self, shape: Sequence[int]) -> tuple[str, ...]:
        """The domains in which one signal is explained by default."""
        return self.domains(shape)

    def fit(self, signal: Any, wants: Wants) -> Signal:
        """The signal as the model's `prepare` takes it, with notes on what was changed."""
        return signal

    def content(self, signal: Signal) -> Any:
        """What the model's `prepare` is called with."""
        return signal

    def regrid(self, signal: Signal, values: Tensor) -> Signal:
        """The input of the model as a signal.  values: what `prepare` made of `signal`."""
        return signal.but(values=values)

    def module(self, module: nn.Module, wants: Wants, shape: Sequence[int]) -> nn.Module:
        """A module that accepts an input of `shape` (channels, *spatial), which may be longer than the model's."""
        return module

    def files(self, att: Attribution, signal: Signal, keep: float) -> dict[str, bytes]:
        """Files to hear or to open, by the end of their name.  keep: as in `Attribution.signal`."""
        return {}

    def embedded(self, values: Tensor, signal: Signal) -> dict[str, bytes]:
        """A file by which a report presents values (channels, *spatial) on the grid of `signal`, besides figures."""
        return {}

    @property
    def noun(self) -> str:
        """One of them, as "image"."""
        return self.what.split()[-1]

    def cases(self, path: Path) -> list[str]:
        """The class of each signal of a file that holds several, "" where it has none; [] for a file of one signal."""
        return []

    def numbered(self, spec: str) -> tuple[Path, int] | None:
        """The file and the number that FILE#NUMBER names, where FILE may hold several and no file has the whole name."""
        file, mark, number = spec.rpartition("#")
        known = mark and file.lower().endswith(self.several or ("#",)) and number.isdecimal() and len(number) < 10
        return (Path(file), int(number)) if known and not os.path.exists(spec) and os.path.exists(file) else None

    def open(self, path: Path) -> Any:
        """As `read`, or a picture that is not decoded yet."""
        return self.read(path)

    def decode(self, data: bytes, file: str, name: str) -> Any:
        """As `open`, of bytes.  file: what a file with these bytes would be called.  name: of the signal."""
        known = [end for end in self.suffixes if file.lower().endswith(end)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"signal{max(known, key=len) if known else self.suffixes[0]}")
            path.write_bytes(data)
            found = self.read(path)
        return found.but(name=name)

    def made(self, signal: Signal) -> Any:
        """What reading gives, from a signal of a packaged data set."""
        return signal

    def gather(self, files: Iterable[Any]) -> Iterator[Any]:
        """The entries of a folder from its files, each with a name and a path: those that make up one signal become one."""
        return iter(files)

    def stem(self, name: str) -> str:
        """The name of a file without its ending; that of signal 3 of a.ts, a.ts#3, is a-3."""
        file, mark, case = name.rpartition("#")
        if mark and file.lower().endswith(self.several or ("#",)):
            return f"{self.stem(file)}-{case}"
        ends = sorted((end for end in self.suffixes if name.lower().endswith(end)), key=len)
        return name[: -len(ends[-1])] if ends else os.path.splitext(name)[0]

    def owns(self, path: Path) -> bool:
        """Whether the name of a file is that of this kind."""
        return path.name.lower().endswith(self.suffixes)


def check_bytes(path: Path) -> None:
    """Raises: ValueError where there is a file without a byte."""
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{plain(path.name)}: the file is empty (0 bytes); copy or save it again.")


def check_memory(name: str, x: Tensor, domains: int, kind: Kind) -> None:
    """Raises: ValueError where the maps of x in so many domains, and their files, need more memory than is free."""
    need, free = x.numel() * (FOR_VALUE + FOR_DOMAIN * domains), free_bytes(x.device)
    if free is not None and need > free:
        what = f"{x.numel():,} values in {domains} domain{'s'[: domains - 1]} need about {need / 1e9:.1f} GB of memory"
        advice = SHORTER if kind.windowed else "save a smaller part of it"
        raise ValueError(f"{plain(name)}: {what}, and {free / 1e9:.1f} GB are free; {advice}, or in fewer domains.")


def check_size(name: str, shape: Sequence[int], advice: str = "save a smaller part of it") -> None:
    """Raises: ValueError where a file holds nothing, or more than fits into memory."""
    count = 1
    for size in shape:
        count *= int(size)
    if count == 0:
        raise ValueError(f"{plain(name)}: holds no values (its shape is {sizes(shape)}).")
    if count > MOST_VALUES:
        raise ValueError(f"{plain(name)}: {sizes(shape)} values are more than {MOST_VALUES:,}; {advice}.")
