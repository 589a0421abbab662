"""`Transform`: one object that holds T and T⁻¹ and states its claims; `Compose`: one transform after another."""

import abc
import contextlib
import enum
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..core.checks import quoted, shortened
from ..core.precision import in_full_products, wide
from .layout import Band, Layout, Shape, unknown
from .reference import Reference
from .shapes import MOST_AXES, check_shape

_HOST = torch.device("cpu")

_LATER: Any = object()  # the shape of a transform that sets it itself


class TransformClaim(enum.Flag):
    """What a transform claims. Each single claim is the name of a law in `pullback.axioms`.

    LINEAR        T(ax + by) = a Tx + b Ty, and the same for T⁻¹
    RECONSTRUCTS  T⁻¹ T x = x
    SURJECTIVE    T T⁻¹ z = z for every z, not only for those in the range of T
    ISOMETRIC     ‖Tx‖ = ‖x‖

    ORTHOGONAL is all four, PARSEVAL all but SURJECTIVE, BIJECTIVE is RECONSTRUCTS and SURJECTIVE.

    >>> T = pb.transforms.get("swt(haar, level=1)", shape=(1, 8))
    >>> TransformClaim.PARSEVAL in T.claims, TransformClaim.SURJECTIVE in T.claims
    (True, False)
    """

    NONE = 0
    LINEAR = enum.auto()
    RECONSTRUCTS = enum.auto()
    SURJECTIVE = enum.auto()
    ISOMETRIC = enum.auto()
    BIJECTIVE = RECONSTRUCTS | SURJECTIVE
    PARSEVAL = LINEAR | RECONSTRUCTS | ISOMETRIC
    ORTHOGONAL = PARSEVAL | SURJECTIVE


