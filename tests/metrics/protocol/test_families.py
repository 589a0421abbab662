"""What foreign families remove."""

import pytest
import torch

import pullback as pb
from pullback.metrics.protocol.families import projected
from pullback.metrics.protocol.shuffled import shuffled


@pytest.mark.parametrize("spec", ["pixel", "dct", "dwt(haar, level=2)"])
def test_the_fewest_units_that_hold_the_share(spec: str) -> None:
    family = pb.transforms.get(spec, (1, 16))
    r = torch.randn(5, 1, 16, generator=torch.Generator().manual_seed(0)).double()
    z, kept = family(r), family(projected(family, r))
    energy = z.square().flatten(1)
    used = kept.abs().flatten(1) > 1e-12
    assert ((kept - z).abs().flatten(1)[used] < 1e-12).all()
    held = (energy * used).sum(1) / energy.sum(1)
    smallest = torch.where(used, energy, torch.inf).amin(1) / energy.sum(1)
    assert (held >= 0.9).all()
    assert (held - smallest < 0.9).all()
    assert (torch.where(used, 0, energy).amax(1) / energy.sum(1) <= smallest).all()


def test_nothing_removed_is_nothing() -> None:
    assert not projected(pb.transforms.get("dct", (1, 8)), torch.zeros(2, 1, 8)).any()


def test_a_shuffled_model_keeps_sizes_and_values_and_leaves_the_model() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    before = [parameter.clone() for parameter in network.parameters()]
    twin = shuffled(network, 0)
    for own, other, kept in zip(network.parameters(), twin.parameters(), before):
        assert torch.equal(own, kept)
        assert torch.equal(own.flatten().sort().values, other.flatten().sort().values)
    assert not torch.equal(network[0].weight, twin[0].weight)
    assert torch.equal(twin[0].weight, shuffled(network, 0)[0].weight)
