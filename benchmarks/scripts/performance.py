"""The sections of docs/performance.md, from the frame of stored results."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from benchmarks.results.stored import RESULTS, ROOT, frame, read, runs

from .tables import RATIO, NothingStored, filled, met, over, table

SUITES = ("limits", "stream", "peers", "transforms", "accelerator", "growth", "memory", "axioms")
WORDS = {1: "one domain", 10: "ten domains"}
KEPT = "-kept"  # ends the kind of a machine whose memory allocator keeps what was freed
# Sections that show what one test noted: the test, the head of the table, and a template of its rows.
SHOWN = {
    "methods": (
        "test_limit",
        "device | network | method | domains | rows forward | and back | time / the loop's | images / s | first call, s | "
        "peak, MB | of the loop, MB",
        "{device} | {model} | `{method}` | {domains:.0f} | {forward:.0f} | {backward:.0f} | "
        + RATIO
        + " | {images_per_s:.3g} | {first_s:.2f} | {peak_mb:.0f} | {bare_peak_mb:.0f}",
    ),
    "memory": (
        "test_peak_memory_is_flat_in_samples",
        "method | peak, bytes | with 16 × the samples, ×",
        "`{case}` | {bytes[0]:,} | {growth:.3f}",
    ),
    "transforms": (
        "test_transform",
        "device | signals | transform | T, ms | T⁻¹, ms | adjoint, ms",
        "{device} | {kind} | `{spec}` | {analysis:.1f} | {synthesis:.1f} | {adjoint:.1f}",
    ),
    "bandwidth": (
        "test_bandwidth",
        "device | transform | T, ms | T | T⁻¹ | adjoint",
        "{device} | `{spec}` | {milliseconds:.2f} | {analysis:.2f} | {synthesis:.2f} | {adjoint:.2f}",
    ),
    "formats": (
        "test_execution",
        "device | network | options | time / the loop's | rows / s | first call, s | cosine with fp32 | floor / time",
        "{device} | {model} | {options} | " + RATIO + " | {rows_per_s:,.0f} | {first_s:.1f} | {cosine:.4f} | {of_floor:.2f}",
    ),
    "agreement": (
        "test_maps_in_narrower_formats",
        "network | method | fp32 | tf32 | bf16 | `auto` | `auto` takes",
        "{model} | `{method}` | {fp32:.5f} | {tf32:.5f} | {bf16:.5f} | {auto:.5f} | {chosen}",
    ),
    "growth": (
        "test_growth",
        "device | time against | log-log slope | expected | within",
        "{device} | {case} | {slope:.2f} ({slope_low:.2f}–{slope_high:.2f}) | {expected[0]} to {expected[1]} | {within}",
    ),
}
ERRORS = (
    "rule | evaluations | gap, median (max) | map error, median (max) | median / Captum's | worst / Captum's | "
    "estimate / error (range) | within × 2",
    "{rule} | {evaluations_median:.0f} | {gap_median:.2%} ({gap_max:.2%}) | {error_median:.2g} ({error_max:.2g}) | "
    "{share:.3g} | {worse_max:.3g} | {told_median:.2f} ({told_min:.2f}–{told_max:.2f}) | {inside:.0%}",
)
MASKS = (
    "domain | run | passes | mean | largest | above 0.5 % | over the reference: mean | its largest",
    "{domain} | {run} | {passes:.0%} | {over[mean]:+.2%} | {over[largest]:+.2%} | {over[beyond]:.1%} | "
    "{excess[mean]:+.2%} | {excess[largest]:+.2%}",
)


def results(root: Path) -> Path:
    """The folder of stored results in a checkout."""
    return root / RESULTS.relative_to(ROOT)


def noted(name: str, root: Path) -> str:
    """One of SHOWN, in the order of the machines."""
    test, *columns = SHOWN[name]
    found = frame(results(root))
    found = found[found["test"] == test]
    if name == "methods" and len(found):
        found = every_method(found).sort_values(["device", "case", "domains"])
    return filled(*columns, found)


def every_method(limits: pd.DataFrame) -> pd.DataFrame:
    """The rows of the network on which every method ran."""
    return limits[limits["model"] == limits["model"].mode()[0]]


def speed(root: Path) -> str:
    """Time of ours over that of something else, a table for each machine."""
    parts, stored = [], frame(results(root))
    stored = stored[stored["ratio"].notna()] if "ratio" in stored else stored[:0]
    for machine, found in stored.groupby("machine", sort=False):
        cells = [(label, len(rows), over(rows), met(rows)) for label, rows in questions(found) if len(rows)]
        title = found["device"].iloc[0] + ", with an allocator that keeps memory" * str(machine).endswith(KEPT)
        shown = pd.DataFrame(cells, columns=["time of ours / time of …", "cases", "ratio", "goal"])
        parts.append(f"### {title}\n\n{table(shown)}")
    if not parts:
        raise NothingStored
    return "\n\n".join(parts)


def questions(found: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """What ours is compared with on one machine, and the rows of each comparison."""
    suites = {suite: found[found["suite"] == suite] for suite in SUITES}
    for domains, where in WORDS.items():
        limits = suites["limits"][suites["limits"]["domains"] == domains]
        for name in ("integrated_gradients(steps", "smoothgrad("):
            label = f"the bare loop, `{name.split('(')[0]}` in {where}, every network"
            yield label, limits[limits["case"].str.contains(name, regex=False)]
        yield f"the bare loop, every method in {where}, one network", every_method(limits) if len(limits) else limits
    yield "one domain, same rows: ten domains from one gradient stream", suites["stream"]
    for peer, rows in suites["peers"].groupby("peer", sort=False):
        yield peer + ", for equal rows" * bool(rows["for_equal_rows"].eq(True).any()), rows
    transforms = suites["transforms"]
    for peer, rows in transforms.groupby(transforms["case"].str.extract(r" / (.*)-", expand=False), sort=False):
        yield f"{peer}, transforms and sizes", rows
    one_pass = transforms["test"].str.contains("one_pass")
    yield "one pass of a ResNet-50: T x and an adjoint in ten domains", transforms[one_pass]
    large = suites["accelerator"][suites["accelerator"]["model"] != "small"]  # which shows that code runs, not how fast
    for options, rows in large.groupby("options", sort=False):
        yield f"the eager float32 loop: SmoothGrad in {options}, networks", rows


def sources(root: Path) -> str:
    """Where and when each suite ran, and what has not run."""
    found = runs(results(root))
    lines = []
    for (suite, kind), run in found.items():
        machine, note = run["machine_info"], f" {run['note']}" if run.get("note") else ""
        left = f" {len(run['skipped'])} cases do not apply there." if run.get("skipped") else ""
        lines.append(
            f"- `{suite}-{kind}.json`: {machine['device']}, torch {machine['torch'].split('+')[0]}, "
            f"{machine['threads']} threads, commit {run['commit'][:7]}, {run['datetime'][:10]}.{note}{left}"
        )
    for kind, name in (("cpu", "CPU"), ("cuda", "GPU")):
        if missing := [suite for suite in SUITES if (suite, kind) not in found]:
            lines.append(f"- Not measured on a {name} yet: {', '.join(missing)}.")
    return "\n".join(lines)


def quadrature(root: Path) -> str:
    """Integrated gradients at equal numbers of gradients: medians (and worst cases) over 20 images, for each network."""
    parts = []
    for path in sorted(results(root).glob("quadrature-*.json")):
        report = read(path)
        right = f", {report['accuracy']:.0%} of held-out crops right" if report.get("accuracy") else ""
        parts.append(f"{report['subject']}{right}:\n\n{filled(*ERRORS, errors(pd.DataFrame(report['rows'])))}")
    return "\n\n".join(parts)


def errors(found: pd.DataFrame) -> pd.DataFrame:
    """Gap and map error of each rule, and how far its estimated error is from the true one."""
    found = found[found["rule"] != "reference"]
    captum = found[found["rule"] == "Captum default 50"].set_index("image")["error"]
    found = found.assign(worse=found["error"] / found["image"].map(captum), told=found["estimate"] / found["error"])
    groups = found.groupby("rule", sort=False)
    wide = groups[["evaluations", "gap", "error", "worse", "told"]].agg(["median", "min", "max"])
    wide.columns = wide.columns.map("_".join)
    inside = groups["told"].agg(lambda told: told.dropna().between(0.5, 2).mean())
    return wide.assign(share=wide["error_median"] / captum.median(), inside=inside).reset_index()


def masks(root: Path) -> str:
    """Masks for a series of prices: continuations against independent runs, in ranges of the objective."""
    return filled(*MASKS, pd.DataFrame(read(results(root) / "masks-front.json").get("entries", [])))


SECTIONS: dict[str, Callable[[Path], str]] = {name: functools.partial(noted, name) for name in SHOWN}
SECTIONS |= {section.__name__: section for section in (speed, sources, quadrature, masks)}
