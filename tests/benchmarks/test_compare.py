"""A run against the stored results: what is slower, costs more or is gone is named, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import compare

MACHINE = {"device": "2 CPU cores", "kind": "cpu", "quick": False}
SLOPE = {"slope": 1.0, "expected": [0.8, 1.15], "within": True}
Suites = dict[str, dict[str, dict[str, Any]]]


def run(factor: float = 1.0) -> Suites:
    """Nine ratios, counted evaluations and bytes, and a slope."""
    limits = {f"limit {i}": {"ratio": factor * (1 + i / 20), "ours_s": 3.0 * factor} for i in range(9)}
    limits["limit 0"] |= {"forward": 28, "backward": 25, "peak_mb": 80.0}
    return {"limits": limits, "memory": {"a": {"bytes": [8, 9], "growth": 1.1}}, "growth": {"growth[batch]": SLOPE}}


def named(new: Suites) -> list[str]:
    return list(compare.regressions(run(), new))


def changed(suite: str, name: str, **noted: Any) -> Suites:
    new = run()
    new[suite][name] = new[suite][name] | noted
    return new


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.05])
def test_equal_faster_and_slightly_slower_runs_pass(factor: float) -> None:
    assert named(run(factor)) == []


def test_a_suite_that_is_slower_by_a_seventh_fails() -> None:
    assert named(run(1.15)) == ["limits: slower by 15%, the median of its ratios; allowed is 10%."]


def test_a_single_ratio_is_noise() -> None:
    assert named(changed("limits", "limit 3", ratio=9.0)) == []


def test_a_benchmark_or_a_measure_that_is_missing_is_named() -> None:
    new = run()
    del new["limits"]["limit 7"], new["memory"]["a"]["bytes"]
    assert named(new) == ["limit 7: not measured.", "a: bytes is not measured."]
    assert named(run() | {"memory": {}}) == ["a: not measured."]  # the suite ran, and measured nothing
    assert named({"limits": run()["limits"]}) == []  # the other suites were not run


def test_evaluations_that_change_are_named_and_so_are_more_bytes() -> None:
    for more in (26, 24):
        found = named(changed("limits", "limit 0", backward=more))
        assert found == [f"limit 0: backward was 25, and is {more}."]
    assert named(changed("memory", "a", bytes=[8, 10])) == ["a: bytes was [8, 9], and is [8, 10]."]
    assert named(changed("memory", "a", bytes=[8, 8])) == []
    assert named(changed("limits", "limit 0", ours_s=99.0, peak_mb=999.0)) == []


def test_a_slope_that_leaves_its_range_is_named() -> None:
    assert named(changed("growth", "growth[batch]", slope=1.1)) == []
    (found,) = named(changed("growth", "growth[batch]", slope=1.3, within=False))
    assert found.startswith("growth[batch]: the slope was 1.00, and is 1.30")


def write(path: Path, suites: Suites, **machine: Any) -> Path:
    """A run as pytest-benchmark writes it."""
    names = [(suite, name) for suite, entries in suites.items() for name in entries]
    benches = [{"name": n, "fullname": f"suites/test_{s}.py::{n}", "extra_info": suites[s][n]} for s, n in names]
    path.write_text(json.dumps({"machine_info": MACHINE | machine, "benchmarks": benches, "suites": suites}))
    return path


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The folder of stored results of a CPU, and of a GPU on which everything takes twice as long."""
    (tmp_path / "stored").mkdir()
    for kind, suites in (("cpu", run()), ("cuda", {"limits": run(2.0)["limits"]})):
        for suite, entries in suites.items():
            write(tmp_path / "stored" / f"{suite}-{kind}.json", {suite: entries}, kind=kind)
    return tmp_path / "stored"


def test_the_command_compares_with_the_stored_runs_of_its_kind_of_device(stored: Path, tmp_path: Path, capsys: Any) -> None:
    new = {"limits": run(2.0)["limits"] | {"new[a]": SLOPE}}
    assert compare.main([str(stored), str(write(tmp_path / "new.json", new))]) == 1
    printed = capsys.readouterr().out
    assert "limits: the median of its ratios changed by +100.0%." in printed
    assert "WORSE  limits: slower by 100%" in printed
    assert "growth: not run, and so not compared." in printed
    assert "new[a]: not stored yet." in printed
    assert compare.main([str(stored), str(write(tmp_path / "gpu.json", new, kind="cuda"))]) == 0
    assert compare.main([str(tmp_path / "new.json")]) == 0  # the ratios alone


GOALS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # what meets a goal, and what misses it
    "ratio": ({"ratio": 1.03, "goal": 1.03}, {"ratio": 1.04, "goal": 1.03}),
    "not a number": ({"ratio": 9.0}, {"ratio": float("nan"), "goal": 9.0}),
    "slope": (SLOPE, SLOPE | {"within": False}),
    "memory": ({"growth": 1.1, "goal": 1.15}, {"growth": 1.2, "goal": 1.15}),
    "seconds": ({"seconds": 80.0, "goal_s": 90}, {"seconds": 91.0, "goal_s": 90}),
    "cosine": ({"cosine": 0.999991, "goal_cosine": 0.99999}, {"cosine": 0.999989, "goal_cosine": 0.99999}),
    "accuracy": ({"ratio": 0.4, "goal": 0.45, "not_reached": ""}, {"ratio": 0.4, "goal": 0.45, "not_reached": "captum"}),
}


@pytest.mark.parametrize("kind", GOALS)
def test_the_command_names_every_goal_that_one_run_misses(kind: str, tmp_path: Path, capsys: Any) -> None:
    good, bad = GOALS[kind]
    assert compare.main([str(write(tmp_path / "new.json", {"limits": {"a": good, "b": good}}))]) == 0
    assert "MISSED" not in capsys.readouterr().out
    assert compare.main([str(write(tmp_path / "new.json", {"limits": {"a": good, "b": bad}}))]) == 1
    named = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISSED")]
    assert len(named) == 1
    assert named[0].startswith("MISSED  b: ")


@pytest.mark.parametrize(("suite", "machine", "said"), [("other", {}, "nothing was"), ("limits", {"quick": True}, "quick")])
def test_what_cannot_be_compared_is_refused(
    stored: Path, tmp_path: Path, capsys: Any, suite: str, machine: dict[str, Any], said: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        compare.main([str(stored), str(write(tmp_path / "new.json", {suite: {"a": {"ratio": 1.0}}}, **machine))])
    assert said in capsys.readouterr().err
