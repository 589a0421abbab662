"""Draws the pictures of the reference pages: `python -m benchmarks.scripts.reference_pictures` (extra `demo`, some minutes).

For each transform: some of its basis functions, from coarse to fine. For each method: its map of one photograph, in wavelets.
For each metric that needs no truth: its value for several maps of that photograph. For each axiom: the residuals of the stored
matrix. With names as arguments, only theirs.
"""

import contextlib
import dataclasses
import io
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image

import pullback as pb
from benchmarks.results.stored import ROOT
from pullback.attribution import Attribution
from pullback.attribution.estimator import estimators
from pullback.attribution.plot import density, draw_density, draw_signal, robust_limit
from pullback.axioms.method_laws import LAWS
from pullback.metrics import Needs, Scores
from pullback.transforms import BlockLinear, SubbandLinear, Transform, TransformClaim
from pullback.transforms.registry import transforms

OUT = ROOT / "docs" / "pictures" / "reference"
PHOTO, MODEL, DOMAIN = "imagenet_17_22.jpg", "efficientnet-lite0", "dwt(haar, level=3)"
SHAPES = [(1, 32, 32), (3, 32, 32), (1, 64)]
# Transforms whose default options show little, and what is costly with them, or needs some.
SPECS = {
    "lattice": "lattice(angles=[1.2, -0.6], level=3)",
    "tiling": "tiling(db4, tree=iji..j..ij..J..)",
    "captum": "captum(DeepLift)",
    "lime": "lime(samples=300)",
    "kernel_shap": "kernel_shap(samples=300)",
    "rise": "rise(masks=400)",
    "mask": "mask(alpha=1e-4, steps=60)",
    "occlusion": "occlusion(by=band)",
    "shapley": "shapley(by=band)",
    "sobol": "sobol(samples=32)",
    "hsic": "hsic(samples=256)",
    "sensitivity_n": "sensitivity_n(samples=8)",
    "max_sensitivity": "max_sensitivity(samples=3)",
    "top_k_stability": "top_k_stability(samples=2)",
}
# The methods whose maps are judged, and two controls: a ranking that never sees the model, and one that sees nothing.
JUDGED = ("gradient", "input_x_gradient", "integrated_gradients(steps=8)", "smoothgrad(samples=8)")
COSTLY = JUDGED[2]
CONTROLS = ("by |z - z₀|", "random")
MATRIX = ROOT / "docs" / "axioms" / "matrix-small.csv"
COUNT = 6  # basis functions in a picture


def matrices(name: str) -> Transform | None:
    """The transforms that need matrices, with those of a DCT."""
    cosines = lambda n: pb.transforms.get("dct", (1, n))(torch.eye(n, dtype=torch.double)[:, None])[:, 0].T
    if name == "block_linear":
        return BlockLinear((1, 64), cosines(8), block=8, overlap=True)
    if name == "subband_linear":
        return SubbandLinear((1, 32, 32), {"a3": cosines(1), **{f"d{n}": cosines(3) for n in (1, 2, 3)}}, "dwt(db4, level=3)")
    return None


def built(name: str) -> Transform:
    """A transform of this name for an image, else its first example with a spatial axis."""
    if (found := matrices(name)) is not None:
        return found
    for shape in SHAPES:
        with contextlib.suppress(ValueError, TypeError):
            return pb.transforms.get(SPECS.get(name, name), shape)
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


def judged(model: Any, x: torch.Tensor, target: int) -> dict[str, Attribution]:
    """The maps that a metric judges, the controls among them."""
    maps = {spec: pb.attribute(model.module, x, target, method=spec, transform=DOMAIN) for spec in JUDGED}
    share = maps["input_x_gradient"]
    noise = torch.rand(share.values.shape, generator=torch.Generator().manual_seed(0), dtype=share.values.dtype)
    values = {CONTROLS[0]: share.displacement.abs(), CONTROLS[1]: noise}
    return maps | {name: dataclasses.replace(share, values=value) for name, value in values.items()}


def judge(name: str, model: Any, target: int, maps: dict[str, Attribution]) -> dict[str, Scores]:
    """What the metric says of each map that it accepts."""
    found = {}
    for spec, att in maps.items():
        if spec in (*CONTROLS, COSTLY) and Needs.EXPLAIN in pb.metrics.get(name).needs:
            continue  # the maps of other inputs need a method, and are many
        with contextlib.suppress(ValueError):
            found[spec] = pb.metrics.measure(model.module, att, [SPECS.get(name, name)], target)[0]
    return found


