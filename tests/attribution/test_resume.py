"""A certified run that goes on is the run made at once, and only the same run goes on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.integrated_gradients import MISSED, SPEC, relu_net
from support.subjects import normal, smooth_net

import pullback as pb
from pullback.attribution import baselines
from pullback.attribution.baselines.path_start import starts
from pullback.attribution.call import Call
from pullback.attribution.engine.open_engine import open_engine
from pullback.attribution.resume import check_same_call

JOBS = {
    "jumps": relu_net(12, 200),
    "smooth": smooth_net((1, 12), 1),
    "singular": lambda x: x.abs().sqrt().flatten(1).sum(1) + (3 * x).cos().relu().flatten(1).sum(1),
}
RUNS = [
    ("tol=0.3", 50, "tol=0", 50),
    ("tol=0", 50, "tol=0", 200),
    ("tol=0.05", 200, "tol=0.002", 400),
    ("tol=0", 33, "tol=0", 66),
]


@MISSED
@pytest.mark.parametrize("job", list(JOBS))
@pytest.mark.parametrize(("early", "few", "late", "many"), RUNS)
def test_a_continued_run_is_the_run_made_at_once_and_counts_what_is_new(
    job: str, early: str, few: int, late: str, many: int
) -> None:
    net, x = JOBS[job], normal(5, 1, 12)
    spec = lambda tol, most, keep="": f"{SPEC}({tol}, max_evaluations={most}{keep})"
    run = lambda *how: pb.attribute(net, x, method=spec(*how), transform=["pixel", "dct"])
    first, once = run(early, few, ", keep=True"), run(late, many)
    then = pb.attribution.resume(first, net, x, method=spec(late, many), batch_size=40)
    for before, after, whole in zip(first, then, once):
        torch.testing.assert_close(after.values, whole.values, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(after.details["map_error"], whole.details["map_error"], rtol=1e-6, atol=1e-14)
        assert torch.equal(after.details["evaluations"], whole.details["evaluations"])
        new = after.details["evaluations"] - before.details["evaluations"]
        assert after.settings["evaluations"]["gradient"] == int(new.sum())
        assert "kept_sums" not in after.details


def test_a_run_goes_on_twice_from_a_file_in_single_precision_and_on_its_own(tmp_path: Path) -> None:
    net, x = JOBS["jumps"].float(), normal(4, 1, 12, dtype=torch.float32)
    spec = lambda most: f"{SPEC}(tol=0, max_evaluations={most}, keep=True)"
    run = lambda most: pb.attribute(net, x, method=spec(most))
    first, once = run(50), run(200)
    first.save(tmp_path / "first.safetensors")
    middle = pb.Attribution.load(tmp_path / "first.safetensors").resume(net, x, method=spec(100))
    then = middle.resume(net, x, method=spec(200))
    torch.testing.assert_close(then.values, once.values, rtol=1e-4, atol=1e-6)
    new = then.details["evaluations"] - middle.details["evaluations"]
    assert then.settings["evaluations"]["gradient"] == int(new.sum()) >= 384
    alone = first[2].resume(net, x[2:3], method=spec(200))
    torch.testing.assert_close(alone.values[0], once.values[2], rtol=1e-4, atol=1e-6)
    less = first.resume(net, x, method=spec(20))  # nothing left to spend: the map it has
    torch.testing.assert_close(less.values, first.values, rtol=1e-4, atol=1e-6)
    assert less.settings["evaluations"]["gradient"] == 0
    JOBS["jumps"].double()


def test_only_the_same_run_goes_on() -> None:
    net, x = JOBS["smooth"], normal(3, 1, 12)
    first = pb.attribute(net, x, method=f"{SPEC}(keep=True)")
    based = pb.attribute(net, x, method=f"{SPEC}(keep=True)", baseline=torch.zeros_like(x))

    def again(earlier: pb.Attribution = first, **change: Any) -> pb.Attribution:
        call = {"model": net, "x": x, "method": SPEC} | change
        return earlier.resume(**call)

    moved = x.clone()
    moved[1] += 1
    nudged = x.clone()
    nudged[2, 0, 3] = torch.nextafter(x[2, 0, 3], torch.tensor(9.0))
    for change, message in [
        ({"x": moved}, r"another x \(example 1 differs\)"),
        ({"x": x[:2]}, r"another x \(of shape \(3, 1, 12\), now \(2, 1, 12\)\)"),
        ({"x": nudged}, r"another x \(example 2 differs\)"),
        ({"baseline": 1.0}, r"another baseline \('zero', now '1.0'\)"),
        ({"baseline": 1e-6 * x, "earlier": based}, r"another baseline \(example 0 differs\)"),
        ({"model": smooth_net((1, 12), 1, seed=1)}, r"another model \(example"),
        ({"target": 0}, r"another target \(None, now 0\)"),
        ({"execution": pb.Execution(compile={"backend": "eager"})}, r"another compiled \(False, now True\)"),
        ({"method": f"{SPEC}(steps=5)"}, "cannot continue"),
        ({"earlier": again()}, "holds nothing to continue from"),
    ]:
        with pytest.raises(ValueError, match=message):
            again(**change)
    with pytest.raises(ValueError, match=r"another transform \(dct, now pixel\)"):
        check_same_call([vars(first) | {"transform": pb.transforms.get("dct", (1, 12))}], *_call(net, x))
    with pytest.raises(TypeError, match="unknown option 'max_evaluations'"):
        first.resume(net, x, max_evaluations=60)  # type: ignore[call-arg]
    for wrong in ([3], first, 3):
        with pytest.raises(TypeError, match=r"the list that pullback\.attribute returned"):
            pb.attribution.resume(wrong, net, x)  # type: ignore[arg-type]


def _call(net: Any, x: torch.Tensor) -> tuple[Any, ...]:
    """The further arguments of `check_same_call`, for the pixel domain."""
    pixel = pb.transforms.get("pixel", (1, 12))
    with open_engine(net, x) as engine:
        call = Call(pb.attribution.get(SPEC), x, [pixel], starts(baselines.get(None), [pixel], x, 0), engine, 0)
        return call.evaluators, [pixel], [torch.zeros(len(x))], {}
