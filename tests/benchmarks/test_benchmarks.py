"""Benchmarks that measure nothing are caught, and what is timed is what is said."""

import copy
import dataclasses
import importlib
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import ROOT
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.estimator import Estimate, Estimator, Evaluator, MethodClaim

sys.path.append(str(ROOT / "benchmarks"))  # as `make bench` has it
direct, growth, guard, models, references, timing = (
    importlib.import_module(name) for name in ("direct", "test_growth", "guard", "models", "references", "timing")
)
MeasuresNothing = guard.MeasuresNothing


def small() -> tuple[Any, Tensor]:
    """A counted network and its signals."""
    case = models.subject("small", "cpu", 2, quick=True)
    return guard.Counted(case.module), case.x


def smoothgrad(model: nn.Module, x: Tensor, samples: int = 4) -> pb.Attribution:
    return pb.attribute(model, x, 0, method=f"smoothgrad(samples={samples})", transform="dct")


# The guard ------------------------------------------------------------------------------------------------------------


def test_an_honest_run_passes_every_check() -> None:
    model, x = small()
    job = guard.counted(lambda: smoothgrad(model, x), model.tally, 2 * (4 + 2) + 1, 2 * 4)
    guard.check_input(x)
    att = job()
    assert guard.evaluations([att.settings]) == (13, 8)
    method = "smoothgrad(samples=4)"
    references.check_map(att, method, direct.Direct(model.model, att.transform, x[:1], 0))
    job()


