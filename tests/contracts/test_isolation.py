"""Torch's global modes, such as autocast and the default dtype, do not change values; defaults still reach the model."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import torch
from support.modes import default_dtype
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb

SHAPE = (2, 7, 6)
DOMAINS = ["pixel", "dwt(db2, level=1)", "dct", "hartley", "polar"]
METHODS = [
    "gradient",
    "integrated_gradients",
    "integrated_gradients(steps=4)",
    "smoothgrad(samples=3)",
    "rise(masks=9)",
    "mask(steps=4)",
    "shapley(band)",
    "sobol(band, samples=8)",
    "lime(band, samples=9)",
    "captum(DeepLift)",
]


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode("default")


MODES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "double by default": lambda: default_dtype(torch.float64),
    "half by default": lambda: default_dtype(torch.float16),
    "another device by default": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "inference": torch.inference_mode,
}


def run(model: Callable[[Tensor], Tensor], x: Tensor, method: str, **options: pb.Execution) -> list[pb.Attribution]:
    if "captum" in method:
        pytest.importorskip("captum")
    return pb.attribute(model, x, 1, method=method, transform=DOMAINS, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("method", METHODS)
def test_values_are_those_of_a_plain_call(mode: str, method: str) -> None:
    model, x = smooth_net(SHAPE).float(), normal(2, *SHAPE, dtype=torch.float32)
    plain = run(model, x, method)
    with MODES[mode]():
        before = torch.is_autocast_enabled("cpu"), torch.get_default_dtype(), torch.get_default_device()
        found = run(model, x, method)
        assert (torch.is_autocast_enabled("cpu"), torch.get_default_dtype(), torch.get_default_device()) == before
    for a, b in zip(found, plain):
        assert torch.equal(a.values, b.values)
        assert torch.equal(a.score_difference, b.score_difference)


def test_bf16_is_used_where_it_is_asked_for() -> None:
    """The control: autocast would have changed the output, and bfloat16 can be asked for by name."""
    model, x = smooth_net(SHAPE).float(), normal(2, *SHAPE, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.allclose(model(x).float(), smooth_net(SHAPE)(x.double()).float(), rtol=1e-5)
        (plain, narrow) = (run(model, x, "gradient", execution=pb.Execution(precision=p))[0] for p in ("fp32", "bf16"))
    assert not torch.equal(plain.values, narrow.values)
    assert torch.equal(plain.score_difference, narrow.score_difference)


class Defaults(nn.Module):
    """A model that notes the default dtype and device while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = smooth_net(SHAPE), set[object]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen |= {torch.get_default_dtype(), torch.get_default_device()}
        return self.inner(x)


def test_the_model_has_the_defaults_of_its_caller() -> None:
    model, x = Defaults(), normal(2, *SHAPE)
    meta = torch.device("meta")
    with default_dtype(torch.float64), meta:
        run(model, x, "integrated_gradients(steps=2)")
    assert model.seen == {torch.float64, meta}
    assert (torch.get_default_dtype(), torch.get_default_device()) == (torch.float32, torch.device("cpu"))
