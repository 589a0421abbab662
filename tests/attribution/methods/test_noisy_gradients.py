"""Moments of noisy gradients: closed forms, autograd on the pullback, several domains at once, any batch size."""

from typing import Any

import pytest
import torch
from support.compare import close
from support.integrated_gradients import MISSED
from support.nonlinear import Curved, three_linear_domains_and_a_curved_one
from support.subjects import ESTIMATORS, AsModule, linear_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import Estimator
from pullback.attribution.engine.random import Keyed

SHAPE = (2, 9, 8)
DOMAINS = three_linear_domains_and_a_curved_one(SHAPE)
MOMENTS = {
    "squaregrad": lambda g: g.square().mean(0),
    "absgrad": lambda g: g.abs().mean(0),
    "vargrad": lambda g: g.var(0, correction=0),
}


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
@pytest.mark.parametrize("name", MOMENTS)
def test_equals_the_moment_of_gradients_on_the_pullback(name: str, domain: Any) -> None:
    x, f, samples = normal(2, *SHAPE), smooth_net(SHAPE), 5
    T = pb.transforms.get(domain, SHAPE)
    rows = pb.attribution.RowIndex.product(torch.tensor([samples, samples]), x.device)
    example, noise = rows.example, Keyed(x, 3).draw(rows, SHAPE, Tensor.normal_)
    spread = 0.2 * (x.flatten(1).amax(1) - x.flatten(1).amin(1))
    z = T(x[example] + spread[example].reshape(-1, 1, 1, 1) * noise).requires_grad_()
    (g,) = torch.autograd.grad(pb.Pullback(f, T)(z)[:, 1].sum(), z)
    expected = torch.stack([MOMENTS[name](rows) for rows in g.reshape(2, samples, *g.shape[1:])])
    att = pb.attribute(f, x, 1, method=f"{name}(samples=5, spread=0.2)", transform=domain, seed=3)
    close(att.values, expected)


@pytest.mark.parametrize("name", [*MOMENTS, "smoothgrad"])
def test_many_domains_cost_the_gradients_of_one(name: str) -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)
    together = pb.attribute(f, x, 0, method=f"{name}(samples=4)", transform=DOMAINS[:3])
    assert together[0].settings["evaluations"] == {"forward": 8, "gradient": 8}
    for domain, att in zip(DOMAINS, together):
        close(att.values, pb.attribute(f, x, 0, method=f"{name}(samples=4)", transform=domain).values, 1e-14)


def test_the_second_moment_is_the_variance_plus_the_squared_mean_of_the_same_noise() -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)
    get = lambda name: pb.attribute(f, x, 0, method=f"{name}(samples=6)", transform="dct").values
    close(get("squaregrad"), get("vargrad") + get("smoothgrad") ** 2, 1e-14)


def test_a_linear_model_has_its_weights_and_no_variance() -> None:
    """Every sample has the same weight; a division inside the loop would leave only the last one."""
    x, f = normal(2, *SHAPE), linear_net(SHAPE)
    for samples in (1, 3, 7):
        for T in DOMAINS[:3]:
            get = lambda name: pb.attribute(f, x, method=f"{name}(samples={samples})", transform=T, batch_size=2)  # noqa: B023
            w = pb.attribute(f, x, method="gradient", transform=T).values
            close(get("squaregrad").values, w.square(), 1e-13)
            close(get("absgrad").values, w.abs(), 1e-13)
            assert float(get("vargrad").values.abs().max()) <= (1e-15 * float(w.abs().max())) ** 2


class Steep(nn.Module):
    """A gradient of about 10⁶ with a variance of about 10⁻⁶: E g² - (E g)² has no correct digit in single precision."""

    def forward(self, x: Tensor) -> Tensor:
        return (1e6 * x + 1e-3 * x.square() / 2).flatten(1).sum(1)


def test_variance_is_never_negative() -> None:
    x = normal(2, 1, 16, dtype=torch.float32)
    options = "(samples=20, spread=0.3)"
    get = lambda name: pb.attribute(Steep(), x, method=name + options, batch_size=3).values
    naive = get("squaregrad") - get("smoothgrad") ** 2
    variance = get("vargrad")
    assert float(variance.min()) >= 0
    wide = pb.attribute(Steep(), x.double(), method="vargrad" + options).values
    assert float(wide.min()) > 0
    assert bool(((naive - wide).abs() > 0.5 * wide).all())  # the control: the textbook formula is wrong


