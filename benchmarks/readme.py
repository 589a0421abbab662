"""Writes the README's figures and tables from stored results; none is typed by hand. Run `python -m benchmarks.readme`."""

import json
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import pullback as pb
from pullback.attribution.estimator import estimators
from pullback.studies import report
from pullback.studies.compare import transform_rows

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "docs" / "demo"
RESULTS = ROOT / "benchmarks" / "results"


def demo() -> str:
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
    said = "\n".join(f"- {sentence}" for sentence in report.findings(table))
    rows = {key: value for key, value in summary["model_rows"].items() if isinstance(value, int)}
    return f"""What it printed ({summary["photos"]} photos, {summary["settings"]["method"]}, {rows["gradient"]:,} gradients and
{rows["forward"]:,} forwards for all {len(shown)} domains together):

{said}

![What the top 10 % of coefficients of each domain make of a photo](docs/demo/{first("top10")})
![Where each octave's attribution sits](docs/demo/{first("heatmaps")})

{chr(10).join(lines)}

Means over photos; the gap is a median. "by |z|" and "random" are the controls at 10 %."""


def speed() -> str:
    """The stored benchmarks: one row for each question, one column for each device."""
    columns = [(device, suites) for device, suites in _stored().items()]
    columns.sort(key=lambda column: "CPU" not in column[0])
    if not columns:
        return ""
    rows: dict[str, list[str]] = {}
    for number, (_, noted) in enumerate(columns):
        for question, answer in _answers(noted):
            rows.setdefault(question, [""] * len(columns))[number] = answer
    lines = ["| time of ours / time of … | " + " | ".join(device for device, _ in columns) + " |",
             "|---|" + "---|" * len(columns)]  # fmt: skip
    lines += [f"| {question} | {' | '.join(answers)} |" for question, answers in rows.items()]
    note = "" if "CPU" not in columns[-1][0] else "\n\nGPU figures are not measured yet."
    return f"""## Speed

Ratios of two jobs run in turn: median, smallest and largest pair, and the goal. The bare loop is the same model on as many
rows forward and back, in chunks of the same size, and nothing else.

{chr(10).join(lines)}

`make bench` measures them on your machine, `make bench-compare` tells regressions from noise.{note}"""


Noted = dict[str, dict[str, Any]]


