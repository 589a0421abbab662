"""What `make demo` costs: evaluations, the time of a bare loop of as many, and the wait for the first photo."""

import dataclasses
import itertools
import re
import shlex
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import calls
from benchmarks.measure.counting import Counted, bare_steps
from benchmarks.measure.timing import Ratio, seconds
from benchmarks.results.stored import ROOT
from benchmarks.subjects.models import QUICK, Subject
from pullback import studies
from pullback.studies import load_model

PHOTOS = 2 if QUICK else 4  # of the demo's 20
FIRST = 20.0  # seconds until the result of the first photo is shown
_MAKEFILE = (ROOT / "Makefile").read_text().replace("\\\n", " ")
_WORDS = shlex.split(re.findall(r"^DEMO += (.*)$", _MAKEFILE, re.MULTILINE)[0])  # the options of `make demo`
METHOD, *DOMAINS = (value for name, value in itertools.pairwise(_WORDS) if name in ("--method", "--transform"))


def test_demo(benchmark: Any, tmp_path: Path, device: str, photos: torch.Tensor) -> None:
    """The demo on some of its photos, over the bare loop of as many evaluations of the network as it is. It has no goal.

    first_s: from the call to the first photo's line; `make demo` also starts Python and imports torch. Goal: 20 s.
    """
    loaded = load_model("efficientnet-lite0", device)
    model, again = Counted(loaded.module), Counted(loaded.module)
    shown: list[float] = []
    domains = ("pixel", "dct") if QUICK else DOMAINS
    settings = studies.Settings(effort="quick", limit=PHOTOS, device=device, method=METHOD, transforms=tuple(domains))
    counted = dataclasses.replace(loaded, module=model)
    start = time.perf_counter()
    show = lambda line: shown.append(time.perf_counter() - start)
    run = lambda: studies.compare(settings, tmp_path / "o", model=counted, show=show)
    ours = seconds(lambda: benchmark.pedantic(run, rounds=1))
    rows = model.tally.rows
    assert len(shown) == 1, "one line, on the first photo"
    assert 0 < shown[0] < ours, "it comes before the end"
    case = Subject("efficientnet-lite0", loaded.module, photos, 0)
    steps = bare_steps(again, case, calls.rows_per_forward(photos), rows)
    bare = seconds(lambda: [step() for _, step in steps])
    Ratio(ours / bare, ours / bare, ours / bare, ours, bare, 1).record(benchmark)
    benchmark.extra_info.update(case="demo", images=PHOTOS, forward=rows[0], backward=rows[1], first_s=round(shown[0], 2))
    benchmark.extra_info.update(forward_per_photo=rows[0] // PHOTOS, gradients_per_photo=rows[1] // PHOTOS, goal_first_s=FIRST)
