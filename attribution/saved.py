"""The file format of an attribution: one .safetensors file with a JSON header. Reading it executes no code."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..core.files import plain, remove_leftovers, write_whole
from .estimator import Kind

REQUIRED = ("values", "coefficients", "displacement", "score_difference")
TENSORS = (*REQUIRED, "covector")
LONGEST_SPEC = 2_000
SMALL, REDUNDANCY = 2**20, 64  # samples of a signal that any file may name, and for each coefficient that it holds
_DETAIL = "details."
_HEADER = {"transform": str, "shape": list, "kind": str, "settings": dict, "details": dict}
_SETTINGS = {"method": str, "options": dict, "execution": dict, "evaluations": dict, "versions": dict}


def write(path: str | Path, tensors: Mapping[str, Tensor], details: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Writes the file, whole or not at all.  details: tensors go into the file, everything else into the header."""
    held = {_DETAIL + name: value for name, value in details.items() if isinstance(value, Tensor)} | dict(tensors)
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in held.items()}
    rest = {name: value for name, value in details.items() if not isinstance(value, Tensor)}
    text = json.dumps({**header, "details": rest})
    remove_leftovers(Path(path).parent)
    write_whole(path, lambda temporary: save_file(copies, temporary, {"pullback": text}))


def read(path: Path, sized: bool = True) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """(tensors, details, header) of a file that `write` wrote, whose parts fit each other; nothing larger than it is built.

    sized: also refuse a shape of the signal that is out of proportion to the tensors, as a transform of it would be.
    Raises: FileNotFoundError; ValueError for any other file.
    """
    shown = plain(path)[-120:]
    if not os.path.isfile(path):
        if not os.path.lexists(path):
            raise FileNotFoundError(f"{shown}: no such file.")
        raise ValueError(f"{shown}: expected a file that Attribution.save wrote, but this is a folder, a pipe or a device.")
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["pullback"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, RuntimeError, OSError) as error:
        what = f"{shown}: not a file that Attribution.save wrote, or only a part of one"
        raise ValueError(f"{what} ({type(error).__name__}: {plain(error)[:90]}).") from None
    details = {key.removeprefix(_DETAIL): tensors.pop(key) for key in list(tensors) if key.startswith(_DETAIL)}
    if fault := _wrong_header(header) or _wrong_tensors(tensors, details) or _wrong_shape(header["shape"], tensors, sized):
        raise ValueError(f"{shown}: not a file that Attribution.save wrote; {fault}.")
    return tensors, header.pop("details") | details, header


def _wrong_header(header: Any) -> str:
    """What is wrong with the types in the header; "" where nothing is."""
    if not isinstance(header, dict):
        return "its header is no JSON object"
    wrong = [name for name, kind in _HEADER.items() if not isinstance(header.get(name), kind)]
    settings = {} if wrong else header["settings"]
    wrong += [f"settings.{name}" for name, kind in _SETTINGS.items() if not isinstance(settings.get(name, kind()), kind)]
    if wrong:
        return f"of another type than expected: {', '.join(wrong)}"
    if header["kind"] not in get_args(Kind):
        return f"expected kind in {', '.join(get_args(Kind))}; got {plain(header['kind'])[:40]!r}"
    return (
        ""
        if len(header["transform"]) <= LONGEST_SPEC
        else f"the name of its transform is longer than {LONGEST_SPEC} characters"
    )


def _wrong_tensors(tensors: Mapping[str, Tensor], details: Mapping[str, Tensor]) -> str:
    """What is wrong with the dtypes and shapes of the tensors; "" where nothing is."""
    if not set(REQUIRED) <= set(tensors) <= set(TENSORS):
        return f"it holds {plain(', '.join(sorted(tensors)))[:90] or 'nothing'}"
    values = tensors["values"]
    if wrong := [name for name, tensor in tensors.items() if not tensor.is_floating_point()]:
        return f"expected real floating-point numbers in {', '.join(wrong)}"
    if values.ndim < 2 or not values.numel():
        return f"expected values (batch, *coeff), got shape {_shape(values)}"
    for name in ("coefficients", "displacement"):
        if tensors[name].shape != values.shape:
            return f"{name} has shape {_shape(tensors[name])}, but values {_shape(values)}"
    if tensors["score_difference"].shape != values.shape[:1]:
        return f"score_difference has shape {_shape(tensors['score_difference'])}, expected ({len(values)},)"
    batches = {_DETAIL + name: tensor for name, tensor in details.items()} | dict(tensors)
    other = [name for name, tensor in batches.items() if tensor.shape[:1] != values.shape[:1]]
    return f"expected {len(values)} examples in {plain(other[0])[:60]}, got shape {_shape(batches[other[0]])}" if other else ""


def _wrong_shape(shape: list[Any], tensors: Mapping[str, Tensor], sized: bool) -> str:
    """What is wrong with the shape of one signal; "" where nothing is."""
    if not shape or not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape):
        return "expected a shape of whole numbers of at least 1"
    held = tensors.get("covector")
    if held is not None and list(held.shape[1:]) != shape:
        return f"covector has shape {_shape(held)}, but a signal {plain(tuple(shape))[:60]}"
    most = max(SMALL, REDUNDANCY * tensors["values"][0].numel())
    if sized and held is None and math.prod(shape) > most:
        return f"its signals of shape {plain(tuple(shape))[:60]} are too large for its coefficients; pass transform="
    return ""


def _shape(tensor: Tensor) -> str:
    return plain(tuple(tensor.shape))[:60]
