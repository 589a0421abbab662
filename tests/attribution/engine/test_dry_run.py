"""The check before a run: models that do not repeat themselves, write into their input, or raise errors."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.convolves import SHAPE, Convolves
from support.subjects import AsModule, normal
from torch import Tensor, nn

import pullback as pb


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
