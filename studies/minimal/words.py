"""What the tables say: medians, contrasts with their corrections, and sentences."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ...metrics.statistics import Contrast, family, wilson
from .changes import GROUPS
from .images import CONTROLS, HARD, NEAR, NONZERO, OWN, PHOTO, SOFT, VERSIONS
from .settings import Settings
from .tables import WHERE, Tables, median_interval, paired

PAPER_SETTING = {"steps": 500, "prices": 11, "signals": 1000}
VERDICTS = {"better": "more", "worse": "fewer", "equal": "equally many", "open": "open"}
LEAST = 8  # signals for an interval
ROPE, SHARES = 0.1, 0.02  # differences that count as none: a factor of 1.07, and two points
Row = dict[str, Any]


def summarized(tables: Tables) -> dict[str, Any]:
    """Counts, medians, contrasts and sentences of a run, as plain data."""
    found = {
        "signals": _records(tables.rivals.groupby(WHERE, sort=False)["unit"].nunique().rename("signals").reset_index()),
        "limits": limits(tables.limits),
        "limit_contrasts": limit_contrasts(tables.limits),
        "change_contrasts": change_contrasts(tables.changed_rows),
        "rivals": rivals(tables.rivals),
        "paper_setting": PAPER_SETTING | {"gradients": _paper_cost(tables.settings)},
    }
    return found | {"findings": list(sentences(tables, found))}


def _records(rows: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _paper_cost(settings: Settings) -> int:
    """Gradients of the paper's setting, for as many signals as this run has: every price on its own, 500 steps."""
    return PAPER_SETTING["steps"] * PAPER_SETTING["prices"] * (settings.limit or PAPER_SETTING["signals"])


def limits(rows: pd.DataFrame) -> list[Row]:
    """The median sparsity up to which the class is kept, by image, with its interval over signals; and who loses it.

    lost: signals that lose the class with something left, at the median sparsity lost_at.  emptied: those that lose it only
    where nothing is left.  unlost: those that keep it at every price, or at every count.
    """
    found = []
    for key, own in rows.groupby([*WHERE, "image"], sort=False):
        units = own.groupby("unit", sort=False)[["kept_until", "lost_at", "kept_last"]].mean()
        lost = units["lost_at"][units["lost_at"] < 1]
        about: Row = {"signals": len(units), "lost": len(lost), "emptied": int((units["lost_at"] == 1).sum())}
        about |= {
            "unlost": int(units["lost_at"].isna().sum()),
            "lost_at": median_interval(lost.tolist()) if len(lost) else None,
        }
        medians = {name: median_interval(units[name].tolist()) for name in ("kept_until", "kept_last")}
        found.append(dict(zip([*WHERE, "image"], key)) | about | medians)
    return found


def limit_contrasts(rows: pd.DataFrame) -> list[Row]:
    """log₂ of the coefficients that another image needs for the class, over those above 0 in the minimal one; one family.

    On this scale 1 is twice as many: sparsities close to 1 differ by little in points, but by large factors in what is left.
    """
    sides, rows = {}, rows.assign(kept_until=-np.log2(1 - rows["kept_until"]))
    for key, own in rows.groupby(WHERE, sort=False):
        for other in (HARD, *CONTROLS):
            sides[*key, other] = paired(own, "kept_until", own["image"] == NONZERO, own["image"] == other)
    return _contrasts(sides, [*WHERE, "other"], ROPE)


def change_contrasts(rows: pd.DataFrame) -> list[Row]:
    """How often the class is kept, in the mean over each group of changes: two minimal images, each less the photo.

    One family over all models and domains, declared before any number was known: nothing else about changes is tested.
    """
    sides = {}
    for key, own in rows.groupby(WHERE, sort=False):
        for image in (NEAR, OWN):
            for group, changes in GROUPS.items():
                here = own["change"].isin(changes)
                if (here & (own["image"] == image)).any():
                    sides[*key, image, group] = paired(
                        own, "kept", here & (own["image"] == image), here & (own["image"] == PHOTO)
                    )
    return _contrasts(sides, [*WHERE, "image", "group"])


def _contrasts(sides: dict[tuple[str, ...], Any], names: list[str], rope: float = SHARES) -> list[Row]:
    """The contrasts of one family, corrected by Holm."""
    found = family({"\n".join(key): values for key, values in sides.items()}, rope=rope) if sides else {}
    return [dict(zip(names, key.split("\n"))) | plain(one) for key, one in found.items()]


