"""One level of a filter bank on images as one GPU kernel each way: every sample is read once and every band written once.

It is imported only where Triton is installed, which comes with torch for CUDA. A program walks down a strip of rows. For
each row it computes the outputs of both filters from shifted loads, which the first cache serves, and adds them, times the
taps of the other axis, to the outputs that are not complete yet; these stay in registers.
"""

import contextlib
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language import constexpr

ROWS, COLUMNS = 16, 128  # outputs of one program: fewer rows read more samples twice, more leave processors idle

# Arguments that get no kernel of their own for each value, since compiling one takes a second for each level.
NUMBERS = ["apart", "z_apart", "offset", "H", "W", "h", "w", "left"]

MODES = {"zero": 0, "constant": 1, "periodic": 2, "symmetric": 3, "reflect": 4}


def split(x: Tensor, low: Tensor, z: Tensor, offset: int, taps: Tensor, left: int, mode: str, count: list[int]) -> None:
    """b[k, l] = Σ_mn f[m] f'[n] x[2k + m - left, 2l + n - left] for the four pairs of the two filters.

    x (batch, channels, H, W), contiguous.  count: (h, w), outputs along each axis.  The first band begins each image of low
    (batch, channels, …), the other three follow one another in z (batch, channels, K), from `offset` on.
    taps: (2, L), L even.
    """
    _launch(_split, count, count, x, low, z, offset, taps, left, mode)


