"""`compare_domains`: the whole protocol in one call, and its result."""

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ...attribution import Attribution, attribute, open_engine
from ...attribution.call import BaselineLike, Method
from ...attribution.engine.engine import Engine
from ...attribution.engine.faster_form import choose_form
from ...attribution.engine.open_engine import read_checked
from ...attribution.engine.random import fill, keys
from ...attribution.engine.score import Target
from ...core.progress import Progress
from ...transforms import Transform, get
from ..judged import Judged
from ..selection import BUDGETS, Budgets
from .admission import DOSES, admission
from .conclusion import BLIND, NEUTRAL, ROTATION, Conclusion, Evidence, conclude
from .errors import Cell, Curves, Grid
from .families import OWN, USABLE
from .rotation import Rotation
from .shuffled import shuffled
from .table import COLUMNS, Block, rows

Domains = Sequence[str | Transform] | Mapping[str, str | Transform]
_RANDOM = ("random", "random_in_quantile")
_SELECTED = 0.05  # share of the samples whose signals tell near-duplicates


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how.

    domains: specs or transforms, or a mapping of names to these.  methods: specs.  baselines: x₀, as in `attribute`; a verdict must
    hold with each.  families: domains whose units are removed; None for all linear domains that are compared. A random rotation that
    is no domain is added.  budgets: shares.  kinds: of what, see `selection.counts`.
    controls: whether the map of a model with permuted parameters is one of the controls.

    >>> Protocol(("pixel", "dct")).cost((1, 8, 8))
    1128
    """

    domains: Domains
    methods: Sequence[Method] = ("integrated_gradients",)
    baselines: Sequence[BaselineLike] = (None,)
    families: Sequence[str] | None = None
    budgets: tuple[float, ...] = BUDGETS
    kinds: tuple[Budgets, ...] = ("count", "energy", "bits")
    controls: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        names = self.names
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(
                f"compare_domains: expected two domains or more with different names, got {', '.join(names)[:120]}."
            )
        if reserved := {OWN, ROTATION, NEUTRAL} & set(names):
            raise ValueError(f"compare_domains: the name {min(reserved)!r} belongs to a control; name the domain otherwise.")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the domains."""
        return tuple(each.spec if isinstance(each, Transform) else str(each) for each in self.domains)

    def built(self, shape: tuple[int, ...]) -> dict[str, Transform]:
        """The domains by name, and the random rotation that is a control."""
        given = self.domains.values() if isinstance(self.domains, Mapping) else self.domains
        found = {name: get(each, shape) for name, each in zip(self.names, given)}
        return found | {ROTATION: Rotation(shape, self.seed)}

    def removed(self, domains: Mapping[str, Transform]) -> dict[str, Transform]:
        """The families by name, without that of the selection itself."""
        asked = [name for name in self.names if USABLE in domains[name].claims] if self.families is None else self.families
        shape = domains[ROTATION].shape
        return {name: domains[name] if name in domains else get(name, shape) for name in asked} | {
            NEUTRAL: Rotation(shape, self.seed + 1)
        }

    def cost(self, shape: tuple[int, ...]) -> int:
        """The largest number of evaluations of the model for one example, method and baseline, beside those of the method."""
        domains = self.built(shape)
        families, each = self.removed(domains), 2 * len(self.budgets)
        maps = sum(1 + len(families) - (name in families) for name in domains) * len(self.kinds)
        controls = len(domains) * (2 * len(BLIND) + len(_RANDOM)) * len(self.kinds)
        return each * (maps + controls + len(self.names) * len(DOSES)) + 2 * len(domains)


