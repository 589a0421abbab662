"""The geometry of the report's charts, which templates/charts.html draws as SVG.

SVG written by hand is a few kilobytes a chart, needs no script, prints sharply, follows light and dark, and can be read aloud;
a chart library would add 0.9 to 4.8 MB to every page.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .figures import ALL
from .numbers import Curve

STYLES = 8  # classes s0 … s7 of the style sheet: a colour and a dash each
WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 40  # margins
LABELS, END = 232, 26  # beside bars and intervals
ROW = 26
Place = Callable[[float], float]


def percent(value: float) -> str:
    """A share as the report prints it: one digit behind the point below 10 %.

    >>> percent(0.1234), percent(0.05), percent(-0.0312), percent(float("nan"))
    ('12 %', '5 %', '-3.1 %', '–')
    """
    if not math.isfinite(value):
        return "–"
    number = round(100 * value, 1 if abs(value) < 0.0995 else 0)
    return f"{number + 0.0:.1f}".removesuffix(".0") + " %"


def signed_number(value: float) -> str:
    """A number with its sign and three digits, or with all digits before the point.

    >>> signed_number(52210.2), signed_number(-3.14159), signed_number(0)
    ('+52,210', '-3.14', '0')
    """
    return "0" if value == 0 else f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"


def trace(shown: Mapping[str, Any]) -> list[str]:
    """The paths of lines, one below the other, each 200 high and 1000 wide.  shown: see `views.Drawing`."""
    paths = []
    for number, line in enumerate(shown.get("lines", ())[:3]):
        low, high = min(line["values"]), max(line["values"])
        x, y = _linear(0, max(1, shown["samples"] - 1), 0, 1000), _linear(low, high, 220 * number + 210, 220 * number + 10)
        paths.append(_path([(x(at), y(value)) for at, value in zip(line["at"], line["values"])]))
    return paths


def lines(curves: Sequence[Curve], x_label: str, y_label: str, what: str) -> dict[str, Any]:
    """Curves over budgets on a logarithmic axis, with bands where there are intervals.  what: begins the text for readers."""
    budgets = sorted({budget for curve in curves for budget in curve.budgets})
    ends = [
        number for curve in curves for part in (curve.mean, curve.low, curve.high) for number in part if math.isfinite(number)
    ]
    low, high = min([0.0, *ends]), max([1.0 if max([0.0, *ends]) <= 1 else 0.0, *ends])
    x = _log(budgets, LEFT, WIDTH - RIGHT)
    y = _linear(low, high, HEIGHT - BOTTOM, TOP)
    best = {curve.name: percent(curve.mean[-1]) for curve in curves}
    alt = f"{what}: at the largest budget, {percent(budgets[-1])}, " + ", ".join(
        f"{name} {text}" for name, text in best.items()
    )
    return {
        "kind": "lines",
        "width": WIDTH,
        "height": HEIGHT,
        "alt": alt + ".",
        "x_label": x_label,
        "y_label": y_label,
        "x_ticks": [(x(one), percent(one).replace(" %", "")) for one in budgets],
        "y_ticks": [(y(one), percent(one)) for one in ticks(low, high)],
        "box": (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        "series": [_series(curve, number, x, y) for number, curve in enumerate(curves)],
    }


def _series(curve: Curve, number: int, x: Place, y: Place) -> dict[str, Any]:
    points = [(x(a), y(b)) for a, b in zip(curve.budgets, curve.mean) if math.isfinite(b)]
    known = [(a, b, c) for a, b, c in zip(curve.budgets, curve.low, curve.high) if math.isfinite(b) and math.isfinite(c)]
    band = [(x(a), y(b)) for a, b, _ in known] + [(x(a), y(c)) for a, _, c in reversed(known)]
    return {"name": curve.name, "style": number % STYLES, "line": _path(points), "band": _path(band), "dots": points}


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points) if points else ""


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """At most about `count` round numbers from low to high.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = max(high - low, 1e-12)
    step = 10 ** math.floor(math.log10(span / count))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (factor * step) <= count + 1e-9)
    first = math.ceil(low / step - 1e-9)
    return [round(step * number, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _linear(low: float, high: float, start: float, end: float) -> Place:
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _log(values: Sequence[float], start: float, end: float) -> Place:
    low, high = (math.log(max(one, 1e-12)) for one in (values[0], values[-1]))
    inner = (end - start) * 0.04
    linear = _linear(low, high if high > low else low + 1, start + inner, end - inner)
    return lambda value: linear(math.log(max(value, 1e-12)))


def bars(shares: pd.DataFrame, texts: Mapping[str, str]) -> dict[str, Any]:
    """Stacked bars: a row per domain, a segment per octave, coarse to fine.

    shares: as of `figures.octave_shares`.  texts: the frequencies of octaves.
    """
    width, names = WIDTH + LABELS, [name for name in shares if shares[name].any()]
    x = _linear(0.0, 1.0, LABELS, width - END)
    colors, rows = shades(names), []
    for number, (domain, row) in enumerate(shares.iterrows()):
        edges = np.concatenate([[0.0], np.cumsum([row[name] for name in names])])
        parts = [
            {
                "x": x(a),
                "width": x(b) - x(a),
                "alt": f"{name}: {percent(b - a)}",
                "text": percent(b - a) if b - a > 0.09 else "",
            }
            | colors[name]
            for name, a, b in zip(names, edges, edges[1:])
            if b > a
        ]
        rows.append({"name": str(domain), "y": TOP + ROW * number, "parts": parts})
    largest = {str(domain): str(row[names].idxmax()) for domain, row in shares.iterrows() if names}
    return {
        "kind": "bars",
        "width": width,
        "height": TOP + ROW * len(rows) + BOTTOM,
        "left": LABELS,
        "row": ROW,
        "alt": "Where on the scale the attribution lies; the largest share has: "
        + ", ".join(f"in {domain} {name} ({percent(shares.loc[domain, name])})" for domain, name in largest.items())
        + ".",
        "rows": rows,
        "x_ticks": [(x(one), percent(one)) for one in ticks(0, 1)],
        "x_label": "share of Σ|a|, mean",
        "legend": [{"name": name, "text": texts.get(name, "")} | colors[name] for name in names],
    }


def shades(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """A colour for each octave, dark for coarse ones, and whether text on it is light; grey for what has no scales."""
    from matplotlib import colormaps

    scaled = [name for name in names if name != ALL]
    found = {ALL: (0.62, 0.62, 0.62)} | dict(
        zip(scaled, colormaps["viridis"](np.linspace(0.1, 0.95, max(1, len(scaled))))[:, :3].tolist())
    )
    bright = {name: 0.2126 * r**2.2 + 0.7152 * g**2.2 + 0.0722 * b**2.2 for name, (r, g, b) in found.items()}
    hexed = {name: "#" + "".join(f"{round(255 * part):02x}" for part in color) for name, color in found.items()}
    return {name: {"color": hexed[name], "ink": "light" if bright[name] < 0.18 else "dark"} for name in names}


def intervals(rows: Sequence[Mapping[str, Any]], rope: float, what: str) -> dict[str, Any]:
    """Means of differences with intervals: a row for each contrast.

    rows: label, mean, low, high, verdict, detectable, in units of the score.  rope: differences within it count as none.
    """
    ends = [float(row[name]) for row in rows for name in ("low", "mean", "high") if _known(row[name])]
    middle = sorted(abs(one) for one in ends)
    reach = max(4 * rope, min(max(middle, default=1.0), 3 * (middle[len(middle) // 2] if middle else 1.0) + 4 * rope))
    width = WIDTH + LABELS
    x = _linear(-reach, reach, LABELS, width - END)

    def cut(value: Any) -> float:
        return x(min(max(float(value), -reach), reach))

    drawn = [
        {
            "label": str(row["label"]),
            "y": TOP + ROW * number,
            "x": cut(row["mean"]) if _known(row["mean"]) else None,
            "low": cut(row["low"]) if _known(row["low"]) else None,
            "high": cut(row["high"]) if _known(row["high"]) else None,
            "beyond": (_known(row["low"]) and float(row["low"]) < -reach)
            or (_known(row["high"]) and float(row["high"]) > reach),
            "verdict": str(row["verdict"]),
        }
        for number, row in enumerate(rows)
    ]
    counted = {
        verdict: sum(row["verdict"] == verdict for row in rows) for verdict in dict.fromkeys(row["verdict"] for row in rows)
    }
    return {
        "kind": "intervals",
        "width": width,
        "height": TOP + ROW * len(rows) + BOTTOM,
        "left": LABELS,
        "row": ROW,
        "alt": f"{what}: " + ", ".join(f"{count} {verdict}" for verdict, count in counted.items()) + ".",
        "rows": drawn,
        "zero": x(0),
        "rope": (x(-rope), x(rope)),
        "bottom": TOP + ROW * len(rows),
        "x_ticks": [(x(one), signed_number(100 * one)) for one in ticks(-reach, reach)],
        "x_label": "difference in points (hundredths of f(x) − f(x₀)); right of 0: the first is better",
    }


def _known(value: Any) -> bool:
    return value is not None and math.isfinite(float(value))


def scatter(points: Sequence[Mapping[str, Any]], x_label: str, y_label: str, title: str) -> dict[str, Any]:
    """Points of two goals with the Pareto front joined.  points: name, x, y and front, whether no other is better in both."""
    x_low, y_low = (min(float(p[name]) for p in points) for name in ("x", "y"))
    x_high, y_high = (max(float(p[name]) for p in points) for name in ("x", "y"))
    x, y = _linear(x_low, x_high, LEFT + 12, WIDTH - RIGHT - 12), _linear(y_low, y_high, HEIGHT - BOTTOM - 12, TOP + 12)
    drawn: list[dict[str, Any]] = [
        {"x": x(float(p["x"])), "y": y(float(p["y"])), "name": str(p["name"]), "front": bool(p.get("front"))} for p in points
    ]
    front = [str(p["name"]) for p in points if p.get("front")]
    return {
        "kind": "scatter",
        "width": WIDTH,
        "height": HEIGHT,
        "alt": f"{title}: of {len(points)} points, {len(front)} are on the front"
        + (f": {', '.join(front[:8])}." if front else "."),
        "x_label": x_label,
        "y_label": y_label,
        "title": title,
        "x_ticks": [(x(one), f"{one:.3g}") for one in ticks(x_low, x_high)],
        "y_ticks": [(y(one), f"{one:.3g}") for one in ticks(y_low, y_high)],
        "box": (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        "points": drawn,
        "line": _path(sorted((p["x"], p["y"]) for p in drawn if p["front"])),
    }
