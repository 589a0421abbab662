"""Reports export, laws of methods run under pytest, and the matrix shows where it differs from the literature."""

import json

import pandas as pd
import pytest
import torch
from support.subjects import ESTIMATORS, normal
from torch import Tensor, nn

import pullback as pb
from pullback.axioms.rewrites.modules import small_network
from pullback.studies.axiom_matrix.figure import figure, page
from pullback.studies.axiom_matrix.literature import TABLE, expected
from pullback.studies.axiom_matrix.matrix import attempt, cells, check_method, every_method, to_frame
from pullback.studies.axiom_matrix.subject import Subject


def subject() -> Subject:
    return Subject(small_network((1, 8)).double(), normal(1, 1, 8), 0)


def test_a_report_prints_and_exports() -> None:
    report = check_method(subject(), "gradient")
    assert "BROKEN  completeness" in str(report)
    data = json.loads(report.to_json())
    assert data["findings"][0]["verdict"] == "BROKEN"
    assert data["findings"][0]["counterexample"]["f(x)"] is not None
    assert data["evaluations"] == report.evaluations == sum(f.evaluations for f in report) > 0
    assert all(f.tolerance_source and f.source and f.statement for f in report if f.holds is not None)
    page = report.to_html()
    assert page.count("<tr") == len(report.findings) + 1
    assert "counterexample" in page


def test_html_is_escaped() -> None:
    report = pb.axioms.AxiomReport("<b>", (pb.axioms.Finding("a", True, 0.0, 1.0, "x < y"),), ("1 < 2",))
    assert "<b>" not in report.to_html()
    assert "x &lt; y" in report.to_html()
    assert "note: 1 < 2" in str(report)


def test_a_tolerance_of_the_callers_replaces_the_measured_one() -> None:
    strict = pb.axioms.check(subject().model, subject().x, 0, method="integrated_gradients", tolerance=1e-30)
    assert strict.holds("completeness") is False
    assert strict["completeness"].tolerance_source.startswith("given by the caller")
    loose = pb.axioms.check(subject().model, subject().x, 0, method="gradient", tolerance=1e9, axioms=["affine_invariance"])
    assert loose.holds("affine_invariance")


def half(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    z = z.detach().requires_grad_()
    return (z - z0) * torch.autograd.grad(f(z).gather(1, target[:, None]).sum(), z)[0] / 2


@pb.axioms.parametrize(["gradient", pb.attribution.InputXGradient, pb.transforms.get("dct", shape=(1, 6))])
def test_laws_of_estimators_and_transforms(law) -> None:  # type: ignore[no-untyped-def]
    law()


@pb.axioms.parametrize(ESTIMATORS)
def test_every_estimator_keeps_what_it_claims(law) -> None:  # type: ignore[no-untyped-def]
    law()


@pb.axioms.parametrize(
    [half],
    expected_failures={
        "completeness": "a Taylor term",
        "sensitivity": "a gradient at x",
        "input_shift_invariance": "the baseline is zero",
    },
)
def test_laws_of_a_callable(law) -> None:  # type: ignore[no-untyped-def]
    law()


def test_expected_failures_must_fail_and_others_must_not() -> None:
    known = {"completeness": "", "sensitivity": "", "input_shift_invariance": "", "dummy": "thought to fail"}
    (case,) = pb.axioms.parametrize([half], expected_failures=known).mark.args[1]
    with pytest.raises(AssertionError, match=r"expected to fail but kept: \['dummy'\]"):
        case.values[0]()
    (case,) = pb.axioms.parametrize([half]).mark.args[1]
    with pytest.raises(AssertionError, match=r"unexpected: .*completeness"):
        case.values[0]()


def matrix(methods: list[str]) -> pd.DataFrame:
    """Two axioms of these methods in two domains."""
    every = cells(["small"], methods, ["pixel", "dct"])
    return to_frame({cell: attempt(cell, subject(), ["completeness", "dummy"]) for cell in every})


def test_the_matrix_holds_verdicts_and_the_literature() -> None:
    table = matrix(["gradient", "integrated_gradients(steps=32)", "nonsense"])
    assert len(table) == 3 * 2 * 2
    first = table.iloc[0]
    assert (first["verdict"], first["literature"], first["agrees"]) == ("BROKEN", "BROKEN", True)
    assert set(table[table.method == "nonsense"]["verdict"]) == {"not applicable"}
    assert "unknown" in table[table.method == "nonsense"]["reason"].iloc[0].lower()


def test_the_figure_and_the_page_show_every_verdict() -> None:
    table = matrix(["gradient"])
    table.loc[0, "agrees"] = False
    (axis,) = figure(table).axes
    assert axis.get_title(loc="left") == "small; strips in each cell: pixel, dct"
    assert [text.get_text() for text in axis.texts] == ["✗", "✓"]
    assert len(axis.patches) == 2 * 2 + 1
    shown = page(table)
    assert shown.count("<td class=") == 4
    assert shown.count("differs") == 2  # the style and the cell
    assert "small, dct" in shown


def test_captum_methods_are_found_by_name() -> None:
    pytest.importorskip("captum")
    assert check_method(subject(), "captum.Saliency", axioms="linearity").holds("linearity") is False
    assert {"gradient", "captum.LRP"} <= set(every_method())
    with pytest.raises(ValueError, match=r"captum\.DeepLift"):
        check_method(subject(), "captum.Saliencyy")
    costly = Subject(small_network((1, 900)), torch.ones(1, 1, 900), 0)
    report = check_method(costly, "captum.ShapleyValueSampling", axioms="dummy")
    assert "22,500 model evaluations" in report["dummy"].reason


def test_the_literature_has_each_entry_once() -> None:
    keys = [(entry.method, entry.axiom) for entry in TABLE]
    assert len(keys) == len(set(keys))
    assert all(entry.axiom in pb.axioms.NAMES and entry.source for entry in TABLE)
    assert expected("gradient", "completeness").holds is False
    assert expected("gradient", "coordinate_consistency") is None
    assert isinstance(pd.DataFrame(TABLE), pd.DataFrame)


def test_a_method_that_raises_on_every_law_fails_under_pytest() -> None:
    def three(f: object, z: object, target: object) -> None:
        """It lacks the argument z0."""

    (case,) = pb.axioms.parametrize([three]).mark.args[1]
    with pytest.raises(AssertionError, match="no law could be measured"):
        case.values[0]()


@pytest.mark.parametrize(("factor", "hint"), [(-1.0, True), (-0.5, False), (2.0, False)])
def test_a_counterexample_prints_its_numbers_and_only_a_wrong_sign_is_called_one(factor: float, hint: bool) -> None:
    weight = torch.arange(1.0, 65).double()
    model = lambda x: (x.flatten(1) * weight).sum(1, keepdim=True)
    method = lambda f, z, target, z0: factor * (z - z0) * weight.reshape(1, 64)
    x = torch.linspace(1, 2, 128).double().reshape(2, 1, 64)
    found = pb.axioms.check(model, x, 0, method=method, axioms="completeness")["completeness"]
    assert found.holds is False
    assert ("the sign is wrong" in found.reason) == hint
    assert str(found.counterexample).endswith("'dtype': 'float64', 'x': 1 × 64 numbers}")
    assert found.counterexample["x"] == x[found.counterexample["example"]].tolist()
    assert len(str(found)) < 1500
