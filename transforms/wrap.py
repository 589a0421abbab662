"""Any pair of maps as a transform: a linear operator, a normalising flow, or an autoencoder with its residual."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..core.checks import check_seed, choose, quoted
from ..core.precision import SINGLE, tolerance, wide
from .base import Transform, TransformClaim
from .laws import CLAIMS, Draw, Map
from .layout import Band, Layout, Shape, plain_layout, sample_layout
from .shapes import check_shape

RESIDUALS = ("carried", "fixed")
_STATEFUL = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)


class Operator(Transform):
    """z = forward(x), x = inverse(z) for two linear maps of batches, such as a torch operator without a matrix.

    forward: (batch, *shape) -> (batch, *coeff).  inverse: (batch, *coeff) -> (batch, *shape), with
    inverse(forward(x)) = x. Both are differentiable; modules among them are submodules and follow `.to()`.
    transpose: g -> (T⁻¹)ᵀ g, if it is faster than automatic differentiation of `inverse`.
    layout: the meaning of the coefficients; None puts all of them in one band.

    The claims SURJECTIVE and ISOMETRIC are measured on random signals, in the precision of the maps' parameters, double if
    they have none; LINEAR and RECONSTRUCTS are required.
    Raises: ValueError with the residual where the maps are not linear or do not invert each other; TypeError where they
    are not callable.

    >>> T = Operator((1, 4), lambda x: x.flip(-1), lambda z: z.flip(-1))
    >>> T.claims == TransformClaim.ORTHOGONAL
    True
    """

    def __init__(
        self,
        shape: Shape,
        forward: Map,
        inverse: Map,
        *,
        transpose: Map | None = None,
        layout: Layout | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, range(10))
        for what, map_ in (
            ("forward", forward),
            ("inverse", inverse),
            ("transpose", forward if transpose is None else transpose),
        ):
            _check_map("Operator", what, map_)
        self.spec = f"Operator({called(forward)}, {called(inverse)})"
        self._there, self._back, self._across = forward, inverse, transpose  # modules among them become submodules
        seed = check_seed("Operator", seed)
        x = normal(self.shape, native((forward, inverse), torch.empty(0, dtype=torch.double)), seed)
        coeff = _check_code("Operator", forward, inverse, x)
        self.layout = plain_layout(coeff, len(self.shape) - 1) if layout is None else _check_layout("Operator", layout, coeff)
        self.claims, residuals = measure(forward, inverse, x, normal(coeff, x, seed + 1))
        for claim in (TransformClaim.LINEAR, TransformClaim.RECONSTRUCTS):
            if claim not in self.claims:
                found = f"relative residual {residuals[claim]:.1e} on random signals"
                advice = "use Wrap for maps that are not linear or lose a part of the signal"
                raise ValueError(f"{self.title}: the maps break the law {claim.name}, {found}; {advice}.")

    def analysis(self, x: Tensor) -> Tensor:
        return self._there(x)

    def synthesis(self, z: Tensor) -> Tensor:
        return self._back(z)

    def transpose(self, g: Tensor) -> Tensor:
        return super().transpose(g) if self._across is None else self._across(g)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield cls((2, 5), lambda x: x.cumsum(-1), lambda z: z.diff(dim=-1, prepend=z[..., :1] * 0))
        yield cls((1, 4), lambda x: torch.cat([x, x], -1), lambda z: z[..., :4] / 2 + z[..., 4:] / 2)
        yield cls((1, 4), lambda x: x.roll(1, -1), lambda z: z.roll(-1, -1), transpose=lambda g: g.roll(1, -1))


class Wrap(Transform):
    """z = forward(x), x = inverse(z) for any two maps of the user, linear or not.

    residual=None: the maps invert each other, as those of a normalising flow do.
    residual="carried": they do not (an autoencoder). z = [c, r] with the code c = forward(x) and the residual
    r = x - inverse(c), and T⁻¹[c, r] = inverse(c) + r. So T⁻¹T x = x to rounding, f(T⁻¹ z(x)) = f(x), and f varies with c
    because r is fixed while c moves. The residual is a part of z, so the path goes from [c₀, r₀] to [c, r], exactly from
    x₀ to x; attributions stay complete, and the band "residual" says how much of the score the code does not explain.
    residual="fixed": the same T, but on a path r is fixed at its value at x, from [c₀, r] to [c, r]: only the code is
    credited (TRIM, Singh et al. 2020). The path then starts at inverse(c₀) + r and not at x₀, and the completeness gap
    of the attribution holds that difference of scores. Recomputing r at each point instead would make f constant.

    shape: of one signal.  forward: (batch, *shape) -> (batch, *code).  inverse: (batch, *code) -> (batch, *shape).
    Modules among them become submodules and follow `.to()`; they run in their own precision.
    layout: the meaning of the code; None puts it in one band "code".
    probe: at least 2 signals (batch, *shape) of the kind that the maps are for, on which claims are measured; None
    draws standard normal ones.

    Claims are measured at construction on the probe and on standard normal z, to the precision of the maps' parameters
    (single if they are narrower, double if there are none): check a float32 network with dtype=float32.
    z is (batch, *code), with a residual (batch, 1, Π code + Π shape).
    Raises: ValueError with the residual where the maps do not invert each other and residual is None, where dropout or
    normalisation is in training mode, or where residual="fixed" meets linear maps; TypeError where one is not callable.

    >>> T = Wrap((1, 2), lambda x: x.sinh(), lambda z: z.asinh())
    >>> T.claims == TransformClaim.BIJECTIVE
    True
    >>> mean = Wrap((1, 2), lambda x: x.mean(-1, True), lambda c: c.expand(-1, -1, 2), residual="carried")
    >>> mean(torch.tensor([[[1.0, 3.0]]]))
    tensor([[[ 2., -1.,  1.]]])
    """

    def __init__(
        self,
        shape: Shape,
        forward: Map,
        inverse: Map,
        *,
        residual: str | None = None,
        layout: Layout | None = None,
        probe: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_maps(forward, inverse)
        seed = check_seed("wrap", seed)
        if residual is not None:
            residual = choose("wrap", "residual", residual, RESIDUALS)
        self.shape = check_shape("wrap", shape, range(10))
        self.residual = residual
        self.spec = f"wrap({called(forward)}, {called(inverse)})"
        self._encoder, self._decoder = forward, inverse
        like = native((forward, inverse), torch.empty(0, dtype=torch.double))
        like = like.to(wide(like.dtype))  # half precision would accept a nonlinearity of a tenth
        x = normal(self.shape, like, seed) if probe is None else _check_probe(probe, self.shape).to(like)
        self._code = _check_code("wrap", forward, inverse, x)
        own = (
            plain_layout(self._code, len(self.shape) - 1, "code")
            if layout is None
            else _check_layout("wrap", layout, self._code)
        )
        self.layout = _with_residual(own, self.shape) if residual else own
        self.claims = self._measured(x, normal(self.layout.shape, x, seed + 1, len(x)))

    def analysis(self, x: Tensor) -> Tensor:
        code = _run(self._encoder, x)
        if self.residual is None:
            return code
        return torch.cat([code.flatten(1), (x - _run(self._decoder, code)).flatten(1)], 1)[:, None]

    def synthesis(self, z: Tensor) -> Tensor:
        if self.residual is None:
            return _run(self._decoder, z)
        code, rest = z.flatten(1).split([math.prod(self._code), math.prod(self.shape)], 1)
        return _run(self._decoder, code.reshape(len(z), *self._code)) + rest.reshape(len(z), *self.shape)

    def ends(self, x: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        """(z, z₀); with residual="fixed" z₀ has the residual of x."""
        z, origin = super().ends(x, base)
        if self.residual != "fixed":
            return z, origin
        size = math.prod(self._code)
        return z, torch.cat([origin[..., :size], z[..., size:]], -1)

    def _measured(self, x: Tensor, z: Tensor) -> TransformClaim:
        claims, residuals = measure(self.analysis, self.synthesis, x, z)
        if TransformClaim.RECONSTRUCTS not in claims:
            found = f"{residuals[TransformClaim.RECONSTRUCTS]:.1e} (relative; rounding explains {tolerance(x.dtype):.1e})"
            advice = "residual='carried' for maps that lose a part of the signal, or probe= with signals that they keep"
            raise ValueError(f"{self.title}: inverse(forward(x)) differs from x by {found}; pass {advice}.")
        if self.residual == "fixed" and TransformClaim.LINEAR in claims:
            advice = "use residual='carried', or PCA.fit(data, components=k)"
            raise ValueError(f"{self.title}: the maps are linear, and linear transforms share one path from x₀; {advice}.")
        return claims

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield cls((2, 5), lambda x: x.sinh(), lambda z: z.asinh())
        for residual in RESIDUALS:
            squash = lambda x: x.unflatten(-1, (2, 2)).mean(-1).tanh()
            yield cls((1, 4), squash, lambda c: c.repeat_interleave(2, -1), residual=residual)


wrap = Wrap  # reads as a verb where a transform is made from two maps


def _run(map_: Map, value: Tensor) -> Tensor:
    """`map_` in the precision of its own parameters, with the result in that of `value`."""
    own = native((map_,), value)
    out = map_(value.to(own.dtype))
    return out.to(value.dtype) if isinstance(out, Tensor) and out.is_floating_point() else out


def _check_maps(forward: Map, inverse: Map) -> None:
    for what, map_ in (("forward", forward), ("inverse", inverse)):
        _check_map("wrap", what, map_)
        for name, module in map_.named_modules() if isinstance(map_, nn.Module) else ():
            if module.training and isinstance(module, _STATEFUL):
                found = f"{type(module).__name__} {quoted(name)} of {what} is in training mode"
                raise ValueError(f"wrap: {found}, so that its result is random or depends on the batch. Call .eval().")


def _check_map(who: str, what: str, map_: object) -> None:
    if not callable(map_):
        raise TypeError(f"{who}: {what} must be a module or another callable, got {type(map_).__name__}.")


def _check_layout(who: str, layout: object, code: Shape) -> Layout:
    if not isinstance(layout, Layout):
        raise TypeError(f"{who}: layout must be a Layout of coefficients of shape {code}, got {type(layout).__name__}.")
    if layout.shape != code:
        raise ValueError(f"{who}: layout must be one of coefficients of shape {code}, got {layout.shape}.")
    return layout


def _check_probe(probe: Tensor, shape: Shape) -> Tensor:
    real = isinstance(probe, Tensor) and probe.is_floating_point()
    if not real or tuple(probe.shape[1:]) != shape or len(probe) < 2:
        wanted = f"a real floating-point tensor of at least 2 signals of shape {shape}"
        raise ValueError(f"wrap: probe must be {wanted}, got {_kind(probe)}.")
    return probe.detach()


@torch.no_grad()
def _check_code(who: str, forward: Map, inverse: Map, x: Tensor) -> Shape:
    """Shape of one code, if both maps keep the batch first."""
    code = _run(forward, x)
    if not isinstance(code, Tensor) or not code.is_floating_point() or code.shape[:1] != x.shape[:1]:
        advice = "pack complex or several outputs into one"
        raise ValueError(f"{who}: forward must give one real tensor, batch first, got {_kind(code)}; {advice}.")
    back = _run(inverse, code)
    if not isinstance(back, Tensor) or back.shape != x.shape:
        wanted = f"a tensor of the shape of x, {tuple(x.shape)}"
        raise ValueError(f"{who}: inverse(forward(x)) must be {wanted}, got {_kind(back)}.")
    return tuple(code.shape[1:])


def _kind(value: object) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _with_residual(code: Layout, shape: Shape) -> Layout:
    """The code's layout, flattened, and one more band for the residual, whose coefficients are samples."""
    samples = sample_layout(shape, "residual")
    index = torch.cat([code.index.flatten(), samples.index.flatten() + len(code.bands)])[None]
    pairs = (code.frequency, samples.frequency), (code.position, samples.position)
    frequency, position = (torch.cat([part.reshape(len(shape) - 1, 1, -1) for part in pair], -1) for pair in pairs)
    grids = (*map(code.grid, range(len(code.bands))), shape)
    return Layout((*code.bands, Band("residual")), index, frequency, position, grids)


