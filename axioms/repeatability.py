"""Laws of repetition: linearity in the model, independence of the batch, and the same map for the same question."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..attribution.engine.check_model import feed_dtype
from ..attribution.engine.open_engine import open_engine
from ..attribution.engine.score import with_rows
from ..core.isolation import random_state
from .case import Case
from .outcome import Outcome, compare, inapplicable, worst_of
from .rewrites.modules import Combined, small_network
from .trial import Trial

_DECISIVE = 0.2  # with a larger tolerance a law would accept a method that really breaks it
_COMPANIONS = range(7_919, 7_927)  # seeds of networks that are used for nothing else
# Reported map errors are right within a factor of 2 on nine paths of ten; the worst of 80 small networks was off by 5.
_REPORTED = 5
_SUMS = ("a(f) + q a(h)", "a(f + q h)")


def linearity(trial: Trial) -> Outcome:
    """a(f + q h) = a(f) + q a(h), where h is a small random network, and q makes the two maps equally large.

    An adaptive method is measured twice: with nodes that all three functions share, where only rounding is granted; and
    with its own nodes, where it is also granted a multiple of the map errors that it reports.
    """
    case, answer = trial.case, trial.reference("fixed")
    try:
        other, added = _companion(trial)
        if not bool(added.any()):
            return inapplicable("the map of a small random network is zero, so that nothing would be added")
        weight = _size(answer) / _size(added) or 1.0
        combined = replace(case, model=Combined(case.model, other.model, weight))
        reason = _not_additive(trial, weight, case, other, combined)
    except (AttributeError, TypeError) as error:
        return inapplicable(f"outputs of this model cannot be added: {error}")
    if reason:
        return inapplicable(reason)
    outcome = compare(answer + weight * added, trial.map(combined, "fixed"), trial.tolerance, case, _SUMS)
    return worst_of([outcome, _with_own_nodes(trial, weight, other, combined)]) if trial.adaptive else outcome


def _with_own_nodes(trial: Trial, weight: float, other: Case, combined: Case) -> Outcome:
    """The law for an adaptive method as it is."""
    assert trial.estimator is not None  # only estimators are adaptive
    parts = [trial.found, *(trial.attribution(case, trial.estimator) for case in (other, combined))]
    one, two, both = (part.values * factor for part, factor in zip(parts, (1.0, weight, 1.0)))
    norm: Callable[[Tensor], Tensor] = lambda values: values.flatten(1).norm(dim=1)
    errors = [float((norm(v) * p.details["map_error"] / norm(both)).max()) for v, p in zip((one, two, both), parts)]
    tolerance = trial.tolerance
    if trial.override is None:
        tolerance = tolerance.plus(_REPORTED * sum(errors), f"{_REPORTED:g} times the reported map errors")
    return compare(one + two, both, tolerance, trial.case, _SUMS)


def _companion(trial: Trial) -> tuple[Case, Tensor]:
    """The problem for a small random network, and its map; of a few networks, the first that responds to every example."""
    for seed in _COMPANIONS:
        other = replace(trial.case, model=companion(trial.case, seed))
        added = trial.map(other, "fixed")
        if bool(added.flatten(1).any(1).all()):
            break
    return other, added


def _size(values: Tensor) -> float:
    """‖values‖, without overflow or underflow for very large and very small numbers."""
    wide = values.double()
    unit = float(wide.abs().max())
    return unit * float((wide / (unit or 1.0)).norm())


def companion(case: Case, seed: int) -> nn.Module:
    """A small random network whose outputs have the shape of the model's. It costs little beside the model."""
    one = case.x[:1]
    with open_engine(case.model, one, check=False) as engine:
        example = torch.zeros(1, dtype=torch.long, device=one.device)
        shape = engine.outputs(example, one.__getitem__, lambda output, of: with_rows(output, len(of)).detach()).shape[1:]
    network = small_network(case.shape, classes=max(1, shape.numel()), width=4, seed=seed)
    last: nn.Module = nn.Flatten(0) if not shape else nn.Unflatten(1, shape)
    return nn.Sequential(network, last).to(case.x).to(feed_dtype(case.model, case.x.dtype)).eval()


def _not_additive(trial: Trial, weight: float, *cases: Case) -> str:
    """Why the score of the combined model is not the sum of scores; "" where it is."""
    one, two, both = (trial.scores(case)[0] for case in cases)
    apart = (both - (one + weight * two)).abs().max() / (one.abs() + (weight * two).abs()).max().clamp(min=1e-300)
    rounding = 8 * torch.finfo(feed_dtype(cases[0].model, cases[0].x.dtype)).eps
    return "" if float(apart) <= max(1e-3, rounding) else "the target is not linear in the model's output"


def batch_independence(trial: Trial) -> Outcome:
    """The map of an example is the same alone and in a batch, here between larger and reversed copies.

    Half of them come before the examples and half after, so that a method which looks at one side only is seen too.
    """
    case = trial.case
    index = list(range(len(case.x)))
    alone = [trial.map(case.subset([i]), "cheap") for i in index] if len(index) > 1 else [trial.reference("cheap")]
    before, after = (index[: len(index) // 2], index[len(index) // 2 :]) if len(index) > 1 else (index, index)
    others = -3 * case.x.flip(-1)
    batch = replace(case.subset(before + index + after), x=torch.cat([others[before], case.x, others[after]]))
    together = trial.map(batch, "cheap")[len(before) : len(before) + len(index)]
    return compare(torch.cat(alone), together, trial.tolerance, case, ("alone", "in a batch"))


def determinism(trial: Trial) -> Outcome:
    """Two calls give the same map. The model is measured in the mode in which it came.

    An estimator gets its seed as an argument. A callable is called with two states of the global random generators,
    because two calls in a row would find two.
    """
    reseed = int(trial.estimator is None)
    if trial.given is trial.case.model:
        first = trial.reference("cheap")
        second = trial.reference("full", 1) if reseed else trial.map(trial.case, "cheap")
    else:
        case = replace(trial.case, model=trial.given)
        first, second = trial.map(case, "cheap"), trial.map(case, "cheap", reseed)
    outcome = compare(first, second, trial.tolerance, trial.case, ("first call", "second call"))
    if not outcome.broken:
        return outcome
    model = "the model itself is not deterministic: call model.eval()"
    return outcome.because(model if _changes(trial) else "it draws from the global random state")


def _changes(trial: Trial) -> bool:
    """Whether the model's own scores change with the global random state."""
    case = replace(trial.case, model=trial.given)
    answers = []
    for seed in (0, 1):
        with random_state(seed, case.x.device):
            answers.append(case.scores()[0])
    return not torch.equal(*answers)


def allow_for_seeds(trial: Trial, outcome: Outcome, reason: str = "") -> Outcome:
    """A broken outcome, judged again with a tolerance that includes what the seed changes; none where that is too much.

    reason: added where the law is broken all the same.
    """
    if not outcome.broken or outcome.tolerance is None:
        return outcome
    if trial.override is None and trial.seed_spread > 0:
        tolerance = outcome.tolerance.plus(3 * trial.seed_spread, "3 × change with the seed")
        if tolerance.value > _DECISIVE:
            by_law = f"by {outcome.residual:.0%} between the two questions of the law"
            alone = f"the map changes by {trial.seed_spread:.0%} with the seed alone"
            return inapplicable(f"{alone}, and {by_law}: take more samples")
        outcome = replace(outcome, tolerance=tolerance)
    return outcome.because(reason)