def merge(x: Tensor, low: Tensor, z: Tensor, offset: int, taps: Tensor, left: int, mode: str, count: list[int]) -> None:
    """The transpose, written into x: x[i, j] = Σ f[i + left - 2k] f'[j + left - 2l] b[k, l] over k, l and the four bands.

    mode: zero, or periodic: how the bands are continued beyond their ends.
    """
    pairs = [(n + left % 2 + 1) // 2 for n in x.shape[-2:]]
    _launch(_merge, pairs, count, x, low, z, offset, taps, left, mode)


def _launch(kernel: Any, places: list[int], count: list[int], x: Tensor, *rest: Any) -> None:
    """One program per image, `ROWS` places of the first axis, and up to `COLUMNS` of the second."""
    low, z, offset, taps, left, mode = rest
    batch, channels, height, width = x.shape
    columns = min(COLUMNS, max(32, triton.next_power_of_2(places[1])))
    grid = (batch * channels, -(-places[0] // ROWS), -(-places[1] // columns))
    sizes = low.shape[2:].numel(), z.shape[-1], offset, height, width, *count, left, taps.shape[1]
    elsewhere = x.is_cuda and x.device.index != torch.cuda.current_device()  # Triton launches on the current device
    with torch.cuda.device(x.device) if elsewhere else contextlib.nullcontext():
        kernel[grid](x, low, z, taps, *sizes, MODES[mode], ROWS, columns, num_warps=columns // 32)


@triton.jit
def _inside(i, n, MODE: constexpr):
    """The index of the sample that continues a signal of n samples at place i."""
    if MODE == 1:
        i = tl.minimum(tl.maximum(i, 0), n - 1)
    if MODE == 2:
        i = ((i % n) + n) % n
    if MODE == 3:
        i = ((i % (2 * n)) + 2 * n) % (2 * n)
        i = tl.minimum(i, 2 * n - 1 - i)
    if MODE == 4:
        last = 2 * n - 2
        period = tl.maximum(last, 1)
        i = ((i % period) + period) % period
        i = tl.minimum(i, last - i)
    return i


@triton.jit
def _samples(x, i, places, use, H, W, L: constexpr, MODE: constexpr):
    """L samples around each place of row i."""
    row = _inside(i, H, MODE)
    values = ()
    for n in tl.static_range(L):
        column = _inside(places + n, W, MODE)
        read = use & (row >= 0) & (row < H) & (column >= 0) & (column < W) if MODE == 0 else use
        values = values + (tl.load(x + row * W + column, mask=read, other=0.0),)  # type: ignore[assignment]
    return values


@triton.jit(do_not_specialize=NUMBERS)
def _split(
    x, low, z, taps, apart, z_apart, offset, H, W, h, w, left, L: constexpr, MODE: constexpr, R: constexpr, C: constexpr
):
    image = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * R
    place = tl.program_id(2) * C + tl.arange(0, C)
    x += image * H * W
    aa = low + image * apart + place
    ad = z + image * z_apart + offset + place
    da, dd = ad + h * w, ad + 2 * h * w
    P: constexpr = L // 2
    zero = tl.zeros((C,), x.dtype.element_ty)
    # The sums so far of the outputs first + step - j, j = 0 … P - 1, of each band.
    s_aa, s_ad, s_da, s_dd = (zero,) * P, (zero,) * P, (zero,) * P, (zero,) * P
    for step in range(R + P - 1):
        for p in tl.static_range(2):
            values = _samples(x, 2 * (first + step) + p - left, 2 * place - left, place < w, H, W, L, MODE)
            near, far = zero, zero
            for n in tl.static_range(L):
                near += tl.load(taps + n) * values[n]
                far += tl.load(taps + L + n) * values[n]
            for j in tl.static_range(P):
                a, d = tl.load(taps + 2 * j + p), tl.load(taps + L + 2 * j + p)
                s_aa = s_aa[:j] + (s_aa[j] + a * near,) + s_aa[j + 1 :]
                s_ad = s_ad[:j] + (s_ad[j] + a * far,) + s_ad[j + 1 :]
                s_da = s_da[:j] + (s_da[j] + d * near,) + s_da[j + 1 :]
                s_dd = s_dd[:j] + (s_dd[j] + d * far,) + s_dd[j + 1 :]
        k = first + step - (P - 1)
        write = (place < w) & (k >= first) & (k < h)
        tl.store(aa + k * w, s_aa[P - 1], mask=write)
        tl.store(ad + k * w, s_ad[P - 1], mask=write)
        tl.store(da + k * w, s_da[P - 1], mask=write)
        tl.store(dd + k * w, s_dd[P - 1], mask=write)
        s_aa, s_ad = (zero,) + s_aa[: P - 1], (zero,) + s_ad[: P - 1]
        s_da, s_dd = (zero,) + s_da[: P - 1], (zero,) + s_dd[: P - 1]


@triton.jit(do_not_specialize=NUMBERS)
def _merge(
    x, low, z, taps, apart, z_apart, offset, H, W, h, w, left, L: constexpr, MODE: constexpr, R: constexpr, C: constexpr
):
    image = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * R
    t = tl.program_id(2) * C + tl.arange(0, C)
    x += image * H * W
    aa = low + image * apart
    ad = z + image * z_apart + offset
    da, dd = ad + h * w, ad + 2 * h * w
    P: constexpr = L // 2
    zero = tl.zeros((C,), x.dtype.element_ty)
    # Pair t holds the samples 2t - left % 2 and the next. The sums so far of the pairs first + step - (P - 1) + j, for each
    # of their two rows (first number) and columns (second).
    s_00, s_01, s_10, s_11 = (zero,) * P, (zero,) * P, (zero,) * P, (zero,) * P
    even = (2 * t - left % 2 >= 0) & (2 * t - left % 2 < W)
    odd = 2 * t - left % 2 + 1 < W
    use = even | odd
    # The first of the coefficients that a pair reads, which belongs to the last taps.
    least = t + left // 2 - (P - 1)
    for step in range(R + P - 1):
        k = first + step - (P - 1) + left // 2
        v_aa, v_ad = _samples(aa, k, least, use, h, w, P, MODE), _samples(ad, k, least, use, h, w, P, MODE)
        v_da, v_dd = _samples(da, k, least, use, h, w, P, MODE), _samples(dd, k, least, use, h, w, P, MODE)
        a_0, a_1, d_0, d_1 = zero, zero, zero, zero
        for j in tl.static_range(P):
            low_0, low_1 = tl.load(taps + 2 * j), tl.load(taps + 2 * j + 1)
            high_0, high_1 = tl.load(taps + L + 2 * j), tl.load(taps + L + 2 * j + 1)
            a_0 += low_0 * v_aa[P - 1 - j] + high_0 * v_ad[P - 1 - j]
            a_1 += low_1 * v_aa[P - 1 - j] + high_1 * v_ad[P - 1 - j]
            d_0 += low_0 * v_da[P - 1 - j] + high_0 * v_dd[P - 1 - j]
            d_1 += low_1 * v_da[P - 1 - j] + high_1 * v_dd[P - 1 - j]
        for j in tl.static_range(P):
            low_0, low_1 = tl.load(taps + 2 * j), tl.load(taps + 2 * j + 1)
            high_0, high_1 = tl.load(taps + L + 2 * j), tl.load(taps + L + 2 * j + 1)
            s_00 = s_00[:j] + (s_00[j] + low_0 * a_0 + high_0 * d_0,) + s_00[j + 1 :]
            s_01 = s_01[:j] + (s_01[j] + low_0 * a_1 + high_0 * d_1,) + s_01[j + 1 :]
            s_10 = s_10[:j] + (s_10[j] + low_1 * a_0 + high_1 * d_0,) + s_10[j + 1 :]
            s_11 = s_11[:j] + (s_11[j] + low_1 * a_1 + high_1 * d_1,) + s_11[j + 1 :]
        pair = first + step - (P - 1)
        i, c = 2 * pair - left % 2, 2 * t - left % 2
        upper, lower = (pair >= first) & (i >= 0) & (i < H), (pair >= first) & (i + 1 < H)
        tl.store(x + i * W + c, s_00[0], mask=even & upper)
        tl.store(x + i * W + c + 1, s_01[0], mask=odd & upper)
        tl.store(x + (i + 1) * W + c, s_10[0], mask=even & lower)
        tl.store(x + (i + 1) * W + c + 1, s_11[0], mask=odd & lower)
        s_00, s_01 = s_00[1:] + (zero,), s_01[1:] + (zero,)
        s_10, s_11 = s_10[1:] + (zero,), s_11[1:] + (zero,)