def draw_metric(name: str, model: Any, target: int, maps: dict[str, Attribution]) -> Figure:
    """Its value for each map, its chance level, and its curves where it has some."""
    metric, found = pb.metrics.get(name), judge(name, model, target, maps)
    curves = [scores.curve for scores in found.values() if scores.curve is not None]
    figure = Figure(figsize=(8, 2.3), layout="constrained")
    axes = figure.subplots(1, 2 if curves else 1, squeeze=False)[0]
    names = list(found)
    for place, (spec, scores) in enumerate(found.items()):
        colour = "#8c959f" if spec in CONTROLS else f"C{place}"
        axes[0].plot(float(scores.value), place, "o", color=colour)
        if scores.curve is not None:
            style = {CONTROLS[0]: ".--", CONTROLS[1]: ".:"}.get(spec, ".-")
            axes[1].plot(scores.axis, scores.curve[0], style, color=colour, linewidth=1)
    if metric.chance is not None:
        axes[0].axvline(metric.chance, color="#8c959f", linestyle=":", label="expected of a random map")
        axes[0].legend(fontsize=6)
    values = [float(scores.value) for scores in found.values()]
    if min(values) > 0 and max(values) > 1000 * min(values):
        axes[0].set_xscale("log")
    axes[0].set_yticks(range(len(names)), names, fontsize=7)
    axes[0].invert_yaxis()
    for axis in axes:
        axis.tick_params(axis="x", labelsize=7)
        axis.grid(alpha=0.3)
    better = "a description, neither is better" if metric.better == "neither" else f"{metric.better} is better"
    axes[0].set_title(f"{SPECS.get(name, name)}: {better}", fontsize=7)
    if curves:
        axes[1].set_title("curves, from which it follows", fontsize=7)
    figure.supxlabel(f"maps of the photograph in {DOMAIN}, {model.name}, {model.class_name(target)}", fontsize=7)
    return figure


def draw_axiom(name: str) -> Figure:
    """The largest residual over domains of each method, as a part of the tolerance."""
    table = pd.read_csv(MATRIX)
    table = table[(table["axiom"] == name) & (table["verdict"] != "not applicable")]
    parts = (table["residual"] / table["tolerance"].clip(lower=1e-10)).groupby(table["method"]).max().sort_values()
    broken = table[table["verdict"] == "BROKEN"]["method"].unique()
    figure = Figure(figsize=(8, 0.9 + 0.17 * len(parts)), layout="constrained")
    axis = figure.subplots()
    lowest = 1e-7
    for place, (method, part) in enumerate(parts.items()):
        lost = method in broken
        axis.plot(max(part, lowest), place, "x" if lost else "o", color="#cf222e" if lost else "#0969da", markersize=4)
    axis.axvline(1, color="#57606a", linestyle=":")
    axis.set_xscale("log")
    axis.set_yticks(range(len(parts)), parts.index, fontsize=6)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(alpha=0.3)
    axis.set_xlabel(
        f"largest residual of {name} over all domains, in units of the tolerance; {lowest:g} stands for less", fontsize=7
    )
    axis.set_title("circles keep the law in all domains, crosses do not", fontsize=7)
    return figure


def save(figure: Figure, name: str) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    OUT.mkdir(parents=True, exist_ok=True)
    Image.open(buffer).convert("RGB").save(OUT / f"{name}.webp", quality=72, method=6)


def main(names: Sequence[str]) -> None:
    chosen = lambda found: [name for name in found if not names or name in names]
    for name in chosen(pb.transforms.names()):
        save(draw_transform(name), name)
    for name in chosen(law.name for law in LAWS):
        save(draw_axiom(name), name)
    methods = chosen(estimators.names())
    measures = [name for name in chosen(pb.metrics.names()) if not pb.metrics.get(name).needs & (Needs.TRUTH | Needs.SOURCE)]
    if not methods and not measures:
        return
    model = pb.studies.load_model(MODEL)
    image = next(image for photo, image in pb.studies.load_photos("imagenet-sample") if photo.name == PHOTO)
    x = model.prepare(image)[None]
    for name in methods:
        print(name, flush=True)
        save(draw_method(name, model, x), name)
    target = int(model.classify(x).argmax(1))
    maps = judged(model, x, target) if measures else {}
    for name in measures:
        print(name, flush=True)
        save(draw_metric(name, model, target, maps), name)


if __name__ == "__main__":
    main(sys.argv[1:])
