"""Rule 9 of numerics: models that mix examples or draw random numbers are refused with advice."""

import pytest
import torch
from support.every_method import SHAPE
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb


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


class Draws(nn.Module):
    """Draws from the global generator in eval mode; `harmless` numbers do not reach the output."""

    def __init__(self, harmless: bool) -> None:
        super().__init__()
        self.inner, self.harmless = smooth_net(SHAPE), harmless

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand_like(x)
        return self.inner(x) if self.harmless else self.inner(x + 0.1 * noise)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "rise(masks=3)", "mask(steps=2)", "captum(Saliency)"])
def test_9_a_model_that_draws_random_numbers_is_refused_and_the_state_is_as_before(method: str) -> None:
    x, run = normal(2, *SHAPE), lambda model, x: pb.attribute(model, x, 1, method=method, transform=["pixel", "dct"])
    model, quiet = Draws(harmless=False), Draws(harmless=True)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"two runs on the same input differ.*not deterministic"):
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
