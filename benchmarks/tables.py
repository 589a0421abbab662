"""The tables of transforms.md, integrated_gradients.md and masks.md."""

import json
from collections.abc import Callable
from pathlib import Path

from . import quadrature
from .stored import KINDS, NOT_YET, entries, goal, ratio, run, table

Section = Callable[[Path], str]
SIZES = ("image", "audio", "volume")


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
    rows = [(e["domain"], e["run"], f"{100 * e['passes']:.0f} %", share(e["over"]["mean"]), share(e["over"]["largest"]),
             f"{100 * e['over']['beyond']:.1f} %", f"{share(e['excess']['mean'])} ({share(e['excess']['largest'])})")
            for e in stored["entries"]]  # fmt: skip
    return table(
        ("domain", "run", "passes", "mean", "largest", "above 0.5 %", "over the reference: mean (largest)"), rows
    )


QUADRATURE: dict[str, Section] = {subject: errors(subject) for subject in quadrature.REFERENCES}
TRANSFORMS: dict[str, Section] = {"ten": ten, "peers": peers, "milliseconds": milliseconds}
MASKS: dict[str, Section] = {"front": front}
