"""The maps of all domains and of their controls, and their errors."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...attribution import Attribution, attribute
from ...attribution.call import Method
from ...attribution.engine.engine import Engine
from ...attribution.engine.faster_form import choose_form
from ...attribution.engine.open_engine import read_checked
from ...attribution.engine.random import fill, keys
from ...attribution.engine.score import Target
from ...attribution.result import coefficient_count
from ...transforms import Transform
from ..judged import Answer, Answers, Judged
from .admission import Admission, admission
from .conclusion import BLIND, NEUTRAL, ROTATION, Conclusion, Evidence, Numbers, conclude
from .errors import Cell, Curves, Grid
from .families import OWN, Family
from .oracle import greedy_order
from .settings import Protocol
from .shuffled import shuffled_for

_SELECTED = 0.05  # share of the samples whose signals tell near-duplicates


@dataclass(frozen=True, eq=False)
class Scored:
    """The curves of one method and one baseline.

    answers: what f is, first the one that decides.  differences: f(x) - f(x₀) by answer, (batch,); also of the score, which
    decides nothing where classes have a margin.  cosines: of the selected signals of each example, (batch, domains, domains).
    several: see `Evidence`.
    maps: of each domain and of the random rotation; none where parts were joined.
    """

    protocol: Protocol
    families: tuple[str, ...]
    answers: tuple[Answer, ...]
    curves: dict[Cell, Curves]
    differences: Mapping[Answer, Numbers]
    cosines: Numbers
    several: tuple[int, ...] = ()
    maps: Mapping[str, Attribution] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence["Scored"]) -> "Scored":
        """The parts of several batches of examples, in their order, with the same protocol."""
        first = parts[0]
        curves = {cell: np.concatenate([part.curves[cell] for part in parts]) for cell in first.curves}
        differences = {name: np.concatenate([part.differences[name] for part in parts]) for name in first.differences}
        cosines = np.concatenate([part.cosines for part in parts])
        return replace(first, curves=curves, differences=differences, cosines=cosines, maps={})

    def evidence(self, unit: Sequence[Hashable]) -> Evidence:
        """As conclusions need it."""
        names, kinds = self.protocol.names, self.protocol.kinds
        return Evidence(self.curves, self.differences, names, self.families, kinds, self.answers, unit, self.several)

    def conclusion(self, unit: Sequence[Hashable], method: str, baseline: str) -> Conclusion:
        """What can be said.  unit: of each example."""
        found = conclude(self.evidence(unit), self.cosines.mean(0), self.admission(unit), method, baseline)
        return replace(found, gain=self.admission(unit, "coefficient"))

    def admission(self, unit: Sequence[Hashable], less: str = "") -> Admission:
        """Whether the error answers to noise in the map; own family, first kind of budget.

        less: a control, whose error is taken off each error. Of |z - z₀|, these are gains with their sign turned.
        """
        held = self.evidence(unit)

        def each(control: str) -> Numbers:
            return np.stack([held.error(n, control, [OWN], held.kinds[0], held.answers[0]) for n in held.domains], 1)

        off = each(less) if less else 0.0
        errors = each("attribution") - off
        chance = (each("random") - off).mean(1)
        mixed = [(each(f"noise {dose}") - off).mean(1) for dose in self.protocol.doses]
        doses = [errors.mean(1), *mixed, *([] if self.protocol.whole else [chance])]
        return admission(np.stack(doses, 1), chance, errors)


@dataclass(frozen=True, eq=False)
class Run:
    """A protocol with its domains, a random rotation among them, and its families."""

    protocol: Protocol
    domains: dict[str, Transform]
    families: dict[str, Family]

    def scored(
        self, model: Any, x: Tensor, target: Target, method: Method, baseline: Any, engine: Engine, asked: dict[str, Any]
    ) -> Scored:
        """Makes the maps of all domains from one gradient stream, and scores them and their controls."""
        how = {"method": method, "baseline": baseline, "seed": self.protocol.seed, "transform": list(self.domains.values())}
        maps = dict(zip(self.domains, attribute(model, x, target, **how, **asked)))
        blind: Mapping[str, Attribution] = {}
        if self.protocol.controls and isinstance(model, nn.Module) and any(True for _ in model.parameters()):
            twin = shuffled_for(method, model, x, self.protocol.seed)
            blind = dict(zip(self.domains, attribute(twin, x, target, **how, **asked)))
        return self.judge(maps, blind, engine)

    def judge(
        self, maps: Mapping[str, Attribution], blind: Mapping[str, Attribution], engine: Engine, few: int | None = None
    ) -> Scored:
        """The curves of all maps, the random rotation's among them, and of controls.

        blind: maps of a shuffled model.  few: the oracle takes the first `few` examples, by default as the protocol says.
        """
        few = min(self.protocol.oracle if few is None else few, len(next(iter(maps.values()))))
        curves: dict[Cell, Curves] = {}
        first = next(iter(maps.values()))
        x = first.transform.inverse(first.coefficients)
        base = first.transform.inverse(first.coefficients - first.displacement)
        ends = torch.stack([x, base], 1)
        check = read_checked(engine, ends)
        choose_form(check, engine.count.planned, gradients=False, invariant=True)
        with engine.prepared.numerics():
            answers: tuple[Answer, ...] = ()
            known: Answers | None = None
            for name, one in maps.items():
                orders = {"shuffled_model": blind[name].values.abs()} if blind else {}
                judged = Judged(one, engine, ends, check.known, self.protocol.seed, orders=orders)
                if known is not None:
                    judged.answers_at_ends = known  # all domains share x and x₀
                known = judged.answers_at_ends
                answers = answers or _answers(judged)
                curves |= self._curves(judged, name, answers) | self._oracle(judged, name, answers, few)
        check.finish()
        ends_of = ((answer, judged.at_ends(answer)) for answer in _with_score(answers))
        found: dict[Answer, Numbers] = {answer: (at[0] - at[1]).double().cpu().numpy() for answer, at in ends_of}
        chosen = [maps[name] for name in self.protocol.names]
        said = answers, curves, found, _cosines(chosen), self.protocol.several(first.transform), maps
        return Scored(self.protocol, tuple(self.families), *said)

    def _curves(self, judged: Judged, name: str, answers: tuple[Answer, ...]) -> dict[Cell, Curves]:
        """The curves of one domain."""
        protocol, own = self.protocol, dict[str, Family | None]({OWN: None})
        grid, home = (Grid(protocol.budgets, protocol.kinds, each) for each in (answers, _with_score(answers)))
        one = replace(home, kinds=protocol.kinds[:1])
        away = {family: each for family, each in self.families.items() if family != name}
        found = grid.curves(judged, name, "attribution", away)
        if name == ROTATION and not protocol.whole:
            return found
        found |= (home if protocol.whole else one).curves(judged, name, "attribution", own)
        for control in [each for each in BLIND if each != "shuffled_model" or each in judged.orders]:
            found |= grid.curves(judged, name, control, {NEUTRAL: self.families[NEUTRAL]})
        for control in ("coefficient", *protocol.random):
            found |= one.curves(judged, name, control, own)
        if name != ROTATION:
            judged.orders.update(_noisy(judged.attribution, protocol.doses, protocol.seed))
            for dose in protocol.doses:
                found |= one.curves(judged, name, f"noise {dose}", own)
        return found

    def _oracle(self, judged: Judged, name: str, answers: tuple[Answer, ...], count: int) -> dict[Cell, Curves]:
        """The curves of the greedy oracle, of the first `count` examples and the budgets that it reaches; else NaN."""
        protocol, own = self.protocol, judged.attribution
        reached = protocol.reached(own.transform)
        if not (protocol.oracle and reached):
            return {}
        curve = np.full((len(own), len(protocol.budgets), 2), np.nan)
        if count:
            few = Judged(own[:count], judged.engine, judged.ends[:count], judged.known[:, :count], protocol.seed)
            few.answers_at_ends = Answers.of(judged.answers_at_ends.table[:, :count])
            few.orders["oracle"] = greedy_order(few, coefficient_count(max(reached), own.transform))
            grid = Grid(reached, protocol.kinds[:1], answers[:1])
            [found] = grid.curves(few, name, "oracle", {OWN: None}).values()
            curve[:count, [protocol.budgets.index(budget) for budget in reached]] = found
        return {Cell(name, "oracle", OWN, protocol.kinds[0], answers[0]): curve}


def _answers(judged: Judged) -> tuple[Answer, ...]:
    """What f is, first the one that decides: the logit difference to the runner-up, or the score; and the probability."""
    ends = judged.answers_at_ends
    main: Answer = "score" if bool(ends.margin.isnan().any()) else "margin"
    return (main,) if bool(ends.probability.isnan().any()) else (main, "probability")


def _with_score(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """The answers, and the score, of which shares are kept and removed."""
    return tuple(dict.fromkeys((*answers, "score")))


def _noisy(one: Attribution, doses: Sequence[float], seed: int) -> dict[str, Tensor]:
    """|(1 - λ) a + λ · noise| for several λ, the noise as large as a; keyed by seed and content."""
    names = keys(one.coefficients)
    noise = fill(torch.empty_like(one.values), Tensor.normal_, seed, names, ["noise"] * len(names))
    size = one.values.flatten(1).square().mean(1).sqrt().reshape(-1, *[1] * (noise.ndim - 1))
    return {f"noise {dose}": ((1 - dose) * one.values + dose * size * noise).abs() for dose in doses}


def _cosines(maps: Sequence[Attribution]) -> Numbers:
    """Cosines of the signals that the first coefficients of each map give, (batch, domains, domains)."""
    kept = [one.transform.inverse(one.displacement * one.keep_mask(_SELECTED)).flatten(1).cpu().double() for one in maps]
    unit = torch.stack([each / each.norm(dim=1, keepdim=True).clamp(min=torch.finfo(each.dtype).tiny) for each in kept])
    found = torch.einsum("aen,ben->eab", unit, unit)
    found.diagonal(dim1=1, dim2=2).fill_(1)
    return np.asarray(found.numpy())
