"""Where a map beats |coefficient|: contrasts that are looked for on some targets and confirmed on the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ...metrics.statistics import ENOUGH, Contrast, contrast, family, mean_interval
from .settings import Settings
from .tables import CLASS, TRUTH


@dataclass(frozen=True)
class Question:
    """asks, unit: in words.  equal: differences up to this size are equal in practice.  less: whether less is better."""

    asks: str
    unit: str
    equal: float
    less: bool = False

    @property
    def difference(self) -> str:
        """What is positive where a map is better."""
        return "|coefficient| less map" if self.less else "map less |coefficient|"


QUESTIONS = {  # by score
    "si_sdr": Question("truth: is what is kept closer to the target?", "dB of SI-SDR", 0.5),
    "energy_left": Question("the corruption: is less of it left?", "of the corruption's energy", 0.02, less=True),
    "probability": Question("the model: is the class more probable where this alone is kept?", "in probability", 0.02),
}
CONTROLS = {"random": "random coefficients", "oracle": "the ideal mask"}  # that are asked the same, over all targets
LISTED, EACH = 4, 3  # methods and domains in a sentence, and the largest contrasts of each
CELL = ["method", "domain", "level", "budget"]
LOOKED = 0.05  # p on the explored targets, uncorrected, of a contrast that is then to be confirmed
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Conclusions:
    """contrasts: see `MixedRecordings`.  summary: counts, sentences, and tables for the report."""

    contrasts: pd.DataFrame
    summary: dict[str, Any]


def conclude(table: pd.DataFrame, sweep: pd.DataFrame, settings: Settings) -> Conclusions:
    """What can be concluded from the tables."""
    contrasts = pd.concat([_question(table, score, settings) for score in QUESTIONS], ignore_index=True)
    asked, shown = swept(sweep, settings), means(table, settings)
    controls = controlled(table)
    said = [*_predictions(asked, sweep, settings), *_beaten(contrasts, controls), *_oracle(shown, settings)]
    tables = {"sweep": asked, "means": shown, "controls": controls, "contrasts": contrasts}
    found = {"findings": said} | {name: _plain(frame) for name, frame in tables.items()}
    return Conclusions(contrasts, found)


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}
        for row in frame.round(4).to_dict("records")
    ]


def _question(table: pd.DataFrame, score: str, settings: Settings) -> pd.DataFrame:
    """The contrasts of one declared question, each against |coefficient| at the same count, paired by target.

    A difference is positive where the map is better: of energy_left it is |coefficient| less map.
    mean … verdict: over all targets, with the intervals and p of the whole family (Holm).  explored, explored_p: on the
    targets that are looked at.  candidate: whether it is better there by more than what is equal in practice, with p ≤ 0.05.
    confirmed_…: on the other targets, of the family of candidates.  confirmed: the same there, with p corrected by Holm.
    """
    rope = QUESTIONS[score].equal
    every = differences(table, score)
    looked, kept = differences(table[table["half"] == "explore"], score), differences(table[table["half"] == "confirm"], score)
    seen = {key: contrast(values, rope=rope) for key, values in looked.items()}
    chosen = {key: kept[key] for key, one in seen.items() if one.mean > rope and one.p <= LOOKED and key in kept}
    whole, confirmed = _family(every, rope), _family(chosen, rope)
    return pd.DataFrame([_row(score, key, one, seen.get(key), confirmed.get(key)) for key, one in whole.items()])


def _family(differences: Mapping[Key, np.ndarray], rope: float) -> dict[Key, Contrast]:
    keys = list(differences)
    found = family({str(number): differences[key] for number, key in enumerate(keys)}, rope=rope)
    return dict(zip(keys, found.values()))


def _row(score: str, key: Key, whole: Contrast, seen: Contrast | None, confirmed: Contrast | None) -> dict[str, Any]:
    row: dict[str, Any] = {"question": score, **dict(zip(CELL, key))}
    wanted = ("mean", "low", "high", "p", "p_corrected", "detectable", "units", "verdict")
    row |= {name: getattr(whole, name) for name in wanted}
    row |= {"explored": seen.mean if seen else np.nan, "explored_p": seen.p if seen else np.nan}
    row["candidate"] = confirmed is not None
    row |= {f"confirmed_{name}": getattr(confirmed, name) if confirmed else np.nan for name in wanted[:-1]}
    row["confirmed"] = bool(confirmed and _passed(confirmed))
    return row


def _passed(one: Contrast) -> bool:
    return one.mean > one.rope and one.p_corrected <= 1 - one.level


def controlled(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each question and control: in how many places it is better than |coefficient|.

    By the test that confirms maps, over all targets and corrected over all places. Where random coefficients pass it, a map
    that passes need not have found anything.
    """
    rows = []
    for score, question in QUESTIONS.items():
        for control in CONTROLS:
            found = _family(differences(table, score, control), question.equal)
            better = sum(map(_passed, found.values()))
            rows.append({"question": score, "control": control, "better": better, "of": len(found)})
    return pd.DataFrame(rows)


