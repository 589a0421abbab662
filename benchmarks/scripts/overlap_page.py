"""The sections of docs/studies/overlap.md, from stored runs of `pullback study overlap` and `pullback study noise`.

benchmarks/results/overlap.json and noise.json are their summaries; the pictures lie in docs/studies/overlap. Both are stored by
`python -m benchmarks.scripts.overlap_page FOLDER`, the folder of a run.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from benchmarks.results.stored import ROOT, read
from pullback.core.files import write_text
from pullback.studies.overlap.conclusions import QUESTIONS, has_zero
from pullback.studies.overlap.pair import FILE, RANKINGS
from pullback.studies.overlap.settings import PAPER

from .tables import NothingStored, table

STUDIES = ("overlap", "noise")
PICTURES = {
    "prediction": "How often the prediction is kept, against the level",
    "levels": "Scores of what is kept, against the level, with controls",
    "contrasts": "Difference of maps from |coefficient|, by method, domain and budget",
    "spectrograms": "One mixture at 0 dB and what is kept of it",
}
SHOWN = 20  # confirmed contrasts of a question in the table
UNITS = {"si_sdr": "SI-SDR, dB", "energy_left": "corruption left", "probability": "p(class)"}
COLUMNS = {
    "si_sdr_gain": "SI-SDR gain, dB",
    "energy_left": "corruption left",
    "target_share": "share on the target",
    "probability": "p(class)",
    "fid_in": "Fid-In",
    "ff": "FF",
    "average_increase": "AI",
    "average_drop": "AD",
    "average_gain": "AG",
}


def _run(root: Path, study: str) -> dict[str, Any]:
    """A stored summary.  Raises: NothingStored where there is none."""
    found: dict[str, Any] = read(root / "benchmarks" / "results" / f"{study}.json")
    if not found.get("means"):
        raise NothingStored
    return found


def _findings(study: str) -> Callable[[Path], str]:
    """What was run, and its sentences."""

    def section(root: Path) -> str:
        run = _run(root, study)
        count = run["evaluations"]
        size = f"{run['targets']} targets of {run['recordings']} recordings"
        evaluated = f"{count['gradient']:,} gradients and {count['forward']:,} forwards"
        cost = f"{evaluated} took {count['cpu_seconds']:,} s of processor time"
        if "seconds" in count:
            cost += f", all targets together {count['seconds'] / 60:.1f} minutes"
        head = f"`pullback study {study}`: {size}; {cost}. f is the log-odds of the class among {len(run['classes'])}."
        return "\n".join([head, "", *(f"- {_plain(sentence)}" for sentence in run["findings"])])

    return section


def _plain(sentence: str) -> str:
    """Markdown that shows a sentence as it is."""
    return sentence.replace("*", "\\*").replace("_", "\\_")


def _pictures(study: str) -> Callable[[Path], str]:
    """The figures of the run."""

    def section(root: Path) -> str:
        _run(root, study)
        return "\n\n".join(f"![{text}](overlap/{study}-{name}.webp)" for name, text in PICTURES.items())

    return section


def _means(study: str) -> Callable[[Path], str]:
    """The means at the lowest level and the main budget, the best map of each domain by SI-SDR, and the controls."""

    def section(root: Path) -> str:
        run = _run(root, study)
        rows = pd.DataFrame(run["means"])
        rows = rows[rows["level_db"] == rows["level_db"].min()]
        named = rows["method"].where(rows["control"] == "attribution", rows["control"].replace("oracle", "ideal mask"))
        shown = pd.DataFrame({"domain": [f"`{name}`" for name in rows["domain"]], "kept by": [f"`{one}`" for one in named]})
        for name, title in COLUMNS.items():
            digits = 1 if name == "si_sdr_gain" else 2
            shown[title] = [f"{value:.{digits}f}" for value in rows[name]]
        said = f"Means over targets at {rows['level'].iloc[0]} with {100 * run['settings']['budget']:g} % of coefficients kept."
        return f"{said}\n\n{table(shown)}"

    return section


def _confirmed(study: str) -> Callable[[Path], str]:
    """The contrasts that are confirmed on the other targets, and the difference in SI-SDR in the same places."""

    def section(root: Path) -> str:
        run = _run(root, study)
        rows = pd.DataFrame(run["contrasts"])
        if not rows["confirmed"].any():
            return "No contrast is confirmed."
        right = pd.concat([_largest(rows, score) for score in QUESTIONS])
        place = ["method", "domain", "level", "budget"]
        truth = rows[rows["question"] == "si_sdr"].set_index(place)["mean"]
        there = right.join(truth.rename("there"), on=place)["there"]
        interval = [_interval(row) for row in right.to_dict("records")]
        shown = pd.DataFrame(
            {
                "score": right["question"].map(UNITS),
                "method": [f"`{one}`" for one in right["method"]],
                "domain": [f"`{one}`" for one in right["domain"]],
                "level": right["level"],
                "kept": [f"{100 * one:g} %" for one in right["budget"]],
                "better than |coefficient| by": interval,
                "p, corrected": [f"{one:.4f}" for one in right["confirmed_p_corrected"]],
                "detectable": [f"{one:.2g}" for one in right["confirmed_detectable"]],
                "SI-SDR there, dB": [f"{one:+.1f}" for one in there],
            }
        )
        star = "\n\n\\* The corrected test confirms it, but the interval, which holds for all candidates together, contains 0."
        return table(shown) + _more(run, right) + (star if any(map(has_zero, right.to_dict("records"))) else "")

    return section


def _largest(rows: pd.DataFrame, score: str) -> pd.DataFrame:
    """The confirmed contrasts of a question that the table shows."""
    own = rows[rows["confirmed"] & (rows["question"] == score)]
    return own.sort_values("confirmed_mean", ascending=False).head(SHOWN)


def _more(run: dict[str, Any], shown: pd.DataFrame) -> str:
    """How many confirmed contrasts the table leaves out."""
    more = {score: count - int((shown["question"] == score).sum()) for score, count in run["confirmed"].items()}
    left = [f"{count} more of {UNITS[score]}" for score, count in more.items() if count]
    return f"\n\nThe largest are shown; {' and '.join(left)} stand in contrasts.csv of the run." if left else ""


def _interval(row: dict[str, Any]) -> str:
    """The confirmed mean and its interval, with a star where that contains 0."""
    ends = f"({row['confirmed_low']:+.2f} to {row['confirmed_high']:+.2f})"
    return f"{row['confirmed_mean']:+.2f} {ends}{' *' if has_zero(row) else ''}"


def _paper(root: Path) -> str:
    """The paper's mixture: the scores of what each ranking keeps."""
    rows = pd.DataFrame(_run(root, "overlap")["pair"])
    shown = pd.DataFrame({"kept": [RANKINGS[name] for name in rows["ranking"]]})
    shown["SI-SDR to the crow, dB"] = [f"{one:+.1f}" for one in rows["si_sdr"]]
    shown["of the lark left"] = [f"{100 * one:.0f} %" for one in rows["energy_left"]]
    shown["p(Crow)"] = [f"{one:.2f}" for one in rows["probability"]]
    mixed = rows["si_sdr"].iloc[0] - rows["si_sdr_gain"].iloc[0]
    said = (
        f"The mixture itself is at {mixed:+.1f} dB. Kept: {100 * rows['budget'].iloc[0]:g} % of the coefficients of `{PAPER}`."
    )
    picture = f"![A crow with chirping birds, and what is kept of them](overlap/overlap-{Path(FILE).stem}.webp)"
    return f"{said}\n\n{table(shown)}\n\n{picture}"


