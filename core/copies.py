"""`copied`: a copy of a module that may be hooked and changed, also of modules that `copy.deepcopy` refuses."""

import copy
import functools
import types
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)
Memo = dict[int, Any]  # identity of an original: its copy; as in `copy`, the identity of the memo itself: what must stay alive
_CONTAINERS = (dict, OrderedDict, list, tuple, set)
_ATOMS: tuple[type, ...] = (bool, int, float, str, bytes, type, type(None), types.ModuleType, types.BuiltinFunctionType)
_ATOMS += (torch.dtype, torch.device, torch.Size)
_ORIGINAL = "_torchdynamo_orig_callable"  # where a function from torch.compile keeps what it was made of


def copied(module: Layer) -> Layer:
    """A copy of `module` with its own layers, parameters, buffers and hooks; `module` itself is not changed.

    Tensors that belong to a graph, such as an output that a layer keeps, are copied without the graph. What cannot be
    copied (locks, open files, iterators) is shared. Functions and hooks that refer to layers refer to their copies. The copy
    is not compiled, because hooks on compiled layers may silently not run.
    Raises: TypeError where a class refuses to be copied.

    >>> layer = nn.Linear(2, 3)
    >>> layer.last = layer(torch.ones(1, 2))  # part of a graph, which copy.deepcopy refuses
    >>> twin = copied(layer)
    >>> torch.equal(twin.last, layer.last), twin.weight is layer.weight
    (True, False)
    """
    with torch.inference_mode(False):
        twin: Layer = _copy(module, {})
    return twin


def _tree(module: nn.Module, memo: Memo) -> Any:
    """The copy of a module and all modules inside."""
    layers = [layer for layer in module.modules() if id(layer) not in memo and _is_plain(layer)]
    for layer in layers:  # first, so that whatever refers to a layer finds its copy
        memo[id(layer)] = object.__new__(type(layer))
    for layer in reversed(layers):  # children first: a class with its own way to be copied takes theirs from the memo
        _fill(memo[id(layer)], layer, memo)
    return memo[id(module)] if id(module) in memo else _own_way(module, memo)


def _is_plain(layer: nn.Module) -> bool:
    own = hasattr(type(layer), "__deepcopy__") and not nn.utils.parametrize.is_parametrized(layer)
    return not own and not hasattr(layer, "_orig_mod")


def _fill(twin: Any, layer: nn.Module, memo: Memo) -> None:
    """Gives `twin` copies of everything that `layer` holds."""
    try:
        held: Any = layer.__getstate__()
    except Exception:  # a class that refuses to be stored
        held = {name: value for name, value in vars(layer).items() if name != "_compiled_call_impl"}
    held = _copy(held, memo) if not isinstance(held, dict) else _contents(held, memo)
    try:
        twin.__setstate__(held)
    except Exception:
        vars(twin).update(held)
    original = getattr(getattr(twin, "forward", None), _ORIGINAL, None)
    if original is not None:  # the class compiles its forward
        twin.forward = types.MethodType(getattr(original, "__func__", original), twin)


def _copy(value: Any, memo: Memo) -> Any:
    """The copy of any value."""
    if isinstance(value, _ATOMS):
        return value
    if id(value) not in memo:
        if type(value) in (*_CONTAINERS, types.FunctionType):
            memo[id(value)] = value  # where it refers to itself
        try:
            memo[id(value)] = _made(value, memo)
        except Exception:
            memo.pop(id(value), None)
            raise
        memo.setdefault(id(memo), []).append(value)
    return memo[id(value)]


def _made(value: Any, memo: Memo) -> Any:
    if isinstance(value, nn.Module):
        return _tree(value, memo)
    if type(value) in _CONTAINERS:
        return _contents(value, memo)
    if isinstance(value, types.MethodType):
        return types.MethodType(value.__func__, _copy(value.__self__, memo))
    if isinstance(value, (types.FunctionType, weakref.ref, functools.partial)):
        return _rebound(value, memo)
    try:
        return copy.deepcopy(value, memo) if isinstance(value, Tensor) else _deep(value, memo)
    except Exception:  # classes may raise anything
        return _detached(value) if isinstance(value, Tensor) else _around_layers(value, memo)


