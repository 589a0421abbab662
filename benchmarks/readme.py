"""The README's figures and tables; none is typed by hand."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import pullback as pb
from pullback.attribution.estimator import estimators
from pullback.studies import transform_rows
from pullback.studies.compare.verdicts import findings
from pullback.studies.report import page as report

from .stored import KINDS, NOT_YET, ROOT, entries, goal, goals, over, ratio, run
from .stored import table as table_of

DEMO = ROOT / "docs" / "demo"


def demo(_: Path) -> str:
    """The stored run of `make demo`: a picture, the table, and what it says."""
    table = pd.read_csv(DEMO / "results.csv")
    summary = json.loads((DEMO / "summary.json").read_text())
    shown = report.means(table)
    columns = {name: title for name, title, _ in report.COLUMNS if not name.startswith("seconds")}
    head = ["domain", *(title.replace("|", "\\|") for title in columns.values())]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for domain, row in shown.iterrows():
        lines.append(
            "| " + " | ".join([f"`{domain}`", *(report.cell(name, float(row[name])) for name in columns)]) + " |"
        )
    pictures = sorted(path.name for path in DEMO.glob("*.png"))
    first = lambda start: next(name for name in pictures if name.startswith(start))
    said = "\n".join(f"- {sentence}" for sentence in findings(table))
    rows = {key: value for key, value in summary["evaluations"].items() if isinstance(value, int)}
    return f"""What it printed ({summary["photos"]} photos, {summary["settings"]["method"]}, {rows["gradient"]:,} gradients and
{rows["forward"]:,} forwards for all {len(shown)} domains together):

{said}

