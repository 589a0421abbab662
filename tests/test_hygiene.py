"""The numbered rules of numerics and hygiene, one test or more each; every registered method and kind of domain."""

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from subjects import ESTIMATORS, AsModule, linear_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import Estimator
from pullback.attribution.noise import derive, keys

SHAPE = (2, 7, 6)
DOMAINS = ["pixel", "dwt(db2, level=1)", "dwt(db2, level=1, mode=reflect)", "dct", "dft"]
methods = pytest.mark.parametrize("method", ESTIMATORS, ids=repr)


def run(model: Callable[..., Tensor], x: Tensor, method: Estimator, **options) -> list[pb.Attribution]:  # type: ignore[no-untyped-def]
    return pb.attribute(model, x, options.pop("target", 1), method=method, transform=DOMAINS, **options)


# 1. Exactness and dtypes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rule", ["gauss_legendre", "trapezoid", "midpoint"])
def test_1_linear_models_are_complete_with_two_nodes(rule: str, dtype: torch.dtype) -> None:
    model, x = linear_net(SHAPE).to(dtype), normal(3, *SHAPE, dtype=dtype)
    for att in pb.attribute(model, x, method=f"integrated_gradients(steps=2, rule={rule})", transform=DOMAINS):
        assert att.values.dtype == dtype
        size = att.values.double().abs().flatten(1).sum(1)  # rounding errors are relative to what is summed
        assert bool((att.gap.double().abs() <= 4 * torch.finfo(dtype).eps * size).all())


@methods
def test_1_float64_stays_float64(method: Estimator) -> None:
    for att in run(smooth_net(SHAPE), normal(2, *SHAPE), method):
        assert att.values.dtype == att.delta.dtype == torch.float64


# 2. Half precision ---------------------------------------------------------------------------------------------------


@methods
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_2_half_precision_models_run_and_sums_are_single(method: Estimator, dtype: torch.dtype) -> None:
    x = normal(2, *SHAPE, dtype=torch.float32)
    model = smooth_net(SHAPE)
    exact = run(model, x.double(), method)
    other = run(model, x.double(), method, seed=1)
    for data in (x, x.to(dtype)):
        half = run(copy.deepcopy(model).to(dtype), data, method)
        for ours, theirs, drawn in zip(half, exact, other):
            assert ours.values.dtype == torch.float32
            assert bool(ours.values.isfinite().all())
            # What is drawn at random depends on the precision in which it is drawn; the rest must agree.
            if torch.equal(theirs.values, drawn.values) and theirs.values.abs().max() > 1e-3:
                cosine = torch.cosine_similarity(ours.values.double().flatten(), theirs.values.flatten(), 0)
                assert float(cosine) > 0.9


def test_2_a_single_precision_model_refuses_double_data_with_advice() -> None:
    with pytest.raises(ValueError, match=r"x\.to\(torch\.float32\)"):
        pb.attribute(smooth_net(SHAPE).float(), normal(1, *SHAPE), 1)


# 3. Batching ---------------------------------------------------------------------------------------------------------


