"""Writes the README's figures and tables from stored results; none is typed by hand. Run `python -m benchmarks.readme`."""

import json
import re
import sys
from pathlib import Path

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
    """The stored benchmarks, one row each."""
    files = sorted(RESULTS.glob("stream-*.json"))
    if not files:
        return ""
    lines = ["| measured (ratio to the bare loop or to one domain, same run) | ratio | pairs | goal | device |",
             "|---|---:|---|---:|---|"]  # fmt: skip
    for path in files:
        stored = json.loads(path.read_text())
        for bench in stored["benchmarks"]:
            info = bench["extra_info"]
            name = bench["name"].removeprefix("test_").replace("_", " ")
            goal = f"≤ {info['goal']}" if "goal" in info else ""
            lines.append(f"| {name} | {info['ratio']:.3f} | {info['low']:.3f}–{info['high']:.3f} | {goal} | "
                         f"{stored['machine_info']['device']} |")  # fmt: skip
    on_gpu = any("CPU" not in json.loads(path.read_text())["machine_info"]["device"] for path in files)
    note = "" if on_gpu else "\n\nGPU figures are not measured yet."
    return "## Speed\n\n" + "\n".join(lines) + f"\n\n`make bench` measures them on your machine.{note}"


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
