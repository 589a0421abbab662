"""The library's source as text: its files, their imports, and the lengths of its functions. Nothing is imported or run.

A tree is a mapping from paths such as "attribution/engine/rows.py" to source text, so that a control can be written down.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from support import ROOT

ROOMS = ("core", "transforms", "attribution", "axioms", "metrics", "domains", "studies", "commands")
FACE = "__init__.py"
FOREIGN = ("pullback", "benchmarks", "tests")  # what the library must not import by an absolute name

Tree = Mapping[str, str]
Layers = Mapping[str, Sequence[str]]


def library() -> dict[str, str]:
    """Every file of the library."""
    paths = [path for room in ROOMS for path in sorted((ROOT / room).glob("**/*.py"))]
    paths += [path for path in sorted(ROOT.glob("*.py")) if path.name != "setup.py"]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def imports(path: str, tree: Tree) -> set[str]:
    """The files that `path` imports; an absolute import of this project is given as "absolute import of NAME".

    Imports inside functions, under TYPE_CHECKING and by `importlib.import_module` with a literal name count.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(tree[path])):
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= {_resolved(path, node.level, node.module or "", alias.name, tree) for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            name = str(node.args[0].value) if node.args and isinstance(node.args[0], ast.Constant) else ""
            bare = name.lstrip(".")
            found |= _absolute([name]) if bare == name else {_resolved(path, len(name) - len(bare), "", bare, tree)}
        elif isinstance(node, ast.Import):
            found |= _absolute([alias.name for alias in node.names])
        elif isinstance(node, ast.ImportFrom):
            found |= _absolute([node.module or ""])
    return found - {path}


def _absolute(names: Sequence[str]) -> set[str]:
    return {f"absolute import of {name}" for name in names if name.split(".")[0] in FOREIGN}


def _resolved(path: str, level: int, module: str, name: str, tree: Tree) -> str:
    """The file that `from <level dots><module> import <name>` reads: a module called `name`, or else the one that holds it."""
    folder = PurePosixPath(path).parent
    for _ in range(level - 1):
        folder = folder.parent
    base = folder.joinpath(*module.split(".")) if module else folder
    inner = base.joinpath(*name.split("."))
    for candidate in (
        inner.with_suffix(".py"),
        inner / FACE,
        base.with_suffix(".py") if base.name else inner,
        base / FACE,
    ):
        if candidate.as_posix() in tree:
            return candidate.as_posix()
    return (base / FACE).as_posix()


def upward_imports(tree: Tree, layers: Layers) -> set[str]:
    """Imports that do not point to an earlier layer, as "importing file -> imported file".

    layers: for a folder, its files and rooms from the bottom to the top. Names that share a layer must not import each
    other; "*" stands for all that are not named, which may. A folder that is not listed has no order.
    The `__init__` of a folder stands above all that the folder holds.
    """
    return {f"{path} -> {target}" for path in tree for target in imports(path, tree) if _is_upward(path, target, layers)}


def _is_upward(path: str, target: str, layers: Layers) -> bool:
    if target.startswith("absolute"):
        return True
    here, there = PurePosixPath(path).parts, PurePosixPath(target).parts
    depth = next(i for i, (a, b) in enumerate(zip(here, there)) if a != b)
    own, other = (parts[depth].removesuffix(".py") for parts in (here, there))
    if own == "__init__" or other == "__init__":
        return other == "__init__"
    order = layers.get("/".join(here[:depth]))
    if order is None:
        return False
    mine, theirs = _layer(own, order), _layer(other, order)
    return theirs > mine or (theirs == mine and order[mine] != "*")


def _layer(name: str, order: Sequence[str]) -> int:
    named = [i for i, layer in enumerate(order) if name in layer.split()]
    return named[0] if named else order.index("*") if "*" in order else len(order) - 1


def unplaced(tree: Tree, layers: Layers) -> set[str]:
    """Files and rooms of a listed folder that no layer names, where there is no "*" to take them."""
    found = set()
    for folder, order in layers.items():
        prefix = f"{folder}/" if folder else ""
        inside = {path.removeprefix(prefix).split("/")[0].removesuffix(".py") for path in tree if path.startswith(prefix)}
        named = {name for layer in order for name in layer.split()}
        found |= {f"{prefix}{name}" for name in inside - named - {"__init__"} if "*" not in named}
    return found


def circles(tree: Tree) -> set[frozenset[str]]:
    """Groups of files that import one another, directly or by way of others: strongly connected, of two files or more."""
    graph = {path: imports(path, tree) & tree.keys() for path in tree}
    reached = {path: _reached(path, graph) for path in graph}
    groups = (frozenset(other for other in reached[path] if path in reached[other]) for path in graph)
    return {group for group in groups if len(group) > 1}


def _reached(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    seen, ahead = {start}, [start]
    while ahead:
        new = graph[ahead.pop()] - seen
        seen |= new
        ahead += new
    return seen


def functions(tree: Tree) -> Iterator[tuple[str, int]]:
    """Every function as (file:name, number of lines), its docstring included and its decorators not."""
    for path, text in tree.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{path}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def patched(tree: Tree) -> set[str]:
    """Assignments to attributes of what a file has imported from the library, as "file: attribute": hidden ties."""
    found = set()
    for path, text in tree.items():
        nodes = list(ast.walk(ast.parse(text)))
        names = {a.asname or a.name for n in nodes if isinstance(n, ast.ImportFrom) and n.level for a in n.names}
        for node in nodes:
            for target in _targets(node):
                root = ast.unparse(target).split(".")[0]
                found |= {f"{path}: {ast.unparse(target)}"} if root in names else set()
    return found


def _targets(node: ast.AST) -> list[ast.Attribute]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    return [target for target in targets if isinstance(target, ast.Attribute)]


def builders(tree: Tree, classes: Sequence[str], home: str) -> set[str]:
    """Files outside the folder `home` that build one of `classes`, or hand the class on so that others build it."""
    return {path for path, text in tree.items() if not path.startswith(home) and _builds(ast.parse(text), classes)}


def _builds(tree: ast.Module, classes: Sequence[str]) -> bool:
    """Whether a class is called, passed as an argument (but to isinstance), or assigned; under another name too."""
    aliases = {a.asname for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names if a.name in classes}
    names = {*classes, *aliases}
    for node in ast.walk(tree):
        used: list[ast.expr | None] = []
        if isinstance(node, ast.Call):
            used = [node.func]
            if ast.unparse(node.func) not in ("isinstance", "issubclass"):
                used += [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            used = [node.value]
        parts = (set(ast.unparse(value).split(".")) for value in used if isinstance(value, (ast.Name, ast.Attribute)))
        if any(part & names for part in parts):
            return True
    return False


def model_calls(tree: Tree, home: str) -> set[str]:
    """Calls of a name that holds a model, outside the folder `home` and outside `forward` of modules that wrap a model."""
    found = set()
    for path, text in tree.items():
        module = ast.parse(text)
        wrappers = [n for n in ast.walk(module) if isinstance(n, ast.FunctionDef) and n.name == "forward"]
        spared = {id(inner) for wrapper in wrappers for inner in ast.walk(wrapper)}
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and id(node) not in spared and not path.startswith(home):
                function = ast.unparse(node.func)
                found |= {f"{path}: {function}"} if f".{function}".endswith((".model", "self._model")) else set()
    return found


def literals(tree: Tree) -> set[str]:
    """Names of dtypes and devices in code, as "file: literal"; docstrings and messages do not count."""
    dtypes = (
        "float16",
        "float32",
        "float64",
        "half",
        "bfloat16",
    )  # double is the widest, so nobody's choice is narrowed
    found = set()
    for path, text in tree.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr in dtypes and ast.unparse(node.value) == "torch":
                found.add(f"{path}: torch.{node.attr}")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args:
                found |= {f"{path}: .{node.func.attr}()"} & {f"{path}: .{name}()" for name in (*dtypes, "float", "cuda")}
            if isinstance(node, ast.keyword) and node.arg == "device" and isinstance(node.value, ast.Constant):
                found |= {f"{path}: device={node.value.value!r}"} if node.value.value is not None else set()
    return found
