"""The page that a comparison ends in, and the sentences that its numbers support."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from ...metrics import mean_interval
from .figures import ALL, COARSER, octave_shares

BUDGET = 10  # per cent of the number of pixels, in sentences and tables
ENOUGH = 8  # photos from which a bootstrap interval is worth printing

COLUMNS = (
    ("relative_gap", "gap / |Δf|", "completeness residual; the same in every linear domain"),
    ("map_error", "map error", "what the method estimates as the relative error of its map, where it does"),
    ("gini", "Gini", "sparseness of |a|: 0 all equal, 1 one coefficient; comparable where domains have equally many"),
    (
        "samples90",
        "holds 90 %",
        "how many of the largest |a| make up 90 % of Σ|a|, in % of the signal's samples; "
        "frames have more coefficients than samples, so it may pass 100 %",
    ),
    ("kept1_attribution", "top 1 %", "share of f(x) - f(x₀) kept by the largest |a|, as many as 1 % of the samples"),
    ("kept5_attribution", "top 5 %", "the same for 5 %"),
    ("kept10_attribution", "top 10 %", "the same for 10 %"),
    ("kept10_coefficient", "by |z|", "control: as many by |coefficient|, which knows nothing of the model"),
    ("kept10_random", "random", "control: as many at random"),
    ("seconds_domain", "s / photo", "what the domain adds to the shared gradient stream"),
)
PERCENT = {"relative_gap", "map_error", "samples90"} | {name for name, _, _ in COLUMNS if name.startswith("kept")}


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over photos of the columns that are shown, a row per domain; the median for the gap, whose tail is long."""
    groups = table.groupby("transform", sort=False)
    shown = groups[[name for name, _, _ in COLUMNS]].mean()
    return shown.assign(relative_gap=groups["relative_gap"].median())


def cell(column: str, value: float) -> str:
    """A number as the tables print it."""
    if np.isnan(value):
        return "–"
    if column in PERCENT:
        return f"{100 * value:.1f} %"
    return f"{value:.3f}"


