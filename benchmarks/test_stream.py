"""One gradient stream against the bare model loop, and ten domains against one."""

from typing import Any

import torch
from timing import paired
from torch import Tensor, nn

import pullback as pb
from pullback.studies.compare import DOMAINS


def bare_loop(model: nn.Module, inputs: Tensor, target: Tensor, chunk: int) -> Tensor:
    """Forward and backward with respect to the input for every row, and nothing else."""
    total = torch.zeros_like(inputs[0])
    for start in range(0, len(inputs), chunk):
        x = inputs[start : start + chunk].detach().requires_grad_()
        score = model(x).gather(1, target[start : start + chunk, None]).sum()
        (gradient,) = torch.autograd.grad(score, x)
        total += gradient.sum(0)
    return total


def test_ten_domains_cost_the_rows_of_one(
    benchmark: Any, efficientnet: Any, photos: Tensor, samples: int, rounds: int
) -> None:
    """Goal: equal model rows, at most 1.10 × the time of one domain."""
    method = f"integrated_gradients(steps={2 * samples}, rule=gauss_legendre)"
    run = lambda domains: pb.attribute(efficientnet.module, photos, 0, method=method, transform=domains)
    one, ten = run([DOMAINS[3]]), run(list(DOMAINS))
    assert one[0].settings["evaluations"] == ten[0].settings["evaluations"]
    direct = pb.attribute(pb.Pullback(efficientnet.module, ten[3].transform), ten[3].coefficients, 0, method=method)
    assert float((direct.values - ten[3].values).norm() / direct.values.norm()) < 1e-2  # single precision
    measured = paired(lambda: run(list(DOMAINS)), lambda: run([DOMAINS[3]]), rounds)
    measured.record(benchmark)
    benchmark.extra_info["goal"] = 1.10
    benchmark.pedantic(lambda: run(list(DOMAINS)), rounds=1)


def test_smoothgrad_against_the_bare_loop(
    benchmark: Any, efficientnet: Any, photos: Tensor, samples: int, rounds: int
) -> None:
    """Goal: at most 1.05 × the loop of as many forward + backward passes at the same chunk."""
    model, target = efficientnet.module, torch.zeros(len(photos), dtype=torch.long, device=photos.device)
    run = lambda: pb.attribute(model, photos, 0, method=f"smoothgrad(samples={samples})", transform="dwt(db4, level=3)")
    att = run()
    assert att.settings["evaluations"]["gradient"] == samples * len(photos)
    assert float(att.values.abs().max()) > 0
    inputs = photos.repeat_interleave(samples, 0) + 0.1 * torch.randn(
        len(photos) * samples, *photos.shape[1:], device=photos.device
    )
    chunk = att.settings["rows"]
    measured = paired(run, lambda: bare_loop(model, inputs, target.repeat_interleave(samples), chunk), rounds)
    measured.record(benchmark)
    benchmark.extra_info |= {"goal": 1.05, "chunk": chunk}
    benchmark.pedantic(run, rounds=1)
