"""The tables of limits.md, transforms.md, integrated_gradients.md and masks.md."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import quadrature
from .stored import KINDS, NOT_YET, entries, goal, goals, number, ratio, run, table

Section = Callable[[Path], str]
SIZES = ("image", "audio", "volume")


def limits(results: Path, kind: str) -> str:
    """Every method over the bare loop of its model, in one and in ten domains; a column for each model."""
    found = entries(results, "limits", kind, "test_limit")
    models = list(dict.fromkeys(e["model"] for e in found))
    # As many samples as the model's size allows: the same method everywhere.
    named = lambda e: (re.sub(r"\d+", "…", e["method"]), e["domains"])
    at = {(*named(e), e["model"]): ratio(e) for e in found}
    rows = [
        (f"`{method}`", str(domains), *(at.get((method, domains, model), "") for model in models))
        for method, domains in sorted(set(map(named, found)))
    ]
    met = "; ".join(
        f"{goals(mine)} in {'one domain' if domains == 1 else 'ten'}"
        for domains in (1, 10)
        if (mine := [e for e in found if e["domains"] == domains])
    )
    return f"{table(('method', 'domains', *models), rows)}\n\nGoals: {met}." if found else NOT_YET


def spent(results: Path) -> str:
    """Throughput, time to the first result and peak memory of every method on the network that runs them all."""
    parts = []
    for kind in KINDS:
        found = entries(results, "limits", kind, "test_limit")
        models = [e["model"] for e in found]
        every = [e for e in found if models.count(e["model"]) > 10]
        rows = [
            (
                f"`{e['method']}`",
                str(e["domains"]),
                f"{e['forward'] - e['backward']} + {e['backward']}",
                number(e, "images_per_s"),
                number(e, "first_s", ".2f"),
                f"{e['peak_mb']:.0f}",
                f"{e['bare_peak_mb']:.0f}",
            )
            for e in every
        ]
        head = (
            "method",
            "domains",
            "rows forward + back",
            "images / s",
            "first result, s",
            "peak, MB",
            "of the loop, MB",
        )
        if rows:
            parts.append(f"{every[0]['model']}:\n\n{table(head, rows)}")
    return "\n\n".join(parts) or NOT_YET


def limits_of_all(results: Path) -> str:
    """The same for each device."""
    parts = [
        f"{stored.source}\n\n{limits(results, kind)}" for kind in KINDS if (stored := run(results, "limits", kind))
    ]
    return "\n\n".join(parts) or NOT_YET


def memory(results: Path) -> str:
    """Growth of the live tensors' peak in 16 times as many samples."""
    stored = run(results, "memory", "cpu")
    rows = (
        []
        if stored is None
        else [
            (
                f"`{name.split('[')[1].rstrip(']')}`",
                f"{e['bytes'][0] / 2**20:.1f}",
                f"{e['growth']:.3f}",
                f"{e['goal']}, {'met' if e['growth'] <= e['goal'] else 'missed'}",
            )
            for name, e in stored.noted.items()
            if "growth" in e
        ]
    )
    return table(("method", "peak, MB", "with 16 × the samples, ×", "goal"), rows)


def allocator(results: Path) -> str:
    """Passes, and other libraries' methods, with memory that goes back to the system and with memory that is kept."""
    stored = _passes(results)
    rows = [
        (name, f"{e['faults']:,}", *(f"{ms:.0f}" for ms in e["ms"])) for name, e in stored.get("allocator", {}).items()
    ]
    said = table(("allocator", "page faults a pass", "median, ms", "least", "most"), rows)
    plain, kept = run(results, "peers", "cpu"), run(results, "peers", "cpu-kept")
    if not rows or plain is None or kept is None:
        return said
    seconds = lambda e: (f"{e['bare_s']:.2f}", f"{e['ours_s']:.2f}")
    peers = [
        (entry["peer"], *seconds(plain.noted[name]), *seconds(entry))
        for name, entry in kept.noted.items()
        if name in plain.noted
    ]
    return f"{said}\n\n" + table(("seconds of a call", "theirs, as it is", "ours", "theirs, kept", "ours, kept"), peers)


def alone(results: Path) -> str:
    """A row by itself against a row among others, for each network."""
    rows = [
        (name, str(e["chunk"]), *(f"{e[job][0]:.1f}" for job in ("alone", "among", "pass")))
        for name, e in _passes(results).get("rows", {}).items()
    ]
    return table(("network", "rows of a chunk", "forward of a row alone, ms", "among others", "there and back"), rows)


def draws(results: Path) -> str:
    """Noise for a row, as it is drawn and as it might be."""
    rows = [
        (name, *(f"{ms[0]:.2f} ({ms[1]:.2f}–{ms[2]:.2f})" for ms in e.values()))
        for name, e in _passes(results).get("noise", {}).items()
    ]
    return table(("noise", "ms a row, right after a pass", "by itself"), rows)


