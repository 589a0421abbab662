"""Regressions are told from noise: between runs of the same code nothing is raised, and what is slower by a stated factor is.

Runs are made up with the spreads that real ones have: `limits` of 2 rounds 4 % apart, whose ratios move 4 % from run to run,
and `transforms` of 7 rounds 12 % apart, which move 16 %.
"""

import importlib
import json
import math
import random
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

sys.path.append(str(ROOT))
compare, gate, noise, stored = (
    importlib.import_module(f"benchmarks.{name}") for name in ("compare", "gate", "noise", "stored")
)
Suites = dict[str, dict[str, dict[str, Any]]]
MACHINE = {"device": "2 CPU cores", "kind": "cpu", "quick": False}
SLOPE = {"slope": 1.0, "slope_low": 0.95, "slope_high": 1.05, "expected": [0.8, 1.15], "within": True}


def pairs(true: float, deviation: float, rounds: int, draw: random.Random) -> dict[str, Any]:
    """What `paired` notes of so many log-normal pairs."""
    found = sorted(true * math.exp(draw.gauss(0, deviation)) for _ in range(rounds))
    return {"ratio": statistics.median(found), "low": found[0], "high": found[-1], "rounds": rounds}


def run(seed: int, factor: float = 1.0) -> Suites:
    """A whole run of 58 limits, most of 2 rounds, and 25 transforms of 7, none of which is the same code's true ratio twice."""
    draw = random.Random(seed)
    luck = lambda of: math.exp(draw.gauss(0, of))
    limits = {f"limit {i}": pairs(factor * 1.1 * luck(0.005), 0.045, 2 if i % 3 else 4, draw) for i in range(58)}
    transforms = {f"peer {i}": pairs(factor * 0.7 * luck(0.09), 0.12, 7, draw) for i in range(25)}
    return {"limits": limits, "transforms": transforms}


def bad(before: Suites, after: Suites) -> list[str]:
    return [verdict.name for verdict in gate.judged(before, after) if verdict.bad]


def scaled(entry: dict[str, Any], factor: float) -> dict[str, Any]:
    return entry | {key: factor * entry[key] for key in ("ratio", "low", "high")}


def write(folder: Path, name: str, suites: Suites, **machine: Any) -> Path:
    """A run as pytest-benchmark writes it."""
    folder.mkdir(exist_ok=True)
    benchmarks = [
        {"name": key, "fullname": f"benchmarks/test_{suite}.py::{key}", "extra_info": noted}
        for suite, entries in suites.items()
        for key, noted in entries.items()
    ]
    path = folder / name
    path.write_text(
        json.dumps(
            {"machine_info": MACHINE | machine, "benchmarks": benchmarks, "suites": {suite: {} for suite in suites}}
        )
    )
    return path


# Chance ---------------------------------------------------------------------------------------------------------------


def test_runs_of_the_same_code_raise_almost_nothing() -> None:
    """83 ratios and 2 suites in 40 pairs of runs: at the stated levels 0.1 and 0.02 alarms a run."""
    found = [gate.judged(run(2 * seed), run(2 * seed + 1)) for seed in range(40)]
    assert sum(v.bad for verdicts in found for v in verdicts) <= 8
    assert sum(v.word == "faster" for verdicts in found for v in verdicts) <= 8


@pytest.mark.parametrize("seed", range(5))
def test_a_little_on_all_of_a_suite_shows_though_no_single_one_does(seed: int) -> None:
    limits = lambda seed, factor=1.0: {"limits": run(seed, factor)["limits"]}
    assert "limits: 58 ratios together" in bad(limits(seed), limits(seed + 100, 1.05))
    assert "transforms: 25 ratios together" in bad(run(seed), run(seed, 1.10))
    assert len(bad(limits(seed), limits(seed, 1.05))) == 1
    assert bad(limits(seed), limits(seed, 1.015)) == []


