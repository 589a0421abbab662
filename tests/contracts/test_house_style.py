"""Rules of the house that can be counted: lengths, docstrings, public names, literals, and what code must not hold."""

import importlib
import inspect
import pkgutil
import re
import statistics
import subprocess

import pytest
from support import ROOT
from support.source import FACE, ROOMS, functions, library, literals

import pullback as pb
from pullback.attribution.estimator import Estimator

LIBRARY = library()
LIBRARY_LINES = 49_990
FILE_LINES = 320
MEDIAN, P90 = 6, 16  # lines of a function, its docstring included

FACES = [pb, *(importlib.import_module(f"pullback.{room}") for room in ROOMS)]
MODULES = [info.name for face in FACES[1:] for info in pkgutil.walk_packages(face.__path__, f"{face.__name__}.")]

# Where one format or device is meant: everything else follows the formats of what it is given.
LITERALS = {
    "attribution/engine/execution.py: torch.bfloat16",
    "attribution/engine/execution.py: torch.float32",
    "axioms/rewrites/modules.py: device='meta'",
    "axioms/transform_laws.py: torch.float64",
    "core/precision.py: torch.float32",
}


def length(text: str) -> int:
    return len(text.splitlines())


def test_the_library_is_not_too_long() -> None:
    assert sum(map(length, LIBRARY.values())) <= LIBRARY_LINES


def test_functions_are_short() -> None:
    lines = sorted(number for _, number in functions(LIBRARY))
    assert statistics.median(lines) <= MEDIAN
    assert lines[int(0.9 * len(lines))] <= P90


def test_the_lines_of_a_function_are_counted() -> None:
    text = 'class A:\n    @property\n    def f(self):\n        """f."""\n        return 1\n\nasync def g(): pass\n'
    assert dict(functions({"a.py": text})) == {"a.py:f": 3, "a.py:g": 1}


def test_files_are_short() -> None:
    assert {path for path, text in LIBRARY.items() if length(text) > FILE_LINES} == set()


def test_every_room_says_what_it_holds() -> None:
    first = {path: inspect.getdoc(importlib.import_module(room(path))) or "" for path in LIBRARY if path.endswith(FACE)}
    assert {path for path, text in first.items() if len(text.split()) < 3} == set()


def room(path: str) -> str:
    return ".".join(["pullback", *path.split("/")[:-1]])


def test_nothing_is_left_undone_or_kept_from_the_formatter() -> None:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=ROOT, capture_output=True)
    banned = re.compile(r"fmt: *(skip|off)|[T]ODO|[F]IXME")
    files = [ROOT / name for name in listed.stdout.decode().split()]
    found = {path.relative_to(ROOT).as_posix() for path in files if path.is_file() and banned.search(path.read_text())}
    assert found == set()
    assert len(files) > len(LIBRARY)
    assert banned.search("x = 1  # fmt" + ": skip")


@pytest.mark.parametrize("module", [face for face in FACES if hasattr(face, "__all__")], ids=lambda m: m.__name__)
def test_public_names_are_sorted_exist_and_are_documented(module) -> None:  # type: ignore[no-untyped-def]
    kind = lambda name: (not name.isupper(), not name[0].isupper(), name)  # constants, classes, functions
    assert module.__all__ == sorted(module.__all__, key=kind)
    for name in module.__all__:
        assert (getattr(module, name).__doc__ or "").strip(), name


def undocumented(module: object) -> list[str]:
    """Public classes and functions of a module that have no docstring, and the module itself."""
    members = [m for m in vars(module).values() if getattr(m, "__module__", "") == module.__name__]  # type: ignore[attr-defined]
    named = [m for m in members if inspect.isclass(m) or inspect.isfunction(m)]
    bare = [m.__qualname__ for m in named if not m.__name__.startswith(("_", "<")) and not m.__doc__]
    return bare + ([] if module.__doc__ else [module.__name__])  # type: ignore[attr-defined]


def test_every_module_class_and_function_that_is_public_has_a_docstring() -> None:
    assert {name for module in MODULES for name in undocumented(importlib.import_module(module))} == set()
    inside = {f"{room(path)}.{path.split('/')[-1][:-3]}".removesuffix(".__init__") for path in LIBRARY if "/" in path}
    assert inside == {face.__name__ for face in FACES[1:]} | set(MODULES)
    bare = type(pb)("bare")
    exec("class A:\n    pass\ndef f():\n    'f.'\ndef g():\n    pass\ndef _h():\n    pass", bare.__dict__)
    assert undocumented(bare) == ["A", "g", "bare"]


def test_abstract_bases_refuse_to_be_built() -> None:
    for base in (pb.transforms.Transform, Estimator):
        with pytest.raises(TypeError, match="abstract"):
            base()


def test_no_dtype_or_device_literal_in_library_code() -> None:
    """Single precision is named once, in `wide`, and narrower formats where the model is run in them."""
    assert literals(LIBRARY) == LITERALS
    text = "'torch.float32'\nx = torch.zeros(2, dtype=torch.float32, device='cpu').float().cuda().to(y, device=None)"
    assert literals({"a.py": text}) == {"a.py: torch.float32", "a.py: device='cpu'", "a.py: .float()", "a.py: .cuda()"}
