"""One call of `attribute`: what is walked, where from, and what is read on the way."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core.checks import check_finite
from ..transforms import Transform, TransformClaim
from .baselines.base import Baseline
from .engine.dry_run import FEW, DryRun, Read
from .engine.execution import Prepared
from .engine.random import Keyed
from .engine.rows import Rows
from .estimator import Chart, Estimate, Estimator, Evaluator
from .pullback import Pullback

Evaluators = Sequence[tuple[list[int], Evaluator]]  # which domains, and the evaluator they share


@dataclass(frozen=True, eq=False)
class Start:
    """Where the paths of one domain start: x₀ (batch, *shape), z₀ where it was declared in z, and further draws of x₀.

    random: whether these differ.
    """

    signal: Tensor
    coefficients: Tensor | None
    draw: Callable[[Tensor, Tensor], Tensor]
    random: bool = False

    @functools.cached_property
    def moved(self) -> bool:
        """Whether x₀ is not zero throughout."""
        return bool(self.signal.any())


@dataclass(frozen=True, eq=False)
class Call:
    """The parts of a call, ready to be run.  starts: one for each of the `domains`."""

    estimator: Estimator
    x: Tensor
    domains: Sequence[Transform]
    starts: Sequence[Start]
    prepared: Prepared
    runner: Rows
    seed: int

    @functools.cached_property
    def bases(self) -> list[Tensor]:
        """The distinct x₀."""
        kept: list[Tensor] = []
        for start in self.starts:
            if _find(kept, start.signal) is None:
                kept.append(start.signal)
        return kept

    @functools.cached_property
    def evaluators(self) -> Evaluators:
        """(which domains, evaluator): linear domains with the same x₀ share one, every other domain has its own."""
        shared: dict[int, list[int]] = {}
        alone = []
        for i, domain in enumerate(self.domains):
            if is_signal_linear(domain):
                shared.setdefault(_find(self.bases, self.starts[i].signal), []).append(i)
            else:
                alone.append([i])
        return [(members, self._evaluator(members)) for members in (*shared.values(), *alone)]

    @functools.cached_property
    def planned(self) -> list[int]:
        """Rows of each evaluator."""
        return [
            len(self.x)
            * (
                self.estimator.total_rows([chart.layout for chart in evaluator.charts])
                - (0 if evaluator.random else self.estimator.repeats())
            )
            for _, evaluator in self.evaluators
        ]

    @property
    def few(self) -> bool:
        """Whether one row more would be felt."""
        return sum(self.planned) < FEW

    def expect(self) -> None:
        """Tells whoever counts what will be run."""
        again = not (self.few and self.estimator.revisits)
        self.runner.expect(len(self.x) * (1 + len(self.bases)) + sum(self.planned) + again)

    def ends(self, probe: bool) -> Tensor:
        """f(x), and f(x₀) for each of the `bases`; with `probe` this tells too how many rows fit. Shape: (1 + bases, batch).

        Before a run of many rows, one row shows whether the model repeats itself, and which memory format it bears.
        """
        # Last example first: what a row makes of those before it, as a recurrent layer along the wrong axis does, shows then.
        points = torch.cat([self.x, *self.bases]).flip(0)
        example = torch.arange(len(self.x), device=self.x.device).repeat(1 + len(self.bases)).flip(0)
        read: Read = lambda values: values(example, points.__getitem__).flip(0).reshape(1 + len(self.bases), -1)
        self.level()
        if self.few:
            self.prepared.fall_back()
            with self.prepared.exactly():
                ends = read(self.runner.measured if probe else self.runner.values)
        else:
            ends = self.rehearsal.ends(read, probe)
        self.runner.count.varies = bool((ends != ends[:1]).any())
        return ends

    def level(self) -> None:
        """Gives all evaluators the number of rows that was found to fit."""
        self.runner.level(max(self.planned))
        for _, evaluator in self.evaluators:
            evaluator.rows.budget = self.runner.budget

    def deltas(self, ends: Tensor) -> list[Tensor]:
        """f(x) - f(x₀) of each domain, (batch,)."""
        return [ends[0] - ends[1 + _find(self.bases, start.signal)] for start in self.starts]

    def choose_precision(self) -> None:
        """Holds gradients of narrower formats, at x and half way, against those of fp32; for "auto" that decides."""
        if not self.prepared.narrower:
            return
        points = torch.cat([self.x[:2], (self.x[:2] + self.bases[0][:2]) / 2])
        example = torch.arange(len(points), device=self.x.device) % len(self.x[:2])
        rows = self.runner.uncounted()
        gradient = lambda: torch.cat([part for *_, part in rows.gradient_chunks(example, points.__getitem__)])
        # A method without gradients may explain a model that has none: then nothing tells, and "auto" stays with fp32.
        with contextlib.suppress(*([] if self.estimator.cost() else [ValueError, RuntimeError])):
            self.prepared.choose(gradient, self.prepared.narrower)

    @functools.cached_property
    def rehearsal(self) -> DryRun:
        """What tells a model that repeats itself from one that does not."""
        return DryRun(self.prepared, self.runner, self.x, gradients=self.estimator.cost() > 0)

    def estimates(self, evaluators: Evaluators, ends: Tensor) -> dict[int, tuple[Evaluator, Estimate, int]]:
        """For each domain its evaluator, what was found on it, and the domain's place in it."""
        with self.prepared.numerics():
            found = [(members, evaluator, self.estimator.estimate(evaluator)) for members, evaluator in evaluators]
        if self.few:
            self.rehearsal.compare(ends, found[0][2].score)
        return {
            member: (evaluator, estimate, number)
            for members, evaluator, estimate in found
            for number, member in enumerate(members)
        }

    def _evaluator(self, members: list[int]) -> Evaluator:
        """The evaluator of one group: in the signal for linear domains, else in the coefficients of the one domain."""
        x, start, seed, domain = self.x, self.starts[members[0]], self.seed, self.domains[members[0]]
        if is_signal_linear(domain):
            charts = [_chart(self.domains[i], x, self.starts[i]) for i in members]
            return Evaluator(x, x, start.signal, lambda u: u, charts, self.runner, seed, start.draw, start.random)
        same = lambda u: u
        point, base = domain.ends(x, start.signal)
        if start.coefficients is not None:
            base = start.coefficients
        own = self.runner.through(lambda model: Pullback(model, domain), point.dtype)
        chart = Chart(same, point - base, point, same, domain.layout, same)
        # A baseline declared in z is where it was declared, not T T⁻¹ of it.
        draw = (lambda e, s: domain(start.draw(e, s))) if start.coefficients is None else _fixed(base)
        return Evaluator(x, point, base, domain, [chart], own, seed, draw, start.random)