@pytest.mark.parametrize(
    ("factor", "suite", "least"), [(1.5, "limits", 57), (2.0, "limits", 58), (2.0, "transforms", 23)]
)
def test_a_single_benchmark_that_is_slower_is_found(factor: float, suite: str, least: int) -> None:
    """One at a time, in the run that is stored; two pairs are enough where those of the suite say how far pairs lie apart."""
    before = run(0)
    slower = lambda name: {suite: before[suite] | {name: scaled(before[suite][name], factor)}}
    assert sum(name in bad(before, slower(name)) for name in before[suite]) >= least


def test_an_entry_of_its_own_noise_keeps_it() -> None:
    """Ten times the spread of its suite in many rounds: × 1.5 may be chance; of the others it is not."""
    before = {"limits": {name: pairs(1.0, 0.03, 9, random.Random(name)) for name in map(str, range(20))}}
    before["limits"]["busy"] = pairs(1.0, 0.4, 9, random.Random(0))
    for name, found in (("busy", []), ("3", ["3"])):
        after = {"limits": before["limits"] | {name: scaled(before["limits"][name], 1.5)}}
        assert [wrong for wrong in bad(before, after) if "together" not in wrong] == found


def test_two_pairs_that_agree_by_chance_are_not_taken_for_certain() -> None:
    before = run(0)
    lucky = {"ratio": 1.1, "low": 1.0999, "high": 1.1001, "rounds": 2}
    after = {"limits": before["limits"] | {"limit 0": scaled(lucky, 1.1)}}
    before["limits"]["limit 0"] = lucky
    assert bad(before, after) == []


@pytest.mark.parametrize("rounds", range(2, 11))
def test_the_variance_is_read_off_the_range_without_bias(rounds: int) -> None:
    draw = random.Random(rounds)
    found = noise.pooled(noise.spread(pairs(1.0, 0.2, rounds, draw)) for _ in range(4000))
    assert found == (pytest.approx(0.04, rel=0.08), 4000 * (rounds - 1))


def test_without_any_spread_nothing_is_said_of_a_ratio() -> None:
    assert bad({"accelerator": {"loop": {"ratio": 1.0}}}, {"accelerator": {"loop": {"ratio": 9.0}}}) == []
    known = {"loop": {"ratio": 1.0}, "other": {"ratio": 1.0, "low": 0.97, "high": 1.03, "rounds": 3}}
    assert "loop" in bad({"limits": known}, {"limits": known | {"loop": {"ratio": 9.0}}})
    with pytest.raises(ValueError, match="no change"):
        noise.together([])


# What else is measured ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rise", "found"), [(0.05, []), (0.12, []), (0.5, ["growth"])])
def test_steeper_growth_is_a_regression(rise: float, found: list[str]) -> None:
    steeper = SLOPE | {key: SLOPE[key] + rise for key in ("slope", "slope_low", "slope_high")}
    assert bad({"growth": {"growth": SLOPE}}, {"growth": {"growth": steeper}}) == found


