"""The command line as a user calls it, on real photos and the real model; one comparison in a process of its own."""

import html
import json
import re
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from support.command_line import MODELS, PHOTOS, fails, printed, pullback

import pullback as pb
from pullback import cli, studies
from pullback.core import terminal
from pullback.studies.compare.grid import DOMAINS
from pullback.transforms.registry import transforms as registry


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos in class folders, a corrupt one, and a text file."""
    root = tmp_path_factory.mktemp("photos")
    for path in PHOTOS:
        target = root / path.stem.rsplit("_", 1)[1]
        target.mkdir()
        Image.open(path).save(target / path.name)
    (root / "243" / "broken.jpg").write_bytes(PHOTOS[0].read_bytes()[:2000])
    (root / "559" / "notes.txt").write_text("not a picture")
    return root


@pytest.fixture(scope="module")
def outcome(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("out") / "compare"
    method = "integrated_gradients(steps=3, rule=gauss_legendre)"
    domains = ["--transform", "pixel", "--transform", "dwt(haar, level=3)", "--transform", "dct"]
    done = pullback(
        "compare",
        "--data",
        str(folder),
        "--out",
        str(out),
        "--method",
        method,
        *domains,
        "--pictures",
        "1",
        "--effort",
        "quick",
        "--size",
        "160",  # of 224: half of the time
    )
    return out, done.stdout


def test_compare_writes_a_row_for_each_photo_and_domain(outcome: tuple[Path, str]) -> None:
    table = pd.read_csv(outcome[0] / "results.csv")
    assert len(table) == 2 * 3
    assert set(table["transform"]) == {"pixel", "dwt(haar, level=3)", "dct"}
    assert set(table["label"]) == {243, 559}
    for name in ("completeness_gap", "relative_gap", "gini", "samples90", "seconds_stream"):
        assert table[name].notna().all()
    for percent in (1, 5, 10):
        for ranking in ("attribution", "coefficient", "random"):
            assert table[f"kept{percent}_{ranking}"].notna().all()
    wavelet = table[table["transform"] == "dwt(haar, level=3)"]
    assert (wavelet["kept10_attribution"] > wavelet["kept10_random"] + 0.2).all()


def test_compare_summarises_settings_versions_and_what_it_skipped(outcome: tuple[Path, str]) -> None:
    summary = json.loads((outcome[0] / "summary.json").read_text())
    assert summary["settings"]["seed"] == 0
    assert summary["versions"]["torch"]
    assert summary["photos"] == 2
    assert summary["correct"] == "2 of 2"
    assert {entry["file"] for entry in summary["skipped"]} == {"243/broken.jpg", "559/notes.txt"}
    assert summary["evaluations"]["gradient"] == 2 * 3
    assert set(summary["domains"]) == {"pixel", "dwt(haar, level=3)", "dct"}


def test_compare_draws_pictures_and_a_report_and_leaves_nothing_else(outcome: tuple[Path, str]) -> None:
    out, printed = outcome
    files = {path.name for path in out.iterdir()}
    assert {"results.csv", "summary.json", "report.html", "octaves.png", "kept.png"} < files
    assert len([name for name in files if name.startswith("heatmaps-")]) == 1
    assert len([name for name in files if name.startswith("top10-")]) == 1
    hidden = sorted(name for name in files if name.startswith("."))
    assert hidden == [".parts", ".plan.json"]  # for a run with a larger limit, and for those who watch it
    for name in files:
        if name.endswith(".png"):
            Image.open(out / name).verify()
    page = (out / "report.html").read_text()
    assert "broken.jpg" in page
    assert all(name in page for name in files if name.endswith(".png"))
    assert "dwt(haar, level=3)" in printed
    assert "too few" in printed
    assert "243/broken.jpg, 559/notes.txt (2 in all" in printed


def test_explain_one_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--method", "gradient", "--out", str(tmp_path / "e"), "--transform", "dwt(haar)")
    said = printed(monkeypatch, capsys, "explain", str(PHOTOS[0]), *options)
    assert "class 243" in said
    assert "octave 1" in said
    (figure,) = (tmp_path / "e").glob("*.png")
    assert figure.name.startswith("imagenet_00_243-")
    assert figure.name.endswith("-dwt-haar.png")
    page = (tmp_path / "e" / "report.html").read_text()
    assert "Apache-2.0" in page
    assert "--method gradient" in page
    assert "report: " in said


def test_axioms_of_our_methods_and_of_a_callable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs_scaled.py").write_text("def scaled(f, x, target, x0): return 0.9 * x\n")
    monkeypatch.chdir(tmp_path)
    asked = ("--axiom", "completeness", "--axiom", "determinism", "--transform", "dwt(haar, level=2)", "--out", "a")
    said = printed(monkeypatch, capsys, "axioms", "--method", "integrated_gradients(steps=64)", *asked)
    assert said.count("kept") == 2
    assert (tmp_path / "a" / "axioms.html").exists()
    broken = ("--method", "theirs_scaled:scaled", "--axiom", "completeness", "--out", "b")
    assert "BROKEN" in printed(monkeypatch, capsys, "axioms", *broken)
    assert json.loads((tmp_path / "b" / "axioms.json").read_text())["findings"][0]["counterexample"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ("default", None, 3)),
        (("--quick",), ("quick", 2, 1)),
        (("--quick", "--limit", "5", "--pictures", "4"), ("quick", 5, 4)),
        (("--quick", "--pictures", "0"), ("quick", 2, 0)),
    ],
)
def test_quick_takes_two_examples_and_draws_one(
    options: tuple[str, ...], expected: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def compare(settings: studies.Settings, *_: object, **__: object) -> None:
        asked.append((settings.effort, settings.limit, settings.pictures))
        raise ValueError("seen")

    monkeypatch.setattr(studies, "compare", compare)
    assert fails(monkeypatch, "compare", *options)
    assert asked == [expected]


def test_the_bar_counts_the_steps_of_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "flat.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "pullback",
            "compare",
            "--model",
            "flat:one",
            "--method",
            "gradient",
            "--limit",
            "2",
            "--transform",
            "dct",
            "--pictures",
            "0",
        ],
    )
    cli.app(standalone_mode=False)
    captured = capsys.readouterr()
    assert "steps" in captured.err
    assert "4/4" in captured.err  # two photos in one domain
    assert "photos" not in captured.err
    table = pd.read_csv(tmp_path / "results" / "compare" / "results.csv")
    assert table["probability"].isna().all()
    assert table["correct"].isna().all()
    assert set(table["predicted_name"]) == {"output"}


def test_a_model_with_one_output_has_a_score_and_no_class(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "flat.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys,
        "argv",
        ["pullback", "explain", str(PHOTOS[0]), "--model", "flat:one", "--method", "gradient", "--transform", "dct"],
    )
    cli.app(standalone_mode=False)
    said = capsys.readouterr().out
    assert f"{PHOTOS[0].name}: score " in said
    assert "class" not in said
    assert "probability" not in said
    assert "imagenet_00_243-output-dct.png" in said


@pytest.mark.parametrize("more", [["--batch-size", "1"], []])
def test_a_program_of_one_row_is_explained_row_by_row(
    more: list[str], model_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["photos/a.png", "--model", "one.pt2", "--size", "32", "--transform", "dct", "--method", "gradient"]
    monkeypatch.setattr(sys, "argv", ["pullback", "explain", *arguments, *more])
    cli.app(standalone_mode=False)
    assert list((model_files / "results").rglob("*.png"))


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pullback", "--version"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    assert capsys.readouterr().out == f"pullback {pb.__version__}\n"


@pytest.mark.parametrize(
    ("command", "default"),
    [
        ("compare", "pixel, dct, dft and seven wavelets"),
        ("explain", "dwt(db4, level=4) and dct"),
        ("axioms", "pixel; with --matrix, pixel and dct"),
    ],
)
def test_help_says_the_domains_that_are_taken_and_how_photos_are_prepared(
    command: str, default: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    assert not fails(monkeypatch, command, "--help")
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"If not given: {default}" in said
    assert command == "axioms" or "photos of 224 × 224, cropped at the centre, with ImageNet's mean and std" in said
    assert not re.search(r"--(matrix|double) +<bool>", said)
    assert DOMAINS[0] == "pixel"
    assert sum(spec.startswith("dwt") for spec in DOMAINS) == len(DOMAINS) - 3 == 7


def test_transforms_lists_the_registry_with_claims(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(monkeypatch, capsys, "transforms")
    assert all(name in said for name in ("pixel", "dwt", "dct", "dft"))
    assert "ORTHOGONAL" in said


def test_metrics_lists_shows_and_writes_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ((), ("gain(by=bits)",), ("--json",))
    listed, full, written = (printed(monkeypatch, capsys, "metrics", *more) for more in asked)
    assert all(name[:8] in listed for name in pb.metrics.names())
    assert "by='bits'" in full
    assert "never sees the model" in full
    rows = {row["name"]: row for row in json.loads(written)}
    assert sorted(rows) == pb.metrics.names()
    assert {"formula", "source", "better", "chance", "invariance", "evaluations", "needs"} <= set(rows["infidelity"])
    assert (rows["infidelity"]["compares"], rows["gain"]["compares"]) == ("methods", "domains, methods")
    assert (rows["srg"]["chance"], rows["srg"]["needs"]) == (0.0, ["signed"])


def test_transforms_check_is_a_line_for_each_transform(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [check(monkeypatch, capsys, *flags) for flags in ((), ("--verbose",))]
    assert [status for status, _ in found] == [0, 0]
    brief, full = (text.splitlines() for _, text in found)
    for name in ("hadamard", "pixel"):
        (line,) = [line for line in brief if name in line]
        assert "kept" in line
    assert len(brief) < 10
    assert any(line.startswith("pixel on signals of shape (5,)") for line in full)
    assert len(full) > 3 * len(brief)


def test_transforms_check_prints_a_fault_in_full_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pb.transforms.Pixel, "analysis", lambda self, x: 2 * x)
    status, text = check(monkeypatch, capsys)
    assert status == 1
    assert "BROKEN  isometric" in text
    assert "pixel on signals of shape (5,)" in text
    assert "hadamard on signals" not in text


def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    """Exit status and output of `transforms --check` on two transforms' worth of registry."""
    monkeypatch.setattr(terminal, "console", Console(width=150, no_color=True, **terminal.PLAIN))
    monkeypatch.setattr(registry, "names", lambda: ["hadamard", "pixel"])
    monkeypatch.setattr(sys, "argv", ["pullback", "transforms", "--check", *flags])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0), capsys.readouterr().out


