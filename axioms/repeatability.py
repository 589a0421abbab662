"""Linearity in the model, independence of the batch, and the same answer to the same question."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..attribution.engine.check_model import feed_dtype
from ..core.isolation import random_state
from .outcome import Outcome, compare, inapplicable, worse
from .rewrites.modules import Combined, small_network
from .trial import Case, Trial

_TELLING = 0.2  # a tolerance above this would let pass what is broken in substance
_COMPANION = 7_919  # the seeds from here on: networks that no one else draws
_TOLD = 5  # reported map errors are right within 2 on nine paths of ten; of 80 small networks the worst was 5 times off


def linearity(trial: Trial) -> Outcome:
    """a(f + q h) = a(f) + q a(h), with a small random network h of the same outputs, and q that makes both weigh alike.

    A method that chooses its nodes by looking at f is asked twice: with nodes that all three share, where rounding is all
    that is granted, and with its own choice, where a few times the errors are granted that it reports of its three maps.
    """
    case, answer = trial.case, trial.steady_answer
    try:
        other, added = _companion(trial)
        if not bool(added.any()):
            return inapplicable("the method gives a small random network nothing, so that nothing is added")
        weight = _size(answer) / _size(added) or 1.0
        combined = replace(case, model=Combined(case.model, other.model, weight).eval())
        reason = _not_additive(trial, weight, case, other, combined)
    except (AttributeError, TypeError) as error:
        return inapplicable(f"outputs of this model cannot be added: {error}")
    if reason:
        return inapplicable(reason)
    names = ("a(f) + q a(h)", "a(f + q h)")
    shared = compare(answer + weight * added, trial.steady(combined), trial.limit, case, names)
    if not trial.chooses or trial.own is None:
        return shared
    parts = [trial.found, trial.attribution(other, trial.own), trial.attribution(combined, trial.own)]
    weighted = [one.values * factor for one, factor in zip(parts, (1.0, weight, 1.0))]
    errors = [
        float((values.flatten(1).norm(dim=1) * one.details["map_error"] / weighted[2].flatten(1).norm(dim=1)).max())
        for values, one in zip(weighted, parts)
    ]
    slack = (
        trial.limit
        if trial.override is not None
        else trial.limit.plus(_TOLD * sum(errors), f"{_TOLD:g} times the reported map errors")
    )
    return worse([shared, compare(weighted[0] + weighted[1], weighted[2], slack, case, names)])


def _companion(trial: Trial) -> tuple[Case, Tensor]:
    """The question about a small network, and its map: the first of a few networks that responds to every example."""
    for seed in range(_COMPANION, _COMPANION + 8):
        other = replace(trial.case, model=companion(trial.case, seed))
        added = trial.steady(other)
        if bool(added.flatten(1).any(1).all()):
            break
    return other, added


def _size(values: Tensor) -> float:
    """‖values‖, of very small and large ones too."""
    wide = values.double()
    unit = float(wide.abs().max())
    return unit * float((wide / (unit or 1.0)).norm())


def companion(case: Case, seed: int) -> nn.Module:
    """A small random network with outputs of the model's shape. It is cheap beside the model."""
    shape: tuple[int, ...] = ()

    def look(output: Tensor) -> Tensor:
        nonlocal shape
        shape = tuple(output.shape[1:])
        return output.flatten(1).sum(1) if len(shape) else output

    replace(case, target=look, x=case.x[:1], base=case.base[:1]).scores()
    network = small_network(tuple(case.x.shape[1:]), classes=max(1, torch.Size(shape).numel()), width=4, seed=seed)
    last: nn.Module = nn.Flatten(0) if not shape else nn.Unflatten(1, shape)
    return nn.Sequential(network, last).to(case.x).to(feed_dtype(case.model, case.x.dtype)).eval()


def _not_additive(trial: Trial, weight: float, *cases: Case) -> str:
    """Why the score of the combined model is not the sum of scores; "" where it is."""
    one, two, both = (trial.scores(case)[0] for case in cases)
    apart = (both - (one + weight * two)).abs().max() / (one.abs() + (weight * two).abs()).max().clamp(min=1e-300)
    rounding = 8 * torch.finfo(feed_dtype(cases[0].model, cases[0].x.dtype)).eps
    return "" if float(apart) <= max(1e-3, rounding) else "the target is not linear in the model's output"


def batch_independence(trial: Trial) -> Outcome:
    """The map of one example alone is its map in any batch; a batch of one is joined by larger and reversed copies."""
    case = trial.case
    index = list(range(len(case.x)))
    alone = torch.cat([trial.quick(case.subset([i])) for i in index]) if len(index) > 1 else trial.quick_answer
    batch = case.subset(index + index)
    loud = torch.cat([case.x, -3 * case.x.flip(-1)])
    together = trial.quick(replace(batch, x=loud))[: len(index)]
    return compare(alone, together, trial.limit, case, ("alone", "in a batch"))


def determinism(trial: Trial) -> Outcome:
    """The same question, asked twice, has the same answer: on the model as it was given, in its own mode.

    Our own estimators take their seed as an argument. A foreign method is asked with two states of the global random
    generators, because two calls in a row see two.
    """
    if trial.given is trial.case.model:
        first = trial.quick_answer
        second = trial.quick(trial.case) if trial.own is not None else trial.seeded(1)
    else:
        case = replace(trial.case, model=trial.given)
        first, second = trial.quick(case), trial.quick(case, reseed=int(trial.own is None))
    outcome = compare(first, second, trial.limit, trial.case, ("first call", "second call"))
    if outcome.residual is None or outcome.residual <= trial.limit.value:
        return outcome
    return outcome.noting(
        "the model gives two answers itself: call model.eval()"
        if _changes(trial)
        else "it draws from the global random state"
    )


def _changes(trial: Trial) -> bool:
    """Whether the model's own scores change with the global random state."""
    case = replace(trial.case, model=trial.given)
    answers = []
    for seed in (0, 1):
        with random_state(seed, case.x.device):
            answers.append(case.scores()[0])
    return not torch.equal(*answers)


def against_seeds(trial: Trial, outcome: Outcome, reason: str = "") -> Outcome:
    """The outcome, with what the seed alone changes added to its limit where it would fail without.

    There is no verdict where the seed changes more than a broken law would.  reason: of a failure.
    """
    if outcome.residual is None or outcome.limit is None or outcome.residual <= outcome.limit.value:
        return outcome
    if trial.override is None and trial.sampling > 0:
        limit = outcome.limit.plus(3 * trial.sampling, "3 × change with the seed")
        if limit.value > _TELLING:
            return inapplicable(
                f"the seed alone changes the map by {trial.sampling:.0%}, the law's two questions by "
                f"{outcome.residual:.0%}: take more samples"
            )
        outcome = replace(outcome, limit=limit)
    return outcome.noting(reason)
