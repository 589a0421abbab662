"""A study in parts: a shard of it, merged shards, or workers of Ray, with the pieces and the numbers of one whole run."""

import contextlib
import json
import os
import pickle
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.checks import quoted
from ..core.files import plain, read_json
from ..core.progress import Progress
from .compare.cluster import Ended, Ray, connected, result_of, room, settle
from .compare.shards import check_numbers, copy, inside
from .compare.summary import versions
from .storage.pieces import Divided, Files, Piece, Pieces, part_of_work, studies_in
from .storage.results import Results
from .storage.store import Store

TRIES = 3  # of a piece whose process ends
_LOOK = 0.5  # seconds between two reports


def run_study(
    study: Callable[..., Any],
    settings: Any,
    out: str | Path,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    *,
    shard: str | None = None,
    shards: Sequence[str | Path] = (),
    engine: Ray | None = None,
    **options: Any,
) -> Any:
    """What `study` returns; or, of a shard, its `Pieces`: how many it has, and how many it has measured now.

    study: `minimal`, `noise`, `overlap`, `planted`, `robustness`, `search` or `volume`.  options: more of its arguments.
    shard: "3/16" measures every 16th piece, from the third one on, and stores it in `out`.
    shards: the folders of all shards, or folders in which they lie. Their pieces are copied into `out` and nothing is measured
    again; the models are loaded, since pieces belong to their weights and answers.
    engine: workers of Ray, which take pieces in turn, each with models of its own; `out` must be a folder that all share.
    progress: called with (pieces done, pieces planned) in these three cases.

    Raises: as the study; ValueError where two of these are given, where a shard is missing, there twice, not finished or of
    other settings or versions, or lacks a piece; RuntimeError where workers keep ending.

    >>> import tempfile
    >>> from pullback.studies import PlantedSettings, planted
    >>> asked = PlantedSettings(seeds=1, tasks=("2-D, closed forms",), methods=("input_x_gradient",), examples=20)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     parts = [run_study(planted, asked, f"{folder}/{number}", shard=f"{number}/2") for number in (1, 2)]
    ...     whole = run_study(planted, asked, f"{folder}/whole", shards=[folder])
    >>> [part.measured for part in parts], len(whole.table) > 1
    ([1, 0], True)
    """
    if sum(map(bool, (shard, shards, engine))) > 1:
        raise ValueError("run_study: expected at most one of a shard, shards to merge, and an engine; got several.")
    run: Callable[..., Any] = lambda *args, **how: study(settings, out, *args, **how, **options)
    if shard is not None:
        part = Part(shard, progress)
        with contextlib.suppress(Divided):
            run(None, note, pieces=part)
        return part
    if shards:
        return run(progress, note, pieces=Stored(_runs(shards)))
    if engine is None:
        return run(progress, note)
    with connected(engine) as ray:
        asked = study, settings, Path(out).absolute(), options
        return run(None, note, pieces=OnWorkers(ray, engine, getattr(settings, "device", "cpu"), asked, progress))


class _Partial(Pieces):
    """Some pieces of a study, which ends before its tables."""

    def measure(self, make: Callable[[], Piece], name: str, late: bool) -> Piece | None:
        return None if late else make()

    def whole(self) -> None:
        raise Divided


class Part(_Partial):
    """The pieces of one shard."""

    def __init__(self, shard: str, progress: Progress | None) -> None:
        super().__init__()
        self.shard, self.progress = shard, progress
        self.number, self.count = part_of_work(shard)

    @contextlib.contextmanager
    def running(self, results: Results, about: Mapping[str, Any]) -> Iterator[None]:
        with super().running(results, {**about, "versions": versions()}):
            yield

    def own(self, count: int) -> int:
        return len(range(self.number, count, self.count))

    def mine(self, place: int, name: str) -> bool:
        return place % self.count == self.number

    def finish(self, place: int, new: bool) -> None:
        super().finish(place, new)
        if self.progress is not None:
            self.progress(self.done, self.planned)


