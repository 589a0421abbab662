"""Transforms that are not linear: magnitude and phase, flows, autoencoders with their residual."""

import cmath
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.transforms import Polar, Transform, TransformClaim, Wrap, wrap

# Polar --------------------------------------------------------------------------------------------------------------

SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=3)


@given(SIZES, st.booleans())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_polar_rebuilds_every_size(sizes: list[int], log: bool) -> None:
    x = normal(3, 2, *sizes)
    transform = Polar((2, *sizes), log=log)
    torch.testing.assert_close(transform.inverse(transform(x)), x, rtol=1e-10, atol=1e-10)
    assert transform.layout.index.numel() == x[0].numel()
    assert (transform.claims == TransformClaim.ORTHOGONAL) == all(n <= 2 for n in sizes)
    if transform.layout.index.numel() > 12:  # of few coefficients, all may be in T's range by chance
        assert not pb.axioms.check_transform(transform).faults


@pytest.mark.parametrize("sizes", [(8,), (5,), (4, 3)])
def test_polar_against_a_double_loop(sizes: tuple[int, ...]) -> None:
    x = normal(1, 1, *sizes)
    z, n = Polar((1, *sizes))(x)[0, 0].numpy(), math.prod(sizes)
    for k in np.ndindex(*sizes):
        total = (
            sum(
                complex(x[0, 0][m]) * cmath.exp(-2j * math.pi * sum(a * b / c for a, b, c in zip(k, m, sizes)))
                for m in np.ndindex(*sizes)
            )
            / n**0.5
        )
        partner = tuple(-a % c for a, c in zip(k, sizes))
        if partner == k:
            assert z[k] == pytest.approx(total.real, abs=1e-12)
        else:
            # One of the two places holds the magnitude, and the other its own partner's phase.
            options = math.sqrt(2) * abs(total), cmath.phase(total.conjugate())
            assert min(abs(z[k] - option) for option in options) < 1e-12


def test_polar_energy_and_bands() -> None:
    transform, x = Polar((1, 9)), normal(2, 1, 9)
    z = transform(x)
    names = [band.name for band in transform.layout.bands]
    magnitude = torch.tensor([not name.endswith("phase") for name in names])[transform.layout.index]
    torch.testing.assert_close((z * magnitude).square().sum((1, 2)), x.square().sum((1, 2)))
    assert int((~magnitude).sum()) == 4  # one phase for each of the 4 pairs
    assert {name.split()[1] for name in names} == {"magnitude", "phase"}
    shifted = transform(x.roll(2, -1))
    torch.testing.assert_close(shifted * magnitude, z * magnitude)  # a shift moves phases only
    assert not torch.allclose(shifted, z)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-30, 1.0, 1e3])
def test_polar_has_gradients_everywhere(log: bool, dtype: torch.dtype, scale: float) -> None:
    transform = Polar((1, 6, 5), log=log)
    x = (scale * normal(2, 1, 6, 5) + (100 if scale == 1e3 else 0)).to(dtype).requires_grad_()
    z = transform(x)
    (back,) = torch.autograd.grad(z.sum(), x)
    assert bool(back.isfinite().all())
    point = z.detach().requires_grad_()
    out = transform.inverse(point)
    (back,) = torch.autograd.grad(out.square().sum() + out.sum(), point)
    assert bool(back.isfinite().all())


def test_the_gradient_of_polar_is_right_where_it_is_defined() -> None:
    x = normal(1, 1, 7).requires_grad_()
    for log in (False, True):
        transform = Polar((1, 7), log=log)
        assert torch.autograd.gradcheck(transform, x)
        assert torch.autograd.gradcheck(transform.inverse, transform(x).detach().requires_grad_())


@pytest.mark.parametrize(
    ("dtype", "scales"), [(torch.float32, [1e-37, 1e-20, 1e19, 1e35]), (torch.float64, [1e-300, 1e-160, 1e160, 1e300])]
)
@pytest.mark.parametrize("log", [False, True])
def test_polar_keeps_signals_as_faint_and_as_loud_as_the_dtype(log: bool, dtype: torch.dtype, scales: list[float]) -> None:
    """Their squares vanish or overflow, which neither z nor its gradient may show."""
    transform, x = Polar((1, 6, 5), log=log), normal(2, 1, 6, 5)
    phase = transform(x).where(transform._half < 0, 0)
    for scale in scales:
        point = (scale * x).to(dtype).requires_grad_()
        z = transform(point)
        loudest = float(point.detach().abs().max())
        assert float((transform.inverse(z) - point).detach().abs().max()) < 1e3 * torch.finfo(dtype).eps * loudest
        torch.testing.assert_close(z.detach().double().where(transform._half < 0, 0), phase, rtol=1e-3, atol=1e-3)
        (back,) = torch.autograd.grad(z.clamp(max=1).sum(), point)
        assert bool(back.isfinite().all())


