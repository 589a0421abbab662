"""`DryRun`: f where the paths start and end, and the proof that it is one function there.

A model may be another function at each call (random numbers, statistics that it updates), in other company (rows that see each
other), or where gradients are recorded (shortcuts of inference). So f is read twice at every example: with all ends of the
paths, and once more in other company, with gradients recorded. One point in the middle of a path shows what the ends hide, as
when a model divides by the largest entry of the batch; it is read again by itself when the run has ended.
"""

import functools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .argument_reading import rounding
from .chunks import is_out_of_memory
from .draws import drawn_numbers, random_states, same_states
from .engine import Engine

_REORDERED = 1e-4  # relative difference that kernels may show which add in any order
_CERTAIN = 8  # the part of `rounding` that is rounding even where f is a small difference beside a large constant
_MOVES_MAPS = 1e-3  # difference, as a share of f(x) - f(x₀), that is too much for a map
_MIXES = 0.05  # relative difference of f that neither rounding nor cancellation makes between batch sizes
_FAR = 100  # how many times the effect of the last bits of the input a real difference is at least
_READINGS = 4  # how often f is read where it seems to move: two random numbers may be near each other by chance
LONG = 100  # evaluations of a run whose last reading is also made before it, so that no work is lost


@dataclass(eq=False, repr=False)
class DryRun:
    """f at the ends of all paths, see `read_checked`.

    points: (batch, ends, *shape); the first end is x.  known: f there, (ends, batch).
    middle: (example, a point half way, f there beside x), where f can be read there.
    """

    engine: Engine
    points: Tensor
    known: Tensor = field(init=False)
    middle: tuple[int, Tensor, float] | None = field(init=False, default=None)
    _company: tuple[Tensor, Tensor, int] = field(init=False)  # the rows that `middle` was read with, and its place there
    _failure: str = field(init=False, default="")  # what the model raised last

    def read(self, measure: bool) -> None:
        """Reads f at all ends, the ends of one example after those of another. Sets `known`."""
        batch, ends = self.points.shape[:2]
        rows = self.points.flatten(0, 1)
        example = torch.arange(batch, device=rows.device).repeat_interleave(ends)
        read = self.engine.measured if measure else self.engine.scores
        self.known = read(example, rows.__getitem__).reshape(batch, ends).T

    # The second reading ------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Reads f at every x once more, in other company and with gradients recorded, and explains a difference.

        Raises: ValueError where the model does not repeat itself, or where f of one row depends on the other rows.
        """
        again = self._in_other_company()
        if not bool(again.isfinite().all()):
            self.read(measure=False)  # raises what the model raises, if its fault is not the company
        number, moved = self._worst(again)
        if not moved:
            return
        alone = [self._alone(number) for _ in range(_READINGS)]
        recorded = self._alone(number, recorded=True)
        self._check_repeats(number, alone)
        if not self.engine.prepared.records and abs(recorded - alone[0]) > self._bar(number):
            self.engine.prepared.records = True  # the function that the gradients see
            self.read(measure=False)
            number, moved = self._worst(again)
            if not moved:
                return
        seen = [float(again[number]), float(self.known[0, number])]
        self._check_company(self.points[number, :1], number, seen, f"example {number}")

    def _in_other_company(self) -> Tensor:
        """f at every x (batch,), read in groups of other examples, in the caller's order."""
        x, again = self.points[:, 0], torch.empty_like(self.known[0])
        most, batch = self.engine.limit, len(x)
        groups = -(-batch // max(1, -(-min(batch, most) // 2)))
        first, middle = self._half_way()
        for start in range(groups):
            example = torch.arange(start, batch, groups, device=x.device)
            beside = middle if most > 1 and first % groups == start else None
            for recorded in (True, False):
                if beside is not None and self._read_beside(again, example, first, beside, recorded):
                    break
                if self._read_into(again, example, recorded):
                    break
        return again

    def _half_way(self) -> tuple[int, Tensor | None]:
        """(example with the longest path, the middle of its path)."""
        if self.points.shape[1] < 2:
            return 0, None
        number = int((self.points[:, 0] - self.points[:, 1]).flatten(1).abs().amax(1).argmax())
        return number, (self.points[number, 0] + self.points[number, 1])[None] / 2

    def _read_into(self, again: Tensor, example: Tensor, recorded: bool) -> bool:
        """Whether f could be read at these examples; it is NaN where the model fails in this company."""
        try:
            again[example] = self.engine.once(self.points[example, 0], example, recorded, adapt=not recorded)
        except Exception as error:
            if error is self.engine.stopped or (is_out_of_memory(error) and not recorded):
                raise
            again[example], self._failure = torch.nan, f"{type(error).__name__}: {error}"
            return False
        return True

    def _read_beside(self, again: Tensor, example: Tensor, number: int, middle: Tensor, recorded: bool) -> bool:
        """The same, with the middle of a path in the place before its example; a model may refuse half an example."""
        place = int((example == number).nonzero())
        rows = torch.cat([self.points[example[:place], 0], middle, self.points[example[place:], 0]])
        of = torch.cat([example[:place], example[place:][:1], example[place:]])
        try:
            found = self.engine.once(rows, of, recorded)
        except Exception as error:
            if error is self.engine.stopped:
                raise
            return False
        again[example] = torch.cat([found[:place], found[place + 1 :]])
        if bool(found[place].isfinite()):
            self.middle, self._company = (number, middle, float(found[place])), (rows, of, place)
        return True

    def _worst(self, again: Tensor) -> tuple[int, bool]:
        """(the example whose f differs most between two readings, whether that is more than rounding)."""
        ratio = ((again - self.known[0].detach()).abs() / self._bars().clamp(min=torch.finfo(again.dtype).tiny)).nan_to_num(
            torch.inf, torch.inf
        )
        return int(ratio.argmax()), bool(ratio.amax() > 1)

    def _bars(self) -> Tensor:
        """The difference of f that is rounding, or that does not matter beside what is explained, (batch,).

        Rounding between batch sizes may be many units of the last bit, but most of these matter to nobody: beside a large
        constant in f, what is explained may be as small as they are, and then only a few units are rounding.
        """
        known = self.known.detach()
        size, span = known.abs().amax(0), (known - known[0]).abs().amax(0)
        rounded = size * rounding(self.engine.feed)
        return torch.minimum(rounded, torch.maximum(rounded / _CERTAIN, _MOVES_MAPS * span))

    # Explanations ------------------------------------------------------------------------------------------------------

    def _alone(self, number: int, recorded: bool = False) -> float:
        return self._read_row(self.points[number, :1], number, recorded=recorded)

    def _read_row(self, rows: Tensor, number: int, place: int = 0, recorded: bool = False) -> float:
        """f of rows[place], as one forward of all rows, with the arguments of example `number`; NaN where the model fails."""
        of = torch.full((len(rows),), number, device=rows.device)
        try:
            return float(self.engine.once(rows, of, recorded)[place])
        except Exception as error:
            if error is self.engine.stopped or is_out_of_memory(error):
                raise
            self._failure = f"{type(error).__name__}: {error}"
            return math.nan

    def _size(self, number: int) -> float:
        return float(self.known[:, number].detach().abs().amax())

    def _span(self, number: int) -> float:
        return float((self.known.detach() - self.known[0].detach())[:, number].abs().amax())

    def _bar(self, number: int) -> float:
        return float(self._bars()[number])

    def _check_repeats(self, number: int, readings: list[float]) -> None:
        """Raises: ValueError where f of one row alone is another number each time."""
        if not all(math.isfinite(each) for each in readings):
            return
        span = float((self.known[0] - self.known[-1])[number].detach().abs())
        size = self._size(number)
        most = max(self._bar(number), min(_REORDERED * size, rounding(self.engine.feed) * size, 10 * _MOVES_MAPS * span))
        if not max(readings) - min(readings) <= most:
            self.engine.prepared.draws = True
            what = f"two runs on the same input differ, {max(readings):.6g} and {min(readings):.6g} for example {number}"
            advice = "call model.eval(), disable dropout and noise, or reseed the generator inside forward()"
            raise ValueError(f"model: {what}. The model is not deterministic: {advice}.")

    def _check_company(self, row: Tensor, number: int, seen: list[float], what: str) -> None:
        """Raises: ValueError where f of `row` depends on what the other rows hold, or strongly on how many there are.

        row: (1, *shape), with the arguments of example `number`.  seen: f of it among other rows.
        """
        rows = min(4, self.engine.limit)
        if rows == 1:
            return
        self._failure = ""
        alone, failure, size = self._read_row(row, number), self._failure, self._size(number)
        beside = [self.points[(number + 1) % len(self.points), :1], row.flatten().flip(0).reshape(row.shape), row / 2, 2 * row]
        # In the second place: neither the first nor the last is its own where the model runs along the batch.
        beside.append(self.points[number, -1:])
        read = [self._read_row(torch.cat([other, row, other, other])[:rows], number, 1) for other in beside]
        found = [value for value in read if math.isfinite(value)]  # the model may refuse such rows
        spread = max(found) - min(found) if len(found) > 1 else math.inf
        among = max([value for value in (*seen, *found) if math.isfinite(value)], key=lambda value: abs(value - alone))
        counts = max(_MIXES * min(size, self._span(number)), self._bar(number))
        if not spread <= self._bar(number) or not (
            abs(among - alone) <= counts or self.is_rounding(row, number, among - alone)
        ):
            advice = "Use layers that treat every row by itself (call model.eval()), or pass batch_size=1."
            by_itself = f"is {alone:.6g} alone" if not failure else f"cannot be read alone ({failure[:80]})"
            differ = f"f of {what} {by_itself} and {among:.6g} among other rows"
            raise ValueError(f"model: {differ}, so its map would depend on the batch. {advice}")

    def is_rounding(self, row: Tensor, number: int, moved: float) -> bool:
        """Whether f moves nearly as much where the last bits of the input change, as the difference of large numbers does."""
        last = 2 * torch.finfo(row.dtype).eps
        near = [self._read_row(row * (1 + factor * last), number) for factor in (-2, -1, 1, 2)]
        return not _FAR * (max(near) - min(near)) < abs(moved)

    # The last reading --------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Reads f alone at the middle of a path, or at x.  Raises: ValueError where it is another number than before."""
        number, row, before = self.middle or (0, self.points[:1, 0], float(self.known[0, 0].detach()))
        with self.engine.prepared.plainly():
            self._failure = ""
            after = self._read_row(row, number, recorded=self.middle is not None)
            if abs(after - before) <= self._bar(number):
                return
            self._check_repeats(number, [self._read_row(row, number) for _ in range(_READINGS)])
            if self.middle is not None and self.engine.limit > 1:
                rows, of, place = self._company
                again = float(self.engine.once(rows, of, recorded=True)[place])
                if abs(again - before) <= self._bar(number):
                    return self._check_company(row, number, [before], f"the point half way to example {number}")
        what = f"f of example {number} was {before:.6g} before the run and is {after:.6g} after it"
        raise ValueError(
            f"model: {what}: the model changes while it runs, as with a counter or a cache; reset it inside forward()."
        )


def dry_run(engine: Engine, points: Tensor, measure: bool = False, evaluations: int = 0) -> DryRun:
    """f at the ends of all paths, points (batch, ends, *shape), in the model's own formats.

    measure: whether the first rows also measure memory.  evaluations: of the run that follows.
    Raises: ValueError where the model does not repeat itself, draws random numbers, or mixes examples.
    """
    run = DryRun(engine, points.detach() if not engine.create_graph else points)
    before = random_states(points.device)
    with engine.prepared.plainly():
        run.read(measure)
        engine.check_state()
        run.compare()
        if not same_states(random_states(points.device), before):
            check_draws(run)
    if evaluations >= LONG:
        run.finish()
    return run


def check_draws(run: DryRun) -> None:
    """Raises: ValueError where the model draws random numbers that reach f, from generators that go on between two calls."""
    # These readings are not counted: another thread, and not the model, may be why the generators have moved.
    row, alone = run.points[:1, 0], DryRun(run.engine.uncounted(), run.points)
    read = functools.partial(alone._read_row, row, 0)
    names, turned = drawn_numbers(read)
    if not names:
        return
    run.engine.prepared.draws = True
    values, states = zip(*((read(), random_states(row.device)) for _ in range(2)))
    if same_states(*states):  # the model seeds the generator itself
        return
    if not abs(turned - values[0]) <= rounding(run.engine.feed) * abs(values[0]):
        advice = "call model.eval(), disable dropout and noise, or reseed the generator inside forward()"
        what = f"it draws random numbers ({names[0]}), so f is another number at each call"
        raise ValueError(f"model: {what}. The model is not deterministic: {advice}.")