def differences(table: pd.DataFrame, score: str, kept_by: str = "attribution") -> dict[Key, np.ndarray]:
    """How much better a map, or the control `kept_by`, is than |coefficient|, (targets,), by method, domain, level, budget."""
    place = ["unit", "domain", "level", "budget"]
    control = table[table["control"] == "coefficient"].set_index(place)[score]
    own = table[table["control"] == kept_by].join(control.rename("by_coefficient"), on=place)
    sign = -1 if QUESTIONS[score].less else 1
    own = own.assign(difference=sign * (own[score] - own["by_coefficient"]))
    return {key: group["difference"].to_numpy() for key, group in own.groupby(CELL, sort=False)}


def swept(sweep: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """A row for each level at which the model is asked: how often the prediction is kept, and the mean probability."""
    rows = []
    for level in settings.sweep:
        own = sweep[sweep["name"] == f"{level:g} dB"].drop_duplicates("unit")
        interval = stats.binomtest(int(own["kept"].sum()), len(own)).proportion_ci(method="wilson")
        mean, low, high = mean_interval(own["probability"])
        kept = {"kept": int(own["kept"].sum()), "of": len(own), "kept_low": interval.low, "kept_high": interval.high}
        rows.append({"level_db": level, **kept, "probability": mean, "low": low, "high": high})
    return pd.DataFrame(rows)


def means(table: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Mean and interval of each score over targets, at the main budget, by level, domain and ranking."""
    own = table[table["budget"] == settings.budget]
    rows = []
    for (level, domain, control, method), group in own.groupby(["level", "domain", "control", "method"], sort=False):
        row = {"level": level, "level_db": group["level_db"].median(), "domain": domain, "control": control, "method": method}
        for score in (*TRUTH, *CLASS):
            row[score] = group[score].mean()
            if score in ("si_sdr_gain", "probability"):
                _, row[f"{score}_low"], row[f"{score}_high"] = mean_interval(group[score])
        rows.append(row)
    return pd.DataFrame(rows)


def _predictions(asked: pd.DataFrame, sweep: pd.DataFrame, settings: Settings) -> list[str]:
    """How far the prediction survives."""
    kept = "; ".join(f"{row['kept']} of {row['of']} at {row['level_db']:g} dB" for row in asked.to_dict("records"))
    said = [f"The prediction is kept in {kept}."]
    if settings.peak is not None:
        own = sweep[sweep["name"] == f"{settings.peak:g} of the peak"]
        low, middle, high = own["level_db"].quantile([0, 0.5, 1])
        levels = f"a median of {middle:.1f} dB ({low:.1f} to {high:.1f})"
        said.append(f"A corruption of {settings.peak:g} of the peak is {levels}; there {int(own['kept'].sum())} of {len(own)}.")
    return said


def _beaten(contrasts: pd.DataFrame, controls: pd.DataFrame) -> list[str]:
    """For each question, where maps beat |coefficient| and where they fall behind it."""
    said = []
    for score, question in QUESTIONS.items():
        own, unit = contrasts[contrasts["question"] == score], question.unit
        right, many = own[own["confirmed"]], int(own["candidate"].sum())
        looked = f"Of {len(own)} contrasts with |coefficient|, {many} looked better on the explored targets"
        confirmed = f"{len(right)} are confirmed on the others{_few(right)}{_listed(right, unit)}.{_stars(right)}"
        found = f"{question.asks.capitalize()} {looked}, {confirmed}"
        said.append(f"{found} The reason: {_too_few(own)}." if own["detectable"].isna().all() else found)
        said.append(f"{_whole(own, unit)} {_same_test(controls[controls['question'] == score])}")
    return said


def _same_test(controls: pd.DataFrame) -> str:
    """How often the controls beat |coefficient|."""
    rows = controls.set_index("control")
    each = [f"{name} in {rows.loc[one, 'better']} of {rows.loc[one, 'of']} places" for one, name in CONTROLS.items()]
    empty = rows.loc["random", "better"] * 2 > rows.loc["random", "of"]
    warning = " So being better here needs no map, and shows none." if empty else ""
    return f"By the test that confirms, |coefficient| is beaten by {' and by '.join(each)}.{warning}"


def _whole(own: pd.DataFrame, unit: str) -> str:
    """The verdicts over all targets, and the contrast that is the most in favour of a map."""
    verdicts, best = own["verdict"].value_counts(), own.loc[own["mean"].idxmax()].to_dict()
    counts = ", ".join(f"{int(verdicts.get(name, 0))} {name}" for name in ("better", "worse", "equal", "open"))
    largest = f"the largest mean is {best['mean']:+.2g} {_where(best, unit)}, of {best['method']} in {best['domain']}"
    seen = own["detectable"].median()
    least = _too_few(own) if np.isnan(seen) else f"a difference of {seen:.2g} {unit} could be seen at the median"
    return f"Over all targets, corrected: {counts}; {largest}; {least}."


def _too_few(own: pd.DataFrame) -> str:
    return f"{own['units'].max()} targets are too few to see any difference"


def _few(right: pd.DataFrame) -> str:
    """What is said about a confirmation on few targets."""
    return f" (only {int(right['confirmed_units'].max())}, a hint)" if right["confirmed_units"].max() < ENOUGH else ""


def has_zero(row: Any) -> bool:
    """Whether 0 lies in the interval of a confirmed contrast: the intervals ask for more than the corrected test."""
    return bool(row["confirmed_low"] <= 0 <= row["confirmed_high"])


def _stars(right: pd.DataFrame) -> str:
    """What a star says, where there is one."""
    return " *: the test confirms it, but its interval contains 0." if any(map(has_zero, right.to_dict("records"))) else ""


def _listed(right: pd.DataFrame, unit: str) -> str:
    """The largest confirmed contrasts by method and domain, and how many more there are."""
    if right.empty:
        return ""
    groups = right.sort_values("confirmed_mean", ascending=False).groupby(["method", "domain"], sort=False)
    shown = [(key, own.head(EACH).to_dict("records")) for key, own in groups][:LISTED]
    parts = [f"{method} in {domain} ({'; '.join(_cell(row, unit) for row in rows)})" for (method, domain), rows in shown]
    more = len(right) - sum(len(rows) for _, rows in shown)
    return ": " + "; ".join(parts + [f"{more} more stand in contrasts.csv"] * bool(more))


def _cell(row: dict[str, Any], unit: str) -> str:
    return f"{row['confirmed_mean']:+.2g}{'*' if has_zero(row) else ''} {_where(row, unit)}"


def _where(row: dict[str, Any], unit: str) -> str:
    return f"{unit} at {row['level']}, {100 * row['budget']:g} %"


def _oracle(shown: pd.DataFrame, settings: Settings) -> list[str]:
    """What maps and the controls separate at the easiest and the hardest level, averaged over domains and methods."""
    names = {"attribution": "maps", "coefficient": "|coefficient|", "random": "random coefficients", "oracle": "the ideal mask"}
    said = []
    for level in dict.fromkeys([shown["level_db"].max(), shown["level_db"].min()]):
        own = shown[shown["level_db"] == level]
        found = own.groupby("control")[["si_sdr_gain", "energy_left"]].mean()
        parts = [
            f"{name} {found.loc[control, 'si_sdr_gain']:+.1f} dB and {100 * found.loc[control, 'energy_left']:.0f} %"
            for control, name in names.items()
        ]
        where = f"At {own['level'].iloc[0]}, {100 * settings.budget:g} % kept"
        said.append(f"{where}, gain in SI-SDR and corruption that is left: {', '.join(parts)}.")
    return said
