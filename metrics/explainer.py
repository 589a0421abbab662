"""`Explainer`: the method behind a map, to make maps of other inputs, of other classes and of other models."""

import ast
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from ..attribution import Attribution, Estimator, attribute
from ..attribution import get as get_method
from ..attribution.baselines.base import Baseline
from ..attribution.baselines.fixed import get as get_baseline
from ..attribution.call import BaselineLike, Domain, Method, described
from ..attribution.estimator import estimators
from ..core.checks import is_number
from ..core.plain_data import plain

Explain = Callable[..., Attribution]  # (model, x, target) -> the map
_SAME = ("method", "options", "baseline", "transform")  # the settings that two maps of one method share
_AROUND = 10  # evaluations around a method: f at both ends, and the checks of the model


@dataclass(frozen=True, eq=False)
class Explainer:
    """(model, x, target) -> the map of one method in one domain; see `explainer`."""

    method: Method
    transform: Domain
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, model: Any, x: Tensor, target: Any = None, **more: Any) -> Attribution:
        """The map of x.  more: batch_size, model_args … of `attribute`; those of `options` come first."""
        return attribute(model, x, target, method=self.method, transform=self.transform, **({**more} | {**self.options}))


def explainer(
    method: Method = "integrated_gradients",
    transform: Domain = "pixel",
    *,
    baseline: BaselineLike = None,
    seed: int = 0,
    **options: Any,
) -> Explainer:
    """A function (model, x, target) -> Attribution, for metrics that need maps of other inputs, classes or models.

    The arguments are those of `attribute`. `measure` builds one from the settings of a map where they say all; for a map
    with a baseline that was given as a tensor or a function, or one that was made elsewhere, pass explain=.
    Raises: ValueError or TypeError that lists the methods.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> explain = pb.metrics.explainer("gradient", "dct")
    >>> att = explain(f, torch.ones(1, 1, 3))
    >>> pb.metrics.measure(f, att, "max_sensitivity", explain=explain)[0].value  # the gradient of a linear model is constant
    tensor([0.])
    """
    return Explainer(get_method(method), transform, {"baseline": baseline, "seed": seed, **options})


def explainer_of(attribution: Attribution) -> Explainer:
    """The explainer that made a map, from its settings.

    Raises: ValueError where the settings do not say everything: a map made elsewhere, a baseline given as a tensor.
    """
    settings = attribution.settings
    method, baseline = _method(settings), _baseline(settings.get("baseline", ""))
    if method is None or baseline is None:
        what = f"method {settings.get('method', '?')!r}" if method is None else f"baseline {str(settings['baseline'])[:60]!r}"
        advice = "pass explain=pb.metrics.explainer(method, transform, baseline=…), or a function (model, x, target) -> map"
        raise ValueError(f"metrics: the settings of this map do not say how to make its {what} again; {advice}.")
    return Explainer(method, attribution.transform, {"baseline": baseline, "seed": settings.get("seed", 0)})


def map_cost(attribution: Attribution) -> int:
    """The largest number of evaluations of one more map of one example, as far as the settings tell."""
    method = _method(attribution.settings)
    made = sum(attribution.settings.get("evaluations", {}).values())
    return (made if method is None else method.cost([attribution.layout]).total) + _AROUND


def explained(
    explain: Explain | None, known: Attribution, call: tuple[Any, Tensor, Any], options: dict[str, Any]
) -> Attribution:
    """explain(model, x, target).  known: a map that it should have made.  options: more of `attribute`, for an `Explainer`.

    Raises: TypeError or ValueError where it returns no map, or one of another method, domain or size.
    """
    if explain is None:
        raise ValueError("metrics: needs the method; pass explain=pb.metrics.explainer(method, transform).")
    found = explain(*call, **options) if isinstance(explain, Explainer) else explain(*call[: 2 + takes_target(explain)])
    if not isinstance(found, Attribution):
        raise TypeError(f"explain: expected a function (model, x, target) -> Attribution, it returned {type(found).__name__}.")
    if found.values.shape != known.values.shape or found.kind != known.kind:
        got, wanted = (f"{each.kind} values of shape {tuple(each.values.shape)}" for each in (found, known))
        raise ValueError(f"explain: expected {wanted} in {known.transform.spec[:60]}, as in the judged map; got {got}.")
    other = [name for name in _SAME if plain(found.settings.get(name)) != plain(known.settings.get(name))]
    if other:
        pair = f"{str(found.settings.get(other[0]))[:60]!r}, not {str(known.settings.get(other[0]))[:60]!r}"
        raise ValueError(f"explain: it made a map with another {other[0]} than that of the judged map: {pair}.")
    return found


def check_same_class(found: Attribution, known: Attribution) -> None:
    """Raises: ValueError where two maps explain two classes; the settings tell it where one class is that of all examples."""
    made, wanted = found.settings.get("target"), known.settings.get("target")
    if isinstance(made, int) and isinstance(wanted, int) and made != wanted:
        raise ValueError(f"metrics: the map explains class {wanted}, and target is {made}; pass the target of the map.")


def takes_target(explain: Explain) -> bool:
    """Whether `explain` takes (model, x, target), and not only (model, x)."""
    try:
        inspect.signature(explain).bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # written in C
        return True
    return True


def _method(settings: Mapping[str, Any]) -> Estimator | None:
    """The estimator that the settings describe; None where they do not describe one exactly."""
    name, options = settings.get("method", ""), settings.get("options", {})
    if name not in estimators or re.search(r'"(callable|tensor) ', json.dumps(options)):
        return None
    try:
        made: Any = estimators.maker(name)(**{key: _hashable(value) for key, value in options.items()})
        return made if described(asdict(made)) == options else None
    except (TypeError, ValueError, ImportError):
        return None


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _baseline(text: str) -> Baseline | None:
    """The baseline that a text of the settings describes; None where it does not describe one exactly."""
    try:
        number = ast.literal_eval(text)
    except (ValueError, SyntaxError):  # a name
        number = None
    try:
        made = get_baseline(number if is_number(number) else text)
        return made if made.describe() == text else None
    except (TypeError, ValueError):
        return None
