"""Real pictures for EfficientNet-Lite0 and Fashion-MNIST, with the photo that each belongs to."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.subjects.models import fitted
from pullback.studies import load_model, load_photos
from pullback.studies.zoo.packages import cache_folder

SIDE, MARGIN = 224, 0.15
_UNREAL = {"symbols", "cartoon", "plastic", "flags", "roadsigns"}  # folders of drawings


def photos(crops: int = 5) -> tuple[Tensor, Tensor]:
    """The 20 packaged photos, `crops` square cuts of each, (20 · crops, 3, 224, 224), and the number of the photo of each."""
    prepare, found = load_model("efficientnet-lite0").prepare, []
    for number, (_, image) in enumerate(load_photos("imagenet-sample")):
        side = round(0.8 * min(image.size))
        right, down = image.width - side, image.height - side
        for x, y in ((right // 2, down // 2), (0, 0), (right, 0), (0, down), (right, down))[:crops]:
            found.append((number, prepare(image.crop((x, y, x + side, y + side)))))
    return _stacked(found)


def stamps(most: int = 150, confident: float = 0.3) -> tuple[Tensor, Tensor]:
    """Photographed things cut out on white, (n, 3, 224, 224), those that EfficientNet-Lite0 names with p ≥ `confident`."""
    model, found = load_model("efficientnet-lite0"), []
    for number, path in enumerate(_stamp_files()):
        x = model.prepare(_on_white(Image.open(path).convert("RGBA")))
        with torch.no_grad():
            if float(model.module(x[None]).softmax(1).max()) >= confident:
                found.append((number, x))
        if len(found) == most:
            break
    return _stacked(found)


def _stamp_files() -> Iterator[Path]:
    folder = cache_folder() / "debian" / "tuxpaint-stamps-default" / "usr" / "share" / "tuxpaint" / "stamps"
    for path in sorted(folder.rglob("*.png")):
        if not _UNREAL & {*path.relative_to(folder).parts}:
            yield path


def _on_white(image: Image.Image) -> Image.Image:
    side = round(max(image.size) * (1 + 2 * MARGIN))
    white = Image.new("RGBA", (side, side), "white")
    white.alpha_composite(image, ((side - image.width) // 2, (side - image.height) // 2))
    return white.convert("RGB")


def _stacked(found: list[tuple[int, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.stack([x for _, x in found]), torch.tensor([number for number, _ in found])


def fashion(part: str, count: int) -> tuple[Tensor, Tensor]:
    """The first pictures of Fashion-MNIST and their labels.  part: "train" or "t10k". Shapes: (count, 1, 28, 28), (count,)."""
    root = cache_folder() / "debian" / "dataset-fashion-mnist"
    read = lambda what, skip: np.frombuffer(
        gzip.decompress(next(root.rglob(f"{part}-{what}*")).read_bytes()), np.uint8, -1, skip
    )
    pictures = torch.tensor(read("images", 16)[: count * 784].reshape(-1, 1, 28, 28) / 255, dtype=torch.float)
    return pictures, torch.tensor(read("labels", 8)[:count].astype(int))


def fashion_net(images: int = 20_000, epochs: int = 3) -> nn.Module:
    """A small convolutional network for Fashion-MNIST, trained here."""
    torch.manual_seed(0)
    relu, first, second = nn.ReLU(), nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, stride=2, padding=1)
    third, head = nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.Linear(64 * 49, 10)
    net = nn.Sequential(first, relu, second, relu, third, relu, nn.Flatten(), head)
    return fitted(net, *fashion("train", images), 2e-3, epochs).requires_grad_(False)
