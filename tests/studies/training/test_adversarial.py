"""The four trainings: the same bits each time, the gradients they are said to take, and what they make a network rely on."""

import copy

import pytest
import torch
from torch import Tensor, nn

from pullback.studies.training import adversarial
from pullback.studies.training.adversarial import RECIPES, attacked, gradients, trained


def toy(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two classes: a weak checkerboard always tells them apart, a strong half of the picture in nine of ten cases."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(2, (count,), generator=generator)
    sign = (2 * label - 1).float().reshape(-1, 1, 1, 1)
    usual = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.9, 1.0, -1.0)
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    weak, strong = (2 * ((rows + columns) % 2) - 1).float(), torch.where(columns < 6, 1.0, -1.0)
    noise = 0.02 * torch.randn(count, 1, 12, 12, generator=generator)
    return (0.5 + 0.06 * sign * weak + 0.25 * sign * usual * strong + noise).clamp(0, 1), label


def accuracies(network: nn.Module, x: Tensor, label: Tensor) -> tuple[float, float]:
    """Right answers, and right answers under attacks."""
    worse = attacked(network, x, label, torch.zeros_like(x), steps=5)
    return tuple(float((network(each).argmax(1) == label).double().mean()) for each in (x, worse))


def test_a_robust_training_gives_up_what_an_attack_can_change() -> None:
    (x, label), (new, truth) = toy(384, 0), toy(200, 1)
    found = {name: accuracies(trained(x, label, name, epochs=epochs), new, truth) for name, epochs in (("erm", 16), ("pgd", 8))}
    assert found["erm"][0] > found["pgd"][0] > 0.8
    assert found["pgd"][1] > found["erm"][1] + 0.3


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_the_same_to_the_bit_with_any_number_of_threads(name: str) -> None:
    x, label = toy(140, 0)
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    try:
        torch.set_num_threads(2)
        one = trained(x, label, name, seed=1, epochs=2)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        same, other = (trained(x, label, name, seed=seed, epochs=2).state_dict() for seed in (1, 2))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, same[key]) for key, value in one.state_dict().items())
    assert not all(torch.equal(value, other[key]) for key, value in one.state_dict().items())
    assert not one.training
    assert not any(parameter.requires_grad for parameter in one.parameters())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_the_gradients_that_it_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Counted(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return super().forward(x)

    monkeypatch.setattr(adversarial, "network", lambda: Counted(nn.Flatten(), nn.Linear(144, 2)))
    x, label = toy(150, 0)
    trained(x, label, name, epochs=3)
    assert sum(seen) == gradients(name, 150, 3)


def test_an_attack_on_a_linear_model_has_its_closed_form_and_stays_in_its_limits() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).double()
    weight = network[1].weight.detach()
    x = torch.rand(4, 1, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    label = torch.tensor([0, 1, 0, 1])
    before = copy.deepcopy(network.state_dict())
    found = attacked(network, x, label, torch.zeros_like(x), epsilon=0.1, steps=20, step=0.2)
    direction = torch.stack([weight[1 - each] - weight[each] for each in label]).sign().reshape(x.shape)
    assert (found - (x + 0.1 * direction).clamp(0, 1)).abs().max() < 1e-10
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    free = attacked(network, x, label, torch.ones_like(x), epsilon=torch.full((4, 1, 1, 1), 0.3).double(), low=0.2, high=0.9)
    assert (free.min(), free.max()) >= (0.2, 0.2)
    assert free.max() <= 0.9
