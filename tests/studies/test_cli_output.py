"""What reaches the terminal: text of the user as it is, one line for a mistake, a traceback for a fault, true exit statuses."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from support import ROOT
from support.command_line import fails
from support.subjects import normal

from pullback import cli, studies
from pullback.axioms.rewrites.modules import small_network
from pullback.studies.axiom_matrix import run as matrix

EXPLAIN = ("--model", "flat:one", "--method", "gradient", "--transform", "dct")


def small_subject() -> tuple[Any, Any]:
    return small_network((1, 4, 4)).double(), normal(1, 1, 4, 4)


def status(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return int(str(fails(monkeypatch, *arguments) or 0))


# Text of the user --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run[lr=3]", "run[/tmp]", ":cat: :bomb:", "[bold red]x[/]", "\\[x]", "a  b", "{x} %s"])
def test_text_of_the_user_is_shown_as_it_is(
    name: str, model_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In results, in errors of the library, in errors of the options."""
    assert status(monkeypatch, "explain", "photos/a.png", *EXPLAIN, "--out", name) == 0
    assert f"results in {name}: a-output-dct.png" in capsys.readouterr().out
    assert status(monkeypatch, "explain", name) == 2
    assert f"pullback: {name}" in capsys.readouterr().err
    assert status(monkeypatch, name) == 2
    assert f"No such command {name!r}" in capsys.readouterr().err


CONTROLS = ("a\x1b[31mb", "a\x1b]0;title\x07", "a\rb", "a\nb", "a\x9bb", "\u202egpj.a", "\udcff")


