"""Gradients along the path of one image, sampled once: every rule of `quadrature` is then judged without the model."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.methods.integrated_gradients import clenshaw_curtis as spectral
from pullback.attribution.methods.integrated_gradients import error_estimate as certificate
from pullback.attribution.methods.integrated_gradients import quadrature
from pullback.attribution.methods.integrated_gradients.error_estimate import Grid, Path


def sample(model: nn.Module, x: Tensor) -> dict[str, np.ndarray]:
    """Gradients of one image on a dense grid and at Captum's nodes, as scalar products of ∇f ⊙ Δ. Captum's are marked."""
    dense, gauss = ((np.arange(512) + 0.5) / 512) ** 1.5, (np.polynomial.legendre.leggauss(50)[0] + 1) / 2
    alpha = np.concatenate([dense, gauss])
    order = np.argsort(alpha)
    target = int(model(x).argmax())
    shares, scores = [], []
    for part in torch.tensor(alpha[order], dtype=x.dtype).split(8):
        points = (part.reshape(-1, 1, 1, 1) * x).contiguous(memory_format=torch.channels_last).requires_grad_()
        score = model(points)[:, target]
        shares.append((torch.autograd.grad(score.sum(), points)[0] * x).flatten(1))
        scores.append(score.detach())
    rows, ends = torch.cat(shares), torch.stack([model(0 * x)[0, target], model(x)[0, target]])
    return {
        "alpha": alpha[order],
        "gauss": np.flatnonzero(order >= 512),
        "gram": (rows @ rows.T).double().numpy(),
        "slope": rows.double().sum(1).numpy(),
        "size": rows.shape[1],
        "score": torch.cat(scores).double().numpy(),
        "ends": ends.numpy(),
    }


class Sampled:
    """The integrand of one image, known on a dense grid: a rule takes the sample nearest to each of its nodes.

    The reference weighs every sample by its cell. At both ends stands the nearest sample with the exact score.
    """

    def __init__(self, known: dict[str, np.ndarray]) -> None:
        inner = np.arange(len(known["alpha"]))
        twin = np.concatenate([[0], inner, [inner[-1]]])
        self.alpha = np.concatenate([[0], known["alpha"], [1]])
        self.gauss = known["gauss"] + 1
        self.slope, self.gram = known["slope"][twin], known["gram"][np.ix_(twin, twin)]
        self.score = np.concatenate([known["ends"][:1], known["score"], known["ends"][1:]])
        self.delta = float(self.score[-1] - self.score[0])
        self.size = int(known.get("size", 1))
        values, vectors = np.linalg.eigh(self.gram)
        sketch = vectors * np.sqrt(np.maximum(values, 0))
        self.facts = np.column_stack([self.score, self.slope, (sketch**2).sum(1), sketch])
        self.best = self.cells(np.arange(1, len(self.alpha) - 1))

    def nearest(self, nodes: np.ndarray) -> np.ndarray:
        right = np.searchsorted(self.alpha, nodes).clip(1, len(self.alpha) - 1)
        return right - (nodes - self.alpha[right - 1] < self.alpha[right] - nodes)

    def cells(self, at: np.ndarray) -> np.ndarray:
        """Weights of the samples `at`, each by what lies nearest to it. Shape: (samples,)."""
        nodes = self.alpha[at]
        out = np.zeros(len(self.alpha))
        out[at] = np.diff(np.concatenate([[0], (nodes[1:] + nodes[:-1]) / 2, [1]]))
        return out

    def measure(self, weights: np.ndarray, count: int) -> dict[str, float]:
        off = weights - self.best
        size = self.best @ self.gram @ self.best
        return {
            "evaluations": count,
            "gap": abs(float(weights @ self.slope - self.delta) / self.delta),
            "error": float(np.sqrt(max(off @ self.gram @ off, 0) / size)),
        }

    def certified(self, most: int, correct: bool = True, tol: float = 0.0) -> dict[str, float]:
        """The method of attribution/methods/integrated_gradients/adaptive.py, its grids and its certificate, on the samples."""
        sizes = quadrature.levels(most, quadrature.first_gaps(most))
        at = self.nearest(spectral.nodes(sizes[0] - 1))
        path = Path.of(Grid.smooth(sizes[0] - 1), self.facts[at], self.size)
        for level, count in enumerate(sizes):
            grid = path.grid
            if level and grid.cells and (level > 1 or certificate.is_smooth(path, 1e-6)):
                grid = Grid.smooth(grid.cells * (3 if level == 1 else 2))
                at = self.nearest(grid.nodes)
            elif level:
                fresh = (
                    grid.halved(count)[1]
                    if level > 1
                    else quadrature.refine(grid.nodes, path.changes(0.0), count - len(at))
                )
                at = np.unique(np.concatenate([at, self.nearest(fresh)]))
                grid = Grid.on(self.alpha[at])
            path = Path.of(grid, self.facts[at], self.size)
            found = certificate.certificate(path, tol, correct, 1e-6)
            if found.meets:
                break
        weights = np.zeros(len(self.alpha))
        np.add.at(weights, at, found.weights)
        return self.measure(weights, len(at)) | {
            "estimate": found.error,
            "residual": found.before / self.delta,
            "correction": found.moved,
            "smooth": found.smooth,
        }

    def returned(self, found: pb.Attribution) -> dict[str, float]:
        """What the library returned: its own gap, and the error of its nodes and weights on the samples."""
        weights = np.zeros(len(self.alpha))
        np.add.at(weights, self.nearest(found.details["nodes"][0].numpy()), found.details["weights"][0].numpy())
        names = {"estimate": "map_error", "correction": "correction", "local": "local_error"}
        row = self.measure(weights, int(found.details["evaluations"][0]))
        row |= {key: float(found.details[name][0]) for key, name in names.items()}
        row["gap"] = abs(float(found.gap[0]) / self.delta)
        row["residual"] = float(found.details["residual"][0]) / self.delta
        return row

    def rows(self) -> Iterator[dict[str, object]]:
        gauss = np.zeros(len(self.alpha))
        gauss[self.gauss] = np.polynomial.legendre.leggauss(50)[1] / 2
        yield {"rule": "Captum default 50", **self.measure(gauss, 50)}
        graded = self.nearest(quadrature.graded(50)[0])
        yield {"rule": "graded 50", **self.measure(self.cells(graded), 50)}
        yield {"rule": "certified 50, uncorrected", **self.certified(50, correct=False)}
        for most in (25, 50, 100):
            yield {"rule": f"certified {most}", **self.certified(most)}
        yield {"rule": "certified, tol 5%", **self.certified(200, tol=0.05)}