def _stored() -> dict[str, dict[str, Noted]]:
    """device -> suite -> benchmark -> what it noted."""
    devices: dict[str, dict[str, Noted]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and "machine_info" in content:
            noted = {bench["name"]: bench["extra_info"] for bench in content["benchmarks"]}
            devices.setdefault(content["machine_info"]["device"], {})[path.stem.split("-")[0]] = noted
    return devices


def _answers(suites: dict[str, Noted]) -> Iterator[tuple[str, str]]:
    """(question, answer) of one device."""
    limits = list(suites.get("limits", {}).values())
    for domains, name in ((1, "one domain"), (10, "ten domains")):
        yield from _limits([entry for entry in limits if entry["domains"] == domains], name)
    for test, entry in suites.get("stream", {}).items():
        if test.startswith("test_ten_domains"):
            yield "the same in one domain: ten domains from one gradient stream", span(entry)
    for entry in suites.get("peers", {}).values():
        yield f"{entry['peer']}{' (for equal rows)' if entry.get('for_equal_rows') else ''}", span(entry)
    yield from _transforms(suites.get("transforms", {}))
    yield from _accelerator(list(suites.get("accelerator", {}).values()))
    if growth := suites.get("growth"):
        name = lambda test: test.split("[")[1].rstrip("]")
        yield ("log-log slope of time against …",
               ", ".join(f"{name(test)} {entry['slope']:.2f}" for test, entry in growth.items()))  # fmt: skip


def _limits(entries: list[dict[str, Any]], name: str) -> Iterator[tuple[str, str]]:
    """The bare loop: two methods on every model, and every method on one model."""
    for method in ("integrated_gradients(steps", "smoothgrad"):
        found = [f"{e['model']} {e['ratio']:.2f}" for e in entries if e["method"].startswith(method)]
        if found:
            yield f"the bare loop: `{method.split('(')[0]}` in {name}", f"{', '.join(found)}; goal {entries[0]['goal']}"
    models = [entry["model"] for entry in entries]
    every = sorted((e for e in entries if models.count(e["model"]) > 10), key=lambda e: float(e["ratio"]))
    if every:
        middle, worst = every[len(every) // 2]["ratio"], every[-1]
        yield (f"the bare loop: all {len(every)} methods in {name}, {worst['model']}",
               f"median {middle:.2f}, worst {worst['ratio']:.2f} (`{worst['method']}`)")  # fmt: skip
        memory = statistics.median(e["peak_mb"] / max(e["bare_peak_mb"], 1) for e in every)
        yield f"peak memory of ours / of the loop in {name}", f"median {memory:.2f}"


def _transforms(noted: Noted) -> Iterator[tuple[str, str]]:
    """Each peer over image, audio and volume; and T and its adjoint in ten domains against one pass of a network."""
    peers: dict[str, list[str]] = {}
    for test, entry in noted.items():
        if test.startswith("test_against_peer"):
            job = test.split("[")[1].rsplit("-", 1)[0]
            peers.setdefault(job, []).append(f"{entry['kind']} {entry['ratio']:.2f}")
        elif "ratio" in entry:
            yield "one forward and backward of a ResNet-50: T x and an adjoint in ten domains", span(entry)
    for job, ratios in peers.items():
        ours, theirs = job.split(" / ")
        yield f"{theirs}: `{ours}`", ", ".join(ratios)


def _accelerator(entries: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """SmoothGrad through `attribute` in each format over the eager float32 loop; transforms over a copy."""
    run = [entry for entry in entries if "options" in entry]
    for options in dict.fromkeys(entry["options"] for entry in run):
        found = [f"{e['model']} {e['ratio']:.2f}" for e in run if e["options"] == options]
        yield f"the eager float32 loop, contiguous: SmoothGrad, {options}", ", ".join(found)
    shares = {
        e["spec"].split(", ")[0]: e["analysis"] for e in entries if "analysis" in e and "reflect" not in e["spec"]
    }
    if shown := [f"`{spec.removeprefix('dwt(')}` {shares[spec]:.2f}" for spec in _SHOWN if spec in shares]:
        yield "the least bytes at the speed of a copy, over T", ", ".join(shown)


_SHOWN = ("dwt(haar", "dwt(db4", "dct", "dft")


def span(entry: dict[str, Any]) -> str:
    """Median, pairs and goal."""
    goal = f", goal {entry['goal']:g}" if "goal" in entry else ""
    return f"**{entry['ratio']:.2f}** ({entry['low']:.2f}–{entry['high']:.2f}{goal})"


def table() -> str:
    """What is registered."""
    lines = ["| transform | claims on (3, 64, 64) | what it is |", "|---|---|---|"]
    lines += [f"| `{row['name']}` | {row['claims'].lower()} | {row['summary']} |" for row in transform_rows()]
    lines += ["", "| method | what it is |", "|---|---|"]
    for name in pb.attribution.names():
        lines.append(f"| `{name}` | {_first_line(estimators.maker(name).__doc__)} |")
    return "\n".join(lines)


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def fill(text: str, name: str, content: str) -> str:
    """`text` with what stands between the markers of `name` replaced."""
    pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    return pattern.sub(
        lambda match: f"{match.group(1)}{content}\n{match.group(2)}" if content else match.group(1) + match.group(2),
        text,
    )


def main() -> None:
    path = ROOT / "README.md"
    text = path.read_text()
    for name, section in (("demo", demo), ("speed", speed), ("table", table)):
        text = fill(text, name, section())
    path.write_text(text)
    sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
