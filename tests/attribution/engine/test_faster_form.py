"""Faster forms of a network: models that break in another memory format, and how it is noticed."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.convolves import SHAPE, Convolves
from support.subjects import AsModule, normal
from torch import Tensor, nn

import pullback as pb


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
