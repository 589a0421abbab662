"""The figures of the studies: predictions against the level, scores against the level, and contrasts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..report.figures import save
from .conclusions import QUESTIONS, means, swept
from .pair import FILE
from .settings import Settings

STYLES = {
    "oracle": ("ideal mask", "seagreen"),
    "attribution": ("the best map (named above)", "firebrick"),
    "coefficient": ("|coefficient|, without the model", "black"),
    "random": ("random", "0.6"),
}
LIMITS = {"si_sdr": 10.0, "energy_left": 0.5, "probability": 0.5}  # of the colours of contrasts
SCORES = {"si_sdr_gain": "SI-SDR gain over the mixture, dB", "probability": "probability of the class"}
SPECTROGRAMS = (
    "One mixture and what is kept of it, on one scale of 70 dB. Rows: by the map, by |coefficient|, by the ideal mask."
)
CAPTIONS = {
    "prediction.png": "How often the model still names the target (Wilson intervals), and the probability of its class.",
    "levels.png": "Scores of what is kept, with 95 % intervals. The best map is the one with the largest mean in the panel; "
    "it is chosen on the same targets and so favoured; all maps stand in results.csv.",
    "contrasts.png": "Mean difference from |coefficient| at the same count, paired; blue: the map is better. Dots: confirmed.",
    FILE: "The paper's mixture in its domain. Each panel has its own scale: what is quiet looks as bright as what is loud.",
}


def draw(table: pd.DataFrame, sweep: pd.DataFrame, contrasts: pd.DataFrame, settings: Settings, out: Path) -> list[str]:
    """Draws all figures. Returns the names of the files."""
    files = [_prediction(swept(sweep, settings), sweep, settings, out)]
    return [*files, _levels(means(table, settings), settings, out), _contrasts(contrasts, settings, out)]


def _prediction(asked: pd.DataFrame, sweep: pd.DataFrame, settings: Settings, out: Path) -> str:
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    level, share = asked["level_db"], asked["kept"] / asked["of"]
    axis.fill_between(level, asked["kept_low"], asked["kept_high"], color="firebrick", alpha=0.2, linewidth=0)
    axis.plot(level, share, "o-", color="firebrick", label="prediction kept")
    axis.plot(level, asked["probability"], "s--", color="black", label="mean probability of the class")
    if settings.peak is not None:
        own = sweep.loc[sweep["name"] == f"{settings.peak:g} of the peak", "level_db"]
        axis.axvspan(*own.quantile([0.1, 0.9]), color="royalblue", alpha=0.15, linewidth=0)
        axis.axvline(own.median(), color="royalblue", label=f"corruption at {settings.peak:g} of the peak (middle 80 %)")
    axis.set(xlabel=f"level of the target over the {_corruption(settings)}, dB", ylabel="share of targets", ylim=(0, 1.03))
    axis.legend(fontsize=8, loc="lower right")
    return save(figure, out / "prediction.png")


def _corruption(settings: Settings) -> str:
    return "other recording" if settings.corruption == "recordings" else "noise"


def _levels(shown: pd.DataFrame, settings: Settings, out: Path) -> str:
    """A row for each score, a column for each domain; a line for the best map there and for each control."""
    domains = list(shown["domain"].unique())
    figure = Figure(figsize=(2.3 * len(domains) + 1, 5.8), layout="constrained")
    axes = figure.subplots(len(SCORES), len(domains), sharex=True, sharey="row", squeeze=False)
    for row, (score, label) in enumerate(SCORES.items()):
        for axis, domain in zip(axes[row], domains):
            own = shown[shown["domain"] == domain]
            best = own[own["control"] == "attribution"].groupby("method", sort=False)[score].mean().idxmax()
            for control, (_, colour) in STYLES.items():
                part = own[(own["control"] == control) & own["method"].isin(["", best])].sort_values("level_db")
                _line(axis, part, score, colour)
            axis.grid(alpha=0.2)
            axis.tick_params(labelsize=9)
            axis.set_title(f"{domain}\n{_short(best)}" if row == 0 else _short(best), fontsize=9)
        axes[row, 0].set_ylabel(label, fontsize=10)
    figure.supxlabel("level of the target, dB", fontsize=10)
    axes[0, 0].set_ylim(bottom=max(-26, float(shown["si_sdr_gain"].min()) - 1))
    handles = [axes[0, 0].plot([], [], color=colour, label=label)[0] for label, colour in STYLES.values()]
    title = f"{100 * settings.budget:g} % kept by"
    figure.legend(handles=handles, loc="outside upper center", ncols=len(STYLES), fontsize=10, title=title, frameon=False)
    return save(figure, out / "levels.png")


def _short(spec: str) -> str:
    """A method without its options.

    >>> _short("z * mask(alpha=0.03, steps=25)")
    'z * mask'
    """
    return spec.partition("(")[0]


def _line(axis: Any, part: pd.DataFrame, score: str, colour: str) -> None:
    """A line with its intervals as a band."""
    axis.plot(part["level_db"], part[score], color=colour, linewidth=2, marker="o", markersize=4)
    low, high = (part[f"{score}_{end}"] for end in ("low", "high"))
    axis.fill_between(part["level_db"], low, high, color=colour, alpha=0.13, linewidth=0)


def _contrasts(contrasts: pd.DataFrame, settings: Settings, out: Path) -> str:
    """A panel for each question and level: methods as rows, domains and budgets as columns."""
    levels = list(dict.fromkeys(contrasts["level"]))
    figure = Figure(figsize=(4.4 * len(QUESTIONS) + 2, 0.9 + 2.1 * len(levels)), layout="constrained")
    axes = figure.subplots(len(levels), len(QUESTIONS), squeeze=False, sharey=True, sharex=True)
    methods, domains = list(dict.fromkeys(contrasts["method"])), list(dict.fromkeys(contrasts["domain"]))
    columns = [(domain, budget) for domain in domains for budget in settings.budgets]
    for column, (score, question) in enumerate(QUESTIONS.items()):
        mine = contrasts[contrasts["question"] == score]
        for row, level in enumerate(levels):
            own = mine[mine["level"] == level].set_index(["method", "domain", "budget"])
            shown = _panel(axes[row, column], own, methods, columns, LIMITS[score])
            _ticks(axes[row, column], methods, domains, settings)
            axes[row, column].set_title(f"{level}: {question.unit}, {question.difference}", fontsize=8)
        figure.colorbar(shown, ax=axes[:, column], shrink=0.6, extend="both").ax.tick_params(labelsize=8)
    return save(figure, out / "contrasts.png")


def _panel(axis: Any, own: pd.DataFrame, methods: list[str], columns: list[tuple[str, float]], limit: float) -> Any:
    """Mean differences as colours, and dots where they are confirmed."""
    table = {one: own[one].unstack([1, 2]).reindex(index=methods, columns=columns) for one in ("mean", "confirmed")}
    places: Any = np.argwhere(np.asarray(table["confirmed"].to_numpy() == 1))
    axis.plot(places[:, 1], places[:, 0], "o", color="black", markeredgecolor="white", markersize=6)
    return axis.imshow(table["mean"].to_numpy(float), cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")


def _ticks(axis: Any, methods: list[str], domains: list[str], settings: Settings) -> None:
    many = len(settings.budgets)
    short = list(map(_short, methods))
    axis.set_yticks(range(len(methods)), short if len(set(short)) == len(short) else methods, fontsize=8)
    names = [domain.split(",")[0].strip(")").replace("(", " ") for domain in domains]
    axis.set_xticks(np.arange(len(domains)) * many + (many - 1) / 2, names, fontsize=8)
    for place in range(1, len(domains)):
        axis.axvline(place * many - 0.5, color="0.3", linewidth=0.8)
    budgets = ", ".join(f"{100 * one:g}" for one in settings.budgets)
    axis.set_xlabel(f"domain; in each: {budgets} % kept", fontsize=7)