@pytest.mark.parametrize(
    "spoil",
    [
        torch.zeros_like,
        torch.ones_like,
        lambda x: x[:1].expand_as(x),
        lambda x: x * torch.nan,
        lambda x: x * (torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.3),
    ],
    ids=["zeros", "constant", "one signal twice", "not finite", "mostly zero"],
)
def test_inputs_that_say_nothing_are_caught(spoil: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(MeasuresNothing, match="the input"):
        guard.check_input(spoil(models.signals((2, 3, 16, 16))))


@dataclasses.dataclass(frozen=True)
class Early(Estimator):
    """Promises `samples` gradients, and stops after two."""

    samples: int = 4
    claims = MethodClaim.NONE
    shares = False

    def estimate(self, evaluator: Evaluator) -> Estimate:
        honest = pb.attribution.get("smoothgrad(samples=2)")
        return honest.estimate(evaluator)

    def cost(self) -> int:
        return self.samples

    @classmethod
    def examples(cls) -> list[Estimator]:
        return [cls()]


def test_an_estimator_that_returns_early_is_caught_by_its_rows_and_by_its_values() -> None:
    model, x = small()
    early = lambda: pb.attribute(model, x, 0, method=Early(), transform="dct")
    planned = 2 * (2 + Early().cost()) + 1, 2 * Early().cost()
    with pytest.raises(MeasuresNothing, match=r"\(9, 4\) rows went .* planned were \(13, 8\)"):
        guard.counted(early, model.tally, *planned)()
    honest = smoothgrad(model, x)
    g = direct.Direct(model.model, honest.transform, x[:1], 0)
    with pytest.raises(MeasuresNothing, match="from its reference"):
        references.check_map(early(), "smoothgrad(samples=4)", g)


@pytest.mark.parametrize("wrong", [torch.zeros_like, lambda a: a * torch.nan, lambda a: a * 1.1, lambda a: a.flip(-1)])
def test_wrong_results_are_caught(wrong: Callable[[Tensor], Tensor]) -> None:
    values = models.signals((2, 3, 16, 16))
    guard.check_result(values, values)
    with pytest.raises(MeasuresNothing, match="the result"):
        guard.check_result(wrong(values), values)


def test_work_outside_the_timer_is_caught() -> None:
    model, x = small()
    done = smoothgrad(model, x)
    with pytest.raises(MeasuresNothing, match=r"\(0, 0\) rows"):  # a result from before
        guard.counted(lambda: done, model.tally, 12, 8)()
    with pytest.raises(MeasuresNothing, match=r"\(0, 0\) rows"):  # work that has not begun when the clock stops
        guard.counted(lambda: (smoothgrad(model, x) for _ in range(1)), model.tally, 12, 8)()
    forward_only = lambda: [model(x) for _ in range(6)]
    with pytest.raises(MeasuresNothing, match=r"\(12, 0\) rows"):  # never went back
        guard.counted(forward_only, model.tally, 12, 8)()


def test_rows_through_a_copy_of_the_model_are_counted() -> None:
    model, x = small()
    copy.deepcopy(model)(x)
    assert model.tally.now() == (2, 0)


@pytest.mark.parametrize(("forward", "backward", "chunk"), [(12, 8, 3), (5, 0, 8), (7, 7, 7)])
def test_the_bare_loop_runs_as_many_rows_as_it_says(forward: int, backward: int, chunk: int) -> None:
    model, x = small()
    inputs = models.signals((chunk, *x.shape[1:]))
    steps = guard.bare_steps(model, inputs, forward, backward, 0)
    guard.counted(lambda: [step() for _, step in steps], model.tally, forward, backward)()
    assert sum(rows for rows, _ in steps) == forward
    assert model.tally.now() == (forward, backward)


def test_peak_memory_sees_what_was_held_for_a_while() -> None:
    job = lambda: float(torch.ones(20 * 2**20).sum())  # 80 MB
    assert 60 < guard.peak_megabytes(job, "cpu") < 160


def test_two_jobs_take_turns_and_each_is_charged_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now, order = [0.0], []

    def spends(who: str, seconds: float) -> None:
        order.append(who)
        now[0] += seconds

    def ours(tell: timing.Progress) -> None:
        for done in (4, 8, 10):
            spends("ours", 3.0)
            tell(done, 10)
        spends("ours", 1.0)

    monkeypatch.setattr(timing, "_now", lambda: (now[0], 2 * now[0]))
    measured = timing.interleaved(ours, [(5, lambda: spends("bare", 2.0))] * 2, 3)
    assert order[:6] == ["ours", "bare", "ours", "bare", "ours", "ours"]
    assert (measured.ours_s, measured.bare_s, measured.ratio, measured.rounds) == (10.0, 4.0, 2.5, 3)
    assert (measured.low, measured.high, measured.processor) == (2.5, 2.5, 2.5)


def test_a_round_that_was_disturbed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now, rounds = [0.0], iter([1.0, 9.0, 1.0])

    def spends(seconds: float) -> None:
        now[0] += seconds

    def ours(tell: timing.Progress) -> None:
        spends(next(rounds))
        tell(1, 1)

    monkeypatch.setattr(timing, "_now", lambda: (now[0], now[0]))
    measured = timing.interleaved(ours, [(1, lambda: spends(1.0))], 3)
    assert (measured.ratio, measured.low, measured.high) == (1.0, 1.0, 9.0)


def test_rounds_of_unequal_turns_are_no_measurement() -> None:
    """Of the turns that only some rounds have, the time would be left out."""
    turns = iter([2, 4])

    def ours(tell: timing.Progress) -> None:
        number = next(turns)
        for done in range(number):
            tell(done + 1, number)

    with pytest.raises(ValueError, match=r"shorter|longer"):
        timing.interleaved(ours, [(1, lambda: None)], 2)


def test_pairs_stop_when_time_is_up_but_not_before_there_are_two() -> None:
    calls: list[str] = []
    measured = timing.paired(lambda: calls.append("a"), lambda: calls.append("b"), 9, warm=True, most=0)
    assert calls == ["a", "b", "b", "a"]
    assert measured.rounds == 2


@pytest.mark.parametrize("name", ["vit-b16", "resnet50"])
def test_large_networks_are_what_they_are_called(name: str) -> None:
    with torch.device("meta"):
        module = models.resnet50() if name == "resnet50" else models.VisionTransformer()
    millions = {"resnet50": 25.557, "vit-b16": 86.568}  # of the originals
    assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(millions[name], abs=1e-3)


def test_fixed_costs_are_told_from_those_of_each() -> None:
    fixed, each = growth.line((1, 2, 5, 9), [3 + 0.5 * size for size in (1, 2, 5, 9)])
    assert abs(fixed - 3) < 1e-9
    assert abs(each - 0.5) < 1e-9
    assert growth.line((1, 2, 5, 9), [size**2 for size in (1, 2, 5, 9)])[0] < 0  # the control: no line


def test_slopes_are_those_of_powers() -> None:
    found, low, high = growth.slope([1, 2, 4, 8], [3, 12, 48, 192])
    assert found == pytest.approx(2)
    assert low == pytest.approx(high)
