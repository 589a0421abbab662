"""The section of docs/studies/minimal.md, from stored runs: `python -m benchmarks.scripts.minimal_page RUN` stores one.

docs/studies/minimal holds the summary, the tables and the figures of a run of `pullback study minimal`; with --other, the
summaries of runs of other models and domains; with --steps, what a run with more steps says of the same signals and prices.
"""

import argparse
import dataclasses
import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.stored import ROOT
from pullback.core.files import write_text
from pullback.studies.minimal.figures import PAPER_FRONT
from pullback.studies.minimal.images import HARD, PHOTO, SOFT
from pullback.studies.minimal.report import CAPTIONS, GRID, change_table, contrast_table, front_table, limit_table, need_table
from pullback.studies.minimal.settings import Settings
from pullback.studies.minimal.tables import LIMITED
from pullback.studies.minimal.words import LEAST, interval, of, percent

from .tables import NothingStored, table

STORED = Path("docs/studies/minimal")
TABLES = ("results.csv", "limits.csv", "changed.csv")
GRIDS = 2  # that are shown
NEAR = 0.05  # how far apart sparsities may be to stand side by side
WHERE = ["model", "data", "domain"]


OPTIONS = {
    "models": "model",
    "transforms": "transform",
    "prices": "price",
}  # where the name of an option is not that of its setting


def store(run: Path, others: Sequence[Path] = (), steps: Path | None = None, root: Path = ROOT) -> None:
    """Copies the summary, tables and figures of a run, and what the page says of other runs."""
    folder = root / STORED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept = _summary(run)
    grids = [name for name in kept["files"] if name.endswith(".png") and name not in CAPTIONS][:GRIDS]
    kept["files"] = [*TABLES, *CAPTIONS, *grids]
    write_text(folder / "summary.json", json.dumps(kept, indent=1) + "\n")
    for name in kept["files"]:
        shutil.copy(run / name, folder / name)
    if others:
        write_text(folder / "others.json", json.dumps([_summary(other) for other in others], indent=1) + "\n")
    if steps:
        write_text(folder / "steps.csv", more_steps(run, steps).to_csv(index=False))


def replace(others: Sequence[Path], root: Path = ROOT) -> None:
    """Stores what other runs say in the place of earlier ones of the same models, data and domains."""
    path = root / STORED / "others.json"
    key = lambda one: [one["settings"][name] for name in ("models", "data", "transforms")]
    found = {json.dumps(key(one)): one for one in [*json.loads(path.read_text()), *map(_summary, others)]}
    write_text(path, json.dumps(list(found.values()), indent=1) + "\n")


def _summary(run: Path) -> dict[str, Any]:
    found = json.loads((run / "summary.json").read_text())
    return {name: value for name, value in found.items() if name not in ("process", "state", "fronts", "command_line")}


def more_steps(run: Path, more: Path) -> pd.DataFrame:
    """Sparsity, score and whether the class is kept of the minimal images that both runs have, a row for each of both.

    hard: whether the hard mask keeps the class.
    """
    found, names = [], {f"{SOFT} logit": "score", f"{SOFT} kept": "kept", f"{HARD} kept": "hard", "budget": "sparsity"}
    keys = [*WHERE, "example", "price"]
    for folder in (run, more):
        rows = pd.read_parquet(folder / "scores.parquet")
        rows = rows[rows["price"].notna()].assign(metric=rows["control"] + " " + rows["metric"])
        wide = rows.pivot(index=[*keys, "budget"], columns="metric", values="score").reset_index().rename(columns=names)
        found.append(wide[[*keys, *names.values()]].assign(steps=_summary(folder)["settings"]["steps"]))
    both = found[0][keys].merge(found[1][keys])
    return pd.concat([one.merge(both, on=keys) for one in found])


def section(root: Path) -> str:
    """What the stored run found.  Raises: NothingStored where there is none."""
    folder = root / STORED
    if not (folder / "summary.json").is_file():
        raise NothingStored
    summary = json.loads((folder / "summary.json").read_text())
    front, changed = (pd.read_csv(folder / name, keep_default_na=True) for name in ("results.csv", "changed.csv"))
    said = "\n".join(f"- {sentence.removeprefix(_start(summary))}" for sentence in summary["findings"])
    picture = lambda name: f"![{CAPTIONS.get(name, GRID)}](minimal/{name})"
    grids = [name for name in summary["files"] if name.endswith(".png") and name not in CAPTIONS]
    parts = [_about(summary), said, "### Beside the paper", _beside(front, summary), picture("paper.png")]
    parts += ["### With controls", picture("limits.png"), table(_short(limit_table(summary)))]
    parts += [table(_short(need_table(summary))), picture("front.png"), *map(picture, grids)]
    parts += ["### Texture or shape", picture("changed.png"), table(_short(change_table(changed)))]
    parts += [
        "The contrasts that were declared: minimal images less the photo, in points, corrected by Holm over these rows.",
        table(_short(contrast_table(summary))),
    ]
    parts += ["### Other models and domains", _others(folder), "### More steps", _steps(folder)]
    return "\n\n".join([*parts, "### Every price", table(_short(front_table(front)))])


def _start(summary: dict[str, Any]) -> str:
    """How every sentence about a run of one cell begins."""
    one = summary["signals"][0]
    return f"{one['model']} on {one['data']}, {one['domain']}: " if len(summary["signals"]) == 1 else ""


