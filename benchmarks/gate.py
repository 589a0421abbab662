"""What counts as a regression between two runs, each {suite: {benchmark: what it noted}}. Seconds are never compared.

Ratios are judged by chance, one by one and those of a suite together, so that little on all of them shows; see noise.py.
Slopes are judged by their intervals. Everything else has a stated bound, for each and for the median of a suite. What is
stored and no longer measured, though its suite was run, is a regression too.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .noise import Noted, changes, together

CONFIDENCE = 0.999  # one-sided, for each ratio: among 100, a false alarm in one run of ten
TOGETHER = 0.99  # for the ratios of a suite together: among 5 suites, in one run of twenty
FLOOR = 0.02  # a rise below 2 % is never called a regression
NOTHING = 1e-6  # stands for zero in a factor
FEW = 5  # the median of fewer is not judged
BAD = ("SLOWER", "LARGER", "MISSING")

Suites = Mapping[str, Mapping[str, Noted]]


@dataclass(frozen=True)
class Verdict:
    """One measure in two runs. change: new / stored, or the rise of a slope; allowed: what passes. listed: always shown."""

    name: str
    stored: str
    new: str
    change: float
    allowed: float
    word: str
    sign: str = "×"
    listed: bool = True

    @property
    def bad(self) -> bool:
        return self.word in BAD


@dataclass(frozen=True)
class Kind:
    """Measures that are neither ratios nor slopes, and by what factor each, and their median, may become worse.

    keys: of (benchmark, what it noted), the measures.  slack: what is added to `each`, in their unit.  share: of a speed, so
    that more is better, and what all have in common is that speed's: each is judged against the median.
    """

    what: str
    keys: Callable[[str, Noted], list[str]]
    each: float
    median: float
    word: str
    slack: float = 0.0
    share: bool = False

    def of(self, name: str, noted: Noted) -> dict[str, float]:
        """The measures of this kind that a benchmark noted; the largest of several numbers."""
        found = {key: noted[key] for key in self.keys(name, noted)}
        return {key: float(max(number) if isinstance(number, list) else number) for key, number in found.items()}


def _memory(name: str, noted: Noted) -> list[str]:
    return [key for key in noted if key.endswith("peak_mb") and not key.startswith(("bare_", "their_"))]


def _shares(name: str, noted: Noted) -> list[str]:
    bandwidth = name.startswith("test_bandwidth[")  # elsewhere these keys are milliseconds
    return [key for key in ("analysis", "synthesis", "adjoint") if bandwidth and key in noted]


def _counted(name: str, noted: Noted) -> list[str]:
    return [
        key
        for key in noted
        if key.startswith("bytes") or key in ("growth", "forward", "backward", "rows", "evaluations")
    ]


# Bounds are above what two whole runs of the same code showed on 2 CPU cores, one over the other and the other way round.
# Memory is resident memory, which is rough: one more than × 1.30, but for less than 16 MB; medians of a suite × 1.05.
MEMORY = Kind("peak memory, MB", _memory, each=1.35, median=1.15, word="LARGER", slack=16.0)
# A copy's speed is measured once: the median share changed × 1.5, and single ones × 1.46 against it; × 1.78 in a third run.
SHARES = Kind("share of a copy's speed", _shares, each=1.9, median=2.0, word="SLOWER", share=True)
# Model rows, and bytes of tensors as torch makes them, are counted: they did not change at all.
COUNTED = Kind("counted rows and bytes", _counted, each=1.05, median=1.02, word="LARGER")
KINDS = (MEMORY, SHARES, COUNTED)


def judged(stored: Suites, new: Suites) -> list[Verdict]:
    """Every measure of the suites that both hold. A suite of `new` may be empty: it was run, and measured nothing."""
    found: list[Verdict] = []
    for suite in (suite for suite in stored if suite in new):
        before, after = stored[suite], new[suite]
        found += [*_ratios(suite, before, after), *_slopes(before, after)]
        for kind in KINDS:
            found += _bounded(kind, suite, before, after)
        found += _missing(before, after)
    return found


def _ratios(suite: str, stored: Mapping[str, Noted], new: Mapping[str, Noted]) -> list[Verdict]:
    """Each, and all of the suite together."""
    found = changes(suite, stored, new)
    verdicts = []
    for name, change in found.items():
        most = change.allowed(CONFIDENCE, FLOOR)
        verdicts.append(_timed(name, span(stored[name]), span(new[name]), change.log, most))
    if len(found) > 1:
        whole = together(found.values())
        name = f"{suite}: {len(found)} ratios together"
        verdicts.append(_timed(name, "", "", whole.log, whole.allowed(TOGETHER, FLOOR)))
    return verdicts


def _timed(name: str, stored: str, new: str, log: float, most: float) -> Verdict:
    word = "SLOWER" if log > most else "faster" if log < -most else "same"
    return Verdict(name, stored, new, math.exp(log), math.exp(most), word)


def _slopes(stored: Mapping[str, Noted], new: Mapping[str, Noted]) -> list[Verdict]:
    """Steeper where the new interval lies above the stored one, and the slope above what is expected."""
    verdicts = []
    for name, before in stored.items():
        after = new.get(name, {})
        if "slope" not in before or "slope" not in after:
            continue
        rise = after["slope"] - before["slope"]
        margin = (
            before.get("slope_high", math.inf) - before["slope"] + after["slope"] - after.get("slope_low", -math.inf)
        )
        steeper = rise > margin and after["slope"] > after["expected"][1]
        verdicts.append(Verdict(name, slope(before), slope(after), rise, margin, "SLOWER" if steeper else "same", "+"))
    return verdicts


def _bounded(kind: Kind, suite: str, stored: Mapping[str, Noted], new: Mapping[str, Noted]) -> list[Verdict]:
    """Each measure of a kind, and their median; single ones are listed where they are worse only."""
    verdicts, factors = [], []
    for name in (name for name in stored if name in new):
        before, after = kind.of(name, stored[name]), kind.of(name, new[name])
        for key in (key for key in before if key in after):
            old, now = before[key] * _risen(kind, key, stored[name], new[name]), after[key]
            old, now = max(old, NOTHING), max(now, NOTHING)
            factor = old / now if kind.share else now / old
            factors += [factor] if old > kind.slack else []
            most = kind.each + kind.slack / old
            verdicts.append(_within(f"{name} {key}", f"{before[key]:g}", f"{after[key]:g}", factor, most, kind.word))
    if not verdicts:
        return []
    middle = statistics.median(factors or [1.0])
    if kind.share:
        verdicts = [_within(v.name, v.stored, v.new, v.change / middle, v.allowed, kind.word) for v in verdicts]
    name = f"{suite}: {kind.what}, median of {len(verdicts)}"
    whole = _within(name, "", "", middle, kind.median if len(factors) >= FEW else math.inf, kind.word)
    return [*verdicts, replace(whole, listed=True)]


def _within(name: str, stored: str, new: str, factor: float, most: float, word: str) -> Verdict:
    return Verdict(name, stored, new, factor, most, word if factor > most else "same", listed=factor > most)


def _risen(kind: Kind, key: str, stored: Noted, new: Noted) -> float:
    """How much the memory of the other side of a ratio rose; ours may rise so much too."""
    if kind is not MEMORY or key != "peak_mb":
        return 1.0
    other = next((name for name in ("bare_peak_mb", "their_peak_mb") if stored.get(name) and name in new), None)
    return 1.0 if other is None else max(1.0, new[other] / stored[other])


def measures(name: str, noted: Noted) -> set[str]:
    """What is compared of a benchmark."""
    return {key for key in ("ratio", "slope") if key in noted} | {key for kind in KINDS for key in kind.of(name, noted)}


def _missing(stored: Mapping[str, Noted], new: Mapping[str, Noted]) -> list[Verdict]:
    """Benchmarks that are gone, and measures that they no longer note."""
    verdicts = []
    for name, before in stored.items():
        gone = measures(name, before) - measures(name, new[name]) if name in new else {""}
        verdicts += [Verdict(f"{name} {key}".strip(), "", "–", math.nan, math.nan, "MISSING") for key in sorted(gone)]
    return verdicts


def span(noted: Noted) -> str:
    """Ratio and range of the pairs."""
    return f"{noted['ratio']:.3f}" + (f" ({noted['low']:.3f}–{noted['high']:.3f})" if "low" in noted else "")


def slope(noted: Noted) -> str:
    """Slope and its interval."""
    if "slope_low" not in noted:
        return f"slope {noted['slope']:.2f}"
    return f"slope {noted['slope']:.2f} ({noted['slope_low']:.2f}–{noted['slope_high']:.2f})"
