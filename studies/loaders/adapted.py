"""`Adapted`: a module with further inputs and several outputs, as a function of the signal alone."""

import difflib
import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ...core.checks import quoted
from ..kinds.frames import Framed
from .outputs import Output, pick


class Adapted(nn.Module):
    """x -> the part `output` of module(x, *args, **kwargs).

    args, kwargs: what the module takes for one signal. A tensor whose first axis has size 1 is repeated for each row of a
    batch; a floating-point tensor follows the dtype of x. Everything else is passed as it is.

    >>> scaled = Adapted(nn.Bilinear(2, 1, 3), "0", (torch.ones(1, 1),), {})
    >>> Adapted(nn.Identity(), lambda both: both[0], (), {})((torch.ones(2, 3), None)).shape
    torch.Size([2, 3])
    """

    def __init__(self, module: nn.Module, output: Output | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.inner, self.output = module, output
        self.training = getattr(module, "training", False)
        leaves, self.form = tree_flatten(_as_exported(module, list(args), dict(kwargs)))
        self.plain = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.held = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        for place in self.held:
            self.register_buffer(f"input_{place}", leaves[place].detach())

    def forward(self, x: Tensor) -> Any:
        args, kwargs = self.inputs(x)
        found = self.inner(x, *args, **kwargs)
        return found if self.output is None else pick(found, self.output)

    def inputs(self, x: Tensor | None) -> tuple[list[Any], dict[str, Any]]:
        """(args, kwargs) for the rows of x; for None as they were given."""
        leaves = list(self.plain)
        for place in self.held:
            value = getattr(self, f"input_{place}")
            leaves[place] = value if x is None else _for_rows(value, x)
        found: tuple[list[Any], dict[str, Any]] = tree_unflatten(leaves, self.form)
        return found


def _for_rows(value: Tensor, x: Tensor) -> Tensor:
    value = value.to(x.dtype) if value.is_floating_point() else value
    return value.expand(len(x), *value.shape[1:]) if value.shape[:1] == (1,) else value


def _as_exported(module: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments as a program of torch.export takes them: by position what was given by position when it was exported."""
    if (spec := getattr(module, "_in_spec", None)) is None:
        return args, kwargs
    by_name = tree_unflatten(range(spec.num_leaves), spec)[1]
    names = [one.name for one in taken(module) or [] if one.name not in by_name][len(args) :]
    return [*args, *(kwargs[name] for name in names if name in kwargs)], {
        name: value for name, value in kwargs.items() if name not in names
    }


class Probabilities(nn.Module):
    """The sigmoids of a model's outputs.

    >>> Probabilities(nn.Identity())(torch.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inner = module
        self.training = getattr(module, "training", False)

    def forward(self, x: Tensor) -> Any:
        found = self.inner(x)
        return found.sigmoid() if isinstance(found, Tensor) else found  # which is refused with what it holds


def bare(module: nn.Module) -> nn.Module:
    """The module inside an `Adapted`, or the module itself."""
    return module.inner if isinstance(module, Adapted) else module


def taken(module: Any) -> list[inspect.Parameter] | None:
    """What a module takes after the signal; None where it does not say."""
    forward = getattr(module, "forward", module)
    try:
        if isinstance(module, torch.jit.ScriptModule):
            empty = inspect.Parameter.empty
            defaults = [(one.name, None if one.has_default_value() else empty) for one in forward.schema.arguments[2:]]
            return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=own) for name, own in defaults]
        return list(inspect.signature(forward).parameters.values())[1:]
    except (ValueError, TypeError, AttributeError, RuntimeError):
        return None


def about_inputs(module: nn.Module) -> str:
    """What may be wrong with the inputs beside the signal, where a model failed; "" where they look right."""
    inner, args, kwargs = _taken_apart(module)
    named = [one for one in taken(inner) or [] if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    lacking = [one.name for one in named[len(args) :] if one.default is one.empty and one.name not in kwargs]
    if lacking:
        return f"It takes {', '.join(lacking)} too: pass --input {lacking[0]}=FILE.npy, or LoadedModel(model_kwargs={{…}})"
    for name, value in [*zip((one.name for one in named), args), *kwargs.items()]:
        if isinstance(value, Tensor) and value.shape[:1] != (1,):
            shapes = tuple(value.shape), (1, *value.shape)
            return f"The input {name} is {shapes[0]}; what belongs to one signal has a first axis of 1, as {shapes[1]}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"The input {name} is the number {value}; if the model expects a tensor, pass a .npy file, as of shape (1,)"
    return ""


def _taken_apart(module: nn.Module) -> tuple[nn.Module, list[Any], dict[str, Any]]:
    """The user's own module inside those of this library, and the arguments that it gets."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    while isinstance(module, Adapted | Framed | Probabilities):
        if isinstance(module, Adapted):
            args, kwargs = module.inputs(None)
        module = module.inner
    return module, args, kwargs


def check_names(who: str, module: nn.Module, names: Sequence[str]) -> None:
    """Raises: ValueError for a name that the module does not take after the signal."""
    found = taken(bare(module))
    if found is None or any(one.kind is one.VAR_KEYWORD for one in found):
        return
    known = [one.name for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            what = f"after the signal it takes {', '.join(known)[:120]}" if known else "it takes nothing after the signal"
            raise ValueError(f"{who}: it has no input {quoted(name)}; {f'close: {close[0]}' if close else what}.")


def read_inputs(texts: Sequence[str]) -> dict[str, Any]:
    """The values of "NAME=FILE.npy", or of "NAME=VALUE" with a number, true, false or null.

    Raises: ValueError where a text has another form, a name stands there twice, or a file holds no numbers.

    >>> read_inputs(["scale=0.5", "return_dict=true"])
    {'scale': 0.5, 'return_dict': True}
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name.isidentifier() or not value:
            raise ValueError(f"--input: expected NAME=FILE.npy or NAME=NUMBER, as the model names it; got {quoted(text)}.")
        if name in found:
            raise ValueError(f"--input: {name} is given twice.")
        found[name] = _array(value) if value.lower().endswith(".npy") else _value(text, value)
    return found


def _value(text: str, value: str) -> Any:
    try:
        found = json.loads(value)
    except ValueError:
        found = value
    if not isinstance(found, int | float | None):
        raise ValueError(f"--input: expected a .npy file, a number, true, false or null after '='; got {quoted(text)}.")
    return found


def _array(name: str) -> Tensor:
    try:
        array = np.load(Path(name), allow_pickle=False)
        return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))).reshape(array.shape))
    except OSError as error:
        raise ValueError(f"--input: {name[:120]}: {error.strerror or error}.") from None
    except (ValueError, TypeError, EOFError, AttributeError):
        raise ValueError(f"--input: {name[:120]} is no .npy file of numbers; numpy.save writes one.") from None


def described_inputs(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, str]:
    """Inputs as plain data, by name or number: values, or for tensors dtype, shape and a digest."""
    return {str(name): _said(value) for name, value in [*enumerate(args, 1), *kwargs.items()]}


def _said(value: Any) -> str:
    if not isinstance(value, Tensor):
        return quoted(value)
    held = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return f"{value.dtype} {tuple(value.shape)} {hashlib.blake2b(held.numpy().tobytes(), digest_size=6).hexdigest()}"