class Stored(Pieces):
    """Pieces that are all stored, here or in the folders of shards, from which they are copied."""

    advice = (
        "merge: no shard holds {}; give the settings, model, data, device and versions of the shards, or measure them anew."
    )

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        super().__init__()
        self.folders = folders

    @contextlib.contextmanager
    def running(self, results: Results, about: Mapping[str, Any]) -> Iterator[None]:
        if self.folders:
            check_numbers([_shard(folder, results.command, about["settings"]) for folder in self.folders])
        with super().running(results, about):
            yield

    def read(self, store: Store, key: str, files: Files) -> Piece | None:
        piece, path = super().read(store, key, files), store.path(key)
        for folder in self.folders if piece is None else ():
            theirs = folder / path.parent.name / path.name
            if isinstance(found := read_json(theirs), dict):
                for name in files(found):
                    copy(inside(folder, name), path.parents[1] / name)
                copy(theirs, path)
                return super().read(store, key, files)
        return piece

    def measure(self, make: Callable[[], Piece], name: str, late: bool) -> Piece | None:
        if not late:
            raise ValueError(self.advice.format(plain(name)[:60]))
        return make()


def _runs(folders: Sequence[str | Path]) -> list[Path]:
    """The folders, each replaced by the shards in it where it is none itself.  Raises: ValueError where there is none."""
    found = []
    for folder in map(Path, folders):
        if not (inner := studies_in(folder)):
            what = f"{plain(folder)[-100:]} holds no shard of a study"
            raise ValueError(f"merge: {what}; give the folders of pullback study NAME --shard.")
        found += inner
    return found


def _shard(folder: Path, command: str, settings: Any) -> tuple[str, Path]:
    """A finished shard and its folder.  Raises: ValueError for another one."""
    held, name, asked = Results(folder, command).held(), plain(folder)[-80:], json.loads(json.dumps(settings))
    shard = held.get("shard")
    if not isinstance(shard, str) or not isinstance(held.get("settings"), dict):
        raise ValueError(f"merge: {name} holds no shard; expected the folders of pullback {command} --shard 3/16.")
    if held.get("state") != "finished":
        state = f"shard {plain(shard)[:20]} in {name} is {plain(held.get('state'))[:20]}"
        raise ValueError(f"merge: {state}, not finished; give its command again, it goes on where it stopped.")
    for what, theirs, ours in (("settings", held["settings"], asked), ("versions", held.get("versions"), versions())):
        changed = [key for key in ours if not isinstance(theirs, dict) or theirs.get(key) != ours[key]]
        if changed:
            was, now = (quoted(each.get(changed[0]))[:40] if isinstance(each, dict) else "none" for each in (theirs, ours))
            raise ValueError(f"merge: {name} has other {what} ({changed[0]}: {was}, asked {now}); give those of the shards.")
    return shard, folder


