"""The wavelet transforms by PyWavelets and ptwt, for the law `reference`."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import pywt
from torch import Tensor

from ..reference import Array, Reference
from .filterbank import step_keys
from .packing import Cell, unpack

Sizes = Sequence[Sequence[int]]  # of the signals that are split, finest first
Pyramid = list[Any]  # [approximation, {letters: detail}, …], coarse to fine
Inverse = Callable[[Pyramid], Array]

_LEVEL_0 = "level 0 is the signal itself"
_INEXACT = "the filters are inexact, which only the inverse of this library corrects"
_LONGEST = 24  # taps up to which ptwt's single pass of Gram-Schmidt keeps boundary filters orthogonal to 1e-11


def dwt_reference(wavelet: pywt.Wavelet, mode: str, inputs: Sizes, cells: Sequence[Cell], exact: bool) -> Reference | str:
    """PyWavelets in mode periodization, ptwt in the others.  exact: whether the filters reconstruct to rounding."""
    if not inputs:
        return _LEVEL_0
    sizes, level = inputs[0], len(inputs)
    if mode == "periodization":
        axes = tuple(range(-len(sizes), 0))
        forward = lambda x: pywt.wavedecn(x.numpy(), wavelet, mode, level, axes)
        back = lambda bands: pywt.waverecn(_arrays(bands), wavelet, mode, axes)
        return _odd(inputs) or _reference("pywt.wavedecn", forward, back, sizes, cells, exact)
    if mode == "boundary" and wavelet.dec_len > _LONGEST:
        return f"ptwt's boundary filters of more than {_LONGEST} taps are not orthogonal"
    import ptwt

    suffix = "" if len(sizes) == 1 else str(len(sizes))
    name, letters = f"wavedec{suffix}", ["da", "ad", "dd"]
    if mode == "boundary":
        name, letters = f"MatrixWavedec{suffix}", ["ad", "da", "dd"]
        decompose = getattr(ptwt, name)(wavelet, level, orthogonalization="gramschmidt")
        compose = getattr(ptwt, f"MatrixWaverec{suffix}")(wavelet, orthogonalization="gramschmidt")
    else:
        decompose = lambda x: getattr(ptwt, name)(x, wavelet, mode=mode, level=level)
        compose = lambda bands: getattr(ptwt, f"waverec{suffix}")(bands, wavelet)
    read, write = _structure(len(sizes), letters)
    named = lambda x: [step if i == 0 else read(step) for i, step in enumerate(decompose(x))]
    return _reference(f"ptwt.{name}", named, lambda z: compose((z[0], *map(write, z[1:]))), sizes, cells, exact)


def _structure(dims: int, letters: Sequence[str]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Details of one level from ptwt's structure to a dictionary, and back."""
    import ptwt

    if dims == 1:
        return lambda step: {"d": step}, lambda step: step["d"]
    if dims == 2:
        return lambda step: dict(zip(letters, step)), lambda step: ptwt.WaveletDetailTuple2d(*map(step.get, letters))
    return dict, dict


def swt_reference(
    wavelet: pywt.Wavelet, level: int, sizes: Sequence[int], cells: Sequence[Cell], exact: bool
) -> Reference | str:
    """PyWavelets' undecimated transform, normalised."""
    if level == 0:
        return _LEVEL_0
    if any(n % 2**level for n in sizes):
        return f"PyWavelets takes only multiples of {2**level} samples at level {level}"
    options = {"axes": tuple(range(-len(sizes), 0)), "norm": True}
    forward = lambda x: pywt.swtn(x.numpy(), wavelet, level, trim_approx=True, **options)
    back = lambda bands: pywt.iswtn(_arrays(bands), wavelet, **options)
    return _reference("pywt.swtn", forward, back, sizes, cells, exact)


def wpt_reference(
    wavelet: pywt.Wavelet, nodes: Sequence[str], inputs: Sizes, cells: Sequence[Cell], exact: bool
) -> Reference | str:
    """PyWavelets' packets."""
    if not inputs or _odd(inputs):
        return _odd(inputs) or _LEVEL_0

    def tree(data: Any) -> Any:
        axes = tuple(range(-len(inputs[0]), 0))
        return pywt.WaveletPacketND(data, wavelet, "periodization", maxlevel=max(map(len, nodes)), axes=axes)

    def analysis(x: Tensor) -> list[Array]:
        whole = tree(x.numpy())
        return [whole[path].data for path in nodes]

    def synthesis(z: Tensor) -> Array:
        empty = tree(None)
        for path, band in zip(nodes, unpack(z, cells)):
            empty[path] = band.numpy()
        return empty.reconstruct(update=False)

    return Reference("pywt.WaveletPacketND", analysis, synthesis if exact else _INEXACT)


def _reference(
    library: str, forward: Callable[[Tensor], Pyramid], back: Inverse, sizes: Sequence[int], cells: Sequence[Cell], exact: bool
) -> Reference:
    keys, inside = step_keys(len(sizes))[1:], cast(Any, (..., *map(slice, sizes)))

    def analysis(x: Tensor) -> list[Array]:
        with warnings.catch_warnings(action="ignore"):  # of deep levels, of lost energy, of sparse tensors
            low, *steps = forward(x)
        return [low, *(step[key] for step in steps for key in keys)]

    def synthesis(z: Tensor) -> Array:
        low, *details = unpack(z, cells)
        steps = [dict(zip(keys, details[i : i + len(keys)])) for i in range(0, len(details), len(keys))]
        with warnings.catch_warnings(action="ignore"):
            return back([low, *steps])[inside]

    return Reference(library, analysis, synthesis if exact else _INEXACT)


def _odd(inputs: Sizes) -> str:
    odd = next((n for sizes in inputs for n in sizes if n % 2), 0)
    return f"PyWavelets repeats the last of {odd} samples; this library passes it on to the approximation" if odd else ""


def _arrays(bands: Pyramid) -> Pyramid:
    low, *steps = bands
    return [low.numpy(), *({key: band.numpy() for key, band in step.items()} for step in steps)]
