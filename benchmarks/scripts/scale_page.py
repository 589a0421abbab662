"""The sections of docs/how-to/large-comparisons.md: what large comparisons cost, from stored rates and sizes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.results.stored import RESULTS, ROOT, frame, read
from pullback.studies.compare.cell import BATCH
from pullback.studies.compare.settings import EFFORTS

from .tables import NothingStored, table

PHOTOS, MODELS, MANY = 1_000, 4, 1_000_000
METHODS = ("gradient", "integrated_gradients(steps=25)", "smoothgrad(samples=25)", "expected_gradients(samples=25)")
LONGEST = 12.0  # hours that a shard of the plan may take
FORMAT = "fp32"


@dataclass(frozen=True)
class Rate:
    """Rows per second of one network on one machine: with a gradient, and forward only."""

    device: str
    network: str
    gradients: float
    forwards: float


def stored(root: Path, *names: str) -> list[Any]:
    """Entries of distributed.json.  Raises: NothingStored where one was not measured."""
    held = read(root / RESULTS.relative_to(ROOT) / "distributed.json")
    if any(name not in held for name in names):
        raise NothingStored
    return [held[name] for name in names]


def rates(root: Path) -> list[Rate]:
    """The rates of each machine and network. On a GPU a forward has the share of a gradient that it has on the CPU."""
    found = frame(root / RESULTS.relative_to(ROOT))
    limits, fast = found[found["suite"] == "limits"], found[found["suite"] == "accelerator"]
    both: list[Rate] = []
    for network in ("efficientnet-lite0", "resnet50", "vit-b16"):
        own = limits[limits["model"] == network]
        many = own[own["method"].str.startswith("smoothgrad(") & (own["domains"] == 10)]
        few = own[own["method"].str.startswith("rise(") & (own["domains"] == 1)]
        cuda = fast[(fast["model"] == network) & (fast["options"] == FORMAT) & (fast["machine"] == "cuda")]
        if not len(many) or not len(few):
            continue
        one, other = many.iloc[0], few.iloc[0]
        slow = Rate(one["device"], network, one["backward"] / one["ours_s"], other["forward"] / other["ours_s"])
        both.append(slow)
        both += [
            Rate(row["device"], network, row["rows_per_s"], row["rows_per_s"] * slow.forwards / slow.gradients)
            for row in cuda.to_dict("records")
        ]
    if not both:
        raise NothingStored
    return sorted(both, key=lambda rate: rate.device)


def rows_of(root: Path) -> dict[str, tuple[float, float]]:
    """The gradients and further forwards of each of METHODS for one photo in ten domains, as they were counted."""
    found = frame(root / RESULTS.relative_to(ROOT))
    own = found[(found["suite"] == "limits") & (found["model"] == "efficientnet-lite0") & (found["domains"] == 10)]
    counted = {row["method"]: (row["backward"], row["forward"] - row["backward"]) for row in own.to_dict("records")}
    if any(method not in counted for method in METHODS):
        raise NothingStored
    return {method: counted[method] for method in METHODS}


def seconds(rate: Rate, effort: str, photo: dict[str, Any], methods: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """The seconds of one photo with all methods: of the model, and beside it.

    The model: gradients / rate + (forwards of the method + those of the scores) / rate; controls explain a shuffled model too.
    """
    maps = 2 if EFFORTS[effort]["controls"] else 1
    own, scored = 0.0, photo[effort]["evaluations"]
    for gradients, forwards in methods.values():
        own += maps * gradients / rate.gradients + (maps * forwards + scored) / rate.forwards
    return own, len(methods) * scored * photo[effort]["other_s"]


def cost(root: Path) -> str:
    """A row for each machine, network and effort."""
    [photo], methods = stored(root, "photo"), rows_of(root)
    rows: list[dict[str, Any]] = []
    for rate in rates(root):
        for effort in ("quick", "default"):
            own, beside = (PHOTOS * value / 3600 for value in seconds(rate, effort, photo, methods))
            where = {"hardware": rate.device, "effort": effort}
            rows.append(where | {"network": rate.network, "model": own, "beside it": beside})
    hours = pd.DataFrame(rows)
    mean = hours.groupby(["hardware", "effort"], sort=False)[["model", "beside it"]].mean() * MODELS
    every = mean.reset_index().assign(network=f"{MODELS} networks")
    shown = pd.concat([hours, every]).sort_values(["hardware", "effort"], kind="stable", ascending=[True, False])
    shown["together"] = shown["model"] + shown["beside it"]
    named = {name: shown[name].map("{:,.1f}".format) for name in ("model", "beside it", "together")}
    return table(shown.assign(**named)[["hardware", "effort", "network", "model", "beside it", "together"]])


def plan(root: Path) -> str:
    """The million: hours, shards, batches, bytes and memory, for one network and one method in ten domains."""
    photo, memory = stored(root, "photo", "memory")
    one, methods = photo["quick"], {METHODS[1]: rows_of(root)[METHODS[1]]}
    rows = []
    for rate in rates(root):
        hours = MANY * sum(seconds(rate, "quick", photo, methods)) / 3600
        shards = math.ceil(hours / LONGEST)
        sizes = batches_of(MANY, shards)
        where = {"hardware of a shard": rate.device, "network": rate.network}
        shown = " or ".join(f"{size:,}" for size in sorted(set(sizes), reverse=True))
        about = {"hours in all": f"{hours:,.0f}", "shards": f"{shards:,}", "batches of a shard": shown}
        rows.append(where | about | {"hours of a shard": f"{hours * max(sizes) / sum(sizes):.1f}"})
    long, held = MANY * one["rows"], memory["peak_of_tables"] / memory["rows"]
    files, parquet = (MANY * one[name] / 1e9 for name in ("part_bytes", "table_bytes"))
    said = (
        f"A million photos are {math.ceil(MANY / BATCH):,} batches of {BATCH}. Shard k of n measures the batches k, k + n, "
        f"k + 2n, … The parts take {files:,.0f} GB in {MANY:,} files, and the long table has {long / 1e6:,.0f} million rows in "
        f"{parquet:,.0f} GB. While it is made, the last step holds {held:,.0f} bytes for a row: {held * long / 1e9:,.0f} GB."
    )
    return f"{table(pd.DataFrame(rows))}\n\n{said}"


def others(root: Path) -> str:
    """What the other studies have taken at their usual sizes, in one process."""
    about = {name: read(root / "docs" / "studies" / name / "summary.json") for name in ("minimal", "robustness", "volume")}
    about |= {name: read(root / RESULTS.relative_to(ROOT) / f"{name}.json") for name in ("overlap", "noise")}
    if not all(about.values()):
        raise NothingStored
    wall = {"robustness": about["robustness"]["seconds"]["wall"]}
    wall["volume"] = sum(one["volumes"] for one in about["volume"]["seconds"].values())
    spent = {"minimal": about["minimal"]["cost"]} | {name: about[name]["evaluations"] for name in ("overlap", "noise")}
    wall |= {name: one["seconds"] for name, one in spent.items() if name != "minimal" and "seconds" in one}
    of = {name: (one["cpu_seconds"], "processor time") for name, one in spent.items()}
    of |= {name: (seconds, "time") for name, seconds in wall.items()}
    return table(pd.DataFrame([{"study": name, "minutes": f"{s / 60:.1f}", "of": what} for name, (s, what) in of.items()]))


def batches_of(photos: int, shards: int) -> list[int]:
    """The number of batches of each shard."""
    return np.bincount(np.arange(math.ceil(photos / BATCH)) % shards, minlength=shards).tolist()


def measured(root: Path) -> str:
    """How workers compare with a loop in one process, and how the memory of a process grows."""
    lines = [*_ratios(root), *_memory(root), *_start(root)]
    if not lines:
        raise NothingStored
    return "\n".join(lines)


def _ratios(root: Path) -> Iterator[str]:
    words = {
        "overhead": "one Ray worker takes {ratio:.3f} × the time of a loop in one process ({low:.3f}–{high:.3f}; goal 1.1)",
        "two_workers": "two workers of one thread measure {ratio:.2f} × as fast as one ({low:.2f}–{high:.2f}; goal 1.8)",
    }
    for name, text in words.items():
        yield from _where_stored(root, name, lambda one, text=text: f"- {text.format(**one)}.")  # type: ignore[misc]


def _memory(root: Path) -> Iterator[str]:
    text = (
        "- A process holds {after_few:,.0f} MB after {few:,} photos of {side} × {side}, {after_many:,.0f} MB after {many:,}; "
        "the tables of all, made at the end, take {peak:,.0f} MB more."
    )
    each: Callable[[Any], str] = lambda one: text.format(
        **one | {name: one[name] / 2**20 for name in ("after_few", "after_many")}, peak=one["peak_of_tables"] / 2**20
    )
    yield from _where_stored(root, "memory", each)


def _start(root: Path) -> Iterator[str]:
    text = "- A cluster on this machine starts in {cluster_s:.1f} s, and a worker with its model in {one_s:.1f} s."
    yield from _where_stored(root, "start", lambda one: text.format(**one))


def _where_stored(root: Path, name: str, said: Callable[[Any], str]) -> Iterator[str]:
    try:
        [one] = stored(root, name)
    except NothingStored:
        return
    yield said(one)


SECTIONS = {"scale-cost": cost, "scale-plan": plan, "scale-measured": measured, "scale-studies": others}