class OfWorker(_Partial):
    """The pieces that one worker takes.  ask: the board that says which."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        super().__init__()
        self.ask = ask

    @contextlib.contextmanager
    def running(self, results: Results, about: Mapping[str, Any]) -> Iterator[None]:
        yield  # the folder belongs to the run that has started the workers

    def plan(self, count: int, times: int = 1) -> None:
        super().plan(count, times)
        self.ask("plan", self.planned)

    def mine(self, place: int, name: str) -> bool:
        return bool(self.ask("claim", place, name))

    def finish(self, place: int, new: bool) -> None:
        self.ask("finish", place)


class StudyWorker:
    """What runs in the process of a worker."""

    def run(self, packed: bytes, board: Any, number: int, places: Sequence[str], threads: int) -> None:
        """Measures pieces until none is left that no worker has.  packed: the study, its settings, folder and options."""
        import ray

        settle(places, threads)
        study, settings, out, options = pickle.loads(packed)
        pieces = OfWorker(lambda name, *asked: ray.get(getattr(board, name).remote(number, *asked)))
        with contextlib.suppress(Divided):
            study(settings, out, pieces=pieces, **options)


def _board() -> type:
    """The class of the board. It is made here so that its process gets the class itself and need not load the library."""

    class Board:
        """Says which worker has which piece, so that each piece has one, and keeps count."""

        def __init__(self) -> None:
            self.owners: dict[int, tuple[int, str]] = {}
            self.done: set[int] = set()
            self.planned = 0

        def plan(self, worker: int, planned: int) -> None:
            self.planned = planned

        def claim(self, worker: int, place: int, name: str) -> bool:
            return place not in self.done and self.owners.setdefault(place, (worker, name))[0] == worker

        def finish(self, worker: int, place: int) -> None:
            self.done.add(place)

        def lose(self, worker: int) -> str:
            """Frees the piece of a worker that has ended, and returns its name."""
            held = (one for one, (owner, _) in self.owners.items() if owner == worker and one not in self.done)
            return self.owners.pop(next(held, -1), (worker, ""))[1]

        def count(self) -> tuple[int, int]:
            return len(self.done), self.planned

    return Board


class OnWorkers(Stored):
    """Pieces that workers of Ray measure before the study reads them.  asked: the study, its settings, folder and options."""

    advice = "run_study: {} is not stored, though workers have measured it; all need the same data, versions and --out."

    def __init__(self, ray: Any, how: Ray, device: str, asked: tuple[Any, ...], progress: Progress | None) -> None:
        super().__init__()
        self.ray, self.progress, self.number = ray, progress, room(ray, how, device)
        self.actor = ray.remote(max_restarts=0, max_task_retries=0, **how.needed(device))(StudyWorker)
        self.given = ray.put(ray.cloudpickle.dumps(asked)), ray.remote(num_cpus=0)(_board()).remote()
        self.rest = [os.getcwd(), *sys.path], how.cpus
        self.workers: dict[Any, tuple[int, Any]] = {}

    @contextlib.contextmanager
    def running(self, results: Results, about: Mapping[str, Any]) -> Iterator[None]:
        with super().running(results, about):
            try:
                self._measured()
            finally:
                for worker in [self.given[1], *(one for _, one in self.workers.values())]:
                    self.ray.kill(worker)
            self.done = 0
            yield

    def _start(self, number: int) -> None:
        worker = self.actor.remote()
        self.workers[worker.run.remote(*self.given, number, *self.rest)] = number, worker

    def _measured(self) -> None:
        """Waits until all pieces are measured.  Raises: RuntimeError where a piece ends several processes."""
        ended = Counter[str]()
        for number in range(self.number):
            self._start(number)
        while self.workers:
            ready, _ = self.ray.wait(list(self.workers), num_returns=1, timeout=_LOOK)
            self._look(*self._ask("count"))
            for ref in ready:
                number, _ = self.workers.pop(ref)
                try:
                    result_of(self.ray, ref)
                except Ended as error:
                    name = self._ask("lose", number)
                    ended[name] += 1
                    self._check(name, ended[name], error)
                    self._start(number)

    def _ask(self, name: str, *asked: Any) -> Any:
        """What the board says.  Raises: RuntimeError where its process has ended."""
        try:
            return result_of(self.ray, getattr(self.given[1], name).remote(*asked))
        except Ended as error:
            why = f"the process that shares out the pieces has ended: {error}"
            raise RuntimeError(f"run_study: {why}. What is stored stays; the same command goes on.") from None

    def _check(self, name: str, ended: int, error: Ended) -> None:
        """Raises: RuntimeError where too many processes have ended at one piece."""
        if ended >= TRIES * (1 if name else self.number):
            what = f"measure {plain(name)[:60]!r}" if name else "load the models"
            why = f"{ended} processes of workers have ended that were to {what}; the last: {error}"
            raise RuntimeError(f"run_study: {why[:210]}. What is stored stays; the same command goes on.") from None

    def _look(self, done: int, planned: int) -> None:
        """Reports what all workers have done."""
        if (done, planned) != (self.done, self.planned):
            self.done, self.planned = done, planned
            self.write()
            if self.progress is not None:
                self.progress(done, planned)