def _contents(value: Any, memo: Memo) -> Any:
    """A container with copies of its members."""
    if isinstance(value, dict):
        return type(value)((_copy(key, memo), _copy(each, memo)) for key, each in value.items())
    return type(value)(_copy(each, memo) for each in value)


def _deep(value: Any, memo: Memo) -> Any:
    """`copy.deepcopy`, which leaves nothing half made in the memo if it fails."""
    trial = dict(memo)
    with warnings.catch_warnings():  # torch's programs warn of torch's own code when they are copied
        warnings.simplefilter("ignore", FutureWarning)
        made = copy.deepcopy(value, trial)
    alive = trial.pop(id(trial), [])
    memo.update(trial)
    memo.setdefault(id(memo), []).extend(alive)
    return made


def _around_layers(value: Any, memo: Memo) -> Any:
    """The copy of an object that cannot be copied but holds layers, which would be those of the original; else the object."""
    if not any(isinstance(each, nn.Module) for each in getattr(value, "__dict__", {}).values()):
        return value
    kind: Any = type(value)
    try:
        twin = memo[id(value)] = kind.__new__(kind)
    except TypeError:  # a class that is made from something
        return value
    vars(twin).update(_contents(vars(value), memo))
    return twin


def _own_way(module: nn.Module, memo: Memo) -> Any:
    """The copy of a compiled module, or of one whose class says how to copy it."""
    if hasattr(module, "_orig_mod"):
        return _copy(module._orig_mod, memo)
    try:
        return _deep(module, memo)
    except Exception as error:
        name, reason = type(module).__name__, " ".join(str(error).split())[:120]
        what = f"{name} cannot be copied ({type(error).__name__}: {reason})"
        raise TypeError(f"model: {what}; take a method that only calls the model, or give {name} a __deepcopy__.") from error


def _detached(value: Tensor) -> Tensor:
    """A copy without a graph."""
    twin = value.detach().clone()
    return nn.Parameter(twin, value.requires_grad) if isinstance(value, nn.Parameter) else twin


def _rebound(value: Any, memo: Memo) -> Any:
    """A function, partial or weak reference whose layers are the copies; the same object where it refers to none."""
    if isinstance(value, weakref.ref):
        there = value()
        return value if there is None or _referred(there, memo) is there else weakref.ref(_referred(there, memo))
    if isinstance(value, functools.partial):
        twin = functools.partial(_copy(value.func, memo), *_copy(value.args, memo), **_copy(value.keywords, memo))
        vars(twin).update(_copy(vars(value), memo))
        return twin
    if hasattr(value, _ORIGINAL):
        return _copy(getattr(value, _ORIGINAL), memo)
    return _with_layers(value, lambda each: _referred(each, memo))


def _referred(value: Any, memo: Memo) -> Any:
    """The copy of a layer, or of what belongs to one; any other value is the caller's own and stays."""
    method = isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module)
    known = isinstance(value, (nn.Module, Tensor)) and id(value) in memo
    return _copy(value, memo) if known or method or isinstance(value, types.FunctionType) else value


def _with_layers(function: Any, change: Callable[[Any], Any]) -> Any:
    """The function with other values in its closure, its defaults and the global names that it uses."""
    code, cells = function.__code__, function.__closure__ or ()
    inside = [cell.cell_contents if _is_set(cell) else None for cell in cells]
    outside = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
    outside = {name: new for name, old in outside.items() if isinstance(old, nn.Module) and (new := change(old)) is not old}
    new, defaults = [change(each) for each in inside], tuple(map(change, function.__defaults__ or ()))
    same = all(a is b for a, b in zip((*inside, *(function.__defaults__ or ())), (*new, *defaults)))
    if same and not outside:
        return function
    names = {**function.__globals__, **outside} if outside else function.__globals__
    closure = tuple(types.CellType(each) if _is_set(cell) else cell for cell, each in zip(cells, new))
    twin = types.FunctionType(code, names, function.__name__, defaults or None, closure or None)
    twin.__kwdefaults__ = function.__kwdefaults__
    vars(twin).update(vars(function))
    return twin


def _is_set(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
