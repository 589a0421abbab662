"""The ways to name a model: packaged, of timm or torchvision, a callable, or a file."""

import contextlib
import inspect
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core.checks import check_path
from ...core.imports import folder_of, import_callable, importable, needs
from ...core.registry import listed
from ..zoo import MODELS
from ..zoo.efficientnet_lite import imagenet_names
from .adapted import bare
from .hugging_face import from_hub
from .model_files import is_model_file, load_file
from .models import LoadedModel
from .packaged import packaged_model
from .preparation import Preparation
from .weights import load_weights

_FILES = "a TorchScript file (.pt)", "a file of torch.export (.pt2)", "a file of weights with --arch"
_OTHERS = [name for name in MODELS if not name.startswith("efficientnet")]
FORMS = (
    "efficientnet-lite0",
    "timm:NAME",
    "torchvision:NAME",
    "hf:NAME",
    "package.module:callable",
    "FILE.py:callable",
    *_FILES,
    *_OTHERS,
)


def load_model(
    spec: str | Path,
    device: torch.device | str = "cpu",
    preparation: Preparation | None = None,
    arch: str | None = None,
    note: Callable[[str], object] | None = None,
) -> LoadedModel:
    """The model that `spec` names, on `device`, in eval mode.

    spec: one of `FORMS`. A callable takes no arguments and returns a module, (module, prepare) or a LoadedModel. A model in a
    file is code, whatever the kind of file: load only what you trust. Weights are read as tensors, and run nothing.
    preparation: replaces the model's own, or the ImageNet default of a model that has none.
    arch: where `spec` is a file of weights (a state dict, a checkpoint or safetensors): the callable that builds the module.
    note: called with a sentence on how weights were found in a checkpoint.

    Raises: ValueError that lists the forms; ImportError with the command that installs what is missing.

    >>> from PIL import Image
    >>> loaded = load_model("torch.nn:Flatten", preparation=Preparation(32))
    >>> loaded.module.training, loaded.prepare(Image.new("RGB", (60, 40))).shape
    (False, torch.Size([3, 32, 32]))
    """
    spec = check_path("load_model", spec)
    loaded = _load(spec) if arch is None else _with_weights(spec, check_path("arch", arch), note)
    with contextlib.suppress(NotImplementedError):  # exported programs have no eval(): their mode is fixed
        loaded.module.eval()
    return replace(loaded, module=loaded.module.to(device), prepare=preparation or loaded.prepare)


def _load(spec: str) -> LoadedModel:
    if spec in MODELS:
        return packaged_model(spec)
    for source, load in _SOURCES.items():
        if spec.startswith(source):
            return load(spec.removeprefix(source))
    if spec.endswith(".py"):
        raise ValueError(f"Model {spec!r}: name the function that makes the model, as in {spec}:make.")
    if is_model_file(spec):
        return LoadedModel(spec, load_file(Path(spec)), Preparation())
    if ":" in spec:
        return _callable(spec)
    raise ValueError(f"Unknown model {spec[:40]!r}. Choices: {listed([*FORMS], 250)}.")


def _with_weights(spec: str, arch: str, note: Callable[[str], object] | None) -> LoadedModel:
    """The model that the callable `arch` makes, with the weights of a file."""
    if spec in MODELS or not is_model_file(spec):
        raise ValueError(f"arch: it is for files of weights; the model {spec[:60]!r} is none, and brings its own.")
    if is_model_file(arch) or ":" not in arch:
        raise ValueError(
            f"arch: expected package.module:callable or FILE.py:callable, which builds the module; got {arch[:60]!r}."
        )
    loaded = _callable(arch, "Arch")
    load_weights(bare(loaded.module), Path(spec), arch, note)
    return replace(loaded, name=spec)


def _timm(name: str) -> LoadedModel:
    with needs(f"timm:{name}", "timm"):
        import timm
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name}*")[:8]) or "see timm.list_models()"
        raise ValueError(f"Unknown timm model {name!r}. Close: {close}.")
    module = timm.create_model(name, pretrained=True)
    config = timm.data.resolve_model_data_config(module)
    prepare = timm.data.create_transform(**config, is_training=False)
    return LoadedModel(f"timm:{name}", module, prepare, imagenet_names() if module.num_classes == 1000 else ())


def _torchvision(name: str) -> LoadedModel:
    with needs(f"torchvision:{name}", "torchvision"):
        from torchvision.models import get_model, get_model_weights, list_models
    if name not in list_models():
        raise ValueError(f"Unknown torchvision model {name!r}. Choices: {', '.join(list_models())}.")
    weights = get_model_weights(name).DEFAULT
    classes, module = tuple(weights.meta.get("categories", ())), get_model(name, weights=weights)
    return LoadedModel(f"torchvision:{name}", module, weights.transforms(), classes)


_SOURCES: dict[str, Callable[[str], LoadedModel]] = {"timm:": _timm, "torchvision:": _torchvision, "hf:": from_hub}


def _callable(spec: str, what: str = "Model") -> LoadedModel:
    make = import_callable(spec, what, "a callable that takes no arguments and returns the model")
    if needed := _arguments(make):
        got = f"it needs {', '.join(needed)}. Write a function that calls it with them, and pass that."
        raise ValueError(f"{what} {spec!r}: expected a callable that takes no arguments; {got}")
    with importable(folder_of(spec)):
        made = make()
    if isinstance(made, LoadedModel):
        return made
    module, prepare = made if isinstance(made, tuple) and len(made) == 2 else (made, Preparation())
    if not isinstance(module, nn.Module) or not callable(prepare):
        expected = "expected the callable to return a torch.nn.Module, (module, prepare) or a LoadedModel"
        raise ValueError(f"{what} {spec!r}: {expected}; got {_got(module)}.")
    return LoadedModel(spec, module, prepare)


def _got(made: Any) -> str:
    """What a callable returned in place of a module, and what to do."""
    if isinstance(made, type):
        return f"the class {made.__name__}; return an instance, {made.__name__}()"
    if isinstance(made, nn.Module):
        return "a module with a prepare that cannot be called"
    advice = {
        type(None): ": the function returns nothing",
        tuple: f" of {len(made) if isinstance(made, tuple) else 0}",
        OrderedDict: ": pass a file of weights as --model, and what builds the module as --arch",
    }
    wrap = ": make it the forward of a torch.nn.Module" if callable(made) else ""
    return f"{type(made).__name__}{advice.get(type(made), wrap)}"


def _arguments(make: Callable[..., Any]) -> list[str]:
    """The arguments without which a callable cannot be called; empty if it has no signature."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (ValueError, TypeError):
        return []
    spread = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in spread]
