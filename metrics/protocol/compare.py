"""`compare_domains`: the whole protocol in one call."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from torch import Tensor

from ...attribution import open_engine
from ...attribution.engine.score import Target
from ...core.progress import Progress
from .comparison import DomainComparison
from .conclusion import Conclusion, Evidence, corrected
from .run import Run
from .settings import Domains, Protocol
from .table import Block


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

    Each map selects coefficients by |a|. E = ½ (|f(x_S) - f(x)| + |f(x without S) - f(x₀)|) / mean |f(x) - f(x₀)| is scored
    where what is removed is replaced in *families* that belong to none of the domains that are compared, at budgets of equal
    count, energy and bits. A domain is named only where its error is smaller than that of every other domain and of a random
    rotation, and than where |z - z₀|, coarse-first order or the map of a model with permuted parameters ranks its
    coefficients, all after Holm's correction; no kind of budget and neither the logit difference nor the
    probability says the opposite; the error is less than half of that of random rankings; and the metric is admitted: it
    answers to noise in the map as it must.

    model, x, target, batch_size, progress: as in `attribute`; for classes, a class of each example.
    domains: a `Protocol`, or its domains, with the other fields as `options`.  units: the photo of each example, that crops
    share.
    examples, data, name: what the table calls the examples, the data and the model.
    Raises: TypeError or ValueError as `attribute` does, and for fewer than two domains or wrong names.

    Source: comparison protocols: Blücher et al. 2024; controls: Adebayo et al. 2018; the rest is this project's.
    """
    protocol = domains if isinstance(domains, Protocol) else Protocol(domains, **options)
    maps = protocol.built(tuple(x.shape[1:]))
    if len(protocol.names) < 2:
        raise ValueError(f"compare_domains: expected two domains or more, got {protocol.names[0]} alone.")
    batch = len(x)
    unit, example = list(units or range(batch)), list(examples or range(batch))
    if len(unit) != batch or len(example) != batch:
        raise ValueError(
            f"compare_domains: expected a unit and a name for each of {batch} examples, got {len(unit)}, {len(example)}."
        )
    blocks, conclusions = [], list[Conclusion | None]()
    evidences: dict[tuple[str, str], Evidence] = {}
    asked: dict[str, Any] = {"batch_size": batch_size}
    run = Run(protocol, maps, protocol.removed(maps))
    with open_engine(model, x, target, progress=progress, **asked) as engine:
        engine.count.planned = batch * protocol.cost(tuple(x.shape[1:])) * len(protocol.methods) * len(protocol.baselines)
        for method in protocol.methods:
            for baseline in protocol.baselines:
                found = run.scored(model, x, target, method, baseline, engine, asked)
                if not found.differences[found.answers[0]].any():
                    what = "compare_domains: the model says the same at x and at the baseline, in every example"
                    raise ValueError(f"{what}; choose another target or baseline, since there is no decision to carry.")
                evidence = found.evidence(unit)
                label = str(method), str(baseline)
                conclusions.append(found.conclusion(unit, *label))
                evidences[label] = evidence
                written = label[0] if len(protocol.baselines) == 1 else f"{label[0]}, baseline={label[1]}"
                where = {"data": data, "model": name, "method": written}
                blocks.append(Block(found.curves, found.answers[0], found.differences, where, protocol.budgets, example, unit))
        evaluations = engine.count.forward
    known = tuple(one for one in corrected(conclusions) if one is not None)
    return DomainComparison(known, evidences, evaluations, tuple(blocks))
