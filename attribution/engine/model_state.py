"""What a model holds beside its parameters: buffers that a forward may change, and layers in training mode."""

import dis
import functools
from collections.abc import Iterator
from types import CodeType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

_DEEP = 3  # how many objects lie between a callable and a module that it uses


class ModelState:
    """The buffers of a model, or of the modules that a function uses, as they were before it ran.

    >>> norm = nn.BatchNorm1d(2)  # in training mode
    >>> state = ModelState(lambda x: norm(x))
    >>> norm(torch.ones(4, 2)).shape, state.changed(), state.training()
    (torch.Size([4, 2]), 'running_mean', 'BatchNorm1d')
    >>> state.restore()
    >>> norm.running_mean.tolist(), int(norm.num_batches_tracked)
    ([0.0, 0.0], 0)
    """

    def __init__(self, model: Any) -> None:
        self.modules = list(_modules(model, _DEEP))
        self._buffers = [(name, owner, buffer, buffer.clone()) for name, owner, buffer in self._held()]

    def changed(self) -> str:
        """The name of a buffer that has other values, or was replaced; empty where none has."""
        now = {name: buffer for name, _, buffer in self._held()}
        for name, owner, buffer, kept in self._buffers:
            replaced = now.get(name) is not buffer and not isinstance(owner, torch.jit.ScriptModule)
            if replaced or not _equal(buffer, kept):
                return name
        return ""

    def restore(self) -> None:
        """Gives every buffer the values that it had."""
        with torch.no_grad():
            for name, owner, buffer, kept in self._buffers:
                if not _equal(buffer, kept):
                    buffer.copy_(kept)
                last = name.rpartition(".")[2].rpartition(":")[2]
                if not isinstance(owner, torch.jit.ScriptModule) and owner._buffers.get(last) is not buffer:
                    owner._buffers[last] = buffer

    def training(self) -> str:
        """The type and name of a layer in training mode that behaves differently then; empty where there is none."""
        for module in self.modules:
            for name, layer in module.named_modules():
                kind = getattr(layer, "original_name", type(layer).__name__)
                acts = "Norm" in kind or "Dropout" in kind or "Parametr" in kind or bool(list(layer.buffers(recurse=False)))
                if getattr(layer, "training", False) and acts:
                    return f"{kind} {name!r}" if name else kind
        return ""

    def _held(self) -> Iterator[tuple[str, nn.Module, Tensor]]:
        """(name, module, buffer) of each buffer; modules after the first have a number before the name."""
        for number, module in enumerate(self.modules):
            for prefix, owner in module.named_modules():
                for name, buffer in owner.named_buffers(recurse=False):
                    place = f"{prefix}.{name}" if prefix else name
                    yield (f"{number}:{place}" if number else place), owner, buffer


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether all entries are equal, NaN among them. Kernels write statistics without counting it as a change of the tensor."""
    if one.shape != other.shape or torch.equal(one, other):
        return one.shape == other.shape
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _modules(value: Any, deep: int) -> Iterator[nn.Module]:
    """The modules that `value` is, holds or uses: through closures, globals, bound methods, partials and attributes."""
    if isinstance(value, nn.Module):
        yield value
    elif deep and not isinstance(value, (type, Tensor, str, bytes, int, float)):
        seen: list[nn.Module] = []
        for each in _uses(value):
            for module in _modules(each, deep - 1):
                if not any(module is other for other in seen):
                    seen.append(module)
                    yield module


def _uses(value: Any) -> Iterator[Any]:
    """What a callable reads from outside of itself."""
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(getattr(value, "__code__", None), CodeType):
        for cell in value.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # a cell that is still empty
                continue
        yield from (value.__globals__[name] for name in _globals(value.__code__) if name in value.__globals__)
        yield from (value.__defaults__ or ())
    elif isinstance(value, (list, tuple)):
        yield from value[:64]
    elif isinstance(value, dict):
        yield from list(value.values())[:64]
    elif callable(value) and hasattr(value, "__dict__"):
        yield from vars(value).values()


def _globals(code: CodeType) -> Iterator[str]:
    """The global names that `code` reads, and functions inside it."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals(inner)
