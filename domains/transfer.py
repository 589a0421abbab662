"""How domains that were fitted to one model do on another one, on other data, or on another kind of signal."""

from collections.abc import Mapping

import pandas as pd
import torch

from ..metrics.statistics import holm
from ..transforms import BlockLinear, SubbandLinear, Transform, get
from .fit import FittedDomain
from .judge import Judge, dealt
from .judging import contrast
from .objectives import get_objective
from .streams import FITTED, TWIN, Streams

OWN = "own"
LEVEL = 0.05  # chance that any pair of a matrix is marked falsely


def transfer(found: Mapping[str, FittedDomain], streams: Mapping[str, Streams]) -> pd.DataFrame:
    """What the examples of every model cost in the domains that were fitted to every other one.

    One row for each example and model whose domain judges it: fitted_on, judged_on, example, group, error, and own, its cost in
    the domain that was fitted to its own model, and twin, in that which was fitted to its own data without a model. In a fold
    the domains are those that were fitted without it, so that models with the same data, and the same groups, may be compared
    too. Pairs are left out where the domain does not exist for the other shape.

    found: {model: result of `fit_domain`}, all with the same number of folds and seed.  streams: {model: its streams}.
    Raises: ValueError where folds or seeds differ, or for a model that is called own or twin.

    >>> x = torch.randn(12, 1, 8, generator=torch.Generator().manual_seed(0))
    >>> made = {name: Streams.of(f, x) for name, f in {"sum": lambda x: x.sum((1, 2)), "end": lambda x: x[:, 0, 7]}.items()}
    >>> found = {name: pb.fit_domain(one, ["pixel", "dct"], folds=3) for name, one in made.items()}
    >>> transfer(found, made).groupby(["fitted_on", "judged_on"])["error"].count().tolist()
    [12, 12, 12, 12]
    """
    if taken := {OWN, TWIN} & set(found):
        raise ValueError(f"transfer: a model cannot be called {' or '.join(sorted(taken))}, as columns are; rename it.")
    ways = {(one.settings["folds"], one.settings["seed"]) for one in found.values()}
    if len(ways) != 1:
        raise ValueError(f"transfer: expected results of one number of folds and one seed, got {sorted(ways)}.")
    ((folds, seed),) = ways
    rows = []
    for judged_on, own in found.items():
        parts, judge = dealt(streams[judged_on].pairs.group, folds, seed), _judge(own, streams[judged_on])
        for fold, part in enumerate(parts):
            domains = _moved({name: one.domains[fold][FITTED] for name, one in found.items()}, own.settings["shape"])
            others = domains | {OWN: own.domains[fold][FITTED], TWIN: own.domains[fold][TWIN]}
            rest = torch.cat([other for number, other in enumerate(parts) if number != fold])
            table = judge.table(part, rest, others)
            melted = table.melt(["example", "group", OWN, TWIN], list(domains), "fitted_on", "error")
            rows.append(melted.assign(judged_on=judged_on, fold=fold))
    return pd.concat(rows, ignore_index=True)


def transfer_matrix(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each pair of models, from the rows of `transfer`: error, and how much less own and twin cost.

    over_own, over_twin: error minus that of the own fitted domain, or of the own model-blind twin; low, high, p and detectable
    of each as in `contrast`, by groups.
    """
    rows = []
    for (fitted_on, judged_on), part in table.groupby(["fitted_on", "judged_on"], sort=False):
        row = {"fitted_on": fitted_on, "judged_on": judged_on, "error": part["error"].mean()}
        for other in (OWN, TWIN):
            one, two, group = (part[name].to_numpy() for name in (other, "error", "group"))
            told = contrast(one.astype(float), two.astype(float), group)
            row[f"over_{other}"] = told.pop("difference")
            row |= {f"{name}_{other}": value for name, value in told.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def differing(matrix: pd.DataFrame) -> pd.Series:
    """Whether the error of each pair differs from that of the own domain: p_own ≤ 0.05 after Holm over all pairs of the matrix.

    matrix: of `transfer_matrix`.

    >>> made = {"fitted_on": ["a", "b", "a", "b"], "judged_on": ["a", "a", "b", "b"], "p_own": [1.0, 0.01, 0.04, 1.0]}
    >>> differing(pd.DataFrame(made)).tolist()  # 0.04 of two pairs is enough, since the other one is claimed first
    [False, True, True, False]
    """
    others = matrix["fitted_on"] != matrix["judged_on"]
    found = others.copy()
    found[others] = holm(matrix.loc[others, "p_own"]) <= LEVEL
    return found


def _judge(found: FittedDomain, streams: Streams) -> Judge:
    return Judge(streams, get_objective(found.settings["objective"]))


def _moved(domains: Mapping[str, Transform], shape: list[int]) -> dict[str, Transform]:
    """The domains for signals of another shape, those that exist there."""
    made = {}
    for name, domain in domains.items():
        try:
            made[name] = for_shape(domain, tuple(shape))
        except ValueError:
            continue
    return made


def for_shape(domain: Transform, shape: tuple[int, ...]) -> Transform:
    """A domain for signals of another shape: with the same spec, or the same matrices on groups of the same size.

    Raises: ValueError where it does not exist there.

    >>> for_shape(get("dwt(db2, level=2)", (1, 16)), (1, 8, 8)).spec
    'dwt(db2, level=2, mode=periodization)'
    """
    if domain.shape == shape:
        return domain
    if isinstance(domain, BlockLinear):
        block = list(domain.block) if len(shape) == len(domain.shape) else 0
        return BlockLinear(shape, domain.matrices["block"], block, domain.overlap)
    if isinstance(domain, SubbandLinear):
        return SubbandLinear(shape, domain.matrices, domain.inner.spec)
    return get(domain.spec, shape)
