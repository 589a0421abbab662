"""Declared questions are read with clear errors, hashed, and answered from a long table by the rules that they declare."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pullback.metrics.protocol.conclusion import NEUTRAL
from pullback.metrics.protocol.table import COLUMNS
from pullback.studies.compare import questions
from pullback.studies.compare.answers import DIFFERENCE, across_models, answer, frame
from pullback.studies.compare.questions import Question, declare, parse, read
from pullback.studies.compare.sentences import about_other_models, sentences

ONE = '[[question]]\nname = "a"\nsecond = "pixel"\n'
LOWER = {"dct": 0.3, "haar": 0.302, "pixel": 0.5}  # selection errors; dct and haar are alike


def long(
    errors: dict[str, float] = LOWER,
    *,
    units: int = 40,
    spread: float = 0.01,
    kinds: dict[str, float] | None = None,
    models: tuple[str, ...] = ("m",),
    control: float = 0.5,
    family: str = "away",
) -> pd.DataFrame:
    """Selection errors with noise.  kinds: what each kind of budget adds to the error of dct."""
    rng, rows = np.random.default_rng(0), []
    for model in models:
        for kind, more in (kinds or {"count": 0.0}).items():
            for domain, error in errors.items():
                for name, mean in (("attribution", error + more * (domain == "dct")), ("coefficient", control)):
                    for budget in (0.1, 0.2):
                        scores = mean + spread * rng.normal(size=units)
                        rows += [
                            ("d", model, "ig", domain, family, kind, budget, name, "selection_error", f"{i}", f"{i}", score)
                            for i, score in enumerate(scores)
                        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def verdicts(table: pd.DataFrame, question: Question, **options: object) -> dict[tuple[str, str], str]:
    return {(one.first, one.second): one.verdict for one in answer(table, [question], **options)}  # type: ignore[arg-type]


def test_a_question_finds_better_worse_and_equal() -> None:
    found = verdicts(long(), Question("q", second=("*",)))
    assert found == {("dct", "haar"): "equal", ("dct", "pixel"): "better", ("haar", "pixel"): "better"}
    assert verdicts(long(), Question("q", second=("dct",)))["pixel", "dct"] == "worse"
    higher = Question("q", second=("pixel",), better="higher")
    assert verdicts(long(), higher)["dct", "pixel"] == "worse"
    assert set(verdicts(long(units=19), Question("q")).values()) == {"open"}


def test_the_map_is_set_against_its_control_in_each_domain() -> None:
    question = Question("q", "control", ("attribution",), ("coefficient",))
    found = {one.where["domain"]: one for one in answer(long(), [question])}
    assert {name: one.verdict for name, one in found.items()} == {"dct": "better", "haar": "better", "pixel": "equal"}
    assert found["dct"].contrasts["count"].comparisons == 3
    assert list(found) == ["dct", "haar", "pixel"]  # in the order of the table


def test_a_claim_must_hold_under_every_kind_of_budget() -> None:
    question = Question("q", first=("dct",))
    agree, contrary = {"count": 0.0, "energy": -0.1}, {"count": 0.0, "energy": 0.5}
    weak = {"count": 0.0, "energy": 0.199}
    assert verdicts(long(kinds=agree), question)["dct", "pixel"] == "better"
    assert verdicts(long(kinds=contrary), question)["dct", "pixel"] == "depends on the budget"
    assert verdicts(long(kinds=weak), question)["dct", "pixel"] == "depends on the budget"  # equal by energy
    assert verdicts(long(kinds=contrary), Question("q", first=("dct",), budget_kinds=("count",)))["dct", "pixel"] == "better"
    said = sentences(answer(long(kinds=contrary), [question]))[0]
    assert "Depends on the budget: dct (count +20 points" in said
    assert "energy -30 points" in said


def test_examples_of_one_unit_are_no_units() -> None:
    table = long(units=64)
    table["unit"] = (table["example"].astype(int) // 8).astype(str)
    [one] = answer(table, [Question("q", first=("dct",))])
    assert (one.contrasts["count"].units, one.verdict) == (8, "open")


def test_small_differences_and_missing_budgets_are_dropped_and_counted() -> None:
    table = long()
    sizes = table.drop_duplicates("example").assign(metric=DIFFERENCE, domain="", control="", budget=np.nan, score=5.0)
    sizes.loc[sizes["example"].isin(["3", "4"]), "score"] = 0.01
    [one] = answer(pd.concat([table, sizes]), [Question("q", first=("dct",))])
    assert (one.contrasts["count"].units, one.contrasts["count"].dropped) == (38, 2)
    assert "2 without a usable score were dropped." in sentences([one])[0]
    part = table[~((table["example"] == "7") & (table["budget"] == 0.2) & (table["domain"] == "dct"))]
    assert answer(part, [Question("q", first=("dct",))])[0].contrasts["count"].dropped == 1
    assert answer(part, [Question("q", first=("dct",), budgets=(0.1,))])[0].contrasts["count"].dropped == 0


def test_near_duplicates_are_left_out_of_stars_alone() -> None:
    table = long()
    assert set(verdicts(table, Question("q"), represented=["haar"])) == {("dct", "pixel")}
    assert set(verdicts(table, Question("q", first=("haar",)), represented=["haar"])) == {("haar", "pixel")}
    control = Question("q", "control", ("attribution",), ("coefficient",))
    assert [one.where["domain"] for one in answer(table, [control], ["haar"])] == ["dct", "pixel"]


def test_the_correction_counts_all_contrasts_of_a_question() -> None:
    noisy = long({"pixel": 0.5, "dct": 0.46, **{f"d{i}": 0.5 for i in range(40)}}, spread=0.11, units=25)
    alone = answer(noisy, [Question("q", first=("dct",))])[0]
    among = next(one for one in answer(noisy, [Question("q")]) if one.first == "dct")
    assert alone.contrasts["count"].p == among.contrasts["count"].p
    assert among.p_corrected > alone.p_corrected
    assert (alone.verdict, among.verdict) == ("better", "open")
    assert "could have seen a difference of" in sentences([among])[0]


def test_sentences_name_control_correction_units_and_reach() -> None:
    asked = parse(questions.DEFAULT)
    said = sentences(answer(long(family=NEUTRAL), asked[:2]))
    assert said[0].startswith(f"{asked[0].name} (selection_error, 3 contrasts with coefficient, 40 photos; ")
    assert "p after Holm" in said[0]
    assert "Better: dct (+20 points, " in said[0]
    assert "Equal within ± 2 points: pixel (" in said[0]
    assert "Worse: none." in said[0]
    few = sentences(answer(long(units=12, family=NEUTRAL), asked[:1]))[0]
    assert "12 photos are too few for a claim" in few
    assert "Better" not in few
    assert sentences([]) == []
    assert answer(long(), asked[2:]) == []  # nothing about gains or other methods is in the table


def test_a_metric_that_is_refused_claims_nothing_and_says_why() -> None:
    """Of one method of two; the other one keeps its claims, and of gains each has its own fault."""
    both = pd.concat([long(family=NEUTRAL), long({"dct": 0.4}, family=NEUTRAL).assign(method="sg")], ignore_index=True)
    refused = {("d", "m", "sg"): {"selection_error": "it is noise"}}
    alike = answer(both, parse(questions.DEFAULT))
    assert {one.verdict for one in alike if one.where.get("method") == "sg"} == {"better"}  # without the refusal
    assert "better" in {one.verdict for one in alike if one.question.compare == "method"}
    found = answer(both, parse(questions.DEFAULT), refused=refused)
    touched = [one for one in found if "sg" in {one.where.get("method"), one.first, one.second}]
    assert {(one.verdict, one.refused) for one in touched} == {("open", "sg: it is noise")}
    rest = [one for one in found if one not in touched]
    assert [one.verdict for one in rest] == [one.verdict for one in alike if one.where.get("method") == "ig"]
    said = sentences(found)
    assert "Open: 1, 1 of them since selection_error does not vote there (sg: it is noise)." in said[0]
    assert set(frame(found)["refused"]) == {"", "sg: it is noise"}
    gains = both.assign(metric="gain")
    asked = Question("q", metric="gain", family=NEUTRAL)
    assert not any(one.refused for one in answer(gains, [asked], refused=refused))
    assert any(one.refused for one in answer(gains, [asked], refused={("d", "m", "ig"): {"gain": "it is noise"}}))


def test_a_claim_that_flips_with_the_baseline_is_told() -> None:
    both = pd.concat([long(), long({"dct": 0.7, "pixel": 0.5}).assign(method="ig, baseline=mean")], ignore_index=True)
    [said] = sentences(answer(both, [Question("q", first=("dct",))]))
    assert "Depends on the baseline: dct against pixel in d, m, ig (better with zero, worse with mean)." in said
    [said] = sentences(answer(long(), [Question("q", first=("dct",))]))
    assert "Depends on the baseline" not in said


@pytest.mark.parametrize("kinds", [("count",), ("count", "energy", "bits")])
def test_claims_without_all_kinds_of_budget_are_provisional(kinds: tuple[str, ...]) -> None:
    [said] = sentences(answer(long(kinds=dict.fromkeys(kinds, 0.0)), [Question("q", first=("dct",))]))
    assert f"budgets of equal {', '.join(kinds)};" in said
    assert ("Claims are provisional, without budgets of equal energy and bits." in said) == (len(kinds) == 1)


def test_models_whose_metric_is_refused_are_in_no_interval_over_models() -> None:
    table, asked = long(models=("m", "n", "o")), [Question("q", first=("dct",))]
    [row] = across_models(table, asked, refused={("d", "o", "ig"): {"selection_error": "it is noise"}}).to_dict("records")
    assert row["models"] == 2


def test_several_models_are_cells_and_two_levels() -> None:
    table = long(models=("m", "n", "o"))
    found = answer(table, [Question("q", first=("dct",))])
    assert [one.where["model"] for one in found] == ["m", "n", "o"]
    assert "dct in m (" in sentences(found)[0]
    [row] = across_models(table, [Question("q", first=("dct",))]).to_dict("records")
    assert (row["models"], row["units"]) == (3, 40)
    assert row["low"] < 0.2 < row["high"]
    assert len(across_models(long(), [Question("q")])) == 0
    assert {one.verdict for one in answer(table, [Question("q", "model", ("*",), ("*",))])} == {"equal"}


def test_a_difference_between_models_is_none_of_their_kind() -> None:
    """On 12 models that agree the sentence names the difference; where they disagree, it does not, however many photos."""
    names = tuple("abcdefghijkl")
    agree = long(models=names)
    disagree = agree.copy()
    turned = disagree["model"].isin(names[::2]) & (disagree["domain"] == "dct")
    disagree.loc[turned, "score"] += 0.4
    for table, named in ((agree, True), (disagree, False)):
        [said] = about_other_models(across_models(table, [Question("q", first=("dct",))]))
        assert said.startswith("q, for other models of this kind (bootstrap of 12 models and 40 photos, ")
        assert ("dct against pixel (+20 points" in said) == named
        assert said.endswith("interval: none.") != named
    assert about_other_models(across_models(long(), [Question("q")])) == []


def test_intervals_over_models_are_wider_among_many_contrasts() -> None:
    table = long({"pixel": 0.5, "dct": 0.3, "haar": 0.4}, models=("m", "n", "o", "p"))
    alone, among = (
        next(row for row in across_models(table, [one]).to_dict("records") if row["first"] == "dct")
        for one in (Question("q", first=("dct",)), Question("q"))
    )
    assert alone["mean"] == among["mean"]
    assert among["low"] < alone["low"] < alone["high"] < among["high"]


def test_the_frame_of_answers_is_plain() -> None:
    found = frame(answer(long(family=NEUTRAL), parse(questions.DEFAULT)))
    assert {"question", "verdict", "p_corrected", "detectable", "exploratory_q", "units"} <= set(found)
    assert (found["exploratory_q"] <= found["p_corrected"] + 1e-12).any()
    assert json.loads(found.to_json(orient="records"))
    assert frame([]).empty


def test_tables_that_cannot_be_right_are_refused() -> None:
    table = long()
    for wrong, match in (
        (table.drop(columns="unit"), "it lacks unit"),
        (pd.concat([table, table.iloc[:2]]), "2 stand there again"),
        (table.assign(score="x"), "expected numbers as score"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            answer(wrong, [Question("q")])
    with pytest.raises(ValueError, match="no domain 'dxt' with selection_error and family away; it has dct, haar, pixel"):
        answer(table, [Question("q", first=("dxt",))])
    assert answer(table.iloc[:0], [Question("q")]) == []
    empty = table.assign(score=np.nan)
    assert {one.verdict for one in answer(empty, [Question("q")])} <= {"open"}
    missing = table.assign(domain=table["domain"].where(table["domain"] != "haar"))
    assert ("", "pixel") in verdicts(missing, Question("q"))
    many = pd.DataFrame({name: "" for name in COLUMNS}, index=range(100)).assign(  # noqa: C420
        domain=[f"{i}" for i in range(100)],
        metric="selection_error",
        family="away",
        control="attribution",
        budget=0.1,
        score=1.0,
    )
    with pytest.raises(ValueError, match="asks for 4,950 pairs, at most 2,000"):
        answer(many, [Question("q", second=("*",))])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x = ", "expected TOML"),
        ("", r"expected tables \[\[question\]\]"),
        ("leval = 0.9\n" + ONE, "not known: leval"),
        (ONE + 'nmae = "b"', "expected a name, and of the rest only compare, first"),
        ('[[question]]\ncompare = "domain"', "got 'no name'"),
        (ONE + ONE, "expected different names, got 'a'"),
        (ONE + 'compare = "photo"', "expected compare in domain, control, method, model"),
        (ONE + 'metric = "selektion_error"', "selektion_error"),
        (ONE + "first = 3", "expected a text or a list of texts as first, got 3"),
        (ONE + "first = []", "expected values of domain as first and second"),
        (ONE + "budgets = [2]", "budgets must be a finite number from 0 to 1"),
        (ONE + 'budgets = "all"', "budgets must be a finite number"),
        (ONE + "rope = -1", "rope must be a finite number"),
        (ONE + "level = 95", "level must be a finite number from 0.5"),
        (ONE + 'better = "more"', "expected better in higher, lower"),
        (ONE + 'within = {colour = "red"}', "expected within in domain, control"),
        (ONE + "metric = 3", "expected text as metric"),
    ],
)
def test_files_that_are_wrong_have_one_clear_error(text: str, match: str) -> None:
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        parse(text)
    assert len(str(caught.value)) <= 300


def test_shared_settings_and_single_values_are_taken() -> None:
    text = "level = 0.9\nrope = 0.01\n" + ONE + 'first = "dct"\nbudgets = 0.1\nrope = 0.05\nwithin = {method = "ig"}'
    [found] = parse(text)
    assert (found.level, found.rope, found.first, found.budgets, found.within) == (
        0.9,
        0.05,
        ("dct",),
        (0.1,),
        {"method": ("ig",)},
    )
    assert verdicts(long(), found) == {("dct", "pixel"): "better"}
    assert verdicts(long(), Question("q", within={"method": ("other",)})) == {}


def test_questions_are_declared_before_scores_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "q.toml"
    path.write_text(ONE)
    found = declare(read(path), tmp_path / "run")
    assert found == declare(parse("# comment\n" + ONE), tmp_path / "run")
    held = json.loads((tmp_path / "run" / "questions.json").read_text())
    assert held["sha256"] == found
    assert held["naming"]["level"] == 0.95  # the rule by which a domain is named is declared too
    with pytest.raises(ValueError, match="declares other questions"):
        declare(parse(ONE.replace('"a"', '"b"')), tmp_path / "run")
    with pytest.raises(ValueError, match="there is no file"):
        read(tmp_path / "none.toml")
