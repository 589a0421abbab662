"""Studies in parts: shards that are merged, and workers of Ray, give the files of one whole run; nothing is measured twice."""

import dataclasses
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import minimal_toys
from support.command_line import fails
from support.faulty import faulty, processes

from pullback import studies
from pullback.core.progress import Interrupted
from pullback.studies import divided, hidden_frame, run_study
from pullback.studies import search as searching
from pullback.studies.compare import cluster
from pullback.studies.minimal import report
from pullback.studies.minimal import run as minimal_run
from pullback.studies.overlap import figures as overlap_figures
from pullback.studies.overlap import study as overlap_study
from pullback.studies.planted import study as planted_study
from pullback.studies.robustness import figures as robustness_figures
from pullback.studies.robustness import run as robustness_run
from pullback.studies.volume import run as volume_run

from .test_search import MODEL
from .volume.toys import balls

Case = tuple[Callable[..., Any], Any]
TIMED = ("summary.json", "report.html", "settings.json")  # files with times, or with the name of their folder
MEASURES = [(minimal_run, "measured"), (overlap_study, "trial"), (planted_study, "trial"), (robustness_run, "measured")]
MEASURES += [(volume_run, "measured"), (volume_run, "answers"), (volume_run, "pictured"), (searching, "fit_domain")]
NAMES = ("minimal", "overlap", "noise", "robustness", "volume", "search")  # planted: below, where seeds are dropped


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signals and models of all studies."""
    folder = tmp_path_factory.mktemp("data")
    minimal_toys.write("image", folder / "pictures", 2)
    balls(3, folder)
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(6):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / "photos" / f"{number}.png")
    (folder / "small.py").write_text(MODEL)
    return folder


def case(name: str, data: Path) -> Case:
    """A study and its settings, with at least two pieces."""
    if name == "minimal":
        few: dict[str, Any] = {
            "prices": (1.0, 10.0),
            "steps": 4,
            "continuation": None,
            "method": "input_x_gradient",
            "pictures": 1,
        }
        models = "support.minimal_toys:image"
        return studies.minimal, studies.MinimalSettings(
            models=models, data=str(data / "pictures"), transforms=("pixel", "dct"), **few
        )
    if name in ("overlap", "noise"):
        tones: dict[str, Any] = {"model": "tones", "data": "tones", "seconds": 0.25, "domains": ("mdct",), "targets": 4}
        tones |= {"methods": ("input_x_gradient",), "levels": (0.0,), "peak": None, "sweep": (10.0,)}
        tones |= {
            "budgets": (0.1,),
            "shown": int(name == "overlap"),
            "corruption": "noise" if name == "noise" else "recordings",
        }
        return getattr(studies, name), studies.OverlapSettings(**tones)
    if name == "robustness":
        toys = Path(__file__).with_name("robustness") / "toys.py"
        some: dict[str, Any] = {"attacks": (0.1,), "levels": (0.1,), "steps": 1, "heat": 1}
        models = tuple(f"{toys}:{one}" for one in ("image", "other"))
        return studies.robustness, studies.RobustnessSettings(models, (str(data / "photos"),), **some)
    if name == "volume":
        own: dict[str, Any] = {"models": f"{data / 'toys.py'}:shell", "data": f"medmnist:{data / 'balls.npz'}", "pictures": 1}
        return studies.volume, studies.VolumeSettings(**own, methods="gradient", transforms="dwt(haar, level=2)")
    kinds = ("block_klt(block=8, overlap=false)", "lattice(wavelets=[db2], steps=2, level=2)")
    how: dict[str, Any] = {"families": kinds, "method": "input_x_gradient", "folds": 3}
    return searching.search, searching.Search(f"{data / 'small.py'}:net", str(data / "photos"), **how)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures about all signals, which take most of the time."""
    monkeypatch.setattr(report, "overview", lambda *tables: [])
    monkeypatch.setattr(robustness_figures, "drawn", lambda *_: [])
    monkeypatch.setattr(overlap_figures, "draw", lambda *_: [])
    monkeypatch.setattr(volume_run, "drawn", lambda *_: [])
    monkeypatch.setattr(planted_study, "draw", lambda table, out: "results.csv")


def refuse(*args: Any, **options: Any) -> Any:
    raise AssertionError("it was measured again")


