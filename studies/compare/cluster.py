"""A comparison on a cluster of Ray: workers that hold the models measure one batch of photos at a time.

Photos are read where they are measured and results are small files, so that nothing but the places of photos travels: actors
of Ray are enough, without its data sets.
"""

import contextlib
import os
import pickle
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.allocator import keep_freed_memory
from ...core.checks import check_number
from ...core.files import plain
from ...core.imports import needs
from ...core.progress import Progress
from ..loaders.models import LoadedModel
from ..storage.store import digest
from .cell import from_plain, to_plain
from .cells import InProcess, Note
from .schedule import Schedule, Task
from .settings import Settings

TRIES = 2  # of a batch, and then of each of its photos alone, before a photo that ends its process is skipped
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}  # nothing is sent to the makers of Ray, unless the user has said so
LOCAL = {  # of a new cluster
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # so it listens on the loopback address only, on Linux too
    "RAY_worker_niceness": "0",  # workers have the priority of this process; Ray would let all others go first
}
LOOPBACK = "127.0.0.1"
SECONDS = 10  # in which a cluster must answer


@dataclass(frozen=True)
class Ray:
    """Where a comparison runs: on a cluster of Ray, or on a new one on this machine.

    address: "auto" or HOST:PORT of a cluster that runs; None starts one that only this machine can reach, without a dashboard.
    workers: their number; None takes as many as the cluster has room for.  cpus: threads of each worker.
    gpus: share of a GPU for each worker; None takes a whole one where the device is cuda.

    >>> Ray(workers=2).cpus
    1
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        for name, least, value in (("workers", 1, self.workers), ("cpus", 1, self.cpus), ("gpus", 0, self.gpus)):
            if value is not None:
                check_number("Ray", name, value, least, 1e6)

    def needed(self, device: str) -> dict[str, float]:
        """What each worker occupies."""
        share = float(device.startswith("cuda")) if self.gpus is None else self.gpus
        return {"num_cpus": self.cpus} | ({"num_gpus": share} if share else {})


def settle(places: Sequence[str], threads: int) -> None:
    """Prepares the process of a worker.  places: the caller's current folder, and those of its modules."""
    import torch

    keep_freed_memory()
    os.chdir(places[0])
    sys.path += [place for place in places[1:] if place not in sys.path]
    torch.set_num_threads(threads)


class Worker:
    """What runs in the process of a worker."""

    def set_up(
        self, settings: Settings, out: str, packed: bytes, places: Sequence[str], threads: int
    ) -> tuple[list[dict[str, Any]], Settings, list[str]]:
        """The cells as plain data, the settings with the domains that are compared, and notes. Models are loaded once.

        packed: the model, or None.  places: as in `settle`.
        """
        settle(places, threads)
        model = pickle.loads(packed)
        notes: list[str] = []
        self.engine = InProcess(settings, Path(out), model, lambda text: notes.append(str(text)))
        return to_plain(self.engine.cells), self.engine.settings, notes

    def measure(self, cell: int, places: Sequence[int], before: int, why: str | None, again: bool) -> int:
        """Stores the parts of these photos. Returns how many of them could be read.

        why: skip them for this reason.  again: where one of them lacks its pictures, all are measured anew, together.
        """
        parts = self.engine.parts[cell]
        if again:
            parts.forget(places, before)
        if why is not None:
            parts.skip(places, why)
            return 0
        return sum(bool(part["records"]) for part in parts.batch(places, before))


class OnRay:
    """Measures all cells on workers of a cluster; as `InProcess`, and with the same numbers for any number of workers."""

    def __init__(self, ray: Any, how: Ray, settings: Settings, out: Path, model: LoadedModel | None, told: Note) -> None:
        self.ray, self.out, self.number = ray, out.absolute(), room(ray, how, settings.device)
        self.asked = (settings, str(self.out), ray.put(ray.cloudpickle.dumps(model)), [os.getcwd(), *sys.path], how.cpus)
        self.actor = ray.remote(max_restarts=0, max_task_retries=0, **how.needed(settings.device))(Worker)
        self.running: dict[Any, tuple[Any, Task | None]] = {}
        self.idle: list[Any] = []
        self.failed = 0  # processes that have ended before they were set up, since the last that was
        self._start(self.number)
        while not self.idle:
            (ref, *_), _ = ray.wait(list(self.running), num_returns=1)
            alive, cells, self.settings, notes = self._set_up(ref)
            self._start(0 if alive else 1)
        self.cells, self.identity = [from_plain(one) for one in cells], digest(cells)
        for note in notes:
            told(note)

    def _start(self, count: int) -> None:
        for _ in range(count):
            worker = self.actor.remote()
            self.running[worker.set_up.remote(*self.asked)] = worker, None

    def _set_up(self, ref: Any) -> tuple[bool, list[dict[str, Any]], Settings, list[str]]:
        """Whether the worker is set up, and what it says.  Raises: its own error; RuntimeError if workers keep ending."""
        worker, _ = self.running.pop(ref)
        try:
            found = result_of(self.ray, ref)
        except Ended as error:
            self.failed += 1
            if self.failed > TRIES * self.number:
                why = f"workers of Ray end while they load the model; the last: {error}"
                raise RuntimeError(f"compare: {why}"[:300]) from None
            return False, [], self.asked[0], []
        self.failed = 0
        self.idle.append(worker)
        return True, *found

    def measure(self, progress: Progress | None) -> None:
        """Measures the photos of all cells that are not stored."""
        schedule, done = Schedule(self.cells, TRIES), 0
        planned = sum(len(cell.places) for cell in self.cells)
        while schedule.ready or schedule.late or self._busy:
            while self.idle and (task := schedule.next(self._busy)) is not None:
                worker = self.idle.pop()
                self.running[worker.measure.remote(task.cell, task.places, task.before, task.why, task.again)] = worker, task
            (ref, *_), _ = self.ray.wait(list(self.running), num_returns=1)
            count = self._answer(ref, schedule)
            done += count
            if progress is not None and count:
                progress(done, planned)
            self._start(min(self.number - len(self.idle) - len(self.running), len(schedule.ready) + len(schedule.late)))
        self._check_shared()

    @property
    def _busy(self) -> bool:
        """Whether photos are being measured."""
        return any(task for _, task in self.running.values())

    def _answer(self, ref: Any, schedule: Schedule) -> int:
        """Takes what a worker answers. Returns the number of photos that are finished by it."""
        worker, task = self.running[ref]
        if task is None:
            alive, cells, *_ = self._set_up(ref)
            if alive and digest(cells) != self.identity:
                raise ValueError(
                    "compare: workers of Ray see other photos, weights or versions; install and mount the same on all."
                )
            return 0
        del self.running[ref]
        try:
            readable = result_of(self.ray, ref)
        except Ended:
            schedule.ended(task)
            return 0
        self.idle.append(worker)
        return schedule.finished(task, readable)

    def _check_shared(self) -> None:
        """Raises: RuntimeError where parts that workers have stored are not to be seen here."""
        if lacking := sum(len(cell.places) - cell.stored(self.out) for cell in self.cells):
            lost = f"{lacking} parts that workers have stored are not in {plain(self.out)[-80:]}"
            raise RuntimeError(f"compare: {lost}; --out must be a folder that all workers share.")


