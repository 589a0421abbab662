"""Each check of the benchmarks catches a cheat; and what is timed and counted is what the names say."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import pullback as pb
from benchmarks.measure import calls, memory, timing
from benchmarks.measure.checks import check_evaluations, check_input, check_map, check_result, check_transform
from benchmarks.measure.counting import Counted, MeasuresNothing, bare_steps, counted
from benchmarks.subjects import cases, models
from benchmarks.suites import test_accelerator as accelerator
from benchmarks.suites import test_growth as growth
from benchmarks.suites import test_peers as peers
from benchmarks.suites import test_transforms as transforms
from pullback.attribution.estimator import Cost, Estimate, Estimator, Evaluator, MethodClaim, estimators
from pullback.transforms import TransformClaim, get

DOMAINS = ["dwt(db4, level=3)", "pixel", "dct"]
METHODS = [template.format(n=8) for template in cases.templates()]
SMOOTH = "smoothgrad(samples=4)"


@pytest.fixture
def case() -> models.Subject:
    return models.subject("small", "cpu", 2, quick=True)


def cosines(like: Tensor) -> Tensor:
    """Numbers that have nothing to do with any model."""
    return torch.cos(torch.arange(like.numel())).view_as(like).to(like)


scaled = lambda a: 1.1 * a


# Inputs and results ---------------------------------------------------------------------------------------------------


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
    check_input(models.signals((2, 3, 16, 16)))
    with pytest.raises(MeasuresNothing, match="the input"):
        check_input(spoil(models.signals((2, 3, 16, 16))))


@pytest.mark.parametrize("wrong", [torch.zeros_like, lambda a: a * torch.nan, scaled, lambda a: a.flip(-1), cosines])
def test_wrong_results_are_caught_in_every_format(wrong: Callable[[Tensor], Tensor]) -> None:
    values = models.signals((2, 3, 16, 16))
    check_result(values, values)
    with pytest.raises(MeasuresNothing, match="the result"):
        check_result(wrong(values), values)
    for precision in accelerator.LEAST:
        assert accelerator.check_precision(values, values, precision) == pytest.approx(1)
        if precision == "fp32" or wrong is not scaled:  # in narrower formats the direction is compared
            with pytest.raises(MeasuresNothing):
                accelerator.check_precision(wrong(values), values, precision)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_that_is_not_the_untimed_one_is_caught(case: models.Subject, method: str) -> None:
    for att in calls.attribute(case.module, case.x, 0, method, ["dwt(db4, level=3)", "dct"]):
        check_map(att, case, method)
        for wrong in (cosines, lambda a: 2 * a, lambda a: a.flip(-1), torch.zeros_like):
            with pytest.raises(MeasuresNothing):
                check_map(dataclasses.replace(att, values=wrong(att.values)), case, method)


@pytest.mark.parametrize("spec", ["dct", "dwt(bior4.4, level=2)", "swt", "laplacian", "color", "polar"])
def test_wrong_coefficients_inverses_and_adjoints_are_caught(spec: str) -> None:
    T, x = get(spec, (3, 32, 32)), models.signals((2, 3, 32, 32))
    found = [T(x), T.inverse(T(x)), T.adjoint(x) if TransformClaim.LINEAR in T.claims else None]
    check_transform(T, x, *found)
    for place, honest in enumerate(found):
        for wrong in (scaled, torch.neg, lambda a: a.flip(0), torch.zeros_like) if honest is not None else ():
            with pytest.raises(MeasuresNothing):
                check_transform(T, x, *(wrong(part) if at == place else part for at, part in enumerate(found)))


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("job", transforms.JOBS)
@pytest.mark.parametrize("sizes", [(256,), (64, 32), (32, 32, 32)])
def test_a_peer_that_does_another_job_is_caught(job: str, sizes: tuple[int, ...]) -> None:
    x = models.signals((2, 1, *sizes))
    peer = transforms.peer(job, x)
    transforms.check_peer(peer, x)
    for wrong in ({"run": lambda: 2 * x}, {"same": get("dwt(db2, level=2)", (1, *sizes))}):
        if "dft" not in job or "run" in wrong:  # of a complex spectrum, lengths are compared
            with pytest.raises(MeasuresNothing):
                transforms.check_peer(dataclasses.replace(peer, **wrong), x)


def test_a_peer_of_another_law_is_caught() -> None:
    noise = lambda seed: models.signals((2, 3, 32, 32), seed=seed)
    ours = noise(0)
    peers.same_law(ours + 0.2 * noise(1), ours + 0.2 * noise(2), ours + 0.2 * noise(3))
    for theirs in (-ours, cosines(ours), 2 * ours, ours + 2 * noise(1)):
        with pytest.raises(MeasuresNothing, match="theirs is"):
            peers.same_law(theirs, ours + 0.2 * noise(2), ours + 0.2 * noise(3))
    with pytest.raises(MeasuresNothing, match="too few samples"):
        peers.same_law(ours, ours + 2 * noise(2), ours + 2 * noise(3))


def test_more_than_the_speed_of_a_copy_is_caught() -> None:
    assert accelerator.check_share(0.44) == 0.44
    with pytest.raises(MeasuresNothing, match=r"36\.9 × the speed"):
        accelerator.check_share(36.88)


# Evaluations ----------------------------------------------------------------------------------------------------------

# Rows of each signal beside x, x₀ and x once more, and how many of them go back, in one and in three domains with 8 samples,
# by the definition of each method. dwt and dct have 4 orientations, pixel has 1.
ROWS: dict[str, Any] = {
    **dict.fromkeys(("absgrad", "integrated_gradients", "smoothgrad", "squaregrad", "vargrad"), ((8, 8), (8, 8))),
    **dict.fromkeys(("gradient", "input_x_gradient"), ((1, 1), (1, 1))),
    **dict.fromkeys(("hsic", "lime"), ((8, 0), (3 * 8, 0))),
    **dict.fromkeys(("kernel_shap", "shapley"), ((2**4, 0), (2**4 + 2**1 + 2**4, 0))),
    "captum": ((1, 1), (3, 3)),
    "expected_gradients": ((2 + 8, 8), (2 + 8, 8)),  # f at x, and at the baseline
    "gradient_shap": ((1 + 2 * 8, 8), (1 + 2 * 8, 8)),  # f at each noisy end, and at the baseline
    "mask": ((8 + 1, 8), (3 * (8 + 1), 3 * 8)),  # f at the mask that was found
    "occlusion": ((1 + 4, 0), (1 + 4 + 1 + 1 + 1 + 4, 0)),
    "rise": ((8 + 1, 0), (3 * (8 + 1), 0)),  # x too
    "sobol": ((4 * (4 + 2), 0), (4 * (6 + 3 + 6), 0)),
}


@pytest.mark.parametrize("method", METHODS)
def test_rows_are_those_of_the_plan_and_of_the_definition(case: models.Subject, method: str) -> None:
    for place, domains in enumerate((DOMAINS[:1], DOMAINS)):
        model = Counted(case.module)
        found, spent = model.tally.during(lambda: calls.attribute(model, case.x, 0, method, domains))  # noqa: B023
        plan = calls.planned(method, [att.transform for att in found], 2)
        check_evaluations(spent, found, plan)
        name = method.split("(")[0]
        rows, gradients = ROWS.get(name, (spent, spent))[place]
        tried = calls.rows_for_the_format(found[0])
        expected = (2 * (3 + rows) + 2 + (2 * rows >= 100) + tried[0], 2 * gradients + tried[1])
        assert name not in ROWS or spent == expected
        for other in ((spent[0] - 1, spent[1]), (spent[0] + 1, spent[1]), (spent[0], spent[1] + 1)):
            with pytest.raises(MeasuresNothing, match="were planned"):
                check_evaluations(other, found, plan)


def test_rows_that_were_compared_again_are_known(case: models.Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    att = calls.attribute(case.module, case.x, 0, "smoothgrad(samples=24)", DOMAINS[0])
    tried = calls.rows_for_the_format(att)
    plan = calls.planned("smoothgrad(samples=24)", [att.transform], 2)
    for more in (-2, 0, 1, 2, calls.COMPARED_AGAIN, calls.COMPARED_AGAIN + 2):
        spent = plan + tried[0] + more, 48 + tried[1] + more
        monkeypatch.setattr(calls, "evaluations", lambda found, spent=spent: spent)
        if more in (0, 2, calls.COMPARED_AGAIN):
            check_evaluations(spent, [att], plan)
        else:
            with pytest.raises(MeasuresNothing, match="were planned"):
                check_evaluations(spent, [att], plan)
    assert tried[1] == 4


def test_a_certified_rule_may_spare_a_tenth_and_no_more() -> None:
    square = lambda x: x.square().flatten(1).sum(1)
    att = pb.attribute(square, torch.ones(1, 1, 4))
    _, gradients = spent = calls.evaluations([att])
    check_evaluations(spent, [att], spent[0] + gradients // 9)
    with pytest.raises(MeasuresNothing):
        check_evaluations(spent, [att], spent[0] + gradients // 9 + 1)


@dataclasses.dataclass(frozen=True)
class Early(Estimator):
    """Promises `samples` gradients, and stops after two."""

    samples: int = 4
    claims = MethodClaim.NONE
    kind = "sensitivity"

    def estimate(self, evaluator: Evaluator) -> Estimate:
        return pb.attribution.get("smoothgrad(samples=2)").estimate(evaluator)

    def cost(self, layouts: object) -> Cost:
        return Cost(gradients=self.samples)

    @classmethod
    def examples(cls) -> list[Estimator]:
        return [cls()]


def test_an_estimator_that_stops_early_is_caught(case: models.Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimators._makers, "early", Early)
    with pytest.raises(MeasuresNothing, match=r"\(12, 4\) rows .* 16 were planned"):
        check_evaluations(
            (12, 4),
            [calls.attribute(case.module, case.x, 0, Early())],
            calls.planned(Early(), [get("dct", (3, 32, 32))], 2),
        )
    with pytest.raises(MeasuresNothing, match="were planned"):
        memory.held("early", 1, 16, 8, times=(1,))


def test_a_method_that_the_tables_do_not_name_runs_as_its_first_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimators._makers, "early", Early)
    assert "early" in cases.templates()
    assert cases.timed("early", 25) == Early()
    assert cases.grown("early", 16) == Early(samples=64)
    assert cases.timed("gradient", 25) == pb.attribution.get("gradient")
    assert set(cases.TIMED) | set(cases.GROWN) <= set(pb.attribution.names())


def test_work_outside_the_timer_is_caught(case: models.Subject) -> None:
    model = Counted(case.module)
    smoothgrad = lambda: calls.attribute(model, case.x, 0, SMOOTH)
    done = counted(smoothgrad, model.tally, (16, 8))()
    cheats = {
        "a result from before": lambda: done,
        "not begun when the clock stops": lambda: (smoothgrad() for _ in range(1)),
        "never back": lambda: [model(case.x) for _ in range(6)] + [model(case.x[:1])],
    }
    for cheat in cheats.values():
        with pytest.raises(MeasuresNothing, match="rows went forward"):
            counted(cheat, model.tally, (16, 8))()
    assert copy.deepcopy(model).tally is model.tally  # rows through a copy of the model are counted too


def test_growth_checks_what_it_times(case: models.Subject) -> None:
    job = growth.Job(Counted(case.module), case.x, DOMAINS, 4)
    job.checked()()
    with pytest.raises(MeasuresNothing, match="the input"):
        dataclasses.replace(job, x=torch.zeros_like(case.x)).checked()
    found = job.run()
    for result in (found[:2], found, [dataclasses.replace(att, values=cosines(att.values)) for att in found]):
        cheat = dataclasses.replace(job)
        object.__setattr__(cheat, "run", lambda result=result: result)
        with pytest.raises(MeasuresNothing):
            cheat.checked()


@pytest.mark.parametrize(("rows", "chunk"), [((12, 8), 3), ((5, 0), 8), ((7, 7), 7)])
def test_the_bare_loop_runs_as_many_rows_as_it_says(case: models.Subject, rows: tuple[int, int], chunk: int) -> None:
    model = Counted(case.module)
    steps = bare_steps(model, case, chunk, rows)
    counted(lambda: [step() for _, step in steps], model.tally, rows)()
    assert sum(count for count, _ in steps) == rows[0]
    assert model.tally.most <= chunk


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's compiler looks at it
def test_a_compiled_model_is_compiled_and_its_rows_are_counted(case: models.Subject) -> None:
    seen: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        seen.append(sum(node.op == "call_module" or "conv" in str(node.target) for node in graph.graph.nodes))
        return graph.forward

    model = Counted(case.module).hidden()
    execution = {"compile": {"backend": backend}}
    run = lambda: calls.attribute(model, case.x, 0, SMOOTH, batch_size=8, execution=execution)
    att = counted(run, model.tally, (16, 8))()
    assert len(seen) == 1  # one graph, and the counting is not in it
    assert seen[0] >= 3  # which holds the three convolutions
    check_map(att, case, SMOOTH)


# Times, memory, networks ----------------------------------------------------------------------------------------------


def test_two_jobs_take_turns_and_a_round_that_was_disturbed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now, order, first = [0.0], [], iter([3.0, 99.0, 3.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def spends(who: str, seconds: float) -> None:
        order.append(who)
        now[0] += seconds

    def ours(tell: timing.Progress) -> None:
        for done, seconds in ((4, next(first)), (8, 3.0), (10, 3.0)):
            spends("o", seconds)
            tell(done, 10)
        spends("o", 1.0)

    measured = timing.interleaved(ours, [(5, lambda: spends("b", 2.0))] * 2, 3)
    assert "".join(order) == 3 * "oboboo"  # each is charged its own time
    assert measured == timing.Ratio(2.5, 2.5, 106 / 4, 10.0, 4.0, 3)


def test_rounds_of_unequal_turns_are_no_measurement() -> None:
    """The time of the turns that only some rounds have would be left out."""
    turns = iter([2, 4])
    ours = lambda tell: [tell(done + 1, number) for number in [next(turns)] for done in range(number)]
    with pytest.raises(ValueError, match=r"shorter|longer"):
        timing.interleaved(ours, [(1, lambda: None)], 2)


def test_pairs_stop_when_time_is_up_but_not_before_there_are_two() -> None:
    order: list[str] = []
    measured = timing.paired(lambda: order.append("a"), lambda: order.append("b"), 9, warm=True, most=0)
    assert (order, measured.rounds) == (["a", "b", "b", "a"], 2)


def test_peak_memory_sees_what_was_held_for_a_while() -> None:
    assert 60 < memory.peak_megabytes(lambda: float(torch.ones(20 * 2**20).sum()), "cpu") < 160  # 80 MB


@pytest.mark.parametrize(("name", "millions"), [("resnet50", 25.557), ("vit-b16", 86.568)])
def test_large_networks_are_what_they_are_called(name: str, millions: float) -> None:
    with torch.device("meta"):
        module = models.PLANS[name].build((3, 224, 224))
    assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(millions, abs=1e-3)  # of the originals


def test_slopes_are_those_of_powers_and_lines_have_fixed_costs() -> None:
    found, low, high = growth.slope([1, 2, 4, 8], [3, 12, 48, 192])
    assert (found, low) == (pytest.approx(2), pytest.approx(high))
    assert growth.line((1, 2, 5, 9), [3 + 0.5 * size for size in (1, 2, 5, 9)]) == (
        pytest.approx(3),
        pytest.approx(0.5),
    )
    assert growth.line((1, 2, 5, 9), [size**2 for size in (1, 2, 5, 9)])[0] < 0  # the control: no line
