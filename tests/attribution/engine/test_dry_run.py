"""The checks before a run: models that break in a memory format, and models that do not repeat themselves."""

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.subjects import AsModule, normal
from torch import Tensor, nn

import pullback as pb

SHAPE = (3, 8, 10)


class Convolves(nn.Module):
    """A small network on images; `first` is what sees the input."""

    def __init__(self, first: nn.Module | None = None, last: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.conv = first or nn.Identity(), nn.Conv2d(3, 4, 3, padding=1)
        self.last, self.head = last or nn.Identity(), nn.Linear(320, 3)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.last(torch.nn.functional.silu(self.conv(self.first(x)))).flatten(1))
        return out


class ReadsStrides(nn.Module):
    """x in the order in which it lies in memory, which is that of x itself for contiguous x alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.as_strided(x.shape, torch.empty(x.shape).stride())


class _Flattens(torch.autograd.Function):
    """x; the gradient is read in the order in which it lies in memory, or by a view that not every memory format has."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, views: bool) -> Tensor:
        ctx.views = views
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        seen = g.view(len(g), -1) if ctx.views else g.as_strided(g.flatten(1).shape, (g[0].numel(), 1))
        return seen.reshape(g.shape), None


class Backward(nn.Module):
    """The identity with a backward pass of its own."""

    def __init__(self, views: bool) -> None:
        super().__init__()
        self.views = views

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _Flattens.apply(x, self.views)  # type: ignore[no-untyped-call]
        return out


def format_of(att: pb.Attribution) -> str:
    return str(att.settings["execution"]["memory_format"])


