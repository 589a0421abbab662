"""The front of a mask continuation against independent runs: `python -m benchmarks.scripts.masks`.

Trains a small network on synthetic gratings and compares, at the same prices, a long reference, independent runs and
continuations: the excess of the objective over the reference, in units of the reference's own range. It writes
results/masks-front.json, of which `make pages` makes a table.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import pullback as pb
from benchmarks.results.stored import RESULTS
from benchmarks.subjects.models import fitted
from pullback.core.files import write_text

ALPHAS = [3e-3 * 2**k for k in range(8)]
TRIES: dict[str, dict[str, float]] = {
    "independent, lr 0.05": {"lr": 0.05},
    "independent, lr 0.2": {"lr": 0.2},
    **{f"continuation {share}": {"continuation": share} for share in (0.1, 0.2, 0.3)},
}


def gratings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy plane gratings (count, 1, 16, 16) of four frequencies, and which one."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 4, (count,), generator=generator)
    angle = 2 * torch.pi * torch.tensor([1.0, 2.0, 4.0, 6.0])[label][:, None] * torch.arange(16) / 16
    phase = 2 * torch.pi * torch.rand(2, count, 1, generator=generator)
    wave = torch.cos(angle + phase[0])[:, :, None] * torch.cos(angle + phase[1])[:, None, :]
    return (wave + 0.5 * torch.randn(count, 16, 16, generator=generator))[:, None], label


def trained() -> nn.Module:
    """A small convolutional network that names the frequency of a grating."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, stride=2, padding=1)
    third, head = nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.Linear(128, 4)
    relu, mean = nn.ReLU(), nn.AdaptiveAvgPool2d(2)
    net = nn.Sequential(first, relu, second, relu, third, relu, mean, nn.Flatten(), head)
    return fitted(net, *gratings(2_000, 1), 1e-2, 6)


def front(domain: str, net: nn.Module, x: Tensor, label: Tensor) -> list[dict[str, Any]]:
    """One entry for each of TRIES: its passes and objective over those of independent runs, and over the reference."""
    solve = lambda **options: pb.attribution.masks.pareto(net, x, label, domain, alphas=ALPHAS, **options)
    reference, independent = solve(steps=3_000, lr=0.02), solve(steps=500)
    span = reference.objective.amax(1, keepdim=True) - reference.objective.amin(1, keepdim=True)
    passes = lambda path: path.settings["evaluations"]["gradient"]
    found = []
    for name, options in TRIES.items():
        path = solve(steps=500, **options)
        entry = {
            "domain": domain,
            "run": name,
            "passes": round(passes(path) / passes(independent), 4),
            "over": summary((path.objective - independent.objective) / span),
            "excess": summary((path.objective - reference.objective) / span),
        }
        print(json.dumps(entry), flush=True)
        found.append(entry)
    return found


def summary(excess: Tensor) -> dict[str, float]:
    """Mean and largest excess of the objective, in ranges of the front, and the share of points more than 0.5 % above."""
    found = {"mean": excess.mean(), "largest": excess.max(), "beyond": (excess > 0.005).double().mean()}
    return {name: round(float(value), 6) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domain", action="append")
    parser.add_argument("--examples", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS / "masks-front.json")
    given = parser.parse_args()
    net, data = trained(), gratings(given.examples, 2)
    entries = [entry for domain in given.domain or ["dct", "pixel"] for entry in front(domain, net, *data)]
    settings = {"images": given.examples, "prices": ALPHAS, "steps": 500, "torch": torch.__version__}
    write_text(given.out, json.dumps({"settings": settings, "entries": entries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
