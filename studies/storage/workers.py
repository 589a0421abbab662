"""Work shared among processes that run one thread each."""

import concurrent.futures
import multiprocessing
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def in_processes(
    work: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], jobs: int, deadline: float | None = None
) -> Iterator[Result]:
    """work(*task) for each task, `jobs` at a time, in the order in which they finish.

    Every process starts anew and inherits neither threads nor an accelerator's context. `work` is imported there by its
    name; tasks and results are pickled.
    deadline: in the units of time.monotonic(); no task starts after it.

    Raises: the error of a task; TypeError for a task that cannot be pickled.
    """
    waiting = iter(tasks)
    with concurrent.futures.ProcessPoolExecutor(
        min(jobs, max(1, len(tasks))), multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)
    ) as pool:
        running: set[concurrent.futures.Future[Result]] = set()
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
    """Bytes, because multiprocessing's own pickling would move the caller's tensors into shared memory."""
    try:
        return pickle.dumps((work, task))
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
        what = "in_processes: a model or data that goes to another process cannot be pickled"
        raise TypeError(f"{what}: {error}. Define it at the top of a module, or pass jobs=1.") from None


def _run(packed: bytes) -> Any:
    work, task = pickle.loads(packed)
    return work(*task)