SECTIONS = {
    f"{study}-{name}": make(study)
    for study in STUDIES
    for name, make in {"findings": _findings, "pictures": _pictures, "means": _means, "confirmed": _confirmed}.items()
} | {"overlap-paper": _paper}


def store(folder: Path, root: Path = ROOT) -> None:
    """Stores the summary of a run, with the contrasts that the page shows, and its pictures, without loss."""
    found = read(folder / "summary.json")
    study = found["command"].removeprefix("study ")
    kept = {name: value for name, value in found.items() if name not in ("process", "files", "pullback", "command_line")}
    kept |= _reduced(found["contrasts"])
    write_text(root / "benchmarks" / "results" / f"{study}.json", json.dumps(kept, indent=1) + "\n")
    for name in (*PICTURES, *(["paper"] if found["pair"] else [])):
        first = sorted(folder.glob(f"{name}*.png"))[0]
        place = root / "docs" / "studies" / "overlap"
        place.mkdir(parents=True, exist_ok=True)
        Image.open(first).convert("RGB").save(place / f"{study}-{name}.webp", lossless=True, method=6)


def _reduced(contrasts: list[dict[str, Any]]) -> dict[str, Any]:
    """How many contrasts of each question are confirmed, and every question in the places that the page shows."""
    every, place = pd.DataFrame(contrasts), ["method", "domain", "level", "budget"]
    counts = {score: int((every["confirmed"] & (every["question"] == score)).sum()) for score in QUESTIONS}
    shown = pd.concat([_largest(every, score) for score in QUESTIONS])[place]
    looked = set(shown.itertuples(index=False, name=None))
    return {"confirmed": counts, "contrasts": [one for one in contrasts if tuple(one[name] for name in place) in looked]}


if __name__ == "__main__":
    for run in sys.argv[1:]:
        store(Path(run))
