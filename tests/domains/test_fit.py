"""`fit_domain`: splits by group, no leak into the part that judges, controls, files, and refusals."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.subjects import normal
from torch import Tensor, nn

import pullback as pb
from pullback.domains import Family, Objective, Pairs, Streams, contrast, fit_domain, randomise, selection_error
from pullback.domains.families import Candidate, Menu, families, get_family
from pullback.domains.judge import Judge
from pullback.domains.objectives import get_objective, objectives
from pullback.transforms import BlockLinear, Lattice, Transform, get, lattice_angles

SHAPE = (1, 16)
WAVE = get("dct", SHAPE)


def low(x: Tensor) -> Tensor:
    """Reads two frequencies."""
    return WAVE(x)[:, 0, 1:3].pow(2).sum(1)


def pairs(count: int = 24, groups: int = 8) -> Pairs:
    x = normal(count, *SHAPE)
    return Pairs.of(pb.attribute(low, x, method="input_x_gradient"), [f"photo {i % groups}" for i in range(count)])


@dataclass(frozen=True)
class Spy(Family):
    """Notes which examples it is given."""

    name = "spy"
    seen: list[Pairs] = field(default_factory=list)

    def candidates(self, pairs: Pairs, objective: Objective, seed: int = 0) -> Iterator[Candidate]:
        self.seen.append(pairs)
        yield "dct", WAVE


def test_no_group_is_fitted_chosen_and_judged_at_once() -> None:
    data, spy = pairs(), Spy()
    found = fit_domain(Streams(data), spy, folds=4)
    fitted = [set(one.group.tolist()) for one in spy.seen[:-2:3]]  # three searches in each of four folds, then two more
    assert len(fitted) == 4
    for fold, groups in enumerate(fitted):
        judged = set(found.judged[found.judged["fold"] == fold]["group"])
        assert len(judged) == 2
        assert len(groups) == 4
        assert not groups & judged
    assert sorted(found.judged["example"]) == list(range(24))
    for part in found.judged.groupby("group"):
        assert part[1]["fold"].nunique() == 1


def test_the_searches_differ_only_in_the_covectors() -> None:
    data, spy = pairs(), Spy()
    fit_domain(Streams(data, randomised=Streams(data)), spy, folds=4)
    real, twin, shuffled, randomised = spy.seen[:4]
    assert torch.equal(twin.covector, twin.displacement)
    assert twin.blind
    assert all(torch.equal(one.displacement, real.displacement) for one in (twin, shuffled, randomised))
    whole = data.shuffled(0)
    taken = (whole.covector[:, None] == data.covector[None]).flatten(2).all(2).float().argmax(1)
    assert bool((data.group[taken] != data.group).all())


def test_the_domain_that_the_model_reads_is_found_and_counts() -> None:
    found = fit_domain((low, normal(48, *SHAPE)), ["pixel", "dct", "dwt(haar, level=3)"], folds=4, method="input_x_gradient")
    assert found.transform.spec == "dct"
    assert found.counts
    assert found.against("twin")["low"] > 0
    assert str(found).count("counts") == 1
    assert found.not_beaten == ["shuffled"]  # covectors of other signals read the same two frequencies
    assert str(found).endswith("what controls find: shuffled.")
    assert found.settings["judge"] == "selection error"


def test_a_fit_without_a_difference_does_not_count() -> None:
    """Where the family has one member, the fitted domain is its twin, and nothing can be found."""
    found = fit_domain(Streams(pairs()), ["dct"], folds=4)
    assert not found.counts
    assert found.against("twin")["difference"] == 0
    assert "does not count" in str(found)


def test_the_same_seed_gives_the_same_numbers_and_another_one_other_folds() -> None:
    run = lambda seed: fit_domain(Streams(pairs()), "block_klt(block=4)", "l1", folds=3, seed=seed)
    one, two, other = run(0), run(0), run(1)
    assert one.judged.equals(two.judged)
    assert torch.equal(one.transform.matrices["block"], two.transform.matrices["block"])  # type: ignore[union-attr, operator]
    assert not one.judged["fold"].equals(other.judged["fold"])


OPTIONS = {"lattice": "(steps=2, level=2)", "subband_klt": "(levels=[2])", "packets": "(level=2)", "block_klt": "(block=4)"}


@pytest.mark.parametrize("name", families.names())
def test_every_family_runs_and_its_members_are_orthonormal(name: str) -> None:
    made = get_family(name + OPTIONS.get(name, ""))
    for data in (pairs(), pairs().without_model()):
        for how, T in made.candidates(data, get_objective("l1")):
            assert pb.transforms.TransformClaim.ORTHOGONAL in T.claims, how
            torch.testing.assert_close(data.values(T).flatten(1).sum(1), data.total)


@pytest.mark.parametrize("name", objectives.names())
def test_every_objective_is_smaller_where_the_model_reads(name: str) -> None:
    cost, data = get_objective(name), pairs()
    there, elsewhere = (float(cost.costs(get(spec, SHAPE), data).mean()) for spec in ("dct", "pixel"))
    assert there < elsewhere
    blind = data.without_model()
    assert bool(cost.costs(WAVE, blind).isfinite().all())


@pytest.mark.parametrize("name", objectives.names())
def test_every_objective_trains_a_lattice(name: str) -> None:
    """Its smooth form has a finite derivative in the angles, also where values are 0, and steps along it lower it."""
    x = normal(16, *SHAPE).cumsum(-1)
    data = Pairs(x, x.roll(1, -1), x, torch.ones(16), torch.arange(16))
    data.displacement[0] = 0
    cost, build = get_objective(name), lambda angles: Lattice(SHAPE, angles, 2)
    start = torch.tensor(lattice_angles("db2")).double()
    for part in (data, data.without_model()):
        angles = start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(cost.smooth(build(angles), part), angles)
        assert bool(slope.isfinite().all())
        step = 1e-4 * slope.sign()
        assert float(cost.smooth(build(start - step), part)) <= float(cost.smooth(build(start + step), part))


def test_selection_objective_is_the_selection_error_of_a_linear_model() -> None:
    weight = normal(16)
    f = lambda x: x.flatten(1) @ weight
    data = Pairs.of(pb.attribute(f, normal(5, *SHAPE), method="input_x_gradient"))
    measured = selection_error(f, data, {"dct": WAVE}, budgets=(0.1, 0.5))["dct"]
    torch.testing.assert_close(measured, get_objective("selection(budgets=[0.1, 0.5])").costs(WAVE, data))


def test_the_selection_error_of_a_network_needs_both_halves() -> None:
    """x_S = x and nothing left: 0; nothing selected of what f reads: ½ (1 + 1)."""
    f = lambda x: x.flatten(1)[:, 0].square()
    x = torch.tensor([[[3.0, 0.0, 0.0, 1.0]]]).double()
    data = Pairs.of(pb.attribute(f, x))
    pixel = get("pixel", (1, 4))
    assert selection_error(f, data, {"pixel": pixel}, budgets=(0.25,))["pixel"].tolist() == pytest.approx([0.0])
    wrong = replace(data, covector=torch.tensor([[[0.0, 0.0, 0.0, 1.0]]]).double())
    assert selection_error(f, wrong, {"pixel": pixel}, budgets=(0.25,))["pixel"].tolist() == pytest.approx([1.0])


def test_groups_and_not_examples_are_the_units_of_an_interval() -> None:
    worse, group = np.repeat([1.0, 2.0, 3.0, 4.0], 10), np.repeat(np.arange(4), 10)
    found = contrast(np.zeros(40), worse, group)
    assert (found["groups"], found["difference"]) == (4, 2.5)
    assert found["low"] == pytest.approx(2.5 - 3.182 * np.std([1, 2, 3, 4], ddof=1) / 2, abs=1e-3)
    assert found["p"] == pytest.approx(2 / 16)
    assert contrast(np.zeros(40), worse, np.arange(40))["low"] > found["low"]  # the control: examples taken for units
    assert np.isnan(contrast(np.zeros(3), np.ones(3), np.zeros(3))["detectable"])


def test_settings_say_what_was_asked_for() -> None:
    data, objective = Streams(pairs()), get_objective("selection(budgets=[0.1])")
    found = fit_domain(data, "menu(specs=[dct, pixel])", "selection(budgets=[0.1])", folds=3)
    told = {name: found.settings[name] for name in ("family", "asked", "objective", "candidates")}
    spec = "selection(budgets=[0.1])"
    assert told == {"family": "menu", "asked": "menu(specs=[dct, pixel])", "objective": spec, "candidates": 2}
    assert get_objective(told["objective"]) == objective
    assert fit_domain(data, ["dct"], objective, folds=3).settings["objective"] == repr(objective)
    assert fit_domain(data, ["dct"], get_objective("l1"), folds=3).settings["objective"] == "l1"


def test_few_groups_count_for_nothing() -> None:
    data = pairs(24, groups=24)
    found = fit_domain(Streams(data), ["dct", "pixel"], folds=4)
    sure = lambda groups: replace(found, contrasts=found.contrasts.assign(low=0.1, groups=groups))
    assert sure(20).counts
    assert not sure(19).counts
    assert sure(19).not_beaten == ["shuffled"]
    assert not sure(20).not_beaten


def test_a_randomised_copy_keeps_the_sizes_and_leaves_the_model_alone() -> None:
    net = nn.Sequential(nn.Linear(16, 4), nn.Linear(4, 1)).double()
    before = [p.clone() for p in net.parameters()]
    twin = randomise(net, 1)
    assert all(torch.equal(one, two) for one, two in zip(net.parameters(), before))
    assert not torch.equal(twin[0].weight, net[0].weight)
    assert torch.equal(twin[0].weight.flatten().sort().values, net[0].weight.flatten().sort().values)


def test_targets_follow_their_examples() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).double().eval()
    x, target = normal(12, *SHAPE), [0, 1, 2] * 4
    found = fit_domain((net, x), ["dct"], target=target, folds=3, method="input_x_gradient")
    data = Pairs.of(pb.attribute(net, x, target, method="input_x_gradient"))
    expected = selection_error(net, data, {"dct": WAVE}, target)["dct"]
    torch.testing.assert_close(torch.tensor(found.judged["fitted"].to_numpy()), expected.detach())


@pytest.mark.parametrize("name", families.names())
def test_a_saved_result_builds_its_transform_again(name: str, tmp_path: Path) -> None:
    found = fit_domain(Streams(pairs()), name + OPTIONS.get(name, ""), folds=3)
    found.save(tmp_path)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["shape"] == [1, 16]
    x = normal(1, *SHAPE)
    for kept, T in (("transform", found.transform), ("twin", found.twin)):
        again = get(settings[kept], SHAPE)
        assert torch.equal(again(x), T(x))
        assert again.claims == T.claims
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["candidates.csv", "contrasts.csv", "judged.csv"]


@pytest.mark.parametrize("shape", [(2, 64), (3, 16, 16), (1, 8, 8, 8)])
def test_families_take_signals_of_every_kind(shape: tuple[int, ...]) -> None:
    x = normal(6, *shape)
    data = Pairs(x, x.roll(1, -1), x, torch.ones(6).double(), torch.arange(6))
    specs = ["menu", "packets(level=2, wavelets=[haar])", "block_klt(weights=[[1, 1, 0]])", "subband_klt(levels=[2])"]
    for spec in [*specs, "lattice(wavelets=[db2], steps=1, level=2, each=axis)"]:
        made = list(get_family(spec).candidates(data, get_objective("l1")))
        assert made, spec
        for how, T in made:
            assert T.shape == shape
            torch.testing.assert_close(data.values(T).flatten(1).sum(1), data.total, msg=how)


def test_products_of_one_vector_for_each_axis_are_found_where_the_model_reads_them() -> None:
    """Their number of parameters is small, so that few examples suffice."""
    rows, columns = (torch.linalg.qr(normal(4, 4, seed=seed)).Q for seed in (1, 2))
    hidden = BlockLinear((1, 8, 8), torch.kron(rows, columns), 4)
    read = lambda x: hidden(x)[:, 0, ::4, ::4].pow(2).flatten(1).sum(1)  # the first atom of every block
    data = Pairs.of(pb.attribute(read, normal(8, 1, 8, 8), method="input_x_gradient"))
    made = dict(get_family("block_klt(block=4, overlap=false, weights=[[1, 0, 0]])").candidates(data, get_objective("l1")))
    near = {how: float((T.matrices["block"][0] @ hidden.matrices["block"][0]).abs()) for how, T in made.items()}  # type: ignore[union-attr, operator, index]
    assert len(near) == 2
    (full, product) = near.values()
    assert product > 0.95 > full
    other = pairs()
    assert len(list(get_family("block_klt(block=4)").candidates(other, get_objective("l1")))) == 18  # one axis: no products


def test_blocks_may_differ_along_the_axes() -> None:
    x = normal(6, 1, 8, 12)
    data = Pairs(x, x.roll(1, -1), x, torch.ones(6).double(), torch.arange(6))
    made = list(
        get_family("block_klt(block=[[4, 6], [2, 3], 5, [4]], weights=[[1, 1, 0]])").candidates(data, get_objective("l1"))
    )
    assert {T.block for _, T in made} == {(4, 6), (2, 3)}  # type: ignore[attr-defined]
    assert {T.block for _, T in get_family("block_klt").candidates(data, get_objective("l1"))} == {(4, 4)}  # type: ignore[attr-defined]


def test_the_gain_is_what_attributions_add_to_the_size_of_coefficients() -> None:
    """Two coefficients are read among louder ones, so |z - z₀| selects the wrong ones."""
    x = WAVE.inverse(WAVE(normal(24, *SHAPE)) * torch.tensor([1.0, 1, 1] + [4] * 13))
    found = fit_domain((low, x), ["dct"], folds=3, method="input_x_gradient")
    assert found.judged["coefficient"].mean() > 2 * found.judged["fitted"].mean()
    assert found.against("coefficient")["low"] > 0
    assert "coefficient" not in found.not_beaten
    data = Pairs.of(pb.attribute(low, x, method="input_x_gradient"))
    expected = selection_error(low, data, {"dct": WAVE}, ranking="coefficient")["dct"]
    assert found.judged["coefficient"].to_numpy() == pytest.approx(expected.numpy())
    assert "coefficient" not in fit_domain(Streams(data), ["dct"], folds=3).judged  # no model, no gain


@dataclass(frozen=True)
class Misled(Objective):
    """Prefers what reads nothing of the model: large Σ|a|."""

    name = "misled"

    def each(self, a: Any) -> Tensor:
        return -a.a.abs().sum(1)


def test_the_model_chooses_from_a_shortlist_but_never_for_the_twin() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 1)).double().eval()
    with torch.no_grad():
        net[1].weight.copy_(WAVE.inverse(torch.eye(16).double()[1:2, None])[0])
    x, specs = normal(24, *SHAPE), ["pixel", "dct", "dwt(haar, level=3)"]
    run = lambda shortlist: fit_domain((net, x), specs, Misled(), folds=3, shortlist=shortlist, method="input_x_gradient")
    blind, seeing = run(0), run(3)
    assert blind.transform.spec != "dct"
    assert seeing.transform.spec == "dct"
    assert seeing.twin.spec == blind.twin.spec
    assert seeing.judged["fitted"].mean() < blind.judged["fitted"].mean()
    rows = seeing.candidates[seeing.candidates["search"] == "twin"]
    assert rows["model"].isna().all()
    asked = seeing.candidates[seeing.candidates["search"].isin(["fitted", "shuffled", "randomised"])]
    assert asked["model"].notna().all()
    with pytest.raises(ValueError, match="asks the model"):
        fit_domain(Streams(pairs()), ["dct"], folds=3, shortlist=2)


def test_progress_is_reported() -> None:
    told: list[tuple[int, int]] = []
    fit_domain(Streams(pairs()), ["dct"], folds=3, progress=lambda done, planned: told.append((done, planned)))
    assert told[-1] == (11, 11)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


class Nothing(Menu):
    """A family without a member."""

    name = "nothing"

    def candidates(self, pairs: Pairs, objective: Objective, seed: int = 0) -> Iterator[tuple[str, Transform]]:
        return iter(())


def test_bad_arguments_get_one_clear_error() -> None:
    data = Streams(pairs())
    for call, said in (
        (lambda: fit_domain(data, "wavelets"), "Unknown family"),
        (lambda: fit_domain(data, objective="l3"), "Unknown objective"),
        (lambda: fit_domain(data, folds=2), "at least 3"),
        (lambda: fit_domain(data, folds=9), "at least 9 groups for 9 folds, got 8"),
        (lambda: fit_domain(data, method="gradient"), "only with"),
        (lambda: fit_domain(pb.attribute(low, normal(3, *SHAPE), method="rise(masks=4)")), "keeps no covector"),
        (lambda: fit_domain(3), "expected an Attribution"),  # type: ignore[arg-type]
        (lambda: Pairs.of(pb.attribute(low, normal(3, *SHAPE)), [1, 2]), "one number or name for each of 3 examples"),
        (lambda: fit_domain(data, Nothing()), "has no member"),
        (lambda: fit_domain(data, "block_klt >> menu"), "expected one family"),
    ):
        with pytest.raises((ValueError, TypeError), match=said) as error:
            call()
        assert len(str(error.value)) <= 300


def test_domains_that_are_the_same_are_judged_once() -> None:
    """Matrices that differ are not taken for one another, although their spec does not name them."""
    calls: list[int] = []

    def counted(x: Tensor) -> Tensor:
        calls.append(len(x))
        return low(x)

    data = Pairs.of(pb.attribute(low, normal(6, *SHAPE), method="input_x_gradient"))
    judge = Judge(Streams(data, None, counted), get_objective("l1"))
    blocks = [BlockLinear(SHAPE, torch.linalg.qr(normal(4, 4, seed=seed)).Q, 4) for seed in (0, 0, 1)]
    members, domains = torch.arange(6), {"a": WAVE, "b": get("dct", SHAPE), "c": blocks[0], "d": blocks[1], "e": blocks[2]}
    found, total = judge.errors(data, members, domains), sum(calls)
    assert torch.equal(found["a"], found["b"])
    assert torch.equal(found["c"], found["d"])
    assert not torch.equal(found["c"], found["e"])
    calls.clear()
    alone = {name: judge.errors(data, members, {name: T})[name] for name, T in domains.items()}
    assert all(torch.equal(found[name], alone[name]) for name in domains)
    assert total < 0.8 * sum(calls)
