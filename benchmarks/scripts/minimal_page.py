"""The section of docs/studies/minimal.md, from a stored run: `python -m benchmarks.scripts.minimal_page RUN` stores one.

docs/studies/minimal holds the summary, the tables and the figures of a run of `pullback study minimal`.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.stored import ROOT
from pullback.core.files import write_text
from pullback.studies.minimal.figures import PAPER_FRONT
from pullback.studies.minimal.images import HARD, PHOTO, SOFT
from pullback.studies.minimal.report import CAPTIONS, GRID, change_table, contrast_table, front_table, limit_table, need_table
from pullback.studies.minimal.words import percent

from .tables import NothingStored, table

STORED = Path("docs/studies/minimal")
TABLES = ("results.csv", "limits.csv", "changed.csv")
GRIDS = 2  # that are shown
NEAR = 0.05  # how far apart sparsities may be to stand side by side
WHERE = ["model", "data", "domain"]


def store(run: Path, root: Path = ROOT) -> None:
    """Copies the summary, tables and figures of a run."""
    folder = root / STORED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    summary = json.loads((run / "summary.json").read_text())
    kept = {name: value for name, value in summary.items() if name not in ("process", "state")}
    grids = [name for name in summary["files"] if name.endswith(".png") and name not in CAPTIONS][:GRIDS]
    kept["files"] = [*TABLES, *CAPTIONS, *grids]
    write_text(folder / "summary.json", json.dumps(kept, indent=1) + "\n")
    for name in kept["files"]:
        shutil.copy(run / name, folder / name)


def section(root: Path) -> str:
    """What the stored run found.  Raises: NothingStored where there is none."""
    folder = root / STORED
    if not (folder / "summary.json").is_file():
        raise NothingStored
    summary = json.loads((folder / "summary.json").read_text())
    front, changed = (pd.read_csv(folder / name, keep_default_na=True) for name in ("results.csv", "changed.csv"))
    said = "\n".join(f"- {sentence}" for sentence in summary["findings"])
    picture = lambda name: f"![{CAPTIONS.get(name, GRID)}](minimal/{name})"
    grids = [name for name in summary["files"] if name.endswith(".png") and name not in CAPTIONS]
    parts = [_about(summary), said, "### Beside the paper", _beside(front, summary), picture("paper.png")]
    parts += ["### With controls", picture("front.png"), picture("limits.png"), table(_short(limit_table(summary)))]
    parts += [table(_short(need_table(summary))), *map(picture, grids)]
    parts += ["### Texture or shape", picture("changed.png"), table(_short(change_table(changed)))]
    parts += [
        "The minimal image less others, in points, corrected by Holm over all rows:",
        table(_short(contrast_table(summary))),
    ]
    return "\n\n".join([*parts, "### Every price", table(_short(front_table(front)))])


def _short(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without columns that say the same in each of them."""
    return rows.drop(columns=[name for name in WHERE if rows[name].nunique() == 1])


def _about(summary: dict[str, Any]) -> str:
    settings, cost = summary["settings"], summary["cost"]
    runs = "; ".join(
        f"{row['signals']} of `{row['data']}` by `{row['model']}` in `{row['domain']}`" for row in summary["signals"]
    )
    prices = ", ".join(f"{price:g}" for price in settings["alphas"] or settings["prices"])
    name = "α" if settings["alphas"] else "prices"
    return f"""`pullback study minimal`: {runs}; {settings["steps"]} steps, continuation {settings["continuation"]}, {name}
{prices}, seed {settings["seed"]}. {cost["gradients"]:,} gradients for the masks; the paper's setting (500 steps for each of 11
prices, each on its own) would take {summary["paper_setting"]["gradients"]:,} for as many signals."""


def _beside(front: pd.DataFrame, summary: dict[str, Any]) -> str:
    """The paper's points, and ours nearest to their sparsity."""
    lines = []
    for (model, domain), own in front.groupby(["model", "domain"], sort=False):
        photo = own[own["image"] == PHOTO].iloc[0]["logit"]
        for sparsity, logit in PAPER_FRONT:
            rows = own[own["image"] == SOFT]
            near = rows.loc[(rows["sparsity"] - sparsity).abs().idxmin()]
            if abs(near["sparsity"] - sparsity) > NEAR:
                continue
            hard = own[(own["image"] == HARD) & (own["price"] == near["price"])].iloc[0]
            lines.append(
                {"model": model, "domain": domain, "paper: sparsity": f"{percent(sparsity)} %", "mean logit": f"{logit:.0f}"}
                | {"here: nearest sparsity": f"{percent(near['sparsity'])} %", "mean score": f"{near['logit']:.1f}"}
                | {"hard mask": f"{hard['logit']:.1f}", "the signals themselves": f"{photo:.1f}"}
            )
    return table(_short(pd.DataFrame(lines).assign(data="")))


SECTIONS = {"minimal": section}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    store(parser.parse_args().run)


if __name__ == "__main__":
    main()