def contents(found: Any) -> dict[str, bytes]:
    """The files of a study, those of its folders too, but for what depends on the clock or the place."""
    inside = {str(path.relative_to(found.out)): path for path in found.out.rglob("*") if path.is_file()}
    assert set(inside) >= set(found.files)
    return {name: path.read_bytes() for name, path in inside.items() if name[0] != "." and path.name not in TIMED}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", NAMES)
def test_merged_shards_are_the_whole_run(name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File by file; each piece is measured once, and the merge measures nothing."""
    study, settings = case(name, data)
    whole, steps = study(settings, tmp_path / "whole"), list[tuple[int, int]]()
    parts = [
        run_study(study, settings, tmp_path / "shards" / str(number), lambda *step: steps.append(step), shard=f"{number}/2")
        for number in (2, 1)
    ]
    assert min(part.done for part in parts) > 0
    assert [part.measured for part in parts] == [part.done for part in parts] == [part.planned for part in parts]
    assert steps[-1] == (parts[1].done, parts[1].done)
    again = run_study(study, settings, tmp_path / "shards" / "1", shard="1/2")
    assert (again.done, again.measured) == (parts[1].done, 0)
    for module, function in MEASURES:
        monkeypatch.setattr(module, function, refuse)
    merged = run_study(study, settings, tmp_path / "merged", shards=[tmp_path / "shards"])
    assert contents(merged) == contents(whole)
    assert len(contents(merged)) > 1
    with pytest.raises((AssertionError, Interrupted), match="measured again"):
        study(settings, tmp_path / "fresh")


PLANTED = studies.PlantedSettings(seeds=3, tasks=("2-D, closed forms",), methods=("input_x_gradient",), examples=20)


@pytest.fixture
def trials(data: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the trials that are run. Each costs nothing; that of seed 1 is dropped."""
    path, ran = data / "trial.json", list[int]()
    if not path.exists():
        path.write_text(json.dumps(planted_study.trial(PLANTED.chosen[0], 0, PLANTED.methods, PLANTED.examples)))
    stored = json.loads(path.read_text())

    def trial(task: Any, seed: int, methods: tuple[str, ...], examples: int) -> dict[str, Any]:
        ran.append(seed)
        return stored | {"seed": seed, "dropped": "not learned" if seed == 1 else ""}

    monkeypatch.setattr(planted_study, "trial", trial)
    monkeypatch.setattr(planted_study, "draw", lambda table, out: "results.csv")
    return ran


def two(folder: Path, settings: studies.PlantedSettings = PLANTED) -> list[Path]:
    """The folders of both shards."""
    for number in (1, 2):
        run_study(studies.planted, settings, folder / str(number), shard=f"{number}/2")
    return [folder / "1", folder / "2"]


def merge(folders: list[Path], out: Path, settings: studies.PlantedSettings = PLANTED) -> studies.Planted:
    found: studies.Planted = run_study(studies.planted, settings, out, shards=folders)
    return found


def test_a_seed_that_replaces_a_dropped_one_is_run_by_the_merge(trials: list[int], tmp_path: Path) -> None:
    folders = two(tmp_path)
    assert trials == [0, 2, 1]
    merged = merge(folders, tmp_path / "merged")
    assert trials == [0, 2, 1, 3]
    assert contents(merged) == contents(studies.planted(PLANTED, tmp_path / "whole"))
    assert sorted(set(merged.trials["seed"])) == [0, 2, 3]


def changed(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def unfinished(folders: list[Path]) -> None:
    changed(folders[1] / "summary.json", state="interrupted")


def other_versions(folders: list[Path]) -> None:
    held = json.loads((folders[1] / "summary.json").read_text())["versions"]
    changed(folders[1] / "summary.json", versions=held | {"torch": "0.1"})


def other_settings(folders: list[Path]) -> None:
    shutil.rmtree(folders[1])
    run_study(studies.planted, dataclasses.replace(PLANTED, first=7), folders[1], shard="2/2")


def other_division(folders: list[Path]) -> None:
    run_study(studies.planted, PLANTED, folders[1], shard="2/3")


def doubled(folders: list[Path]) -> None:
    shutil.rmtree(folders[1])
    shutil.copytree(folders[0], folders[1])


def lost(folders: list[Path]) -> None:
    next((folders[1] / ".parts").glob("*.json")).unlink()


def whole(folders: list[Path]) -> None:
    studies.planted(PLANTED, folders[1])


def another_study(folders: list[Path]) -> None:
    changed(folders[1] / "summary.json", command="study volume")


WRONG = {
    unfinished: r"shard 2/2 in .* is interrupted, not finished",
    other_versions: r"has other versions \(torch: '0.1', asked",
    other_settings: r"has other settings \(first: 7, asked 0\)",
    other_division: "1/2 and 2/3 are of different divisions",
    doubled: "shard 1/2 is there twice",
    lost: r"no shard holds 2-D, closed forms/1; give the settings",
    whole: "holds no shard; expected the folders of pullback study planted --shard",
    another_study: "holds results of pullback study volume",
    lambda folders: shutil.rmtree(folders[1]): "holds no shard of a study",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_shards_that_do_not_belong_together_are_refused(
    change: Callable[[list[Path]], None], trials: list[int], tmp_path: Path
) -> None:
    folders = two(tmp_path / "shards")
    change(folders)
    before = len(trials)
    with pytest.raises(ValueError, match=WRONG[change]) as refused:
        merge(folders, tmp_path / "merged")
    assert len(str(refused.value)) <= 300
    assert not (tmp_path / "merged" / "results.csv").exists()
    assert len(trials) == before


def test_missing_shards_and_several_ways_at_once_are_refused(trials: list[int], tmp_path: Path) -> None:
    folders = two(tmp_path)
    with pytest.raises(ValueError, match="of 2 shards 1 are missing: 2"):
        merge(folders[:1], tmp_path / "merged")
    with pytest.raises(ValueError, match="at most one of a shard"):
        run_study(studies.planted, PLANTED, tmp_path / "o", shard="1/2", shards=folders)
    with pytest.raises(ValueError, match="expected NUMBER/COUNT"):
        run_study(studies.planted, PLANTED, tmp_path / "o", shard="3/2")
    assert not (tmp_path / "o").exists()
    assert len(merge([tmp_path], tmp_path / "merged").table) > 1


@pytest.mark.usefixtures("undrawn")
def test_shards_of_other_weights_and_names_that_lead_out_are_refused(data: Path, tmp_path: Path) -> None:
    _, settings = case("minimal", data)
    settings = dataclasses.replace(settings, models=("tiny",), transforms=("pixel",), prices=(1.0,), limit=1)
    model, other = faulty(tmp_path / "p"), faulty(tmp_path / "p")
    other.module.weight.data.mul_(1.25)  # type: ignore[operator, union-attr]
    for folder, one in ((tmp_path / "1", model), (tmp_path / "2", other)):
        run_study(studies.minimal, settings, folder, shard="1/1", loaded={"tiny": one})
    with pytest.raises(ValueError, match=r"no shard holds 0.png in pixel; give the settings, model"):
        run_study(studies.minimal, settings, tmp_path / "o", shards=[tmp_path / "2"], loaded={"tiny": model})
    (tmp_path / "secret").write_text("no picture")
    changed(next((tmp_path / "1" / ".parts").glob("*.json")), pictures=["../secret"])
    with pytest.raises(ValueError, match="which lies outside of it"):
        run_study(studies.minimal, settings, tmp_path / "o", shards=[tmp_path / "1"], loaded={"tiny": model})


def test_status_says_how_far_a_study_is(trials: list[int], tmp_path: Path) -> None:
    seen = list[studies.Status]()

    def look(done: int, planned: int) -> None:
        seen.extend(studies.status(tmp_path / "1"))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        run_study(studies.planted, PLANTED, tmp_path / "1", look, shard="1/2")
    assert (stopped.value.done, stopped.value.planned) == (2, 2)
    assert [(one.state, one.shard, one.done, one.planned) for one in seen] == [
        ("running", "1/2", 1, 2),
        ("running", "1/2", 2, 2),
    ]
    assert seen[0].seconds_left is not None
    (one,) = studies.status([tmp_path])
    assert (one.state, one.done, one.seconds_left) == ("interrupted", 2, None)
    assert studies.missing_shards([one]) == ["2/2"]
    (tmp_path / "1" / ".pieces.json").write_text("[]")
    with pytest.raises(ValueError, match="is damaged; give the command of the study again"):
        studies.status(tmp_path)


def test_the_command_measures_and_merges_shards(
    trials: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("study", "planted", "--seeds", "2", "--task", "2-D, closed forms", "--examples", "20")
    for number in (1, 2):
        assert not fails(monkeypatch, *command, "--shard", f"{number}/2", "--out", str(tmp_path / "shards" / str(number)))
    assert "shard 2/2: 1 pieces, 1 of them measured now" in " ".join(capsys.readouterr().out.split())
    shards = ("--merge", str(tmp_path / "shards"))
    assert not fails(monkeypatch, *command, *shards, "--out", str(tmp_path / "whole"))
    assert "results.csv" in capsys.readouterr().out
    assert not fails(monkeypatch, "status", str(tmp_path / "whole"), str(tmp_path / "shards"))
    assert "1 of 1" in capsys.readouterr().out
    for more, message in (
        (("--shard", "1/2"), "give it without --shard and --engine"),
        (("--engine", "ray"), "give it without --shard and --engine"),
    ):
        assert fails(monkeypatch, *command, *shards, *more, "--out", str(tmp_path / "o")) == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_hidden_frames_are_divided_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = list[str]()

    def recovery(task: Any, seed: int) -> dict[str, Any]:
        ran.append(f"{task.kind}/{seed}")
        return {"kind": task.kind, "seed": seed, "counts": True, "counts_randomised": False} | dict.fromkeys(NUMBERS, 1.0)

    monkeypatch.setattr(hidden_frame, "recovery", recovery)
    for number in (1, 2):
        run_study(searching.search_planted, [4], tmp_path / "shards" / str(number), shard=f"{number}/2")
    merged = run_study(searching.search_planted, [4], tmp_path / "merged", shards=[tmp_path / "shards"])
    assert ran == [f"{kind}/4" for kind in ("blocks", "tilings", "packets")]
    assert contents(merged) == contents(searching.search_planted([4], tmp_path / "whole"))
    assert list(merged.table["kind"]) == ["blocks", "packets", "tilings"]


NUMBERS = ("error_fitted", "error_oracle", "angle", "angle_twin", "angle_randomised", "error_randomised")


def stop(*asked: Any) -> None:
    raise KeyboardInterrupt


LACKING = importlib.util.find_spec("ray") is None


@pytest.mark.skipif(LACKING, reason="Ray is not installed (pip install 'pullback[scale]').")
@pytest.mark.usefixtures("undrawn")
def test_workers_of_ray_give_the_files_of_one_process_though_some_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First it is interrupted, then a piece ends every process that measures it, and at last it ends one of them."""
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) if number < 3 else np.full((16, 16, 3), 255, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    few: dict[str, Any] = {"prices": (1.0, 10.0), "steps": 4, "continuation": None, "method": "input_x_gradient", "pictures": 4}
    settings = studies.MinimalSettings(models="tiny", data=str(tmp_path / "pictures"), transforms=("pixel",), **few)
    one = studies.minimal(settings, tmp_path / "one", loaded={"tiny": faulty(tmp_path / "p", black=0.0)})
    out, steps = tmp_path / "out", list[tuple[int, int]]()

    def run(kills: int, workers: int, progress: Any = None) -> studies.Minimal:
        loaded, how = {"tiny": faulty(tmp_path / "processes", kills, black=0.0)}, studies.Ray(workers=workers)
        found: studies.Minimal = run_study(studies.minimal, settings, out, progress, engine=how, loaded=loaded)
        return found

    with cluster.connected(studies.Ray(workers=2)):
        with monkeypatch.context() as patched:
            patched.setattr(divided.OnWorkers, "_look", stop)
            with pytest.raises(Interrupted):
                run(0, workers=1)
        assert json.loads((out / "summary.json").read_text())["state"] == "interrupted"
        with monkeypatch.context() as patched:
            patched.setattr(divided, "TRIES", 1)
            with pytest.raises(RuntimeError, match=r"1 processes of .* measure '3\.png in pixel'"):
                run(99, workers=1)
        assert (studies.status(out)[0].state, studies.status(out)[0].done) == ("failed", 3)
        finished = {path: path.stat().st_mtime_ns for path in (out / ".parts").glob("*.json")}
        found = run(2, 2, lambda *step: steps.append(step))
    assert len(list((tmp_path / "processes").glob("kill-*"))) == 2
    assert os.getpid() in processes(tmp_path / "processes")  # which asks the model one question, to know its pieces
    assert steps[-1] == (4, 4)
    assert contents(found) == contents(one)
    assert finished.items() <= {path: path.stat().st_mtime_ns for path in (out / ".parts").glob("*.json")}.items()
    assert found.summary["cost"]["reused"] == 4
