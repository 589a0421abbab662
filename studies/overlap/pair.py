"""The paper's own mixture: a crow and chirping birds, in its domain and at its ratio of peaks, with controls beside."""

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from ..report.figures import save
from .present import draw_alone
from .rankings import CONTROLS
from .recordings import Recordings, mix
from .settings import PAPER, RECORDINGS, SMOOTH, Settings
from .trial import Part, Record, Signals, level_name

PAIR = ("crow", "lark")  # recordings of `animals`; lark: of its birds, the one that chirps
FILE = "paper.png"
RANKINGS = {
    SMOOTH: "largest |SmoothGrad|",
    "gradient": "largest |gradient|",
    f"z * {SMOOTH}": "largest |z · SmoothGrad|",
    "coefficient": "control: largest |z|",
    "oracle": "control: ideal mask",
}


def paper_pair(recordings: Recordings, settings: Settings, out: Path) -> tuple[list[str], list[Record]]:
    """Draws what is kept of a crow with chirping birds. Returns the names of the files, and a row for each ranking.

    The share is the largest of `settings.budgets`. Without these two recordings, or with noise, there is nothing to draw.
    """
    clips = {clip.name.split("/")[-1]: clip for clip in recordings.clips}
    if settings.corruption != RECORDINGS or settings.peak is None or not set(PAIR) <= set(clips):
        return [], []
    (target, other), budget = (clips[name] for name in PAIR), max(settings.budgets)
    mixture = mix(target.target, other.loudest, peak=settings.peak)
    methods = tuple(name for name in RANKINGS if name not in CONTROLS)
    asked = replace(settings, methods=methods, budgets=(budget,), budget=budget)
    signals, rows, level = Signals(), list[Record](), level_name(None, settings.peak)
    Part(recordings, target.label, {level: mixture}, asked).run((PAPER,), signals, rows, {"forward": 0, "gradient": 0})
    panels = {
        f"{target.name}: {target.class_name}": mixture.target,
        f"+ {other.name}": mixture.corruption,
        "mixture": mixture.x,
    }
    found = {row["ranking"]: row for row in rows}
    panels |= {_title(name, found[name]): signals[level, PAPER, name, budget] for name in RANKINGS}
    heading = f"{level}, {100 * budget:g} % of the coefficients of {PAPER} kept; each panel on its own scale"
    return [save(_drawn(panels, recordings.rate, heading), out / FILE)], [found[name] for name in RANKINGS]


def _title(name: str, row: Record) -> str:
    scores = f"{row['si_sdr']:+.1f} dB, {100 * row['energy_left']:.0f} % of the bird left, p {row['probability']:.2f}"
    return f"{RANKINGS[name]}\n{scores}"


def _drawn(panels: dict[str, Tensor], rate: float, heading: str) -> Figure:
    figure = Figure(figsize=(13, 5.8), layout="constrained")
    axes = figure.subplots(2, 4, sharex=True, sharey=True)
    for axis, (title, one) in zip(axes.flat, panels.items(), strict=True):
        draw_alone(axis, one, rate, title)
        axis.label_outer()
    figure.supxlabel("s", fontsize=9)
    figure.suptitle(heading, fontsize=11)
    return figure