class Ended(Exception):
    """The process of a worker has ended."""


def result_of(ray: Any, ref: Any) -> Any:
    """What a worker returns.  Raises: `Ended` where its process has ended; its own error otherwise."""
    errors = ray.exceptions
    try:
        return ray.get(ref)
    except errors.RayTaskError as error:
        raise error.cause from None
    except (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError) as error:
        raise Ended(plain(str(error).strip().splitlines()[-1])[:150]) from None


def room(ray: Any, how: Ray, device: str) -> int:
    """The number of workers.  Raises: ValueError where the cluster has no room for one."""
    held, needed = ray.cluster_resources(), how.needed(device)
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    most = int(min(held.get(names[name], 0) / count for name, count in needed.items()))
    if most < 1:
        asked = ", ".join(f"{count:g} {names[name]}" for name, count in needed.items())
        raise ValueError(
            f"compare: a worker needs {asked}; the cluster of Ray has {held.get('CPU', 0):g} CPU, {held.get('GPU', 0):g} GPU."
        )
    return min(most, how.workers or most)


@contextlib.contextmanager
def on_ray(how: Ray, settings: Settings, out: Path, model: LoadedModel | None, told: Note) -> Iterator[OnRay]:
    """The engine. A cluster that was started for it ends with it, and so do its workers, however this process ends."""
    with connected(how) as ray:
        engine = OnRay(ray, how, settings, out, model, told)
        try:
            yield engine
        finally:
            for worker in [*engine.idle, *(worker for worker, _ in engine.running.values())]:
                ray.kill(worker)


def _check_answers(address: str) -> None:
    """Raises: ValueError where nothing listens at HOST:PORT; Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        why = f"nothing answers at {plain(address)[:60]!r} ({plain(error)[:80]})"
        raise ValueError(f"compare: address: expected auto or HOST:PORT of a cluster of Ray; {why}.") from None


@contextlib.contextmanager
def connected(how: Ray) -> Iterator[Any]:
    """Ray, connected to the cluster; one that the caller is connected to already is used and left."""
    early = "ray" in sys.modules
    with quiet(how.address):
        with needs("compare with engine ray", "'pullback[scale]'"):
            import ray as loaded
        ray: Any = loaded  # of which not all has types
        own = not ray.is_initialized()
        if own:
            if how.address not in (None, "auto"):
                _check_answers(str(how.address))
            cluster: dict[str, Any] = {"address": how.address or "local", "log_to_driver": False, "configure_logging": False}
            size = {"num_cpus": max(os.cpu_count() or 1, how.cpus * (how.workers or 1)), "include_dashboard": False}
            try:
                ray.init(**cluster, **({} if how.address else size))
            except ConnectionError as error:
                raise ValueError(f"compare: no cluster of Ray answers at {plain(how.address)[:60]!r}: {error}"[:300]) from None
    try:
        if own and not how.address and (found := ray.util.get_node_ip_address()) != LOOPBACK:
            seen = "ray was imported before" if early else "this version of ray does not keep to the loopback address"
            raise RuntimeError(
                f"compare: a new cluster would listen on {found}: {seen}; call ray.init yourself, or give an address."
            )
        yield ray
    finally:
        if own:
            ray.shutdown()


def quiet(address: str | None) -> contextlib.AbstractContextManager[None]:
    """Inside, Ray may be imported: it sends no usage statistics, and a cluster here keeps to the loopback address."""
    near = (address or LOOPBACK).partition(":")[0] in (LOOPBACK, "localhost")
    return _environment(QUIET | (LOCAL if near else {}))


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Inside, the environment has these variables where it does not define them itself."""
    new = {name: value for name, value in changes.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
