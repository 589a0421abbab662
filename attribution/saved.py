"""The file format of an attribution: one .safetensors file with a JSON header. Reading it executes no code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..core.files import write_whole

REQUIRED = ("values", "coefficients", "displacement", "score_difference")
TENSORS = (*REQUIRED, "covector")
_DETAIL = "details."


def write(path: str | Path, tensors: Mapping[str, Tensor], details: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Writes the file, whole or not at all.  details: tensors go into the file, everything else into the header."""
    held = {_DETAIL + name: value for name, value in details.items() if isinstance(value, Tensor)} | dict(tensors)
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in held.items()}
    rest = {name: value for name, value in details.items() if not isinstance(value, Tensor)}
    text = json.dumps({**header, "details": rest})
    write_whole(path, lambda temporary: save_file(copies, temporary, {"pullback": text}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """(tensors, details, header) of a file that `write` wrote.  Raises: FileNotFoundError; ValueError for any other file."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["pullback"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
        missing = {"transform", "shape", "kind", "settings", "details"} - set(header)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, OSError) as error:
        raise ValueError(f"{path}: not a file that Attribution.save wrote, or only a part of one ({error}).") from None
    details = {key.removeprefix(_DETAIL): tensors.pop(key) for key in list(tensors) if key.startswith(_DETAIL)}
    if missing or not set(REQUIRED) <= set(tensors) <= set(TENSORS):
        held = ", ".join(sorted(tensors)) or "nothing"
        raise ValueError(f"{path}: not a file that Attribution.save wrote; it holds {held}.")
    return tensors, header.pop("details") | details, header
