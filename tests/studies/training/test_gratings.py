"""The small network trained on gratings: the same bits everywhere, and right about gratings that it never saw."""

import torch

from pullback.studies.training.gratings import gratings, trained_on_gratings


def test_the_network_names_the_direction_of_new_gratings() -> None:
    network, _ = trained_on_gratings()
    x, label = gratings(200, torch.Generator().manual_seed(1))
    assert (network(x).argmax(1) == label).double().mean() > 0.9
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_small_network_is_the_same_with_any_number_of_threads() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = trained_on_gratings(steps=20)[0].state_dict()
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        one = trained_on_gratings(steps=20)[0].state_dict()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one[name], two[name]) for name in one)
