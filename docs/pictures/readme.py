"""Draws the picture of README.md from a real run: `python docs/pictures/readme.py` (needs the extra `demo`, half a minute).

One photo, one gradient stream, three coordinate systems: the attribution in each system's own coordinates, the photo
rebuilt from the coefficients that the attribution ranks first, and the share of each octave.
"""

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

import pullback as pb

PHOTO = "imagenet_17_22.jpg"
METHOD = "integrated_gradients(tol=0.05, max_evaluations=100)"
DOMAINS = {"pixel": "samples", "dwt(db4, level=5)": "wavelets", "dct": "cosines"}
KEEP = 0.05
DPI, QUALITY = 130, 80  # 1,040 pixels wide, less than 200 kB
PAPER, INK, GREY = "#f6f8fa", "#1f2328", "#59636e"  # an opaque background, so that light and dark pages show the same


def run() -> tuple[torch.Tensor, str, list[Any], Any]:
    """(photo as the model reads it, name of the predicted class, one attribution for each domain, input -> brightness)."""
    photos = pb.studies.load_photos("imagenet-sample")
    image = next(image for photo, image in photos if photo.name == PHOTO)
    model = pb.studies.load_model("efficientnet-lite0")
    x = model.prepare(image)[None]
    target = int(model.classify(x).argmax(1))
    maps = pb.attribute(model.module, x, target, method=METHOD, transform=list(DOMAINS))
    return x, model.class_name(target), maps, model.picture()


def plane(att: Any) -> np.ndarray:
    """Σ|a| over the channels, laid out as a plane: wavelet bands in the usual pyramid, coarse in the upper left corner."""
    a = att.values[0].abs().sum(0)
    if a.ndim == 2:
        return a.numpy()
    layout = att.layout
    bands = {band.name: a[layout.index[0] == number].numpy() for number, band in enumerate(layout.bands)}
    level = max(band.scale for band in layout.bands) - 1
    square = lambda values: values.reshape(2 * [round(len(values) ** 0.5)])
    found = square(bands[f"aa{level}"])
    for scale in range(level, 0, -1):
        parts = (square(bands[f"{name}{scale}"]) for name in ("ad", "da", "dd"))
        right, below, corner = parts
        found = np.block([[found, right], [below, corner]])
    return found


def coloured(values: np.ndarray) -> np.ndarray:
    """The values as colours, on a scale that shows small ones: (|a| / the 99.8th percentile) to the power 0.4."""
    limit = np.quantile(values, 0.998)
    return matplotlib.colormaps["magma"]((values / limit).clip(0, 1) ** 0.4)


def brightness(signal: torch.Tensor, picture: Any) -> np.ndarray:
    return picture(signal)[0].clamp(0, 1).permute(1, 2, 0).numpy()


def draw() -> Figure:
    """The figure: a column for the photo and one for each domain."""
    x, name, maps, picture = run()
    figure = Figure(figsize=(8, 5.9), facecolor=PAPER, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.08, wspace=0.02, hspace=0.03)
    axes = figure.subplots(3, 4, height_ratios=[1, 1, 0.55])
    axes[0, 0].imshow(brightness(x, picture))
    axes[0, 0].set_title(f"the photo, seen as\n{name}", fontsize=9.5, color=INK)
    for axis, text in zip(axes[1:, 0], CAPTIONS):
        axis.text(0, 0.5, text, transform=axis.transAxes, va="center", fontsize=9, color=INK, linespacing=1.4)
    for column, (att, (spec, word)) in enumerate(zip(maps, DOMAINS.items()), 1):
        axes[0, column].imshow(coloured(plane(att)), interpolation="nearest")
        axes[0, column].set_title(f"attribution to {word}\n{spec}", fontsize=9.5, color=INK)
        axes[1, column].imshow(brightness(att.signal(keep=KEEP), picture))
        bars(axes[2, column], att)
    for axis in [*axes[0], *axes[1], axes[2, 0]]:
        axis.axis("off")
    return figure


CAPTIONS = (
    f"The photo rebuilt from\nthe coefficients with\nthe largest |a|, as many\nas {100 * KEEP:.0f} % of its samples",
    "The share of Σ|a| in each\noctave of frequency, from\nlow to high (octave 1)",
)


def bars(axis: Any, att: Any) -> None:
    """The shares of the octaves; those below octave 5 are added up."""
    shares = att.importance("octave").iloc[0]
    axis.set_facecolor(PAPER)
    axis.tick_params(length=0, labelsize=9, labelcolor=GREY)
    axis.set_yticks([])
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(GREY)
    fine = [f"octave {octave}" for octave in range(5, 0, -1)]
    if "all" in shares:
        axis.axis("off")
        axis.text(0.5, 0.5, "every pixel holds\nall octaves", ha="center", va="center", fontsize=9, color=GREY)
        return
    heights = [shares.sum() - shares.reindex(fine).sum(), *shares.reindex(fine).fillna(0)]
    axis.bar(range(len(heights)), heights, color="#0969da", width=0.75)
    axis.set_xticks(range(len(heights)), ["low", *"54321"])
    for place, height in enumerate(heights):
        axis.text(place, height, f"{100 * height:.0f} %", ha="center", va="bottom", fontsize=8, color=GREY)
    axis.set_ylim(0, 1.25 * max(heights))


def main() -> None:
    buffer = io.BytesIO()
    draw().savefig(buffer, dpi=DPI)
    image = Image.open(buffer).convert("RGB")
    image.save(Path(__file__).with_suffix(".jpg"), quality=QUALITY, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
