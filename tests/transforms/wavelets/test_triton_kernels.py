"""GPU kernels: correct in the interpreter, and not used for tensors that differ from what their memory holds."""

import importlib.util
import os
import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch
from support import ROOT
from support.subjects import normal
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import pullback as pb
from pullback.transforms.wavelets import triton_guard

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SPEC, SHAPE = "dwt(db2, level=2)", (3, 16, 12)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton exists on Linux only")
def test_kernels_give_what_torch_gives() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    script = ROOT / "tests" / "support" / "triton_interpreter.py"
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cpu_uses_no_kernels() -> None:
    assert triton_guard.kernels(torch.zeros(1, 1, 4, 4), 4) is None


class Listens(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
def test_tracers_and_dispatch_modes_are_detected() -> None:
    heard: list[bool] = []

    def listened(x: torch.Tensor) -> torch.Tensor:
        heard.append(triton_guard._observed())
        return x

    listened(torch.ones(2))
    assert heard == [False]
    torch.func.vmap(listened)(torch.ones(2))
    torch.jit.trace(listened, torch.ones(2), check_trace=False)
    with Listens():
        listened(torch.ones(2))
    assert heard == [False, True, True, True]


@needs_gpu
def test_kernels_are_used_for_plain_gpu_tensors_only() -> None:
    x = torch.zeros(1, 1, 4, 4, device="cuda")
    assert triton_guard.kernels(x, 4) is not None
    for other in (x.half(), x.clone().requires_grad_(), torch.complex(x, x).conj().imag, x[..., :0]):
        assert triton_guard.kernels(other, 4) is None
    assert triton_guard.kernels(x, triton_guard.TAPS + 2) is None


@needs_gpu
@pytest.mark.parametrize("change", ["channels_last", "strided", "negative", "inference", "no_grad"])
def test_kernels_read_any_memory_layout(change: str) -> None:
    transform, x = pb.transforms.get(SPEC, SHAPE), normal(4, *SHAPE).cuda().double()
    want = transform(x.cpu())
    changed = {
        "channels_last": lambda: x.contiguous(memory_format=torch.channels_last),
        "strided": lambda: torch.stack([x, x], -1)[..., 1],
        "negative": lambda: torch.complex(x, -x).conj().imag,
        "inference": lambda: x,
        "no_grad": lambda: x.clone().requires_grad_(),
    }[change]()
    with torch.inference_mode(change == "inference"), torch.set_grad_enabled(change != "no_grad"):
        found = transform(changed)
    torch.testing.assert_close(found.cpu(), want)


@needs_gpu
def test_derivatives_and_batching_use_torchs_operations() -> None:
    transform, x = pb.transforms.get(SPEC, SHAPE), normal(4, *SHAPE).cuda().double()
    torch.testing.assert_close(torch.func.vmap(lambda x: transform(x[None])[0])(x), transform(x))
    warnings.simplefilter("ignore", DeprecationWarning)  # torch compiles rules of its own in an old way
    with forward_ad.dual_level():
        dual = transform(forward_ad.make_dual(x, x))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, transform(x))
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(transform(leaf).square().sum() / 2, leaf)
    torch.testing.assert_close(gradient, x)
