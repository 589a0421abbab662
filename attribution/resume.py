"""Continuing from a finished result: whether the call is the one that made it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..transforms import Transform
from .engine.random import keys
from .estimator import Chart, Evaluator

_ALIKE = 1e-3  # relative difference of f(x) - f(x₀) that another device or batch size may make
_ROUNDING = 64  # the same of x - x₀, in units of the last bit


class Earlier(Protocol):
    """What is read of a finished result, an `Attribution`."""

    @property
    def transform(self) -> Transform: ...
    @property
    def coefficients(self) -> Tensor: ...
    @property
    def displacement(self) -> Tensor: ...
    @property
    def score_difference(self) -> Tensor: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    @property
    def details(self) -> dict[str, Any]: ...


def check_same_call(
    earlier: Sequence[Earlier],
    evaluators: Sequence[tuple[list[int], Evaluator]],
    domains: Sequence[Transform],
    differences: Sequence[Tensor],
    settings: Mapping[str, Any],
) -> None:
    """Compares a call with the finished results that it shall continue, one for each of the `domains`.

    evaluators: (which domains, evaluator).  differences: f(x) - f(x₀) in each domain.  settings: what else must be equal.
    Raises: ValueError that names what differs, or where a result holds nothing to continue from.
    """
    if len(earlier) != len(domains):
        raise ValueError(f"resume: expected one result for each of the {len(domains)} domains, got {len(earlier)}.")
    if any("kept_x" not in one.details for one in earlier):
        raise ValueError(
            "resume: this result holds nothing to continue from; make it with method='integrated_gradients(keep=True)'."
        )
    for members, evaluator in evaluators:
        for member, chart in zip(members, evaluator.charts):
            apart = _differences(earlier[member], domains[member], evaluator, chart, differences[member], settings)
            if apart:
                raise ValueError(
                    f"resume: the result was made with another {', another '.join(apart)}; make the same call."
                )


def _differences(
    earlier: Earlier,
    domain: Transform,
    evaluator: Evaluator,
    chart: Chart,
    difference: Tensor,
    settings: Mapping[str, Any],
) -> list[str]:
    """What differs, with how it was and is: x to the last bit, x₀ and f up to rounding errors."""
    if earlier.transform.spec != domain.spec:
        return [f"transform ({earlier.transform.spec}, now {domain.spec})"]
    if earlier.coefficients.shape != chart.point.shape:
        return [f"x (of shape {tuple(earlier.coefficients.shape)}, now {tuple(chart.point.shape)})"]
    then = earlier.settings | earlier.settings.get("execution", {})
    apart = [f"{name} ({then.get(name)!r}, now {now!r})" for name, now in settings.items() if then.get(name) != now]
    moved = earlier.details["kept_x"].cpu() != digests(evaluator.signal)
    if bool(moved.any()):
        return [f"x (example {int(moved.nonzero()[0, 0])} differs)", *apart]
    if apart:
        return apart
    rounding = _ROUNDING * torch.finfo(difference.dtype).eps
    baseline = _moved("baseline", earlier.displacement, chart.displacement, rounding)
    return baseline or _moved("model", earlier.score_difference, difference, _ALIKE)


def digests(signal: Tensor) -> Tensor:
    """A number for each example (batch, *shape) that tells it from any other, (batch,)."""
    return torch.tensor([int.from_bytes(key, "little", signed=True) for key in keys(signal)])


def _moved(what: str, then: Tensor, now: Tensor, most: float) -> list[str]:
    then, now = then.to(now).reshape(len(now), -1), now.detach().reshape(len(now), -1)
    apart = ((then - now).norm(dim=1) > most * now.norm(dim=1)).nonzero()
    return [f"{what} (example {int(apart[0, 0])} differs)"] if len(apart) else []