@pytest.mark.parametrize("name", CONTROLS, ids=ascii)
def test_control_characters_do_not_reach_the_terminal(
    name: str, model_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(f"photos/{name}.png").write_bytes(Path("photos/a.png").read_bytes())
    assert status(monkeypatch, "explain", f"photos/{name}.png", *EXPLAIN, "--out", f"out {name}") == 0
    for wrong in (("explain", f"{name}.png"), ("explain", "--size", name), (name,), ("compare", "--data", f"no {name}")):
        assert status(monkeypatch, *wrong) == 2
    assert f"{name}.png".encode("unicode_escape").decode() in harmless(capsys, name)


def test_control_characters_of_compared_files_do_not_reach_the_terminal(
    model_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in CONTROLS:
        Path(f"photos/{name}.png").write_bytes(Path("photos/a.png").read_bytes())
    assert status(monkeypatch, "compare", "--data", "photos", *EXPLAIN, "--pictures", "0", "--out", "".join(CONTROLS)) == 0
    harmless(capsys, *CONTROLS)


def harmless(capsys: pytest.CaptureFixture[str], *names: str) -> str:
    """What was printed. It has no control characters, but for colours."""
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert not set(said) & set("\x07\r\x9b\u202e\udcff")
    assert not [name for name in names if name in said]
    assert "\x1b]" not in said
    return said


def test_a_terminal_without_greek_letters_ends_no_run(model_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("photos/🐱.png").write_bytes(Path("photos/a.png").read_bytes())
    for encoding in ("ascii", "latin-1"):
        screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", screen)
        assert status(monkeypatch, "explain", "photos/🐱.png", *EXPLAIN, "--out", encoding) == 0
        screen.flush()
        assert b"?.png: score" in screen.buffer.getvalue()  # type: ignore[attr-defined]
        assert list(Path(encoding).glob("*.png"))


# Mistakes and faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "photos/a.png", "--size", "0"), "--size"),
        (("nothing",), "No such command 'nothing'"),
        (("compare", "--nothing"), "No such option"),
        (("compare", "--out", ""), "expected the name of a folder"),
        (("axioms", "--method", "gradient", "--method", "lime"), "need --matrix; got --method"),
        (("axioms", "--transform", "dct", "--transform", "pixel"), "need --matrix; got --transform"),
        (("axioms", "--minutes", "3", "--jobs", "2"), "need --matrix; got --minutes, --jobs"),
        (("axioms", "--axiom", "dumy"), "dumy"),
        (("axioms", "--matrix", "--axiom", "dumy"), "expected an axiom in"),
        (("transforms", "--verbose"), "--verbose needs --check"),
        (("metrics", "insertio"), "Did you mean 'insertion'?"),
        (("metrics", "gain(by=bytes)"), "expected by in count, energy, bits"),
        (("explain", "x" * 100_000), "no such file"),
        (("compare", "--method", "x" * 100_000), "Unknown method"),
        (("compare", "--model", "flat:one", "--data", "photos", "--transform", "x" * 100_000), "Unknown transform"),
        (("explain", "photos/a.png", "--out", "x" * 5_000, "--model", "flat:one"), "no files can be written"),
    ],
    ids=lambda value: "-".join(value)[:60] if isinstance(value, tuple) else None,
)
def test_a_mistake_is_one_short_line(
    arguments: tuple[str, ...],
    said: str,
    model_files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pullback.studies.axiom_matrix.subject.trained_on_gratings", lambda seed: small_subject())
    assert status(monkeypatch, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pullback: ")
    assert said in line
    assert len(line) <= 300 + len("pullback: ")
    assert not (model_files / "results").exists()


class Fault(ValueError):
    """Raised where no user can help."""


@pytest.mark.parametrize("error", [KeyError("columns"), TypeError("unsupported operand"), Fault("shapes"), RuntimeError("x")])
def test_a_fault_keeps_its_traceback_and_is_no_verdict(
    error: Exception, model_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error  # in a test file, as in any code that is not the library

    monkeypatch.setattr(sys.modules["pullback.studies.explain"], "run", fail)
    assert status(monkeypatch, "explain", "photos/a.png", *EXPLAIN) == cli.FAULT
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "raise error  # in a test file" in said
    assert said.splitlines()[-1].startswith("pullback: this is a fault")
    assert cli.FAULT not in (0, 1, cli.MISTAKE, cli.INTERRUPTED)


def test_an_operation_that_fails_inside_the_library_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises in a file of the library too, but no `raise` stands there."""
    from pullback.core.checks import check_count
    from pullback.core.files import slug

    for call, mistake in ((lambda: check_count("a", "b", "c"), True), (lambda: check_count("a", "b", 0), True)):
        with pytest.raises((TypeError, ValueError)) as raised:
            call()
        assert cli._is_mistake(raised.value) == mistake
    with pytest.raises(TypeError) as raised:
        slug("a", most="b")  # type: ignore[arg-type]
    assert not cli._is_mistake(raised.value)


def test_a_warning_is_one_line(model_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        explain = studies.explain_top
        warn = lambda: warnings.warn("look [red]\nhere", stacklevel=1)
        monkeypatch.setattr(studies, "explain_top", lambda *args, **options: (warn(), explain(*args, **options))[1])
        assert status(monkeypatch, "explain", "photos/a.png", *EXPLAIN) == 0
    assert "pullback: warning: look [red] here" in capsys.readouterr().err.splitlines()


# Axioms ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pullback.studies.axiom_matrix.subject.trained_on_gratings", lambda seed: small_subject())


@pytest.mark.usefixtures("small")
def test_axioms_writes_before_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(cli, "show", lambda text: seen.append((tmp_path / "axioms.json").exists()))
    assert status(monkeypatch, "axioms", "--method", "gradient", "--axiom", "dummy", "--out", str(tmp_path)) == 0
    assert seen[0] is True


@pytest.mark.usefixtures("small")
def test_reports_of_other_questions_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("axioms", "--out", str(tmp_path), "--axiom", "dummy")
    for more in ((), ("--transform", "dct"), ("--seed", "1"), ()):
        assert status(monkeypatch, *command, "--method", "gradient", *more) == 0
    files = {path.name for path in tmp_path.glob("axioms*")}
    assert len(files) == 6
    assert {"axioms.json", "axioms.html"} < files
    assert set(json.loads((tmp_path / "summary.json").read_text())["files"]) == files
    assert "pixel" in json.loads((tmp_path / "axioms.json").read_text())["subject"]


@pytest.mark.usefixtures("small")
def test_a_matrix_has_only_the_axioms_that_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, and a domain that is spelled in two ways once; cells of all axioms are other cells."""
    command = ("axioms", "--matrix", "--out", str(tmp_path), "--method", "gradient", "--transform", "dct")
    command = (*command, "--transform", "dct()")
    axioms = ("--axiom", "dummy", "--axiom", "linearity", "--axiom", "dummy")
    assert status(monkeypatch, *command, *axioms) == 0
    rows = json.loads((tmp_path / "matrix.json").read_text())
    assert [(row["axiom"], row["transform"]) for row in rows] == [("dummy", "dct"), ("linearity", "dct")]
    assert len(list((tmp_path / "cells").glob("*.json"))) == 1


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "other", ["[1]", "{}", '{"subject": "x", "notes": [], "findings": [{}]}', "[" * 100_000, '{"findings": 3}']
)
def test_stored_cells_of_another_form_are_measured_again(tmp_path: Path, other: str) -> None:
    asked: dict[str, Any] = {"methods": ["gradient"], "axioms": ["dummy"]}
    subject = {"small": studies.load_subject()}
    studies.write_matrix(subject, tmp_path, **asked)
    (cell,) = (tmp_path / "cells").glob("*.json")
    whole = cell.read_text()
    cell.write_text(other)
    table, _ = studies.write_matrix(subject, tmp_path, **asked)
    assert table["verdict"].tolist() == ["kept"]
    assert json.loads(cell.read_text())["findings"] == json.loads(whole)["findings"]
    wrong = json.loads(whole)
    wrong["findings"][0]["residual"] = "small"
    cell.write_text(json.dumps(wrong))
    seen: list[Any] = []
    studies.write_matrix(subject, tmp_path, report=seen.append, **asked)
    assert len(seen) == 1


@pytest.mark.usefixtures("small")
def test_a_matrix_whose_folder_is_deleted_has_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = matrix.Task.measure

    def deleting(task: matrix.Task) -> Any:
        found = measure(task)
        for path in sorted((tmp_path / "o").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (tmp_path / "o").rmdir()
        return found

    monkeypatch.setattr(matrix.Task, "measure", deleting)
    subject = {"small": studies.load_subject()}
    methods = ["gradient", "input_x_gradient"]
    table, files = studies.write_matrix(subject, tmp_path / "o", methods=methods, axioms=["dummy"])
    assert table["verdict"].tolist() == ["kept", "kept"]
    assert all((tmp_path / "o" / name).is_file() for name in files)


# Pipes, signals and processes --------------------------------------------------------------------------------------------

QUIET = os.environ | {"TERM": "dumb", "NO_COLOR": "1"}


def test_a_reader_that_leaves_changes_no_exit_status(tmp_path: Path) -> None:
    """`pullback transforms | head -1`: neither a traceback nor the status that says "broken"."""
    command = f"{sys.executable} -m pullback transforms 2>{tmp_path}/err | head -c 5; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, env=QUIET)
    assert done.returncode == 0
    assert len(done.stdout) == 5
    assert (tmp_path / "err").read_text() == ""


def test_ctrl_c_during_the_imports_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import time, sys\nprint('importing', flush=True)\ntime.sleep(60)\n")
    for command in (["-m", "pullback", "transforms"], ["-c", "import pullback.__main__ as m; m.main()", "transforms"]):
        environment = QUIET | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        started = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert started.stdout is not None
        assert started.stdout.readline() == "importing\n"
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=20)
        assert said == "pullback: interrupted\n"
        assert started.returncode == 130


WORK = """
import os, pathlib, time
from workers import in_processes
def sleep(path):
    pathlib.Path(path).write_text(str(os.getpid()))
    time.sleep(120)
if __name__ == "__main__":
    list(in_processes(sleep, [("a",), ("b",)], 2))
"""


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def wait_until(true: Any) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(number: int, tmp_path: Path) -> None:
    """SIGINT goes to all processes of a terminal; only the parent answers it.  Without torch, which takes long to import."""
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "torch.py").write_text("def set_num_threads(count): pass")
    shutil.copy(ROOT / "studies" / "storage" / "workers.py", tmp_path)
    options: dict[str, Any] = {"cwd": tmp_path, "env": QUIET, "start_new_session": True, "stderr": subprocess.PIPE}
    started = subprocess.Popen([sys.executable, "work.py"], text=True, **options)
    wait_until(lambda: all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in "ab"))
    workers = [int((tmp_path / name).read_text()) for name in "ab"]
    assert not any(map(gone, workers))
    (os.killpg if number == signal.SIGINT else os.kill)(started.pid, number)
    wait_until(lambda: all(map(gone, workers)))
    _, said = started.communicate(timeout=30)
    assert said.count("Traceback") <= (number == signal.SIGINT)
    assert "SpawnProcess" not in said
