"""Masks against the closed form of a linear model, where the optimum is a threshold; several prices; bad input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.nonlinear import Sinh
from support.subjects import linear_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import Mask, MaskPath, mask_path
from pullback.attribution.methods import mask_optimisation
from pullback.attribution.methods.mask_optimisation import GAMES, coefficient_weights

SHAPE = (2, 6, 5)
X = normal(2, *SHAPE, seed=3)
ALPHAS = (0.02, 0.3, 2.0)
DOMAINS = ["pixel", "dct", "dft", "dwt(bior2.2, level=1)", "dwt(db2, level=1, mode=symmetric)"]


def slopes(model: nn.Module, x: Tensor, transform: pb.transforms.Transform) -> Tensor:
    """∂f/∂z of a linear model. Shape: (batch, *coeff)."""
    point = x.clone().requires_grad_()
    return transform.adjoint(torch.autograd.grad(model(point).sum(), point)[0])


def largest_error(path: MaskPath, gain: Tensor, price: Tensor, game: str = "preservation") -> float:
    """The largest distance of the masks from the threshold: what gains more than its price is kept, or deleted."""
    needed = gain[:, None] > path.alpha.reshape(-1, *[1] * price.ndim) * price
    expected = needed if game == "preservation" else ~needed
    return float((path.mask - expected.to(path.mask)).abs().max())


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_linear_model_is_a_threshold(domain: str, game: str) -> None:
    net = linear_net(SHAPE)
    path = mask_path(net, X, None, domain, alphas=ALPHAS, steps=40, game=game)
    gain = path.coefficients * slopes(net, X, path.transform)
    assert largest_error(path, gain, torch.ones_like(gain[0]), game) == 0
    kept = path.transform.inverse(path.mask[:, 1] * path.coefficients)
    torch.testing.assert_close(path.logit[:, 1], net(kept)[:, 0].detach())
    torch.testing.assert_close(path.sparsity, 1 - path.mask.flatten(2).mean(2))
    torch.testing.assert_close(path.signal(1), kept)


def test_the_wrong_sign_of_the_objective_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    net = linear_net(SHAPE)
    right = mask_path(net, X, None, "dct", alphas=ALPHAS, steps=40)
    gain = right.coefficients * slopes(net, X, right.transform)
    monkeypatch.setattr(mask_optimisation.Problem, "sign", 1)
    flipped = mask_path(net, X, None, "dct", alphas=ALPHAS, steps=40)
    assert largest_error(right, gain, torch.ones_like(gain[0])) == 0
    assert largest_error(flipped, gain, torch.ones_like(gain[0])) == 1
    assert (flipped.logit < right.logit).all()


@settings(max_examples=10, deadline=None)
@given(size=st.integers(1, 9), alpha=st.floats(0.0, 3.0), seed=st.integers(0, 99), rows=st.integers(1, 7))
def test_threshold_for_any_size_price_and_batch_size(size: int, alpha: float, seed: int, rows: int) -> None:
    net, x = linear_net((1, size), seed), normal(3, 1, size, seed=seed + 1)
    path = mask_path(net, x, None, "dct", alphas=[alpha], steps=30, batch_size=rows)
    gain = path.coefficients * slopes(net, x, path.transform)
    clear = (gain - alpha).abs() > 1e-6  # at a tie every mask is a minimum
    expected = (gain > alpha).double()
    assert ((path.mask[:, 0] - expected)[clear] == 0).all()


def test_obfuscations_and_baseline_move_the_threshold() -> None:
    net, base = linear_net(SHAPE), normal(*SHAPE, seed=4)
    transform = pb.transforms.get("dwt(haar, level=1)", SHAPE)
    z, slope = transform(X), slopes(net, X, transform)
    one = torch.ones_like(z[0])
    means = torch.stack([transform.layout.sum(z) / transform.layout.sizes]).squeeze(0)[:, transform.layout.index]
    for obfuscation, absent in [("zero", 0 * z), ("baseline", transform(base.expand_as(X))), ("mean", means)]:
        path = mask_path(net, X, None, transform, alphas=ALPHAS, steps=40, obfuscation=obfuscation, baseline=base)
        assert largest_error(path, (z - absent) * slope, one) == 0, obfuscation


def test_noise_equals_the_mean_where_bands_are_constant() -> None:
    net, x = linear_net((1, 8)), torch.ones(2, 1, 8, dtype=torch.double)
    x[1] *= 3
    noise, mean = (mask_path(net, x, None, "pixel", alphas=ALPHAS, steps=20, obfuscation=kind) for kind in ("noise", "mean"))
    torch.testing.assert_close(noise.mask, mean.mask)
    moving = mask_path(net, normal(2, 1, 8), None, "pixel", alphas=[0.1], steps=20, obfuscation="noise")
    other = mask_path(net, normal(2, 1, 8), None, "pixel", alphas=[0.1], steps=20, obfuscation="noise", seed=1)
    assert not torch.equal(moving.mask, other.mask)


def test_weights_per_band_and_per_coefficient() -> None:
    net = linear_net(SHAPE)
    transform = pb.transforms.get("dwt(haar, level=1)", SHAPE)
    layout = transform.layout
    names = [band.name for band in layout.bands]
    numbers = [0.1, 1.0, 2.0, 5.0]
    each = torch.tensor(numbers, dtype=torch.double)[layout.index]
    gain = transform(X) * slopes(net, X, transform)
    for weight in (numbers, dict(zip(reversed(names), reversed(numbers))), each):
        path = mask_path(net, X, None, transform, alphas=ALPHAS, steps=40, weight=weight)
        assert largest_error(path, gain, each) == 0
    assert largest_error(path, gain, torch.ones_like(each)) == 1  # the control: without weights it is another mask
    scale = coefficient_weights("scale", layout)
    assert scale.unique().numel() == layout.sizes.unique().numel()
    assert largest_error(mask_path(net, X, None, transform, alphas=ALPHAS, steps=40, weight="scale"), gain, scale) == 0


@pytest.mark.parametrize("obfuscation", ["baseline", "noise"])
@pytest.mark.parametrize("domain", ["dct", Sinh(SHAPE)], ids=str)
def test_many_examples_and_prices_with_any_batch_size_equal_each_alone(domain: str | Sinh, obfuscation: str) -> None:
    net = smooth_net(SHAPE)
    options = {"steps": 25, "obfuscation": obfuscation}
    together = mask_path(net, X, 1, domain, alphas=ALPHAS, batch_size=4, **options)
    for e in range(2):
        for a, alpha in enumerate(ALPHAS):
            alone = mask_path(net, X[e : e + 1], 1, domain, alphas=[alpha], batch_size=1, **options)
            torch.testing.assert_close(together.mask[e, a], alone.mask[0, 0], rtol=0, atol=1e-9)


def test_the_mask_gradient_needs_no_autograd_through_the_transform() -> None:
    """One NAdam step by hand on f(T⁻¹(m ⊙ z)) with autograd gives the same mask."""
    net, transform = smooth_net(SHAPE), pb.transforms.get("dwt(bior2.2, level=1)", SHAPE)
    z = transform(X)
    mask = torch.ones_like(z).requires_grad_()
    optimizer = torch.optim.NAdam([mask], lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 3)
        (-net(transform.inverse(mask * z))[:, 2].sum() + 0.02 * mask.abs().sum()).backward()
        optimizer.step()
        mask.data.clamp_(0, 1)
    path = mask_path(net, X, 2, transform, alphas=[0.02], steps=3)
    torch.testing.assert_close(path.mask[:, 0], mask.detach(), rtol=1e-10, atol=1e-12)


def test_rising_prices_remove_more_and_the_probability_is_that_of_the_class() -> None:
    net = smooth_net(SHAPE)
    path = mask_path(net, X, [0, 2], "dct", alphas=[0.2, 0.002, 0.02], steps=60)
    by_price = path.sparsity[:, [1, 2, 0]]
    assert (by_price.diff(dim=1) >= 0).all()
    assert (by_price[:, -1] > by_price[:, 0]).all()
    for a in range(3):
        expected = net(path.signal(a)).softmax(1)[[0, 1], [0, 2]].detach()
        torch.testing.assert_close(path.probability[:, a], expected)
    frame = path.to_frame()
    assert list(frame.columns) == ["example", "alpha", "sparsity", "logit", "probability", "objective"]
    assert frame["objective"].to_numpy() == pytest.approx(path.objective.flatten().numpy())


def test_continuation_finds_the_same_masks_with_fewer_gradients() -> None:
    net = smooth_net(SHAPE)
    alphas = [0.002 * 2**k for k in range(8)]
    alone = mask_path(net, X, 0, "dct", alphas=alphas, steps=150)
    chain = mask_path(net, X, 0, "dct", alphas=alphas[::-1], steps=150, continuation=0.2)
    span = alone.objective.amax(1, keepdim=True) - alone.objective.amin(1, keepdim=True)
    assert ((chain.objective.flip(1) - alone.objective).abs() / span).max() < 0.02
    passes = [path.settings["evaluations"]["gradient"] for path in (chain, alone)]
    assert passes == [2 * (150 + 7 * 30), 2 * 8 * 150]
    assert passes[0] <= 0.4 * passes[1]
    cold = mask_path(net, X, 0, "dct", alphas=alphas, steps=3)  # the control: a front that has not converged
    assert ((cold.objective - alone.objective).abs() / span).max() > 0.02


def test_continuation_is_as_good_at_every_price_as_independent_runs() -> None:
    """It is nowhere worse by more than two independent runs differ, and not worse on average, for 40 % of the gradients."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(60, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 3)).double()
    alphas = [0.002 * 2**k for k in range(8)]
    alone = mask_path(net.eval(), X, 0, "dct", alphas=alphas, steps=500)
    chain = mask_path(net, X, 0, "dct", alphas=alphas, steps=500, continuation=0.3)
    span = alone.objective.amax(1, keepdim=True) - alone.objective.amin(1, keepdim=True)
    other = mask_path(net, X, 0, "dct", alphas=alphas, steps=500, lr=0.05)
    worse, scatter = (chain.objective - alone.objective) / span, (other.objective - alone.objective) / span
    assert worse.mean() < 0.001
    assert worse.max() <= max(0.005, float(scatter.abs().max())), (worse, scatter)
    cold = mask_path(net, X, 0, "dct", alphas=alphas, steps=20)
    assert ((cold.objective - alone.objective) / span).mean() > 0.001  # the control: a front that has not converged
    assert chain.settings["evaluations"]["gradient"] < 0.4 * alone.settings["evaluations"]["gradient"]
    best = (
        chain.objective[:, :, None]
        > chain.objective[:, None] + (chain.alpha[:, None] - chain.alpha) * (chain.mask.flatten(2).sum(2)[:, None])
    )
    assert not (best & ~torch.eye(8, dtype=torch.bool)).any()  # no mask would be better for another price


