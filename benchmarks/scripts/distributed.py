"""What it costs to run a comparison on workers, and how its memory grows: `python -m benchmarks.scripts.distributed [PART …]`.

Writes benchmarks/results/distributed.json; each part (PARTS, all of them without arguments) replaces what it measured before.
Run it with OMP_NUM_THREADS=1 on a quiet machine with two processors: some seven minutes, of which `memory` takes most. Times of
parts that are compared are measured in turns, so that a slow minute slows all of them.
"""

import argparse
import contextlib
import gc
import io
import json
import os
import platform
import resource
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from benchmarks.results.stored import RESULTS, read
from pullback import studies
from pullback.core.files import write_text
from pullback.studies.compare import scores
from pullback.studies.compare.cells import InProcess
from pullback.studies.compare.cluster import OnRay, Ray, connected
from pullback.studies.compare.found import Found, gathered
from pullback.studies.loaders.models import LoadedModel
from pullback.studies.loaders.preparation import Preparation

STORED = RESULTS / "distributed.json"
NETWORK, METHOD = "efficientnet-lite0", "integrated_gradients(steps=8)"
ROUNDS, PHOTOS = 3, 8  # of a round: two batches, of seconds each
FEW, MANY, SIDE, INPUT = 1_000, 10_000, 64, 16  # photos after which memory is looked at; their side, and the model's
SIZED = 8  # photos whose files are weighed


class Linear(nn.Module):
    """A model that costs next to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)))


def cheap(side: int) -> LoadedModel:
    torch.manual_seed(0)
    return LoadedModel("linear", Linear().eval(), Preparation(side))


def pictures(path: Path, count: int, side: int) -> str:
    """A tar file of random pictures."""
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(file, "png", compress_level=1)
            one = tarfile.TarInfo(f"{number:06}.png")
            one.size = len(file.getvalue())
            archive.addfile(one, io.BytesIO(file.getvalue()))
    return str(path)


def asked(data: str, **changes: Any) -> studies.Settings:
    base: dict[str, Any] = {"model": NETWORK, "data": data, "method": METHOD, "effort": "quick", "pictures": 0}
    return studies.Settings(**base | changes)


def workers(folder: Path) -> Iterator[tuple[str, Any]]:
    """One worker against the loop in this process, and two workers against one; and what it takes to begin."""
    settings = asked(pictures(folder / "in.tar", PHOTOS, 112), size=112, transforms=("pixel", "dct"))
    quiet: Callable[[str], object] = lambda text: None
    start = time.perf_counter()
    engines: dict[str, Any] = {"process": InProcess(settings, folder / "process", None, quiet)}
    times = {"process_s": time.perf_counter() - start}
    with connected(Ray(workers=3)) as ray:
        times["cluster_s"] = time.perf_counter() - start - times["process_s"]
        for name, count in (("one", 1), ("two", 2)):
            start = time.perf_counter()
            engines[name] = OnRay(ray, Ray(workers=count), settings, folder / name, None, quiet)
            times[f"{name}_s"] = time.perf_counter() - start
        yield "start", {name: round(value, 2) for name, value in times.items()}
        rounds = [_round(engines, folder, turn % 2 == 1) for turn in range(1 + ROUNDS)][1:]  # the first warms up
    yield "batch_s", round(statistics.median(one["process"] for one in rounds) / (PHOTOS / 4), 2)
    yield "overhead", ratio([one["one"] / one["process"] for one in rounds])
    yield "two_workers", ratio([one["one"] / one["two"] for one in rounds])


def _round(engines: dict[str, Any], folder: Path, backwards: bool) -> dict[str, float]:
    """The seconds in which each engine measures all photos."""
    found = {}
    for name, engine in reversed(engines.items()) if backwards else engines.items():
        shutil.rmtree(folder / name / ".parts", ignore_errors=True)
        start = time.perf_counter()
        engine.measure(None)
        found[name] = time.perf_counter() - start
    return found


def ratio(values: list[float]) -> dict[str, float]:
    """The median, and the smallest and largest of the rounds."""
    return {name: round(one(values), 4) for name, one in (("ratio", statistics.median), ("low", min), ("high", max))}


def memory(folder: Path) -> Iterator[tuple[str, Any]]:
    """The resident memory of a process after 1,000 and after 10,000 photos, and with the tables of all."""
    settings = asked(pictures(folder / "in.tar", MANY, SIDE), method="gradient", transforms=("pixel",), limit=None)
    engine = InProcess(settings, folder / "o", cheap(INPUT), lambda text: None)
    seen: dict[int, int] = {}

    def progress(done: int, planned: int) -> None:
        if (photos := done * MANY // planned) in (FEW, MANY):
            seen[photos] = resident()

    engine.measure(progress)
    [cell] = engine.cells
    before, peak = resident(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = gathered(cell, folder / "o")
    gc.collect()
    held = resident()
    long = long_of(found)
    scores.write(long, folder / "o")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    numbers = {"few": FEW, "many": MANY, "side": SIDE, "after_few": seen[FEW], "after_many": seen[MANY]}
    numbers |= {"held_by_tables": held - before, "peak_of_tables": after - max(peak, before), "rows": len(long)}
    yield "memory", numbers


def long_of(found: Found) -> pd.DataFrame:
    """The long table, without a conclusion: nothing can be concluded about a model that costs nothing."""
    assert found.scored is not None
    return scores.long_table(found.scored, found.cell.settings, found.names, found.units)


def resident() -> int:
    """The bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def sizes(folder: Path) -> Iterator[tuple[str, Any]]:
    """What is stored of a photo in the ten usual domains, and the time beside the model's own, by effort."""
    data, found = pictures(folder / "in.tar", SIZED, 224), {}
    for effort in ("quick", "default"):
        settings = asked(data, effort=effort, method="gradient", limit=SIZED if effort == "quick" else SIZED // 4)
        engine = InProcess(settings, folder / effort, cheap(224), lambda text: None)
        start = time.perf_counter()
        engine.measure(None)
        seconds = time.perf_counter() - start
        [cell] = engine.cells
        long = long_of(gathered(cell, folder / effort))
        scores.write(long, folder / effort)
        photos = len(cell.places)
        parts = sum(path.stat().st_size for path in (folder / effort / ".parts").iterdir())
        evaluations = cell.settings.protocol().cost((3, 224, 224))
        found[effort] = {
            "domains": len(cell.settings.transforms),
            "evaluations": evaluations,
            "rows": len(long) / photos,
            "part_bytes": parts / photos,
            "table_bytes": (folder / effort / scores.SCORES).stat().st_size / photos,
            "other_s": round(seconds / photos / evaluations, 6),  # of one evaluation, beside the model's own time
        }
    yield "photo", found


PARTS = {"workers": workers, "memory": memory, "sizes": sizes}


def main(chosen: list[str]) -> None:
    torch.set_num_threads(1)
    for name in chosen or list(PARTS):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, contextlib.closing(PARTS[name](Path(folder))) as found:  # type: ignore[type-var]
            for key, value in found:
                about = {"processors": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__}
                write_text(STORED, json.dumps(read(STORED) | {"about": about, key: value}, indent=1) + "\n")
                print(f"{key}: {value}")
        print(f"{name}: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []])
    main(parser.parse_args().part)