def measure(analysis: Map, synthesis: Map, x: Tensor, z: Tensor) -> tuple[TransformClaim, dict[TransformClaim, float]]:
    """The claims whose residual is no more than rounding, and the residuals, on at least two x, and z independent of T."""
    data, claims = Draw(x, x.flip(0), z, z.flip(0)), TransformClaim.NONE
    with torch.no_grad():
        residuals = {claim: law(analysis, synthesis, data) for claim, law in CLAIMS.items()}
    for claim, residual in residuals.items():
        if residual <= tolerance(x.dtype):
            claims |= claim
    return claims, residuals


def native(maps: Iterable[object], otherwise: Tensor) -> Tensor:
    """An empty tensor in the dtype and on the device of the first parameter among `maps`, or `otherwise`."""
    values = (value for map_ in maps if isinstance(map_, nn.Module) for value in map_.parameters())
    return next((value.detach().new_empty(0) for value in values if value.is_floating_point()), otherwise)


def normal(shape: Shape, like: Tensor, seed: int, batch: int = 4) -> Tensor:
    """Standard normal draws (batch, *shape) in the dtype and on the device of `like`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *shape, generator=generator, dtype=SINGLE).to(like)


def called(map_: Map) -> str:
    """A short name of the map for messages."""
    return getattr(map_, "__qualname__", type(map_).__name__).rpartition(".")[2]
