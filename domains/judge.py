"""What examples cost in domains that were fitted without them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ..transforms import Transform
from .judging import selection_error
from .objectives import Objective
from .pairs import Pairs, picked
from .streams import COEFFICIENT, FITTED, Streams


class Judge:
    """The cost of an example in a domain: the selection error of the model, or the objective where there is no model."""

    def __init__(self, streams: Streams, objective: Objective) -> None:
        self._streams, self._objective = streams, objective
        self.name = f"objective {objective.name}" if streams.model is None else "selection error"

    def table(self, members: Tensor, fit: Tensor, domains: Mapping[str, Transform]) -> pd.DataFrame:
        """One row for each of some examples: example, group, and its cost in each domain.

        fit: the examples that the domains were fitted on. Where a model judges, the column coefficient is the cost in the
        domain `fitted` when coefficients are chosen by |z - z₀|.
        """
        pairs = self._streams.pairs
        if self._streams.model is None:
            found = {name: self._objective.costs(T, pairs[members], pairs[fit]) for name, T in domains.items()}
        else:
            found = self.errors(pairs, members, domains)
            own = {COEFFICIENT: domains[FITTED]} if FITTED in domains else {}
            found |= self.errors(pairs, members, own, ranking="coefficient") if own else {}
        columns = {name: cost.detach().cpu().double().numpy() for name, cost in found.items()}
        return pd.DataFrame({"example": members.cpu().numpy(), "group": pairs.group[members].cpu().numpy(), **columns})

    def errors(self, pairs: Pairs, members: Tensor, domains: Mapping[str, Transform], **options: Any) -> dict[str, Tensor]:
        """The selection errors of the model for some examples of `pairs`, {name: (members,)}.

        Domains that are the same are judged once.  options: as in `selection_error`.
        """
        model, own, found = self._streams.model, pairs[members], dict[str, list[Tensor]]()
        assert model is not None
        known = {name: identity(T, own.displacement) for name, T in domains.items()}
        first = {known[name]: name for name in reversed(list(domains))}
        distinct = {name: domains[name] for name in first.values()}
        for part in torch.arange(len(members)).split(own.per_block):
            target: Any = picked(self._streams.target, members[part], len(pairs))
            for name, errors in selection_error(model, own[part], distinct, target, **self._streams.options, **options).items():
                found.setdefault(name, []).append(errors)
        return {name: torch.cat(found[first[known[name]]]) for name in domains}


def identity(transform: Transform, like: Tensor) -> tuple[str, bytes]:
    """What a transform is known by: its spec, and its coefficients of one random signal, as a spec may name no matrices.

    like: a tensor of the precision and on the device of the signals.
    """
    drawn = torch.randn(1, *transform.shape, generator=torch.Generator().manual_seed(0)).to(like)
    return transform.spec, transform(drawn).detach().cpu().numpy().tobytes()


def dealt(group: Tensor, count: int, seed: int) -> list[Tensor]:
    """The examples of each of `count` folds; groups are dealt in an order that depends only on their numbers and the seed.

    Raises: ValueError for fewer groups than folds.
    """
    names = group.unique()
    if len(names) < count:
        raise ValueError(f"fit_domain: expected at least {count} groups for {count} folds, got {len(names)}; take fewer folds.")
    order = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).to(names.device)]
    return [torch.isin(group, order[fold::count]).nonzero()[:, 0] for fold in range(count)]
