"""The page about the robustness study: `python -m benchmarks.scripts.robustness_page FOLDER` stores a finished run for it.

FOLDER is what `pullback study robustness` wrote. Its tables and figures go to docs/studies/robustness; `make pages` then writes
docs/studies/robustness.md. With --train, the networks are first trained in an empty cache, and the time of each is stored.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from benchmarks.results.stored import ROOT
from pullback.core.files import write_text
from pullback.studies.robustness import page, paper
from pullback.studies.robustness.figures import named
from pullback.studies.robustness.settings import recipe
from pullback.studies.robustness.spectra import DEFINITIONS
from pullback.studies.robustness.verdicts import OWN, sign
from pullback.studies.zoo import trained
from pullback.studies.zoo.fashion_mnist import FASHION_NETS

from .tables import NothingStored, table

FOLDER = Path("docs/studies/robustness")
TABLES = ("results.csv", "claims.csv")
MAIN = "fashion-mnist"
OVER, FALLS = "finest share: ERM / Madry, Wong, Shafahi", "ERM: coarsest / finest share"
SMALLER = "finest share smaller when robust"


def store(run: Path, root: Path = ROOT) -> None:
    """Copies the tables and figures of a finished run.  Raises: ValueError where it was resumed: its time says too little."""
    about = _summary(run)
    pieces = about["pieces"]
    if pieces["all"] != pieces["of_this_run"]:
        raise ValueError(f"{run}: {pieces['of_this_run']} of {pieces['all']} pieces are of its last run; run it in one go.")
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    write_text(root / FOLDER / "summary.json", json.dumps(about, indent=1) + "\n")
    for path in [*(run / name for name in TABLES), *run.glob("*.png")]:
        shutil.copy(path, root / FOLDER / path.name)


def store_other(run: Path, root: Path = ROOT) -> None:
    """Copies the tables of a run with another method."""
    for name in TABLES:
        shutil.copy(run / name, root / FOLDER / f"other-{name}")
    write_text(root / FOLDER / "other-summary.json", json.dumps(_summary(run), indent=1) + "\n")


def _summary(run: Path) -> dict[str, Any]:
    """The summary of a run without the process that wrote it."""
    about: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return {key: value for key, value in about.items() if key != "process"}


def train(root: Path = ROOT) -> None:
    """Trains every network anew, and stores the processor time of each in seconds."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(trained, "cache_folder", return_value=Path(folder)):
        for name, build in FASHION_NETS.items():
            start = time.process_time()
            build()
            found[name] = round(time.process_time() - start, 1)
    write_text(root / FOLDER / "training.json", json.dumps(found, indent=1) + "\n")


def section(root: Path) -> str:
    """The whole result: what ran, what it says, and how it compares with the paper."""
    folder = root / FOLDER
    if not (folder / "results.csv").exists():
        raise NothingStored
    found, claims = _tables(folder)
    about, training = (json.loads((folder / name).read_text()) for name in ("summary.json", "training.json"))
    parts: list[str] = [_ran(about, training), _beside_the_paper(found, claims), _said(about)]
    if (folder / "other-results.csv").exists():
        other = json.loads((folder / "other-summary.json").read_text())
        parts.insert(2, _other(*_tables(folder, "other-"), other))
    parts += [_behaviour(found), _over_models(claims), _over_examples(claims)]
    return "\n\n".join(parts)