def test_options_of_the_preparation_reach_the_model_and_the_summary(
    model_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of code, a grey size, transparency and a hidden file: all of it is said."""
    (model_files / "grey.py").write_text(
        MODELS + "def grey(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))"
    )
    ink = Image.new("LA", (9, 6))
    ink.putpixel((0, 0), (0, 255))
    ink.save("photos/ink.png")
    Image.new("L", (9, 6)).save("photos/.hidden.png")
    options = ["--size", "8", "--channels", "1", "--mean", "0.13", "--std", "0.31", "--no-crop", "--pictures", "0"]
    arguments = ["--data", "photos", "--model", "./grey.py:grey", "--method", "gradient", "--transform", "dct", *options]
    monkeypatch.setattr(sys, "argv", ["pullback", "compare", *arguments])
    assert cli._run() == 0
    said = capsys.readouterr().out
    assert "skipped: .hidden.png (1 in all" in said
    assert "read with a change: ink.png (1 in all" in said
    summary = json.loads((model_files / "results" / "compare" / "summary.json").read_text())
    assert summary["preparation"] == {"size": 8, "mean": [0.13], "std": [0.31], "crop": False, "channels": 1}
    assert summary["notes"] == [{"file": "ink.png", "note": "transparent parts are shown on white"}]
    page = (model_files / "results" / "compare" / "report.html").read_text()
    assert "<bdi>ink.png</bdi>: transparent parts are shown on white" in page
    assert shlex.split(summary["command_line"]) == ["pullback", "compare", *arguments]
    assert html.escape(summary["command_line"], quote=False) in page
    asked = studies.Settings("./grey.py:grey", "photos", "gradient", ("dct",), size=8, channels=1, pictures=0)
    found = studies.compare(asked, "python")
    assert found.summary.get("command_line", "") == ""
    assert "Called from Python; the settings stand below." in (Path("python") / "report.html").read_text()
