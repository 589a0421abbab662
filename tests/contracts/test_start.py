"""What the first lines of a script and of the command import: heavy packages come when they are needed."""

import subprocess
import sys

import pytest

LATE = {"captum", "matplotlib", "pandas", "ptwt", "scipy.ndimage", "scipy.sparse", "scipy.stats", "statsmodels", "torch_dct"}
LATE |= {"numpy.f2py", "scipy.fft", "scipy.special"}


def loaded(code: str, before: str = "") -> set[str]:
    """The modules that a new interpreter holds after `code` and not yet after `before`."""
    program = f"{before}\nimport sys; known = set(sys.modules)\n{code}\nprint(*sys.modules.keys() - known, sep=chr(10))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(found.stdout.splitlines())


def test_attribution_imports_no_package_that_it_may_not_need() -> None:
    own = loaded("import pullback as pb; pb.attribute, pb.transforms.get('dwt(db4, level=2)', (1, 32))", before="import torch")
    assert "pullback.attribution.methods.global_sensitivity" in own
    assert not LATE & own


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_the_command_answers_without_torch(asked: str) -> None:
    code = (
        f"import sys; sys.argv = ['pullback', '{asked}']\nfrom pullback.cli import main\ntry: main()\nexcept SystemExit: pass"
    )
    own = loaded(code)
    assert "pullback.cli" in own
    assert not {"torch", "numpy", "pandas"} & own


def test_the_modules_that_come_late_are_found_when_something_imports_them() -> None:
    assert {"pandas", "scipy.stats"} <= LATE & loaded("import pandas, scipy.stats")
