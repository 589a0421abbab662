"""`fit_domain`: a domain fitted to what a model reads in a data set, and judged on examples that it has not seen."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..attribution import Attribution
from ..attribution.engine.score import Target
from ..core.checks import check_count, check_seed, quoted
from ..core.files import write_text
from ..core.progress import Progress, reporter
from ..core.registry import Registry
from ..metrics.statistics import ENOUGH
from ..transforms import Transform
from ..transforms.grouped import Grouped
from .families import Family, families, get_family
from .judge import Judge, dealt
from .judging import contrast
from .objectives import Objective, get_objective, objectives
from .pairs import Pairs
from .streams import COEFFICIENT, FITTED, RANDOMISED, TWIN, Streams

Source = Attribution | Sequence[Attribution] | tuple[Callable[..., Any], Tensor] | Streams


@dataclass(frozen=True, eq=False)
class FittedDomain:
    """A domain that a search found, and what the same search finds without the model.

    transform: fitted on all groups but those of the first fold, and chosen on these.  twin: the same from x - x₀ alone.
    judged: one row for each example, judged where it was in the third part: example, group, fold, and what it costs in the
    domain that was fitted without it, for each search: fitted, twin, and the controls; less is better. Where a model judges,
    coefficient is the cost in the fitted domain when coefficients are chosen by |z - z₀| and not by |a|.
    domains: for each fold {search: transform}, fitted and chosen without it.
    contrasts: one row for each pair of searches: domain, against, difference (how much less the domain costs), low, high, p,
    groups, detectable; against coefficient it is the gain.
    candidates: one row for each: fold (-1 for `transform` and `twin`), search, candidate, choose, its mean cost on the part
    that chooses, model, its error there if the model chose, chosen, whether it was, and fit, its cost on the part that it was
    fitted on if it was.  settings: those of the call, shape, and the number of candidates of a search.

    >>> x = torch.randn(12, 1, 8, generator=torch.Generator().manual_seed(0))
    >>> found = pb.fit_domain((lambda x: x.pow(2).flatten(1).sum(1), x), family="menu", folds=3)
    >>> found.counts, len(found.judged)
    (False, 12)
    """

    transform: Transform
    twin: Transform
    judged: pd.DataFrame
    contrasts: pd.DataFrame
    candidates: pd.DataFrame
    domains: Sequence[Mapping[str, Transform]] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether the fitted domain beats its model-blind twin on examples it has not seen: the 95 % interval is above 0, of at
        least 20 groups."""
        row = self.against(TWIN)
        return bool(row["low"] > 0 and row["groups"] >= ENOUGH)

    def against(self, other: str, domain: str = FITTED) -> dict[str, Any]:
        """The row of `contrasts` for two searches.  Raises: ValueError where there is none."""
        rows = self.contrasts[(self.contrasts["domain"] == domain) & (self.contrasts["against"] == other)]
        if not len(rows):
            raise ValueError(f"against: expected one of {', '.join(self.contrasts['against'])}; got {quoted(other)}.")
        return dict(rows.iloc[0])

    def __str__(self) -> str:
        row = self.against(TWIN)
        if (self.judged[FITTED] == self.judged[TWIN]).all():
            said = "in every fold the search returned its model-blind twin, so nothing of the model was found"
            return f"{self.settings['family']} fitted on {self.settings['objective']} does not count: {said}."
        verdict = "counts" if self.counts else "does not count"
        interval = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}, p = {row['p']:.2g})"
        one = f"The {self.settings['judge']} is lower than that of its model-blind twin by"
        said = f"{self.settings['family']} fitted on {self.settings['objective']}: {self.transform.title} {verdict}. "
        said += f"{one} {interval} in {int(row['groups'])} groups"
        said += f"; a difference of {row['detectable']:.3f} would have been seen."
        equal = self.not_beaten
        return said + (f" It is not shown to be better than what controls find: {', '.join(equal)}." if equal else "")

    @property
    def not_beaten(self) -> list[str]:
        """The controls than whose domains the fitted one is not shown to be better: what it gains they may have too."""
        others = ~self.contrasts["against"].isin([TWIN, COEFFICIENT])
        rows = self.contrasts[(self.contrasts["domain"] == FITTED) & others]
        return list(rows[~((rows["low"] > 0) & (rows["groups"] >= ENOUGH))]["against"])

    def save(self, folder: str | Path) -> None:
        """Writes the tables, the settings, and the matrices of grouped transforms (.safetensors) into a folder."""
        folder = Path(folder)
        for name, frame in (("judged", self.judged), ("contrasts", self.contrasts), ("candidates", self.candidates)):
            write_text(folder / f"{name}.csv", frame.to_csv(index=False))
        specs = {}
        for name, transform in (("transform", self.transform), ("twin", self.twin)):
            specs[name] = transform.spec
            if isinstance(transform, Grouped):
                transform.save(folder / f"{name}.safetensors")
                specs[name] = transform.spec_of(folder / f"{name}.safetensors")
        write_text(folder / "settings.json", json.dumps(self.settings | specs | {"counts": self.counts}, indent=1) + "\n")


