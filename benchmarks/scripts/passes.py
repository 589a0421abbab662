"""What a run pays beside its network: pages of memory from the system, a row by itself, and noise.

python -m benchmarks.passes      measures, and stores benchmarks/results/passes-cpu.json

Times are milliseconds: (median, least, most) of a number of passes, one after another on a machine that does nothing else.
"""

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.engine import random as noise
from pullback.attribution.engine.chunks import budget
from pullback.core.files import write_text

from .models import PLANS, subject
from .stored import RESULTS, ROOT

STORED = RESULTS / "passes-cpu.json"
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**36)}
PASSES, ROUNDS = 60, 15


def spread(times: list[float]) -> list[float]:
    """(median, least, most) in milliseconds."""
    return [round(1e3 * value, 3) for value in (statistics.median(times), min(times), max(times))]


def timed(job: Callable[[], object], rounds: int = ROUNDS, before: Callable[[], object] = lambda: None) -> list[float]:
    """`spread` of a job after one call that does not count.  before: what runs ahead of each, outside the clock."""
    job()
    times = []
    for _ in range(rounds):
        before()
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return spread(times)


def there_and_back(module: nn.Module, x: Tensor) -> Callable[[], object]:
    """A pass forward and back."""

    def job() -> object:
        points = x.detach().requires_grad_()
        return torch.autograd.grad(module(points)[:, 0].sum(), points)

    return job


def faults() -> dict[str, Any]:
    """Passes of 6 photos in this process: their times, and pages that the system had to find for each."""
    case = subject("efficientnet-lite0", images=6)
    job = there_and_back(case.module, case.x.contiguous(memory_format=torch.channels_last))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    times = timed(job, PASSES)
    found = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return {"ms": times, "faults": round(found / (PASSES + 1))}


def allocator() -> dict[str, Any]:
    """`faults` in a process of its own, with glibc as it is and told to keep what was freed."""
    found = {}
    for name, more in {"as it is": {}, "kept": KEEPING}.items():
        command = [sys.executable, "-m", "benchmarks.passes", "--faults"]
        run = subprocess.run(command, cwd=ROOT, env=os.environ | more, check=True, capture_output=True, text=True)
        found[name] = json.loads(run.stdout)
    return found


def rows() -> dict[str, Any]:
    """For each network: a forward of one row by itself, contiguous; of one among others; and one of these forward and back."""
    found = {}
    for name in (name for name in PLANS if name != "small"):
        case = subject(name, images=1)
        chunk = budget("auto", tuple(case.x.shape[1:]), case.x.device)
        many = subject(name, images=chunk).x
        if many.ndim == 4 and any(isinstance(layer, nn.Conv2d) for layer in case.module.modules()):
            many = many.contiguous(memory_format=torch.channels_last)
        per_row = lambda times, of: [round(value / of, 3) for value in times]
        found[name] = {
            "chunk": chunk,
            "alone": timed(lambda: case.module(case.x)),  # noqa: B023  (used before the next turn)
            "among": per_row(timed(lambda: case.module(many)), chunk),  # noqa: B023
            "pass": per_row(timed(there_and_back(case.module, many)), chunk),
        }
    return found


def draws() -> dict[str, Any]:
    """Noise for one chunk of photos, for each of its rows: as the library draws it, and what was tried instead."""
    case = subject("efficientnet-lite0", images=6)
    out, keys, samples = torch.empty_like(case.x), noise.keys(case.x), list(range(6))
    one = there_and_back(case.module, case.x.contiguous(memory_format=torch.channels_last))
    pool = ThreadPoolExecutor(2)
    halves = (slice(0, 3), slice(3, 6))
    part = lambda of: noise.normal(out[of], 0, keys[of], samples[of])
    bits = np.random.SFC64(0)
    jobs: dict[str, Callable[[], object]] = {
        "as it is": lambda: noise.normal(out, 0, keys, samples),
        "two threads": lambda: list(pool.map(part, halves)),
        "raw bits of SFC64, Box–Muller": lambda: [box_muller(bits, row) for row in out],
    }
    return {
        name: {
            when: [round(value / len(out), 3) for value in timed(job, before=before)]
            for when, before in {"after a pass": one, "by itself": lambda: None}.items()
        }
        for name, job in jobs.items()
    }


def ways() -> dict[str, Any]:
    """SmoothGrad, 25 samples of each of 2 photos, as it runs and as it might: for each gradient."""
    case, samples = subject("efficientnet-lite0", images=2), 25
    options: dict[str, dict[str, Any]] = {
        "as it is": {},
        "3 rows at once": {"rows": 3},
        "12 rows at once": {"rows": 12},
        "contiguous": {"memory_format": "contiguous"},
        "bf16": {"precision": "bf16"},
        "compiled": {"compile": True},
    }
    run = lambda how: pb.attribute(case.module, case.x, 0, method=f"smoothgrad(samples={samples})", **how)
    each = lambda times: [round(value / (samples * len(case.x)), 3) for value in times]
    return {name: each(timed(lambda: run(how), 5)) for name, how in options.items()}  # noqa: B023


def box_muller(generator: np.random.SFC64, out: Tensor) -> None:
    """Fills `out`, of an even number of entries, with √(-2 ln u) (cos 2πv, sin 2πv), u and v uniform in (0, 1]."""
    half = out.numel() // 2
    words = torch.from_numpy(generator.random_raw(half).view(np.int32)).to(torch.float32).view(half, 2)
    u, v = words.mul_(2.0**-32).add_(0.5 + 2.0**-25).unbind(1)
    radius, angle = u.log().mul_(-2).sqrt_(), v * (2 * math.pi)
    flat = out.view(-1)
    torch.mul(radius, angle.cos(), out=flat[:half])
    torch.mul(radius, angle.sin(), out=flat[half:])


def main(arguments: list[str] | None = None) -> None:
    if "--faults" in (sys.argv[1:] if arguments is None else arguments):
        sys.stdout.write(json.dumps(faults()))
        return
    machine = {"device": f"{os.cpu_count()} CPU cores", "torch": torch.__version__, "threads": torch.get_num_threads()}
    found = {"machine_info": machine, "allocator": allocator(), "rows": rows(), "noise": draws(), "ways": ways()}
    write_text(STORED, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