@pytest.mark.parametrize("method", ["integrated_gradients(steps=24)", "smoothgrad(samples=24)", "rise(masks=24)"])
def test_images_run_in_the_faster_format_once_both_agree(method: str) -> None:
    seen: list[bool] = []

    class Looks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.is_contiguous())
            return x

    model, x = Convolves(Looks()), normal(2, *SHAPE)
    att = pb.attribute(model, x, 0, method=method)
    assert format_of(att) == "channels_last"
    assert "fallback" not in att.settings["execution"]
    first = seen.index(False)  # f(x) and f(x₀), x in two groups are read in the contiguous format before f(x) in the other one
    assert first <= 4
    compared = 0 if method.startswith("rise") else 1  # two gradients, after f(x)
    assert [place for place, contiguous in enumerate(seen[first:-1]) if contiguous] == [1][:compared]
    assert seen[-1]  # f once more, after the run
    plain = pb.attribute(model, x, 0, method=method, execution=pb.Execution(memory_format="contiguous"))
    torch.testing.assert_close(att.values, plain.values, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(att.score_difference, plain.score_difference, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients(steps=24)", "smoothgrad(samples=24)", "rise(masks=24)"])
def test_a_model_that_reads_strides_is_fed_contiguous_images(method: str) -> None:
    model, x = Convolves(ReadsStrides()), normal(2, *SHAPE)
    att = pb.attribute(model, x, 0, method=method)
    assert format_of(att) == "contiguous"
    true = pb.attribute(Convolves(), x, 0, method=method, execution=pb.Execution(memory_format="contiguous"))
    torch.testing.assert_close(att.values, true.values, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(
        pb.attribute(model, x, 0, method=method, execution=pb.Execution(memory_format="contiguous")).values, true.values
    )
    if method.startswith("integrated"):
        # The control: asked for by name the format is kept, the map is another, and the gap shows it.
        forced = pb.attribute(model, x, 0, method=method, execution=pb.Execution(memory_format="channels_last"))
        assert bool((forced.completeness_gap.abs() > 100 * att.completeness_gap.abs()).all())
        torch.testing.assert_close(forced.score_difference, true.score_difference)
    if method != "gradient":  # too few rows to be worth another format
        assert "moves" in att.settings["execution"]["fallback"]


@pytest.mark.parametrize("views", [True, False])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_backward_pass_that_reads_strides_is_noticed(views: bool, place: str) -> None:
    model, x = Convolves(**{place: Backward(views)}), normal(2, *SHAPE)
    found = pb.attribute(model, x, 0, method="integrated_gradients(steps=24)")
    true = pb.attribute(Convolves(), x, 0, method="integrated_gradients(steps=24)")
    torch.testing.assert_close(found.values, true.values, rtol=1e-9, atol=1e-11)
    if format_of(found) == "contiguous":
        assert ("RuntimeError" if views else "gradient") in found.settings["execution"]["fallback"]
    else:  # what reaches it there is contiguous
        assert place == "last"
    assert format_of(pb.attribute(model, x, 0, method="rise(masks=24)")) == "channels_last"  # asks for no gradient


class _Turns(torch.autograd.Function):
    """x; where the gradient does not lie in the contiguous format, it is larger by `share`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        ctx.share, ctx.contiguous = share, x.is_contiguous()
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient if ctx.contiguous else gradient * (1 + ctx.share), None


@pytest.mark.parametrize(("share", "chosen"), [(1e-4, "channels_last"), (0.01, "contiguous")])
def test_a_gradient_that_moves_by_a_percent_is_noticed(share: float, chosen: str) -> None:
    """Rounding at a ReLU's kink may do that too: such a run is contiguous for nothing, which costs time only."""
    model = Convolves(AsModule(lambda x: _Turns.apply(x, share)))  # type: ignore[no-untyped-call]
    att = pb.attribute(model, normal(2, *SHAPE), 0, method="integrated_gradients(steps=24)")
    assert format_of(att) == chosen
    assert ("fallback" in att.settings["execution"]) == (chosen == "contiguous")


def _inner(x: Tensor) -> Tensor:
    """x, behind a gradient of the model's own: under hooks for saved tensors torch refuses that."""
    one = torch.ones((), dtype=x.dtype)
    return x * torch.func.grad(lambda t: t.square())(one) / 2


STRIDED, FLATTENS = ReadsStrides(), Backward(views=False)
SELDOM: dict[str, Callable[[Tensor], Tensor]] = {
    "rows in company": lambda x: STRIDED(x) if len(x) > 1 else x,
    "gradients": lambda x: STRIDED(x) if x.requires_grad else x,
    "gradients, raises": lambda x: x.view(len(x), -1).view(x.shape) if x.requires_grad else x,
    "backward, in place": lambda x: FLATTENS(x.mul_(1.0)),
    "backward, gradients of its own": lambda x: FLATTENS(_inner(x)),
}


@pytest.mark.parametrize("kind", SELDOM)
def test_a_model_that_minds_the_memory_format_only_at_times_is_noticed(kind: str) -> None:
    model, x = Convolves(AsModule(SELDOM[kind])), normal(2, *SHAPE)
    method = "integrated_gradients(steps=24)"
    att, true = pb.attribute(model, x, 0, method=method), pb.attribute(Convolves(), x, 0, method=method)
    assert att.settings["execution"]["fallback"]
    torch.testing.assert_close(att.values, true.values, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(att.score_difference, true.score_difference)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_hook_on_the_gradient_of_a_layer_that_reads_strides_is_noticed(rows: int) -> None:
    """For a row alone a convolution gives its gradient in the contiguous format, whatever it was fed."""
    model, x = Convolves(), normal(2, *SHAPE)
    found: list[bool] = []

    def reads(_: nn.Module, gradients: tuple[Tensor, ...], __: object) -> tuple[Tensor]:
        found.append(gradients[0].is_contiguous())
        return (STRIDED(gradients[0]),)

    model.conv.register_full_backward_hook(reads)  # type: ignore[arg-type]
    method = "integrated_gradients(steps=24)"
    att, true = (pb.attribute(each, x, 0, method=method, batch_size=rows) for each in (model, Convolves()))
    assert all(found) == (rows == 1)
    torch.testing.assert_close(att.values, true.values, rtol=1e-9, atol=1e-11)


def test_inner_gradients_and_work_in_place_are_no_reason_to_fall_back() -> None:
    for first in (_inner, lambda x: x.mul_(1.0)):
        att = pb.attribute(Convolves(AsModule(first)), normal(2, *SHAPE), 0, method="integrated_gradients(steps=24)")
        assert format_of(att) == "channels_last"


@pytest.mark.parametrize("point", ["constant", "corner"])
def test_an_image_that_shows_no_order_does_not_hide_what_moves(point: str) -> None:
    """f(x) is the same in both formats; the baseline and all points of the path are not."""
    x = torch.ones(2, *SHAPE).double()
    if point == "corner":
        x = torch.zeros_like(x)
        x[:, 0, 0, 0] = 3.0
    call = functools.partial(pb.attribute, x=x, target=0, method="integrated_gradients(steps=24)", baseline=normal(*SHAPE))
    att, true = call(Convolves(ReadsStrides())), call(Convolves())
    assert "moves" in att.settings["execution"]["fallback"]
    torch.testing.assert_close(att.values, true.values, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(att.score_difference, true.score_difference)
    grey = torch.ones(2, 1, 8, 10).double()  # one channel has one order
    one = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten()).double().eval()
    assert format_of(pb.attribute(one, grey, 0, method="integrated_gradients(steps=24)")) == "channels_last"


def test_what_channels_last_moves_is_held_against_the_difference_that_is_explained() -> None:
    """f(x) - f(x₀) is 10⁻⁵ of f here."""
    x, method = normal(2, *SHAPE), "integrated_gradients(steps=24)"
    far = AsModule(lambda output: output + 1e4)
    att = pb.attribute(nn.Sequential(Convolves(ReadsStrides()), far).eval(), x, 0, method=method)
    true = pb.attribute(Convolves(), x, 0, method=method)
    torch.testing.assert_close(att.values, true.values, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(att.score_difference, true.score_difference, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("convolves", [True, False])
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients(steps=24)", "smoothgrad(samples=24)"])
def test_what_a_model_writes_into_its_input_reaches_no_other_row(method: str, convolves: bool) -> None:
    def writes(x: Tensor) -> Tensor:
        x.data.add_(0.5)  # which autograd does not see, and does not refuse at a leaf
        return x - 0.5

    tail: nn.Module = Convolves() if convolves else nn.Sequential(nn.Flatten(), nn.Linear(240, 3), nn.Tanh()).double()
    x = normal(2, *SHAPE)
    att = pb.attribute(nn.Sequential(AsModule(writes), tail).eval(), x, 0, method=method)
    true = pb.attribute(nn.Sequential(nn.Identity(), tail).eval(), x, 0, method=method)
    torch.testing.assert_close(att.values, true.values, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(att.completeness_gap, true.completeness_gap, rtol=0, atol=1e-9)


@pytest.mark.parametrize("error", [LookupError, ValueError, RuntimeError, MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_what_progress_raises_is_passed_on_at_once(error: type[BaseException], call: int) -> None:
    """It is no failure of the model's: no reason to try another memory format, nor fewer rows."""
    told: list[int] = []

    def stops(done: int, planned: int) -> None:
        told.append(done)
        if len(told) == call:
            raise error("that is enough")

    with pytest.raises(error, match="that is enough"):
        pb.attribute(Convolves(), normal(2, *SHAPE), 0, method="integrated_gradients(steps=24)", batch_size=8, progress=stops)
    assert len(told) == call


def test_an_error_of_the_models_own_is_not_retried() -> None:
    calls: list[bool] = []

    def fails_late(x: Tensor) -> Tensor:
        calls.append(x.is_contiguous())
        if len(calls) >= 4:
            raise RuntimeError("a view of the world, and its stride")
        return x

    with pytest.raises(RuntimeError, match="view of the world"):
        pb.attribute(
            Convolves(AsModule(fails_late)), normal(2, *SHAPE), 0, method="integrated_gradients(steps=24)", batch_size=2
        )
    assert all(calls)  # never in the other memory format
    assert len(calls) == 7  # f at four ends, in another company in three ways, and at the first ends again


def test_contiguous_means_contiguous_whatever_the_caller_hands_over() -> None:
    model, x = Convolves(ReadsStrides()), normal(2, *SHAPE)
    there = x.contiguous(memory_format=torch.channels_last)
    for method in ("gradient", "rise(masks=24)"):
        torch.testing.assert_close(
            pb.attribute(model, there, 0, method=method).values, pb.attribute(model, x, 0, method=method).values
        )


# Where the check must look ------------------------------------------------------------------------------------------


def _strided(x: Tensor) -> Tensor:
    return torch.as_strided(x, (len(x), 3), (x.stride(0), 1))


class _Reads(nn.Module):
    """A convolutional network plus what `more` makes of the input and further arguments."""

    def __init__(self, more: Callable[..., Tensor]) -> None:
        super().__init__()
        self.net, self.more = Convolves(), more

    def forward(self, x: Tensor, *args: Tensor) -> Tensor:
        out: Tensor = self.net(x) + self.more(x, *args)
        return out


@pytest.mark.parametrize("method", ["integrated_gradients(steps=24)", "rise(masks=24)"])
def test_f_that_moves_is_noticed_where_no_gradient_does(method: str) -> None:
    for moved, chosen in ((0.0, "channels_last"), (0.1, "contiguous")):
        model = AsModule(lambda x, moved=moved: Convolves()(x) + moved * (not x.is_contiguous()))
        att = pb.attribute(_Beside(model), normal(2, *SHAPE), 0, method=method)
        assert format_of(att) == chosen
        assert ("f moves" in att.settings["execution"].get("fallback", "")) == bool(moved)


class _Beside(nn.Module):
    """A model that holds a convolution, as those do for which the engine tries the other format."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.conv = model, nn.Conv2d(3, 4, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


def test_the_format_is_compared_at_every_example() -> None:
    x = normal(3, *SHAPE)
    x[1:] *= 100  # the first example is too small to show it
    model = _Reads(lambda x: torch.relu(_strided(x) - 5)).eval()
    gated, gate = _Reads(lambda x, gate: gate[:, None] * _strided(x)).eval(), torch.tensor([0.0, 1.0, 1.0]).double()
    for net, more in ((model, ()), (gated, (gate,))):
        att = pb.attribute(net, x, 1, method="integrated_gradients(steps=24)", model_args=more)
        assert format_of(att) == "contiguous"
        assert "moves" in att.settings["execution"]["fallback"]
        plain = pb.Execution(memory_format="contiguous")
        true = pb.attribute(net, x, 1, method="integrated_gradients(steps=24)", model_args=more, execution=plain)
        torch.testing.assert_close(att.values, true.values)


@pytest.mark.parametrize("method", ["integrated_gradients(steps=24)", "rise(masks=24)"])
def test_the_check_asks_for_nothing_beyond_the_path(method: str) -> None:
    """A model may refuse signals that no run would show it: logarithms, asserted ranges."""

    def strict(x: Tensor) -> Tensor:
        if float(x.detach().min()) < 0 or float(x.detach().max()) > 1:
            raise ValueError("pixels must lie in [0, 1]")
        return (x + 1e-3).log()

    x = normal(2, *SHAPE).sigmoid()
    x[:, :, :3] = 0
    att = pb.attribute(Convolves(AsModule(strict)), x, 0, method=method)
    assert format_of(att) == "channels_last"


def test_a_gradient_that_is_not_finite_is_not_alike() -> None:
    """√ has no gradient at 0: the row x shows nothing then, and the run is contiguous."""
    x = normal(3, *SHAPE).abs()
    x[:, :, 0, 0] = 0
    model = Convolves(AsModule(lambda x: Backward(views=False)(x).clamp(min=0).sqrt()))
    att = pb.attribute(model, x, 0, method="integrated_gradients(steps=24)", baseline=0.5)
    assert format_of(att) == "contiguous"
    assert "nan" in att.settings["execution"]["fallback"]


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("times", [0, 1, 7, 8])
def test_a_gradient_that_differs_at_one_point_is_compared_at_others(times: int, rows: int) -> None:
    """As where rounding carries a unit over the kink of a ReLU. Only the rows that differ are read again, in both formats."""
    left = [times]

    class Kink(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            bent = not x.is_contiguous() and x.requires_grad and left[0] > 0
            left[0] -= bent
            return x * torch.where(torch.arange(len(x)) < rows, 1.01, 1.0).reshape(-1, 1, 1, 1).to(x) if bent else x

    model, x = Convolves(Kink()), normal(2, *SHAPE)
    att = pb.attribute(model, x, 0, method="integrated_gradients(steps=24)")
    assert format_of(att) == ("channels_last" if times < 8 else "contiguous")  # at eight points it is no kink
    assert att.settings["evaluations"]["gradient"] == 48 + 4 + 2 * rows * min(times, 7)


def test_methods_of_captum_that_need_no_gradient_explain_a_model_without_one() -> None:
    pytest.importorskip("captum")
    score = lambda output: (output.argmax(1) == 1).double()
    spec = "captum(ShapleyValueSampling, feature_mask=band)"
    att = pb.attribute(Convolves(), normal(2, *SHAPE), score, transform="dwt(haar, level=1)", method=spec)
    assert bool(att.values.isfinite().all())


def test_with_create_graph_the_check_warns_of_nothing() -> None:
    x = normal(2, *SHAPE).requires_grad_()
    for method in ("integrated_gradients(steps=24)", "rise(masks=24)"):
        att = pb.attribute(Convolves(), x, 0, method=method, create_graph=True)
        assert format_of(att) == "channels_last"
        assert att.values.requires_grad


def test_what_the_check_costs_is_counted_and_planned() -> None:
    seen: list[tuple[int, int]] = []
    progress = lambda done, planned: seen.append((done, planned))
    att = pb.attribute(Convolves(), normal(2, *SHAPE), 0, method="integrated_gradients(steps=24)", progress=progress)
    assert att.settings["evaluations"] == {"forward": 4 + 3 + 1 + 2, "gradient": 48 + 4}
    assert seen[-1] == (62, 62)


# Models that do not repeat themselves ------------------------------------------------------------------------------------


class Unsteady(nn.Module):
    """Moves its input by what `draw` says."""

    def __init__(self, kind: str, size: float = 0.05) -> None:
        super().__init__()
        self.kind, self.size, self.own = kind, size, torch.Generator().manual_seed(0)
        self.register_buffer("counter", torch.zeros(()))
        self.mind = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        self.counter += 1
        draw: dict[str, Any] = {
            "numpy": lambda: np.random.rand(),  # noqa: NPY002
            "generator of numpy": lambda: self.mind.random(),
            "random": random.random,
            "own generator": lambda: torch.rand((), generator=self.own),
            "torch": lambda: torch.rand(()),
            "buffer": lambda: self.counter / 10,
            "steady": lambda: 0.3,
            "unused": lambda: 0 * np.random.rand(),  # noqa: NPY002
        }
        return x + self.size * draw[self.kind]()


UNSTEADY = ["numpy", "generator of numpy", "random", "own generator", "torch", "buffer"]
METHODS = ["gradient", "integrated_gradients(steps=9)", "smoothgrad(samples=3)", "rise(masks=3)", "captum(Saliency)"]


@pytest.mark.parametrize("convolves", [True, False])
@pytest.mark.parametrize("kind", UNSTEADY)
@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_does_not_repeat_itself_is_refused(method: str, kind: str, convolves: bool) -> None:
    if "captum" in method:
        pytest.importorskip("captum")
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    tail: nn.Module = Convolves() if convolves else nn.Sequential(nn.Flatten(), nn.Linear(240, 3), nn.Tanh()).double()
    model = nn.Sequential(Unsteady(kind), tail).eval()
    with pytest.raises(ValueError, match=r"two runs on the same input differ.*for example [01]"):
        pb.attribute(model, normal(2, *SHAPE), 0, method=method)


@pytest.mark.parametrize("kind", ["steady", "unused"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.double, torch.float, torch.bfloat16])
def test_a_model_that_does_is_not(method: str, kind: str, dtype: torch.dtype) -> None:
    if "captum" in method:
        pytest.importorskip("captum")
    model = nn.Sequential(Unsteady(kind), Convolves()).to(dtype).eval()
    assert bool(pb.attribute(model, normal(4, *SHAPE).to(dtype), 0, method=method).values.isfinite().all())


MIXES: dict[str, Callable[[Tensor], Tensor]] = {
    "first": lambda x: x - x[:1],
    "before": lambda x: x.cumsum(0),  # as a recurrent layer along the wrong axis
    "statistics": lambda x: x - x.mean(0),
    "backwards": lambda x: x.flip(0),
}


@pytest.mark.parametrize("kind", MIXES)
@pytest.mark.parametrize("examples", [1, 2])
@pytest.mark.parametrize("method", ["input_x_gradient", "integrated_gradients(steps=20)", "rise(masks=20)"])
def test_a_row_that_depends_on_the_rows_around_it_is_noticed(kind: str, examples: int, method: str) -> None:
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(240, 3), nn.Tanh()).double().eval()
    model = lambda x: head(MIXES[kind](x.flatten(1)))
    x = normal(examples, *SHAPE, seed=3)
    with pytest.raises(ValueError, match=r"alone and .* among other rows"):
        pb.attribute(model, x, 0, method=method, baseline=0.3)
    assert bool(pb.attribute(model, x, 0, method=method, baseline=0.3, batch_size=1).values.isfinite().all())


def test_what_depends_on_the_number_of_rows_alone_is_no_alarm() -> None:
    """As rounding errors do, which may be all there is of a score that is the difference of two large ones."""
    model = lambda x: 1e-3 * x.flatten(1).sum(1) + 1e-5 * len(x)
    for method in ("gradient", "rise(masks=3)"):
        assert bool(pb.attribute(model, normal(3, *SHAPE), method=method).values.isfinite().all())


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "rise(masks=3)"])
def test_the_number_of_rows_may_not_matter_beside_what_is_explained(method: str) -> None:
    """A small part of f, but a tenth of f(x) - f(x₀)."""
    model = lambda x: 1 + 1e-2 * x.flatten(1).sin().mean(1) + 1e-3 * len(x)
    with pytest.raises(ValueError, match=r"alone and .* among other rows"):
        pb.attribute(model, torch.full((3, *SHAPE), 1.5), method=method)


def test_an_example_that_shows_nothing_does_not_hide_the_model() -> None:
    """The first example is blank, or was alone in its forward."""
    x = normal(4, 1, 8)
    x[0] = 0
    noisy = lambda z: (z * (1 + torch.rand_like(z))).flatten(1).sum(1)
    with pytest.raises(ValueError, match=r"two runs on the same input differ.*for example [1-3]"):
        pb.attribute(noisy, x, method="integrated_gradients(steps=20)")
    normed = lambda z: ((z - z.mean(0)) / (z.std(0, unbiased=False) + 1e-3)).flatten(1).sin().sum(1)
    for examples, rows in ((2, 3), (5, 3), (3, 5)):
        y = normal(examples, 1, 8, seed=2)
        y[0] *= 3  # the largest range
        with pytest.raises(ValueError, match="among other rows"):
            pb.attribute(normed, y, method="gradient", batch_size=rows)
