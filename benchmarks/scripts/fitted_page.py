"""The generated parts of docs/fitted_domains.md, from results/fitted-domains.json."""

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.stored import read
from pullback.domains import contrast, holm

from .tables import NothingStored, table

TITLES = {
    "photos": "EfficientNet-Lite0, 20 photos, five cuts of each",
    "stamps": "EfficientNet-Lite0, things cut out on white",
    "fashion": "a small convolutional network, Fashion-MNIST",
}


def _stored(root: Path, name: str) -> Any:
    found = read(root / "benchmarks" / "results" / "fitted-domains.json").get(name)
    if not found:
        raise NothingStored
    return found


def planted(root: Path) -> str:
    """The recovery of hidden frames."""
    found = _stored(root, "planted")
    rows = pd.DataFrame(found["rows"]).groupby("kind", sort=False)
    names = {"error_oracle": "hidden frame", "error_fitted": "found", "error_twin": "without the model"}
    names |= {"error_randomised": "randomised network", "angle": "angle", "angle_twin": "angle, without the model"}
    medians = rows[list(names)].median().rename(columns=names).round(3).reset_index()
    said = "\n".join(f"- {sentence}." for sentence in found["said"])
    return f"{said}\n\n{table(medians)}\n\nMedians over tasks: mean selection errors, and principal angles in degrees."


def real(root: Path) -> str:
    """One table for each data set, with p values corrected for all rows of all tables."""
    rows = _rows(_stored(root, "entries"))
    corrected = holm(rows["p"].fillna(1).tolist())
    rows = rows.assign(holm=corrected)
    parts = []
    for data, own in rows.groupby("data", sort=False):
        cells = [
            {
                "family": f"`{row.family}`",
                "objective": row.objective,
                "error": f"{row.error:.3f}",
                "compared with": row.against,
                "error there": f"{row.other:.3f}",
                "lower by": f"{row.difference:+.4f} ({row.low:+.4f} to {row.high:+.4f})",
                "p": f"{row.p:.2g}",
                "p, Holm": f"{row.holm:.2g}",
                "would have been seen": f"{row.detectable:.4f}" if row.detectable > 0 else "the same domain in every fold",
            }
            for row in own.itertuples()
        ]
        parts.append(f"**{TITLES[str(data)]}**, {int(own['groups'].iloc[0])} groups\n\n{table(pd.DataFrame(cells))}")
    return "\n\n".join(parts) + f"\n\n{_verdict(rows)}"


def _rows(entries: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each entry against its twin, its controls and the menu of the same data."""
    order, rows = list(TITLES), []
    objective = lambda one: one["settings"]["objective"]
    menus = {(one["data"], objective(one)): pd.DataFrame(one["judged"]) for one in entries if one["family"] == "menu"}
    for one in sorted(entries, key=lambda one: order.index(one["data"])):
        judged = pd.DataFrame(one["judged"])
        column = lambda name, frame=judged: frame[name].to_numpy(dtype=float)
        others = {"its model-blind twin": column("twin"), "shuffled covectors": column("shuffled")}
        others |= {"randomised model": column("randomised")}
        if one["family"] != "menu" and (one["data"], objective(one)) in menus:
            others["the menu's choice"] = column("fitted", menus[one["data"], objective(one)])
        for name, values in others.items():
            head = {"data": one["data"], "family": one["family"], "objective": objective(one), "against": name}
            head["error"] = column("fitted").mean()
            rows.append({**head, "other": values.mean(), **contrast(column("fitted"), values, judged["group"].to_numpy())})
    return pd.DataFrame(rows)


def _verdict(rows: pd.DataFrame) -> str:
    """Which families beat their twin after the correction, and which beat the menu."""
    said = []
    for against in ("its model-blind twin", "the menu's choice"):
        own = rows[rows["against"] == against]
        won = own[(own["difference"] > 0) & (own["holm"] < 0.05)]
        lost = own[(own["difference"] < 0) & (own["holm"] < 0.05)]
        name = lambda part: ", ".join(f"`{row.family}` by {row.objective} on {row.data}" for row in part.itertuples()) or "none"
        said.append(f"- Better than {against} after Holm over {len(rows)} contrasts: {name(won)}; worse: {name(lost)}.")
    return "\n".join(said)


def cost(root: Path) -> str:
    """What a search costs."""
    found = _stored(root, "cost")
    rows = []
    for data, numbers in found.items():
        for name, value in numbers.items():
            if name not in ("images", "stream"):
                text = f"{value:.0f} s" if name.startswith("training") else f"{value:.1%} of their stream"
                rows.append({"data": data, "work": name, "cost": text})
    return table(pd.DataFrame(rows))


SECTIONS = {"fitted-planted": planted, "fitted-real": real, "fitted-cost": cost}