def plain(one: Contrast) -> Row:
    """A contrast as plain data, with its verdict."""
    return dataclasses.asdict(one) | {"verdict": one.verdict}


def rivals(rows: pd.DataFrame) -> list[Row]:
    """How often the same optimisation makes another class the prediction, with Wilson's interval, beside its own class."""
    found = []
    for key, own in rows.groupby(WHERE, sort=False):
        units = own.groupby("unit", sort=False)[["reached", "own", "before", "probability", "sparsity", "own_sparsity"]].mean()
        count, reached = len(units), round(units["reached"].sum())
        line = {"signals": count, "reached": reached, **dict(zip(("low", "high"), wilson(reached, count)))}
        line |= {"own": round(units["own"].sum())}
        line |= {name: float(units[name].median()) for name in ("before", "probability", "sparsity", "own_sparsity")}
        found.append(dict(zip(WHERE, key)) | line)
    return found


def of(rows: list[Row], **where: str) -> list[Row]:
    """The rows with these entries."""
    return [row for row in rows if all(row[name] == value for name, value in where.items())]


def sentences(tables: Tables, found: dict[str, Any]) -> Iterator[str]:
    """What was found, for each model and domain."""
    for cell in found["signals"]:
        where = {name: cell[name] for name in WHERE}
        start = f"{cell['model']} on {cell['data']}, {cell['domain']}"
        yield from (f"{start}: {one}" for one in _about_limits(found, where))
        yield from (f"{start}: {one}" for one in _about_scores(tables.front, where))
        yield from (f"{start}: {one}" for one in _about_rivals(found, where))
        yield from (f"{start}: {one}" for one in _about_changes(tables.changed, found, where))


def percent(value: float) -> str:
    """A share in per cent, with more digits close to 1."""
    digits = next((place for place, most in enumerate((0.95, 0.995, 0.9995, 0.99995)) if value < most), 4)
    return f"{100 * value:.{digits}f}"


def interval(found: Row) -> str:
    """A median sparsity with its interval, in words."""
    return f"{percent(found['median'])} % ({percent(found['low'])}–{percent(found['high'])} %)"


def _about_limits(found: dict[str, Any], where: Row) -> Iterator[str]:
    rows = {row["image"]: row for row in of(found["limits"], **where)}
    if not rows:
        yield "every signal has the class that the model sees in the empty signal too, so that no sparsity loses it."
        return
    own = rows[SOFT]
    others = ", ".join(f"{name} {interval(rows[name]['kept_until'])}" for name in (HARD, *CONTROLS))
    yield (
        "the minimal image is still seen as the class up to a sparsity 1 - ‖m‖₁ / n of "
        f"{interval(own['kept_until'])}, median of {own['signals']} signals (95 % interval); {lost(own, 'price')}. Where every "
        f"coefficient above 0 counts whole, that is {interval(rows[NONZERO]['kept_until'])}; others: {others}."
    )
    needed = "; ".join(f"{row['other']} {factor(row)}" for row in of(found["limit_contrasts"], **where))
    yield f"coefficients that others need for the class, as a multiple of those above 0 in the minimal image: {needed}."


def lost(row: Row, point: str) -> str:
    """Who loses the class, and where.  point: what was tried, "price" or "count"."""
    parts = [f"{row['unlost']} lose it at no {point}"] if row["unlost"] else []
    parts += [f"{row['emptied']} only where nothing is left"] if row["emptied"] else []
    parts += [f"{row['lost']} at {interval(row['lost_at'])}"] if row["lost"] else []
    return f"of {row['signals']}, " + ", ".join(parts)


def factor(row: Row) -> str:
    """A contrast of logarithms in words, as a factor."""
    middle, low, high = (f"{2 ** min(row[name], 99):.3g}" for name in ("mean", "low", "high"))
    return f"{middle} times {_certainty(row, low, high)}: {VERDICTS[row['verdict']]}"


def said(row: Row) -> str:
    """A contrast of shares in words, in points of 100."""
    middle, low, high = (f"{100 * min(1, max(-1, row[name])):+.0f}" for name in ("mean", "low", "high"))
    return f"{middle} points {_certainty(row, low, high)}: {row['verdict']}"


