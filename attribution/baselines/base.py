"""What a baseline is, and the registry of their names."""

import abc
import dataclasses
from collections.abc import Iterable
from typing import ClassVar

from torch import Tensor

from ...core.registry import Registry
from ...transforms import Transform
from ..engine.random import Keyed
from ..engine.row_index import RowIndex


class Baseline(abc.ABC):
    """A rule that gives x₀, the start of the paths, for any x. Subclasses are frozen dataclasses.

    random: whether samples differ; then `expected_gradients` averages over them and other methods take the first.
    coordinates: "signal", or "z" for a baseline that is declared in coefficients.

    >>> {"zero", "blur", "mean", "uniform", "gaussian"} <= set(names())
    True
    """

    name: ClassVar[str] = ""  # the registered name; `register` writes it
    random: ClassVar[bool] = False
    coordinates: ClassVar[str] = "signal"

    @abc.abstractmethod
    def draw(self, keyed: Keyed, rows: RowIndex) -> Tensor:
        """x₀ of each row; the row's sample is the number of the draw. Shape: (rows, *shape)."""

    def coefficients(self, domain: Transform, x: Tensor) -> Tensor:
        """z₀ (batch, *coeff).  Raises: TypeError for a baseline of the signal."""
        raise TypeError(f"baseline: {self.name} lives in the signal, not in the coefficients of {domain.spec}.")

    def describe(self) -> str:
        """The text that the result's settings keep."""
        options = ", ".join(f"{f.name}={getattr(self, f.name)}" for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{self.name}({options})" if options else self.name

    @classmethod
    def examples(cls) -> Iterable["Baseline"]:
        """Instances on which the tests run: by default the one without arguments."""
        return [cls()]


baselines: Registry[Baseline] = Registry("baseline", "pullback.baselines")
register = baselines.register
names = baselines.names
