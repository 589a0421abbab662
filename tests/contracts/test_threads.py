"""What all threads share is left alone: torch's random state, its default dtype, the filters of warnings."""

import random
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo  # which some optimisers import: not while its functions are replaced
from support.every_method import SHAPE, methods, run
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import Estimator
from pullback.core.isolation import foreign_code, random_state

NET = smooth_net(SHAPE)
WRITERS = [
    (torch, "set_default_dtype"),
    (torch, "set_rng_state"),
    (torch, "manual_seed"),
    (torch.random, "fork_rng"),
    (torch.random, "set_rng_state"),
    (torch.random, "manual_seed"),
    (random, "seed"),
    (np.random, "seed"),
]


@pytest.fixture
def untouchable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes to what all threads share, raises."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("this would reach other threads")

    for owner, name in WRITERS:
        monkeypatch.setattr(owner, name, refuse)


@pytest.mark.usefixtures("untouchable")
@methods
def test_no_method_writes_to_what_threads_share(method: Estimator) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    run(NET, normal(2, *SHAPE), method)
    assert torch.equal(torch.get_rng_state(), before[0])  # and none draws from it
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]  # noqa: NPY002


@pytest.mark.usefixtures("untouchable")
def test_the_check_of_writers_catches_one() -> None:
    with pytest.raises(AssertionError, match="other threads"):
        run(NET, normal(2, *SHAPE), pb.attribution.get("captum(GradientShap, n_samples=2)"))


class Sampler:
    """A thread that draws all the time."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.draw, self.seen, self.stop = draw, list[float](), threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stop.wait(2e-4):
            self.seen.append(self.draw())

    def __enter__(self) -> "Sampler":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.thread.join()


def model_of_a_class(x: Tensor) -> Tensor:
    return x.flatten(1).tanh().sum(1, keepdim=True)


CALLS: dict[str, Callable[[Tensor], Any]] = {
    "attribute": lambda x: pb.attribute(model_of_a_class, x, transform="dct"),
    "smoothgrad": lambda x: pb.attribute(model_of_a_class, x, method="smoothgrad(samples=4)", transform=["pixel", "dct"]),
    "a random baseline": lambda x: pb.attribute(
        model_of_a_class, x, method="expected_gradients(samples=4)", baseline="uniform(0, 1)"
    ),
    "an exception": lambda x: refused(lambda: pb.attribute(lambda x: x / 0, x, 0)),
    "deterministic methods of Captum": lambda x: pb.attribute(NET, normal(2, *SHAPE), 1, method="captum(DeepLift)"),
    "axioms": lambda x: pb.axioms.check(NET, normal(1, *SHAPE), 1, method="gradient", axioms=["dummy", "linearity"]),
}


def refused(call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        call()


@pytest.mark.parametrize("name", CALLS)
def test_other_threads_never_see_a_random_number_twice(name: str) -> None:
    x = normal(2, 2, 7, 6)
    with Sampler(lambda: float(torch.rand((), dtype=torch.double))) as sampler:
        for _ in range(12):
            CALLS[name](x)
    assert len(sampler.seen) > 3
    assert len(set(sampler.seen)) == len(sampler.seen)


def test_the_sampler_catches_a_state_that_is_put_back() -> None:
    with Sampler(lambda: float(torch.rand((), dtype=torch.double))) as sampler:
        for _ in range(12):
            with torch.random.fork_rng([]):
                CALLS["smoothgrad"](normal(2, 2, 7, 6))
    assert len(set(sampler.seen)) < len(sampler.seen)


def test_other_threads_keep_their_default_dtype() -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with Sampler(lambda: float(torch.ones(1).dtype == torch.float64)) as sampler:
            for name in ("attribute", "smoothgrad", "axioms", "an exception"):
                for _ in range(4):
                    CALLS[name](normal(2, 2, 7, 6))
            for level in range(1, 4):
                pb.transforms.get(f"dwt(db4, level={level}, mode=symmetric)", shape=(1, 40 + level))
    finally:
        torch.set_default_dtype(before)
    assert len(sampler.seen) > 3
    assert all(sampler.seen)


def together(job: Callable[[int], Any], count: int) -> Iterator[Any]:
    with ThreadPoolExecutor(count) as pool:
        yield from pool.map(job, range(count))


RANDOM = [
    "GradientShap, n_samples=6",
    "NoiseTunnel, attribution_method=Saliency, nt_samples=6",
    "ShapleyValueSampling, n_samples=2",
]


@pytest.mark.parametrize("options", [*RANDOM, "DeepLift"])
def test_captum_gives_the_same_in_many_threads_as_in_one(options: str) -> None:
    x = normal(12, 1, 3, 3)
    model = smooth_net((1, 3, 3))
    job = lambda i: pb.attribute(model, x[i : i + 1], 1, method=f"captum({options})").values
    alone, filters = [job(i) for i in range(12)], list(warnings.filters)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    for one, other in zip(alone, together(job, 12), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]  # noqa: NPY002
    assert warnings.filters == filters


def test_two_threads_are_never_in_foreign_code_at_once() -> None:
    inside, most = [], []

    def job(number: int) -> float:
        with random_state(3, torch.device("cpu")):
            inside.append(number)
            first = float(torch.rand(()))
            threading.Event().wait(1e-3)
            most.append(len(inside))
            inside.remove(number)
            return first

    assert len(set(together(job, 8))) == 1
    assert max(most) == 1
    with foreign_code, random_state(3, torch.device("cpu")):  # and one thread may enter twice
        assert float(torch.rand(())) == job(0)


def noisy(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    """A method that draws from the generators of torch and of numpy."""
    z = z.detach().requires_grad_()
    score = f(z + 0.1 * torch.randn_like(z)).gather(1, target[:, None]).sum()
    return torch.autograd.grad(score, z)[0] * float(np.random.uniform(0.9, 1.1))  # noqa: NPY002


def test_reports_on_methods_that_draw_are_the_same_in_many_threads() -> None:
    def job(number: int) -> Any:
        report = pb.axioms.check(NET, normal(1, *SHAPE), 1, method=noisy, axioms=["dummy", "determinism"], seed=number % 2)
        return uncounted(report.to_dict())

    def uncounted(held: Any) -> Any:
        """Without evaluations: where other threads draw, the model is asked once more whether it was the model."""
        if isinstance(held, dict):
            return {name: uncounted(value) for name, value in held.items() if name != "evaluations"}
        return [uncounted(value) for value in held] if isinstance(held, list) else held

    alone = [job(0), job(1)]
    assert alone[0] != alone[1]
    for number, report in enumerate(together(job, 6)):
        assert report == alone[number % 2]


class Draws(nn.Module):
    """A model that draws random numbers in every call."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * torch.rand_like(x)).flatten(1).sum(1)


def test_a_model_that_draws_is_refused_and_no_thread_is_stopped() -> None:
    def job(number: int) -> str:
        with pytest.raises(ValueError, match=r"not deterministic|random") as caught:
            pb.attribute(Draws(), normal(2, 1, 4, seed=number))
        return str(caught.value)

    assert all(len(message) <= 300 for message in together(job, 6))
