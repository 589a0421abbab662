"""Work that is shared out among processes, each with one thread."""

import concurrent.futures
import multiprocessing
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

Found = TypeVar("Found")


def in_processes(
    work: Callable[..., Found], tasks: Sequence[tuple[Any, ...]], jobs: int, deadline: float | None = None
) -> Iterator[Found]:
    """work(*task) for each task, `jobs` at a time, as they are finished.

    Processes are fresh ones, so that neither threads nor an accelerator's context are inherited; `work` is found by its
    name, and tasks and results are pickled. deadline: in time.monotonic(); after it no task is started.

    Raises: what a task raised; TypeError for a task that cannot be sent to another process.
    """
    waiting = iter(tasks)
    with concurrent.futures.ProcessPoolExecutor(
        min(jobs, max(1, len(tasks))), multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)
    ) as pool:
        running: set[concurrent.futures.Future[Found]] = set()
        while True:
            while len(running) < jobs and (deadline is None or time.monotonic() < deadline):
                task = next(waiting, None)
                if task is None:
                    break
                running.add(pool.submit(_run, _packed(work, task)))
            if not running:
                return
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _packed(work: Callable[..., Any], task: tuple[Any, ...]) -> bytes:
    """Plain bytes: what multiprocessing itself sends would move the caller's tensors into shared memory."""
    try:
        return pickle.dumps((work, task))
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
        raise TypeError(
            f"in_processes: expected models and data that can be sent to another process, and got one that "
            f"cannot be pickled: {error}. Define it at the top of a module, or take jobs=1."
        ) from None


def _run(packed: bytes) -> Any:
    work, task = pickle.loads(packed)
    return work(*task)
