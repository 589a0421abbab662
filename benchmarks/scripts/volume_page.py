"""The sections of docs/studies/volume.md, from the stored run of `pullback study volume` in docs/studies/volume."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from pullback.studies.volume import page
from pullback.studies.volume.claims import BEST, FEW, QUESTIONS, STAR
from pullback.studies.volume.claims import answers as answered
from pullback.studies.volume.settings import stem

from .tables import NothingStored, table

COMMAND = "pullback study volume"
GOAL = 0.95  # of digits


def _stored(root: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], Path]:
    """The means, the contrasts and the summary.  Raises: NothingStored where there is none."""
    folder = root / "docs" / "studies" / "volume"
    if not (folder / "summary.json").is_file():
        raise NothingStored
    read = lambda name: pd.read_csv(folder / name, keep_default_na=False, na_values=["nan", ""])
    means, found = (read(name).fillna({"method": "", "domain": "", "against": ""}) for name in ("results.csv", "contrasts.csv"))
    return means, found, json.loads((folder / "summary.json").read_text(encoding="utf-8")), folder


def _pairs(means: pd.DataFrame) -> list[tuple[str, str]]:
    return list(means[["model", "data"]].drop_duplicates().itertuples(index=False, name=None))


def setting(root: Path) -> str:
    """The command, its settings, what it took, and the accuracies."""
    means, _, about, _ = _stored(root)
    own = about["settings"]
    rows = []
    for one in about["accuracies"]:
        seconds, cells = about["seconds"][one["model"]], ["–"] * 3
        if one["of"]:
            ends = [f"{100 * one[a]:.1f}–{100 * one[b]:.1f} %" for a, b in (("low", "high"), ("class_low", "class_high"))]
            cells = [f"{100 * one['accuracy']:.1f} % of {one['of']} ({ends[0]})", ends[1], f"{100 * one['chance']:.1f} %"]
        count = means[(means["model"] == one["model"]) & (means["map"] == "voxels")]["volumes"].max()
        rows.append([f"`{one['model']}`", f"`{one['data']}`", *cells, count, f"{seconds['volumes']:.0f} s"])
    head = ["model", "data", "named rightly", "interval over classes", "chance", "volumes explained", "time"]
    methods, wavelets = (", ".join(f"`{name}`" for name in own[key]) for key in ("methods", "transforms"))
    said = f"`{COMMAND}`: {methods} in {wavelets}, {own['limit']} volumes of each data set, seed {own['seed']}."
    training, volumes = ({name: one[what] for name, one in about["seconds"].items()} for what in ("loading", "volumes"))
    trained = ", ".join(f"`{name}` {seconds:.0f} s" for name, seconds in training.items() if seconds > 1)
    said += f" Training was counted apart: {trained}." if trained else ""
    took = f"All three took {sum(volumes.values()):.0f} s; the pictures and the accuracies are not in this time."
    bars = " ".join(_goal(one) for one in about["accuracies"] if one["data"] == "digits3d")
    return f"{said} {took} {bars}\n\n{table(pd.DataFrame(rows, columns=head))}"


def _goal(one: dict[str, Any]) -> str:
    """How the accuracy on digits stands to the goal of more than 95 %."""
    inside = "lies below all of the interval" if one["low"] > GOAL else "lies in the interval, so it is reached, but not shown"
    reached = inside if one["accuracy"] > GOAL else "is not reached"
    return f"The goal of {100 * GOAL:g} % on `{one['data']}` {reached}."


def verdicts(root: Path) -> str:
    """What the declared questions were answered with, for every map."""
    _, found, _, _ = _stored(root)
    said = answered(found)
    said = said[said["answer"] != FEW]
    said["shown"] = said["answer"] + said["star"].str.replace("*", " \\*")
    wide = said.pivot(index=["data", "method", "domain", "map"], columns="question", values="shown").reset_index()
    head = {"data": "data", "method": "method", "domain": "wavelet", "map": "map"}
    shown = wide[[*head, *QUESTIONS]].rename(columns=head)
    counts = said["answer"].value_counts()
    total = ", ".join(f"{count} × {name}" for name, count in counts.items())
    star = f"\n\n\\{STAR}" if said["star"].any() else ""
    return f"Of {len(said)} answers: {total}.\n\n{table(shown)}{star}"


def numbers(root: Path) -> str:
    """Mean edge fractions of every scale, with the controls."""
    means, _, _, _ = _stored(root)
    parts = []
    for model, data in _pairs(means):
        if (rows := means[(means["model"] == model) & (means["data"] == data)])["volumes"].max() > 1:
            own = rows[rows["map"] == "cells"]
            parts.append(
                f"`{model}` on `{data}`, maps of cells:\n\n{table(page.edge_fractions(own, data, model).drop(columns='map'))}"
            )
    return "\n\n".join(parts)


def limits(root: Path) -> str:
    """The edge fractions of a map of the centre and of one of the surface, averaged over the cells of each scale."""
    means, _, _, _ = _stored(root)
    best = means[means["map"] == BEST]
    wide = best.pivot_table(index=["data", "domain", "scale"], columns="control", values="mean", sort=False).reset_index()
    few = wide["data"].map(means.groupby("data")["volumes"].max()) > 1
    wide = wide[few]
    wide["of it remains"] = [f"{100 * (a - b):.0f} %" for a, b in zip(wide["edge only"], wide["core only"])]
    for name in ("core only", "edge only"):
        wide[name] = [f"{100 * value:.1f} %" for value in wide[name]]
    columns = ["data", "domain", "scale", "core only", "edge only", "of it remains"]
    heads = {"domain": "wavelet", "core only": "a map of the centre only", "edge only": "a map of the surface only"}
    return table(wide[columns].rename(columns=heads))


def figures(kind: str) -> Callable[[Path], str]:
    """The section with the figures of a kind, one of each data set."""

    def section(root: Path) -> str:
        means, _, _, folder = _stored(root)
        files = [f"{kind}-{stem(model, data)}.png" for model, data in _pairs(means)]
        return "\n".join(f"![{page.caption(file)}](volume/{file})" for file in files if (folder / file).is_file())

    return section


def head(root: Path) -> str:
    """Slices through the head."""
    _, _, _, folder = _stored(root)
    found = sorted(folder.glob(f"{stem('ct-tissues', 'head-ct')}-*.png"))
    return "\n".join(f"![{page.caption(path.name)}](volume/{path.name})" for path in found)


SECTIONS = {
    "volume-setting": setting,
    "volume-verdicts": verdicts,
    "volume-numbers": numbers,
    "volume-limits": limits,
    **{f"volume-{kind}": figures(kind) for kind in ("scales", "edges", "profiles")},
    "volume-head": head,
}