def test_as_a_method_in_several_domains() -> None:
    net = linear_net(SHAPE)
    found = pb.attribute(net, X, method="mask(alpha=0.3, steps=40)", transform=["pixel", "dct"])
    for att in found:
        path = mask_path(net, X, None, att.transform, alphas=[0.3], steps=40)
        torch.testing.assert_close(att.values, path.mask[:, 0])
        for name in ("sparsity", "logit", "objective"):
            torch.testing.assert_close(att.details[name], getattr(path, name)[:, 0])
    removed = pb.attribute(net, X, method="mask(alpha=0.3, steps=40, game=deletion)", transform="dct")
    assert (removed.values == 1).any()  # the coefficients that must be deleted are those that matter
    torch.testing.assert_close(removed.values, found[1].values)


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_masks_of_several_domains_share_forwards_and_equal_each_alone(rows: int) -> None:
    net, calls = smooth_net(SHAPE), list[int]()
    method, domains = Mask(alpha=0.05, steps=20, obfuscation="noise"), ["pixel", "swt(haar, level=1)", "dct"]

    def watched(points: Tensor) -> Tensor:
        calls.append(len(points))
        return net(points)

    together = pb.attribute(watched, X, 1, method=method, transform=domains, batch_size=rows)
    assert max(calls) == min(rows, 6)  # more than the two examples, where the limit allows it
    alone = [pb.attribute(net, X, 1, method=method, transform=domain) for domain in domains]
    assert together[0].settings["evaluations"]["gradient"] == sum(one.settings["evaluations"]["gradient"] for one in alone)
    for one, other in zip(together, alone):
        torch.testing.assert_close(one.values, other.values, rtol=0, atol=1e-9)
    assert not torch.allclose(together[0].values, together[2].values, atol=1e-3)  # the control: domains differ


