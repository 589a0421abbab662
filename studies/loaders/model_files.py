"""Models in files: TorchScript and torch.export programs, told by their content; other kinds are named with the way on."""

import io
import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from .outputs import true_cause

# Only to say what a file is; the first that fits counts. Pickles can execute code, and the others hold no program for torch.
CHECKPOINT, SCRIPT, PROGRAM = "a checkpoint (a state dict or a pickled module)", "TorchScript", "a program of torch.export"
SAFETENSORS = "a file of safetensors"
BUILD, PASS = "build the module in a function", "and pass --model FILE.py:FUNCTION"
WEIGHTS = f"It holds weights without code: {BUILD}, and add --arch FILE.py:FUNCTION"
WAYS = {
    CHECKPOINT: WEIGHTS,
    SAFETENSORS: WEIGHTS,
    "an ONNX file": f"{BUILD}, for example onnx2torch.convert(path), {PASS}",
    "a Keras or HDF5 file": f"{BUILD} in torch and copy the weights there, {PASS}",
    "a TensorFlow file": f"{BUILD} in torch and copy the weights there, {PASS}",
}
SUFFIXES = {
    ".safetensors": SAFETENSORS,
    ".onnx": "an ONNX file",
    ".keras": "a Keras or HDF5 file",
    ".h5": "a Keras or HDF5 file",
    ".hdf5": "a Keras or HDF5 file",
    ".tflite": "a TensorFlow file",
    ".pb": "a TensorFlow file",
} | dict.fromkeys((".pt", ".pth", ".pt2", ".ckpt", ".bin", ".tar", ".pkl", ".torchscript"), CHECKPOINT)
# Members of a .pt2 that torch.export needs; others are compiled libraries or objects that run code when they are read.
MEMBERS = (
    r"(\w*version|archive_format|byteorder|\.data/\w+|models/\w+\.json|extra/.+|extra_files/.+|data/sample_inputs/\w+\.pt"
    r"|data/(weights|constants)/(\w+\.(json|pt)|(weight|tensor)_\w+)|serialized_\w+\.(json|pt))"
)


def is_model_file(spec: str) -> bool:
    """Whether `spec` is a file or a folder, or looks like the name of a file with a model."""
    return os.path.exists(spec) or Path(spec).suffix in SUFFIXES


def load_file(path: Path) -> nn.Module:
    """The module of a TorchScript file or of a program of torch.export.

    Such a file is code: it can do what its author wrote. Of a program of torch.export the members are checked first, so that
    nothing is unpickled but tensors.

    Raises: ValueError that says what the file is and what to do instead, also for a file with changed bytes.
    """
    kind = file_kind(path)
    if kind not in (SCRIPT, PROGRAM):
        expected = f"Expected a file of torch.export.save or torch.jit.save; {BUILD}, {PASS}"
        raise ValueError(f"{path} is {kind}. {WAYS.get(kind, expected)}.")
    with path.open("rb") as file:
        _check_complete(path.name, file)
        if kind == PROGRAM:
            check_members(path.name, file)
        file.seek(0)
        try:
            return _program(file) if kind == PROGRAM else _script(file)
        except Exception as error:  # torch raises many kinds here
            raise ValueError(f"{path} is {kind} that torch {torch.__version__} cannot load: {true_cause(error)}.") from error


def file_kind(path: Path) -> str:
    """What a file with a model is, in words.  Raises: ValueError where there is no file, or an empty or damaged one."""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "does not exist"
        hub = f"; a folder that transformers saved is hf:{path}" if (path / "config.json").is_file() else ""
        raise ValueError(f"Model file {str(path)!r} {found}; expected a file of a program, or FILE.py:FUNCTION{hub}.")
    if not path.stat().st_size:
        raise ValueError(f"Model file {str(path)!r} is empty; copy or save it again.")
    with path.open("rb") as file:
        return _kind(path, file)


def _program(file: BinaryIO) -> nn.Module:
    module: nn.Module = torch.export.load(file).module()
    return module


def _script(file: BinaryIO) -> nn.Module:
    with warnings.catch_warnings():  # torch no longer advises TorchScript, and still reads it; the file is the user's choice
        warnings.filterwarnings("ignore", r".*torch\.jit", DeprecationWarning)
        module: nn.Module = torch.jit.load(file, map_location="cpu")
    return module


