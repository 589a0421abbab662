"""The protocol: closed forms, matched budgets, families, its negative controls, and scores that make the false claims."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import pullback as pb
from pullback.attribution import open_engine
from pullback.metrics.protocol import DomainComparison, Protocol, compare_domains
from pullback.metrics.protocol.conclusion import NEUTRAL, ROTATION
from pullback.metrics.protocol.errors import Cell, errors
from pullback.metrics.protocol.rotation import Rotation
from pullback.metrics.protocol.run import Run, Scored, _cosines
from pullback.metrics.protocol.table import COLUMNS
from pullback.studies.compare.scores import as_data, as_scored
from pullback.studies.planted.networks import ClosedForm
from pullback.studies.planted.rivals import picks
from pullback.studies.planted.signals import ROTATED, Recipe

HAAR = "dwt(haar, level=3)"
MENU = ("pixel", "dct", HAAR)
IG = "integrated_gradients(steps=8)"
EXAMPLES = 24


def planted(hidden: str, form: str = "saturating", seed: int = 0, **changes: Any) -> tuple[torch.nn.Module, torch.Tensor]:
    """A closed form that reads the atoms of `hidden`, and signals with loud distractors."""
    other = "pixel" if hidden != "pixel" else "dct"
    recipe = Recipe((1, 64), hidden, other, loudness=2.0, seed=seed, **changes)
    model = ClosedForm(recipe.planted[0], torch.linspace(1, 2, recipe.atoms), form)
    return model, recipe.draw(EXAMPLES, torch.Generator().manual_seed(seed)).x


def compared(hidden: str, menu: Any = MENU, **changes: Any) -> DomainComparison:
    """The comparison of a menu on such signals."""
    model, x = planted(hidden, **changes)
    return compare_domains(model, x, domains=menu, methods=[IG])


@pytest.fixture(scope="module")
def dct() -> DomainComparison:
    """Truth in dct, by a saturating net, with a copy of dct and a random rotation on the menu."""
    menu = {name: name for name in MENU} | {"copy": "dct", "turned": Rotation((1, 64), 9)}
    return compared("dct", menu)


@pytest.mark.parametrize("hidden", ["pixel", HAAR])
@pytest.mark.parametrize("form", ["linear", "quadratic"])
def test_the_planted_domain_is_named(hidden: str, form: str) -> None:
    assert compared(hidden, form=form).named == {IG: hidden}


@pytest.mark.parametrize("hidden", ["pixel", HAAR])
def test_families_that_belong_to_no_domain_find_it_too(hidden: str) -> None:
    asked = Protocol(MENU, methods=[IG], families=("blur", "noise"))
    model, x = planted(hidden)
    found = compare_domains(model, x, domains=asked)
    assert found.conclusions[0].leader == hidden
    assert found.pair(hidden, "dct") == "better"
    assert {"blur", "noise"} < set(found.table["family"])


def test_the_planted_domain_is_named_beside_its_copy_and_a_rotation(dct: DomainComparison) -> None:
    conclusion = dct.conclusions[0]
    assert dct.named == {IG: "dct"}
    assert ("dct", "copy") in conclusion.groups
    assert dct.pair("dct", "copy") == dct.pair("copy", "dct") == "equal"
    assert dct.pair("dct", "turned") == "better"
    assert dct.pair("turned", "dct") == "worse"
    assert "dct carries the decision" in dct.sentences[0]
    assert "24 units" in dct.sentences[0]


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_named_where_the_truth_is_off_the_menu(seed: int) -> None:
    found = compared(ROTATED, seed=seed)
    assert found.named == {IG: None}
    assert "no domain is claimed" in found.sentences[0]


def test_no_smooth_domain_is_named_where_samples_are_permuted() -> None:
    named = []
    for permuted in (True, False):
        recipe = Recipe((1, 128), "dct", "pixel", permuted=permuted)
        model = ClosedForm(recipe.shuffled(recipe.planted[0]), torch.ones(recipe.atoms), "saturating")
        x = recipe.draw(EXAMPLES, torch.Generator().manual_seed(0)).x
        named.append(compare_domains(model, x, domains=MENU, methods=[IG]).named[IG])
    assert named[0] not in ("dct", HAAR)
    assert named[1] == "dct"


@pytest.mark.parametrize(("score", "hidden"), [("gini", ROTATED), ("srg, signed", "dct")])
def test_other_scores_make_false_claims(score: str, hidden: str) -> None:
    """Sparsity names a domain in which nothing is planted, and signed SRG another one than the planted: no guard is idle."""
    model, x = planted(hidden, "linear")
    found = compare_domains(model, x, domains=MENU, methods=[IG], oracle=1)
    built = Protocol(MENU).built((1, 64))
    maps = dict(zip(built, pb.attribute(model, x, method=IG, transform=list(built.values()))))
    chosen = picks(found.evidence[IG, "None"], maps, model, None, x)[score]
    assert found.named[IG] == (None if hidden == ROTATED else hidden)
    assert chosen in MENU if hidden == ROTATED else chosen != hidden


def test_errors_of_a_linear_model_are_sums_of_its_shares() -> None:
    """E = |Σ of a outside S| / mean |f(x) - f(x₀)|, for what is kept and what is left alike."""
    generator = torch.Generator().manual_seed(0)
    x, weights = torch.randn(21, 1, 32, generator=generator).double(), torch.randn(32, generator=generator).double()
    model = ClosedForm(torch.eye(32).double()[:, None], weights)
    found = compare_domains(model, x, domains=("pixel", "dct"), methods=[IG], budgets=(0.1, 0.5))
    for name in ("pixel", "dct"):
        one = pb.attribute(model, x, method=IG, transform=name)
        for number, budget in enumerate((0.1, 0.5)):
            outside = one.values.flatten(1) * ~one.keep_mask(budget).flatten(1)
            expected = outside.sum(1).abs() / one.score_difference.abs().mean()
            evidence = found.evidence[IG, "None"]
            curve = errors(evidence.curves[Cell(name, "attribution", "own", "count")], evidence.differences["score"])
            assert np.abs(curve[:, number] - expected.numpy()).max() < 1e-10


def test_numbers_do_not_depend_on_batch_size_order_or_copies() -> None:
    x = planted("dct")[1].double()
    dense = (
        torch.randn(6, 1, 64, generator=torch.Generator().manual_seed(0)).double() / 8
    )  # no value that is zero but for rounding
    model = ClosedForm(dense, torch.ones(6).double(), "saturating")
    one = compare_domains(model, x, domains=MENU, methods=[IG])
    other = compare_domains(model, x.flip(0), domains=MENU, methods=[IG], batch_size=7)
    first, second = (each.evidence[IG, "None"].curves for each in (one, other))
    assert first.keys() == second.keys()
    assert max(np.abs(first[cell] - second[cell][::-1]).max() for cell in first) < 1e-10
    assert one.named == other.named


def test_crops_of_one_photo_are_one_unit() -> None:
    model, x = planted("dct")
    found = compare_domains(model, x, domains=MENU, methods=[IG], units=[number // 2 for number in range(EXAMPLES)])
    assert found.conclusions[0].checks["pixel"].units == EXAMPLES // 2
    assert found.named == {IG: None}
    assert "fewer than 20" in found.sentences[0]


def test_a_map_of_another_model_is_not_admitted() -> None:
    model, x = planted("dct")
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1)).requires_grad_(False)
    torch.nn.init.normal_(other[1].weight, generator=torch.Generator().manual_seed(0))
    found = compare_domains(_OtherGradient(model, other), x, domains=MENU, methods=["input_x_gradient"], controls=False)
    assert found.named == {"input_x_gradient": None}
    assert any("does not vote" in reason or "more than half" in reason for reason in found.conclusions[0].reasons)


def test_a_protocol_that_is_not_whole_leaves_out_only_what_no_verdict_reads() -> None:
    """Controls of the rotation, errors in own families, and shares of noise. A map of another model is still refused."""
    model, x = planted("dct")
    menu = (*MENU, "dft", "dwt(db4, level=2)")
    whole, less = (compare_domains(model, x, domains=Protocol(menu, [IG], whole=each)) for each in (True, False))
    assert whole.named == less.named == {IG: "dct"}
    assert whole.conclusions[0].checks == less.conclusions[0].checks
    found, other = (each.conclusions[0].admission for each in (less, whole))
    assert found.doses == pytest.approx((*other.doses[::2][:2], other.chance))  # random order stands for a map of noise
    assert other.doses[-1] == pytest.approx(other.chance, abs=0.05)
    every, some = (found.evidence[IG, "None"].curves for found in (whole, less))
    assert all(np.array_equal(curve, every[cell]) for cell, curve in some.items())
    left = {(cell.domain, cell.control) for cell in every.keys() - some.keys()}
    own = {cell for cell in every.keys() - some.keys() if cell.control == "attribution" and cell.domain != ROTATION}
    assert {(cell.family, cell.by) for cell in own} == {("own", "energy"), ("own", "bits")}
    others = {each for each in left if each[0] != ROTATION}
    assert others == {(one, control) for one in menu for control in ("attribution", "noise 0.25", "noise 0.75", "noise 1.0")}
    assert Protocol(menu, whole=False).cost((1, 64)) == Protocol(menu).cost((1, 64)) - 12 * (3 + 3 * 3 + 3 + 5 * (2 + 3))
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1)).requires_grad_(False)
    torch.nn.init.normal_(other[1].weight, generator=torch.Generator().manual_seed(0))
    asked = Protocol(menu, ["input_x_gradient"], controls=False, whole=False)
    reasons = compare_domains(_OtherGradient(model, other), x, domains=asked).conclusions[0].reasons
    assert any("does not vote" in reason or "more than half" in reason for reason in reasons)


def test_the_model_is_read_at_the_ends_once_for_all_domains() -> None:
    model, x = planted("dct")
    read: list[int] = []

    class Counted(torch.nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            read[-1] += int((given == 0).flatten(1).all(1).sum())
            return model(given)

    for menu in (MENU[:2], MENU):
        read.append(0)
        compare_domains(Counted(), x, domains=Protocol(menu, [IG], whole=False, controls=False))
    assert read[0] == read[1] >= EXAMPLES


class _OtherGradient(torch.nn.Module):
    """The values of one model, and the gradients of another."""

    def __init__(self, values: torch.nn.Module, gradients: torch.nn.Module) -> None:
        super().__init__()
        self.values, self.gradients = values, gradients

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        other = self.gradients(x)[:, 0]
        return self.values(x).detach() + other - other.detach()


def test_a_single_coefficient_does_not_count_by_number(dct: DomainComparison) -> None:
    """Of 64 samples, 1 and 2 % are one coefficient: one selection, asked twice, that cannot be several atoms."""
    [evidence] = dct.evidence.values()
    assert evidence.several == (2, 3, 4, 5)
    for by, first in (("count", 2), ("energy", 0), ("bits", 0)):
        curve = evidence.curves[Cell("dct", "attribution", "pixel", by, "score")]
        expected = errors(curve, evidence.differences["score"])[:, first:].mean(1)
        np.testing.assert_allclose(evidence.error("dct", "attribution", ["pixel"], by, "score"), expected, rtol=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize(("budgets", "counted"), [((0.01, 0.05), (1,)), ((0.01, 0.02), ()), ((0.05, 0.1), (0, 1))])
def test_where_all_budgets_select_a_single_coefficient_all_count(budgets: tuple[float, ...], counted: tuple[int, ...]) -> None:
    model, x = planted("dct")
    found = compare_domains(model, x, domains=MENU[:2], methods=[IG], budgets=budgets, kinds=("count",), controls=False)
    [evidence] = found.evidence.values()
    assert evidence.several == counted
    curve = evidence.curves[Cell("dct", "attribution", "pixel", "count", "score")][:, list(counted) or slice(None)]
    expected = errors(curve, evidence.differences["score"]).mean(1)
    np.testing.assert_allclose(evidence.error("dct", "attribution", ["pixel"], "count", "score"), expected, rtol=1e-12)


def test_every_number_is_in_the_long_table(dct: DomainComparison) -> None:
    table = dct.table
    assert list(table.columns) == list(COLUMNS)
    differences = table["metric"] == "score_difference"
    assert differences.sum() == EXAMPLES
    model, x = planted("dct")
    np.testing.assert_allclose(table[differences]["score"], (model(x) - model(torch.zeros_like(x))).numpy(), atol=1e-5)
    table = table[~differences]
    assert set(table["budget_kind"]) == {"count", "energy", "bits"}
    assert set(table["family"]) == {"own", "away", NEUTRAL, *MENU, "copy", "turned"}
    assert {"attribution", "coefficient", "coarse_first", "random", "random_in_quantile"} <= set(table["control"])
    assert table["score"].notna().all()
    own = table.query("domain == 'dct' and control == 'attribution' and metric == 'selection_error' and budget_kind == 'count'")
    foreign = own[~own["family"].isin(["own", "away"])].groupby(["example", "budget"])["score"].mean()
    away = own[own["family"] == "away"].set_index(["example", "budget"])["score"]
    pd.testing.assert_series_equal(foreign, away.sort_index(), check_index_type=False)
    assert "dct" not in set(own["family"])


def test_kept_and_removed_shares_are_the_halves_of_the_error() -> None:
    """E times the mean |f(x) - f(x₀)| is the mean of |kept share - 1| and |removed share|, times its own |f(x) - f(x₀)|."""
    model, x = planted("dct")
    table = compare_domains(model, x, domains=("pixel", "dct"), methods=[IG], budgets=[0.1], kinds=("count",)).table  # type: ignore[arg-type]
    keys = ["domain", "control", "example"]
    own = table[table["family"] == "own"].pivot(index=keys, columns="metric", values="score").reset_index("example")
    size = table[table["metric"] == "score_difference"].set_index("example")["score"].abs()
    halves = ((own["kept_share"] - 1).abs() + own["removed_share"].abs()) / 2 * own["example"].map(size)
    known = own["selection_error"].notna()
    assert known.sum() > 2 * EXAMPLES
    np.testing.assert_allclose(halves[known], own["selection_error"][known] * size.mean(), rtol=1e-4)


@pytest.mark.parametrize("examples", [1, 3])
def test_cosines_of_large_signals_in_single_precision_are_cosines(examples: int) -> None:
    """150,000 samples: products that are summed in single precision are not symmetric, or exceed 1."""
    x = torch.randn(examples, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    domains = ["pixel", "dct", *(f"dwt({name}, level=3)" for name in ("haar", "db4", "sym8", "bior4.4", "coif3"))]
    maps = pb.attribute(lambda x: x.tanh().flatten(1).sum(1), x, method="input_x_gradient", transform=domains)
    found = _cosines(maps)
    assert np.abs(found - found.transpose(0, 2, 1)).max() < 1e-12
    assert np.abs(found).max() <= 1 + 1e-12


def test_the_oracle_of_a_class_is_that_of_the_example_alone() -> None:
    model, x = planted("dct")

    class TwoClasses(torch.nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return torch.stack([model(given), -model(given)], 1)

    asked: dict[str, object] = {"domains": MENU[:2], "methods": [IG], "controls": False, "budgets": (0.02, 0.05), "oracle": 1}
    found = [compare_domains(TwoClasses(), part, 0, **asked).evidence[IG, "None"].curves for part in (x[:1], x[:3])]  # type: ignore[arg-type]
    cells = [cell for cell in found[0] if cell.control == "oracle"]
    assert {cell.answer for cell in cells} == {"margin"}
    for cell in cells:
        np.testing.assert_allclose(found[0][cell][0], found[1][cell][0], rtol=1e-5, atol=1e-5)


def test_the_oracle_is_a_control_of_the_first_examples_that_joined_batches_keep() -> None:
    """It selects better than the map, in the budgets that it reaches; with a random one in its place it would not."""
    model, x = planted("dct")
    asked: dict[str, object] = {"domains": ("pixel", "dct"), "methods": [IG], "controls": False, "budgets": (0.02, 0.05, 0.5)}
    found = compare_domains(model, x, oracle=3, **asked)  # type: ignore[arg-type]
    table = found.table.query("metric == 'selection_error' and budget_kind == 'count' and family == 'own'")
    oracle = table[table["control"] == "oracle"]
    assert set(oracle["example"]) == {0, 1, 2}
    assert set(oracle["budget"]) == {0.02, 0.05}
    first = table[table["example"].isin([0, 1, 2]) & (table["budget"] < 0.1)]
    means = first.groupby(["domain", "control"])["score"].mean().unstack()
    assert (means["oracle"] <= means["attribution"] + 1e-9).all()
    assert (means["oracle"] < means["random"] - 0.1).all()
    protocol, batches = Protocol(("pixel", "dct"), controls=False, budgets=(0.02, 0.05), oracle=1), []
    built = protocol.built((1, 64))
    run = Run(protocol, built, protocol.removed(built))
    for part, few in ((x[:2], 1), (x[2:4], 0)):
        maps = pb.attribute(model, part, method=IG, transform=list(built.values()))
        with open_engine(model, part) as engine:
            batches.append(run.judge(dict(zip(built, maps)), {}, engine, few))
    whole = Scored.joined(batches)
    curve = next(curve for cell, curve in whole.curves.items() if cell.control == "oracle")
    assert np.isfinite(curve).all((1, 2)).tolist() == [True, False, False, False]
    again = as_scored([json.loads(json.dumps(as_data(whole, place))) for place in range(4)], protocol)
    assert all(np.array_equal(again.curves[cell], one, equal_nan=True) for cell, one in whole.curves.items())
    assert again.several == whole.several == (1,)
