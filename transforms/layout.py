"""The meaning of each coefficient: its band, its centre frequency and its position."""

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.checks import choose, quoted
from ..core.isolation import lasting_tensors
from ..core.precision import SINGLE

Shape = tuple[int, ...]

GROUPINGS = ("band", "scale", "orientation", "octave")


@dataclass(frozen=True)
class Band:
    """A named group of coefficients.

    `scale` is 1 for the finest octave, 2 for the next, and so on; a band that is coarser than octave J has scale J + 1,
    and scale 0 means that the band spans every scale (a pixel). `orientation` has one letter per signal axis, `d` where
    the band holds the detail of that axis and `a` where it holds the approximation, as in PyWavelets; it is an angle in
    degrees such as "+15" for oriented bands, and empty for bands without an orientation. The band covers (`low`, `high`]
    in `unit`, measured on the axis of highest frequency.

    >>> from pullback.transforms import get
    >>> [(band.name, band.scale, band.low, band.high) for band in get("dwt(haar, level=1)", shape=(1, 8)).layout.bands]
    [('a1', 2, 0.0, 0.25), ('d1', 1, 0.25, 0.5)]
    """

    name: str
    scale: int = 0
    orientation: str = ""
    low: float = 0.0
    high: float = 0.5
    unit: str = "cycles/sample"

    @property
    def octave(self) -> str:
        """`octave j` for bands in (2^-(j+1), 2^-j] cycles/sample, `coarser` for bands that include frequency 0, else `all`.

        >>> [Band("d2", 2, low=0.125, high=0.25).octave, Band("a2", 3, high=0.125).octave, Band("pixels").octave]
        ['octave 2', 'coarser', 'all']
        """
        if self.scale == 0:
            return "all"
        return "coarser" if self.low == 0 else f"octave {math.floor(-math.log2(self.high))}"

    def label(self, by: str) -> str:
        """The name of the group that contains this band when bands are grouped `by` one of `GROUPINGS`.

        >>> Band("ad2", 2, "ad").label("scale"), Band("ad2", 2, "ad").label("orientation")
        ('scale 2', 'ad')
        """
        own = {
            "band": self.name,
            "scale": f"scale {self.scale}",
            "orientation": self.orientation or "all",
            "octave": self.octave,
        }
        return own[by]


@dataclass(frozen=True)
class Later:
    """A tensor of `shape` that `make` computes when it is first needed."""

    shape: Shape
    make: Callable[[], Tensor]


