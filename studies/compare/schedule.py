"""`Schedule`: which photos the workers of a cluster measure next, so that drawn ones are numbered as in one process."""

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .cell import Cell


@dataclass
class Task:
    """Photos of a cell that are measured together, and those whose number depends on how many of them can be read.

    before: the number of readable photos before them.  tries: how often the process has ended.  why: they are to be skipped.
    again: they were measured before, without pictures.
    """

    cell: int
    places: list[int]
    before: int
    rest: list[list[int]] = field(default_factory=list)
    tries: int = 0
    why: str | None = None
    again: bool = False


class Schedule:
    """The tasks of some cells. Batches that draw wait for each other; those after them draw nothing, and run beside them.

    Where photos cannot be read, so that one of the latter must draw, it is measured again after all else.
    tries: of a batch, and then of each of its photos alone, before a photo that ends its process is skipped.
    """

    def __init__(self, cells: Sequence[Cell], tries: int) -> None:
        self.cells, self.tries = cells, tries
        self.beside: set[tuple[int, int]] = set()  # cell and first photo
        self.late: deque[Task] = deque()
        self.measured: set[tuple[int, int]] = set()  # cell and photo
        self.ready = deque(task for number in range(len(cells)) for task in self._first(number))

    def next(self, busy: bool) -> Task | None:
        """What to measure now, if there is anything.  busy: whether something is being measured."""
        if self.late and not self.ready and not busy:
            self.ready.append(self.late.popleft())
        return self.ready.popleft() if self.ready else None

    def finished(self, task: Task, readable: int) -> int:
        """Takes note of a finished task. Returns the number of photos that are finished by it, each counted once."""
        after = self._ordered(task.cell, task.rest, task.before + readable)
        self.late.extend(one for one in after if one.again)
        self.ready.extendleft(one for one in reversed(after) if not one.again)
        before = len(self.measured)
        self.measured |= {(task.cell, place) for place in task.places}
        return len(self.measured) - before

    def ended(self, task: Task) -> None:
        """Takes note of a process that has ended: the task again; then its photos one by one; at last one alone is skipped.

        Raises: RuntimeError where processes end that do nothing but say so.
        """
        if task.why is not None:
            raise RuntimeError(f"compare: workers of Ray end also without measuring; {task.why}.")
        if task.tries + 1 < self.tries:
            task = replace(task, tries=task.tries + 1)
        elif len(task.places) > 1:
            first, *others = ([place] for place in task.places)
            task = replace(task, places=first, rest=[*others, *task.rest], tries=0)
        else:
            why = f"the process of the worker has ended each of {2 * self.tries} times while it was measured"
            task = replace(task, why=why)
        self.ready.appendleft(task)

    def _first(self, cell: int) -> list[Task]:
        """The tasks with which a cell begins."""
        most, batches = self.cells[cell].settings.pictures, self.cells[cell].batches()
        ends = itertools.accumulate(map(len, batches), initial=0)
        beside = [batch for batch, before in zip(batches, ends) if before >= most]
        self.beside |= {(cell, batch[0]) for batch in beside}
        return [*self._ordered(cell, batches, 0), *(Task(cell, batch, most) for batch in beside)]

    def _ordered(self, cell: int, batches: Sequence[list[int]], before: int) -> list[Task]:
        """The tasks of these batches: one, which the rest must wait for, as long as photos are drawn with their number."""
        known = [(cell, batch[0]) in self.beside for batch in batches]
        if batches and before < self.cells[cell].settings.pictures:
            return [Task(cell, batches[0], before, list(batches[1:]), again=known[0])]
        return [Task(cell, batch, before) for batch, measured in zip(batches, known) if not measured]
