"""What the tables say: medians, contrasts with their corrections, and sentences."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ...metrics.statistics import Contrast, family
from .changes import ARRANGEMENT, CHANGES, HARMLESS, WHOLE
from .images import CONTROLS, HARD, OWN_LIMIT, PHOTO, SOFT
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
    """The median sparsity up to which the class is kept, and at which it is lost, by image, with intervals over signals."""
    found = []
    for key, own in rows.groupby([*WHERE, "image"], sort=False):
        units = own.groupby("unit", sort=False)[["kept_until", "lost_at", "kept_last"]].mean()
        line = dict(zip([*WHERE, "image"], key)) | {"signals": len(units)}
        found.append(line | {name: median_interval(units[name].tolist()) for name in units})
    return found


def limit_contrasts(rows: pd.DataFrame) -> list[Row]:
    """log₂ of the coefficients that another image needs for the class, over those of the minimal one; one family.

    On this scale 1 is twice as many: sparsities close to 1 differ by little in points, but by large factors in what is left.
    """
    sides, rows = {}, rows.assign(kept_until=-np.log2(1 - rows["kept_until"]))
    for key, own in rows.groupby(WHERE, sort=False):
        for other in (HARD, *CONTROLS):
            sides[*key, other] = paired(own, "kept_until", own["image"] == SOFT, own["image"] == other)
    return _contrasts(sides, [*WHERE, "other"], ROPE)


def change_contrasts(rows: pd.DataFrame) -> list[Row]:
    """How often the class is kept after a change: the minimal image less the photo and controls, and less a harmless change.

    One family over all models, domains and changes. "other" is the image, or the change, that is compared with.
    """
    sides = {}
    for key, own in rows.groupby(WHERE, sort=False):
        changes = [name for name in CHANGES if name in set(own["change"])]
        for change in changes:
            here, soft = own["change"] == change, own["image"] == SOFT
            for other in (PHOTO, "coefficient", OWN_LIMIT):
                sides[*key, change, other] = paired(own, "kept", here & soft, here & (own["image"] == other))
            if change in ARRANGEMENT:
                harmless = (own["change"] == HARMLESS[0]) & soft
                sides[*key, change, HARMLESS[0]] = paired(own, "kept", here & soft, harmless)
    return _contrasts(sides, [*WHERE, "change", "other"])


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
        interval = stats.binomtest(reached, count).proportion_ci(method="wilson")
        line = {"signals": count, "reached": reached, "low": float(interval.low), "high": float(interval.high)}
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
    return f"{100 * value:.{0 if value < 0.95 else 1 if value < 0.995 else 2}f}"


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
        f"the minimal image is still seen as the class up to a sparsity of {interval(own['kept_until'])}, median of "
        f"{own['signals']} signals (95 % interval), and loses it at {interval(own['lost_at'])}; others: {others}."
    )
    needed = "; ".join(f"{row['other']} {factor(row)}" for row in of(found["limit_contrasts"], **where))
    yield f"coefficients that others need for the class, as a multiple of those of the minimal image (corrected): {needed}."


def factor(row: Row) -> str:
    """A contrast of logarithms in words, as a factor."""
    middle, low, high = (f"{2 ** min(row[name], 99):.3g}" for name in ("mean", "low", "high"))
    return f"{middle} times {_certainty(row, low, high)}: {VERDICTS[row['verdict']]}"


def said(row: Row) -> str:
    """A contrast of shares in words, in points of 100."""
    middle, low, high = (f"{100 * row[name]:+.0f}" for name in ("mean", "low", "high"))
    return f"{middle} points {_certainty(row, low, high)}: {row['verdict']}"


def _certainty(row: Row, low: str, high: str) -> str:
    """The interval and the corrected p, where there are enough signals for them."""
    return f"({low} to {high}), p = {row['p_corrected']:.2g}" if row["units"] >= LEAST else f"in {row['units']} signals"


def _about_scores(front: pd.DataFrame, where: Row) -> Iterator[str]:
    rows = front[(front[WHERE] == pd.Series(where)).all(axis=1)]
    photo, own = rows[rows["image"] == PHOTO].iloc[0], rows[rows["image"] == SOFT]
    peak = own.loc[own["logit"].idxmax()]
    more = (
        "; a mask that raises the score beyond the signal's makes evidence by leaving coefficients out, and does not only keep "
        "what the model used"
    )
    yield (
        f"the mean score of minimal images peaks at a sparsity of {percent(peak['sparsity'])} %, {peak['logit']:.1f}; that "
        f"of the signals themselves is {photo['logit']:.1f}{more if peak['logit'] > photo['logit'] else ''}."
    )


def _about_rivals(found: dict[str, Any], where: Row) -> Iterator[str]:
    for row in of(found["rivals"], **where):
        yield (
            f"the same optimisation at one price makes a class drawn at random the prediction of {row['reached']} of "
            f"{row['signals']} signals ({100 * row['low']:.0f}–{100 * row['high']:.0f} %), at a median sparsity of "
            f"{percent(row['sparsity'])} %, by leaving coefficients out alone; the signal's own class is kept in {row['own']}."
        )


def _about_changes(changed: pd.DataFrame, found: dict[str, Any], where: Row) -> Iterator[str]:
    rows = changed[(changed[WHERE] == pd.Series(where)).all(axis=1)].set_index(["image", "change"])
    known = [change for change in (WHOLE, *CHANGES) if (SOFT, change) in rows.index]
    if not known:
        yield "no minimal image is still seen as the class, so that changes of it say nothing."
        return
    for change in [one for one in ARRANGEMENT if one in known]:
        photo, soft, equal, own = (_share(rows, image, change) for image in (PHOTO, SOFT, "coefficient", OWN_LIMIT))
        chance = _share(rows, PHOTO, change, "chance")
        yield (
            f"{change}, the class is kept in {photo} of the signals, {soft} of the minimal images, {equal} of truncations by "
            f"|coefficient| at equal sparsity, and {own} of those at their own limit (chance {chance})."
        )
    yield verdict(of(found["change_contrasts"], **where))


def _share(rows: pd.DataFrame, image: str, change: str, column: str = "kept") -> str:
    value = 100 * float(rows[column].get((image, change), np.nan))
    return "–" if np.isnan(value) else f"{value:.0f} %" if value >= 1 or value == 0 else f"{value:.1g} %"


def verdict(rows: list[Row]) -> str:
    """What the contrasts say about the texture reading: that minimal images keep parts rather than their arrangement."""
    about = {(row["change"], row["other"]): row["verdict"] for row in rows}
    harmless = [about.get((change, PHOTO)) for change in HARMLESS]
    shuffled = [about[change, PHOTO] for change in ARRANGEMENT if (change, PHOTO) in about]
    if "worse" in harmless:
        return (
            "the texture reading cannot be tested on minimal images here: already a harmless shift or mirroring loses their "
            "class more often than the signal's, so that a loss after shuffling shows how fragile they are, not what they show."
        )
    if not shuffled:
        return "the texture reading is not tested: the signals are too short to be shuffled."
    if all(one in ("better", "equal") for one in shuffled):
        return "the texture reading holds so far: shuffled, minimal images keep their class as often as the signals, or more."
    if "worse" in shuffled:
        return (
            "the texture reading does not hold: no harmless change was shown to cost minimal images more than the signals, but "
            "shuffled they lose their class more often; what they keep depends on its arrangement."
        )
    return "the texture reading is open: with so many signals, no difference to the signals themselves could be shown."
