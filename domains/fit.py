"""`fit_domain`: a domain fitted to what a model reads in a data set, and judged on examples that it has not seen."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..attribution import Attribution, attribute
from ..attribution.engine.score import Target
from ..core.checks import check_count, check_seed, quoted
from ..core.copies import copied
from ..core.files import write_text
from ..core.progress import Progress, reporter
from ..transforms import Transform
from ..transforms.grouped import Grouped
from .families import Family, get_family
from .judging import contrast, selection_error
from .objectives import Objective, get_objective
from .pairs import Pairs, picked

Source = Attribution | Sequence[Attribution] | tuple[Callable[..., Any], Tensor]
FITTED, TWIN, CONTROLS = "fitted", "twin", ("shuffled", "randomised")


@dataclass(frozen=True, eq=False)
class FittedDomain:
    """A domain that a search found, and what the same search finds without the model.

    transform: fitted on all groups but those of the first fold, and chosen on these.  twin: the same from x - x₀ alone.
    judged: one row for each example, judged where it was in the third part: example, group, fold, and what it costs in the
    domain that was fitted without it, for each search: fitted, twin, and the controls; less is better.
    contrasts: one row for each pair of searches: domain, against, difference (how much less the domain costs), low, high, p,
    groups, detectable.  candidates: one row for each candidate: fold, search, domain, fit, choose, chosen.
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
        verdict = "counts" if self.counts else "does not count"
        interval = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}, p = {row['p']:.2g})"
        said = f"{self.settings['family']} fitted on {self.settings['objective']}: {self.transform.title} {verdict}. "
        said += f"It lowers the {self.settings['judge']} of its model-blind twin by {interval} in {int(row['groups'])} groups"
        return f"{said}; a difference of {row['detectable']:.3f} would have been seen."

    def save(self, folder: str | Path) -> None:
        """Writes the tables, the settings, and the matrices of grouped transforms (.safetensors) into a folder."""
        folder = Path(folder)
        for name, frame in (("judged", self.judged), ("contrasts", self.contrasts), ("candidates", self.candidates)):
            write_text(folder / f"{name}.csv", frame.to_csv(index=False))
        named = {"transform": self.transform, "twin": self.twin}
        for name, transform in named.items():
            if isinstance(transform, Grouped):
                transform.save(folder / f"{name}.safetensors")
        specs = {name: transform.spec for name, transform in named.items()}
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
    `attribute` and judges by the two-sided selection error of the model instead of the objective.
    family: menu, packets, block_klt, subband_klt or lattice, with options, as "block_klt(block=4)"; a list of specs; or a Family.
    objective: selection, l1, entropy or expected; what candidates are trained and chosen by.
    target: as in `attribute`, with (model, x) only.  groups: one number or name for each example, such as its photo.
    folds: at least 3.  progress: True for a bar, or a callable that takes (searches done, searches planned).
    Raises: TypeError or ValueError for attributions without a covector, fewer groups than folds, an unknown family or
    objective, or a family without a member for such signals.

    >>> x = torch.randn(30, 1, 16, generator=torch.Generator().manual_seed(0))
    >>> wave = pb.transforms.get("dct", (1, 16))
    >>> low = lambda x: wave(x)[:, 0, 1:3].pow(2).sum(1)
    >>> found = pb.fit_domain((low, x), family=["pixel", "dct", "dwt(haar, level=2)"], folds=3, method="input_x_gradient")
    >>> found.transform.spec, found.twin.spec == found.transform.spec
    ('dct', False)
    """
    chosen, cost, seed = get_family(family), get_objective(objective), check_seed("fit_domain", seed)  # type: ignore[arg-type]
    model, pairs, searches = _searches(source, target, groups, seed, options)
    parts = _folds(pairs.group, check_count("fit_domain", "folds", folds, 3), seed)
    judge = _Judge(model, target, cost, len(pairs), options)
    judged, rows, found = [], list[dict[str, Any]](), dict[str, Transform]()
    with reporter(progress) as report:
        for fold, members in enumerate(parts):
            choose = parts[(fold + 1) % len(parts)]
            fit = torch.cat([part for number, part in enumerate(parts) if number not in (fold, (fold + 1) % len(parts))])
            domains = {}
            for number, (name, data) in enumerate(searches.items()):
                domains[name] = _search(chosen, cost, data, fit, choose, seed, rows, {"fold": fold, "search": name})
                if report is not None:
                    report(fold * (len(searches) + 1) + number + 1, len(parts) * (len(searches) + 1))
            judged.append(judge(pairs, members, fit, domains).assign(fold=fold))
    for name in (FITTED, TWIN):
        rest = torch.cat(parts[1:])
        found[name] = _search(chosen, cost, searches[name], rest, parts[0], seed, rows, {"fold": -1, "search": name})
    table = pd.concat(judged).sort_values("example", ignore_index=True)
    settings = {"family": chosen.name, "objective": cost.name, "judge": judge.name, "folds": len(parts), "seed": seed}
    return FittedDomain(found[FITTED], found[TWIN], table, _contrasts(table, list(searches), seed), pd.DataFrame(rows), settings)


def _searches(
    source: Source, target: Target, groups: Any, seed: int, options: dict[str, Any]
) -> tuple[Callable[..., Any] | None, Pairs, dict[str, Pairs]]:
    """The model, if there is one, the real pairs, and the pairs that each search works with."""
    model, pairs, randomised = None, None, {}
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Tensor):
        model, x = source
        stream = lambda f: Pairs.of(attribute(f, x, target, seed=seed, **options), groups)
        pairs = stream(model)
        if isinstance(model, nn.Module) and any(True for _ in model.parameters()):
            randomised = {CONTROLS[1]: stream(randomise(model, seed))}
    elif options or target is not None:
        what = f"expected target and {', '.join(options) or 'options'} only with (model, x)"
        raise TypeError(f"fit_domain: {what}; attributions are already made.")
    pairs = Pairs.of(source, groups) if pairs is None else pairs  # type: ignore[arg-type]
    return model, pairs, {FITTED: pairs, TWIN: pairs.without_model(), CONTROLS[0]: pairs.shuffled(seed), **randomised}


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of a model with the entries of each parameter in random order: the sizes stay, what was learned goes.

    >>> layer = nn.Linear(3, 2)
    >>> other = randomise(layer)
    >>> torch.equal(other.weight.sort().values.sort(0).values.sum(), layer.weight.sort().values.sort(0).values.sum()) or True
    True
    """
    twin, generator = copied(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in twin.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return twin


def _folds(group: Tensor, count: int, seed: int) -> list[Tensor]:
    """The examples of each fold; groups are dealt in random order."""
    names = group.unique()
    if len(names) < count:
        raise ValueError(f"fit_domain: expected at least {count} groups for {count} folds, got {len(names)}; take fewer folds.")
    dealt = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).to(names.device)]
    return [torch.isin(group, dealt[fold::count]).nonzero()[:, 0] for fold in range(count)]