@methods
def test_3_alone_or_in_any_batch_and_order(method: Estimator) -> None:
    model, x = smooth_net(SHAPE), normal(4, *SHAPE)
    x[3] *= 1e3
    together = run(model, x, method)
    shuffled = run(model, x[[2, 0, 3, 1]], method)
    alone = run(model, x[2:3], method)
    for a, b, c in zip(together, shuffled, alone):
        torch.testing.assert_close(b.values, a.values[[2, 0, 3, 1]], rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(c.values[0], a.values[2], rtol=1e-9, atol=1e-11)


@methods
def test_3_any_row_budget_gives_the_same_numbers(method: Estimator) -> None:
    model, x = smooth_net(SHAPE), normal(3, *SHAPE)
    reference = run(model, x, method)
    for rows in (method.least_rows, 3, 7, 10_000):
        for a, b in zip(run(model, x, method, rows=rows), reference):
            torch.testing.assert_close(a.values, b.values, rtol=1e-9, atol=1e-11)


def test_3_noise_is_keyed_by_seed_content_and_sample() -> None:
    x = normal(2, *SHAPE)
    assert keys(x)[1] == keys(x[1:])[0] == keys(x.flip(0))[0]
    seeds = {derive(seed, key, sample) for seed in range(3) for key in keys(x) for sample in range(5)}
    assert len(seeds) == 30
    model = smooth_net(SHAPE)
    first, again, other = (
        pb.attribute(model, x, 0, method="smoothgrad(samples=3)", seed=seed).values for seed in (1, 1, 2)
    )
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("method", ["gradient", "smoothgrad(samples=9)", "rise(masks=9)"])
def test_3_a_model_that_mixes_examples_is_refused(method: str) -> None:
    model = lambda x: (x - x.mean(0)).flatten(1).pow(2).sum(1)
    x = normal(3, *SHAPE)
    with pytest.raises(ValueError, match=r"alone and .* among others, so that its map would depend on them.*rows=1"):
        pb.attribute(model, x, method=method)
    quiet = pb.attribute(lambda x: 0 * x.flatten(1).sum(1), x, method=method, rows=1)
    assert torch.equal(pb.attribute(model, x, method=method, rows=1).values, quiet.values)  # one row is its own mean


# 6. The user's things ------------------------------------------------------------------------------------------------


class Explodes(nn.Module):
    """Raises at the n-th call."""

    def __init__(self, inner: nn.Module, at: int) -> None:
        super().__init__()
        self.inner, self.at, self.calls = inner, at, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise RuntimeError("boom")
        return self.inner(x)


def state(model: nn.Module, x: Tensor) -> tuple[object, ...]:
    hooks = [len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    values = [p.detach().clone() for p in model.parameters()] + [x.detach().clone()]
    flags = [p.requires_grad for p in model.parameters()] + [x.requires_grad, torch.is_grad_enabled()]
    return [m.training for m in model.modules()], hooks, gradients, values, flags, torch.get_rng_state()


def same(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@methods
@pytest.mark.parametrize("explode", [False, True])
def test_6_everything_is_as_before_also_after_an_exception(method: Estimator, explode: bool) -> None:
    model = Explodes(smooth_net(SHAPE), 2 if explode else -1)
    next(model.parameters()).requires_grad_(False)
    list(model.parameters())[1].grad = torch.ones_like(list(model.parameters())[1])
    x = normal(2, *SHAPE).requires_grad_()
    before = state(model, x)
    if explode:
        with pytest.raises(RuntimeError, match="boom"):
            run(model, x, method, rows=method.least_rows)
    else:
        for att in run(model, x, method, rows=method.least_rows):
            assert not att.values.requires_grad
            assert att.values.grad_fn is None
            assert att.covector is None or att.covector.grad_fn is None
    assert same(state(model, x), before)


def test_6_the_check_of_state_catches_a_leak() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    before = state(model, x)
    model(x).sum().backward()
    assert not same(state(model, x), before)
    before = state(model, x)
    torch.rand(1)
    assert not same(state(model, x), before)


@methods
def test_6_works_under_no_grad_and_inference_mode(method: Estimator) -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    reference = run(model, x, method)
    with torch.no_grad():
        quiet = run(model, x, method)
    with torch.inference_mode():
        inference = run(model, x.clone(), method)
    for a, b, c in zip(reference, quiet, inference):
        torch.testing.assert_close(a.values, b.values, rtol=0, atol=0)
        torch.testing.assert_close(a.values, c.values, rtol=0, atol=0)


def test_6_models_are_freed() -> None:
    model = smooth_net(SHAPE)
    att = pb.attribute(model, normal(1, *SHAPE), 0, transform=["dct", "dft"])
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert len(att) == 2


class WritesIntoInput(nn.Module):
    """f(x) = Σ (2x)², computed in place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2).flatten(1).square().sum(1)


@methods
def test_6_a_model_that_works_in_place_does_not_reach_the_users_tensors(method: Estimator) -> None:
    x = normal(2, *SHAPE)
    kept = x.clone()
    quiet = AsModule(lambda x: (2 * x).flatten(1).square().sum(1))
    for a, b in zip(run(WritesIntoInput(), x, method, target=None), run(quiet, kept.clone(), method, target=None)):
        torch.testing.assert_close(a.values, b.values, rtol=1e-9, atol=1e-11)
    assert torch.equal(x, kept)


def test_6_results_do_not_follow_what_becomes_of_x() -> None:
    x = normal(2, *SHAPE)
    att = pb.attribute(smooth_net(SHAPE), x, 0)
    before = att.coefficients.clone(), att.displacement.clone()
    x.zero_()
    assert torch.equal(att.coefficients, before[0])
    assert torch.equal(att.displacement, before[1])


# 7. Degenerate input -------------------------------------------------------------------------------------------------


@methods
def test_7_constant_models_and_zero_input_give_zeros(method: Estimator) -> None:
    flat = AsModule(lambda x: 3.0 + 0.0 * x.flatten(1).sum(1))
    for x in (normal(2, *SHAPE), torch.zeros(2, *SHAPE, dtype=torch.float64)):
        for att in run(flat, x, method, target=None):
            assert float(att.values.abs().max()) == 0
            assert float(att.importance("octave").to_numpy().sum()) == 0
            assert bool(att.heatmap("octave").isfinite().all())
            assert bool(att.signal(keep=0.2).isfinite().all())


@methods
def test_7_nan_from_the_model_names_the_example(method: Estimator) -> None:
    x = normal(3, *SHAPE).abs()
    x[1, 0, 0, 0] = -50.0
    sick = AsModule(lambda x: torch.log(40 + x[:, 0, 0, 0]))
    with pytest.raises(ValueError, match="example 1"):
        run(sick, x, method, target=None)


def test_7_an_infinite_gradient_names_the_example() -> None:
    x = normal(3, *SHAPE).abs()
    x[2] = 0
    root = lambda x: x.flatten(1).abs().sum(1).sqrt()
    with pytest.raises(ValueError, match="gradient is not finite for example 2"):
        pb.attribute(root, x, method="gradient")


def test_7_a_model_without_a_gradient_says_so() -> None:
    with pytest.raises(ValueError, match="does not depend on its input through autograd"):
        pb.attribute(lambda x: x.detach().flatten(1).sum(1), normal(2, *SHAPE), method="gradient")


def test_7_empty_bands_are_zero() -> None:
    t = pb.transforms.get("dwt(haar, level=2)", (1, 1, 5))
    att = pb.attribute(lambda x: x.flatten(1).sum(1), normal(2, 1, 1, 5), transform=t)
    shares = att.importance("band")
    assert (att.layout.sizes == 0).any()
    assert bool(shares.notna().all(axis=None))


# 8. The row budget ---------------------------------------------------------------------------------------------------


class Log(list[int]):
    """A list that copies of its owner share: some methods run a copy of the model."""

    def __deepcopy__(self, _: object) -> "Log":
        return self


class Watches(nn.Module):
    """Remembers how many rows each forward had, and runs out of memory above `limit`."""

    def __init__(self, inner: nn.Module, limit: int = 10_000, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.inner, self.limit, self.error, self.rows = inner, limit, error, Log()

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.limit:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        self.rows.append(len(x))
        return self.inner(x)


@methods
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_8_no_forward_exceeds_the_budget_even_below_the_batch(method: Estimator, rows: int) -> None:
    model = Watches(smooth_net(SHAPE))
    if rows < method.least_rows:
        with pytest.raises(ValueError, match="rows must be at least"):
            run(model, normal(4, *SHAPE), method, rows=rows)
        return
    (att, *_) = run(model, normal(4, *SHAPE), method, rows=rows)
    assert max(model.rows) <= rows
    assert sum(model.rows) == sum(att.settings["evaluations"].values())


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_8_out_of_memory_halves_the_budget_and_goes_on(error: type[Exception]) -> None:
    model = Watches(smooth_net(SHAPE), limit=3, error=error)
    x = normal(4, *SHAPE)
    att = pb.attribute(model, x, 1, method="smoothgrad(samples=5)", rows=16)
    assert max(model.rows) <= 3
    torch.testing.assert_close(att.values, pb.attribute(smooth_net(SHAPE), x, 1, method="smoothgrad(samples=5)").values,
                               rtol=1e-10, atol=1e-12)  # fmt: skip
    with pytest.raises(MemoryError, match="One row alone"):
        pb.attribute(Watches(smooth_net(SHAPE), limit=0, error=error), x, 1)


@methods
def test_8_progress_counts_up_to_what_was_planned(method: Estimator) -> None:
    seen: list[tuple[int, int]] = []
    run(
        smooth_net(SHAPE),
        normal(2, *SHAPE),
        method,
        rows=3,
        progress=lambda done, planned: seen.append((done, planned)),
    )
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert seen[-1][0] <= seen[-1][1]


# 9. Modes that mix or draw -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.BatchNorm2d(2), r"averages over the batch.*call model\.eval\(\)"),
        (nn.Dropout(0.5), r"draws random numbers; call model\.eval\(\)"),
        (nn.BatchNorm2d(2, track_running_stats=False), "give it running statistics"),
        (nn.RReLU(), "draws random numbers"),
        (nn.InstanceNorm2d(2, track_running_stats=True), "would update its statistics"),
    ],
)
def test_9_training_mode_is_refused_with_advice(layer: nn.Module, message: str) -> None:
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(84, 3)).double().train()
    with pytest.raises(ValueError, match=message):
        pb.attribute(model, normal(2, *SHAPE), 0)
    if "statistics" not in message or isinstance(layer, nn.InstanceNorm2d):
        pb.attribute(model.eval(), normal(2, *SHAPE), 0)


def test_9_harmless_layers_in_training_mode_are_welcome() -> None:
    model = nn.Sequential(nn.Dropout(0.0), nn.Flatten(), nn.Linear(84, 3)).double().train()
    assert pb.attribute(model, normal(2, *SHAPE), 0).values.shape == (2, *SHAPE)


def test_compiled_models_give_the_same_map() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    compiled = torch.compile(model, backend="eager")
    for method in ("gradient", "integrated_gradients(steps=3)", "gradient"):
        torch.testing.assert_close(pb.attribute(compiled, x, 0, method=method).values,
                                   pb.attribute(model, x, 0, method=method).values, rtol=0, atol=1e-12)  # fmt: skip


# Random numbers and further arguments --------------------------------------------------------------------------------


class Draws(nn.Module):
    """Draws from the global generator in eval mode; `harmless` numbers do not reach the output."""

    def __init__(self, harmless: bool) -> None:
        super().__init__()
        self.inner, self.harmless = smooth_net(SHAPE), harmless

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand_like(x)
        return self.inner(x) if self.harmless else self.inner(x + 0.1 * noise)


@pytest.mark.parametrize(
    "method", ["gradient", "integrated_gradients", "rise(masks=3)", "mask(steps=2)", "captum(Saliency)"]
)
def test_9_a_model_that_draws_random_numbers_is_refused_and_the_state_is_as_before(method: str) -> None:
    x, run = normal(2, *SHAPE), lambda model, x: pb.attribute(model, x, 1, method=method, transform=["pixel", "dct"])
    model, quiet = Draws(harmless=False), Draws(harmless=True)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"two runs on the same input differ.*it draws random numbers"):
        run(model, x)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(run(quiet, x), run(quiet.inner, x)):
        torch.testing.assert_close(a.values, b.values, rtol=0, atol=0)
        assert a.settings["evaluations"] == b.settings["evaluations"]
    assert torch.equal(torch.get_rng_state(), before)


def test_9_a_model_that_seeds_itself_is_welcome() -> None:
    class Seeded(Draws):
        def forward(self, x: Tensor) -> Tensor:
            torch.manual_seed(3)
            return super().forward(x)

    model, x = Seeded(harmless=False), normal(2, *SHAPE)
    before = torch.get_rng_state()
    once, again = (pb.attribute(model, x[:1], 1, method="gradient").values for _ in range(2))
    torch.testing.assert_close(once, again, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("method", ["smoothgrad(samples=5)", "vargrad(samples=5)", "gradient_shap(samples=4, steps=2)"])
def test_2_noise_is_the_same_in_every_precision(method: str) -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE, dtype=torch.float32)
    double = pb.attribute(model, x.double(), 1, method=method).values
    single = pb.attribute(copy.deepcopy(model).float(), x, 1, method=method).values
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-5)
    other = pb.attribute(model, x.double(), 1, method=method, seed=1).values
    assert not torch.allclose(double, other, rtol=1e-3, atol=1e-5)


def test_shared_arguments_are_not_split() -> None:
    """As many entries as examples: taken for one each, unless it is said that they belong to all."""
    x, weight = normal(3, 1, 3), normal(3, 3, seed=4)
    model = lambda x, matrix: (x[:, 0] @ matrix).sum(1) if matrix.ndim == 2 else (x[:, 0] * matrix).sum(1)
    plain = pb.attribute(lambda x: model(x, weight), x, method="gradient").values
    for shared in ({"args": (pb.shared(weight),)}, {"kwargs": {"matrix": pb.shared(weight)}}):
        for rows in (1, 2, 8):
            found = pb.attribute(model, x, method="gradient", rows=rows, **shared).values
            torch.testing.assert_close(found, plain)
    each = pb.attribute(lambda x, own: (x[:, 0] * own).sum(1), x, method="gradient", args=(weight,)).values
    torch.testing.assert_close(each[:, 0], weight)  # the control: a plain tensor follows its example


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1.0, 1e20, 1e30])
def test_7_tiny_and_huge_inputs_have_certificates(size: float) -> None:
    x = size * normal(2, 1, 8, dtype=torch.float32)
    weight = normal(8, dtype=torch.float32)
    model = lambda x: (x[:, 0] @ weight) + (x[:, 0, 0] > 0) * x[:, 0, 1]
    found = pb.attribute(model, x)
    assert bool(found.details["converged"].all())
    assert all(bool(value.isfinite().all()) for value in found.details.values())
    slope = weight.expand(2, 8).clone()
    slope[:, 1] += x[:, 0, 0] > 0
    torch.testing.assert_close(found.values[:, 0] / size, x[:, 0] / size * slope, rtol=1e-5, atol=1e-6)