def test_evaluations_are_counted_memory_is_bounded_and_state_is_restored() -> None:
    net = smooth_net(SHAPE)
    x, state = X.clone(), torch.get_rng_state()
    seen: list[int] = []

    def small(points: Tensor) -> Tensor:
        seen.append(len(points))
        if len(points) > 3:
            raise MemoryError("too many rows")
        return net(points)

    path = mask_path(small, x, 1, "dct", alphas=ALPHAS, steps=5, batch_size=6)
    plain = mask_path(net, x, 1, "dct", alphas=ALPHAS, steps=5, batch_size=2)
    torch.testing.assert_close(path.mask, plain.mask, rtol=0, atol=1e-12)
    assert max(seen[-10:]) <= 3
    assert plain.settings["evaluations"] == {"forward": 2 * (3 + 3) + 2, "gradient": 2 * 3 * 5}
    told: list[tuple[int, int]] = []
    mask_path(net, x, 1, "dct", alphas=ALPHAS, steps=5, continuation=0.4, progress=lambda *now: told.append(now))
    rows = 2 * (3 + 5 + 2 + 2 + 1 + 2 + 3) + 2  # x twice, x₀, steps of three prices, all masks found, the front; a middle twice
    assert told[-1] == (rows, rows)
    assert torch.equal(x, X)
    assert torch.equal(state, torch.get_rng_state())
    assert not path.mask.requires_grad
    assert path.mask.grad is None
    assert all(p.grad is None for p in net.parameters())


