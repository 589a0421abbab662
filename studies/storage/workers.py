"""Work shared among processes that run one thread each, and that end when their parent does."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def in_processes(
    work: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], jobs: int, deadline: float | None = None
) -> Iterator[Result]:
    """work(*task) for each task, `jobs` at a time, in the order in which they finish.

    Every process starts anew and inherits neither threads nor an accelerator's context. `work` is imported there by its
    name; tasks and results are pickled. The processes end at once when this one does, however it ends, and after an error.
    deadline: in the units of time.monotonic(); no task starts after it.

    Raises: the error of a task; TypeError for a task that cannot be pickled.
    """
    waiting = iter(tasks)
    context = multiprocessing.get_context("spawn")
    alive, ours = context.Pipe(duplex=False)
    pool = concurrent.futures.ProcessPoolExecutor(min(jobs, max(1, len(tasks))), context, initializer=_begin, initargs=(alive,))
    with pool, _closed_on_error(ours):
        running: set[concurrent.futures.Future[Result]] = set()
        while True:
            while len(running) < jobs and (deadline is None or time.monotonic() < deadline):
                task = next(waiting, None)
                if task is None:
                    break
                with _interrupts_held():
                    running.add(pool.submit(_run, _packed(work, task)))
            if not running:
                return
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                yield future.result()


@contextlib.contextmanager
def _closed_on_error(ours: Connection) -> Iterator[None]:
    """Closes our end of the pipe after an error, and when the work is abandoned: the processes end."""
    try:
        yield
    except BaseException:
        ours.close()
        raise


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Inside, a process that starts ignores Ctrl-C, which the terminal sends to all: only the parent answers it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(alive: Connection) -> None:
    """Prepares a process: one thread for torch, and one that ends the process when the parent's end of the pipe closes."""
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()


def _end_with_parent(alive: Connection) -> None:
    alive.poll(None)
    os._exit(1)


def _packed(work: Callable[..., Any], task: tuple[Any, ...]) -> bytes:
    """Bytes, because multiprocessing's own pickling would move the caller's tensors into shared memory."""
    try:
        return pickle.dumps((work, task))
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
        what = "in_processes: a model or data that goes to another process cannot be pickled"
        raise TypeError(f"{what}: {error}. Define it at the top of a module, or pass jobs=1.") from None


def _run(packed: bytes) -> Any:
    work, task = pickle.loads(packed)
    return work(*task)
