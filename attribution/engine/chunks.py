"""How many rows one forward holds: a limit, chunks within it, and smaller ones where memory runs out."""

import functools
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from ...core.allocator import keeps_freed_memory
from ...core.checks import quoted, whole

Result = TypeVar("Result")

# Elements of one forward's input when batch_size="auto", for one thread of a CPU: 3 rows of 3 × 224 × 224. Caches are small
# there, and an allocator that gives large tensors back pays for their pages in each pass. Two threads share twice the rows.
_AUTO_ELEMENTS = {"cpu": 2**19}
_AUTO_ELEMENTS_ELSEWHERE = 2**24
_AUTO_MOST = 1_024
_AUTO_MORE = 4  # times as many on a CPU where no gradient follows, for which every layer's output is kept


class Chunks:
    """Cuts any number of rows into chunks of at most `limit` rows; when memory runs out, it halves the limit and continues.

    more: how many times as many rows a chunk may hold that asks for it.

    >>> [value for _, value in Chunks(2).chunks(torch.arange(5), lambda part: part.stop - part.start)]
    [2, 2, 1]
    """

    def __init__(self, limit: int) -> None:
        self.requested = self.limit = limit  # before and after memory ran out
        self.more = 1
        self.stopped: BaseException | None = None  # raised by the caller's progress function: no lack of memory

    @property
    def fixed(self) -> bool:
        """Whether all chunks are filled up to one size."""
        return False

    def equalise(self, rows: int) -> None:
        """Where chunks have one size: chooses the size that fills up the fewest rows when it divides `rows`."""
        if self.fixed and rows:
            self.limit = -(-rows // -(-rows // self.limit))

    def chunks(
        self, example: Tensor, run: Callable[[slice], Result], width: int = 1, light: bool = False
    ) -> Iterator[tuple[slice, Result]]:
        """(slice, run(slice)) over all rows, at most `limit` rows in each slice.

        width: how many model inputs one of these rows needs at once.  light: whether a slice may hold `more` times as many.
        Raises: MemoryError where one row alone does not fit.
        """
        start, rows = 0, len(example)
        while start < rows:
            most = self.limit * (self.more if light else 1)
            part = slice(start, min(start + max(1, most // width), rows))
            done, remedy = [], None
            try:
                done.append(run(part))
            except Exception as error:
                remedy = None if error is self.stopped else self.remedy(error, part.stop - part.start, width)
                if remedy is None:
                    raise
            if remedy is not None:  # outside the handler, so that the failed pass is freed before the next one
                remedy()
                continue
            yield part, done.pop()
            start = part.stop

    def remedy(self, error: Exception, rows: int, width: int) -> Callable[[], None] | None:
        """What to change before a pass of `rows` rows that raised `error` is tried again; None where nothing helps."""
        return functools.partial(self._halve, rows, width) if is_out_of_memory(error) else None

    def filled(self, points: Tensor, example: Tensor) -> tuple[Tensor, Tensor]:
        """The rows, and copies of the last one up to the size of all chunks where that is fixed."""
        missing = self.limit - len(points) if self.fixed else 0
        if missing <= 0:
            return points, example
        more = points[-1:].expand(missing, *points.shape[1:])
        return torch.cat([points, more]), torch.cat([example, example[-1:].expand(missing)])

    def _halve(self, rows: int, width: int) -> None:
        if rows == 1:
            raise MemoryError("One row alone does not fit in memory; take a smaller model or input, or another device.")
        if self.more > 1:
            self.more = 1
        else:
            self.limit = max(1, rows * width // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def rows_per_forward(batch_size: int | str, shape: tuple[int, ...], device: torch.device) -> int:
    """How many rows of `shape` one forward may hold.

    batch_size: that number, or "auto": as many as keep this kind of device busy.
    Raises: ValueError unless batch_size is "auto" or a whole number of at least 1.

    >>> rows_per_forward("auto", (3, 224, 224), torch.device("cuda")), rows_per_forward(32, (3, 224, 224), torch.device("cpu"))
    (111, 32)
    """
    if isinstance(batch_size, str) and batch_size == "auto":
        elements = _AUTO_ELEMENTS.get(device.type, _AUTO_ELEMENTS_ELSEWHERE)
        elements *= min(2, torch.get_num_threads()) if device.type == "cpu" else 1
        return max(1, min(_AUTO_MOST, elements // max(1, torch.Size(shape).numel())))
    rows = whole(batch_size)
    if rows is None or rows < 1:
        raise ValueError(f"batch_size: expected 'auto' or a whole number of at least 1, got {quoted(batch_size)}.")
    return rows


def more_without_gradients(batch_size: int | str, shape: tuple[int, ...], device: torch.device) -> int:
    """How many times as many rows of `shape` a forward may hold that no gradient follows.

    One, but where a CPU chooses ("auto") and the process keeps freed memory: else each large block is made of new pages.

    >>> more_without_gradients(8, (3, 224, 224), torch.device("cpu"))
    1
    """
    if batch_size != "auto" or device.type != "cpu" or not keeps_freed_memory():
        return 1
    return max(1, min(_AUTO_MORE, _AUTO_MOST // rows_per_forward(batch_size, shape, device)))


def is_out_of_memory(error: BaseException) -> bool:
    """torch raises its own class on accelerators, but a RuntimeError from the CPU's allocator."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error)
