"""The wheel, built and installed in a clean folder, runs from there."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from support import ROOT

ROOMS = ("core", "transforms", "attribution", "axioms", "metrics", "studies", "benchmarks")


def test_extras_that_are_named_exist_and_those_that_exist_are_named() -> None:
    """In errors that say what to install, and in the Makefile."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    files = [path for room in ROOMS for path in (ROOT / room).glob("**/*.py")]
    files += [ROOT / "__main__.py", ROOT / "Makefile"]
    named = {name for path in files for name in re.findall(r"(?:pullback|\.)\[(\w+)\]'", path.read_text())}
    assert named == set(extras)
    within = {name for needs in extras.values() for need in needs for name in re.findall(r"pullback\[([\w,]+)\]", need)}
    assert {name for group in within for name in group.split(",")} < set(extras)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git would ship, without a network: setuptools is here already."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"pullback", next(top for top in tops if top.endswith(".dist-info"))}
    assert not [name for name in names if name.startswith(("pullback/tests", "pullback/benchmarks"))]
    files = (
        "py.typed",
        "__init__.py",
        "transforms/wavelets/dwt.py",
        "cli.py",
        "studies/report/templates/comparison.html",
    )
    assert {f"pullback/{path}" for path in files} <= set(names)


def test_the_installed_wheel_runs_from_a_clean_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)],
        check=True,
        capture_output=True,
    )
    code = (
        "import pullback as pb, torch; x = torch.ones(1, 1, 8, 8);"
        "model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)).eval();"
        "att = pb.attribute(model, x, 0, transform='dwt(haar, level=2)');"
        "assert float(att.completeness_gap.abs()) < 1e-5; print(pb.__file__, pb.__version__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
