"""Networks that are trained on this machine when they are first used, and kept in the user's cache folder."""

import contextlib
import hashlib
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...core.files import write_whole
from ..training import fit
from .packages import cache_folder


def kept(name: str, recipe: ModuleType, data: tuple[Tensor, Tensor], /, **options: str | int) -> nn.Module:
    """`recipe.trained(*data, **options)`, from the cache folder where the same recipe was run before on the same data.

    recipe: a file of studies/training with `network`, which makes the network without training, and `trained`.
    The name of the file of weights holds a digest of the text of the recipe, of its options and of the data. A damaged file
    is made anew; where the cache folder cannot be written, the network is trained each time.
    """
    path = cache_folder() / "weights" / f"{name}-{_digest(recipe, data, options)}.safetensors"
    network: nn.Module = recipe.network()
    try:
        network.load_state_dict(load_file(path))
        return network.requires_grad_(False).eval()
    except (OSError, SafetensorError, RuntimeError):
        train: Callable[..., nn.Module] = recipe.trained
        network = train(*data, **options)
    with contextlib.suppress(OSError):  # then the next use trains again
        write_whole(path, lambda place: save_file(network.state_dict(), place))
    return network


def _digest(recipe: ModuleType, data: tuple[Tensor, Tensor], options: Mapping[str, str | int]) -> str:
    text = inspect.getsource(recipe) + inspect.getsource(fit) + (str(sorted(options.items())) if options else "")
    found = hashlib.blake2b(text.encode(), digest_size=8)
    for tensor in data:
        found.update(str(tuple(tensor.shape)).encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()