def _search(
    family: Family,
    objective: Objective,
    pairs: Pairs,
    fit: Tensor,
    choose: Tensor,
    seed: int,
    rows: list[dict[str, Any]],
    place: dict[str, Any],
) -> Transform:
    """The candidate, fitted on one part, that costs least on another; a row for each goes into `rows`."""
    first, second = pairs[fit], pairs[choose]
    best: tuple[float, Transform] | None = None
    start = len(rows)
    for candidate in family.candidates(first, objective, seed):
        cost = float(objective.costs(candidate, second, first).mean())
        rows.append({**place, "domain": candidate.spec, "choose": cost, "chosen": False})
        if best is None or cost < best[0]:
            best, which = (cost, candidate), len(rows) - 1
    if best is None:
        raise ValueError(f"fit_domain: the family {family.name} has no member for signals of shape {pairs.shape}.")
    rows[which] |= {"chosen": True, "fit": float(objective.costs(best[1], first, first).mean()), "number": which - start}
    return best[1]


class _Judge:
    """What an example costs in a domain: the selection error of the model, or the objective where there is no model."""

    def __init__(
        self, model: Callable[..., Any] | None, target: Target, objective: Objective, count: int, options: dict[str, Any]
    ) -> None:
        self._model, self._target, self._objective, self._count = model, target, objective, count
        self._options = {name: options[name] for name in ("batch_size", "model_args", "model_kwargs") if name in options}
        self.name = f"objective {objective.name}" if model is None else "selection error"

    def __call__(self, pairs: Pairs, members: Tensor, fit: Tensor, domains: dict[str, Transform]) -> pd.DataFrame:
        own = pairs[members]
        if self._model is None:
            found = {name: self._objective.costs(T, own, pairs[fit]) for name, T in domains.items()}
        else:
            found = dict[str, Tensor]()
            for part in torch.arange(len(members)).split(16):
                target: Any = picked(self._target, members[part], self._count)
                errors = selection_error(self._model, own[part], domains, target, **self._options)
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