def fit_domain(
    source: Source,
    family: str | Family | Sequence[str] = "block_klt",
    objective: str | Objective = "selection",
    *,
    target: Target = None,
    groups: Any = None,
    folds: int = 5,
    shortlist: int = 0,
    seed: int = 0,
    progress: Progress | bool | None = None,
    **options: Any,
) -> FittedDomain:
    """Fits a domain to what a model reads, and judges the search on examples that it has not seen.

    For linear T one stream of gradients gives x - x₀ and ḡ once, and a = T(x - x₀) ⊙ T.adjoint(ḡ) for every T: the model
    is not run while domains are searched or trained. Groups of examples are dealt into folds. In turn each fold judges,
    the next one chooses among the candidates that the family fits on the others, so that every example is judged once, by
    a domain that was fitted and chosen without its group.

    The same search runs on x - x₀ alone (the model-blind twin), on x - x₀ with the covectors of other groups (shuffled), and
    on the covectors of the model with the entries of each parameter in random order (randomised, where source has a model).
    The fitted domain counts only where it beats its twin. What the controls gain comes from more numbers, not from the model.

    source: attributions of a method that is linear in gradients; or (model, x), which makes them with `options` of
    `attribute` and judges by the two-sided selection error of the model instead of the objective; or `Streams`, which are
    these for several calls.
    family: menu, packets, block_klt, subband_klt or lattice, with options, as "block_klt(block=4)"; a list of specs; a Family.
    objective: selection, l1, entropy or expected; what candidates are trained and chosen by.
    target: as in `attribute`, with (model, x) only.  groups: one number or name for each example, such as its photo.
    shortlist: how many candidates, those that the objective likes best, the model itself chooses from, by its selection error
    on the part that chooses: 12 evaluations of the model for each of its examples and candidate. 0: the objective chooses.
    The twin never sees the model, and the randomised model chooses for itself.
    folds: at least 3.  progress: True for a bar, or a callable that takes (searches done, searches planned).
    Raises: TypeError or ValueError for attributions without a covector, fewer groups than folds, an unknown family or
    objective, or a family without a member for such signals.

    >>> x = torch.randn(48, 1, 16, generator=torch.Generator().manual_seed(0))
    >>> wave = pb.transforms.get("dct", (1, 16))
    >>> low = lambda x: wave(x)[:, 0, 1:3].pow(2).sum(1)
    >>> found = pb.fit_domain((low, x), ["pixel", "dct", "dwt(haar)"], folds=4, method="input_x_gradient")
    >>> found.transform.spec
    'dct'
    """
    chosen, cost, seed = get_family(family), get_objective(objective), check_seed("fit_domain", seed)  # type: ignore[arg-type]
    streams = _streams(source, target, groups, seed, options)
    parts = dealt(streams.pairs.group, check_count("fit_domain", "folds", folds, 3), seed)
    shortlist = check_count("fit_domain", "shortlist", shortlist, 0)
    if shortlist and streams.model is None:
        raise ValueError(f"fit_domain: shortlist={shortlist} asks the model, so source must be (model, x) or Streams with one.")
    with reporter(progress) as report:
        run = _Run(chosen, cost, streams, parts, shortlist, seed, report)
        table = pd.concat([run.fold(number) for number in range(len(parts))]).sort_values("example", ignore_index=True)
        final = [run.search(-1, name, torch.cat(parts[1:]), parts[0]) for name in (FITTED, TWIN)]
    asked = {"family": chosen.name, "asked": _asked(family, chosen, families), "objective": _asked(objective, cost, objectives)}
    settings = asked | {"judge": run.judge.name, "folds": len(parts), "seed": seed, "shortlist": shortlist}
    settings |= {"shape": list(streams.pairs.shape), "candidates": len(run.rows) // run.done}
    contrasts = _contrasts(table, list(run.searches), seed)
    return FittedDomain(final[0], final[1], table, contrasts, pd.DataFrame(run.rows), run.domains, settings)


class _Run:
    """All searches of one call.  rows: one for each candidate so far.  domains: those of the folds so far.  done: searches."""

    def __init__(
        self,
        family: Family,
        objective: Objective,
        streams: Streams,
        parts: list[Tensor],
        shortlist: int,
        seed: int,
        report: Progress | None,
    ) -> None:
        self._family, self._objective, self._streams = family.prepared(streams.pairs.shape), objective, streams
        self._seed = seed
        self._parts, self._shortlist, self._report, self.done = parts, shortlist, report, 0
        self.searches, self.judge = streams.searches(seed), Judge(streams, objective)
        self.rows, self.domains = list[dict[str, Any]](), list[dict[str, Transform]]()

    def fold(self, number: int) -> pd.DataFrame:
        """What the examples of one fold cost in the domains that each search fits on the others."""
        after = (number + 1) % len(self._parts)
        fit = torch.cat([part for place, part in enumerate(self._parts) if place not in (number, after)])
        self.domains.append({name: self.search(number, name, fit, self._parts[after]) for name in self.searches})
        return self.judge.table(self._parts[number], fit, self.domains[-1]).assign(fold=number)

    def search(self, fold: int, name: str, fit: Tensor, choose: Tensor) -> Transform:
        """The candidate, fitted on one part, that costs least on another; a row for each goes into `rows`."""
        first, second = self.searches[name][fit], self.searches[name][choose]
        listed = _Shortlist(max(1, self._shortlist))
        for how, candidate in self._family.candidates(first, self._objective, self._seed):
            cost = float(self._objective.costs(candidate, second, first).mean())
            row = {"fold": fold, "search": name, "candidate": how, "choose": cost, "chosen": False}
            self.rows.append(row)
            listed.add(cost, candidate, row)
        if not listed.found:
            raise ValueError(f"fit_domain: {self._family.name} has no member for signals of shape {self._streams.pairs.shape}.")
        transform, row = self._chosen(name, listed, choose)
        row.update(chosen=True, fit=float(self._objective.costs(transform, first, first).mean()))
        self.done += 1
        if self._report is not None:
            self._report(self.done, len(self._parts) * len(self.searches) + 2)
        return transform

    def _chosen(self, name: str, listed: "_Shortlist", choose: Tensor) -> tuple[Transform, dict[str, Any]]:
        """The best of the shortlist, by the error of the model where it may choose."""
        streams = self._streams.randomised if name == RANDOMISED else self._streams
        if not self._shortlist or name == TWIN or streams is None or streams.model is None:
            return listed.found[0][1:]
        domains = {str(number): transform for number, (_, transform, _) in enumerate(listed.found)}
        errors = Judge(streams, self._objective).errors(self.searches[name], choose, domains)
        means = [float(errors[number].mean()) for number in domains]
        for mean, (_, _, row) in zip(means, listed.found):
            row["model"] = mean
        return listed.found[int(np.argmin(means))][1:]


class _Shortlist:
    """The candidates of least cost, the least first: (cost, transform, row)."""

    def __init__(self, most: int) -> None:
        self._most, self.found = most, list[tuple[float, Transform, dict[str, Any]]]()

    def add(self, cost: float, transform: Transform, row: dict[str, Any]) -> None:
        """Keeps a candidate if it is among the best so far."""
        self.found = sorted([*self.found, (cost, transform, row)], key=lambda one: one[0])[: self._most]


def _asked(given: Any, made: Any, registry: Registry[Any]) -> str:
    """What was asked for, so that it can be built again: the spec, or the name where options have their defaults."""
    if isinstance(given, str):
        return given
    return made.name if made.name not in registry or made == registry.maker(made.name)() else repr(made)


def _streams(source: Source, target: Target, groups: Any, seed: int, options: dict[str, Any]) -> Streams:
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Tensor):
        return Streams.of(*source, target, groups=groups, seed=seed, **options)
    if options or target is not None:
        what = f"expected target and {', '.join(options) or 'options'} only with (model, x)"
        raise TypeError(f"fit_domain: {what}; attributions are already made.")
    return source if isinstance(source, Streams) else Streams(Pairs.of(source, groups))


def _contrasts(judged: pd.DataFrame, searches: list[str], seed: int) -> pd.DataFrame:
    """The fitted domain against every other search, and every control against the twin."""
    others = [*searches[1:], *([COEFFICIENT] if COEFFICIENT in judged else [])]
    asked = [(FITTED, other) for other in others] + [(other, TWIN) for other in searches[2:]]
    column: Callable[[str], np.ndarray] = lambda name: judged[name].to_numpy(dtype=float)
    group = judged["group"].to_numpy()
    rows: Iterator[dict[str, Any]] = (
        {"domain": one, "against": other, **contrast(column(one), column(other), group, seed)} for one, other in asked
    )
    return pd.DataFrame(rows)
