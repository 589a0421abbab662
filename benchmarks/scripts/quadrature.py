"""Integrated gradients at equal numbers of gradients: completeness, error of the map, and the estimate of that error.

python -m benchmarks.quadrature [--subject photos|relu|smooth|transformer] [--first 0] [--last 20] [--out FILE]
                                [--samples FOLDER [--run]]

Subjects: EfficientNet-Lite0 on foolbox's 20 ImageNet photos, and three small nets trained here, in seconds, to tell which
way up a crop of those photos stands. Baseline zero, target the predicted class. One JSON with a row per image and rule.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

import pullback as pb
from pullback.core.files import write_text

from .path_samples import Sampled, sample
from .quadrature_subjects import subject

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


def rows(name: str, model: nn.Module, x: Tensor) -> Iterator[dict[str, object]]:
    """One row per rule for one image (1, *shape)."""
    target = int(model(x).argmax())
    run = lambda spec: pb.attribute(model, x, target, method=spec, batch_size=8)
    reference = run(REFERENCES[name])
    delta = float(reference.score_difference[0])
    error = lambda a: float((a - reference.values).norm() / reference.values.norm())
    values = IntegratedGradients(model).attribute(x, 0 * x, target, n_steps=50, internal_batch_size=8).detach()
    yield {
        "rule": "Captum default 50",
        "evaluations": 50,
        "gap": abs(float(values.sum()) - delta) / abs(delta),
        "error": error(values),
    }
    yield {
        "rule": "reference",
        "evaluations": reference.settings["evaluations"]["gradient"],
        "score_difference": delta,
        "gap": abs(float(reference.completeness_gap[0]) / delta),
        "error": 0.0,
    }
    for rule, spec in RULES.items():
        found = run(spec)
        row = {
            "rule": rule,
            "evaluations": found.settings["evaluations"]["gradient"],
            "gap": abs(float(found.completeness_gap[0]) / delta),
            "error": error(found.values),
        }
        if "map_error" in found.details:
            row |= {
                "estimate": float(found.details["map_error"][0]),
                "residual": float(found.details["residual"][0]) / delta,
                "correction": float(found.details["correction"][0]),
                "smooth": bool(found.details["smooth"][0]),
            }
        yield row


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
            made = pb.attribute(model, one, int(model(one).argmax()), method=RULES["certified 50"], batch_size=8)
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
    heads = [
        "rule",
        "evaluations",
        "gap, median (max)",
        "map error, median (max)",
        "median / Captum's",
        "worst / Captum's",
        "estimate / error, median (range)",
        "within ×2",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for rule in dict.fromkeys(row["rule"] for row in found):
        gap, error, spent = pick(rule, "gap"), pick(rule, "error"), pick(rule, "evaluations")
        cells = [rule, f"{np.median(spent):.0f}", f"{np.median(gap):.2%} ({gap.max():.2%})"]
        if rule != "reference":
            cells += [
                f"{np.median(error):.2g} ({error.max():.2g})",
                f"{np.median(error) / np.median(base):.3g}",
                f"{(error / base).max():.3g}",
            ]
        if any("estimate" in row for row in found if row["rule"] == rule):
            ratio = pick(rule, "estimate") / error
            inside = ((ratio > 0.5) & (ratio < 2)).mean()
            cells += [f"{np.median(ratio):.2f} ({ratio.min():.2f}–{ratio.max():.2f})", f"{inside:.0%}"]
        lines.append("| " + " | ".join(cells + [""] * (len(heads) - len(cells))) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
