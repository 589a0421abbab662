"""Are verdicts stable? 20 networks × 2 precisions × 6 domains, against what is known.

Run `python -m benchmarks.axiom_verdicts --jobs 2`.

Writes results/axiom-verdicts.json: for each method and axiom how often the verdict was the known one, how close a keeper
came to its tolerance, and how far a breaker stayed above it.
"""

import argparse
import itertools
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import pullback as pb
from pullback.axioms.method_laws import LAWS_VERSION
from pullback.axioms.rewrites.modules import small_network
from pullback.studies.axiom_matrix.matrix import find_method
from pullback.studies.storage.workers import in_processes

OUT = Path(__file__).parent / "results" / "axiom-verdicts.json"
DTYPES = (torch.float64, torch.float32)
DOMAINS = ("pixel", "dwt(haar, level=2)", "dct", "dft", "dwt(db4, level=1, mode=reflect)", "swt(haar, level=2)")
LOCAL = {
    "dummy": True,
    "implementation_invariance": True,
    "linearity": True,
    "symmetry": True,
    "determinism": True,
    "batch_independence": True,
    "coordinate_consistency": True,
}


def batch_normalised(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    """|gradient| divided by its maximum over the batch, times |coefficients|."""
    z = z.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(f(z).gather(1, target[:, None]).sum(), z)
    return gradient.abs() / gradient.abs().max() * z.detach().abs()


def spread(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    """Gradient × input, a fiftieth of which is spread evenly: a small fault."""
    z = z.detach().requires_grad_()
    values = z.detach() * torch.autograd.grad(f(z).gather(1, target[:, None]).sum(), z)[0]
    return 0.98 * values + 0.02 * values.flatten(1).mean(1).reshape(-1, *[1] * (z.ndim - 1))


KNOWN: dict[Any, dict[str, bool]] = {
    "integrated_gradients": LOCAL
    | {"completeness": True, "sensitivity": True, "affine_invariance": True, "input_shift_invariance": False},
    "gradient": LOCAL
    | {"completeness": False, "sensitivity": False, "affine_invariance": False, "input_shift_invariance": True},
    "captum.DeepLift": {"completeness": True, "sensitivity": True, "dummy": True, "implementation_invariance": False},
    "captum.GuidedBackprop": {"completeness": False, "sensitivity": False, "implementation_invariance": False},
    batch_normalised: {"completeness": False, "linearity": False, "dummy": True},
    spread: {"dummy": False, "completeness": False, "determinism": True, "batch_independence": True},
}


def verdicts(seed: int, dtype: torch.dtype, domain: str, size: int = 10) -> list[tuple[Any, ...]]:
    """(method, axiom, what is known, seed, dtype, domain, finding) for all that is known, on the network of this seed."""
    model = small_network((1, size), seed=seed).to(dtype)
    drawn = torch.randn(2, 1, size, generator=torch.Generator().manual_seed(100 + seed), dtype=torch.double)
    found = []
    for method, known in KNOWN.items():
        subject, name = (find_method(method), method) if isinstance(method, str) else (method, method.__name__)
        report = pb.axioms.check(
            model, drawn.to(dtype), 0, method=subject, transform=domain, axioms=list(known), seed=seed
        )
        found += [(name, one.axiom, known[one.axiom], seed, str(dtype), domain, one) for one in report]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="so many processes of one thread each")
    parser.add_argument("--seeds", type=int, default=20, help="how many networks")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    start, tasks = time.time(), list(itertools.product(range(options.seeds), DTYPES, DOMAINS))
    every: list[tuple[Any, ...]] = []
    for number, part in enumerate(in_processes(verdicts, tasks, options.jobs), 1):
        every += part
        sys.stdout.write(f"{number} of {len(tasks)}: {time.time() - start:.0f} s\n" if number % 12 == 0 else "")
        sys.stdout.flush()
    found = defaultdict(list)
    for method, axiom, known, *verdict in sorted(
        every, key=lambda entry: (entry[3], DOMAINS.index(entry[5]), entry[4])
    ):
        found[method, axiom, known].append(verdict)
    store(found, time.time() - start, options.seeds, options.out)


def store(found: dict[Any, list[Any]], seconds: float, seeds: int, out: Path) -> None:
    """One entry for each method and axiom."""
    entries = []
    for (method, axiom, known), verdicts in found.items():
        wrong = [
            f"seed {seed}, {dtype}, {domain}: {f.verdict} {f.residual} {f.tolerance} {f.reason}"
            for seed, dtype, domain, f in verdicts
            if f.holds is not known
        ]
        share = [f.residual / f.tolerance for *_, f in verdicts if f.residual is not None and f.tolerance]
        nearest = (max if known else min)(share, default=None)
        entries.append(
            {
                "method": method,
                "axiom": axiom,
                "known": "kept" if known else "BROKEN",
                "asked": len(verdicts),
                "wrong": wrong,
                "nearest residual / tolerance": nearest,
            }
        )
    settings = {
        "seeds": seeds,
        "precisions": [str(d) for d in DTYPES],
        "domains": DOMAINS,
        "seconds": round(seconds),
        "torch": torch.__version__,
        "laws_version": LAWS_VERSION,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    out.write_text(json.dumps({"settings": settings, "entries": entries}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