@dataclass(frozen=True)
class Contrast:
    """Mean of a - b over photos, paired, with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, a: pd.Series, b: pd.Series) -> "Contrast":
        return cls(*mean_interval(a.to_numpy() - b.to_numpy()))

    def __str__(self) -> str:
        if self.high - self.low < 1e-4:  # the same photo several times, say
            return f"{100 * self.mean:+.0f} points, the same on every photo"
        return f"{100 * self.mean:+.0f} points, 95 % interval {100 * self.low:+.0f} to {100 * self.high:+.0f}"


def findings(table: pd.DataFrame) -> list[str]:
    """What the numbers say, in sentences that hold for this table; each names its control or its interval."""
    said = [_keeps(table), _control(table), _scales(table), _completeness(table)]
    return [sentence for sentence in said if sentence]


def narrow(width: int) -> tuple[tuple[str, str, str], ...]:
    """The columns that fit into `width` characters, the most telling first."""
    order = [
        "kept10_attribution",
        "kept10_coefficient",
        "kept10_random",
        "samples90",
        "map_error",
        "relative_gap",
        "gini",
    ]
    order += [name for name, _, _ in COLUMNS if name not in order]
    needed = {name: max(7, len(title)) + 3 for name, title, _ in COLUMNS}
    fitting = [name for i, name in enumerate(order) if sum(needed[n] for n in order[: i + 1]) <= width]
    return tuple(column for column in COLUMNS if column[0] in fitting)


def _column(table: pd.DataFrame, domain: str, name: str) -> pd.Series:
    rows = table[table["transform"] == domain]
    return rows.set_index("image")[name]


def _keeps(table: pd.DataFrame) -> str:
    kept = means(table)[f"kept{BUDGET}_attribution"].dropna()
    off = (kept - 1).abs()
    if len(kept) < 2 or off.max() - off.min() < 0.02:
        return ""
    best, worst = str(off.idxmin()), str(off.idxmax())
    contrast = Contrast.of(*(_column(table, domain, f"kept{BUDGET}_attribution") for domain in (best, worst)))
    interval = f" ({contrast})" if table["image"].nunique() >= ENOUGH else ""
    holds = means(table)["samples90"]
    return (
        f"Keeping only the coefficients that the map ranks first, as many as {BUDGET} % of the samples, leaves "
        f"{100 * kept[best]:.0f} % of f(x) - f(x₀) in {best} and {100 * kept[worst]:.0f} % in {worst}{interval}. 90 % "
        f"of Σ|a| is held by {_held(holds[best])} in {best}, and {_again(holds[worst], holds[best])} in "
        f"{worst}."
    )


def _held(share: float) -> str:
    """How many coefficients these are; a frame has more of them than the signal has samples."""
    if share > 1:
        return f"{share:.2f} times as many coefficients as the signal has samples"
    return f"as many coefficients as {100 * share:.0f} % of the samples"


def _again(share: float, before: float) -> str:
    """`_held`, after it was said of another domain in the same words."""
    return f"as {100 * share:.0f} %" if share <= 1 and before <= 1 else f"by {_held(share)}"


def _control(table: pd.DataFrame) -> str:
    """Against the ranking by |coefficient|, domain by domain."""
    domains = list(dict.fromkeys(table["transform"]))
    photos = table["image"].nunique()
    if photos < ENOUGH:
        return (
            f"{photos} photos are too few to say where the map beats the control that ranks by |coefficient| and never "
            f"sees the model; {ENOUGH} or more give intervals."
        )
    sides: dict[str, list[str]] = {"more": [], "less": [], "open": []}
    for domain in domains:
        columns = [_column(table, domain, f"kept{BUDGET}_{ranking}") for ranking in ("attribution", "coefficient")]
        contrast = Contrast.of(*columns)
        side = "more" if contrast.low > 0 else "less" if contrast.high < 0 else "open"
        sides[side].append(f"{domain} ({contrast})")
    more, less = ("; ".join(sides[side]) or "none" for side in ("more", "less"))
    return (
        f"Against the control that ranks by |coefficient| and never sees the model, the map keeps more of the score in: "
        f"{more}. It keeps less in: {less}. The interval covers zero in {len(sides['open'])} of {len(domains)} domains. "
        "Where the control does as well, the picture shows how the transform compacts energy, not what the model "
        "reads."
    )


def _scales(table: pd.DataFrame) -> str:
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
        f"for the same model, photos and gradients. {finest.capitalize()} (the finest) carries "
        f"{100 * shares[finest].min():.0f}–{100 * shares[finest].max():.0f} %."
    )


def _completeness(table: pd.DataFrame) -> str:
    linear = table[table["linear"]]
    if linear.empty:
        return ""
    spread = linear.groupby("image")["completeness_gap"].agg(np.ptp).max()
    gaps = linear.drop_duplicates("image")["relative_gap"]
    own = linear.drop_duplicates("image")[["map_error", "uncorrected_gap"]].median()
    certified = (
        f" Before the weights were corrected for it the median was {100 * own['uncorrected_gap']:.2g} %; the error of "
        f"the map itself, which no residual shows, is estimated at {100 * own['map_error']:.2g} %."
        if own.notna().all()
        else ""
    )
    several = (
        f" The residual differs between linear domains by at most {spread:.1e} units of the score: it cannot rank them."
        if linear["transform"].nunique() > 1 and spread <= 1e-2 * linear["score_difference"].abs().median()
        else ""
    )
    return (
        f"Σ a misses f(x) - f(x₀) by a median of {100 * gaps.median():.2g} % (worst {100 * gaps.max():.2g} %)."
        f"{certified}{several}"
    )


_PAGE = jinja2.Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>pullback: {{ model }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
 table { border-collapse: collapse; font-size: 14px; width: 100% } td, th { padding: .25rem .6rem; text-align: right }
 td:first-child, th:first-child { text-align: left; font-family: ui-monospace, monospace; font-size: 13px }
 thead th { border-bottom: 2px solid #444; cursor: help } tbody tr:nth-child(odd) { background: #f5f5f5 }
 td.best { font-weight: 700 } img { max-width: 100%; height: auto } figcaption { color: #555; font-size: 14px }
 figure { margin: 1.5rem 0 } .wide { overflow-x: auto } pre { background: #f5f5f5; padding: .8rem; overflow-x: auto }
</style></head><body>
<h1>In which coordinates does {{ model }} think?</h1>
<p>{{ method }} on {{ photos }} photos of {{ data }}
{%- if correct %} ({{ correct }} classified correctly){% endif %}, in {{ domains }} domains from one
stream of {{ stream }} model rows. f is {{ score }}, x₀ = 0, a the attribution.</p>
<h2>What the numbers say</h2>
<ul>{% for sentence in findings %}<li>{{ sentence }}</li>{% endfor %}</ul>
<h2>Domains</h2>
<div class="wide"><table><thead><tr><th>domain</th>{% for _, title, about in columns %}<th title="{{ about }}">{{ title }}</th>
{% endfor %}</tr></thead><tbody>{% for row in rows %}<tr>{% for text, best in row %}
<td{% if best %} class="best"{% endif %}>{{ text }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
<p><small>Means over photos; the gap is a median. Bold: the best of a column in which domains can be ranked.
{% for _, title, about in columns %}<b>{{ title }}</b>: {{ about }}. {% endfor %}</small></p>
{% if skipped %}<h2>Skipped</h2><ul>{% for entry in skipped %}<li>{{ entry.file }}: {{ entry.reason }}</li>{% endfor %}</ul>
{% endif %}<h2>Pictures</h2>
{% for file, caption in pictures %}<figure><img src="{{ file }}" alt="{{ caption }}" loading="lazy"><figcaption>{{ caption }}
</figcaption></figure>{% endfor %}
<h2>Settings</h2><pre>{{ settings }}</pre>
</body></html>
""",
    autoescape=True,
)