def test_silence_is_zero_and_its_log_magnitude_too() -> None:
    for log in (False, True):
        assert bool(Polar((2, 8), log=log)(torch.zeros(1, 2, 8)).eq(0).all())


def test_polar_refuses() -> None:
    with pytest.raises(ValueError, match="floor must be a positive number"):
        Polar((1, 8), log=True, floor=0)
    with pytest.raises(TypeError, match="true or false"):
        Polar((1, 8), log="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="only linear transforms have an adjoint"):
        Polar((1, 8)).adjoint(normal(1, 1, 8))
    with pytest.raises(ValueError, match="pass real and imaginary parts"):
        Polar((1, 8))(torch.zeros(1, 1, 8, dtype=torch.complex64))
    assert pb.transforms.get(Polar((1, 8), log=True, floor=0.5).spec, (1, 8)).floor == 0.5  # type: ignore[attr-defined]


def test_attribution_in_magnitude_and_phase_is_complete() -> None:
    x, model = normal(3, 2, 6, 5), smooth_net((2, 6, 5))
    for spec in ("polar", "polar(log=true)"):
        att = pb.attribute(model, x, 0, method="integrated_gradients(steps=300)", transform=spec)
        assert float(att.completeness_gap.abs().max()) < 1e-4 * float(att.score_difference.abs().max())
        assert att.covector is None


# Wrap ---------------------------------------------------------------------------------------------------------------


class Coupling(nn.Module):
    """An affine coupling flow (Dinh et al. 2017): one half moves the other."""

    def __init__(self) -> None:
        super().__init__()
        self.net = smooth_net((1, 3), 6, seed=5)

    def forward(self, x: Tensor) -> Tensor:
        kept, moved = x.chunk(2, -1)
        scale, shift = self.net(kept).unflatten(1, (1, 6)).chunk(2, -1)
        return torch.cat([kept, moved * scale.tanh().exp() + shift], -1)

    def inverse(self, z: Tensor) -> Tensor:
        kept, moved = z.chunk(2, -1)
        scale, shift = self.net(kept).unflatten(1, (1, 6)).chunk(2, -1)
        return torch.cat([kept, (moved - shift) * (-scale.tanh()).exp()], -1)


class Autoencoder(nn.Module):
    """8 numbers through a code of 3: it does not rebuild its input."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(smooth_net((2, 4), 3, seed=6), nn.Tanh())
        self.decode = nn.Sequential(smooth_net((3,), 8, seed=7), nn.Unflatten(1, (2, 4)))


@pytest.fixture
def autoencoder() -> Autoencoder:
    return Autoencoder().double().eval()


def test_a_flow_is_bijective_and_its_attributions_complete() -> None:
    flow = Coupling().eval()
    transform = wrap((1, 6), flow, flow.inverse)
    assert transform.claims == TransformClaim.BIJECTIVE
    assert not pb.axioms.check_transform(transform).faults
    x, model = normal(4, 1, 6), smooth_net((1, 6))
    att = pb.attribute(model, x, 1, method="integrated_gradients(steps=64)", transform=transform)
    assert float(att.completeness_gap.abs().max()) < 1e-8
    jacobian = torch.func.jacrev(lambda z: model(transform.inverse(z[None]))[0, 1])(transform(x)[2])
    sensitivity = pb.attribute(model, x, 1, method="gradient", transform=transform)
    torch.testing.assert_close(sensitivity.values[2], jacobian)


@pytest.mark.parametrize("residual", ["carried", "fixed"])
def test_with_its_residual_an_autoencoder_loses_nothing_and_f_varies(autoencoder: Autoencoder, residual: str) -> None:
    transform = wrap((2, 4), autoencoder.encode, autoencoder.decode, residual=residual)
    assert transform.claims == TransformClaim.RECONSTRUCTS
    assert not pb.axioms.check_transform(transform).faults
    x, model = normal(5, 2, 4), smooth_net((2, 4))
    f = pb.Pullback(model, transform)
    z = transform(x)
    torch.testing.assert_close(f(z), model(x), rtol=1e-12, atol=1e-12)
    moved = z.clone()
    moved[..., :3] *= 0.5
    assert float((f(moved) - f(z)).detach().abs().min()) > 1e-4
    # The control is TRIM's own slip: a residual found anew at each point makes f constant.
    again = lambda c: autoencoder.decode(c) + (x - autoencoder.decode(c))
    torch.testing.assert_close(model(again(moved[:, 0, :3])), model(x))


def test_a_carried_residual_keeps_attributions_complete(autoencoder: Autoencoder) -> None:
    x, model = normal(5, 2, 4), smooth_net((2, 4))
    transform = wrap((2, 4), autoencoder.encode, autoencoder.decode, residual="carried")
    att = pb.attribute(model, x, 0, method="integrated_gradients(steps=64)", transform=transform)
    assert float(att.completeness_gap.abs().max()) < 1e-6
    assert list(att.importance("band").columns) == ["code", "residual"]
    assert att.layout.position[:, 0, 3:].T.flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0]


def test_a_fixed_residual_is_not_credited_and_the_gap_is_the_shift_of_the_start(autoencoder: Autoencoder) -> None:
    x, model = normal(5, 2, 4), smooth_net((2, 4))
    transform = wrap((2, 4), autoencoder.encode, autoencoder.decode, residual="fixed")
    att = pb.attribute(model, x, 0, method="integrated_gradients(steps=64)", transform=transform)
    assert float(att.values[..., 3:].abs().max()) == 0
    assert float(att.displacement[..., 3:].abs().max()) == 0
    zero = torch.zeros_like(x)
    start = autoencoder.decode(autoencoder.encode(zero)) + x - autoencoder.decode(autoencoder.encode(x))
    explained = (model(x) - model(start))[:, 0]
    torch.testing.assert_close(att.values.flatten(1).sum(1), explained.detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(att.completeness_gap, (model(zero) - model(start))[:, 0].detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "combine"),
    [
        ((2, 4), lambda inner: inner >> pb.transforms.Pixel(inner.layout.shape)),
        ((1, 3, 4), lambda inner: pb.transforms.Along((3, 5, 4), inner, [0, 2])),
        ((2, 4), lambda inner: pb.transforms.Restrict((3, 6), inner, [[1, 5]], [0, 2])),
        ((1, 4), lambda inner: pb.transforms.PerAxis((3, 4), None, inner)),
    ],
)
def test_a_fixed_residual_stays_fixed_inside_combinators(
    shape: tuple[int, ...], combine: Callable[[Transform], Transform]
) -> None:
    squash = lambda x: x.unflatten(-1, (2, 2)).mean(-1).tanh()
    outer = combine(wrap(shape, squash, lambda c: c.repeat_interleave(2, -1), residual="fixed"))
    x, base = normal(3, *outer.shape), normal(3, *outer.shape, seed=1)
    z, origin = outer.ends(x, base)
    torch.testing.assert_close(outer.inverse(z), x)
    held = torch.tensor([band.name == "residual" for band in outer.layout.bands])[outer.layout.index]
    if isinstance(outer, pb.transforms.Compose):  # its layout is that of the last part
        held = torch.arange(len(z[0, 0])).expand(outer.layout.shape) >= math.prod(shape) // 2
    assert bool(held.any())
    assert torch.equal(z[:, held], origin[:, held])
    assert not torch.allclose(outer(base)[:, held], z[:, held])  # control: T x₀ has a residual of its own
    assert not torch.allclose(z[:, ~held], origin[:, ~held])


@pytest.mark.parametrize("residual", ["carried", "fixed"])
@pytest.mark.parametrize("method", ["integrated_gradients(steps=7)", "smoothgrad(samples=3)", "input_x_gradient"])
def test_every_row_has_its_own_residual(autoencoder: Autoencoder, residual: str, method: str) -> None:
    x, model = normal(5, 2, 4), smooth_net((2, 4))
    transform = wrap((2, 4), autoencoder.encode, autoencoder.decode, residual=residual)
    run = lambda part, rows: pb.attribute(model, part, 0, method=method, transform=transform, batch_size=rows).values
    whole = run(x, 1_000)
    for rows in (1, 4, 11):
        torch.testing.assert_close(run(x, rows), whole, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(run(x[3:4], "auto"), whole[3:4], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(run(x.flip(0), 4), whole.flip(0), rtol=1e-10, atol=1e-12)


def test_networks_run_in_their_own_precision(autoencoder: Autoencoder) -> None:
    narrow = Autoencoder().float().eval()
    transform = wrap((2, 4), narrow.encode, narrow.decode, residual="carried")
    x = normal(2, 2, 4)
    assert transform(x).dtype == torch.float64
    torch.testing.assert_close(transform.inverse(transform(x)), x, rtol=1e-12, atol=1e-12)
    half = Autoencoder().to(torch.bfloat16).eval()
    transform = wrap((2, 4), half.encode, half.decode, residual="carried")
    torch.testing.assert_close(transform.inverse(transform(x.float())), x.float())
    assert len(list(transform.parameters())) == len(list(half.parameters()))


def test_a_narrow_network_is_not_taken_for_linear() -> None:
    layer = nn.Linear(4, 4).to(torch.bfloat16)
    layer.weight.data, layer.bias.data = torch.eye(4).to(layer.weight), torch.zeros(4).to(layer.bias)
    bent = nn.Sequential(layer, nn.Hardtanh(-4, 4))
    transform = wrap((1, 4), bent, lambda z: z + 0.02 * z.sin(), residual="carried")
    assert transform.claims == TransformClaim.RECONSTRUCTS


def test_claims_are_measured_where_the_maps_live() -> None:
    logit, back = torch.logit, torch.sigmoid
    with pytest.raises(ValueError, match="probe="):
        wrap((1, 4), logit, back)
    transform = wrap((1, 4), logit, back, probe=torch.linspace(0.1, 0.9, 20).reshape(5, 1, 4).double())
    assert transform.claims == TransformClaim.BIJECTIVE


def test_wrap_does_not_change_what_it_wraps(autoencoder: Autoencoder) -> None:
    before = {name: value.clone() for name, value in autoencoder.state_dict().items()}
    random_state = torch.get_rng_state()
    wrap((2, 4), autoencoder.encode, autoencoder.decode, residual="carried")
    assert all(torch.equal(value, before[name]) for name, value in autoencoder.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in autoencoder.parameters())
    assert torch.equal(random_state, torch.get_rng_state())


def identity(x: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize(
    ("forward", "inverse", "options", "error", "message"),
    [
        (torch.tanh, identity, {}, ValueError, r"differs from x by .*residual='carried'"),
        (None, identity, {}, TypeError, "forward must be a module"),
        (identity, 3, {}, TypeError, "inverse must be a module"),
        (identity, identity, {"residual": "trim"}, ValueError, "carried, fixed"),
        (lambda x: (x, 0), identity, {}, ValueError, "one real tensor, batch first, got tuple"),
        (identity, lambda z: (z, 0), {}, ValueError, "must be a tensor of the shape of x"),
        (lambda x: x / 2, identity, {"residual": "fixed"}, ValueError, "the maps are linear"),
        (lambda x: x.sum(0), identity, {}, ValueError, "batch first"),
        (lambda x: torch.complex(x, x), identity, {}, ValueError, "one real tensor, batch first, got torch.complex"),
        (lambda x: x[..., 1:], identity, {}, ValueError, "must be a tensor of the shape of x"),
        (nn.Sequential(nn.Dropout()), identity, {}, ValueError, r"Dropout '0' of forward is in training mode"),
        (identity, identity, {"probe": torch.zeros(1, 1, 4)}, ValueError, "at least 2 signals"),
        (identity, identity, {"probe": torch.zeros(3, 1, 4, dtype=torch.long)}, ValueError, "int64"),
    ],
)
def test_wrap_refuses(
    forward: Callable[[Tensor], Tensor],
    inverse: Callable[[Tensor], Tensor],
    options: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        Wrap((1, 4), forward, inverse, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_smallest_and_the_largest_numbers_come_back_and_have_finite_gradients(dtype: torch.dtype) -> None:
    transform, x = pb.transforms.get("polar", (1, 9)), normal(3, 1, 9, dtype=dtype)
    least = 1 / torch.finfo(dtype).max
    for size in (least / 100, least, 10 * least, 100 * least):
        small = (size * x).requires_grad_()
        z = transform(small)
        assert int(z.count_nonzero()) == x.numel()
        smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps  # the step of the smallest numbers
        assert float((transform.inverse(z) - small).detach().abs().max()) <= 9 * max(smallest, size * torch.finfo(dtype).eps)
        (gradient,) = torch.autograd.grad(z.sum(), small)
        assert bool(gradient.isfinite().all())
    large = torch.finfo(dtype).max / 100 * x / x.abs().max()
    for spec in ("polar", "polar(log=true)"):
        again = pb.transforms.get(spec, (1, 9))
        assert (
            float((again.inverse(again(large)) / large.max() - large / large.max()).abs().max()) <= 2e3 * torch.finfo(dtype).eps
        )
