"""The GPU kernels on a CPU, in Triton's interpreter, against torch's own operations. Run by test_triton_kernels.py.

It is a process of its own because Triton reads TRITON_INTERPRET when it is imported.
"""

import contextlib
import sys
from collections.abc import Iterator

import pywt
import torch
from torch import Tensor

import pullback as pb
from pullback.transforms import DWT, TransformClaim
from pullback.transforms.wavelets import filterbank
from pullback.transforms.wavelets import triton_kernels as kernels

CASES = (
    ("haar", "periodization", (2, 8, 4), 2),
    ("db2", "periodization", (1, 8, 4), 1),
    ("bior1.3", "zero", (1, 5, 6), 1),
    ("db2", "reflect", (1, 5, 4), 1),
    ("db2", "symmetric", (1, 3, 4), 1),
    ("db2", "periodic", (1, 4, 5), 1),
    ("db2", "constant", (1, 3, 4), 1),
)


def results(transform: pb.transforms.Transform, x: Tensor) -> list[Tensor]:
    z = transform(x)
    found = [z, transform.inverse(z)]
    return found if TransformClaim.ISOMETRIC in transform.claims else [*found, transform.adjoint(x)]


@contextlib.contextmanager
def on_kernels() -> Iterator[None]:
    """Inside, transforms use the GPU kernels, as if tensors were on a GPU."""
    fused, own = filterbank.FilterBank.fused, DWT._kernels
    filterbank.FilterBank.fused = lambda bank, x, sizes: kernels if all(map(bank._in_windows, sizes)) else None
    DWT._kernels = lambda transform, x: (transform._bank, kernels) if transform._bank.fused(x, transform._inputs) else None
    try:
        yield
    finally:
        filterbank.FilterBank.fused, DWT._kernels = fused, own


def main() -> int:
    kernels.ROWS, kernels.COLUMNS = 4, 32
    off = 0.0
    for wavelet, mode, shape, level in CASES:
        transform = pb.transforms.get(f"dwt({wavelet}, level={level}, mode={mode})", shape)
        x = torch.randn(1, *shape, dtype=torch.double, generator=torch.Generator().manual_seed(0))
        known = results(transform, x)
        with on_kernels():
            found = results(transform, x)
        error = max(float((a - b).abs().max()) for a, b in zip(found, known))
        print(transform.spec, error)
        off = max(off, error)
    x = torch.randn(1, 1, 8, 6, dtype=torch.double)
    tree = pb.transforms.get("wpt(db2, level=1)", (1, 8, 6))
    known = results(tree, x)
    with on_kernels():
        off = max(off, *(float((a - b).abs().max()) for a, b in zip(results(tree, x), known)))
    # The control: filters shifted by one sample give other numbers.
    bank = filterbank.FilterBank(pywt.Wavelet("db2"))
    bank._left = 0
    z = x.new_empty(1, 1, 48)
    bank.split_into(kernels, x, z, z, 12, dual=False)
    wrong = float((z - pb.transforms.get("dwt(db2, level=1)", (1, 8, 6))(x)).abs().max())
    return int(not (off < 1e-12 and wrong > 0.1))


if __name__ == "__main__":
    sys.exit(main())
