"""What time to accuracy, memory of a process, and counts through an equal network rest on."""

import pytest
import torch
from torch import nn

from benchmarks.measure import calls
from benchmarks.measure.accuracy import LADDER, errors, least
from benchmarks.measure.checks import check_evaluations
from benchmarks.measure.child import LARGE, in_child
from benchmarks.measure.counting import Counted
from benchmarks.subjects.models import signals
from pullback.transforms import get

METHOD, DOMAIN = "smoothgrad(samples=24)", "dct"


@pytest.mark.parametrize("bar", [1, 8, 9, 24, 200, 256])
def test_the_smallest_rung_is_found(bar: int) -> None:
    asked: list[int] = []
    found = least(lambda steps: (asked.append(steps), float(steps < bar))[1], 0.5)
    assert found == min(rung for rung in LADDER if rung >= bar)
    assert len(asked) <= 4
    assert least(lambda steps: 1.0, 0.5) is None


def test_errors_are_relative_and_of_each_map() -> None:
    reference = torch.tensor([[[3.0, 4.0]], [[0.0, 2.0]]])
    assert errors(reference * 1.5, reference).tolist() == [0.5, 0.5]
    assert errors(reference + torch.tensor([[[0.0, 5.0]], [[0.0, 0.0]]]), reference).tolist() == [1.0, 0.0]


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, 3)
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("asked", [{}, {"memory_format": "contiguous"}])
def test_rows_are_counted_through_an_equal_network(hidden: bool, asked: dict[str, str]) -> None:
    model = Counted(network())
    model = model.hidden() if hidden else model
    x = signals((1, 3, 16, 16))
    found, spent = model.tally.during(lambda: calls.attribute(model, x, 0, METHOD, DOMAIN, execution=asked))
    assert found.settings["execution"]["optimized"]
    plan = calls.planned(METHOD, [get(DOMAIN, (3, 16, 16))], 1)
    check_evaluations(spent, [found], plan, asked_format=bool(asked))
    plain, other = model.tally.during(
        lambda: calls.attribute(model, x, 0, METHOD, DOMAIN, execution={**asked, "optimize": False})
    )
    torch.testing.assert_close(found.values, plain.values, rtol=1e-3, atol=1e-6)
    assert other[1] == 24
    assert spent[1] == 24 + 4  # two gradients in each form


def test_the_memory_of_a_child_is_its_own() -> None:
    held = torch.ones(2**28)  # 1 GB, of which a child that is counted by getrusage would inherit the peak
    found = in_child("one domain", next(iter(LARGE)), quick=True)
    assert float(held[0]) == 1
    assert 0 < found["before"] <= found["peak"] < held.nbytes
