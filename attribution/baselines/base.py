"""What a baseline is: an `Baseline`, the registry of their names, and the checks that they share."""

import abc
import dataclasses
import math
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor

from ...transforms import Transform
from ...transforms.registry import Registry
from ..engine.random import Keyed


class Baseline(abc.ABC):
    """Where paths start: a rule that gives x₀ for any x. Subclasses are frozen dataclasses.

    random: whether draws differ; then `expected_gradients` averages over them and other methods take the first.
    coordinates: "signal", or "z" where the domain's own coefficients are given.
    Raises: TypeError where a rule of the signal is asked for coefficients.

    >>> {"zero", "blur", "mean", "uniform", "gaussian"} <= set(names())
    True
    """

    name: ClassVar[str] = ""  # the registered name; `register` writes it
    random: ClassVar[bool] = False
    coordinates: ClassVar[str] = "signal"

    @abc.abstractmethod
    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        """x₀ for draw `sample` of each `example`, (rows,) both. Shape: (rows, *shape)."""

    def coefficients(self, domain: Transform, x: Tensor) -> Tensor:
        """z₀ (batch, *coeff), where it is declared in z."""
        raise TypeError(f"baseline: {self.name} lives in the signal, not in the coefficients of {domain.spec}.")

    def describe(self) -> str:
        """What the result's settings say of it."""
        options = ", ".join(f"{f.name}={getattr(self, f.name)}" for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{self.name}({options})" if options else self.name

    @classmethod
    @abc.abstractmethod
    def examples(cls) -> Iterable["Baseline"]:
        """Instances on which the tests run."""


baselines: Registry[Baseline] = Registry("baseline", "pullback.baselines")
register = baselines.register
names = baselines.names


def check_finite(who: str, value: Tensor) -> Tensor:
    """`value` (batch, …).  Raises: ValueError that names the first example with NaN or infinity.

    who: begins the message.

    >>> check_finite("x", torch.tensor([[0.0], [torch.nan]]))
    Traceback (most recent call last):
    ValueError: x: example 1 holds NaN or infinity; clean or drop it.
    """
    wrong = not_finite(value)
    if wrong is not None:
        raise ValueError(f"{who}: example {wrong} holds NaN or infinity; clean or drop it.")
    return value


def not_finite(value: Tensor) -> int | None:
    """The first example of `value` (batch, …) that holds NaN or infinity, or None."""
    if bool(value.detach().sum().isfinite()):  # one cheap pass: what is not finite stays so in the sum
        return None
    finite = value.isfinite().flatten(1).all(1)
    return None if bool(finite.all()) else int((~finite).nonzero()[0, 0])


def check_number(who: str, what: str, value: Any, least: float = -math.inf) -> None:
    """Raises: ValueError unless `value` is a finite real number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
        bound = "" if least == -math.inf else f" of at least {least}"
        raise ValueError(f"{who}: {what} must be a finite number{bound}, got {value!r}.")
