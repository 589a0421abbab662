"""Masks: speed against the bare model loop, and the front of a continuation against independent runs.

    python benchmarks/masks.py speed [--domain SPEC] [--steps N]
    python benchmarks/masks.py parts [--domain SPEC]
    python benchmarks/masks.py front

`speed` runs EfficientNet-Lite0 on 4 inputs × 8 prices. The bare loop does forward and backward with respect to the input
for as many rows, in chunks of the same size. The ratio compares one step of each, from the difference of a long and a
short run, so that the work done once per call does not count; wall and processor time are given.

`parts` gives the least processor time of each part of one step on one chunk, and the speed that they add up to: the
measure to trust on a machine that others use too.

`front` trains a small network on synthetic gratings and compares, at the same prices, a long reference, independent
runs and continuations: excess of the objective over the reference, in units of the reference's own range. It writes
results/masks-front.json, from which `python -m benchmarks.pages` makes the table of masks.md.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from guard import bare_steps
from timing import clock
from torch import Tensor, nn

import pullback as pb
from pullback.core.files import write_text
from pullback.studies import load_model

OUT = Path(__file__).parent / "results" / "masks-front.json"
ALPHAS = [1e-5 * 4**k for k in range(8)]


def bare(model: nn.Module, inputs: Tensor, rows: int, steps: int) -> None:
    """Forward and backward on so many rows, `steps` times over."""
    for _ in range(steps):
        for _, step in bare_steps(model, inputs, rows, rows, 0):
            step()


def speed(domains: list[str], steps: int, repeats: int) -> None:
    model = load_model("efficientnet-lite0").module
    x = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    target = model(x).argmax(1)
    chunk = pb.attribution.rows.budget("auto", tuple(x.shape[1:]), x.device)
    for domain in domains:
        ratios = [_ratio(model, x, target, domain, steps, chunk) for _ in range(1 + repeats)][1:]  # the first warms up
        wall, cpu = (statistics.median(column) for column in zip(*ratios))
        print(
            f"{domain}: {len(x) * len(ALPHAS)} rows in chunks of {chunk}, {steps} steps: speed against the bare loop "
            f"{wall:.3f} (wall), {cpu:.3f} (processor); all: {[[round(v, 3) for v in pair] for pair in ratios]}"
        )


def _ratio(model: nn.Module, x: Tensor, target: Tensor, domain: str, steps: int, chunk: int) -> list[float]:
    """Time of a step of the bare loop over time of a step of the masks, (wall, processor)."""
    rows = x.repeat_interleave(len(ALPHAS), 0)
    loop = lambda n: bare(model, rows[:chunk], len(rows), n)
    ours = lambda n: pb.attribution.masks.pareto(model, x, target, domain, alphas=ALPHAS, steps=n, batch_size=chunk)
    runs = [(loop, 1), (ours, 1), (ours, 1 + steps), (loop, 1 + steps)]  # interleaved: a slow moment hits both
    short_loop, short, long, long_loop = (torch.tensor(clock(lambda run=run, n=n: run(n))) for run, n in runs)
    return ((long_loop - short_loop) / (long - short)).tolist()


def parts(domains: list[str], repeats: int) -> None:
    model, x = (
        load_model("efficientnet-lite0").module,
        torch.randn(13, 3, 224, 224, generator=torch.Generator().manual_seed(0)),
    )
    least = lambda run: min(clock(run)[1] for _ in range(repeats))
    loop = least(lambda: bare(model, x, len(x), 1))
    with torch.no_grad():
        for domain in domains:
            transform = pb.transforms.get(domain, tuple(x.shape[1:]))
            z = transform(x)
            mask = torch.ones_like(z)
            optimizer = torch.optim.NAdam([mask])
            mask.grad = torch.addcmul(z, z, mask)
            rest = lambda mask=mask, z=z: (
                torch.addcmul(z, mask, z),
                torch.addcmul(z, mask, z).sum(),
                mask.clamp_(0, 1),
            )
            times = {
                "T⁻¹": least(lambda: transform.inverse(z)),  # noqa: B023
                "adjoint": least(lambda: transform.adjoint(x)),  # noqa: B023
                "NAdam": least(optimizer.step),
                "rest": least(rest),
            }
            told = ", ".join(f"{name} {seconds * 1e3:.1f}" for name, seconds in times.items())
            print(f"{domain}: model {loop * 1e3:.1f} ms, {told} ms: speed {loop / (loop + sum(times.values())):.3f}")


def gratings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy plane gratings (count, 1, 16, 16) of four frequencies, and which one."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 4, (count,), generator=generator)
    angle = 2 * torch.pi * torch.tensor([1.0, 2.0, 4.0, 6.0])[label][:, None] * torch.arange(16) / 16
    phase = 2 * torch.pi * torch.rand(2, count, 1, generator=generator)
    wave = torch.cos(angle + phase[0])[:, :, None] * torch.cos(angle + phase[1])[:, None, :]
    return (wave + 0.5 * torch.randn(count, 16, 16, generator=generator))[:, None], label


def trained() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 4),
    )
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    x, label = gratings(2_000, 1)
    for _ in range(6):
        for first in range(0, len(x), 100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[first : first + 100]), label[first : first + 100]).backward()
            optimizer.step()
    return net.eval()


def front(domains: list[str], examples: int, out: Path) -> None:
    net, (x, label) = trained(), gratings(examples, 2)
    alphas = [3e-3 * 2**k for k in range(8)]
    solve = lambda domain, **options: pb.attribution.masks.pareto(net, x, label, domain, alphas=alphas, **options)
    entries: list[dict[str, Any]] = []
    for domain in domains:
        reference = solve(domain, steps=3_000, lr=0.02)
        span = reference.objective.amax(1, keepdim=True) - reference.objective.amin(1, keepdim=True)
        independent = solve(domain, steps=500)
        tries = {"independent, lr 0.05": {"lr": 0.05}, "independent, lr 0.2": {"lr": 0.2}}
        tries |= {f"continuation {share}": {"continuation": share} for share in (0.1, 0.2, 0.3)}
        for name, options in tries.items():
            path = solve(domain, steps=500, **options)
            passes = path.settings["evaluations"]["gradient"] / independent.settings["evaluations"]["gradient"]
            entry = {
                "domain": domain,
                "run": name,
                "passes": round(passes, 4),
                "over": summary((path.objective - independent.objective) / span),
                "excess": summary((path.objective - reference.objective) / span),
            }
            print(json.dumps(entry), flush=True)
            entries.append(entry)
    settings = {"images": examples, "prices": alphas, "steps": 500, "torch": torch.__version__}
    write_text(out, json.dumps({"settings": settings, "entries": entries}, indent=1) + "\n")


def summary(excess: Tensor) -> dict[str, float]:
    """Mean and largest excess of the objective, in ranges of the front, and the share of points more than 0.5 % above."""
    found = {"mean": excess.mean(), "largest": excess.max(), "beyond": (excess > 0.005).double().mean()}
    return {name: round(float(value), 6) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "parts", "front"))
    parser.add_argument("--domain", action="append")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--examples", type=int, default=6)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    domains = given.domain or ["dwt(haar, level=3)", "dct"]
    if given.what == "speed":
        speed(domains, given.steps, given.repeats)
    elif given.what == "parts":
        parts(domains, given.repeats)
    else:
        front(given.domain or ["dct", "pixel"], given.examples, given.out)


if __name__ == "__main__":
    main()
