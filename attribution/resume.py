"""Finished results: whether they met their tolerance, and whether a call that continues them is the one that made them."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..transforms import Transform
from .engine.random import keys
from .estimator import Chart, Evaluator

Fields = Mapping[str, Any]  # the fields of an `Attribution` by name
_ALIKE = 1e-3  # relative difference of f(x) - f(x₀) that another device or batch size may make
_ROUNDING = 64  # the same of x - x₀, in units of the last bit


class ConvergenceWarning(UserWarning):
    """A method stopped before it met the tolerance that it was given."""


def unconverged(attribution: Any) -> Tensor:
    """Which examples missed the tolerance of their method, (batch,); none where it has none, or tol=0."""
    tol, met = attribution.settings.get("options", {}).get("tol", 0), attribution.details.get("converged")
    return attribution.values.new_zeros(len(attribution), dtype=torch.bool) if met is None or not tol else ~met.bool()


def warn_unconverged(results: Sequence[Any]) -> None:
    """A `ConvergenceWarning`, at the caller of the public function that calls this, if an example missed its tolerance."""
    found = missed(results)
    if found:
        options = results[0].settings["options"]
        more = f"allow more than max_evaluations={options['max_evaluations']}, or a larger tol than {options['tol']:g}"
        what = f"{results[0].settings['method']}: {found}; {more}. details['converged'] says which."
        warnings.warn(what, ConvergenceWarning, stacklevel=3)


def missed(results: Sequence[Any]) -> str:
    """How many examples missed their tolerance in some domain, and how far; empty if none did.

    tol bounds both the map_error and the residual in units of |f(x) - f(x₀)|; both of their largest values are named.
    """
    each = torch.stack([unconverged(one) for one in results])
    if not each.any():
        return ""
    error = torch.stack([one.details["map_error"] for one in results])[each].max()
    residual = torch.stack([(one.details["residual"] / one.score_difference).abs() for one in results])[each].max()
    found = f"map_error up to {float(error):.2g}, residual up to {float(residual):.2g} of f(x) - f(x₀)"
    return f"{int(each.any(0).sum())} of {each.shape[1]} examples not converged ({found})"


def check_same_call(
    earlier: Sequence[Fields],
    evaluators: Sequence[tuple[list[int], Evaluator]],
    domains: Sequence[Transform],
    differences: Sequence[Tensor],
    settings: Mapping[str, Any],
) -> None:
    """Compares a call with the finished results that it continues, one for each of the `domains`.

    evaluators: (which domains, evaluator).  differences: f(x) - f(x₀) in each domain.  settings: what else must be equal.
    Raises: ValueError that names what differs, or where a result holds nothing to continue from.
    """
    if len(earlier) != len(domains):
        raise ValueError(f"resume: expected one result for each of the {len(domains)} domains, got {len(earlier)}.")
    if any("kept_x" not in fields["details"] for fields in earlier):
        raise ValueError("resume: the result holds nothing to continue from; make it with 'integrated_gradients(keep=True)'.")
    for members, evaluator in evaluators:
        for i, chart in zip(members, evaluator.charts):
            then, rounding = earlier[i], _ROUNDING * torch.finfo(differences[i].dtype).eps
            changes = (
                _other_question(then, domains[i], chart, settings, evaluator.signal)
                or _moved("baseline", then["displacement"], chart.displacement, rounding)
                or _moved("model", then["score_difference"], differences[i], _ALIKE)
            )
            if changes:
                raise ValueError(f"resume: the result was made with another {', another '.join(changes)}; make the same call.")


def _other_question(earlier: Fields, domain: Transform, chart: Chart, settings: Mapping[str, Any], x: Tensor) -> list[str]:
    """What differs in the transform, in x (bit by bit) and in the settings, with its old and new value."""
    spec, shape = earlier["transform"].spec, earlier["coefficients"].shape
    if spec != domain.spec:
        return [f"transform ({spec}, now {domain.spec})"]
    if shape != chart.point.shape:
        return [f"x (of shape {tuple(shape)}, now {tuple(chart.point.shape)})"]
    then = earlier["settings"] | earlier["settings"].get("execution", {})
    moved = (earlier["details"]["kept_x"].cpu() != digests(x)).nonzero()
    changes = [f"x (example {int(moved[0, 0])} differs)"] if len(moved) else []
    return changes + [f"{k} ({then.get(k)!r}, now {now!r})" for k, now in settings.items() if _name(then.get(k)) != _name(now)]


def _name(setting: Any) -> Any:
    """A setting; of a callable only its name, since its place moves when its file is edited."""
    return setting.rpartition(" at ")[0] if str(setting).startswith("callable ") and " at " in setting else setting


def digests(signal: Tensor) -> Tensor:
    """A number for each example (batch, *shape) that differs between different examples, (batch,)."""
    return torch.tensor([int.from_bytes(key, "little", signed=True) for key in keys(signal)])


def _moved(what: str, then: Tensor, now: Tensor, most: float) -> list[str]:
    then, now = then.to(now).reshape(len(now), -1), now.detach().reshape(len(now), -1)
    moved = ((then - now).norm(dim=1) > most * now.norm(dim=1)).nonzero()
    return [f"{what} (example {int(moved[0, 0])} differs)"] if len(moved) else []
