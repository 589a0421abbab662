"""The sections of docs/performance.md, from the frame of stored results."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from benchmarks.results.stored import RESULTS, ROOT, frame, read, runs

from .tables import RATIO, NothingStored, filled, met, over, table

SUITES = ("optimize", "accuracy", "limits", "stream", "peers", "transforms", "accelerator", "growth", "memory", "axioms")
SUITES += ("large", "metrics", "signals", "demo", "defaults")
SIGNALS = {
    "attribution": "the bare loop: a 10 s clip and YAMNet, six domains",
    "explain": "the bare loop: the same from a file to figures and sounds",
    "loading": "a whole comparison of recordings: reading and preparing them",
}
WORDS = {1: "one domain", 10: "ten domains"}
KEPT = "-kept"  # in the kind of a machine whose memory allocator keeps what was freed
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
    "optimize": (
        "test_default_options_against_the_loop",
        "device | network | method | loop | equal network | time / the loop's | / its gradients alone | peak, MB | of the "
        "loop, MB",
        "{device} | {model} | `{method}` | {loop} | {optimized} | "
        + RATIO
        + " | {of_gradients:.2f} | {peak_mb:.0f} | {bare_peak_mb:.0f}",
    ),
    "defaults": (
        "test_a_method_at_its_defaults",
        "device | network | method | domains | rows forward | and back | equal network | time / the loop's | images / s",
        "{device} | {model} | `{method}` | {domains:.0f} | {forward:.0f} | {backward:.0f} | {optimized} | "
        + RATIO
        + " | {images_per_s:.3g}",
    ),
    "equality": (
        "test_maps_equal_those_of_the_network_itself",
        "device | network | signals | equal network | smallest cosine",
        "{device} | {model} | {images:.0f} | {optimized} | {cosine:.7f}",
    ),
    "large": (
        "test_a_large_signal",
        "signal | rows in one forward | peak in three domains, GB | in one, GB | of the loop, GB | added in one, / the loop's",
        "{kind} | {chunk:.0f} | {peak_gb:.2f} | {one_peak_gb:.2f} | {bare_peak_gb:.2f} | {growth:.2f}",
    ),
    "waits": (
        "test_demo",
        "device | photos | rows forward for each | and back | time / the loop's | seconds | first photo after, s",
        "{device} | {images:.0f} | {forward_per_photo:.0f} | {gradients_per_photo:.0f} | {ratio:.2f} | {ours_s:.0f} | "
        "{first_s:.0f}",
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
        title = found["device"].iloc[0] + ", with an allocator that keeps memory" * (KEPT in str(machine))
        shown = pd.DataFrame(cells, columns=["time of ours / time of …", "cases", "ratio", "goal"])
        parts.append(f"### {title}\n\n{table(shown)}")
    if not parts:
        raise NothingStored
    return "\n\n".join(parts)


def questions(found: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """What ours is compared with on one machine, and the rows of each comparison."""
    suites = {suite: found[found["suite"] == suite] for suite in SUITES}
    yield from _defaults(suites["optimize"])
    yield from _accuracy(suites["accuracy"])
    for domains, where in WORDS.items():
        own = suites["defaults"][suites["defaults"]["domains"] == domains]
        yield f"the bare contiguous loop: every method, default samples and options, {where}, one network", own
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
    yield from _others(suites)


def _defaults(optimize: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Default options against the bare loop in each memory format, for networks with and without BatchNorm."""
    if not len(optimize):
        return
    for loop, rows in optimize.groupby("loop", sort=False):
        for on, where in ((True, "with"), (False, "without")):
            own = rows[rows["normed"].eq(True) == on]
            yield f"the bare {loop} loop: default options, one domain, networks {where} BatchNorm", own


def _accuracy(found: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Time to equal accuracy."""
    if not len(found):
        return
    of = found[found["test"] == "test_time_to_accuracy"]
    for (allowed, domains), rows in of.groupby(["allowed", "domains"], sort=False):
        yield f"Captum IntegratedGradients to an error of {allowed:.0%} in {WORDS[int(domains)]}, every network", rows
    for peer, rows in found[found["test"] != "test_time_to_accuracy"].groupby("peer", sort=False):
        yield f"{peer} at equal quality, one network", rows


def _others(suites: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Metrics, signals and the demo."""
    yield "a bare loop of equal rows: metrics of a map", suites["metrics"]
    for case, label in SIGNALS.items():
        yield label, suites["signals"][suites["signals"]["case"] == case]
    yield "the bare loop: `make demo`, with scores, figures and report", suites["demo"]


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
        measured = {suite for suite, other in found if other.split("-")[0] == kind}
        if missing := [suite for suite in SUITES if suite not in measured]:
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


ACCURACY = (
    "device | network | peer | error asked for | domains | ours: gradients | error | theirs | error | time / theirs | goal | "
    "not reached by",
    "{device} | {model} | {peer} | {allowed:.0%} | {domains:.0f} | {backward:.0f} | {error:.3g} | {their_backward:.0f} | "
    "{their_error:.3g} | " + RATIO + " | {goal:.2f} | {not_reached}",
)


def accuracy(root: Path) -> str:
    """Evaluations and time for maps of equal accuracy."""
    found = frame(results(root))
    found = found[(found["suite"] == "accuracy")] if len(found) else found
    if not len(found):
        raise NothingStored
    forward = found["test"] != "test_time_to_accuracy"
    rows = found.assign(
        backward=found["backward"].where(~forward, found["forward"]),
        their_backward=found["their_backward"].where(~forward, found["their_forward"]),
    )
    return filled(*ACCURACY, rows)


FLOOR = (
    "device | T and adjoint in ten domains, ms | one pass of a ResNet-50, ms | ratio | a copy of as many bytes, ms | ratio",
    "{device} | {ours_ms:.0f} | {bare_ms:.0f} | {ratio:.3f} | {floor_ms:.1f} | {floor_ratio:.4f}",
)


def floor(root: Path) -> str:
    """Ten domains' own work, and the least that moving their bytes takes."""
    found = frame(results(root))
    found = found[found["floor_s"].notna()] if "floor_s" in found else found[:0]
    milliseconds = {f"{name}_ms": 1e3 * found[f"{name}_s"] for name in ("ours", "bare", "floor")} if len(found) else {}
    return filled(*FLOOR, found.assign(**milliseconds))


def missed(root: Path) -> str:
    """Every comparison whose goal is missed: the median, the worst case, and the goal."""
    stored, lines = frame(results(root)), []
    stored = stored[stored["ratio"].notna()] if "ratio" in stored else stored[:0]
    for machine, found in stored.groupby("machine", sort=False):
        for label, rows in questions(found):
            aimed = rows[rows["goal"].notna()] if len(rows) else rows
            if len(aimed) and bool((aimed["ratio"] > aimed["goal"]).any()):
                worst = aimed.loc[(aimed["ratio"] / aimed["goal"]).idxmax()]
                median = f"median {aimed['ratio'].median():.2f}, " if len(aimed) > 1 else ""
                name = re.sub(r"\(\w+=\{n\}\)", "", worst["case"] or worst["test"])
                lines.append(f"- {label} ({machine}): {median}worst {worst['ratio']:.2f} (`{name}`), goal {worst['goal']:.3g}.")
    if not len(stored):
        raise NothingStored
    return "\n".join(lines) or "No goal is missed."


SECTIONS: dict[str, Callable[[Path], str]] = {name: functools.partial(noted, name) for name in SHOWN}
SECTIONS |= {section.__name__: section for section in (speed, sources, quadrature, masks, accuracy, floor, missed)}
