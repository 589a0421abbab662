"""For signals of any magnitude, single precision gives the values of double precision, or an error says why it cannot."""

import pytest
import torch
from support.integrated_gradients import MISSED
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb

SIZES = [1e-30, 1e-25, 1e-19, 1.0, 1e19, 1e25, 1e30]


class At(nn.Module):
    """f(x / size): the same function at every magnitude; its gradients are proportional to 1 / size."""

    def __init__(self, size: float, jumps: bool = False) -> None:
        super().__init__()
        self.size, self.net = size, smooth_net((1, 12), 1)
        if jumps:
            self.net[2], self.net[4] = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x / self.size)
        return out


def both(size: float, method: str, jumps: bool = False, **options: object) -> list[pb.Attribution]:
    """The attribution in single and in double precision."""
    x = (size * normal(3, 1, 12)).to(torch.float32)
    runs = []
    for dtype in (torch.float32, torch.float64):
        model = At(size, jumps).to(dtype)
        runs.append(pb.attribute(model, x.to(dtype), method=method, **options))  # type: ignore[call-overload]
    return runs


@MISSED
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("jumps", [False, True])
def test_certified_maps_at_any_magnitude(jumps: bool, size: float) -> None:
    method = "integrated_gradients"
    single, double = both(size, method, jumps)
    torch.testing.assert_close(single.values.double(), double.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(single.covector.double() * size, double.covector * size, rtol=1e-4, atol=1e-4)
    plain = pb.attribute(At(1.0, jumps).double(), normal(3, 1, 12).float().double(), method=method)
    torch.testing.assert_close(single.values.double(), plain.values, rtol=1e-3, atol=1e-4)
    assert torch.equal(single.details["converged"], plain.details["converged"])
    assert torch.equal(single.details["evaluations"], plain.details["evaluations"])
    assert bool((single.details["map_error"] < 2 * plain.details["map_error"] + 1e-5).all())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("method", "power"),
    [
        ("gradient", 1),
        ("smoothgrad(samples=5)", 1),
        ("absgrad(samples=5)", 1),
        ("squaregrad(samples=5)", 2),
        ("vargrad(samples=5)", 2),
    ],
)
def test_sensitivities_at_any_magnitude_at_which_the_dtype_can_hold_them(method: str, power: int, size: float) -> None:
    largest = float(both(1.0, method)[1].values.abs().max())
    reach = torch.finfo(torch.float32)
    fits = reach.tiny < largest / size**power < reach.max
    if not fits:
        with pytest.raises(ValueError, match=r"squares of .* for example 0, are beyond the range of torch.float32"):
            both(size, method)
        return
    single, double = both(size, method)
    unit = double.values.abs().max()
    torch.testing.assert_close(single.values.double() / unit, double.values / unit, rtol=1e-3, atol=1e-5)


def test_zero_and_constant_gradients_have_zero_squares() -> None:
    """The control: where the gradient is 0 or constant, squares are exactly 0 and no error is raised."""
    flat, line = (lambda x: 0 * x.flatten(1).sum(1)), (lambda x: 1e-25 * x.flatten(1).sum(1))
    x = normal(2, 1, 12, dtype=torch.float32)
    for model, method in ((flat, "squaregrad(samples=4)"), (flat, "vargrad(samples=4)"), (line, "vargrad(samples=4)")):
        assert not bool(pb.attribute(model, x, method=method).values.any())
    with pytest.raises(ValueError, match="squares of"):
        pb.attribute(line, x, method="squaregrad(samples=4)")
