"""Integrated gradients at equal numbers of gradients: completeness, error of the map, and the estimate of that error.

python -m benchmarks.scripts.quadrature [--subject photos|relu|smooth|transformer] [--first 0] [--last 20] [--out FILE]

Subjects: EfficientNet-Lite0 on foolbox's 20 ImageNet photos, and three small nets trained here, in seconds, to tell which
way up a crop of those photos stands. Baseline zero, target the predicted class. One JSON with a row per image and rule;
`make pages` makes a table of it.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from benchmarks.measure import calls
from benchmarks.results.stored import RESULTS
from benchmarks.subjects.quadrature_subjects import subject
from pullback.core.files import write_text

RULES = {
    "graded 50": "integrated_gradients(steps=50, rule='graded')",
    "graded 50, corrected": "integrated_gradients(steps=50, rule='graded', correct=True)",
    "certified 50, uncorrected": "integrated_gradients(tol=0, max_evaluations=50, correct=False)",
    "certified 25": "integrated_gradients(tol=0, max_evaluations=25)",
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


def rows(name: str, model: nn.Module, x: Tensor) -> Iterator[dict[str, Any]]:
    """One row per rule for one image (1, *shape)."""
    target = int(model(x).argmax())
    run = lambda spec: calls.attribute(model, x, target, spec, batch_size=8)
    reference = run(REFERENCES[name])
    delta = float(reference.score_difference[0])
    error = lambda values: float((values - reference.values).norm() / reference.values.norm())
    values = IntegratedGradients(model).attribute(x, 0 * x, target, n_steps=50, internal_batch_size=8).detach()
    gap = abs(float(values.sum()) - delta) / abs(delta)
    yield {"rule": "Captum default 50", "evaluations": 50, "gap": gap, "error": error(values)}
    for rule, found in [("reference", reference), *((rule, run(spec)) for rule, spec in RULES.items())]:
        row = {"rule": rule, "evaluations": calls.evaluations([found])[1], "error": error(found.values)}
        row["gap"] = abs(float(found.completeness_gap[0]) / delta)
        if "map_error" in found.details:
            row |= {name: float(found.details[name][0]) for name in ("correction", "residual", "smooth")}
            row |= {"estimate": float(found.details["map_error"][0]), "residual": row["residual"] / delta}
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=list(REFERENCES), default="photos")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=20)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model, x, right = subject(given.subject)
    found = []
    for image in range(given.first, given.last):
        start = time.time()
        one = x[image : image + 1].contiguous(memory_format=torch.channels_last)
        found += [{"image": image, **row} for row in rows(given.subject, model, one)]
        print(given.subject, image, f"{time.time() - start:.0f} s", flush=True)
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    report = {"subject": given.subject, "reference": REFERENCES[given.subject], "accuracy": right, "rows": found}
    out = given.out or RESULTS / f"quadrature-{given.subject}.json"
    write_text(out, json.dumps(report | versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
