"""Budgets of integrated gradients with an error estimate: never exceeded, fully used, independent of the batch."""

import pytest
import torch
from support.integrated_gradients import MISSED, SPEC, relu_net, spendable
from support.subjects import linear_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.methods.integrated_gradients import adaptive as certified


class Mixed(nn.Module):
    """Linear where the first entry is positive, a ReLU net elsewhere: examples that stop early and late in one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.hard, self.easy = relu_net(12), linear_net((1, 12))

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x[:, 0, :1] > 0, self.easy(x), self.hard(x))


def mixed_batch() -> Tensor:
    x = normal(6, 1, 12)
    x[::2, 0, 0] = x[::2, 0, 0].abs() + 0.1
    x[1::2, 0, 0] = -x[1::2, 0, 0].abs() - 0.1
    return x


@MISSED
@pytest.mark.parametrize("rows", [1, 7, 64, "auto"])
def test_a_map_does_not_depend_on_the_batch_size_or_on_other_examples(rows: int | str) -> None:
    x, net, spec = mixed_batch(), Mixed().eval(), f"{SPEC}(tol=1e-3, max_evaluations=120)"
    found = pb.attribute(net, x, method=spec, batch_size=rows)
    spent = found.details["evaluations"]
    assert len(spent.unique()) > 1
    assert found.settings["evaluations"]["gradient"] == int(spent.sum())
    for example in range(len(x)):
        alone = pb.attribute(net, x[example : example + 1], method=spec)
        torch.testing.assert_close(found.values[example], alone.values[0], rtol=1e-10, atol=1e-12)
        assert int(alone.details["evaluations"][0]) == int(spent[example])


@MISSED
@pytest.mark.parametrize("evaluations", [8, 20, 50, 65, 100, 123, 200])
def test_budgets_are_not_exceeded_and_are_used(evaluations: int) -> None:
    x, net = normal(2, 1, 12), relu_net(12)
    whole = pb.attribute(net, x, method=f"{SPEC}(tol=0, max_evaluations={evaluations})")
    assert whole.settings["evaluations"]["gradient"] == int(whole.details["evaluations"].sum())
    assert set(whole.details["evaluations"].tolist()) <= set(spendable(evaluations))
    if evaluations >= 33:
        smooth = pb.attribute(smooth_net((1, 12)), x, 0, method=f"{SPEC}(tol=0, max_evaluations={evaluations})")
        assert set(smooth.details["evaluations"].tolist()) == {spendable(evaluations)[1]}
        assert 0.93 * evaluations < spendable(evaluations)[1] <= evaluations
    some = pb.attribute(net, x, method=f"{SPEC}(tol=0.02, max_evaluations={evaluations})")
    assert bool((some.details["evaluations"] <= evaluations).all())
    limit = some.details["converged"] | (some.details["evaluations"] >= spendable(evaluations)[1])
    assert bool(limit.all())


def test_a_longer_run_contains_the_nodes_of_a_shorter_one() -> None:
    x, net = normal(3, 1, 12), relu_net(12)
    runs = [pb.attribute(net, x, method=f"{SPEC}(tol=0, max_evaluations={n})") for n in (50, 100, 200)]
    for short, long in zip(runs, runs[1:]):
        for few, many in zip(short.details["nodes"], long.details["nodes"]):
            assert set(few.tolist()) <= set(many.tolist())


def test_stopping_gives_the_map_of_the_level_where_it_stopped() -> None:
    x, net = normal(3, 1, 12), relu_net(12)
    stopped = pb.attribute(net, x, method=f"{SPEC}(tol=0.05)")
    for example, spent in enumerate(stopped.details["evaluations"].tolist()):
        if spent in (50, 100, 200):
            fixed = pb.attribute(net, x[example : example + 1], method=f"{SPEC}(tol=0, max_evaluations={spent})")
            torch.testing.assert_close(stopped.values[example], fixed.values[0], rtol=1e-10, atol=1e-12)


def test_gradients_are_not_stored() -> None:
    """The largest tensor that is kept is the pilot; it does not grow with the number of evaluations."""
    largest = []
    for evaluations in (100, 400):
        group_sizes: list[int] = []

        class Spy(certified.Group):
            def _advance(self, places: list[int], level: int, seen: list[int] = group_sizes) -> None:  # type: ignore[override]
                super()._advance(places, level)
                seen.append(max(v.numel() for v in vars(self).values() if isinstance(v, Tensor)))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(certified, "Group", Spy)
            pb.attribute(relu_net(12), normal(2, 1, 12), method=f"{SPEC}(tol=0, max_evaluations={evaluations})")
        largest.append(max(group_sizes))
    assert largest[0] == largest[1]