def published(results: Path) -> str:
    """How near the published way, frozen, is to the network alone, and ways of running the network."""
    # Of the run with an allocator that keeps memory, as the bare loop has it.
    found = [
        e for e in entries(results, "peers", "cpu-kept", "test_published_wavelet_smoothgrad") if "frozen" in e["peer"]
    ]
    loops = [
        e
        for e in entries(results, "limits", "cpu", "test_limit")
        if e["model"] == "efficientnet-lite0" and e["method"].startswith("smoothgrad") and e["domains"] == 1
    ]
    each = lambda e, seconds: 1e3 * e[seconds] / e["backward"]
    said = [
        f"For each gradient, memory kept: published, frozen {each(e, 'bare_s'):.1f} ms, ours {each(e, 'ours_s'):.1f}, "
        f"the bare loop {each(loop, 'bare_s'):.1f}, {each(loop, 'bare_s') / each(e, 'bare_s'):.2f} of the published way."
        for e, loop in zip(found, loops)
    ]
    ways = _passes(results).get("ways", {})
    rows = [(name, f"{ms[0]:.1f} ({ms[1]:.1f}–{ms[2]:.1f})") for name, ms in ways.items()]
    return "\n\n".join([*said, table(("ours", "ms for each gradient"), rows)])


def _passes(results: Path) -> dict[str, dict[str, Any]]:
    path = results / "passes-cpu.json"
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def ten(results: Path) -> str:
    """T and an adjoint in ten domains over one pass of a ResNet-50."""
    rows = []
    for kind in KINDS:
        stored = run(results, "transforms", kind)
        for e in entries(results, "transforms", kind, "test_ten_domains_against_one_pass_of_a_resnet50"):
            assert stored is not None
            rows.append(
                (stored.machine["device"], f"{1e3 * e['ours_s']:.0f}", f"{1e3 * e['bare_s']:.0f}", ratio(e), goal(e))
            )
    return table(("device", "ten domains, ms", "one pass, ms", "ratio", "goal"), rows)


def peers(results: Path) -> str:
    """Ours over theirs, a table for each device."""
    return "\n\n".join(_peers(results, kind) for kind in KINDS if run(results, "transforms", kind)) or NOT_YET


def _peers(results: Path, kind: str) -> str:
    stored = run(results, "transforms", kind)
    assert stored is not None
    jobs: dict[str, dict[str, str]] = {}
    for test, entry in stored.noted.items():
        if test.startswith("test_against_peer"):
            jobs.setdefault(test.split("[")[1].rsplit("-", 1)[0], {})[entry["kind"]] = ratio(entry)
    rows = [(job, *(found.get(size, "–") for size in SIZES)) for job, found in jobs.items()]
    return f"{stored.source}\n\n{table(('job', *SIZES), rows)}"


def milliseconds(results: Path) -> str:
    """Every transform at three sizes."""
    parts = []
    for kind in KINDS:
        stored = run(results, "transforms", kind)
        found = [] if stored is None else stored.of("test_transform")
        names = dict.fromkeys(e["spec"] for e in found)
        cell = lambda e: " / ".join(
            f"{e[job]:.1f}" if job in e else "–" for job in ("analysis", "synthesis", "adjoint")
        )
        at = {(e["spec"], e["kind"]): cell(e) for e in found}
        if stored is not None and found:
            rows = [(f"`{spec}`", *(at.get((spec, size), "") for size in SIZES)) for spec in names]
            parts.append(f"{stored.machine['device']}\n\n{table(('transform', *SIZES), rows)}")
    return "\n\n".join(parts) or NOT_YET


def errors(subject: str) -> Section:
    """Gaps, errors of maps and their estimates on one subject of quadrature.py."""

    def section(results: Path) -> str:
        path = results / f"quadrature-{subject}.json"
        if not path.exists():
            return NOT_YET
        report = json.loads(path.read_text(encoding="utf-8"))
        right = report.get("accuracy")
        said = f"{100 * right:.0f} % of held-out crops right, 25 % by chance.\n\n" if right is not None else ""
        return said + quadrature.table(report)

    return section


def front(results: Path) -> str:
    """Continuations against independent runs."""
    path = results / "masks-front.json"
    if not path.exists():
        return NOT_YET
    stored = json.loads(path.read_text(encoding="utf-8"))
    share = lambda value: f"{100 * value:+.2f} %"
    rows = [
        (
            e["domain"],
            e["run"],
            f"{100 * e['passes']:.0f} %",
            share(e["over"]["mean"]),
            share(e["over"]["largest"]),
            f"{100 * e['over']['beyond']:.1f} %",
            f"{share(e['excess']['mean'])} ({share(e['excess']['largest'])})",
        )
        for e in stored["entries"]
    ]
    return table(
        ("domain", "run", "passes", "mean", "largest", "above 0.5 %", "over the reference: mean (largest)"), rows
    )


QUADRATURE: dict[str, Section] = {subject: errors(subject) for subject in quadrature.REFERENCES}
LIMITS: dict[str, Section] = {
    "limits": limits_of_all,
    "spent": spent,
    "memory": memory,
    "allocator": allocator,
    "alone": alone,
    "noise": draws,
    "published": published,
}
TRANSFORMS: dict[str, Section] = {"ten": ten, "peers": peers, "milliseconds": milliseconds}
MASKS: dict[str, Section] = {"front": front}
