"""What the command line says when it is interrupted, asked for what does not exist, or installed without its extra."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import PHOTOS, fails, pullback
from support.subjects import normal

from pullback import cli
from pullback.axioms.rewrites.modules import small_network
from pullback.studies.axiom_matrix import run as matrix

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
        ("compare", 20, "interrupted: none of 20 examples is finished; the same command starts from the beginning"),
        ("compare", 1400, "interrupted: 4 of 20 examples are finished and stored; run the same command to continue"),
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
    said_all = capsys.readouterr().err.splitlines()
    (line,) = [line for line in said_all if line.startswith("pullback: ") and " forwards for each " not in line]
    assert line.startswith(f"pullback: {said}")
    assert ("to continue" in line) == (rows == 1400)


def test_an_interrupted_matrix_says_how_many_cells_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = small_network((1, 8)).double(), normal(1, 1, 8)
    monkeypatch.setattr("pullback.studies.axiom_matrix.subject.trained_on_gratings", lambda seed: network)
    measure, stored = matrix.Task.measure, []

    def cut(task: matrix.Task) -> object:
        if stored:
            raise KeyboardInterrupt
        stored.append(task)
        return measure(task)

    monkeypatch.setattr(matrix.Task, "measure", cut)
    arguments = ["--matrix", "--method", "gradient", "--method", "input_x_gradient", "--transform", "pixel"]
    assert fails(monkeypatch, "axioms", *arguments, "--out", str(tmp_path)) == 130
    assert "interrupted: 1 of 2 cells are finished and stored; run the same command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["explain", "photos/a.png", "--model", "flat:small"],
            "does not accept images of 3 × 224 × 224: mat1 and mat2 shapes",
        ),
        (["compare", "--data", "photos", "--model", "flat:small"], "It accepts 3 × 32 × 32: pass --size 32"),
        (["axioms", "--data", "photos", "--model", "flat:small"], "does not accept images of 3 × 224 × 224"),
        (["explain", "photos/a.png", "--model", "one.pt2"], "does not accept images of 3 × 224 × 224: Guard failed"),
        (["explain", "photos/a.png", "--model", "one.pt2"], "It accepts 3 × 32 × 32: pass --size 32"),
        (["explain", "photos/a.png", "--model", "flat:small", "--mean", "a"], "--mean: expected one number"),
        (["explain", "photos/a.png", "--model", "flat:small", "--std", "0"], "positive stds"),
        (["explain", "photos/a.png", "--model", "flat:small", "--mean", "1,2"], "mean: expected 1 number or 3"),
        (["axioms", "--size", "32"], "size: the model 'small' brings its own signals"),
        (["axioms", "--data", "photos", "--model", "flat:small", "--no-crop"], "It accepts 3 × 32 × 32: pass --size 32"),
        (["compare", "--data", "photos", "--model", "flat:small", "--channels", "2"], "3 (colour) or 1 (grey), got 2"),
        (["explain", "photos/a.png", "--model", "flat:small", "--size", "2"], "does not accept images of 3 × 2 × 2"),
        (["explain", "photos/a.png", "--size", "0"], "'--size'"),
        (
            ["explain", "photos/a.png", "--model", "sd.pt"],
            "sd.pt is a checkpoint (a state dict or a pickled module). It holds weights without code",
        ),
        (["explain", "photos/a.png", "--model", "pick.pt"], "build the module in a function"),
        (["explain", "photos/a.png", "--model", "pick.pt"], "and add --arch FILE.py:FUNCTION"),
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
        (["compare", "--model", "json:nothing"], "json has no 'nothing'; it defines dump, dumps"),
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
        "pullback.studies needs matplotlib: pip install 'pullback[cli]'.",
        "The progress bar needs rich: pip install 'pullback[cli]'.",
    ]
    assert done.stderr == "pullback: the command line needs typer: pip install 'pullback[cli]'\n"
    assert done.returncode == 2
