"""`fit_domain`: a domain fitted to what a model reads in a data set, and judged on examples that it has not seen."""

import json
from collections.abc import Callable, Iterator, Sequence
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
from ..transforms import Transform
from ..transforms.grouped import Grouped
from .families import Family, get_family
from .judging import contrast, selection_error
from .objectives import Objective, get_objective
from .pairs import Pairs, picked
from .streams import FITTED, TWIN, Streams

Source = Attribution | Sequence[Attribution] | tuple[Callable[..., Any], Tensor] | Streams


@dataclass(frozen=True, eq=False)
class FittedDomain:
    """A domain that a search found, and what the same search finds without the model.

    transform: fitted on all groups but those of the first fold, and chosen on these.  twin: the same from x - x₀ alone.
    judged: one row for each example, judged where it was in the third part: example, group, fold, and what it costs in the
    domain that was fitted without it, for each search: fitted, twin, and the controls; less is better.
    contrasts: one row for each pair of searches: domain, against, difference (how much less the domain costs), low, high, p,
    groups, detectable.  candidates: one row for each: fold (-1 for `transform` and `twin`), search, candidate, choose, its mean
    cost on the part that chooses, chosen, whether it was, and fit, its cost on the part that it was fitted on if it was.
    settings: family, objective, judge, seed.

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
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether the fitted domain beats its model-blind twin on examples it has not seen: the 95 % interval is above 0."""
        return bool(self.against(TWIN)["low"] > 0)

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
        rows = self.contrasts[(self.contrasts["domain"] == FITTED) & (self.contrasts["against"] != TWIN)]
        return list(rows[~(rows["low"] > 0)]["against"])

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
    parts = _folds(streams.pairs.group, check_count("fit_domain", "folds", folds, 3), seed)
    with reporter(progress) as report:
        run = _Run(chosen, cost, streams, parts, seed, report)
        table = pd.concat([run.fold(number) for number in range(len(parts))]).sort_values("example", ignore_index=True)
        final = [run.search(-1, name, torch.cat(parts[1:]), parts[0]) for name in (FITTED, TWIN)]
    settings = {"family": chosen.name, "objective": cost.name, "judge": run.judge.name, "folds": len(parts), "seed": seed}
    contrasts = _contrasts(table, list(run.searches), seed)
    return FittedDomain(final[0], final[1], table, contrasts, pd.DataFrame(run.rows), settings)


class _Run:
    """All searches of one call.  rows: one for each candidate so far."""

    def __init__(
        self, family: Family, objective: Objective, streams: Streams, parts: list[Tensor], seed: int, report: Progress | None
    ) -> None:
        self._family, self._objective, self._pairs, self._seed = family, objective, streams.pairs, seed
        self._parts, self._report, self._done = parts, report, 0
        self.searches, self.judge, self.rows = streams.searches(seed), _Judge(streams, objective), list[dict[str, Any]]()

    def fold(self, number: int) -> pd.DataFrame:
        """What the examples of one fold cost in the domains that each search fits on the others."""
        after = (number + 1) % len(self._parts)
        fit = torch.cat([part for place, part in enumerate(self._parts) if place not in (number, after)])
        domains = {name: self.search(number, name, fit, self._parts[after]) for name in self.searches}
        return self.judge(self._pairs, self._parts[number], fit, domains).assign(fold=number)

    def search(self, fold: int, name: str, fit: Tensor, choose: Tensor) -> Transform:
        """The candidate, fitted on one part, that costs least on another; a row for each goes into `rows`."""
        first, second = self.searches[name][fit], self.searches[name][choose]
        best: tuple[float, Transform, dict[str, Any]] | None = None
        for how, candidate in self._family.candidates(first, self._objective, self._seed):
            cost = float(self._objective.costs(candidate, second, first).mean())
            row = {"fold": fold, "search": name, "candidate": how, "choose": cost, "chosen": False}
            self.rows.append(row)
            best = (cost, candidate, row) if best is None or cost < best[0] else best
        if best is None:
            raise ValueError(f"fit_domain: {self._family.name} has no member for signals of shape {self._pairs.shape}.")
        best[2].update(chosen=True, fit=float(self._objective.costs(best[1], first, first).mean()))
        self._done += 1
        if self._report is not None:
            self._report(self._done, len(self._parts) * len(self.searches) + 2)
        return best[1]


def _streams(source: Source, target: Target, groups: Any, seed: int, options: dict[str, Any]) -> Streams:
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Tensor):
        return Streams.of(*source, target, groups=groups, seed=seed, **options)
    if options or target is not None:
        what = f"expected target and {', '.join(options) or 'options'} only with (model, x)"
        raise TypeError(f"fit_domain: {what}; attributions are already made.")
    return source if isinstance(source, Streams) else Streams(Pairs.of(source, groups))


def _folds(group: Tensor, count: int, seed: int) -> list[Tensor]:
    """The examples of each fold; groups are dealt in random order."""
    names = group.unique()
    if len(names) < count:
        raise ValueError(f"fit_domain: expected at least {count} groups for {count} folds, got {len(names)}; take fewer folds.")
    dealt = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).to(names.device)]
    return [torch.isin(group, dealt[fold::count]).nonzero()[:, 0] for fold in range(count)]


class _Judge:
    """What an example costs in a domain: the selection error of the model, or the objective where there is no model."""

    def __init__(self, streams: Streams, objective: Objective) -> None:
        self._streams, self._objective = streams, objective
        self.name = f"objective {objective.name}" if streams.model is None else "selection error"

    def __call__(self, pairs: Pairs, members: Tensor, fit: Tensor, domains: dict[str, Transform]) -> pd.DataFrame:
        own = pairs[members]
        if self._streams.model is None:
            found = {name: self._objective.costs(T, own, pairs[fit]) for name, T in domains.items()}
        else:
            found = dict[str, Tensor]()
            for part in torch.arange(len(members)).split(own.per_block):
                target: Any = picked(self._streams.target, members[part], len(pairs))
                errors = selection_error(self._streams.model, own[part], domains, target, **self._streams.options)
                found = {name: torch.cat([found[name], e]) if name in found else e for name, e in errors.items()}
        columns = {name: cost.detach().cpu().double().numpy() for name, cost in found.items()}
        return pd.DataFrame({"example": members.cpu().numpy(), "group": own.group.cpu().numpy(), **columns})


def _contrasts(judged: pd.DataFrame, searches: list[str], seed: int) -> pd.DataFrame:
    """The fitted domain against every other search, and every control against the twin."""
    asked = [(FITTED, other) for other in searches[1:]] + [(other, TWIN) for other in searches[2:]]
    column: Callable[[str], np.ndarray] = lambda name: judged[name].to_numpy(dtype=float)
    group = judged["group"].to_numpy()
    rows: Iterator[dict[str, Any]] = (
        {"domain": one, "against": other, **contrast(column(one), column(other), group, seed)} for one, other in asked
    )
    return pd.DataFrame(rows)
