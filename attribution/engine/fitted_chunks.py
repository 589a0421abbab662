"""`FittedChunks`: chunks for models that take one batch size only, or that take gradients themselves."""

import functools
import re
from collections.abc import Callable, Iterator

from torch import Tensor

from .chunks import Chunks, Result, is_out_of_memory
from .execution import Prepared

_ABOUT_SIZES = re.compile("size|shape|batch|expected|guard", re.IGNORECASE)  # errors that another batch size may explain


class FittedChunks(Chunks):
    """`Chunks` that find out what the model takes where a forward fails: `prepared.sizes` are tried as the only batch size.

    certain: an error that no other batch size helps.
    """

    def __init__(self, limit: int, prepared: Prepared) -> None:
        super().__init__(limit)
        self.prepared = prepared
        self.certain: Exception | None = None
        self._room: tuple[int, float] | None = None  # free bytes, and those that one row takes, where they were measured
        self._refused: tuple[Exception, int] | None = None  # what a forward raised before sizes were tried, and the limit then

    @property
    def fixed(self) -> bool:
        """Whether chunks are filled up, so that the model sees one shape."""
        return self.prepared.fixed or self.prepared.size is not None

    def equalise(self, rows: int) -> None:
        """As in `Chunks`, unless the model takes one batch size only."""
        if self.prepared.size is None:
            super().equalise(rows)

    def filled(self, points: Tensor, example: Tensor) -> tuple[Tensor, Tensor]:
        """As in `Chunks`."""
        self.limit = self.prepared.size or self.limit
        return super().filled(points, example)

    def chunks(
        self, example: Tensor, run: Callable[[slice], Result], width: int = 1, light: bool = False
    ) -> Iterator[tuple[slice, Result]]:
        """As in `Chunks`."""
        self.limit = self.prepared.size or self.limit
        return super().chunks(example, run, width, light)

    def fit(self, free: int, row: float) -> None:
        """Cuts the limit to the rows that half of the `free` bytes hold.  row: the bytes of one."""
        self._room = free, row
        self.reserve(0)

    def reserve(self, taken: int) -> None:
        """The same, with `taken` bytes less; nothing where memory was not measured."""
        if self._room is not None:
            free, row = self._room
            fitting = max(1, int((free - taken) / 2 / row))
            self.limit = min(self.limit, fitting)
            self.more = min(self.more, fitting // self.limit)

    def as_recorded(self, read: Callable[[], Tensor]) -> Tensor:
        """read(), with f as gradients see it; without gradients where the model has none."""
        records = self.prepared.records
        try:
            self.prepared.records = True
            return read()
        except RuntimeError:
            self.prepared.records = records
            return read()
        finally:
            self.prepared.records = records

    def succeeded(self) -> None:
        """Notes that a forward did not fail."""
        self._refused = None

    def remedy(self, error: Exception, rows: int, width: int) -> Callable[[], None] | None:
        """As in `Chunks`; also for a model that takes a gradient itself, or that takes one batch size only.

        Raises: the error of the first forward, where no batch size helps.
        """
        prepared = self.prepared
        if is_out_of_memory(error):
            return None if prepared.size else super().remedy(error, rows, width)
        if isinstance(error, RuntimeError) and "does not require grad" in str(error) and not prepared.records:
            return self._record_inside
        own = str(error).startswith("target: the callable")  # a fault of the caller's target, whatever the batch size
        if own or error is self.certain or not isinstance(error, (RuntimeError, ValueError, AssertionError)):
            return None
        fed, shaped = prepared.size or (self.limit if self.fixed else rows), str(error).startswith("target:")
        while prepared.sizes and width == 1:
            size = prepared.sizes.pop(0)
            if shaped:  # an output without a row for each example: only the caller's own batch may have them
                prepared.sizes.clear()
            if size != fed:
                self._refused = self._refused or (error, self.limit)
                return functools.partial(self._take_only, size)
        if self._refused is not None:
            first, self.limit = self._refused
            prepared.size = self._refused = None
            if _ABOUT_SIZES.search(str(first)) and "channel" not in str(first) and not shaped:
                first.add_note("pullback: a model that takes batches of one size only needs batch_size=that size.")
            raise first
        return None

    def _record_inside(self) -> None:
        self.prepared.record_inside()
        self.more = 1

    def _take_only(self, size: int) -> None:
        self.prepared.size = self.limit = size
        self.more = 1