class _TensorField:
    """A field of a dataclass that is given as a tensor or as a `Later`, and is read as a tensor."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, instance: object, owner: type) -> Tensor:
        if instance is None:
            raise AttributeError("the field has no default")
        value = vars(instance)[self._name]
        if isinstance(value, Later):
            with lasting_tensors():
                value = vars(instance)[self._name] = value.make()
        return value

    def __set__(self, instance: object, value: Tensor | Later) -> None:
        vars(instance)[self._name] = value


@dataclass(frozen=True, eq=False)
class Layout:
    """Coefficient k belongs to `bands[index[k]]`; `index` has the shape of one z and can serve as a feature mask.

    Every coefficient belongs to exactly one band, so sums over bands conserve totals.
    grids: the shape (channels, *grid) of each band, whose coefficients follow each other in z in this order; None for a
    band without a grid. Empty where the bands are rows and columns of z, or have no grid.
    Shapes: index (*coeff), int64; frequency and position (dims, *coeff).
    Units: frequency in cycles/sample and position in samples, per signal axis; NaN where a coefficient has none
    (a pixel has no frequency, a Fourier coefficient no position).

    >>> from pullback.transforms import get
    >>> layout = get("dwt(haar, level=1)", shape=(1, 4)).layout
    >>> [layout.bands[k].name for k in layout.index[0]], layout.position[0, 0].tolist()
    (['a1', 'a1', 'd1', 'd1'], [0.5, 2.5, 0.5, 2.5])
    """

    bands: tuple[Band, ...]
    index: _TensorField = _TensorField()
    frequency: _TensorField = _TensorField()
    position: _TensorField = _TensorField()
    grids: tuple[Shape | None, ...] = ()

    @property
    def shape(self) -> Shape:
        """Shape of one z."""
        return tuple(vars(self)["_index"].shape)

    @property
    def sizes(self) -> Tensor:
        """The number of coefficients in each band. Shape: (bands,)."""
        return torch.bincount(self.index.flatten(), minlength=len(self.bands))

    def sum(self, values: Tensor) -> Tensor:
        """Total of `values` (batch, *coeff) in each band. Shape: (batch, bands).  Raises: ValueError for another shape.

        >>> from pullback.transforms import get
        >>> layout = get("dwt(haar, level=1)", shape=(1, 4)).layout
        >>> layout.sum(torch.tensor([[[1.0, 2.0, 30.0, 40.0]]]))
        tensor([[ 3., 70.]])
        """
        self._check("Layout.sum", values)
        index = self.index.to(values.device).flatten().expand(len(values), -1)
        return values.new_zeros(len(values), len(self.bands)).scatter_add(1, index, values.flatten(1))

    def unpack(self, values: Tensor) -> dict[str, Tensor]:
        """{band name: (batch, channels, *grid)} of `values` (batch, *coeff), as `Transform.unpack`."""
        self._check("unpack", values)
        parts = values.flatten(1)[:, self._order.to(values.device)].split(self.sizes.tolist(), 1)
        return {name: part.reshape(len(values), *grid) for part, (name, grid) in zip(parts, self._named_grids.items())}

    def pack(self, bands: Mapping[str, Tensor]) -> Tensor:
        """Inverse of `unpack`, as `Transform.pack`."""
        names = self._named_grids
        if not isinstance(bands, Mapping) or set(bands) != set(names):
            found = [name for name in names if name not in bands] if isinstance(bands, Mapping) else []
            wrong = (
                f"{quoted(found[0])} is missing"
                if found
                else f"got {quoted(bands if not isinstance(bands, Mapping) else list(bands))}"
            )
            raise ValueError(f"pack: expected a mapping of the bands {quoted(list(names))}; {wrong}.")
        batch = next((len(band) for band in bands.values() if isinstance(band, Tensor) and band.ndim), 0)
        for name, grid in names.items():
            band = bands[name]
            if not isinstance(band, Tensor) or tuple(band.shape) != (batch, *grid):
                self._refuse("pack", f"bands of one batch, and {name!r} as a tensor", grid, band)
        row = torch.cat([bands[name].flatten(1) for name in names], 1)
        return row[:, self._order.argsort().to(row.device)].reshape(batch, *self.shape)

    def _check(self, who: str, values: object) -> None:
        if not isinstance(values, Tensor) or values.ndim == 0 or tuple(values.shape[1:]) != self.shape:
            self._refuse(who, "a tensor", self.shape, values)

    @staticmethod
    def _refuse(who: str, what: str, shape: Shape, found: object) -> None:
        wanted = f"{what} of shape (batch, {', '.join(map(str, shape))})"
        if not isinstance(found, Tensor):
            raise TypeError(f"{who}: expected {wanted}, got {type(found).__name__}.")
        raise ValueError(f"{who}: expected {wanted}, got {tuple(found.shape)}.")

    @functools.cached_property
    def _order(self) -> Tensor:
        """The places of the coefficients in the flattened z, band by band. Shape: (coefficients,)."""
        with lasting_tensors():
            return self.index.flatten().argsort(stable=True)

    @functools.cached_property
    def _named_grids(self) -> dict[str, Shape]:
        """{band name: (channels, *grid)}.  Raises: ValueError where a band has no grid, or two have one name."""
        twice = [name for name, count in Counter(band.name for band in self.bands).items() if count > 1]
        if twice:
            raise ValueError(f"unpack: two bands have the name {twice[0]!r}; read them by layout.index.")
        found = {}
        for number, band in enumerate(self.bands):
            if (grid := self.grid(number)) is None:
                advice = f"as it is no block of rows and columns of z; read it by layout.index == {number}"
                raise ValueError(f"unpack: band {band.name!r} has no grid, {advice}.")
            found[band.name] = grid
        return found

    def grid(self, number: int) -> Shape | None:
        """(channels, *grid) of a band: as given, or the rows and columns of z that make it up; None where there are none."""
        if self.grids:
            return self.grids[number]
        own = self.index == number
        sizes = tuple(int(own.movedim(axis, 0).reshape(n, -1).any(1).sum()) for axis, n in enumerate(own.shape))
        return sizes if math.prod(sizes) == int(own.sum()) else None

    def group(self, by: str) -> "Layout":
        """The layout with bands merged by "band", "scale", "orientation" or "octave", from coarse to fine.

        Raises: ValueError that lists the choices.

        >>> from pullback.transforms import get
        >>> [band.name for band in get("dwt(haar, level=2)", shape=(1, 8, 8)).layout.group("octave").bands]
        ['coarser', 'octave 2', 'octave 1']
        """
        by = choose("Layout.group", "by", by, GROUPINGS)
        labels = [band.label(by) for band in self.bands]
        names = list(dict.fromkeys(labels))
        lookup = torch.tensor([names.index(label) for label in labels], device=self.index.device)
        merged = tuple(_merge([band for band in self.bands if band.label(by) == name], name, by) for name in names)
        return Layout(merged, lookup[self.index], self.frequency, self.position)


def _merge(bands: Sequence[Band], name: str, by: str) -> Band:
    """One band that covers all of `bands`."""
    scales, orientations = {band.scale for band in bands}, {band.orientation for band in bands}
    scale = scales.pop() if len(scales) == 1 else 0
    orientation = orientations.pop() if len(orientations) == 1 and by != "octave" else ""
    low, high = min(band.low for band in bands), max(band.high for band in bands)
    return Band(name, scale, orientation, low, high, bands[0].unit)


def unknown(shape: Sequence[int]) -> Tensor:
    """Frequencies or positions about which nothing is known. Shape: as given."""
    return torch.full(tuple(shape), math.nan, dtype=SINGLE)


def sample_layout(shape: Shape, name: str) -> Layout:
    """The layout of coefficients that are samples: one band, with positions and without frequencies."""
    position = signal_position(shape)
    return Layout((Band(name),), torch.zeros(shape, dtype=torch.long), torch.full_like(position, math.nan), position)


def plain_layout(shape: Shape, dims: int, name: str = "coefficients") -> Layout:
    """The layout of coefficients about which nothing is known: one band, without frequencies and positions."""
    nowhere = unknown((dims, *shape))
    return Layout((Band(name),), torch.zeros(shape, dtype=torch.long), nowhere, nowhere)


def signal_position(shape: Shape) -> Tensor:
    """Position of every sample of a signal of `shape` (channels, *spatial). Shape: (dims, *shape)."""
    return spread([torch.arange(n, dtype=SINGLE) for n in shape[1:]], shape)


def spread(axes: Sequence[Tensor], shape: Shape) -> Tensor:
    """One vector per axis, broadcast over a grid of `shape` (channels, *sizes). Shape: (dims, *shape), a view."""
    if not axes:
        return torch.zeros((0, *shape), dtype=SINGLE)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return grid[:, None].expand(len(axes), *shape)


def octave_layout(shape: Shape, frequencies: Sequence[Tensor]) -> Layout:
    """The layout of a basis of the whole signal with one coefficient per grid point of `frequencies`.

    A coefficient belongs to octave j when the largest of its axis frequencies lies in (2^-(j+1), 2^-j], and its
    orientation has a `d` for each axis whose frequency lies there too. Separable wavelets cut the plane into the same
    cells, so the bands of a DCT, a DFT and a wavelet transform have the same names and can be compared.

    frequencies: one vector of non-negative cycles/sample per axis, (n_i,).
    """
    frequency, dims = spread(frequencies, shape), len(frequencies)
    # There are few octaves and many frequencies: the cells are found on the grid of octaves, then looked up.
    octaves, places = zip(*(torch.unique(_octave(axis), return_inverse=True) for axis in frequencies))
    grid = torch.stack(torch.meshgrid(*octaves, indexing="ij"))  # (dims, *octaves)
    finest = grid.amin(0)
    coarsest = int(finest[finest < _CONSTANT].max()) if bool((finest < _CONSTANT).any()) else 0
    detail = grid == finest
    bits = sum(detail[axis].long() << (dims - 1 - axis) for axis in range(dims))
    label = torch.where(finest == _CONSTANT, torch.zeros_like(finest), finest * 2**dims + bits)
    present, index = torch.unique(label, return_inverse=True)
    labels = present.tolist()
    # Coarse to fine: the constant first, then the octaves from the largest number down.
    order = sorted(range(len(labels)), key=lambda i: (labels[i] > 0, -(labels[i] >> dims), labels[i]))
    bands = tuple(_octave_band(labels[i], dims, coarsest) for i in order)
    index = torch.tensor(order).argsort()[index][torch.meshgrid(*places, indexing="ij")]
    nowhere = frequency.new_full((), math.nan).expand(frequency.shape)
    return Layout(bands, index.expand(shape).contiguous(), frequency, nowhere)


_CONSTANT = 1_000  # stands for the octave of frequency 0: coarser than any octave of a signal


def _octave(frequency: Tensor) -> Tensor:
    """j such that frequency lies in (2^-(j+1), 2^-j]. Shape: as given, int64."""
    octave = torch.floor(-torch.log2(frequency.double()))
    return torch.where(frequency > 0, octave, torch.full_like(octave, _CONSTANT)).long()


def _octave_band(label: int, dims: int, coarsest: int) -> Band:
    if label == 0:
        return Band("a" * dims + str(coarsest), coarsest + 1, "a" * dims, 0.0, 2.0 ** -(coarsest + 1))
    octave, bits = label >> dims, label & ((1 << dims) - 1)
    orientation = "".join("d" if bits >> (dims - 1 - axis) & 1 else "a" for axis in range(dims))
    return Band(f"{orientation}{octave}", octave, orientation, 2.0 ** -(octave + 1), 2.0**-octave)