def peaks(**factors: float) -> Suites:
    """Six benchmarks of 800 MB and a bare loop of 700."""
    noted = {"peak_mb": 800 * factors.get("ours", 1.0), "bare_peak_mb": 700 * factors.get("bare", 1.0)}
    return {"limits": {"first": noted} | {f"limit {i}": {"peak_mb": 800.0, "bare_peak_mb": 700.0} for i in range(5)}}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (peaks(), peaks(ours=1.3), []),
        (peaks(), peaks(ours=1.5), ["first peak_mb"]),
        (peaks(), peaks(ours=1.5, bare=1.5), []),  # the other side too
        (peaks(), peaks(bare=3.0), []),
        (peaks(), peaks(bare=0.3), []),  # that the other side holds less is no fault of ours
        ({"t": {"dwt": {"analysis_peak_mb": 6.0}}}, {"t": {"dwt": {"analysis_peak_mb": 20.0}}}, []),
        (
            {"t": {"dwt": {"analysis_peak_mb": 60.0}}},
            {"t": {"dwt": {"analysis_peak_mb": 200.0}}},
            ["dwt analysis_peak_mb"],
        ),
        (
            {"t": {"dwt": {"analysis_peak_mb": 0.0}}},
            {"t": {"dwt": {"analysis_peak_mb": 20.0}}},
            ["dwt analysis_peak_mb"],
        ),
        ({"t": {"dwt": {"analysis": 6.0}}}, {"t": {"dwt": {"analysis": 60.0}}}, []),  # milliseconds
        ({"m": {"a": {"growth": 1.0, "bytes": [8, 9]}}}, {"m": {"a": {"growth": 1.03, "bytes": [8, 9]}}}, []),
        ({"m": {"a": {"growth": 1.0, "bytes": [8, 9]}}}, {"m": {"a": {"growth": 1.1, "bytes": [8, 9]}}}, ["a growth"]),
        ({"m": {"a": {"growth": 1.0, "bytes": [8, 9]}}}, {"m": {"a": {"growth": 1.0, "bytes": [16, 18]}}}, ["a bytes"]),
        ({"m": {"a": {"forward": 28, "backward": 0}}}, {"m": {"a": {"forward": 28, "backward": 25}}}, ["a backward"]),
        ({"m": {"a": {"rows": 1000, "ours_s": 1.0}}}, {"m": {"a": {"rows": 1000, "ours_s": 9.0}}}, []),
    ],
)
def test_memory_and_rows_have_stated_bounds_and_seconds_have_none(
    before: Suites, after: Suites, found: list[str]
) -> None:
    assert bad(before, after) == found


def test_a_little_more_memory_everywhere_shows() -> None:
    more = {"limits": {name: {"peak_mb": 1.2 * noted["peak_mb"]} for name, noted in peaks()["limits"].items()}}
    assert bad(peaks(), more) == ["limits: peak memory, MB, median of 6"]


def test_shares_of_a_speed_are_judged_against_one_another() -> None:
    """All lower together is a copy that was timed as faster, up to a factor of 2."""
    shares = lambda *values: {"accelerator": {f"test_bandwidth[{i}]": {"analysis": v} for i, v in enumerate(values)}}
    before = shares(0.1, 0.1, 0.2, 0.2, 0.3)
    assert bad(before, shares(0.06, 0.06, 0.12, 0.12, 0.18)) == []
    assert bad(before, shares(0.1, 0.1, 0.2, 0.2, 0.15)) == ["test_bandwidth[4] analysis"]
    assert bad(before, shares(0.04, 0.04, 0.08, 0.08, 0.12)) == ["accelerator: share of a copy's speed, median of 5"]
    assert bad(before, shares(0.9, 0.9, 1.8, 1.8, 2.7)) == []