@pytest.mark.parametrize("name", MOMENTS)
def test_a_brighter_example_in_the_batch_changes_nothing(name: str) -> None:
    """The official WAM code divides by a maximum over the batch."""
    x, f = normal(1, *SHAPE), smooth_net(SHAPE)
    crowd = torch.cat([x, 1e3 * normal(1, *SHAPE, seed=1)])
    alone = pb.attribute(f, x, 0, method=name, transform="dct").values
    close(pb.attribute(f, crowd, 0, method=name, transform="dct").values[:1], alone, 1e-14)


@pytest.mark.parametrize("method", ESTIMATORS, ids=repr)
def test_any_batch_size_batch_and_order_give_the_same_numbers(method: Estimator) -> None:
    x, f = normal(3, 1, 8), smooth_net((1, 8))
    domains: list[Any] = ["pixel", "dwt(haar, level=2)", Curved((1, 8))]
    options: dict[str, Any] = {"method": method, "transform": domains, "baseline": "uniform"}
    whole = pb.attribute(f, x, 0, **options)
    few = pb.attribute(f, x, 0, batch_size=2, **options)
    alone = pb.attribute(f, x[1:2], 0, batch_size=7, **options)
    turned = pb.attribute(f, x.flip(0), 0, **options)
    for a, b, c, d in zip(whole, few, alone, turned):
        for what in ("values", "score_difference", "displacement"):
            at = getattr(a, what)
            close(getattr(b, what), at, 1e-13)
            close(getattr(c, what), at[1:2], 1e-13)
            close(getattr(d, what), at.flip(0), 1e-13)


@pytest.mark.parametrize("method", ESTIMATORS, ids=repr)
def test_a_constant_model_gets_zeros(method: Estimator) -> None:
    x = normal(2, 1, 8)
    constant = AsModule(lambda x: 0 * x.flatten(1).sum(1) + 0.1)
    for point, baseline in ((x, "uniform"), (torch.zeros_like(x), None)):
        for att in pb.attribute(constant, point, method=method, transform=["dwt(haar, level=2)", "dct"], baseline=baseline):
            assert torch.equal(att.values, torch.zeros_like(att.values))


@pytest.mark.parametrize("baseline", [None, "uniform"])
@pytest.mark.parametrize("method", ESTIMATORS, ids=repr)
def test_progress_counts_to_the_planned_evaluations(method: Estimator, baseline: str | None) -> None:
    seen: list[tuple[int, int]] = []
    x, f = normal(2, 1, 8), smooth_net((1, 8))
    domains: list[Any] = ["pixel", "dwt(haar, level=2)", Curved((1, 8))]
    pb.attribute(
        f, x, 0, method=method, transform=domains, baseline=baseline, progress=lambda *at: seen.append(at), batch_size=5
    )
    done, planned = zip(*seen)
    assert len(set(planned)) == 1
    fewer = "tol=" in repr(method) or baseline is None  # it may stop early, and reads f of a fixed baseline once
    assert done[-1] == planned[-1] or (done[-1] < planned[-1] and fewer)
    assert list(done) == sorted(done)


@MISSED  # half precision cannot meet 1e-6
@pytest.mark.parametrize("method", ESTIMATORS, ids=repr)
def test_single_precision_and_half_precision_models(method: Estimator) -> None:
    x, f = normal(2, 1, 8, dtype=torch.float32), smooth_net((1, 8)).float()
    wide = pb.attribute(f, x, 0, method=method, transform="dct")
    assert wide.values.dtype == torch.float32
    half = pb.attribute(f.bfloat16(), x.bfloat16(), 0, method=method, transform="dct")
    assert half.values.dtype == torch.float32
    assert bool(half.values.isfinite().all())


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("squaregrad(samples=0)", ValueError, "samples must be a whole number"),
        ("vargrad(samples=1.5)", TypeError, "samples must be a whole number"),
        ("absgrad(spread=-1)", ValueError, "spread must be a finite number of at least 0"),
        ("gradient_shap(spread=-1)", ValueError, "gradient_shap: spread must be a finite number of at least 0"),
    ],
)
def test_bad_options(spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pb.attribution.get(spec)
