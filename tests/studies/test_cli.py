"""The command line as a user calls it: a subprocess on real photos and the real model."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console
from support.subjects import normal

import pullback as pb
from pullback import cli
from pullback.axioms.rewrites.modules import small_network
from pullback.core.imports import package_folder
from pullback.studies.axiom_matrix import run as matrix
from pullback.studies.compare.grid import DOMAINS
from pullback.transforms.registry import transforms as registry

PHOTOS = sorted((package_folder("foolbox", "") / "data").glob("imagenet_0[01]_*.jpg"))


def pullback(*arguments: str, cwd: Path | None = None, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pullback", *arguments], capture_output=True, text=True, cwd=cwd, env=environment
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


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
        "compare", "--data", str(folder), "--out", str(out), "--method", method, *domains, "--pictures", "1"
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
    assert not [name for name in files if name.startswith(".")]
    for name in files:
        if name.endswith(".png"):
            Image.open(out / name).verify()
    page = (out / "report.html").read_text()
    assert "broken.jpg" in page
    assert all(name in page for name in files if name.endswith(".png"))
    assert "dwt(haar, level=3)" in printed
    assert "too few" in printed
    assert "243/broken.jpg, 559/notes.txt (2 in all" in printed


def test_explain_one_photo(tmp_path: Path) -> None:
    done = pullback(
        "explain", str(PHOTOS[0]), "--method", "gradient", "--out", str(tmp_path / "e"), "--transform", "dwt(haar)"
    )
    assert "class 243" in done.stdout
    assert "octave 1" in done.stdout
    (figure,) = (tmp_path / "e").glob("*.png")
    assert figure.name.startswith("imagenet_00_243-")
    assert figure.name.endswith("-dwt-haar.png")


def test_axioms_of_our_methods_and_of_a_callable(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("def scaled(f, x, target, x0): return 0.9 * x\n")
    kept = pullback(
        "axioms",
        "--method",
        "integrated_gradients(steps=64)",
        "--axiom",
        "completeness",
        "--axiom",
        "determinism",
        "--transform",
        "dwt(haar, level=2)",
        "--out",
        str(tmp_path / "a"),
        cwd=tmp_path,
    )
    assert kept.stdout.count("kept") == 2
    assert (tmp_path / "a" / "axioms.html").exists()
    broken = pullback(
        "axioms", "--method", "theirs:scaled", "--axiom", "completeness", "--out", str(tmp_path / "b"), cwd=tmp_path
    )
    assert "BROKEN" in broken.stdout
    assert json.loads((tmp_path / "b" / "axioms.json").read_text())["findings"][0]["counterexample"]


def fails(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit status of a command that ends early."""
    monkeypatch.setattr(sys, "argv", ["pullback", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


INTERRUPTED = """
import torch
from pullback.studies import Preparation
class Cut(torch.nn.Module):
    left = {left}
    def forward(self, x):
        self.left -= len(x)
        if self.left < 0:
            raise KeyboardInterrupt
        return x.flatten(1)[:, :3]
def make(): return Cut(), Preparation(32)
"""


@pytest.mark.parametrize(
    ("command", "rows", "said"),
    [
        ("compare", 0, "interrupted"),
        ("compare", 20, "interrupted: none of 20 photos is finished; the same command starts from the beginning"),
        ("compare", 100, "interrupted: 4 of 20 photos are finished and stored; run the same command to continue"),
        ("explain", 0, "interrupted"),
    ],
)
def test_an_interrupt_says_what_is_kept(
    command: str,
    rows: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED.replace("{left}", str(rows)))
    monkeypatch.delitem(sys.modules, "interrupted", raising=False)
    monkeypatch.chdir(tmp_path)
    photo = [str(PHOTOS[0])] if command == "explain" else ["--transform", "dct"]
    assert fails(monkeypatch, command, *photo, "--model", "interrupted:make", "--method", "gradient") == 130
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pullback: ")]
    assert line.startswith(f"pullback: {said}")
    assert ("to continue" in line) == (rows == 100)


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


MODELS = """
import torch
from pullback.studies import Preparation
class One(torch.nn.Module):
    def forward(self, x):
        return x.flatten(1).square().sum(1, keepdim=True)
def one(): return One(), Preparation(16)
def small(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4))
def needs(width, *, depth): return One()
nothing = 3
"""


@pytest.fixture
def model_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with a state dict, a pickled module, exported programs and functions that make models."""
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4)).eval()
    torch.save(small.state_dict(), tmp_path / "sd.pt")
    torch.save(small, tmp_path / "pick.pt")
    torch.export.save(torch.export.export(small, (torch.zeros(1, 3, 32, 32),)), tmp_path / "one.pt2")
    (tmp_path / "flat.py").write_text(MODELS)
    (tmp_path / "photos").mkdir()
    Image.open(PHOTOS[0]).save(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["explain", "photos/a.png", "--model", "flat:small"],
            "does not accept images of 3 × 224 × 224: mat1 and mat2 shapes",
        ),
        (["compare", "--data", "photos", "--model", "flat:small"], "pass --size N"),
        (["axioms", "--data", "photos", "--model", "flat:small"], "does not accept images of 3 × 224 × 224"),
        (["explain", "photos/a.png", "--model", "one.pt2"], "does not accept images of 3 × 224 × 224: Guard failed"),
        (
            ["explain", "photos/a.png", "--model", "one.pt2", "--size", "32"],
            "does not accept 2 images of 3 × 32 × 32 at once",
        ),
        (["explain", "photos/a.png", "--model", "flat:small", "--size", "2"], "does not accept images of 3 × 2 × 2"),
        (["explain", "photos/a.png", "--size", "0"], "'--size'"),
        (
            ["explain", "photos/a.png", "--model", "sd.pt"],
            "sd.pt is not a TorchScript (.pt, .pth) file",
        ),
        (["explain", "photos/a.png", "--model", "pick.pt"], "pass --model package.module:callable"),
        (["explain", "photos/a.png", "--model", "flat:needs"], "takes no arguments; it needs width, depth"),
        (["explain", "photos/a.png", "--model", "flat:nothing"], "expected a callable that takes no arguments"),
        (
            ["explain", "photos", "--model", "flat:one"],
            "explain takes one image; pullback compare --data photos takes a folder",
        ),
        (
            ["explain", "photos/a.png", "--model", "flat:one", "--out", "flat.py/results"],
            "no files can be written into",
        ),
        (
            ["compare", "--data", "photos", "--model", "flat:one", "--out", "flat.py/results"],
            "no files can be written into",
        ),
        (["axioms", "--out", "flat.py/results"], "no files can be written into"),
        (["axioms", "--matrix", "--out", "flat.py/results"], "no files can be written into"),
    ],
)
def test_what_a_model_a_photo_or_a_folder_lacks_is_said_before_the_work(
    arguments: list[str],
    message: str,
    model_files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fails(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert message in " ".join(said.replace("│", " ").split())
    assert "Traceback" not in said
    assert "miniz" not in said
    assert not (model_files / "results").exists()


def test_a_program_of_one_row_is_explained_row_by_row(model_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "pullback",
            "explain",
            "photos/a.png",
            "--model",
            "one.pt2",
            "--size",
            "32",
            "--batch-size",
            "1",
            "--transform",
            "dct",
        ],
    )
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


def test_transforms_lists_the_registry_with_claims() -> None:
    done = pullback("transforms")
    assert all(name in done.stdout for name in ("pixel", "dwt", "dct", "dft"))
    assert "ORTHOGONAL" in done.stdout


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
    monkeypatch.setattr(cli, "console", Console(width=150, no_color=True, **cli.PLAIN))
    monkeypatch.setattr(registry, "names", lambda: ["hadamard", "pixel"])
    monkeypatch.setattr(sys, "argv", ["pullback", "transforms", "--check", *flags])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0), capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--model", "resnet"], "Choices: efficientnet-lite0, timm:NAME"),
        (["compare", "--data", "nowhere"], "Choices: imagenet-sample"),
        (["compare", "--method", "gradients"], "Did you mean 'gradient'"),
        (["compare", "--transform", "dwt(haar, level=99)"], "level must lie in"),
        (["compare", "--device", "tpu9"], "Device 'tpu9' cannot be used"),
        (["compare", "--batch-size", "some"], "--batch-size: expected 'auto'"),
        (["compare", "--model", "timm:resnet18"], "pip install timm"),
        (["compare", "--model", "torchvision:resnet18"], "pip install torchvision"),
        (["compare", "--data", "hf:cifar10"], "pip install datasets"),
        (["compare", "--model", "missing.pt"], "does not exist"),
        (["compare", "--model", "json:nothing"], "importable from here"),
        (["explain", "pyproject.toml"], "not an image"),
        (["explain", "nowhere.jpg"], "nowhere.jpg: no such file"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pullback", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert message in said.replace("\n", " ")
    assert said.splitlines()[-1].startswith("pullback: ")
    assert not (tmp_path / "results").exists()


def test_a_mistake_in_a_process_of_its_own_shows_no_traceback(tmp_path: Path) -> None:
    done = pullback("compare", "--model", "resnet", cwd=tmp_path, status=2)
    assert done.stderr.count("pullback:") == 1
    assert "Traceback" not in done.stderr


def test_names_of_files_are_printed_as_they_are(
    model_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Square brackets and colons are neither styles nor emoji, in results and in errors."""
    strange = "[red]a:smile:[x]"
    Path(f"{strange}.png").write_bytes(Path("photos/a.png").read_bytes())
    arguments = ["--model", "flat:one", "--method", "gradient", "--transform", "dct", "--out", f"out {strange}"]
    monkeypatch.setattr(sys, "argv", ["pullback", "explain", f"{strange}.png", *arguments])
    cli.app(standalone_mode=False)
    said = capsys.readouterr().out
    assert f"{strange}.png: score" in said
    assert f"results in out {strange}: " in said
    assert fails(monkeypatch, "explain", f"no {strange}.png") == 2
    assert f"no {strange}.png: no such file" in capsys.readouterr().err


def test_an_interrupted_matrix_says_how_many_cells_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = small_network((1, 8)).double(), normal(1, 1, 8)
    monkeypatch.setattr("pullback.studies.axiom_matrix.run.trained_on_gratings", lambda seed: network)
    measure, stored = matrix.measure_cell, []

    def cut(*task: object) -> object:
        if stored:
            raise KeyboardInterrupt
        stored.append(task)
        return measure(*task)

    monkeypatch.setattr(matrix, "measure_cell", cut)
    arguments = ["--matrix", "--method", "gradient", "--method", "input_x_gradient", "--transform", "pixel"]
    assert fails(monkeypatch, "axioms", *arguments, "--out", str(tmp_path)) == 130
    assert "interrupted: 1 of 2 cells are finished and stored; run the same command" in capsys.readouterr().err


WITHOUT_EXTRA = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"jinja2", "matplotlib", "PIL", "rich", "typer"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
import torch, pullback as pb
f, x = lambda x: x.flatten(1).square().sum(1), torch.ones(1, 1, 8, 8)
att = pb.attribute(f, x, transform="dwt(haar, level=2)")
for use in (lambda: att.plot(), lambda: pb.studies, lambda: pb.attribute(f, x, progress=True)):
    try:
        use()
    except ImportError as error:
        print(error)
from pullback.__main__ import main
main()
"""


def test_the_library_runs_without_the_extra_of_the_command_line_and_names_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "plot needs matplotlib: pip install 'pullback[cli]'.",
        "pullback.studies needs PIL: pip install 'pullback[cli]'.",
        "The progress bar needs rich: pip install 'pullback[cli]'.",
    ]
    assert done.stderr == "pullback: the command line needs typer: pip install 'pullback[cli]'\n"
    assert done.returncode == 2
