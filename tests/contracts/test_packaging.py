"""The wheel, built and installed in a clean folder, holds the whole library and nothing else, and runs from there."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from support import ROOT
from support.source import ROOMS, library

EXTRA = re.compile(r"pullback\[([\w,-]+)\]|'\.\[([\w,-]+)\]'")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked() -> list[str]:
    """What git would ship: files that are committed, and files that are new and not ignored."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def extras(text: str) -> set[str]:
    """Extras that a text names, as in pullback[captum] or '.[test,bench]'."""
    return {name for pair in EXTRA.findall(text) for group in pair for name in group.split(",") if name}


def test_extras_that_are_named_exist_and_those_that_exist_are_named() -> None:
    """In errors that say what to install, in guides, in the Makefile and in other extras."""
    read = ("Makefile", "*.md", "*.py")
    texts = {name: (ROOT / name).read_text() for name in tracked() if any(Path(name).match(p) for p in read)}
    known = PROJECT["project"]["optional-dependencies"]
    within = extras(" ".join(need for needs in known.values() for need in needs))
    assert within < set(known)
    named = {name: extras(text) for name, text in texts.items() if not name.startswith("tests/")}
    assert set().union(*named.values()) | within == set(known)
    assert "captum" in named["attribution/methods/captum_adapter.py"]


def test_extras_are_found_in_a_text() -> None:
    assert extras("pip install 'pullback[captum]'; $(PIP) -e '.[test,bench]'; rows[0]") == {"captum", "test", "bench"}


def test_packages_are_found_and_not_listed() -> None:
    assert "packages" not in PROJECT["tool"]["setuptools"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git would ship, without a network: setuptools is here already."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_library_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"pullback", next(top for top in tops if top.endswith(".dist-info"))}
    data = {name for name in tracked() if name.startswith(tuple(f"{room}/" for room in ROOMS))}  # templates and the like
    expected = {f"pullback/{name}" for name in {"py.typed", *library(), *data}}
    assert {name for name in names if name.startswith("pullback/")} == expected
    assert "pullback/attribution/methods/integrated_gradients/estimator.py" in expected


def test_the_installed_wheel_runs_from_a_clean_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    code = (
        "import importlib, pkgutil, pullback as pb, torch; x = torch.ones(1, 1, 8, 8);"
        "model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)).eval();"
        "att = pb.attribute(model, x, 0, transform='dwt(haar, level=2)');"
        "assert float(att.completeness_gap.abs()) < 1e-5;"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(pb.__path__, 'pullback.')];"
        "print(pb.__file__, pb.__version__)"
    )
    clean = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
