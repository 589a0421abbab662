"""Writes the generated parts of docs/*.md from what is stored and registered: `python -m benchmarks.scripts.pages`.

A page is text with places between the markers <!-- name:begin --> and <!-- name:end -->. Each place is filled by the section
of that name, a function of the checkout's folder. Everything outside of the markers is written by hand.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

import pullback as pb
from benchmarks.results.stored import ROOT
from pullback.attribution.estimator import estimators
from pullback.core.files import write_text
from pullback.studies import transform_rows
from pullback.studies.compare.summary import domain_numbers
from pullback.studies.report import page as report

from . import (
    axioms_page,
    comparisons_page,
    domains_page,
    fitted_page,
    minimal_page,
    overlap_page,
    performance,
    planted_page,
    robustness_page,
    scale_page,
    statistics_page,
    volume_page,
    zoo,
)
from .tables import NothingStored, table

Section = Callable[[Path], str]
NOT_YET = "Not measured yet."
_MARKED = re.compile(r"(<!-- ([\w-]+):begin -->\n).*?(<!-- \2:end -->)", re.DOTALL)


def demo(root: Path) -> str:
    """The stored run of `make demo`: what it printed, its pictures and its table."""
    folder = root / "docs" / "demo"
    found, summary = pd.read_csv(folder / "results.csv"), json.loads((folder / "summary.json").read_text())
    shown, rows = report.means(found), summary["evaluations"]
    columns = {name: title for name, title, _ in report.COLUMNS if not name.startswith("seconds")}
    cells = {title: [report.cell(name, float(v)) for v in shown[name]] for name, title in columns.items()}
    pictures = sorted(path.name for path in folder.glob("*.png"))
    first = lambda start: next(name for name in pictures if name.startswith(start))
    said = "\n".join(f"- {sentence}" for sentence in summary["sentences"])
    return f"""What it printed ({summary["photos"]} photos, {summary["settings"]["method"]}, {rows["gradient"]:,} gradients and
{rows["forward"]:,} forwards for all {len(shown)} domains together):

{said}

![What the top 10 % of coefficients of each domain make of a photo](demo/{first("top10")})
![Where each octave's attribution sits](demo/{first("heatmaps")})

{table(pd.DataFrame({"domain": [f"`{name}`" for name in shown.index], **cells}))}

Means over photos; the gap is a median. "by |z|" and "random" are the controls at 10 %."""


def registered(_: Path) -> str:
    """Every registered transform and method, with the first line of its docstring."""
    first = lambda text: " ".join((text or "").strip().split("\n\n")[0].split())
    transforms = [(f"`{row['name']}`", row["claims"].lower(), row["summary"]) for row in transform_rows()]
    methods = [(f"`{name}`", first(estimators.maker(name).__doc__)) for name in pb.attribution.names()]
    heads = ["transform", "claims on (3, 64, 64)", "what it is"], ["method", "what it is"]
    return "\n\n".join(table(pd.DataFrame(rows, columns=head)) for rows, head in zip((transforms, methods), heads))


SECTIONS: dict[str, Section] = {
    "demo": demo,
    "table": registered,
    **performance.SECTIONS,
    **axioms_page.SECTIONS,
    **zoo.SECTIONS,
    **planted_page.SECTIONS,
    **comparisons_page.SECTIONS,
    **domains_page.SECTIONS,
    **robustness_page.SECTIONS,
    **minimal_page.SECTIONS,
    **overlap_page.SECTIONS,
    **statistics_page.SECTIONS,
    **fitted_page.SECTIONS,
    **volume_page.SECTIONS,
    **scale_page.SECTIONS,
}


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that hold a marker."""
    return [path for path in sorted((root / "docs").rglob("*.md")) if _MARKED.search(path.read_text(encoding="utf-8"))]


def fill(text: str, root: Path = ROOT, sections: dict[str, Section] = SECTIONS) -> str:
    """`text` with its places written anew.  Raises: ValueError for a marker that no section has."""
    names = [match[2] for match in _MARKED.finditer(text)]
    if unknown := sorted(set(names) - set(sections)):
        raise ValueError(f"markers: no section is called {', '.join(unknown)}; expected one of {', '.join(sections)}.")
    return _MARKED.sub(lambda match: f"{match[1]}{_said(sections[match[2]], root)}\n{match[3]}", text)


def _said(section: Section, root: Path) -> str:
    try:
        return section(root).strip("\n")
    except NothingStored:
        return NOT_YET


def summarise(root: Path = ROOT) -> None:
    """Writes the means and intervals of docs/demo/summary.json anew, from the stored table."""
    path = root / "docs" / "demo" / "summary.json"
    summary, table = json.loads(path.read_text(encoding="utf-8")), pd.read_csv(path.with_name("results.csv"))
    seed = summary["settings"]["seed"]
    write_text(path, json.dumps(summary | domain_numbers(table, seed), indent=1) + "\n")


def main() -> None:
    summarise()
    for path in pages():
        write_text(path, fill(path.read_text(encoding="utf-8")))
        sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
