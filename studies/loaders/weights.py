"""Weights in files: state dicts, checkpoints that hold one, and safetensors, loaded into a module that code builds."""

import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ...core.imports import needs
from .model_files import CHECKPOINT, PROGRAM, SAFETENSORS, SCRIPT, file_kind
from .outputs import true_cause

State = Mapping[str, Any]
# Keys under which training programs keep the weights, the likeliest first.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params", "ema")
_SHOWN = 3  # keys that a message names


def load_weights(module: nn.Module, path: Path, who: str, note: Callable[[str], object] | None = None) -> None:
    """Loads the weights of a file into `module`, whose keys and shapes must be those of the file.

    path: a state dict, a checkpoint that holds one, or safetensors. It is read as tensors and plain data, on the CPU, so that
    nothing in it runs. A prefix of the keys, as "module." of DataParallel, is removed where the rest fits.
    who: what built the module.  note: called with a sentence on what was removed or chosen.

    Raises: ValueError that says what differs, or what the file is; ImportError.
    """
    own = module.state_dict()
    candidates = list(_candidates(_read(path), own))
    if not candidates:
        raise ValueError(f"{path} holds no state dict; save one: torch.save(model.state_dict(), path).")
    fitting = [each for each in candidates if not _differences(each.state, own)]
    best = (fitting or sorted(candidates, key=lambda each: -len(own.keys() & each.state.keys())))[0]
    if not fitting:
        differ = "; ".join(_differences(best.state, own))
        raise ValueError(
            f"The weights of {path.name[:60]} do not fit {who[:60]}: {differ[:150]}. Build the network that was saved."
        )
    if note is not None and (best.place or best.prefix):
        note(f"{path.name}: loaded {best.said(fitting[1:])}.")
    module.load_state_dict({**{key: own[key] for key in own if key not in best.state}, **best.state})


class Candidate(NamedTuple):
    """A state dict in a file: the key that holds it, the prefix of its keys, and the keys beside these."""

    state: State
    place: str
    prefix: str
    beside: list[str]

    def said(self, others: Sequence["Candidate"]) -> str:
        """What is loaded, in words.  others: those that fit too."""
        parts = [f"the state dict under {self.place!r}"] if self.place else ["its weights"]
        parts += [f"without the prefix {self.prefix!r} of the keys"] if self.prefix else []
        parts += [f"left out, of other keys, {len(self.beside)} ({_listed(self.beside)})"] if self.beside else []
        return ", ".join([*parts, *(f"not those of {(one.place or one.prefix)!r}, which fit too" for one in others[:1])])


def _read(path: Path) -> Any:
    kind = file_kind(path)
    if kind == SAFETENSORS:
        with needs(SAFETENSORS, "safetensors"):
            import safetensors.torch
        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path} is {kind} that cannot be read: {true_cause(error)}; copy it again.") from None
    if kind != CHECKPOINT:
        alone = ", and this one is a model without it" if kind in (SCRIPT, PROGRAM) else ""
        raise ValueError(f"{path} is {kind}; --arch is for files of weights (torch.save, safetensors){alone}.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = (
            f"a pickled object ({named.group(1)[:80]}), which runs code when it is read"
            if named
            else "damaged, or no checkpoint"
        )
        raise ValueError(f"{path} is {what}; save the weights alone: torch.save(model.state_dict(), path).") from None


def _candidates(found: Any, own: State) -> Iterator[Candidate]:
    """The state dicts in what a file holds, the likeliest first; each also without a prefix before the module's own keys."""
    if not isinstance(found, Mapping):
        return
    inner = [(str(key), value) for key, value in found.items() if _is_state(value)]
    inner.sort(key=lambda each: WRAPPERS.index(each[0]) if each[0] in WRAPPERS else len(WRAPPERS))
    for place, state in [("", found)] * _is_state(found) + inner:
        for prefix in dict.fromkeys(["", *_prefixes(state, own)]):
            rest = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            yield Candidate(rest, place, prefix, [key for key in state if not key.startswith(prefix)])


def _prefixes(state: State, own: State) -> Iterator[str]:
    for key in state:
        for dot in re.finditer(r"\.", key):
            if key[dot.end() :] in own:
                yield key[: dot.end()]


def _is_state(found: Any) -> bool:
    """Whether it is a dictionary of tensors, beside which a module may keep other data."""
    return isinstance(found, Mapping) and any(isinstance(value, Tensor) for value in found.values())


def _differences(state: State, own: State) -> list[str]:
    """How keys and shapes differ from the module's own, in words; [] where they fit."""
    missing = [key for key in own if key not in state and not _is_tied(key, own, state)]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)} in the file and {tuple(own[key].shape)} in the module"
        for key in own
        if isinstance(state.get(key), Tensor) and not is_lazy(own[key]) and state[key].shape != own[key].shape
    ]
    named = ((missing, f"of {len(own)} keys are missing"), (unexpected, "keys are unexpected"))
    found = [f"{len(keys)} {what} ({_listed(keys)})" for keys, what in named if keys]
    return found + ([f"{len(shapes)} shapes differ: {shapes[0]}"] if shapes else [])


def _is_tied(key: str, own: State, state: State) -> bool:
    """Whether the module uses the tensor under another key too, which the file has: safetensors writes such a one once."""
    place: Callable[[Any], int] = lambda value: value.data_ptr() if isinstance(value, Tensor) and not is_lazy(value) else 0
    return any(place(own[key]) == place(own[other]) != 0 for other in own if other != key and other in state)


def _listed(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", …" if len(keys) > _SHOWN else "")
