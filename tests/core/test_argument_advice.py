"""Mistakes that users of Captum make: its keywords, a signal without a batch axis, channels last."""

import pytest
import torch
from support.subjects import normal
from torch import nn

import pullback as pb
from pullback.core.argument_advice import OURS

IMAGES = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).double().eval()
LINES = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 14, 5)).double().eval()


@pytest.mark.parametrize("name", [name for name in OURS if name != "inputs"])
def test_a_keyword_of_captum_is_answered_with_ours(name: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}' is an argument of Captum; here it is ") as caught:
        pb.attribute(IMAGES, normal(1, 3, 8, 8), 0, **{name: 1})  # type: ignore[call-overload]
    assert OURS[name] in str(caught.value)


def test_an_unknown_keyword_is_answered_with_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"unknown argument 'foo'; it takes method, transform, baseline"):
        pb.attribute(IMAGES, normal(1, 3, 8, 8), 0, foo=1)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("model", "shape", "said"),
    [
        (IMAGES, (3, 8, 8), "the batch axis is missing: pass x[None]"),
        (IMAGES, (1, 8, 8, 3), "the channels are last: pass x.movedim(-1, 1)"),
        (IMAGES, (8, 8, 3), "the batch axis is missing and the channels are last: pass x.movedim(-1, 0)[None]"),
        (LINES, (2, 16), "the channel axis is missing: pass x[:, None]"),
        (IMAGES, (1, 4, 8, 8), "its first convolution takes 3 channels and 2 spatial axes, (batch, 3, …)"),
        (nn.Linear(5, 2).double(), (3, 4), "one signal by itself is x[None]"),
    ],
)
def test_a_shape_that_the_model_does_not_take_is_said_with_what_to_pass(
    model: nn.Module, shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(RuntimeError) as caught:
        pb.attribute(model, normal(*shape), 0)
    text = str(caught.value)
    assert text.startswith(f"x: {shape} makes one signal {shape[1:]}, which the model does not take; {said}.")
    assert "given several signals at a time, said:" in text
    assert len(text) <= 300
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("model", "shape", "change"), [(IMAGES, (3, 8, 8), lambda x: x[None]), (IMAGES, (1, 8, 8, 3), lambda x: x.movedim(-1, 1))]
)
def test_the_advice_helps(model: nn.Module, shape: tuple[int, ...], change: object) -> None:
    assert len(pb.attribute(model, change(normal(*shape)), 0)) == 1  # type: ignore[operator]


def test_other_errors_of_the_model_stay_as_they_are() -> None:
    def broken(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("the database is closed")

    with pytest.raises(RuntimeError, match=r"^the database is closed$"):
        pb.attribute(broken, normal(1, 3, 8, 8), 0)
