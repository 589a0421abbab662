"""Tables with a signal in each row: Parquet files, and data sets of the Hugging Face hub."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...core.files import plain
from ...core.imports import needs

LABELS = ("label", "labels", "cls", "class", "class_name", "target")  # names of a column of classes
TOGETHER = 32  # rows that are read together
_BUFFER = 2**20  # bytes of a column that are read at a time, so that a group of rows may be larger than the memory


class ParquetRows:
    """The rows of a Parquet file; two blocks of them are held at a time, so that rows should be read in their order.

    The column of signals is the first that holds bytes, a record with bytes (as of Hugging Face), or lists of numbers: arrays
    of the rank of their lists.  Raises: ValueError where there is none.
    """

    def __init__(self, path: Path) -> None:
        with needs(f"Data {plain(path.name)[:60]}", "'pullback[cli]'"):
            import pyarrow.parquet
        self.path, self.parquet = path, pyarrow.parquet
        with self._open() as file:
            schema, self.count = file.schema_arrow, file.metadata.num_rows
        holding = [one.name for one in schema if _holds_signals(one.type)]
        if not holding:
            held = plain(", ".join(schema.names))[:100]
            raise ValueError(f"no column holds bytes, records with bytes, or lists of numbers; columns: {held}")
        self.column, self.numbers = holding[0], _numbers(schema.field(holding[0]).type)
        self.file = f"{path.name}.npy" if self.numbers is not None else path.name  # a name of what is in a row
        self.label = next((name for name in LABELS if name in schema.names and name != self.column), None)
        self._blocks: dict[int, list[Any]] = {}
        self._rest: Iterator[tuple[int, list[Any]]] = iter(())

    def _open(self) -> Any:
        return self.parquet.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False)

    def labels(self) -> Iterator[tuple[int | None, str]]:
        """The class index and the class name of each row; None and "" where there is none."""
        if self.label is None:
            yield from ((None, "") for _ in range(self.count))
            return
        with self._open() as file:
            for block in file.iter_batches(columns=[self.label]):
                yield from map(label_of, block.column(0).to_pylist())

    def data(self, number: int) -> bytes:
        """The bytes of row `number`; those of an .npy file where it holds an array.  Raises: ValueError where it is empty."""
        value, where = self._block(number // TOGETHER)[number % TOGETHER], f"row {number} of {plain(self.path.name)[:60]}"
        value = value.get("bytes") if isinstance(value, dict) else value
        if value is None or len(value) == 0:
            raise ValueError(f"{where} is empty.")
        return value if self.numbers is None else array_bytes(value, where, self.numbers)

    def _block(self, number: int) -> list[Any]:
        """The block with this number, read from the file where neither of the two last ones is it."""
        if number in self._blocks:
            return self._blocks[number]
        if not self._blocks or number < max(self._blocks):
            self._blocks, self._rest = {}, self._read()
        for place, block in self._rest:
            self._blocks = {key: kept for key, kept in self._blocks.items() if key == place - 1} | {place: block}
            if place == number:
                return block
        raise ValueError(f"{plain(self.path.name)[:60]}: it has become shorter while it was read.")

    def _read(self) -> Iterator[tuple[int, list[Any]]]:
        with self._open() as file:
            rest: list[Any] = []
            place = 0
            for block in file.iter_batches(batch_size=TOGETHER, columns=[self.column]):
                column = block.column(0)
                rest.extend(column.to_numpy_ndarray() if hasattr(column, "to_numpy_ndarray") else column.to_pylist())
                while len(rest) >= TOGETHER:
                    yield place, rest[:TOGETHER]
                    rest, place = rest[TOGETHER:], place + 1
            if rest:
                yield place, rest


def _holds_signals(kind: Any) -> bool:
    """Whether a type of Arrow is that of bytes, of records with bytes, or of arrays."""
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(one.name == "bytes" for one in kind)
    return types.is_binary(kind) or types.is_large_binary(kind) or _numbers(kind) is not None


def _numbers(kind: Any) -> Any:
    """The type of numpy of lists of numbers, or of tensors; None for other types."""
    import pyarrow.types as types

    inner = getattr(kind, "storage_type", kind)
    depth = 0
    while types.is_list(inner) or types.is_large_list(inner) or types.is_fixed_size_list(inner):
        inner, depth = inner.value_type, depth + 1
    return inner.to_pandas_dtype() if depth and (types.is_integer(inner) or types.is_floating(inner)) else None


def label_of(value: Any) -> tuple[int | None, str]:
    """A class as its index and its name, of which one is known; None and "" for what is neither.

    >>> label_of(3), label_of("cat"), label_of(-1)
    ((3, ''), (None, 'cat'), (None, ''))
    """
    if isinstance(value, str):
        return None, value
    return (value, "") if isinstance(value, int) and value >= 0 else (None, "")


def array_bytes(values: Any, where: str, dtype: Any) -> bytes:
    """The bytes of an .npy file with these values.  Raises: ValueError for lists of different lengths, and gaps."""
    file = io.BytesIO()
    try:
        np.save(file, np.asarray(values, dtype), allow_pickle=False)
    except (ValueError, TypeError):
        raise ValueError(f"{where} holds gaps, or lists of different lengths, which are no array.") from None
    return file.getvalue()


def hub_rows(spec: str, limit: int | None) -> tuple[int | None, Iterator[tuple[str, Callable[[], bytes], int | None]]]:
    """The number of classes, if it is known, and each row of a data set of the hub: its name, its picture's bytes, its label.

    spec: hf:NAME[:SPLIT]. Without a limit the whole split is stored on this machine, and only rows that are asked for are in
    memory; with a limit rows are streamed from the hub, and the bytes of their pictures are kept.
    Raises: ImportError; ValueError where no column holds pictures.
    """
    with needs(spec, "datasets"):
        import datasets
    name, _, split = spec.removeprefix("hf:").partition(":")
    rows = datasets.load_dataset(name, split=split or "test", streaming=limit is not None)
    features = getattr(rows, "features", None) or {}
    column = next((key for key, kind in features.items() if isinstance(kind, datasets.Image)), None)
    if column is None:
        raise ValueError(f"Data {spec[:80]!r}: no column holds images; columns: {', '.join(features)[:120]}.")
    label = next((key for key in LABELS if key in features), None)
    rows = rows.cast_column(column, datasets.Image(decode=False))
    return getattr(features.get(label), "num_classes", None), _hub_rows(rows, column, label, limit is None)


def _hub_rows(rows: Any, column: str, label: str | None, stored: bool) -> Iterator[tuple[str, Callable[[], bytes], int | None]]:
    if stored:
        labels = rows[label] if label else [None] * len(rows)
        for number, mark in enumerate(labels):
            yield f"{number:05}", partial(_stored_picture, rows, number, column), label_of(mark)[0]
        return
    for number, row in enumerate(rows):
        yield f"{number:05}", partial(_picture, row[column]), label_of(row.get(label))[0]


def _stored_picture(rows: Any, number: int, column: str) -> bytes:
    return _picture(rows[number][column])


def _picture(cell: dict[str, Any]) -> bytes:
    """The bytes of a picture of the hub, which stand in the table or in a file."""
    found: bytes | None = cell["bytes"]
    return found if found is not None else Path(cell["path"]).read_bytes()