def _in_plain_mode(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def built(*args: Any, **kwargs: Any) -> None:
        with torch.inference_mode(False), contextlib.nullcontext() if torch.get_default_device() == _HOST else _HOST:
            build(*args, **kwargs)

    return built


class Transform(nn.Module, abc.ABC):
    """x (batch, *shape) ↔ z (batch, *layout.shape); both are one real tensor, on one device, of one dtype.

    Authors write `analysis`, `synthesis` and `examples` (and `transpose` where it is faster than a vjp), and set `shape`,
    which `super().__init__(shape)` does, `layout`, `claims` and `spec`. Users call `T(x)`, `T.inverse(z)` and `T.adjoint(g)`.
    Half precision is computed and returned in single precision, also under torch.autocast. The range is that of the dtype:
    in single precision sums beyond 3.4e38 become infinite, and numbers below 1.2e-38 have fewer digits; scale x, or pass
    double precision. NaN in x reaches every coefficient that reads it: a check
    in each call would make a GPU wait, and is impossible under `torch.func.vmap`; `attribute` checks x once.
    Raises: TypeError or ValueError where a transform cannot be built for signals of the given shape, and where a call gets
    anything but a real floating-point tensor, batch first, of the expected shape.

    >>> T = pb.transforms.get("swt(haar, level=1)", shape=(1, 6))
    >>> x = torch.arange(6.0).reshape(1, 1, 6)
    >>> tuple(T(x).shape), torch.allclose(T.inverse(T(x)), x, atol=1e-5)
    ((1, 1, 12), True)
    """

    name: ClassVar[str] = ""  # the registered name, set by the registry
    shape: Shape  # of one signal, channels first
    layout: Layout
    claims: TransformClaim
    spec: str  # `get` builds this transform again from it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Lets a transform be built in any of torch's modes: its constants are ordinary tensors on the CPU."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            setattr(cls, "__init__", _in_plain_mode(cls.__init__))  # noqa: B010

    def __init__(self, shape: Iterable[int] = _LATER, dims: Iterable[int] = (1, 2, 3)) -> None:
        """Checks and sets `shape`, of a signal that has one of `dims` signal axes; `spec` is the name without arguments."""
        super().__init__()
        self.spec = self.name or type(self).__name__
        if shape is not _LATER:
            self.shape = check_shape(self.spec, shape, dims)

    @abc.abstractmethod
    def analysis(self, x: Tensor) -> Tensor:
        """T x.  x: (batch, *shape) -> (batch, *layout.shape)."""

    @abc.abstractmethod
    def synthesis(self, z: Tensor) -> Tensor:
        """T⁻¹ z.  z: (batch, *layout.shape) -> (batch, *shape)."""

    @classmethod
    @abc.abstractmethod
    def examples(cls) -> Iterable["Transform"]:
        """Small instances for the law suite: odd and even sizes, 1 to 3 axes, every mode."""

    @property
    def reference(self) -> Reference | str:
        """The same transform by another library, for the law `reference`, or the reason why there is none."""
        return "it names no other library"

    def transpose(self, g: Tensor) -> Tensor:
        """(T⁻¹)ᵀ g for a linear T: T itself where T is orthogonal, else by automatic differentiation of T⁻¹."""
        if TransformClaim.ORTHOGONAL in self.claims:
            return self.analysis(g)
        with torch.inference_mode(False), torch.enable_grad():
            g = g.clone() if g.is_inference() else g
            z = torch.zeros((len(g), *self.layout.shape), dtype=g.dtype, device=g.device, requires_grad=True)
            (out,) = torch.autograd.grad(self.synthesis(z), z, g, create_graph=g.requires_grad)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Coefficients z = T x.  x: (batch, *shape). Shape: (batch, *layout.shape).  Raises: as the class says."""
        x = _expect(self, "x", x, self.shape)
        return in_full_products(self.analysis, x)

    def inverse(self, z: Tensor) -> Tensor:
        """Signal x = T⁻¹ z.  z: (batch, *layout.shape). Shape: (batch, *shape).  Raises: as the class says."""
        z = _expect(self, "z", z, self.layout.shape)
        return in_full_products(self.synthesis, z)

    def adjoint(self, g: Tensor) -> Tensor:
        """(T⁻¹)ᵀ g: carries a covector (a gradient with respect to x) to the coordinates z.

        ⟨T⁻¹ z, g⟩ = ⟨z, T.adjoint(g)⟩ for all z, g.  g: (batch, *shape). Shape: (batch, *layout.shape).
        Raises: ValueError where T is not linear: then the adjoint depends on the point, and `attribute` uses autograd.

        >>> from pullback.transforms import get
        >>> get("linear([[2.0]])", shape=(1, 1)).adjoint(torch.ones(1, 1, 1))  # z = 2x, so that ∂f/∂z = ½ ∂f/∂x
        tensor([[[0.5000]]])
        """
        if TransformClaim.LINEAR not in self.claims:
            raise ValueError(f"{self.title}: only linear transforms have an adjoint; differentiate Pullback(model, T) instead.")
        g = _expect(self, "g", g, self.shape)
        return in_full_products(self.transpose, g)

    def refinement(self, coarse: "Transform") -> Callable[[Tensor], Tensor] | None:
        """The map from `coarse` x to T x, where T splits bands of `coarse` further, as a deeper pyramid does; else None."""
        return None

    def ends(self, x: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        """(z, z₀), the ends of a path where T is not linear: T x and T x₀, unless T holds a part of z fixed."""
        return self(x), self(base)

    @property
    def redundancy(self) -> float:
        """Coefficients per sample: 1 for a basis, more for frames.

        >>> pb.transforms.get("dwt(db4, level=1, mode=zero)", shape=(1, 16)).redundancy
        1.375
        """
        return math.prod(self.layout.shape) / math.prod(self.shape)

    @property
    def title(self) -> str:
        """The spec as messages show it: cut to 60 characters."""
        return shortened(self.spec, 60)

    def unpack(self, z: Tensor) -> dict[str, Tensor]:
        """{band name: coefficients of the band}, coarse to fine. Shapes: z (batch, *layout.shape), (batch, channels, *grid).

        Wavelet bands have their own size, in padded modes too; complex bands (2, *grid), real part first. Bands of bases such
        as `dct` are the rows and columns of z at their frequencies. z may be any tensor of its shape, such as `att.values`.
        Raises: ValueError for another shape, and where a band has no grid; TypeError where z is not a tensor.

        >>> T = pb.transforms.get("dwt(db2, level=1, mode=symmetric)", shape=(1, 5, 6))
        >>> {name: tuple(band.shape) for name, band in T.unpack(T(torch.ones(1, 1, 5, 6))).items()}["ad1"]
        (1, 1, 4, 4)
        """
        return self.layout.unpack(z)

    def pack(self, bands: Mapping[str, Tensor]) -> Tensor:
        """Inverse of `unpack`: z (batch, *layout.shape) of {band name: (batch, channels, *grid)}, in any order.

        Raises: ValueError where a band is missing, unknown or of another shape; TypeError where one is not a tensor.

        >>> T = pb.transforms.get("dwt(haar, level=1)", shape=(1, 4))
        >>> T.pack({"a1": torch.tensor([[[1.0, 2.0]]]), "d1": torch.zeros(1, 1, 2)})
        tensor([[[1., 2., 0., 0.]]])
        """
        return self.layout.pack(bands)

    def __rshift__(self, after: "Transform") -> "Transform":
        """`T1 >> T2` is x -> T2 T1 x, as in specs."""
        return Compose(self, after) if isinstance(after, Transform) else NotImplemented

    def extra_repr(self) -> str:
        """What `repr` shows in brackets."""
        return f"{self.spec!r}, shape={self.shape}"


class Chain(Transform):
    """z = T_n … T_2 T_1 x for the transforms in `parts`. It claims what all its parts claim."""

    def __init__(self, parts: Sequence[Transform]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.shape = parts[0].shape
        self.claims = functools.reduce(lambda claims, part: claims & part.claims, parts, TransformClaim.ORTHOGONAL)

    def _sequence(self) -> list[Transform]:
        return [part for part in self.parts if isinstance(part, Transform)]

    def analysis(self, x: Tensor) -> Tensor:
        return functools.reduce(lambda x, part: part.analysis(x), self._sequence(), x)

    def synthesis(self, z: Tensor) -> Tensor:
        for part in reversed(self._sequence()):
            z = part.synthesis(z)
        return z

    def transpose(self, g: Tensor) -> Tensor:
        return functools.reduce(lambda g, part: part.transpose(g), self._sequence(), g)

    def ends(self, x: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        for part in self._sequence():
            x, base = part.ends(x, base)
        return x, base


class Compose(Chain):
    """z = T_n … T_2 T_1 x. It claims what all its parts claim, and has the bands of the last part.

    Frequencies, positions and scales are those of the last part if every part before it acts on each sample by itself, as
    `color` does. After a part that mixes samples they would describe its coefficients: there frequencies and positions are
    NaN, and every band spans all scales.  Raises: ValueError where a part does not take the coefficients of the one before.

    >>> from pullback.transforms import get
    >>> get("pixel >> dct", shape=(1, 8)).spec
    'pixel >> dct'
    """

    def __init__(self, *parts: Transform) -> None:
        if not parts:
            raise ValueError("Compose: expected at least one transform, got none.")
        parts = tuple(check_transform("Compose", part) for part in parts)
        for first, second in zip(parts, parts[1:]):
            if first.layout.shape != second.shape:
                made = f"{first.title} gives coefficients of shape {first.layout.shape}"
                raise ValueError(f"Compose: {made}, but {second.title} takes signals of shape {second.shape}.")
        super().__init__(parts)
        self.spec = " >> ".join(part.spec for part in parts)
        self.layout = _composed_layout(parts)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        """None: the transforms that it could compose import this file. The tests build some."""
        return []


def _composed_layout(parts: Sequence[Transform]) -> Layout:
    """The layout of the last part, as far as it describes the signal."""
    last = parts[-1].layout
    if all(_samplewise(part) for part in parts[:-1]):
        return last
    nowhere = unknown((len(parts[0].shape) - 1, *last.shape))
    return Layout(tuple(Band(band.name) for band in last.bands), last.index, nowhere, nowhere, last.grids)


def _samplewise(part: Transform) -> bool:
    """Whether each coefficient belongs to one sample: positions are known, there is no frequency, and nothing is moved."""
    n = part.layout
    return n.shape == part.shape and bool(n.frequency.isnan().all()) and bool(n.position.isfinite().all())


def _expect(transform: Transform, what: str, value: Tensor, shape: Shape) -> Tensor:
    """`value` in single precision or wider, if it is real and of shape (batch, *shape)."""
    wanted = f"a real floating-point tensor of shape (batch, {', '.join(map(str, shape))})"
    if not isinstance(value, Tensor):
        raise TypeError(f"{transform.title}: {what} must be {wanted}, got {type(value).__name__}.")
    fits = tuple(value.shape[1:]) == shape and value.ndim == len(shape) + 1 and len(value) > 0
    if not value.is_floating_point() or not fits:
        got = f"{value.dtype} of shape {quoted(tuple(value.shape))}"
        raise ValueError(f"{transform.title}: {what} must be {wanted}, got {got}; {_advice(value, shape)}")
    return value.to(wide(value.dtype))


def _advice(value: Tensor, shape: Shape) -> str:
    if value.is_complex():
        return "pass real and imaginary parts as two channels."
    if not value.is_floating_point():
        return "convert it with .float() or .double()."
    if value.numel() == 0:
        return "pass at least one example."
    if tuple(value.shape) == shape:
        return "add the batch axis with x[None]."
    if value.ndim - len(shape) in (0, 1) and _channels_last(value.shape[-len(shape) :], shape):
        return f"its channels are last: move them with x.movedim(-1, {-len(shape)}){'[None]' * (value.ndim == len(shape))}."
    if value.ndim > MOST_AXES:
        return "reshape the tensor."
    if value.ndim == len(shape):
        return f"for one signal, add the batch axis with x[None], and build the transform with shape={tuple(value.shape)}."
    return f"build the transform with shape={tuple(value.shape[1:])}, or reshape the tensor."


def _channels_last(found: Sequence[int], shape: Shape) -> bool:
    """Whether the last axis of `found` seems to hold the channels, by their number or by the sizes of the other axes."""
    fits = 1 < len(shape) == len(found) and found[0] != found[-1]
    return fits and (tuple(found[:-1]) == shape[1:] or found[-1] == shape[0])


def check_transform(who: str, transform: object) -> "Transform":
    """`transform`, if it is one.  Raises: TypeError that says how to build one."""
    if not isinstance(transform, Transform):
        advice = "build one with pullback.transforms.get(spec, shape)"
        raise TypeError(f"{who}: expected a Transform, got {type(transform).__name__}; {advice}.")
    return transform
