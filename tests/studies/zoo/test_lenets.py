"""The two LeNets: equal on digits as they are, far apart on digits that were attacked."""

import torch
from support.zoo import installed
from torch import Tensor, nn

from pullback.studies.zoo import MODELS
from pullback.studies.zoo.digits import digits_of

SIZE = 0.3  # the most that an attack changes of a pixel


def attacked(module: nn.Module, x: Tensor, label: Tensor, steps: int = 15) -> Tensor:
    """Projected gradient ascent on the loss, in steps of the sign."""
    change = torch.zeros_like(x)
    for _ in range(steps):
        change.requires_grad_()
        nn.functional.cross_entropy(module((x + change).clamp(0, 1)), label).backward()
        assert change.grad is not None
        change = (change.detach() + 0.03 * change.grad.sign()).clamp(-SIZE, SIZE)
    return (x + change).clamp(0, 1)


def test_only_the_robust_network_stands_an_attack() -> None:
    x, label = installed(lambda: digits_of(range(8)))
    right = {}
    for name in ("mnist-lenet", "mnist-lenet-robust"):
        module, _ = installed(MODELS[name])
        clean, moved = module(x).argmax(1), module(attacked(module, x, label)).argmax(1)
        right[name] = [float((found == label).double().mean()) for found in (clean, moved)]
    assert min(right["mnist-lenet"][0], right["mnist-lenet-robust"][0]) > 0.95
    assert right["mnist-lenet"][1] < 0.05
    assert right["mnist-lenet-robust"][1] > 0.9
