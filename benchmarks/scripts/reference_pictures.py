"""Draws the pictures of the reference pages: `python -m benchmarks.scripts.reference_pictures` (extra `demo`, some minutes).

For each transform: some of its basis functions, from coarse to fine. For each method: its map of one photograph, in wavelets.
With names as arguments, only theirs.
"""

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

import pullback as pb
from benchmarks.results.stored import ROOT
from pullback.attribution.estimator import estimators
from pullback.attribution.plot import density, draw_density, draw_signal, robust_limit
from pullback.transforms import Transform, TransformClaim
from pullback.transforms.registry import transforms

OUT = ROOT / "docs" / "pictures" / "reference"
PHOTO, MODEL, DOMAIN = "imagenet_17_22.jpg", "efficientnet-lite0", "dwt(haar, level=3)"
SHAPES = [(1, 32, 32), (3, 32, 32), (1, 64)]
# Methods that are costly with their default options, or need some: fewer samples for the picture.
SPECS = {
    "captum": "captum(DeepLift)",
    "lime": "lime(samples=300)",
    "kernel_shap": "kernel_shap(samples=300)",
    "rise": "rise(masks=400)",
    "mask": "mask(alpha=1e-4, steps=60)",
    "occlusion": "occlusion(by=band)",
    "shapley": "shapley(by=band)",
    "sobol": "sobol(samples=32)",
    "hsic": "hsic(samples=256)",
}
COUNT = 6  # basis functions in a picture


def built(name: str) -> Transform:
    """A transform of this name for an image, else its first example with a spatial axis."""
    for shape in SHAPES:
        with contextlib.suppress(ValueError, TypeError):
            return pb.transforms.get(name, shape)
    return next(each for each in transforms.maker(name).examples() if len(each.shape) > 1)  # type: ignore[attr-defined]


def functions(transform: Transform) -> tuple[list[str], list[torch.Tensor]]:
    """Names of bands, and T⁻¹ of one coefficient in the middle of each, coarse to fine."""
    layout = transform.layout
    index = layout.index.flatten()
    bands = [number for number in range(len(layout.bands)) if bool((index == number).any())]
    chosen = [bands[round(i)] for i in np.linspace(0, len(bands) - 1, min(COUNT, len(bands)))]
    if len(chosen) == 1:  # one band for everything, as in pixels: places all over it
        places = [int(i) for i in np.linspace(0.1, 0.9, COUNT) * len(index)]
    else:
        places = [(own := (index == number).nonzero()[:, 0])[len(own) // 2].item() for number in chosen]
    z = torch.zeros(len(places), len(index), dtype=torch.double)
    z[range(len(places)), places] = 1
    names = [layout.bands[int(index[place])].name for place in places]
    return names, list(transform.inverse(z.reshape(len(places), *layout.shape)))


def draw_transform(name: str) -> Figure:
    """The basis functions."""
    transform = built(name)
    figure = Figure(figsize=(8, 1.75), layout="constrained")
    names, signals = functions(transform)
    for axis, own, signal in zip(figure.subplots(1, len(names), squeeze=False)[0], names, signals):
        signal = signal if signal.ndim < 4 else signal.mean(1)
        limit = float(signal.abs().max()) or 1.0
        signal = signal[signal.abs().flatten(1).amax(1).argmax()]  # the channel in which it lies
        if signal.ndim == 1:
            axis.plot(signal, color="#0969da", linewidth=1)
            axis.set_ylim(-1.1 * limit, 1.1 * limit)
        else:
            axis.imshow(signal, cmap="RdBu", vmin=-limit, vmax=limit)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(own, fontsize=7)
    linear = TransformClaim.LINEAR in transform.claims
    what = "basis functions T⁻¹eₖ" if linear else "T⁻¹ of one coefficient at 1"
    figure.supxlabel(f"{what} of {transform.spec} on signals of shape {transform.shape}, coarse to fine", fontsize=7)
    return figure


def draw_method(name: str, model: Any, x: torch.Tensor) -> Figure:
    """The map of the photograph: as a whole, and in each octave."""
    spec = SPECS.get(name, name)
    target = int(model.classify(x).argmax(1))
    found = pb.attribute(model.module, x, target, method=spec, transform=DOMAIN)
    octaves = [band.name for band in found.layout.group("octave").bands]
    panels = [density(found.heatmap()[0]), *(density(each) for each in found.heatmap("octave")[0])]
    figure = Figure(figsize=(8, 1.95), layout="constrained")
    axes = figure.subplots(1, len(panels) + 1)
    draw_signal(axes[0], x[0], show=model.picture())
    shares = found.importance("octave").iloc[0]
    titles = ["all", *(f"{own}: {100 * shares[own]:.0f} %" for own in octaves)]
    limits = [robust_limit(panels[:1])] + [robust_limit(panels[1:])] * len(octaves)
    for axis, title, panel, limit in zip(axes[1:], titles, panels, limits):
        draw_density(axis, panel, limit)
        axis.set_title(title, fontsize=7)
    axes[0].set_title(model.class_name(target), fontsize=7)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    cost = found.settings["evaluations"]
    said = f"{spec} in {DOMAIN}, {model.name}: {cost['gradient']:,} gradients, {cost['forward']:,} forwards"
    figure.supxlabel(said, fontsize=7)
    return figure


def save(figure: Figure, name: str) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    OUT.mkdir(parents=True, exist_ok=True)
    Image.open(buffer).convert("RGB").save(OUT / f"{name}.webp", quality=72, method=6)


def main(names: Sequence[str]) -> None:
    for name in pb.transforms.names():
        if not names or name in names:
            save(draw_transform(name), name)
    chosen = [name for name in estimators.names() if not names or name in names]
    if chosen:
        model = pb.studies.load_model(MODEL)
        image = next(image for photo, image in pb.studies.load_photos("imagenet-sample") if photo.name == PHOTO)
        x = model.prepare(image)[None]
        for name in chosen:
            print(name, flush=True)
            save(draw_method(name, model, x), name)


if __name__ == "__main__":
    main(sys.argv[1:])
