"""The study: tasks, stored seeds, tables and the command."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from support.command_line import fails

from benchmarks.scripts.planted_page import claims, goals
from pullback import attribute
from pullback.studies.planted import study
from pullback.studies.planted.rivals import PROTOCOL, SCORES, truth
from pullback.studies.planted.study import METHODS, Settings, planted, summarize, trial_table
from pullback.studies.planted.tasks import AGAIN, HAAR, LEAK, MENU, QUICK, TASKS, TURNED, Task

CLOSED = "2-D, closed forms"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> study.Planted:
    """One seed of the task that needs no training."""
    return planted(seeds=1, tasks=(CLOSED,), examples=20, methods=("input_x_gradient",), out=tmp_path_factory.mktemp("planted"))


def test_the_tables_hold_every_score(found: study.Planted) -> None:
    assert list(found.table["score"]) == [PROTOCOL, *SCORES]
    assert set(found.files) == {"report.html", "summary.json", "results.csv", "trials.csv", "planted.png"}
    assert all((found.out / name).stat().st_size for name in found.files)
    assert found.table.equals(summarize(found.trials))
    assert pd.read_csv(found.out / "results.csv")["seeds"].tolist() == [1] * (1 + len(SCORES))
    assert json.loads((found.out / "summary.json").read_text())["findings"] == found.summary["findings"]


def test_finished_seeds_are_not_run_again(found: study.Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("it ran again")

    monkeypatch.setattr(study, "trial", refuse)
    again = planted(Settings(**found.summary["settings"] | {"tasks": (CLOSED,), "methods": ("input_x_gradient",)}), found.out)
    assert again.trials.equals(found.trials)
    with pytest.raises(AssertionError, match="ran again"):
        planted(seeds=1, first=1, tasks=(CLOSED,), examples=20, methods=("input_x_gradient",), out=found.out)


def test_a_dropped_seed_is_counted_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: study.Planted) -> None:
    stored = next(iter(json.loads(path.read_text()) for path in (found.out / ".parts").glob("*.json")))

    def trial(task: Task, seed: int, methods: tuple[str, ...], examples: int) -> dict[str, Any]:
        return stored | {"seed": seed, "dropped": "" if seed else "not learned"}

    monkeypatch.setattr(study, "trial", trial)
    said: list[str] = []
    result = planted(seeds=2, tasks=(CLOSED,), examples=20, methods=("input_x_gradient",), out=tmp_path, note=said.append)
    assert sorted(set(result.trials["seed"])) == [1, 2]
    assert said == [f"{CLOSED}/0 is dropped: not learned"]
    assert result.summary["dropped"] == {CLOSED: ["0: not learned"]}


def comparison(named: str | None, pairs: dict[tuple[str, str], str] | None = None) -> Any:
    """A comparison that says this."""
    return SimpleNamespace(named={"m": named}, pair=lambda first, second, method: (pairs or {})[first, second])


@pytest.mark.parametrize(
    ("kind", "planted_in", "said", "false"),
    [
        ("truth", "dct", comparison("dct"), False),
        ("truth", "dct", comparison(None), False),
        ("truth", "dct", comparison("pixel"), True),
        ("off_menu", "rotation", comparison(None), False),
        ("off_menu", "rotation", comparison("pixel"), True),
        ("permuted", "dct", comparison("pixel"), False),
        ("permuted", "dct", comparison(HAAR), True),
        ("duplicate", "dct", comparison(AGAIN, {("dct", AGAIN): "equal"}), False),
        ("duplicate", "dct", comparison("dct", {("dct", AGAIN): "better"}), True),
        ("rotation", "dct", comparison("dct", {("dct", TURNED): "better"}), False),
        ("rotation", "dct", comparison("dct", {("dct", TURNED): "open"}), True),
        ("rotation", "dct", comparison(TURNED, {("dct", TURNED): "better"}), True),
    ],
)
def test_what_is_a_false_claim(kind: str, planted_in: str, said: Any, false: bool) -> None:
    assert Task("any", kind, 1).false_claim(said, planted_in, "m") == false


def test_settings_of_seeds_differ_and_stay_in_their_ranges() -> None:
    for task in TASKS:
        recipes = [task.recipe(seed) for seed in range(8)]
        assert recipes == [task.recipe(seed) for seed in range(8)]
        assert len({dataclasses.astuple(recipe) for recipe in recipes}) == 8
        assert all(recipe.hidden in MENU or task.kind == "off_menu" for recipe in recipes)
        assert all((recipe.loudness >= 1.5) == (task.loudness == "loud") for recipe in recipes if task.kind != "pair")
        assert set(task.menu((1, 64), 0)) >= set(MENU)


def test_a_leak_is_drawn_and_must_not_be_read() -> None:
    assert {task.name: task.recipe(0).leak for task in TASKS if task.recipe(0).leak} == {
        "1-D, leaking distractors": LEAK,
        "2-D, leaking distractors": LEAK,
    }


def test_the_truth_in_a_domain_holds_the_energy_of_the_atoms() -> None:
    """One coefficient in the domain in which it is planted, and many in another one."""
    recipe = Task("1-D, easy", "truth", 1).recipe(0)
    atoms, found = recipe.planted[0], {}
    for name in MENU:
        one = attribute(lambda x: x.flatten(1).sum(1), atoms, transform=name, method="input_x_gradient")
        found[name] = truth(one, atoms).flatten(1).sum(1).float().mean()
    assert found[recipe.hidden] == 1
    assert min(found, key=found.__getitem__) == recipe.hidden


def test_a_missed_goal_is_said_with_its_interval() -> None:
    row = {"task": "1-D, off the menu", "right": 0, "seeds": 20, "false_claims": 1}
    clean = {"task": "1-D, easy", "right": 19, "seeds": 20, "false_claims": 0}
    named, false = goals(pd.DataFrame([row, clean]))
    assert named.endswith("Reached in 1 of 1 tasks.")
    assert false.endswith("**missed** in 1-D, off the menu (1 of 20, 95 % interval 1–24 %).")
    assert "missed" in goals(pd.DataFrame([row, clean | {"right": 18}]))[0]
    assert claims([]) == ""
    false = {
        "task": row["task"],
        "seed": 7,
        "network": "deep",
        "rule": "sign",
        "planted": "rotation",
        "picked": "dct",
        "error": 0.4,
    }
    assert claims([false]).startswith(f"False claims: `dct` in {row['task']}, seed 7, where a frame that is not compared is")


def test_quick_is_a_part_of_the_whole() -> None:
    assert set(QUICK) <= {task.name for task in TASKS}
    assert {task.kind for task in TASKS if task.name in QUICK} == {"truth", "duplicate", "rotation", "permuted", "off_menu"}
    assert Settings().quick.seeds == 1


@pytest.mark.parametrize(("options", "said"), [({"tasks": ("4-D",)}, "unknown task '4-D'"), ({"examples": 5}, "examples ≥ 20")])
def test_wrong_settings_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**options)


def test_a_table_of_no_trials_is_empty() -> None:
    assert trial_table({"a": [{"dropped": "not learned"}]}).empty


def test_the_command_lists_the_tasks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert fails(monkeypatch, "study", "planted", "--task", "4-D", "--out", str(tmp_path)) == 2
    assert "the tasks are 1-D, easy" in capsys.readouterr().err


def test_the_command_prints_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: study.Planted
) -> None:
    asked: list[Settings] = []
    monkeypatch.setattr("pullback.studies.planted", lambda settings, out, progress, note: asked.append(settings) or found)
    assert fails(monkeypatch, "study", "planted", "--quick", "--out", str(found.out)) == 0
    assert (
        fails(monkeypatch, "study", "planted", "--method", "gradient", "--method", "smoothgrad", "--out", str(found.out)) == 0
    )
    assert [each.methods for each in asked] == [METHODS, ("gradient", "smoothgrad")]
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{CLOSED}, input_x_gradient: the planted domain is named in" in printed
    assert "results.csv" in printed
