"""What the table of a comparison says, in sentences."""

import math
from typing import Any

import numpy as np
import pandas as pd

from ...metrics.statistics import large_enough
from ..report.figures import ALL, COARSER, octave_shares
from ..report.page import SMALL, distinct, means

NAMED = 3  # classes in a sentence
BUDGET = 10  # per cent of the number of samples, in sentences


def findings(table: pd.DataFrame, several: str = "examples") -> list[str]:
    """The sentences that describe this table; copies of a picture count once. Claims come from the scores, see `sentences`.

    several: what the examples are called.
    """
    table = distinct(table)
    said = [_kept(table, several), _dropped(table, several), _weak(table, several)]
    said += [_scales(table), _completeness(table), _unfinished(table)]
    return [sentence for sentence in said if sentence]


def _weak(table: pd.DataFrame, several: str) -> str:
    """How often f(x) - f(x₀) is negative, or small beside the scores, so that shares of it mislead."""
    photos = table.drop_duplicates("image")
    difference, score = photos["score_difference"], photos["score"]
    negative = int((difference < 0).sum())
    small = int((difference.abs() <= SMALL * np.maximum(score.abs(), (score - difference).abs())).sum())
    which = _classes(photos, difference < 0)
    said = [f"negative in {negative}{which}" if negative else "", f"small beside the scores in {small}" if small else ""]
    found = " and ".join(filter(None, said))
    what = "shares of it are then shares of a decrease, or have large errors; another baseline may give larger differences"
    return f"Of {len(photos)} {several}, f(x) - f(x₀) is {found}: {what}." if found else ""


def _classes(photos: pd.DataFrame, chosen: "pd.Series[bool]") -> str:
    """How many examples of each class are chosen, those with most first; "" without labels.

    >>> _classes(pd.DataFrame({"label": ["a", "a", "b"]}), pd.Series([True, True, False]))
    ' (all 2 of class a)'
    """
    known = photos["label"].notna() if "label" in photos else pd.Series(False, photos.index)
    if not (known & chosen).any():
        return ""
    names = dict(zip(photos.get("predicted", ()), photos.get("predicted_name", ())))  # of outputs
    counts = chosen[known].groupby(photos["label"][known]).agg(["sum", "size"]).sort_values("sum", ascending=False)
    each = [
        f"{'all' if some == every else f'{some} of'} {every} of class {names.get(label) or label}"
        for label, some, every in counts[counts["sum"] > 0].itertuples()
    ]
    return f" ({', '.join(each[:NAMED])}{', …' if len(each) > NAMED else ''})"


def _dropped(table: pd.DataFrame, several: str) -> str:
    """The examples that are in no contrast, since f(x) is too near f(x₀) for a share of the difference."""
    photos = table.drop_duplicates("image")
    small = photos.loc[~large_enough(photos["score_difference"]), "image"]
    if not len(small):
        return ""
    names = ", ".join(small[:3]) + (", …" if len(small) > 3 else "")
    why = "where |f(x) - f(x₀)| is below 5 % of its median, a share of it means nothing"
    return f"{len(small)} of {len(photos)} {several} are in no contrast ({names}): {why}."


def convergence(table: pd.DataFrame) -> dict[str, Any]:
    """How many maps did not converge, of those whose method says it, and what it says of them.

    largest_map_error: the largest error of a map that it estimates.  largest_residual: |Σ a - (f(x) - f(x₀))| / |f(x) - f(x₀)|
    before the correction.
    """
    table = table if "converged" in table else table.assign(converged=math.nan)  # results that were stored before
    said = table[table["converged"].notna()]
    failed = said[~said["converged"].astype(bool)]
    largest = {
        name: failed[column].max() if len(failed) and column in failed else math.nan
        for name, column in (("largest_map_error", "map_error"), ("largest_residual", "uncorrected_gap"))
    }
    known = {name: None if pd.isna(value) else float(value) for name, value in largest.items()}
    return {"maps": len(said), "not_converged": len(failed)} | known


