"""Tensors that are made in any mode can be used later in any other."""

import torch

from pullback.core.constant import Constant
from pullback.core.isolation import lasting_tensors
from pullback.core.precision import tolerance, wide


def test_lasting_tensors_are_ordinary_ones() -> None:
    with torch.inference_mode(), torch.device("meta"), lasting_tensors():
        made = torch.zeros(2)
    assert not made.is_inference()
    assert made.device.type == "cpu"


def test_a_copy_made_inside_a_derivative_is_valid_after_it() -> None:
    constant, kept = Constant(torch.ones(2)), []

    def score(x: torch.Tensor) -> torch.Tensor:
        kept.append(constant.like(x))
        return (kept[0] * x).sum()

    torch.func.grad(score)(torch.ones(2))
    assert torch.equal(kept[0] + 1, torch.full((2,), 2.0))


def test_a_constant_keeps_its_digits_and_follows_the_data() -> None:
    third = Constant(torch.tensor([1 / 3], dtype=torch.double))
    assert third.like(torch.zeros(1, dtype=torch.half)).dtype == torch.half
    assert float(third.like(torch.zeros(1, dtype=torch.double))) == 1 / 3
    assert Constant(torch.tensor([1j])).like(torch.zeros(1)).dtype == torch.complex64


def test_sums_are_carried_out_in_single_precision_or_wider() -> None:
    assert [wide(dtype) for dtype in (torch.half, torch.float, torch.double)] == [
        torch.float,
        torch.float,
        torch.double,
    ]
    assert tolerance(torch.float) > 1e5 * tolerance(torch.double)
