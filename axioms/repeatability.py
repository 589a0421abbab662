"""Linearity in the model, independence of the batch, and the same answer to the same question."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from .modules import Combined, small_network
from .outcome import Outcome, compare, inapplicable
from .trial import Case, Trial, random_state

_COMPANION = 7_919  # its seed: a network that no one else draws


def linearity(trial: Trial) -> Outcome:
    """a(f + q h) = a(f) + q a(h), with a small random network h of the same outputs, and q that makes both weigh alike."""
    case = trial.case
    try:
        other = replace(case, model=companion(case))
        added = trial.map(other)
        weight = float(trial.answer.norm() / added.norm()) if bool(added.any()) else 1.0
        combined = replace(case, model=Combined(case.model, other.model, weight).eval())
        reason = _not_additive(trial, weight, case, other, combined)
    except (AttributeError, TypeError) as error:
        return inapplicable(f"outputs of this model cannot be added: {error}")
    if reason:
        return inapplicable(reason)
    return compare(
        trial.answer + weight * added, trial.map(combined), trial.approximate, case, ("a(f) + q a(h)", "a(f + q h)")
    )


def companion(case: Case) -> nn.Module:
    """A small random network with outputs of the model's shape. It is cheap beside the model."""
    shape: tuple[int, ...] = ()

    def look(output: Tensor) -> Tensor:
        nonlocal shape
        shape = tuple(output.shape[1:])
        return output.flatten(1).sum(1) if len(shape) else output

    replace(case, target=look, x=case.x[:1], base=case.base[:1]).scores()
    network = small_network(
        tuple(case.x.shape[1:]), classes=max(1, torch.Size(shape).numel()), width=4, seed=_COMPANION
    )
    last: nn.Module = nn.Flatten(0) if not shape else nn.Unflatten(1, shape)
    return nn.Sequential(network, last).to(case.x).eval()


def _not_additive(trial: Trial, weight: float, *cases: Case) -> str:
    """Why the score of the combined model is not the sum of scores; "" where it is."""
    one, two, both = (trial.scores(case)[0] for case in cases)
    apart = (both - (one + weight * two)).abs().max() / (one.abs() + (weight * two).abs()).max().clamp(min=1e-300)
    return "" if float(apart) <= 1e-3 else "the target is not linear in the model's output"


def batch_independence(trial: Trial) -> Outcome:
    """The map of one example alone is its map in any batch; a batch of one is joined by larger and reversed copies."""
    case = trial.case
    index = list(range(len(case.x)))
    alone = torch.cat([trial.map(case.rows([i])) for i in index]) if len(index) > 1 else trial.answer
    batch = case.rows(index + index)
    loud = torch.cat([case.x, -3 * case.x.flip(-1)])
    together = trial.map(replace(batch, x=loud))[: len(index)]
    return compare(alone, together, trial.limit, case, ("alone", "in a batch"))


def determinism(trial: Trial) -> Outcome:
    """The same question, asked twice, has the same answer: on the model as it was given, in its own mode.

    Our own estimators take their seed as an argument. A foreign method is asked with two states of the global random
    generators, because two calls in a row see two.
    """
    if trial.given is trial.case.model:
        first = trial.answer
        second = trial.map(trial.case) if trial.own is not None else trial.reseeded
    else:
        case = replace(trial.case, model=trial.given)
        first, second = trial.map(case), trial.map(case, reseed=int(trial.own is None))
    outcome = compare(first, second, trial.limit, trial.case, ("first call", "second call"))
    if outcome.residual is None or outcome.residual <= trial.limit.value:
        return outcome
    return outcome.noting("the model gives two answers itself: call model.eval()" if _changes(trial)
                          else "it draws from the global random state")  # fmt: skip


def _changes(trial: Trial) -> bool:
    """Whether the model's own scores change with the global random state."""
    case = replace(trial.case, model=trial.given)
    answers = []
    for seed in (0, 1):
        with random_state(seed, case.x.device):
            answers.append(case.scores()[0])
    return not torch.equal(*answers)
