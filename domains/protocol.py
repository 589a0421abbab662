"""What the comparison protocol says of a fitted domain, on examples that it was not fitted on."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution, open_engine
from ..metrics.protocol import Protocol
from ..metrics.protocol.conclusion import Conclusion
from ..metrics.protocol.run import Run, Scored
from ..transforms import Transform
from .fit import FittedDomain
from .judging import attribution_in
from .pairs import Pairs, picked
from .streams import FITTED, TWIN, Streams

MENU, BLIND_MENU = "menu", "menu without the model"


def concluded(
    found: FittedDomain,
    streams: Streams,
    menu: FittedDomain | None = None,
    most: int | None = None,
    others: Mapping[str, str | Transform] | None = None,
    **options: Any,
) -> Conclusion:
    """The verdict of `pb.metrics.compare_domains` on the domains called fitted and twin, and the menu's with and without the
    model, each as its fold has found it.

    Removed units are replaced in families that belong to neither domain, at budgets of equal count, energy and bits; controls
    are a random rotation, |z - z₀|, coarse-first order, and the map of the randomised model. Near-duplicates form a group that
    is named after its twin: a fitted domain that selects the same signal is none of its own.

    streams: those of the search.  menu: the result of the family "menu" on them, with the same folds and seed.
    most: at most so many examples of each fold.  others: further rivals by name, the same for all folds, such as the domain
    before it was fitted.  options: of `Protocol`.
    Raises: ValueError for streams without a model, for a menu with other folds, and for others with the name of a search.

    >>> x = torch.randn(48, 1, 16, generator=torch.Generator().manual_seed(0))
    >>> streams = Streams.of(lambda x: x[:, 0, 2:5].pow(2).sum(1), x, method="input_x_gradient")
    >>> found = pb.fit_domain(streams, ["dct", "pixel"], folds=3)
    >>> said = concluded(found, streams, kinds=("count",))
    >>> said.leader, said.errors["fitted"] <= said.errors["twin"]
    ('twin', True)
    """
    if streams.model is None:
        raise ValueError("concluded: the streams have no model to ask; make them by Streams.of(model, x).")
    if menu is not None and (menu.judged[["example", "fold"]] != found.judged[["example", "fold"]]).any(axis=None):
        raise ValueError("concluded: expected a menu that was judged in the same folds; take the same folds and seed.")
    if taken := {TWIN, FITTED, MENU, BLIND_MENU} & set(others or {}):
        raise ValueError(
            f"concluded: expected others with names of their own, got {min(taken)!r}, as a domain of a search is called."
        )
    parts, group = list[Scored](), list[int]()
    for number, rows in found.judged.groupby("fold"):
        domains: dict[str, str | Transform] = {name: found.domains[number][name] for name in (TWIN, FITTED)}
        domains |= {} if menu is None else {MENU: menu.domains[number][FITTED], BLIND_MENU: menu.domains[number][TWIN]}
        for part in torch.tensor(rows["example"].tolist())[:most].split(streams.pairs.per_block):
            parts.append(_scored(Protocol({**domains, **(others or {})}, **options), streams, part))
            group += streams.pairs.group[part].tolist()
    label = f"{found.settings['family']} fitted on {found.settings['objective']}"
    return Scored.joined(parts).conclusion(group, label, "as in the streams")


def _scored(protocol: Protocol, streams: Streams, part: Tensor) -> Scored:
    """The curves of some examples."""
    pairs = streams.pairs[part]
    domains = protocol.built(pairs.shape)
    run, blind = Run(protocol, domains, protocol.removed(domains)), streams.randomised
    target: Any = picked(streams.target, part, len(streams.pairs))
    assert streams.model is not None
    with open_engine(streams.model, pairs.signal, target, **streams.options) as engine:
        engine.count.planned = len(part) * protocol.cost(pairs.shape)
        return run.judge(_maps(pairs, domains), {} if blind is None else _maps(blind.pairs[part], domains), engine)


def _maps(pairs: Pairs, domains: Mapping[str, Transform]) -> dict[str, Attribution]:
    return {name: attribution_in(transform, pairs) for name, transform in domains.items()}