_CAPTIONS = (
    ("octaves", "Share of Σ|a| per octave, mean over photos. Every domain's octaves cover the same frequencies."),
    (
        "kept",
        "Score left when only the first coefficients are kept: ranked by attribution, by |coefficient| (control), at "
        "random (control).",
    ),
    (
        "top10",
        "The photo rebuilt from the coefficients with the largest |a|, as many as 10 % of its samples; the others are "
        "the baseline's. All panels have the photo's range of brightness.",
    ),
    (
        "heatmaps",
        "A row per domain. Where each octave's attribution sits: |T⁻¹(Δz on the octave) ⊙ ḡ|, averaged locally; one "
        "square-root colour scale, per cent: of Σ|a|. A band's shares cancel at a place, so a bright panel need not be a large "
        "share.",
    ),
)


def page(table: pd.DataFrame, summary: dict[str, Any], files: Sequence[str]) -> str:
    """The report as HTML; pictures are linked by name, so the page belongs in their folder."""
    import json

    shown = means(table)
    settings = summary["settings"]
    captions = [
        (file, next(text for start, text in _CAPTIONS if file.startswith(start)))
        for file in files
        if file.endswith(".png")
    ]
    stream = sum(value for value in summary["model_rows"].values() if isinstance(value, int))
    return _PAGE.render(
        score="the model's output" if table["probability"].isna().all() else "the logit of the predicted class",
        model=settings["model"],
        data=settings["data"],
        method=settings["method"],
        photos=summary["photos"],
        correct=None if summary["correct"] == "no labels" else summary["correct"],
        domains=len(shown),
        stream=f"{stream:,}",
        findings=findings(table),
        columns=COLUMNS,
        rows=_cells(shown),
        skipped=summary["skipped"],
        pictures=captions,
        settings=json.dumps({key: summary[key] for key in ("settings", "versions", "seconds")}, indent=1),
    )


def _cells(shown: pd.DataFrame) -> list[list[tuple[str, bool]]]:
    """Text of every cell, and whether it is the best of its column."""
    better = {name: (shown[name] - 1).abs().idxmin() for name in shown if str(name).endswith("_attribution")}
    better["samples90"] = shown["samples90"].idxmin()
    return [
        [
            (str(domain), False),
            *((cell(str(name), float(value)), better.get(name) == domain) for name, value in row.items()),
        ]
        for domain, row in shown.iterrows()
    ]