def test_dead_coefficients_are_dropped_and_a_constant_model_keeps_nothing() -> None:
    only = mask_path(lambda x: x[:, 0, 0, 0] * 0 + x[:, 0, 1, 1], X.abs(), None, alphas=[1e-3], steps=40)
    assert only.mask.sum(dim=(1, 2, 3, 4)).tolist() == [1, 1]
    assert (only.mask[:, 0, 0, 1, 1] == 1).all()
    constant = mask_path(lambda x: 0 * x.flatten(1).sum(1), X, None, "dct", alphas=[0.0, 1e-3], steps=40)
    assert constant.sparsity.tolist() == [[0, 1], [0, 1]]
    nothing = mask_path(linear_net(SHAPE), 0 * X, None, "dct", alphas=[0.1], steps=40)
    assert nothing.mask.abs().max() == 0


def test_save_keeps_the_options(tmp_path) -> None:  # type: ignore[no-untyped-def]
    method = Mask(alpha=0.3, steps=2, weight=torch.ones(SHAPE))
    found = pb.attribute(linear_net(SHAPE), X, method=method, transform="dct")
    found.save(tmp_path / "mask.safetensors")
    again = pb.Attribution.load(tmp_path / "mask.safetensors")
    assert again.settings == found.settings
    torch.testing.assert_close(again.details["logit"], found.details["logit"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alphas": [0.1, -0.1]}, r"alpha must be a finite number of at least 0, got -0.1"),
        ({"alphas": [math.nan]}, "alpha must be a finite number"),
        ({"alphas": ["nan"]}, "alpha must be a finite number of at least 0, got 'nan'"),
        ({"alphas": []}, "at least one price"),
        ({"alphas": [1], "steps": 0}, "steps must be a whole number of at least 1"),
        ({"alphas": [1], "lr": 0.0}, "lr must be a positive number"),
        ({"alphas": [1], "game": "insertion"}, "game in preservation, deletion"),
        ({"alphas": [1], "obfuscation": "blur"}, "obfuscation in baseline, zero, mean, noise"),
        ({"alphas": [1], "weight": "band"}, "weight in uniform, scale"),
        ({"alphas": [1], "weight": [1.0, 2.0]}, r"one number for each of the 1 bands \(pixels\)"),
        ({"alphas": [1], "weight": []}, r"got shape \(0,\)"),
        ({"alphas": [1], "weight": [-1.0]}, "at least 0 everywhere"),
        ({"alphas": [1], "weight": {"aa1": 1.0}}, "must name every band, pixels; got aa1"),
        ({"alphas": [1], "continuation": 0.0}, r"fraction in \(0, 1\]"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_path(linear_net(SHAPE), X, None, **options)  # type: ignore[arg-type]


def test_bad_input_names_the_example() -> None:
    with pytest.raises(ValueError, match=r"0…2, got 5 for example 1"):
        mask_path(smooth_net(SHAPE), X, [0, 5], alphas=[1.0], steps=2)
    with pytest.raises(ValueError, match="example 1 holds NaN"):
        mask_path(smooth_net(SHAPE), X * torch.tensor([1, math.nan]).reshape(2, 1, 1, 1), 0, alphas=[1.0], steps=2)


def test_a_model_that_is_not_finite_at_some_mask_names_the_example() -> None:
    x = torch.ones(3, 1, 4, dtype=torch.double)
    x[1] = 2

    def fragile(points: Tensor) -> Tensor:  # finite at x and at zero, NaN between them for example 1 only
        total = points.flatten(1).sum(1)
        return total + torch.where((total > 4.5) & (total < 7.9), torch.nan, 0.0)

    with pytest.raises(ValueError, match="nan for example 1"):
        mask_path(fragile, x, None, alphas=[3.0], steps=20)
    rooted = lambda points: points.flatten(1).clamp(min=0).sqrt().sum(1)  # finite everywhere, its slope at 0 is not
    with pytest.raises(ValueError, match=r"gradient is not finite for example 0"):
        mask_path(rooted, x, None, alphas=[30.0], steps=40)