@dataclass(frozen=True, eq=False)
class DomainComparison:
    """The result: a conclusion for each method and baseline, the long table, and the evaluations that it took.

    evidence: {(method, baseline): curves} for further questions.  blocks: what the table is made of.
    """

    conclusions: tuple[Conclusion, ...]
    evidence: dict[tuple[str, str], Evidence]
    evaluations: int
    blocks: tuple[Block, ...]

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row per number, with the columns `table.COLUMNS`."""
        return pd.concat(map(rows, self.blocks), ignore_index=True)[list(COLUMNS)]

    @property
    def named(self) -> dict[str, str | None]:
        """The domain that each method names: the same with every baseline, or None."""
        found: dict[str, set[str | None]] = {}
        for each in self.conclusions:
            found.setdefault(each.method, set()).add(each.named)
        return {method: next(iter(names)) if len(names) == 1 else None for method, names in found.items()}

    @property
    def sentences(self) -> list[str]:
        """The verdicts in words."""
        found = []
        for method, name in self.named.items():
            own = [each for each in self.conclusions if each.method == method]
            if name is None and any(each.named for each in own):
                said = ", ".join(f"{each.named or 'none'} with {each.baseline}" for each in own)
                found.append(f"{method}: the verdict depends on the baseline ({said}).")
            else:
                found.append(own[0].sentence)
        return found

    def pair(self, first: str, second: str, method: str | None = None) -> str:
        """The verdict about `first` against `second`, the same with every baseline.  Raises: KeyError for unknown names."""
        turned = {"better": "worse", "worse": "better"}
        found = {
            each.verdict if (each.first, each.second) == (first, second) else turned.get(each.verdict, each.verdict)
            for one in self.conclusions
            if method in (None, one.method)
            for each in one.pairs
            if {each.first, each.second} == {first, second}
        }
        if not found:
            raise KeyError(f"no verdict about {first} and {second}")
        return found.pop() if len(found) == 1 else "depends on the baseline"

    def _repr_html_(self) -> str:
        """The verdicts, and the mean errors of each domain."""
        shown = pd.DataFrame({f"{each.method}, {each.baseline}": each.errors for each in self.conclusions})
        return "".join(f"<p>{pd.io.formats.printing.pprint_thing(s)}</p>" for s in self.sentences) + str(shown.to_html())


def compare_domains(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    domains: Domains | Protocol,
    units: Sequence[Hashable] | None = None,
    examples: Sequence[Hashable] | None = None,
    data: str = "",
    name: str = "",
    batch_size: int | str = "auto",
    progress: Progress | bool | None = None,
    **options: Any,
) -> DomainComparison:
    """Which domain carries the decision of a model in the fewest units, if any: the protocol of this project.

    Each map selects coefficients by |a|. E = ½ (|f(x_S) - f(x)| + |f(x without S) - f(x₀)|) / mean |f(x) - f(x₀)| is scored where what is
    removed is replaced in *families* that belong to none of the domains that are compared, at budgets of equal count, energy and
    bits. A domain is named only where its error is smaller than that of every other domain and a tenth smaller than that of a random
    rotation, and its map better than |z - z₀|, coarse-first order and the map of a model with permuted parameters rank, all after
    Holm's correction; no kind of budget and neither the logit difference nor the probability says the opposite; the error is less
    than half of that of random rankings; and the metric is admitted: it answers to noise in the map as it must.

    model, x, target, batch_size, progress: as in `attribute`; for classes, a class of each example.
    domains: a `Protocol`, or its domains, with the other fields as `options`.  units: the photo of each example, that crops share.
    examples, data, name: what the table calls the examples, the data and the model.
    Raises: TypeError or ValueError as `attribute` does, and for fewer than two domains or wrong names.

    Source: comparison protocols: Blücher et al. 2024; controls: Adebayo et al. 2018; the rest is this project's.
    """
    protocol = domains if isinstance(domains, Protocol) else Protocol(domains, **options)
    maps = protocol.built(tuple(x.shape[1:]))
    batch = len(x)
    unit, example = list(units or range(batch)), list(examples or range(batch))
    if len(unit) != batch or len(example) != batch:
        raise ValueError(
            f"compare_domains: expected a unit and a name for each of {batch} examples, got {len(unit)}, {len(example)}."
        )
    blocks, conclusions, evidences = [], [], {}
    asked: dict[str, Any] = {"batch_size": batch_size}
    run = Run(protocol, maps, protocol.removed(maps))
    with open_engine(model, x, target, progress=progress, **asked) as engine:
        engine.count.planned = batch * protocol.cost(tuple(x.shape[1:])) * len(protocol.methods) * len(protocol.baselines)
        for method in protocol.methods:
            for baseline in protocol.baselines:
                found = run.scored(model, x, target, method, baseline, engine, asked)
                evidence = found.evidence(unit)
                label = str(method), str(baseline)
                conclusions.append(conclude(evidence, found.cosines, found.admission(unit), *label))
                evidences[label] = evidence
                written = label[0] if len(protocol.baselines) == 1 else f"{label[0]}, baseline={label[1]}"
                where = {"data": data, "model": name, "method": written}
                blocks.append(Block(found.curves, where, protocol.budgets, example, unit))
        evaluations = engine.count.forward
    return DomainComparison(tuple(conclusions), evidences, evaluations, tuple(blocks))


@dataclass(frozen=True, eq=False)
class Scored:
    """The curves of one method and one baseline.

    doses: of each domain, E with noise in the map, (doses, batch).  cosines: of selected signals, (domains, domains).
    """

    run: "Run"
    curves: dict[Cell, Curves]
    answers: tuple[str, ...]
    cosines: np.ndarray

    def evidence(self, unit: Sequence[Hashable]) -> Evidence:
        """As conclusions need it."""
        protocol = self.run.protocol
        return Evidence(self.curves, protocol.names, tuple(self.run.families), protocol.kinds, self.answers, unit)

    def admission(self, unit: Sequence[Hashable]) -> Any:
        """Whether the error answers to noise in the map; own family, first kind of budget."""
        held = self.evidence(unit)
        each = lambda control: np.mean(
            [held.error(name, control, [OWN], held.kinds[0], held.answers[0]) for name in held.domains], 0
        )
        doses = np.stack([each("attribution"), *(each(f"noise {dose}") for dose in DOSES)], 1)
        errors = [held.error(name, "attribution", [OWN], held.kinds[0], held.answers[0]) for name in held.domains]
        return admission(doses, each("random"), np.stack(errors, 1))


@dataclass(frozen=True, eq=False)
class Run:
    """A protocol with its domains, a random rotation among them, and its families."""

    protocol: Protocol
    domains: dict[str, Transform]
    families: dict[str, Transform]

    def scored(
        self, model: Any, x: Tensor, target: Target, method: Method, baseline: Any, engine: Engine, asked: dict[str, Any]
    ) -> Scored:
        """Makes the maps of all domains from one gradient stream, and scores them and their controls."""
        how = {"method": method, "baseline": baseline, "seed": self.protocol.seed, "transform": list(self.domains.values())}
        maps = dict(zip(self.domains, attribute(model, x, target, **how, **asked)))
        blind: Mapping[str, Attribution] = {}
        if self.protocol.controls and isinstance(model, nn.Module) and any(True for _ in model.parameters()):
            blind = dict(zip(self.domains, attribute(shuffled(model, self.protocol.seed), x, target, **how, **asked)))
        return self._judge(maps, blind, engine)

    def _judge(self, maps: Mapping[str, Attribution], blind: Mapping[str, Attribution], engine: Engine) -> Scored:
        """The curves of all maps and controls."""
        curves: dict[Cell, Curves] = {}
        first = next(iter(maps.values()))
        x = first.transform.inverse(first.coefficients)
        base = first.transform.inverse(first.coefficients - first.displacement)
        ends = torch.stack([x, base], 1)
        check = read_checked(engine, ends)
        choose_form(check, engine.count.planned, gradients=False, invariant=True)
        with engine.prepared.numerics():
            answers: tuple[str, ...] = ()
            for name, one in maps.items():
                orders = {"shuffled_model": blind[name].values.abs()} if blind else {}
                judged = Judged(one, engine, ends, check.known, self.protocol.seed, orders=orders)
                answers = answers or _answers(judged)
                curves |= self._curves(judged, name, answers)
        check.finish()
        chosen = [maps[name] for name in self.protocol.names]
        return Scored(self, curves, answers, _cosines(chosen))

    def _curves(self, judged: Judged, name: str, answers: tuple[str, ...]) -> dict[Cell, Curves]:
        """The curves of one domain."""
        protocol, own = self.protocol, {OWN: None}
        grid = Grid(protocol.budgets, protocol.kinds, answers)
        away = {family: each for family, each in self.families.items() if family != name}
        found = grid.curves(judged, name, "attribution", own | away)
        blind = [control for control in BLIND if control != "shuffled_model" or "shuffled_model" in judged.orders]
        for control in blind:
            found |= grid.curves(judged, name, control, own | {NEUTRAL: self.families[NEUTRAL]})
        for control in _RANDOM:
            found |= grid.curves(judged, name, control, own)
        if name != ROTATION:
            judged.orders.update(_noisy(judged.attribution, protocol.seed))
            one = Grid(protocol.budgets, protocol.kinds[:1], answers[:1])
            for dose in DOSES:
                found |= one.curves(judged, name, f"noise {dose}", own)
        return found


def _answers(judged: Judged) -> tuple[str, ...]:
    """What f is, first the one that decides: the logit difference to the runner-up, or the score; and the probability."""
    ends = judged.answers_at_ends
    main = "score" if bool(ends.margin.isnan().any()) else "margin"
    return (main,) if bool(ends.probability.isnan().any()) else (main, "probability")


def _noisy(one: Attribution, seed: int) -> dict[str, Tensor]:
    """|(1 - λ) a + λ · noise| for several λ, the noise as large as a; keyed by seed and content."""
    names = keys(one.coefficients)
    noise = fill(torch.empty_like(one.values), Tensor.normal_, seed, names, ["noise"] * len(names))
    size = one.values.flatten(1).square().mean(1).sqrt().reshape(-1, *[1] * (noise.ndim - 1))
    return {f"noise {dose}": ((1 - dose) * one.values + dose * size * noise).abs() for dose in DOSES}


def _cosines(maps: Sequence[Attribution]) -> np.ndarray:
    """Cosines of the signals that the first coefficients of each map give, means over examples, (domains, domains)."""
    kept = [one.transform.inverse(one.displacement * one.keep_mask(_SELECTED)).flatten(1) for one in maps]
    unit = torch.stack([each / each.norm(dim=1, keepdim=True).clamp(min=torch.finfo(each.dtype).tiny) for each in kept])
    found = torch.einsum("aen,ben->abe", unit, unit).mean(2).double().cpu().numpy()
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)