def command(settings: dict[str, Any]) -> str:
    """The command of these settings.

    >>> command({"models": ["yamnet"], "steps": 500, "limit": 20, "continuation": None})
    'pullback study minimal --model yamnet --steps 500'
    """
    usual, words = dataclasses.asdict(Settings()), ["pullback", "study", "minimal"]
    for name, value in settings.items():
        several = list(value) if isinstance(value, list | tuple) else [value]
        if name in usual and name != "device" and several != (list(u) if isinstance(u := usual[name], tuple) else [u]):
            words += [word for one in several for word in (f"--{OPTIONS.get(name, name)}", _plain(one))]
    return shlex.join(words)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _others(folder: Path) -> str:
    """What other runs say: limits of each model and domain, and how many more coefficients controls need."""
    if not (folder / "others.json").is_file():
        return "None are stored."
    runs = json.loads((folder / "others.json").read_text())
    limits = pd.DataFrame([_limits(run, cell) for run in runs for cell in run["signals"]])
    commands = ", ".join(f"`{command(run['settings'])}` ({_cost(run)})" for run in runs)
    return (
        "The median sparsity up to which the class is kept, by image; a signal has no limit where the empty one has its class. "
        f"Intervals are of 95 %, from {LEAST} signals on. From {commands}.\n\n{table(limits)}\n\n"
        "How many times as many coefficients other images need for the class as the minimal one, where every coefficient "
        "above 0 counts whole; corrected by Holm over all rows of a run.\n\n"
        f"{table(pd.concat(map(need_table, runs)))}"
    )


def _limits(run: dict[str, Any], cell: dict[str, Any]) -> dict[str, str]:
    """The row of one model and domain."""
    where = {name: cell[name] for name in WHERE}
    rows, [rival] = of(run["limits"], **where), of(run["rivals"], **where)
    limited = max((row["signals"] for row in rows), default=0)
    line = {name: f"`{cell[name]}`" for name in WHERE} | {"with a limit": f"{limited} of {cell['signals']}"}
    line |= dict.fromkeys(LIMITED, "–") | {row["image"]: _limit(row) for row in rows}
    return line | {"another class reached": f"{rival['reached']} of {rival['signals']}"}


def _limit(row: dict[str, Any]) -> str:
    """The median, with its interval where there are enough signals for one."""
    found = row["kept_until"]
    return interval(found) if row["signals"] >= LEAST else f"{percent(found['median'])} %"


def _cost(summary: dict[str, Any]) -> str:
    cost = summary["cost"]
    return f"{cost['gradients']:,} gradients for the masks, {cost['cpu_seconds'] / 60:.1f} minutes of one core"


def _steps(folder: Path) -> str:
    """What more steps change: means over the same signals, by price."""
    if not (folder / "steps.csv").is_file():
        return "No run with more steps is stored."
    rows = pd.read_csv(folder / "steps.csv")
    few, many = sorted(rows["steps"].unique())
    sums = rows.groupby(["price", "steps"])[["kept", "hard"]].sum()
    means = rows.groupby(["price", "steps"])[["sparsity", "score"]].mean()
    count, lines, ratios = rows["example"].nunique(), [], []
    for price in rows["price"].unique():
        line = {"price": f"{price:g}"}
        for steps in (few, many):
            one, seen = means.loc[price, steps], sums.loc[price, steps]
            line |= {f"sparsity, {steps} steps": f"{percent(one['sparsity'])} %", f"score, {steps}": f"{one['score']:.1f}"}
            line |= {
                f"kept, {steps}": f"{seen['kept']:.0f} of {count}",
                f"hard mask kept, {steps}": f"{seen['hard']:.0f} of {count}",
            }
        lines.append(line)
        one, other = means.loc[price, few], means.loc[price, many]
        ratios.append((other["score"] / one["score"], (1 - one["sparsity"]) / (1 - other["sparsity"])))
    ends = [f"{min(values):.1f}–{max(values):.1f}" for values in zip(*ratios)]
    return (
        f"Means over {count} signals, which describe, and conclude nothing. At one price, {many} steps give {ends[0]} times "
        f"the score of {few} steps, with {ends[1]} times as small a ‖m‖₁.\n\n{table(pd.DataFrame(lines))}"
    )


def _short(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without columns that say the same in each of them."""
    return rows.drop(columns=[name for name in WHERE if rows[name].nunique() == 1])


def _about(summary: dict[str, Any]) -> str:
    settings = summary["settings"]
    runs = "; ".join(
        f"{row['signals']} of `{row['data']}` by `{row['model']}` in `{row['domain']}`" for row in summary["signals"]
    )
    prices = ", ".join(f"{price:g}" for price in settings["alphas"] or settings["prices"])
    name = "α" if settings["alphas"] else "prices"
    return f"""`{command(settings)}`: {runs}; {settings["steps"]} steps, {name}
{prices}, seed {settings["seed"]}. {_cost(summary)}; the paper's setting (500 steps for each of 11
prices) would take {summary["paper_setting"]["gradients"]:,} for as many signals."""


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
    parser.add_argument("run", type=Path, nargs="?", help="if not given, only those of --other are stored anew")
    parser.add_argument("--other", type=Path, action="append", default=[])
    parser.add_argument("--steps", type=Path)
    given = parser.parse_args()
    if given.run is None:
        replace(given.other)
    else:
        store(given.run, given.other, given.steps)


if __name__ == "__main__":
    main()
