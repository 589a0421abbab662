"""What the terminal says of explanations and comparisons, at 80 columns."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pullback.core import terminal
from pullback.metrics.protocol.conclusion import ROTATION
from pullback.metrics.statistics import family
from pullback.studies import Comparison, Explanation, metric_rows
from pullback.studies.compare import scores
from pullback.studies.compare.answers import Answer
from pullback.studies.compare.questions import Question
from pullback.studies.compare.sentences import BOTH_TRUE, sentences
from pullback.studies.report.cautions import about_difference
from pullback.studies.report.folder import read_run
from pullback.studies.report.page import _is_wide
from pullback.studies.report.printed import print_explanation, print_metrics
from pullback.studies.report.printed_comparison import brief, domain_errors, print_comparison


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.console, "_width", 80)


def explained(factor: float = 1.5, difference: float = 4.3, score: float = 5.0) -> Explanation:
    shares = {"dct": {"octave 2": 0.7, "octave 1": 0.3}, "stft": {"octave 2": 0.4, "octave 1": 0.6}}
    totals = {spec: {"octave 2": 5.0, "octave 1": -0.8} for spec in shares}
    hertz = {spec: {"octave 2": "2000–4000 Hz", "octave 1": "4000–8000 Hz"} for spec in shares}
    factors = {"dct": 10 * factor, "stft": factor}
    return Explanation("a.wav", 0, "Crow", score, 0.9, shares, ["a.png"], (), (), hertz, totals, factors, difference)


def printed(capsys: pytest.CaptureFixture[str], *found: Any) -> str:
    print_explanation("toy", *found, Path("out"))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    return " ".join(text.split())


def test_an_explanation_says_what_it_explains(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, explained())
    assert "total Σ a" in text
    assert "│ octave 1 │ 4000–8000 Hz │ 30.0% │ -0.8 │" in text
    assert "explains +4.2 of f(x) - f(x₀) = +4.3; Σ|a| is 15 × |f(x) - f(x₀)|" in text
    assert "Where domains disagree, trust the smallest factor: 1.5 in stft." in text


def test_nothing_is_said_of_cancellation_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cancel" not in printed(capsys, explained(0.11))


def test_sensitivities_have_no_totals(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, dataclasses.replace(explained(), totals={}, cancellation={}))
    assert "total" not in text
    assert "explains" not in text


@pytest.mark.parametrize(
    ("score", "difference", "said"),
    [
        (10.0, 0.1, "is small beside"),
        (0.1, 0.1, ""),
        (-2.0, -3.0, "is negative"),
        (0.0, 0.0, "nothing to attribute"),
        (-9.9, 0.2, "is small beside"),
    ],
)
def test_a_small_or_negative_difference_is_said(score: float, difference: float, said: str) -> None:
    found = about_difference(score, difference)
    assert said in found if said else found == ""


def comparison(folder: Path) -> Comparison:
    run = read_run(folder, "a", folder)
    return Comparison(run.wide, scores.read(folder), [], run.summary, folder, run.summary["files"])


@pytest.mark.parametrize("kind", ["image", "audio", "volume", "series"])
def test_a_comparison_answers_in_order(folders: dict[str, Path], kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict, the errors with their controls, the gain, what they mean, the questions, and where the files are."""
    print_comparison(comparison(folders[kind]))
    text = capsys.readouterr().out
    # a name of the user's, or a path, is not cut
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith(("results in", "skipped", "read with")))
    found = " ".join(text.split())
    places = [found.index(part) for part in ("selection error E of each domain", "E ┃ by |z| ┃ random ┃ gain")]
    places += [found.index(part) for part in ("Verdicts are about E", "control: E of the largest coefficients", "results in ")]
    assert places == sorted(places)
    assert "compacts the signal, not what the model reads" in found
    assert "report.html, results.csv, summary.json, and" in found.rpartition("results in ")[2]
    assert ("photo" in found) is False


def test_errors_are_means_over_units_and_the_gain_is_their_difference(folders: dict[str, Path]) -> None:
    table = scores.read(folders["audio"])
    found = domain_errors(table)
    assert ROTATION not in found.index
    rows = table[(table["metric"] == "selection_error") & (table["control"] == "attribution") & (table["family"] == "away")]
    domain = found.index[0]
    assert found.loc[domain, "E"] == pytest.approx(rows[rows["domain"] == domain].groupby("unit")["score"].mean().mean())
    assert (found["by |z|"] - found["E"]).to_numpy() == pytest.approx(found["gain"].to_numpy())  # one family in a quick run


def answers(metric: str, units: int = 24) -> list[dict[str, Any]]:
    row = {"question": "q", "metric": metric, "model": "m", "budget_kind": "count", "units": units}
    pairs = [("pixel", "dct", 0.13, "better"), ("dct", "dft", -0.2, "worse"), ("dct", "dwt", 0.0, "open")]
    return [row | dict(zip(("first", "second", "mean", "verdict"), pair)) for pair in pairs]


def test_a_question_is_one_line_and_a_larger_gain_is_not_called_better() -> None:
    [line] = brief(answers("selection_error"))
    assert line == "q: of 3 contrasts better 1, worse 1, open 1. In points: dct against dft -20; pixel against dct +13."
    [line] = brief(answers("gain"))
    assert line.startswith("q: of 3 contrasts open 1, larger 1, smaller 1.")
    [line] = brief(answers("gain", units=8), "recordings")
    assert line == "q: 8 recordings are too few for a claim; at least 20 are needed."


def test_a_claim_whose_interval_contains_0_says_why() -> None:
    """Holm's smallest multiplier is 1, Bonferroni's that of all: of the weaker of two claims the interval is the wider one."""
    strong = [0.3 + 0.01 * (i % 3) for i in range(24)]
    weak = [0.3 * (-1) ** i + 0.15 for i in range(24)]
    found = family({"strong": strong, "weak": weak, **{f"s{i}": strong for i in range(6)}})["weak"]
    assert (found.verdict, found.contains_zero) == ("better", True)
    [said] = sentences([Answer(Question("q"), {}, "weak", "pixel", {"count": found}, found.p_corrected)])
    assert f"p = {found.p_corrected:.2g}; {BOTH_TRUE})" in said
    row = {"verdict": found.verdict, "low": found.low, "high": found.high}
    assert _is_wide(row)
    assert not any(map(_is_wide, (row | {"verdict": "open"}, row | {"low": 0.01}, row | {"low": None})))


def test_a_gain_in_a_sentence_is_larger_and_not_better() -> None:
    found = family({"a": [0.3 + 0.01 * (i % 3) for i in range(24)]})["a"]
    [said] = sentences([Answer(Question("q", metric="gain"), {}, "dct", "pixel", {"count": found}, found.p_corrected)])
    assert "Larger: dct (+31 points" in said
    assert "Better" not in said
    assert "which domain is better, selection errors say" in said


def test_metrics_fit_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every metric has a paragraph with its name in full, its formula, and what is better; a wide terminal has the table."""
    rows = list(metric_rows(["gain", "infidelity", "gini"]))
    print_metrics(rows)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    found = " ".join(text.split())
    assert "Compare domains and methods: gain E(ranking by |z - z₀|) - E(ranking by |a|). Higher is better; 24 eval" in found
    assert (
        found.index("Compare methods only")
        < found.index(" infidelity ")
        < found.index("Describe a map")
        < found.index(" gini ")
    )
    monkeypatch.setattr(terminal.console, "_width", 200)
    print_metrics(rows)
    assert "┃ invariance" in capsys.readouterr().out