def _certainty(row: Row, low: str, high: str) -> str:
    """The interval and the corrected p, where there are enough signals for them."""
    return f"({low} to {high}), p = {row['p_corrected']:.2g}" if row["units"] >= LEAST else f"in {row['units']} signals"


def _about_scores(front: pd.DataFrame, where: Row) -> Iterator[str]:
    rows = front[(front[WHERE] == pd.Series(where)).all(axis=1)]
    photo, own = rows[rows["image"] == PHOTO].iloc[0], rows[rows["image"] == SOFT]
    peak, first = own.loc[own["logit"].idxmax()], own.iloc[0]
    more = (
        "; a mask that raises the score beyond the signal's makes evidence by leaving coefficients out, and does not only keep "
        "what the model used"
    )
    said = [f"{row['logit']:.1f} ({row['logit low']:.1f} to {row['logit high']:.1f})" for row in (peak, photo)]
    yield (
        f"the mean score of minimal images peaks at a sparsity of {percent(peak['sparsity'])} %, {said[0]}; that of the "
        f"signals themselves is {said[1]}{more if peak['logit low'] > photo['logit high'] else ''}."
    )
    yield f"the lowest price, {first['price']:g}, already leaves out {percent(first['sparsity'])} %."


def _about_rivals(found: dict[str, Any], where: Row) -> Iterator[str]:
    for row in of(found["rivals"], **where):
        yield (
            f"the same optimisation at one price makes a class drawn at random the prediction of {row['reached']} of "
            f"{row['signals']} signals ({100 * row['low']:.0f}–{100 * row['high']:.0f} %), at a median sparsity of "
            f"{percent(row['sparsity'])} %, by leaving coefficients out alone; the signal's own class is kept in {row['own']}."
        )


def _about_changes(changed: pd.DataFrame, found: dict[str, Any], where: Row) -> Iterator[str]:
    rows = changed[(changed[WHERE] == pd.Series(where)).all(axis=1)]
    if set(rows["image"]) == {PHOTO}:
        yield "every signal has the class of the empty signal, so that changes of minimal images say nothing."
        return
    for group, changes in GROUPS.items():
        means = rows[rows["change"].isin(changes)].groupby("image")[["kept", "of_others", "chance"]].mean()
        if len(means):
            shares = ", ".join(f"{name} {_share(means.loc[name, 'kept'])}" for name in VERSIONS if name in means.index)
            chance = f"{_share(means['of_others'].max())} at most for the class of another signal"
            yield f"the class is kept after changes of the group {group!r} in: {shares} ({chance})."
    for image in (NEAR, OWN):
        if own := of(found["change_contrasts"], **where, image=image):
            yield f"{image}: {verdict(own)}"


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.0f} %" if value >= 0.01 or value == 0 else f"{100 * value:.1g} %"


def verdict(rows: list[Row]) -> str:
    """What the contrasts of one minimal image say about the texture reading: that it keeps parts, not their arrangement."""
    about = {row["group"]: row["verdict"] for row in rows}
    if about.get("harmless") == "worse":
        return (
            "the texture reading cannot be tested: already a harmless change loses the class more often than in the photo, so "
            "that a loss after shuffling shows how fragile the image is, not what it shows."
        )
    if "arrangement" not in about:
        return "the texture reading is not tested: the signals are too short to be shuffled."
    arrangement, parts = about["arrangement"], about.get("parts")
    if arrangement == "worse" and parts == "worse":
        return (
            "the texture reading is not confirmed, nor is its opposite: it bears the loss of arrangement and that of fine "
            "parts both worse than the photo, which shows how fragile the image is, not what it shows."
        )
    if arrangement == "worse":
        return "the texture reading does not hold: it depends on the arrangement of parts more than the photo does."
    if arrangement in ("better", "equal"):
        more = "and it" if parts == "worse" else "but that it"
        shown = (
            "bears the loss of fine parts worse" if parts == "worse" else "needs fine parts more than the photo is not shown"
        )
        return f"the texture reading holds so far: shuffled, it keeps the class as often as the photo, {more} {shown}."
    missed = ", ".join(
        f"{row['group']} {100 * row['detectable']:.0f}" for row in rows if row["detectable"] == row["detectable"]
    )
    return f"the texture reading is open; differences found with 80 % power, in points: {missed or 'none with so few signals'}."
