"""Frame bounds by iteration, against the singular values of the dense matrix."""

import pytest
import torch
from support.subjects import TRANSFORMS, normal

import pullback as pb
from pullback.transforms import Linear, Transform, TransformClaim, condition_number, frame_bounds, get


def dense(transform: Transform) -> tuple[float, float]:
    size = torch.Size(transform.shape).numel()
    units = torch.eye(size, dtype=torch.float64).reshape(size, *transform.shape)
    values = torch.linalg.svdvals(transform(units).flatten(1)) ** 2
    return float(values[-1]), float(values[0])


SMALL = [
    t
    for t in TRANSFORMS
    if TransformClaim.LINEAR in t.claims and TransformClaim.RECONSTRUCTS in t.claims and torch.Size(t.shape).numel() <= 130
]


@pytest.mark.parametrize("transform", SMALL, ids=lambda t: f"{t.spec} {t.shape}")
def test_bounds_of_every_example(transform: Transform) -> None:
    lower, upper = dense(transform)
    assert frame_bounds(transform) == (pytest.approx(lower, rel=1e-4), pytest.approx(upper, rel=1e-4))


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("dwt(bior4.4, level=2)", (1, 256)),
        ("dwt(bior2.2, level=2, mode=reflect)", (1, 200)),
        ("dwt(db4, level=1, mode=periodic)", (1, 12, 14)),
        ("color(ycbcr) >> dwt(bior2.2, level=1)", (3, 8, 10)),
        ("dct", (2, 77)),
    ],
)
def test_bounds_by_iteration(spec: str, shape: tuple[int, ...]) -> None:
    transform = get(spec, shape)
    lower, upper = dense(transform)
    assert frame_bounds(transform, tol=1e-7) == (pytest.approx(lower, rel=1e-7), pytest.approx(upper, rel=1e-7))
    assert condition_number(transform) == pytest.approx((upper / lower) ** 0.5, rel=1e-4)


def test_iteration_and_the_small_exact_case_agree_on_an_arbitrary_matrix() -> None:
    for size in (20, 60):
        matrix = normal(size + 5, size) + 2 * torch.eye(size + 5, size)
        values = torch.linalg.svdvals(matrix)
        transform = Linear((1, size), matrix)
        assert condition_number(transform, tol=1e-8) == pytest.approx(float(values[0] / values[-1]), rel=1e-6)
        assert transform.condition == pytest.approx(float(values[0] / values[-1]))


class Forgetful(pb.transforms.Pixel):
    """Loses the first sample: A = 0."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        self.claims = TransformClaim.LINEAR

    def analysis(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([0 * x[..., :1], x[..., 1:]], -1)


def test_a_transform_that_loses_signals_has_no_lower_bound() -> None:
    for size in (5, 60):
        lower, upper = frame_bounds(Forgetful((1, size)))
        assert lower == pytest.approx(0, abs=1e-12)
        assert upper == pytest.approx(1)
    assert condition_number(Forgetful((1, 5))) == float("inf")


def test_the_iteration_repeats_and_leaves_random_state_alone() -> None:
    transform, state = get("dwt(bior4.4, level=2)", (1, 128)), torch.get_rng_state()
    with torch.inference_mode():
        first = frame_bounds(transform)
    assert first == frame_bounds(transform)
    assert torch.equal(state, torch.get_rng_state())


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="not linear"):
        frame_bounds(get("polar", (1, 8)))
    with pytest.raises(ValueError, match="tol > 0"):
        frame_bounds(get("dct", (1, 8)), tol=0)
    with pytest.raises(ValueError, match="did not converge"):
        frame_bounds(get("dwt(db4, level=3, mode=symmetric)", (1, 12, 12)), tol=1e-13, iterations=1)
