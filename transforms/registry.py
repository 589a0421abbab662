"""The registry of transforms. Classes of third parties are accepted once every law holds on their examples."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from ..core.precision import tolerance
from ..core.registry import Registry
from .base import Transform
from .laws import measure_laws

Kind = TypeVar("Kind", bound=type[Transform])


def check_claims(kind: Any) -> None:
    """Raises: TypeError or ValueError unless `kind` is a Transform class whose examples keep exactly what they claim."""
    if not isinstance(kind, type) or not issubclass(kind, Transform):
        got = kind.__name__ if isinstance(kind, type) else type(kind).__name__
        raise TypeError(f"register: expected a subclass of Transform, got {got}.")
    examples = list(kind.examples())
    if not examples:
        advice = "yield small instances of odd and even sizes, on which the laws are checked"
        raise ValueError(f"{kind.__name__} is not registered: examples() is empty; {advice}.")
    limit = tolerance(torch.double)
    for example in examples:
        if faults := [result for result in measure_laws(example) if result.fault]:
            lines = [f"{example.spec} on signals of shape {example.shape} is not as claimed:"]
            for result in faults:
                law, measured = result.law, result.measured
                line = f"  {result.fault:<9} {law.name:<18} {measured.residual:.1e} ≤ {limit:.1e}  {law.statement}"
                lines += [line, *([f"    {measured.reason}"] if measured.reason else [])]
            lines += ["  tolerance: rounding of float64, 3 eps^(2/3)"]
            raise ValueError(f"{kind.__name__} is not registered: " + "\n".join(lines))


transforms: Registry[Transform] = Registry("transform", "pullback.transforms", check_claims)
add = transforms.register  # for the classes of this library: the test suite checks their laws
names = transforms.names


def register(name: str) -> Callable[[Kind], Kind]:
    """Class decorator for third parties: the class becomes known as `name` if every law holds on all its `examples()`.

        @pb.register_transform("flip")
        class Flip(pb.transforms.Transform): ...

    A plug-in of the entry-point group `pullback.transforms` is checked in the same way when it is first used.
    Raises: ValueError with the laws that fail, where an example breaks a claim or keeps a law that it does not claim, and
    where there are no examples; TypeError where the class is not a Transform.

    >>> class Loud(pb.transforms.Pixel):
    ...     def analysis(self, x):
    ...         return 2 * x
    >>> pb.register_transform("loud")(Loud)
    Traceback (most recent call last):
    ValueError: Loud is not registered: pixel on signals of shape (5,) is not as claimed:
      BROKEN    reconstructs       5.0e-01 ≤ 1.1e-10  T⁻¹ T x = x
      BROKEN    surjective         5.0e-01 ≤ 1.1e-10  T T⁻¹ z = z for any z
      BROKEN    isometric          1.0e+00 ≤ 1.1e-10  ‖Tx - Ty‖ = ‖x - y‖
      BROKEN    adjoint            7.4e-01 ≤ 1.1e-10  ⟨T⁻¹ z, g⟩ = ⟨z, adjoint(g)⟩
      tolerance: rounding of float64, 3 eps^(2/3)
    """

    def checked(kind: Kind) -> Kind:
        check_claims(kind)
        return add(name)(kind)

    return checked