def _tables(folder: Path, other: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The stored numbers, and the claims."""
    results, claims = (pd.read_csv(folder / f"{other}{name}") for name in TABLES)
    return results.fillna({"model": "", "band": "", "name": ""}), claims


def _ran(about: dict[str, Any], training: dict[str, float]) -> str:
    seconds, counts = about["seconds"], about["examples"]
    data = " and ".join(f"{count} examples of `{name}`" for name, count in counts.items())
    return f"""`pullback study robustness`: {about["models"]} models on {data}; {seconds["cpu"]:.0f} s of processor time on one
core, of which {seconds["loading_and_training_cpu"]:.0f} s load models. Training, done once and kept in the cache folder, takes
{about["gradients_of_training"]:,} gradients: {sum(training.values()):.0f} s of processor time on one core for all
{len(training)} networks. Domain: `{about["domain"][MAIN]}`; seed {about["settings"]["seed"]}."""


def _group(found: pd.DataFrame, data: str, quantity: str, name: str) -> pd.DataFrame:
    """The means of each group: a row for each group, a column for each octave."""
    rows = found[(found["data"] == data) & (found["model"] == "") & (found["quantity"] == quantity) & (found["name"] == name)]
    return rows.pivot_table(index="group", columns="band", values="value", sort=False)


def _beside_the_paper(found: pd.DataFrame, claims: pd.DataFrame) -> str:
    ours = _group(found, MAIN, "share", "mean")
    rows = []
    for group, values in ours.iterrows():
        training = recipe(str(group)) or "erm"
        theirs = paper.SHARES[training]
        cells = {f"{place}": f"{one:.3f} / {own:.3f}" for place, (one, own) in enumerate(zip(theirs, values), 1)}
        rows.append({"training": named(str(group)), **cells})
    lines = _definitions(found, claims)
    size = _group(found, MAIN, "importance", "mean")
    factors = size.loc["fashion-erm"] / size.loc["fashion-pgd"]
    return f"""### Beside the paper

![The paper's figure beside ours](robustness/paper.png)

Shares of mean |∂f/∂z| by scale, coarse to fine: the paper's figure (digitised, ImageNet, {sum(paper.SHARES["erm"]):.2f} in
all for ERM) / here (Fashion-MNIST, 1.00 in all).

{table(pd.DataFrame(rows))}

Which definition can the paper's figure show? Its bars fall: the coarsest is taller than the finest. And the finest one is
taller for ERM than for every robust training. {_which(lines, "one gradient")}

{table(pd.DataFrame(lines))}

"{SMALLER}" is the corrected verdict over three networks of each training (t intervals with a pooled variance, corrected for
all contrasts of all definitions). The contrasts, and those of the LeNets, over examples of one network each:

{table(page.contrasts(claims, "finest"))}

The normalisation hides the largest difference: as it is, mean |∂f/∂z| of ERM is {factors.min():.1f} to {factors.max():.1f}
times that of Madry's training, depending on the octave.

![All definitions, normalised and not](robustness/spectra-{MAIN}.png)

![The same for the LeNets on digits](robustness/spectra-digits.png)"""


def _definitions(found: pd.DataFrame, claims: pd.DataFrame) -> list[dict[str, str]]:
    """A row for the paper's figure and for each definition: its finest shares, its shape, and its verdict."""
    factor: Callable[[pd.Series], str] = lambda share: ", ".join(
        f"{share['fashion-erm'] / share[f'fashion-{name}']:.2f}" for name in ("pgd", "fast", "free")
    )
    theirs = pd.Series({f"fashion-{name}": values[-1] for name, values in paper.SHARES.items()})
    falls = f"{paper.SHARES['erm'][0] / paper.SHARES['erm'][-1]:.2g}"
    lines = [{"definition": "the paper's figure", OVER: factor(theirs), FALLS: falls, SMALLER: "yes"}]
    for name in OWN:
        share = _group(found, MAIN, "share", name).iloc[:, -1]
        lines.append({"definition": DEFINITIONS[name].formula, OVER: factor(share)} | _shape(name, claims, found))
    return lines


def _which(lines: list[dict[str, str]], method: str) -> str:
    """Which definitions have the shape of the paper's figure, which its direction, and which both."""
    shape = [line["definition"] for line in lines[1:] if float(line[FALLS]) > 1]
    direction = [line["definition"] for line in lines[1:] if line[SMALLER] == "yes"]
    both = [name for name in shape if name in direction]
    named: Callable[[list[str]], str] = lambda names: ", ".join(names) or "none"
    found = f"the bars of ERM fall by {named(shape)}, the finest one is smaller for every robust training by {named(direction)}"
    return f"With {method}, {found}, and both hold by {named(both)}."


def _other(found: pd.DataFrame, claims: pd.DataFrame, about: dict[str, Any]) -> str:
    """The comparison with the paper by another method, and its contrasts."""
    settings, said = about["settings"], "\n".join(f"- {sentence}" for sentence in about["findings"])
    option = f'`--method "{settings["method"]}"`, {settings["limit"]} examples'
    return f"""### The same with the paper's own method

Instead of one gradient, the mean of 25 gradients with noise ({option}). {_which(_definitions(found, claims), "this method")}
Where that differs from what one gradient says, the experiment does not tell which definition the paper's figure shows.

{table(pd.DataFrame(_definitions(found, claims)))}

{said}

{table(page.contrasts(claims[claims["data"] == MAIN], "finest"))}"""


def _shape(name: str, claims: pd.DataFrame, found: pd.DataFrame) -> dict[str, str]:
    """The coarsest over the finest share of ERM, and whether the finest one is smaller in every robust group."""
    erm = _group(found, MAIN, "share", name).loc["fashion-erm"].to_numpy()
    rows = claims[(claims["question"] == "finest") & (claims["data"] == MAIN) & (claims["name"] == name)]
    signs = [sign(row) for _, row in rows.iterrows()]
    words = {-1: "yes", 1: "no: larger", 0: "not shown"}
    verdict = words[signs[0]] if len(set(signs)) == 1 else f"smaller {signs.count(-1)}, larger {signs.count(1)} of {len(signs)}"
    return {FALLS: f"{erm[0] / erm[-1]:.2g}", SMALLER: verdict}


def _said(about: dict[str, Any]) -> str:
    return "### What the numbers say\n\n" + "\n".join(f"- {sentence}" for sentence in about["findings"])


def _behaviour(found: pd.DataFrame) -> str:
    parts = ["### How the models behave"]
    for name in dict.fromkeys(found["data"]):
        parts += [f"`{name}`, right answers in %:", table(page.accuracies(found, name)), _bands(found, name)]
        parts += [f"![How the models of {name} behave](robustness/behaviour-{name}.png)"]
        parts += [f"![Fourier heat maps of the models of {name}](robustness/heat-{name}.png)"]
    return "\n\n".join(parts)


def _bands(found: pd.DataFrame, data: str) -> str:
    """Where each model is weakest: the thresholds of all octaves, and the critical band."""
    rows = found[(found["data"] == data) & (found["model"] != "")]
    band = rows[rows["quantity"] == "critical band"].pivot_table(index="group", columns="name", values="value", dropna=False)
    known = rows[rows["quantity"] == "threshold"].pivot_table(
        index="group", columns="band", values="value", aggfunc="median", sort=False
    )
    cells = {"group": known.index, **{name: [f"{value:.3g}" for value in known[name]] for name in known}}
    for name, title in (("middle", "weakest octave"), ("width", "width in octaves"), ("error", "error of the fit")):
        cells[title] = [f"{value:.2f}" if np.isfinite(value) else "–" for value in band[name].reindex(known.index)]
    about = "Noise of one octave that brings the accuracy half way to chance (median over networks), and the Gaussian fit:"
    return f"{about}\n\n{table(pd.DataFrame(cells))}"


def _over_models(claims: pd.DataFrame) -> str:
    shown = claims[(claims["units"] == "groups") & (claims["data"] == MAIN)]
    held, count = int((shown.apply(sign, axis=1) != 0).sum()), len(shown)
    return f"""### Does the spectrum of a model say how robust it is?

{held} of {count} correlations over the four trainings hold. Four points leave two degrees of freedom: a corrected interval of
r then covers almost everything, and re-pairing four points in all 24 ways gives no p below 4 %, before any correction. The
twelve networks are shown in the figure, but three seeds of one training are not three independent models.

{table(_matrix(shown))}

![Networks: finest share and behaviour](robustness/models-{MAIN}.png)"""


def _matrix(rows: pd.DataFrame) -> pd.DataFrame:
    """Correlations with their corrected intervals: a row for each behaviour, a column for each definition."""
    words = [f"{value:+.2f} ({low:+.2f} to {high:+.2f})" for value, low, high in rows[["value", "low", "high"]].to_numpy()]
    wide = rows.assign(words=words).pivot_table(index="condition", columns="name", values="words", aggfunc="first", sort=False)
    return wide.rename(columns=lambda name: DEFINITIONS[name].formula).reset_index()


def _areas(claims: pd.DataFrame) -> pd.DataFrame:
    """Areas of all scores: a row for each group and filter. Each has its verdicts against |z| and against the margin."""
    rows = claims[claims["question"] == "examples"]
    keys, lines = ["data", "group", "condition"], []
    for key, own in rows.groupby(keys, sort=False):
        areas = own[own["against"].isna()].set_index("name")["value"]
        marks = {
            name: " ".join("<=>"[sign(row) + 1] for _, row in part.iterrows())
            for name, part in own.dropna(subset="against").groupby("name")
        }
        cells = {DEFINITIONS[name].formula: f"{areas[name]:.2f} {marks[name]}" for name in OWN}
        controls = {"Σ |z|": areas["coefficients"], "margin": areas["margin"], "shuffled": areas["shuffled"]}
        lines.append(
            dict(zip(["data", "model", "filter"], key)) | cells | {name: f"{area:.2f}" for name, area in controls.items()}
        )
    return pd.DataFrame(lines)


def _over_examples(claims: pd.DataFrame) -> str:
    return f"""### Does one gradient say which predictions survive a filter?

The score is the share of importance that the filter lets pass; the question is whether the prediction stays. Areas under
the ROC curve, mean over the networks of a training and over the cuts. Σ |z| never sees the model, the margin is the difference
of the two highest scores, and for "shuffled" the outcomes of examples were exchanged. After each area: whether it is smaller
(<), not different (=) or larger (>) than that of Σ |z|, and than that of the margin, by intervals over examples that are
corrected for all comparisons of a data set. An area below 0.5 ranks the wrong way round.

{table(_areas(claims))}

![Areas of all scores](robustness/examples-{MAIN}.png)"""


SECTIONS = {"robustness": section}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--other", type=Path, help="a run with another method, whose contrasts are shown beside")
    parser.add_argument("--train", action="store_true")
    given = parser.parse_args()
    store(given.run)
    if given.other:
        store_other(given.other)
    if given.train:
        train()


if __name__ == "__main__":
    main()