def _chart(domain: Transform, x: Tensor, start: Start) -> Chart:
    point = domain(x)
    if start.coefficients is not None:
        displacement = point - start.coefficients
    else:  # T is linear: from the zero baseline, the displacement is the point
        displacement = domain(x - start.signal) if start.moved else point
    return Chart(domain.adjoint, displacement, point, domain.inverse, domain.layout, domain)


def is_signal_linear(domain: Transform) -> bool:
    """Whether gradients of this domain are those of the signal, carried over: T⁻¹ is linear and meets the evaluator at x."""
    return TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS in domain.claims


def _find(bases: Sequence[Tensor], base: Tensor) -> Any:
    """Index of the entry that equals `base`, or None."""
    return next((i for i, known in enumerate(bases) if known is base or torch.equal(known, base)), None)


def starts(
    origin: Baseline, domains: Sequence[Transform], x: Tensor, seed: int, create_graph: bool = False
) -> list[Start]:
    """The start in each domain; one object for all of them where the baseline lives in the signal."""
    if origin.coordinates == "signal":
        keyed = Keyed(x, seed)
        example = torch.arange(len(x), device=x.device)
        base = _check_origin(origin, origin.rows(keyed, example, torch.zeros_like(example)), x, create_graph)
        draw = functools.partial(origin.rows, keyed) if origin.random else _fixed(base)
        return [Start(base, None, draw, origin.random)] * len(domains)
    found = []
    for domain in domains:
        z0 = origin.coefficients(domain, x)
        base = _check_origin(origin, domain.inverse(z0), x, create_graph)
        found.append(Start(base, z0, _fixed(base)))
    return found


def _fixed(base: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda example, sample: base[example]


def _check_origin(origin: Baseline, base: Tensor, x: Tensor, create_graph: bool) -> Tensor:
    if base.shape != x.shape:
        raise ValueError(
            f"baseline: {origin.describe()} gave shape {tuple(base.shape)} for x of shape {tuple(x.shape)}."
        )
    return check_finite("baseline", (base if create_graph else base.detach()).to(x))
