"""Are verdicts stable? 20 networks × 2 precisions × 6 domains, against what is known.

Run `python -m benchmarks.scripts.axiom_verdicts --jobs 2`.

Writes results/axiom-verdicts.json: for each method and axiom how often the verdict was the known one, how close a keeper
came to its tolerance, and how far a breaker stayed above it.
"""

import argparse
import itertools
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import calls
from benchmarks.results.stored import RESULTS
from pullback.axioms.method_laws import LAWS_VERSION
from pullback.axioms.rewrites.modules import small_network
from pullback.core.files import write_text
from pullback.studies.axiom_matrix.matrix import find_method
from pullback.studies.storage.workers import in_processes

DTYPES = (torch.float64, torch.float32)
DOMAINS = ("pixel", "dwt(haar, level=2)", "dct", "dft", "dwt(db4, level=1, mode=reflect)", "swt(haar, level=2)")


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


class Shortcut(nn.Module):
    """A network that computes another function where no gradients are recorded, as shortcuts of inference may."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) * (1 if torch.is_grad_enabled() else 1.1)


def takes_the_shortcut(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    """Changes of the score when one coefficient after the other takes its value, without gradients: of another function."""
    points, step = z0.clone(), (z - z0).flatten(1)
    with torch.no_grad():
        scores = [f(points).gather(1, target[:, None])]
        for k in range(step.shape[1]):
            points.flatten(1)[:, k] += step[:, k]
            scores.append(f(points).gather(1, target[:, None]))
    return torch.cat(scores, 1).diff(dim=1).reshape(z.shape)


def leaks(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    """Gradient × input, with a hundredth of the map of the example before: a small mixture."""
    z = z.detach().requires_grad_()
    values = z.detach() * torch.autograd.grad(f(z).gather(1, target[:, None]).sum(), z)[0]
    return values + 0.01 * values.roll(1, 0)


def known(keeps: str, breaks: str) -> dict[str, bool]:
    """Whether the axioms of two lists are kept."""
    return dict.fromkeys(keeps.split(), True) | dict.fromkeys(breaks.split(), False)


LOCAL = "dummy implementation_invariance linearity symmetry determinism batch_independence coordinate_consistency"
KNOWN: dict[Any, dict[str, bool]] = {
    "integrated_gradients": known(f"{LOCAL} completeness sensitivity affine_invariance", "input_shift_invariance"),
    "gradient": known(f"{LOCAL} input_shift_invariance", "completeness sensitivity affine_invariance"),
    "captum.DeepLift": known("completeness sensitivity dummy", "implementation_invariance"),
    "captum.GuidedBackprop": known("", "completeness sensitivity implementation_invariance"),
    batch_normalised: known("dummy", "completeness linearity"),
    spread: known("determinism batch_independence", "dummy completeness"),
    leaks: known(LOCAL.replace("batch_independence", ""), "batch_independence"),
}
ON_A_SHORTCUT: dict[Any, dict[str, bool]] = {  # on a network that is another function without gradients
    "integrated_gradients": KNOWN["integrated_gradients"],
    "gradient": KNOWN["gradient"],
    takes_the_shortcut: known(
        "dummy linearity determinism batch_independence coordinate_consistency sensitivity affine_invariance",
        "completeness implementation_invariance",
    ),
}


def verdicts(seed: int, dtype: torch.dtype, domain: str, size: int = 10) -> list[tuple[Any, ...]]:
    """(method, axiom, what is known, seed, dtype, domain, finding) for all that is known, on the networks of this seed."""
    model = small_network((1, size), seed=seed).to(dtype)
    drawn = torch.randn(2, 1, size, generator=torch.Generator().manual_seed(100 + seed), dtype=torch.double)
    found = []
    for network, asked in ((model, KNOWN), (Shortcut(model).eval(), ON_A_SHORTCUT)):
        for method, answers in asked.items():
            subject, name = (find_method(method), method) if isinstance(method, str) else (method, method.__name__)
            name = f"{name}, Shortcut" if isinstance(network, Shortcut) else name
            options = {"transform": domain, "axioms": list(answers), "seed": seed}
            report = calls.check_axioms(subject, network, drawn.to(dtype), 0, **options)
            found += [(name, one.axiom, answers[one.axiom], seed, str(dtype), domain, one) for one in report]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="the number of processes, of one thread each")
    parser.add_argument("--seeds", type=int, default=20, help="the number of networks")
    parser.add_argument("--out", type=Path, default=RESULTS / "axiom-verdicts.json")
    given = parser.parse_args()
    start, tasks = time.time(), list(itertools.product(range(given.seeds), DTYPES, DOMAINS))
    found: dict[Any, list[Any]] = defaultdict(list)
    for number, part in enumerate(in_processes(verdicts, tasks, given.jobs), 1):
        for method, axiom, known, *verdict in part:
            found[method, axiom, known].append(verdict)
        print(f"{number} of {len(tasks)}: {time.time() - start:.0f} s", flush=True)
    settings = {"seeds": given.seeds, "precisions": list(map(str, DTYPES)), "domains": DOMAINS}
    settings |= {"seconds": round(time.time() - start), "torch": torch.__version__, "laws_version": LAWS_VERSION}
    settings["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    report = {
        "settings": settings,
        "entries": [entry(*key, of) for key, of in found.items()],
    }
    write_text(given.out, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def entry(method: str, axiom: str, known: bool, verdicts: list[Any]) -> dict[str, Any]:
    """What is stored of one method and axiom.  verdicts: (seed, dtype, domain, finding)."""
    share = [f.residual / f.tolerance for *_, f in verdicts if f.residual is not None and f.tolerance]
    return {
        "method": method,
        "axiom": axiom,
        "known": "kept" if known else "BROKEN",
        "asked": len(verdicts),
        "wrong": [
            f"seed {seed}, {dtype}, {domain}: {f.verdict} {f.residual} {f.tolerance} {f.reason}"
            for seed, dtype, domain, f in sorted(verdicts, key=lambda one: str(one[:3]))
            if f.holds is not known
        ],
        "nearest residual / tolerance": (max if known else min)(share, default=None),
    }


if __name__ == "__main__":
    main()
