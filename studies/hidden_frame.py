"""Planted truth for the search of domains: a network that reads a few atoms of a hidden orthogonal frame."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..core.progress import Progress
from ..domains import Streams, fit_domain, selection_error
from ..transforms import BlockLinear, Transform, get

METHOD = "integrated_gradients(steps=16)"
KINDS = ("blocks", "packets", "tilings")
_FAMILIES = {
    "blocks": "block_klt(block=4, overlap=false, separable=false)",
    "packets": "packets(wavelets=[db4], level=3, trees=[isotropic])",
    "tilings": "packets(wavelets=[db4], level=3, trees=[space_frequency])",
}


@dataclass(frozen=True)
class HiddenFrame:
    """Gaussian signals, which are independent in a hidden orthogonal frame, and a network that reads some of its atoms.

    kind: blocks, a random orthogonal matrix on blocks of an image; packets, a random tree of wavelet packets of a series; or
    tilings, a random tree of an image that is cut in space, and whose parts are halved in frequency, one axis at a time.
    frame: the hidden transform.  read: which of its coefficients the network reads, one flag for each, (*coeff).
    net: f(x) = Σ_k w_k softplus(4 z_k - 2) over these.  x: (examples, *shape), in double precision.
    """

    kind: str
    frame: Transform
    read: Tensor
    net: nn.Module
    x: Tensor

    @property
    def family(self) -> str:
        """The family of domains that holds the frame."""
        return _FAMILIES[self.kind]


class _Reader(nn.Module):
    """Σ_k w_k softplus(4 ⟨atom_k, x⟩ - 2)."""

    def __init__(self, atoms: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.atoms, self.weights = nn.Parameter(atoms, requires_grad=False), nn.Parameter(weights, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(4 * x.flatten(1) @ self.atoms.T - 2) @ self.weights


class _BlockReader(nn.Module):
    """The same, with atoms that are read in every block: a convolution whose stride is its size."""

    def __init__(self, atoms: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.atoms, self.weights = nn.Parameter(atoms, requires_grad=False), nn.Parameter(weights, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        read = nn.functional.conv2d(x, self.atoms, stride=self.atoms.shape[-1])
        return nn.functional.softplus(4 * read - 2).sum((2, 3)) @ self.weights


def hidden_frame(kind: str = "blocks", seed: int = 0, examples: int = 100, side: int | None = None) -> HiddenFrame:
    """A task of one kind. Distractors are as loud as the atoms that are read, or louder.

    side: of the image, 32 if not given, 16 of a tiling; a series has side² samples, with 16 for side.

    Raises: ValueError for an unknown kind.

    >>> task = hidden_frame("blocks", examples=3)
    >>> task.x.shape, int(task.read.sum()) * 4 == task.read.numel()
    (torch.Size([3, 1, 32, 32]), True)
    """
    side, generator = side or (32 if kind == "blocks" else 16), torch.Generator().manual_seed(seed)
    draw = functools.partial(torch.randn, generator=generator, dtype=torch.double)
    if kind == "blocks":
        basis = torch.linalg.qr(draw((16, 16))).Q
        frame: Transform = BlockLinear((1, side, side), basis, 4)
        rank = (torch.arange(side)[:, None] % 4) * 4 + torch.arange(side) % 4  # of the atom at each place
        read, loud = (rank < 4)[None], 1 + 1.5 * (rank >= 12)[None]
        net: nn.Module = _BlockReader(basis[:4].reshape(4, 1, 4, 4), torch.tensor([4.0, 3.0, 2.0, 1.0]).double())
    elif kind in KINDS:
        if kind == "packets":
            frame = get(f"wpt(db4, nodes={'+'.join(_random_tree(generator))})", (1, side * side))
        else:
            frame = get(f"tiling(db4, tree={_random_tiling(generator)})", (1, side, side))
        bands = frame.layout.index
        chosen = torch.randperm(len(frame.layout.bands), generator=generator)
        read, loud = torch.isin(bands, chosen[: max(1, len(chosen) // 4)]), 1 + 1.5 * (bands == chosen[-1])
        units = torch.eye(read.numel(), dtype=torch.double)[read.flatten()].reshape(-1, *read.shape)
        net = _Reader(frame.inverse(units).flatten(1), torch.ones(int(read.sum())).double())
    else:
        raise ValueError(f"hidden_frame: expected a kind in {', '.join(KINDS)}; got {kind!r}.")
    return HiddenFrame(kind, frame, read, net.eval(), frame.inverse(draw((examples, *frame.layout.shape)) * loud))


def _random_tree(generator: torch.Generator, depth: int = 3) -> list[str]:
    """The leaves of a random tree of at least two and at most 2^depth nodes."""
    leaves, done = ["a", "d"], list[str]()
    while leaves:
        path = leaves.pop()
        split = len(path) < depth and float(torch.rand((), generator=generator)) < 0.6
        (leaves if split else done).extend([path + "a", path + "d"] if split else [path])
    return sorted(done)


def _random_tiling(generator: torch.Generator) -> str:
    """An image that is cut along one axis; one part is halved in frequency at random, the other one once."""
    one, other = "ij" if float(torch.rand((), generator=generator)) < 0.5 else "ji"

    def halved(depth: int) -> str:
        if depth and float(torch.rand((), generator=generator)) < 0.7:
            axis = "ij"[int(torch.randint(2, (), generator=generator))]
            return axis + halved(depth - 1) + halved(depth - 1)
        return "."

    return f"{one.upper()}{other}{halved(2)}{halved(2)}{one}.."


def recovery(task: HiddenFrame, seed: int = 0, folds: int = 5) -> dict[str, Any]:
    """What the search finds of a hidden frame, and what it finds where the network's numbers are in random order.

    error_oracle, error_fitted, error_twin, error_randomised: mean selection error in the frame itself, and in the domains
    found with the network, without it, and with the randomised one, on examples that these had not seen.
    angle, angle_twin, angle_randomised: the largest principal angle between the atoms that the network reads and as many of
    the nearest atoms of the domain, in degrees; of packets 0 where every node that it reads is a leaf of the tree, else 90.
    counts, counts_randomised: whether these domains beat the twin.
    """
    streams = Streams.of(task.net, task.x, method=METHOD, seed=seed)
    found = fit_domain(streams, task.family, folds=folds, seed=seed)
    oracle = selection_error(task.net, streams.pairs, {"frame": task.frame})["frame"]
    foreign = fit_domain(Streams(streams.searches(seed)["randomised"]), task.family, folds=folds, seed=seed).transform
    errors = {name: float(found.judged[name].mean()) for name in ("fitted", "twin", "randomised")}
    angles = {"angle": found.transform, "angle_twin": found.twin, "angle_randomised": foreign}
    row: dict[str, Any] = {"kind": task.kind, "seed": seed, "error_oracle": float(oracle.mean())}
    row |= {f"error_{name}": error for name, error in errors.items()}
    row |= {name: angle(task, transform) for name, transform in angles.items()}
    return row | {"counts": found.counts, "counts_randomised": bool(found.against("twin", "randomised")["low"] > 0)}


def angle(task: HiddenFrame, transform: Transform) -> float:
    """See `recovery`."""
    if task.kind == "packets":
        read = {task.frame.layout.bands[number].name for number in task.frame.layout.index[task.read].unique().tolist()}
        return 0.0 if read <= {band.name for band in transform.layout.bands} else 90.0
    if isinstance(task.frame, BlockLinear) and isinstance(transform, BlockLinear):
        overlap = task.frame.matrices["block"][:4] @ transform.matrices["block"].T
    else:
        overlap = _atoms(task.frame)[task.read.flatten()] @ _atoms(transform).T
    nearest = overlap.square().sum(0).topk(len(overlap)).indices
    cosine = float(torch.linalg.svdvals(overlap[:, nearest]).min().clamp(max=1))
    return math.degrees(math.acos(cosine))


def _atoms(transform: Transform) -> Tensor:
    """The atoms of an orthonormal basis as rows."""
    units = torch.eye(math.prod(transform.shape), dtype=torch.double).reshape(-1, *transform.layout.shape)
    return transform.inverse(units).flatten(1)


def planted_search(
    seeds: Sequence[int] = range(20),
    kinds: Sequence[str] = KINDS,
    examples: int = 100,
    progress: Progress | None = None,
    take: Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any] | None] = lambda key, make: make(),
) -> pd.DataFrame:
    """One row of `recovery` for each kind and seed.  progress: called with (tasks done, tasks planned).

    take: called with a name and what makes the row; it returns the row, or None to leave it out.
    """
    rows, tasks = [], list(itertools.product(kinds, seeds))
    for done, (kind, seed) in enumerate(tasks, 1):
        rows.append(take(f"{kind}/{seed}", functools.partial(_row, kind, seed, examples)))
        if progress is not None:
            progress(done, len(tasks))
    return pd.DataFrame([row for row in rows if row is not None])


def _row(kind: str, seed: int, examples: int) -> dict[str, Any]:
    return recovery(hidden_frame(kind, seed, examples), seed)


def sentences(found: pd.DataFrame) -> list[str]:
    """What a table of `planted_search` says, one sentence for each kind."""
    said = []
    for kind, rows in found.groupby("kind", sort=False):
        ratio = (rows["error_fitted"] / rows["error_oracle"]).to_numpy()
        near, count = int(np.sum(ratio <= 1.05)), len(rows)
        text = f"{kind}: the error of the domain found is within 5 % of the hidden frame's in {near} of {count} tasks "
        text += f"(median ratio {np.median(ratio):.3f}; angle {rows['angle'].median():.1f}°, without the model "
        text += f"{rows['angle_twin'].median():.1f}°); it counts in {int(rows['counts'].sum())}, "
        foreign = int(np.sum(rows["error_randomised"] / rows["error_oracle"] <= 1.05))
        text += f"with a randomised network in {int(rows['counts_randomised'].sum())}, where it is within 5 % in {foreign}"
        said.append(f"{text} and the angle at least {rows['angle_randomised'].min():.1f}°")
    return said