def test_what_is_no_longer_measured_is_no_pass() -> None:
    before = run(0) | {"memory": {"a": {"growth": 1.0, "bytes": [1]}}}
    less = {suite: dict(entries) for suite, entries in before.items()}
    del less["limits"]["limit 7"], less["transforms"]["peer 3"]["rounds"]
    less["memory"]["a"] = {"bytes": [1]}
    assert bad(before, less) == ["limit 7", "a growth"]
    assert bad(before, {"memory": {}}) == ["a"]  # it was run, and nothing came of it
    assert bad(before, {"memory": before["memory"]}) == []  # what was not run is said, see below


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_says_what_became_worse_and_what_was_not_run(tmp_path: Path, capsys: Any) -> None:
    whole = run(0) | {"growth": {"growth[batch]": SLOPE}}
    before = write(tmp_path, "old.json", whole)
    assert compare.main([str(before), str(write(tmp_path, "same.json", run(1)))]) == 0
    assert "Suites that were not run, and so not compared: growth." in capsys.readouterr().out
    worse = whole | {"limits": whole["limits"] | {"limit 5": scaled(whole["limits"]["limit 5"], 2.0), "new[a]": SLOPE}}
    del worse["limits"]["limit 6"]
    assert compare.main([str(before), str(write(tmp_path, "new.json", worse))]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 worse: limit 5 (SLOWER), limit 6 (MISSING)." in printed
    assert "Not stored yet, and so not compared: new[a]." in printed
    assert "growth[batch]" in printed  # names with brackets are shown whole
    assert compare.main([str(before)]) == 0


def test_a_run_is_compared_with_the_stored_ones_of_its_kind_of_device(tmp_path: Path) -> None:
    loop = lambda ratio: {"stream": {"loop": {"ratio": ratio, "low": 0.97 * ratio, "high": 1.03 * ratio, "rounds": 5}}}
    write(tmp_path / "stored", "stream-cpu.json", loop(1.0))
    write(tmp_path / "stored", "stream-cuda.json", loop(2.0), kind="cuda", device="a GPU")
    for kind, ratio in (("cpu", 1.0), ("cuda", 2.0)):
        found = compare.read(tmp_path / "stored", kind)
        assert (found.machine["kind"], found.suites["stream"]["loop"]["ratio"]) == (kind, ratio)
    assert compare.main([str(tmp_path / "stored"), str(write(tmp_path, "new.json", loop(2.0)))]) == 1
    on_gpu = write(tmp_path, "gpu.json", loop(2.0), kind="cuda", device="a GPU")
    assert compare.main([str(tmp_path / "stored"), str(on_gpu)]) == 0


def test_a_stored_file_is_a_suite_by_its_name(tmp_path: Path) -> None:
    entry = {"name": "loop", "extra_info": {"ratio": 1.0}}
    for kind in ("cpu", "cpu-kept"):
        path = tmp_path / f"peers-{kind}.json"
        path.write_text(json.dumps({"machine_info": MACHINE | {"kind": kind}, "benchmarks": [entry]}))
        assert list(compare.read(path).suites) == ["peers"]


@pytest.mark.parametrize(
    ("suite", "machine", "said"),
    [
        ("limits", {"quick": True}, "quick"),
        ("limits", {"kind": "cuda", "quick": True}, "quick"),
        ("limits", {"device": "8 CPU cores"}, "8 CPU cores"),
        ("growth", {}, "growth twice"),
        ("limits", {}, ""),
    ],
)
@pytest.mark.parametrize("place", ["a.json", "m.json", "z.json"])
def test_folders_of_what_is_not_one_run_are_refused(
    tmp_path: Path, capsys: Any, suite: str, machine: dict[str, Any], said: str, place: str
) -> None:
    """Whichever file it is. The last case is the control."""
    entry = {"loop": {"ratio": 1.0, "low": 0.9, "high": 1.1, "rounds": 3}}
    for name, of in (("b.json", "stream"), ("n.json", "growth")):
        write(tmp_path / "runs", name, {of: entry})
    write(tmp_path / "runs", place, {suite: entry}, **machine)
    if not said:
        assert compare.main([str(tmp_path / "runs"), str(tmp_path / "runs")]) == 0
        return
    with pytest.raises(SystemExit, match="2"):
        compare.main([str(tmp_path / "runs"), str(tmp_path / "runs")])
    assert said in capsys.readouterr().err


def test_runs_with_nothing_in_common_are_refused(tmp_path: Path, capsys: Any) -> None:
    one = write(tmp_path, "one.json", {"limits": run(0)["limits"]})
    other = write(tmp_path, "two.json", {"transforms": run(0)["transforms"]})
    on_gpu = write(tmp_path, "gpu.json", {"limits": run(0)["limits"]}, kind="cuda", device="a GPU")
    for new, said in ((other, "nothing was compared"), (on_gpu, "kind cuda")):
        with pytest.raises(SystemExit, match="2"):
            compare.main([str(one), str(new)])
        assert said in capsys.readouterr().err


def test_what_is_stored_passes_its_own_gate() -> None:
    for kind in stored.KINDS:
        suites = compare.read(stored.RESULTS, kind).suites
        assert not bad(suites, suites)