![What the top 10 % of coefficients of each domain make of a photo](docs/demo/{first("top10")})
![Where each octave's attribution sits](docs/demo/{first("heatmaps")})

{chr(10).join(lines)}

Means over photos; the gap is a median. "by |z|" and "random" are the controls at 10 %."""


def speed(results: Path) -> str:
    """The stored benchmarks in short, a table for each machine."""
    parts = []
    for kind in KINDS:
        found = [stored for suite in SUITES if (stored := run(results, suite, kind))]
        rows = [row for _, rows in QUESTIONS for row in rows(results, kind)]
        if rows:
            said = "".join(f"\n- {sentence}" for sentence in sentences(results, kind))
            parts.append(f"### {found[0].machine['device']}\n\n{table_of(HEAD, rows)}" + (f"\n{said}" if said else ""))
        else:
            parts.append(f"### {'GPU' if kind == 'cuda' else 'CPU'}\n\n{NOT_YET}")
    return f"""## Speed

Time of ours over the time of something else, run in turn: median, smallest and largest pair (or model, or job, where there are
several), and the goal. The bare loop is the same model on as many rows forward and back, in chunks of the same size, and
nothing else; on a CPU both run with an allocator that [keeps freed memory](benchmarks/limits.md#the-allocator).

{(chr(10) * 2).join(parts)}

`make bench` measures them on your machine, `make bench-compare` tells regressions from noise. More numbers: [on a
GPU](benchmarks/accelerator.md), [every
method](benchmarks/limits.md), [transforms](benchmarks/transforms.md), [integrated
gradients](benchmarks/integrated_gradients.md), [masks](benchmarks/masks.md)."""


HEAD = ("time of ours / time of …", "ratio", "goal")
SUITES = {
    "limits": "methods over the bare loop",
    "stream": "ten domains from one stream",
    "peers": "other libraries' methods",
    "transforms": "transforms against other libraries",
    "accelerator": "number formats and bandwidth",
    "growth": "growth",
}
Rows = Iterator[tuple[str, str, str]]


def _limits(results: Path, kind: str) -> Rows:
    """The bare loop: two methods over every model, and every method on one model."""
    for domains, name in ((1, "one domain"), (10, "ten domains")):
        found = [e for e in entries(results, "limits", kind, "test_limit") if e["domains"] == domains]
        for method in ("integrated_gradients(steps", "smoothgrad"):
            mine = [e for e in found if e["method"].startswith(method)]
            if mine:
                yield (
                    f"the bare loop, `{method.split('(')[0]}` in {name}, {len(mine)} models",
                    over(mine),
                    goals(mine),
                )
        models = [e["model"] for e in found]
        every = sorted((e for e in found if models.count(e["model"]) > 10), key=lambda e: float(e["ratio"]))
        if every:
            yield (
                f"the bare loop, every method in {name}, {every[0]['model']} (worst: "
                f"`{every[-1]['method'].split('(')[0]}`)",
                over(every),
                goals(every),
            )


def _stream(results: Path, kind: str) -> Rows:
    for entry in entries(results, "stream", kind, "test_ten_domains_cost_the_rows_of_one"):
        yield "one domain, same model rows: ten domains from one gradient stream", ratio(entry), goal(entry)


def _peers(results: Path, kind: str) -> Rows:
    stored = run(results, "peers", kind)
    for entry in [] if stored is None else stored.noted.values():
        equal = ", for equal rows" if entry.get("for_equal_rows") else ""
        yield f"{entry['peer']}{equal}", ratio(entry), goal(entry)


def _transforms(results: Path, kind: str) -> Rows:
    """Each peer over all jobs; and T and its adjoint in ten domains against one pass of a network."""
    stored = run(results, "transforms", kind)
    jobs: dict[str, list[dict[str, Any]]] = {}
    for test, entry in [] if stored is None else stored.noted.items():
        if test.startswith("test_against_peer"):
            jobs.setdefault(test.split(" / ")[1].rsplit("-", 1)[0], []).append(entry)
    for peer, found in jobs.items():
        yield f"{peer}, {len(found)} transforms and sizes", over(found), goals(found)
    for entry in entries(results, "transforms", kind, "test_ten_domains_against_one_pass_of_a_resnet50"):
        yield "one pass of a ResNet-50: T x and an adjoint in ten domains", ratio(entry), goal(entry)


def _formats(results: Path, kind: str) -> Rows:
    """SmoothGrad through `attribute` over the eager float32 loop; of the compiled ones the better memory format."""
    # The small network is there to run every path of the code, and says nothing of speed.
    found = [e for e in entries(results, "accelerator", kind, "test_execution") if e["model"] != "small"]
    for name, wanted in FORMATS.items():
        best: dict[str, dict[str, Any]] = {}
        for entry in found:
            known = best.get(entry["model"])
            if entry["options"] in wanted and (known is None or entry["ratio"] < known["ratio"]):
                best[entry["model"]] = entry
        if best:
            said = ", ".join(f"{model} **{entry['ratio']:.2f}**" for model, entry in best.items())
            yield f"the eager float32 loop: SmoothGrad {name}", said, goals(list(best.values()))


FORMATS = {
    "in fp32": ("fp32",),
    "in fp32, channels_last": ("fp32 channels_last",),
    "in bf16": ("bf16", "bf16 channels_last"),
    "in bf16, compiled": ("bf16 compiled", "bf16 compiled channels_last"),
}
QUESTIONS = (
    ("limits", _limits),
    ("stream", _stream),
    ("peers", _peers),
    ("transforms", _transforms),
    ("accelerator", _formats),
)


def sentences(results: Path, kind: str) -> Iterator[str]:
    """What is no ratio of two times."""
    shares: dict[str, dict[str, Any]] = {}
    for entry in entries(results, "accelerator", kind, "test_bandwidth"):
        if "reflect" not in entry["spec"]:
            shares.setdefault(entry["spec"].removeprefix("dwt(").split(",")[0], entry)
    shown = [f"`{name}` {shares[name]['analysis']:.2f}" for name in ("haar", "db4", "dct", "dft") if name in shares]
    if shown:
        yield (
            f"Share of a copy's speed at which T reads every sample and writes every coefficient: {', '.join(shown)}; "
            "goal on a GPU 0.5."
        )
    if every := [e for e in entries(results, "limits", kind, "test_limit") if "bare_peak_mb" in e]:
        memory = statistics.median(e["peak_mb"] / max(e["bare_peak_mb"], 1) for e in every)
        yield f"Peak memory of ours over that of the loop, median of {len(every)} runs: {memory:.2f}."
    kept = run(results, "peers", f"{kind}-kept")
    if kept is not None:
        short = lambda e: f"{e['peer']} {e['ratio']:.2f}" + (f" (goal {goal(e)})" if "missed" in goal(e) else "")
        said = ", ".join(map(short, kept.noted.values()))
        yield f"With an allocator that keeps freed memory, peers that run many rows at once gain most: {said}."
    growth = run(results, "growth", kind)
    if growth is not None:
        off = lambda e: "" if e["within"] else f" (expected {e['expected'][0]} to {e['expected'][1]}, missed)"
        slopes = ", ".join(
            f"{test.split('[')[1].rstrip(']')} {e['slope']:.2f}{off(e)}" for test, e in growth.noted.items()
        )
        yield f"Log-log slope of time against {slopes}; 1 is in proportion, 0 is for nothing."
    if otherwise := [said for suite, said in SUITES.items() if (stored := run(results, suite, kind)) and stored.note]:
        yield f"Measured otherwise than said above ([how](benchmarks/accelerator.md)): {', '.join(otherwise)}."
    peers = run(results, "peers", kind)
    if peers is not None and peers.skipped:
        yield f"Left out of the peers: {'; '.join(f'{name} ({why})' for name, why in peers.skipped.items())}."
    took = {stored.run_wall_s for suite in SUITES if (stored := run(results, suite, kind)) and stored.run_wall_s}
    if len(took) == 1:  # all suites of one run
        yield f"`make bench` took {_minutes(took.pop())}."
    if missing := [said for suite, said in SUITES.items() if run(results, suite, kind) is None]:
        yield f"Not measured on this machine yet: {', '.join(missing)}."


def _minutes(seconds: float) -> str:
    return "{} min {} s".format(*divmod(round(seconds), 60))


def table(_: Path) -> str:
    """What is registered."""
    lines = ["| transform | claims on (3, 64, 64) | what it is |", "|---|---|---|"]
    lines += [f"| `{row['name']}` | {row['claims'].lower()} | {row['summary']} |" for row in transform_rows()]
    lines += ["", "| method | what it is |", "|---|---|"]
    for name in pb.attribution.names():
        lines.append(f"| `{name}` | {_first_line(estimators.maker(name).__doc__)} |")
    return "\n".join(lines)


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