def _unfinished(table: pd.DataFrame) -> str:
    """How many maps the method itself does not trust."""
    found = convergence(table)
    if not found["not_converged"]:
        return ""
    what = f"{found['not_converged']} of {found['maps']} maps did not converge: the method missed its tolerance."
    residual, error = found["largest_residual"], found["largest_map_error"]
    gap = "" if residual is None else f" Before its correction, Σ a missed f(x) - f(x₀) by up to {_percent(100 * residual)}."
    wrong = "" if error is None else f" The largest error of such a map that it estimates is {_percent(100 * error)}."
    return f"{what}{gap}{wrong} Allow more evaluations or a larger tolerance before you rely on these maps."


def _percent(number: float) -> str:
    """Two significant digits, without a power of ten: "0.54 %", "120 %"."""
    return f"{number:.2g} %" if abs(number) < 10 else f"{number:,.0f} %"


def _kept(table: pd.DataFrame, several: str) -> str:
    """The domains in which the first coefficients miss the score by the least and by the most.

    The mean over photos is of |share - 1|: a mean share near 1 can be of photos far above and far below.
    """
    off = (table[f"kept{BUDGET}_attribution"] - 1).abs().groupby(table["transform"], sort=False).mean().dropna()
    if len(off) < 2 or off.max() - off.min() < 0.02:
        return ""
    best, worst = str(off.idxmin()), str(off.idxmax())
    holds = 100 * means(table)["samples90"]
    return (
        f"Means over {several}, which are no findings by themselves: keeping only the coefficients that the map ranks first, "
        f"as many as {BUDGET} % of the samples, misses f(x) - f(x₀) by {100 * off[best]:.0f} % on average in {best} (the "
        f"least) and by {100 * off[worst]:.0f} % in {worst} (the most). The coefficients that hold 90 % of Σ|a| "
        f"number {holds[best]:.0f} % of the samples in {best} and {holds[worst]:.0f} % in {worst}."
    )


def _scales(table: pd.DataFrame) -> str:
    """The domains in which coarse scales have the largest and the smallest share."""
    shares = octave_shares(table).drop(columns=ALL)
    shares = shares[shares.sum(axis=1) > 0]
    if len(shares) < 2 or COARSER not in shares or shares.shape[1] < 2:
        return ""
    low, high = str(shares[COARSER].idxmin()), str(shares[COARSER].idxmax())
    finest = shares.columns[-1]
    if shares.loc[high, COARSER] - shares.loc[low, COARSER] < 0.05:
        return ""
    return (
        f"How coarse the model looks depends on the coordinates: what is coarser than {shares.columns[1]} carries "
        f"{100 * shares.loc[high, COARSER]:.0f} % of Σ|a| in {high} but {100 * shares.loc[low, COARSER]:.0f} % in {low}, "
        f"for the same model, signals and gradients. {finest.capitalize()} (the finest) carries "
        f"{100 * shares[finest].min():.0f}–{100 * shares[finest].max():.0f} %."
    )


def _completeness(table: pd.DataFrame) -> str:
    """The completeness gap, which cannot rank linear domains."""
    linear = table[table["linear"]]
    if linear.empty:
        return ""
    if linear["relative_gap"].isna().all():
        return "The values are sensitivities: they are no shares of f(x) - f(x₀), and need not add up to it."
    spread = linear.groupby("image")["completeness_gap"].agg(np.ptp).max()
    photos = linear.drop_duplicates("image")
    gaps, own = 100 * photos["relative_gap"], 100 * photos[["map_error", "uncorrected_gap"]].median()
    said = f"Σ a misses f(x) - f(x₀) by a median of {_percent(gaps.median())} (worst {_percent(gaps.max())})."
    if own.notna().all():
        said += (
            f" Before the weights were corrected for it the median was {_percent(own['uncorrected_gap'])}; the error of the "
            f"map itself, which no residual shows, is estimated at {_percent(own['map_error'])}."
        )
    if linear["transform"].nunique() > 1 and spread <= 1e-2 * linear["score_difference"].abs().median():
        said += f" The residual differs between linear domains by at most {spread:.1e} units of the score: it cannot rank them."
    return said
