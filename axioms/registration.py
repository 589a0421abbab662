"""Registration of other people's transforms: only what keeps its claims is taken."""

from collections.abc import Callable
from typing import Any, TypeVar

from ..transforms import Transform
from ..transforms.registry import transforms
from .transform_laws import check_transform

Kind = TypeVar("Kind", bound=type[Transform])


def register_transform(name: str) -> Callable[[Kind], Kind]:
    """Class decorator for third parties: the class is known as `name` once every law holds on all its `examples()`.

        @pb.register_transform("flip")
        class Flip(pb.transforms.Transform): ...

    A plug-in of the entry-point group `pullback.transforms` is checked in the same way when it is first asked for.

    Raises: ValueError with the table of findings where an example breaks a claim, or keeps a law that it does not claim,
    and where there are no examples; TypeError where the class is not a Transform.

    >>> import pullback as pb
    >>> class Loud(pb.transforms.Pixel):
    ...     def analysis(self, x):
    ...         return 2 * x
    >>> pb.register_transform("loud")(Loud)
    Traceback (most recent call last):
    ValueError: Loud is not registered: of pixel on signals of shape (5,) these are not as claimed:
      BROKEN  reconstructs  5.0e-01 ≤ 1.1e-10  T⁻¹ T x = x
      BROKEN  surjective    5.0e-01 ≤ 1.1e-10  T T⁻¹ z = z for any z
      BROKEN  isometric     1.0e+00 ≤ 1.1e-10  ‖Tx - Ty‖ = ‖x - y‖
      BROKEN  adjoint       7.4e-01 ≤ 1.1e-10  ⟨T⁻¹ z, g⟩ = ⟨z, adjoint(g)⟩
      tolerance of reconstructs, surjective, isometric, adjoint: rounding of float64, 3 eps^(2/3)
    """

    def add(kind: Kind) -> Kind:
        vet(kind)
        return transforms.register(name)(kind)

    return add


def vet(kind: Any) -> None:
    """Raises: TypeError or ValueError unless `kind` is a Transform class whose examples keep exactly what they claim."""
    if not isinstance(kind, type) or not issubclass(kind, Transform):
        got = kind.__name__ if isinstance(kind, type) else type(kind).__name__
        raise TypeError(f"register_transform: expected a subclass of Transform, got {got}.")
    examples = list(kind.examples())
    if not examples:
        raise ValueError(
            f"{kind.__name__} is not registered: examples() is empty, and nothing can be checked; yield small "
            "instances of odd and even sizes."
        )
    for example in examples:
        report = check_transform(example)
        if report.faults:
            table = str(type(report)("", report.faults)).lstrip("\n")
            raise ValueError(
                f"{kind.__name__} is not registered: of {report.subject} these are not as claimed:\n{table}"
            )
