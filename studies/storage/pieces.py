"""The pieces of a study in their order, and which of them a process measures."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.checks import quoted
from ...core.files import write_text
from ...core.progress import Interrupted
from .results import Results
from .store import Store

PIECES, COUNTS = ".pieces.json", ("done", "planned")  # in the folder of a study: how many are done
Piece = dict[str, Any]
Files = Callable[[Piece], Sequence[str]]


class Divided(Exception):
    """This process has measured its part of a study."""


def part_of_work(shard: str | None) -> tuple[int, int]:
    """The number of the shard, from 0 on, and that of all shards.  Raises: ValueError for another form.

    >>> part_of_work("3/16"), part_of_work(None)
    ((2, 16), (0, 1))
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", "1/1" if shard is None else str(shard))
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise ValueError(f"shard: expected NUMBER/COUNT from 1/1 on, for example 3/16; got {quoted(shard)}.")
    return number - 1, count


def studies_in(folder: Path) -> list[Path]:
    """The folder of a study, or the folders of studies, such as its shards, that lie in it."""
    return [folder] if (folder / PIECES).exists() else sorted(path.parent for path in folder.glob(f"*/{PIECES}"))


class Pieces:
    """All pieces of a study: each is read where it is stored, and measured where it is not.

    done, planned: pieces of this run.  measured: those that were not stored before.
    """

    shard: str | None = None

    def __init__(self) -> None:
        self.place = self.known = self.done = self.planned = self.measured = 0
        self.out: Path | None = None

    @contextlib.contextmanager
    def running(self, results: Results, about: Mapping[str, Any]) -> Iterator[None]:
        """Inside, the folder belongs to this run, and its summary holds `about`.

        Raises: Interrupted for a KeyboardInterrupt; Divided where only a part was to be measured.
        """
        ended = None
        with results.run({**about, "shard": self.shard}, alone=True):
            self.out = results.out
            try:
                yield
            except Divided as part:
                ended = part
            except BaseException as error:
                if not self.done:
                    (self.out / PIECES).unlink(missing_ok=True)
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted(self.done, self.planned) from None
                raise
        if ended is not None:
            raise ended

    def plan(self, count: int, times: int = 1) -> None:
        """The next `count` pieces follow, and about as many for each of the other `times` - 1 models."""
        self.known += count
        self.planned = self.own(self.known + (times - 1) * count)
        self.write()

    def own(self, count: int) -> int:
        """How many of the first `count` pieces belong to this run."""
        return count

    def mine(self, place: int, name: str) -> bool:
        """Whether this run takes the piece with this number."""
        return True

    def take(
        self,
        store: Store,
        key: str,
        make: Callable[[], Piece],
        name: str = "",
        files: Files = lambda piece: (),
        late: bool = False,
    ) -> Piece | None:
        """The next piece, or None where it belongs to others.

        name: for messages.  files: in the folder of the run, without which the piece is measured again.
        late: it depends on others, so that only a run of all pieces measures it.
        """
        place, self.place = self.place, self.place + (not late)
        if not late and not self.mine(place, name or key):
            return None
        piece = self.read(store, key, files)
        if new := piece is None:
            piece = self.measure(make, name or key, late)
            if piece is None:
                return None
            store.write(key, piece)
            self.measured += 1
        if not late:
            self.finish(place, new)
        return piece

    def measure(self, make: Callable[[], Piece], name: str, late: bool) -> Piece | None:
        """A piece that is not stored."""
        return make()

    def read(self, store: Store, key: str, files: Files) -> Piece | None:
        """The stored piece, if its files are there too."""
        piece, out = store.read(key), store.folder.parent
        whole = isinstance(piece, dict) and all((out / name).is_file() for name in files(piece))
        return piece if whole else None

    def finish(self, place: int, new: bool) -> None:
        """Counts a piece.  new: it was not stored before."""
        self.done += 1
        if new or self.done >= self.planned:
            self.write()

    def write(self) -> None:
        """Writes how many pieces are done, for `status`."""
        if self.out is not None:
            write_text(self.out / PIECES, json.dumps({"shard": self.shard} | {name: getattr(self, name) for name in COUNTS}))

    def whole(self) -> None:
        """Raises: Divided where this run measures a part only."""
