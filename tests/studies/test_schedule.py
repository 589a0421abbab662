"""The order in which workers measure photos: whatever ends when, drawn photos are numbered as in one process."""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from pullback.studies.compare.schedule import Schedule, Task

SIZE = 4  # photos of a batch


def cells(counts: list[int], pictures: int) -> Any:
    """Cells of so many photos, in batches."""
    batches = [[list(range(count))[first : first + SIZE] for first in range(0, count, SIZE)] for count in counts]
    return [SimpleNamespace(settings=SimpleNamespace(pictures=pictures), batches=lambda own=own: own) for own in batches]


@pytest.mark.parametrize("seed", range(40))
def test_each_photo_is_measured_and_the_first_readable_ones_are_drawn(seed: int) -> None:
    """Workers finish in any order, some processes end, and one photo ends each process."""
    rng = random.Random(seed)
    counts, pictures, workers = [rng.randint(1, 22), rng.randint(1, 9)], rng.randint(0, 9), rng.randint(1, 4)
    readable = [[rng.random() < 0.6 for _ in range(count)] for count in counts]
    deadly = (0, rng.randrange(counts[0]))
    readable[0][deadly[1]] = False
    schedule, running, drawn, measured, done = Schedule(cells(counts, pictures), 2), list[Task](), {}, set(), 0
    while schedule.ready or schedule.late or running:
        while len(running) < workers and (task := schedule.next(bool(running))) is not None:
            assert not any(one.cell == task.cell and set(one.places) & set(task.places) for one in running)
            running.append(task)
        task = running.pop(rng.randrange(len(running)))
        if task.why is None and ((task.cell == 0 and deadly[1] in task.places) or rng.random() < 0.05):
            schedule.ended(task)
            continue
        number = task.before
        for place in task.places:
            measured.add((task.cell, place))
            seen = readable[task.cell][place] and task.why is None
            drawn.pop((task.cell, place), None)  # what is stored last counts
            if seen and number < pictures:
                drawn[task.cell, place] = number
            number += seen
        done += schedule.finished(task, number - task.before)
    assert measured == {(cell, place) for cell, count in enumerate(counts) for place in range(count)}
    skipped = {(cell, place) for cell, own in enumerate(readable) for place, seen in enumerate(own) if not seen}
    expected = {}
    for cell, count in enumerate(counts):
        seen = [place for place in range(count) if (cell, place) not in skipped]
        expected |= {(cell, place): number for number, place in enumerate(seen[:pictures])}
    assert drawn == expected
    assert done == sum(counts)  # for a bar of progress, each counts once


def test_nothing_waits_where_all_can_be_read() -> None:
    schedule = Schedule(cells([12], 3), 2)
    first, *beside = (schedule.next(True) for _ in range(3))
    assert first is not None
    assert [task.places[0] for task in beside if task is not None] == [4, 8]
    assert schedule.next(True) is None
    assert schedule.finished(first, 4) == 4
    assert schedule.next(False) is None


def test_a_process_that_ends_without_measuring_is_an_error() -> None:
    schedule = Schedule(cells([1], 0), 1)
    task = schedule.next(False)
    assert task is not None
    schedule.ended(task)
    skipping = schedule.next(False)
    assert skipping is not None
    assert "has ended each of 2 times" in str(skipping.why)
    with pytest.raises(RuntimeError, match="end also without measuring"):
        schedule.ended(skipping)
