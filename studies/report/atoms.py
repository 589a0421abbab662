"""Figures of the atoms and filters of fitted domains, beside known ones."""

import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ...core.files import slug
from ...transforms import BlockLinear, Lattice, SubbandLinear, Transform, get, lattice_angles
from .figures import save
from .tilings import last_part, leaves, tilings

MOST = 32


def draw(found: dict[str, tuple[Transform, Transform]], out: Path) -> list[str]:
    """A figure for each family whose domains have atoms, filters or trees to show, (fitted, twin) each.

    Returns the names of the files.
    """
    made = []
    for name, pair in found.items():
        figure = _figure(*map(last_part, pair))
        if figure is not None:
            made.append(save(figure, out / f"atoms-{slug(name)}.png"))
    return made


def _figure(fitted: Transform, twin: Transform) -> Figure | None:
    """The two domains beside a known one; None where they have nothing to show."""
    if isinstance(fitted, BlockLinear) and isinstance(twin, BlockLinear):
        return blocks({"fitted to the model": fitted, "without the model (PCA)": twin, "DCT": dct_like(fitted)})
    if isinstance(fitted, Lattice) and isinstance(twin, Lattice):
        db4 = Lattice(fitted.shape, lattice_angles("db4"), fitted.level)
        return filters({"fitted to the model": fitted, "without the model": twin, "db4": db4})
    if isinstance(fitted, SubbandLinear) and isinstance(twin, SubbandLinear):
        return matrices({"fitted to the model": fitted, "without the model": twin})
    if leaves(fitted) and leaves(twin):
        depth = max(1, min(4, *(int(math.log2(n)) for n in fitted.shape[1:])))
        pyramid = "+".join(["a" * depth, *("a" * level + "d" for level in range(depth))])
        known = {"wavelets": get(f"wpt(db4, nodes={pyramid})", fitted.shape)} if len(fitted.shape) == 2 else {}
        return tilings({"fitted to the model": fitted, "without the model": twin, **known})
    return None


def dct_like(like: BlockLinear) -> BlockLinear:
    """The DCT of blocks of opponent colours (of each channel, unless there are three), by rising frequency."""
    color = "color(opponent) >> " if like.shape[0] == 3 else ""
    inner = get(f"{color}block_dct(block={like.block[0]})", (like.shape[0], *like.block))
    atoms = inner.inverse(torch.eye(math.prod(inner.shape)).double().reshape(-1, *inner.shape)).flatten(1)
    rank = sum(
        torch.arange(n).reshape([-1 if i == axis else 1 for i in range(len(like.block))]) for axis, n in enumerate(like.block)
    )
    order = torch.as_tensor(rank).expand(like.shape[0], *like.block).flatten().argsort(stable=True)
    return like.with_matrices({"block": atoms[order]})


def blocks(domains: dict[str, BlockLinear]) -> Figure:
    """The leading atoms of each domain, a row of pictures each."""
    figure = Figure(figsize=(12, 1.6 * len(domains) + 0.3), layout="constrained")
    for row, (name, T) in zip(figure.subfigures(len(domains), 1, squeeze=False)[:, 0], domains.items()):
        row.suptitle(name, fontsize=9)
        shown = T.atoms[:MOST]
        for axis, atom in zip(row.subplots(2, MOST // 2).flat, shown):
            axis.imshow(_picture(atom), cmap="gray", vmin=0, vmax=1)
        for axis in row.axes:
            axis.set_axis_off()
    return figure


def filters(domains: dict[str, Lattice]) -> Figure:
    """The filters of each level, approximation above and detail below, and their responses to frequency."""
    deepest = max(T.level for T in domains.values())
    axes = (figure := Figure((2.6 * deepest, 6), layout="constrained")).subplots(3, deepest, squeeze=False, sharey="row")
    for name, T in domains.items():
        for level, pairs in enumerate(T.filters):
            for axis, taps in zip(axes[:2, level], pairs[0]):
                axis.plot(np.arange(len(taps)) - (len(taps) - 1) / 2, taps.numpy(), ".-", label=name)
            response = torch.fft.rfft(pairs[0][0], 256).abs()
            axes[2, level].plot(np.arange(129) / 256, response.numpy(), label=name)
            axes[0, level].set_title(f"level {level + 1}")
    for axis, label in zip(axes[:, 0], ("approximation", "detail", "|response|")):
        axis.set_ylabel(label)
    figure.supxlabel("cycles/sample", fontsize=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(domains), fontsize=8)
    return figure


def matrices(domains: dict[str, SubbandLinear]) -> Figure:
    """The matrices of each scale: a row is an atom, a column an orientation and channel."""
    kinds = list(next(iter(domains.values())).matrices)
    figure = Figure(figsize=(1.9 * len(kinds), 2.1 * len(domains)), layout="constrained")
    axes = figure.subplots(len(domains), len(kinds), squeeze=False)
    for row, (name, T) in zip(axes, domains.items()):
        for axis, (kind, matrix) in zip(row, T.matrices.items()):
            axis.imshow(matrix.numpy(), cmap="RdBu", vmin=-1, vmax=1)
            axis.set_title(kind, fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(name, fontsize=9)
    return figure


def _picture(atom: Tensor) -> np.ndarray:
    """An atom (channels, *block) as a picture; of more than two axes the middle plane, of one a row."""
    while atom.ndim > 3:
        atom = atom[:, atom.shape[1] // 2]
    atom = atom[:, None] if atom.ndim == 2 else atom
    scaled = 0.5 + atom / (2 * atom.abs().max().clamp(min=torch.finfo(atom.dtype).tiny))
    return (scaled.movedim(0, -1) if len(atom) == 3 else scaled.mean(0)).numpy()
