"""`Reference`: the same transform by another library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

Array = Tensor | np.ndarray


@dataclass(frozen=True)
class Reference:
    """The same transform by another library; the law `reference` compares coefficients and reconstructions with it.

    library: its name and function, such as "scipy.fft.dctn".
    analysis: x (batch, *shape) -> z (batch, *coeff), or the bands of z in the order of the layout, (batch, channels, …)
    each, which are then packed.  synthesis: z -> x, or the reason why the library's inverse is not comparable.
    Both get tensors on the CPU in double precision and may return arrays. They import the library themselves, so that it
    is loaded only for this law.

    >>> class Reversed(pb.transforms.Linear):
    ...     @property
    ...     def reference(self):
    ...         flip = lambda x: np.flip(x.numpy(), -1).copy()
    ...         return Reference("numpy.flip", flip, flip)
    >>> report = pb.axioms.check_transform(Reversed((1, 3), np.eye(3)[::-1].copy()))
    >>> report["reference"].verdict, report["reference"].reason
    ('kept', 'compared with numpy.flip')
    """

    library: str
    analysis: Callable[[Tensor], Array | Sequence[Array]]
    synthesis: Callable[[Tensor], Array] | str