def _kind(path: Path, file: BinaryIO) -> str:
    """What the file is, by its content where that says it, else by its name."""
    head = file.read(64)
    if head.startswith(b"PK"):
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path.name} is cut off or damaged; copy or export it again.")
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        inside = {name.partition("/")[2] for name in names}
        if inside & {"archive_format", "models/model.json"} or "serialized_exported_program.json" in names:
            return PROGRAM
        if any(name.startswith("code/") for name in inside):
            return SCRIPT
        return (
            "a Keras or HDF5 file" if "model.weights.h5" in names else CHECKPOINT if "data.pkl" in inside else "a zip archive"
        )
    if head.startswith(b"\x89HDF"):
        return "a Keras or HDF5 file"
    if head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < path.stat().st_size:
        return SAFETENSORS
    if head[4:8] == b"TFL3":
        return "a TensorFlow file"
    if re.match(rb"\x80[\x02-\x05]", head):
        return CHECKPOINT
    named = SUFFIXES.get(path.suffix.lower(), CHECKPOINT)
    return "neither TorchScript nor a program of torch.export" if named == CHECKPOINT else named


def _check_complete(name: str, file: BinaryIO) -> None:
    """Compares the checksums of an archive, which torch does not.  Raises: ValueError for one with changed bytes."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        damaged = str(error)
    if damaged:
        raise ValueError(f"{name} is damaged ({damaged[:80]}); copy or export it again.")


def check_members(name: str, file: BinaryIO) -> None:
    """Checks the members of a .pt2 file before torch reads them.

    Raises: ValueError for a member that torch.export does not need, that is compressed or stands there twice, whose pickle
    holds more than tensors and plain data, or that holds a size which is code.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ValueError(f"{name}: a member stands there twice; export the program again with torch.export.save.")
        flat = any(member.filename == "serialized_exported_program.json" for member in members)  # torch before 2.8
        pickles = set()
        for member in members:
            inner = member.filename if flat else member.filename.partition("/")[2]
            if not re.fullmatch(MEMBERS, inner) or member.compress_type != zipfile.ZIP_STORED:
                why = f"holds {inner[:80]!r}, which is compressed, a library, or an object that runs code when it is read"
                raise ValueError(f"{name} {why}; export the program again, without custom objects.")
            if inner.endswith(".json"):
                entries = list(_entries(name, archive.read(member)))
                _check_expressions(name, [value for key, value in entries if key == "expr_str"])
                used = [value for _, value in entries if isinstance(value, dict) and value.get("use_pickle")]
                pickles |= {f"{inner.rpartition('/')[0]}/{value.get('path_name')}" for value in used}
        for member in members:
            inner = member.filename if flat else member.filename.partition("/")[2]
            if inner.endswith(".pt") or inner in pickles:
                _check_pickle(f"{name}: {inner}", archive.read(member))


def _entries(name: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """Every key and value of a JSON text, however deep; items of lists have the key ""."""
    try:
        waiting = [("", json.loads(content))] if content else []
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} holds damaged JSON ({type(error).__name__}); export the program again.") from None
    while waiting:
        key, value = waiting.pop()
        yield key, value
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [("", each) for each in value]


def _check_expressions(name: str, expressions: Iterable[Any]) -> None:
    """Sizes are texts that sympy evaluates as Python: they may hold numbers, symbols, and calls of sympy's classes only."""
    for text in map(str, expressions):
        called = re.findall(r"(\w+)\s*\(", text)
        plain = (
            re.fullmatch(r"([\w\s(),=+*/%<>&|~-]|'\w*'|(?<=\d)\.)*", text)
            and "__" not in text
            and not re.search(r"\)\s*\(", text)
        )
        if not plain or not all(re.fullmatch(r"[A-Z]\w*|floor|ceiling", call) for call in called):
            raise ValueError(f"{name} holds a size that is code ({text[:60]!r}), and is not read; export the program again.")


def _check_pickle(name: str, content: bytes) -> None:
    try:
        if content:
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"code ({named.group(1)})" if named else "more than tensors and plain data, or is damaged"
        raise ValueError(f"{name} holds {what}, and is not read; export the program again with tensors as inputs.") from None
