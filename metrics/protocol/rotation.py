"""`Rotation`: a random orthonormal basis, in which nothing is planted."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ...core.constant import Constant
from ...transforms import Transform, TransformClaim, get
from ...transforms.layout import Shape, plain_layout

_ROUNDS = 2


class Rotation(Transform):
    """z = C D₂ C D₁ x of the flattened signal: C is the cosine transform of all samples, D₁ and D₂ are random signs.

    A fast random rotation: a unit vector of any other basis is spread over all coefficients. It is a control and not
    registered: nobody wants it as a domain.  seed: of the signs.
    Source of the construction: Ailon & Chazelle 2009 (fast Johnson–Lindenstrauss transform).

    >>> T = Rotation((1, 4, 4), seed=1)
    >>> spike = torch.zeros(1, 1, 4, 4)
    >>> spike[0, 0, 1, 2] = 1
    >>> z = T(spike)
    >>> bool((z.abs() < 0.8).all()), torch.allclose(T.inverse(z), spike, atol=1e-6)
    (True, True)
    """

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__(shape)
        samples = math.prod(self.shape)
        self.spec = f"rotation(seed={seed})"
        self.claims = TransformClaim.ORTHOGONAL
        self.layout = plain_layout((1, samples), len(self.shape) - 1, "rotated")
        self.cosine = get("dct", (1, samples))
        generator = torch.Generator().manual_seed(seed)
        signs = 2 * torch.randint(2, (_ROUNDS, 1, samples), generator=generator).double() - 1
        self._signs = Constant(signs)

    def analysis(self, x: Tensor) -> Tensor:
        z = x.reshape(len(x), *self.layout.shape)
        for signs in self._signs.like(x):
            z = self.cosine.analysis(z * signs)
        return z

    def synthesis(self, z: Tensor) -> Tensor:
        for signs in self._signs.like(z).flip(0):
            z = self.cosine.synthesis(z) * signs
        return z.reshape(len(z), *self.shape)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls((1, 12)), cls((3, 4, 5), seed=1)]
