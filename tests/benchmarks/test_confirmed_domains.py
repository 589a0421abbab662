"""Fitted domains are confirmed on pictures that their search has not had."""

from dataclasses import replace

import pytest
import torch
from support.subjects import normal

from benchmarks.scripts.confirmed_domains import (
    CONFIRMATIONS,
    Confirmation,
    check_disjoint,
    check_stored,
    final,
    summary,
    unfitted,
)
from benchmarks.subjects.searched import PICTURES
from pullback.domains import Streams, concluded, fit_domain
from pullback.domains.streams import FITTED, TWIN
from pullback.transforms import get

SHAPE = (1, 16)
WAVE = get("dct", SHAPE)


@pytest.mark.parametrize("asked", CONFIRMATIONS.values(), ids=CONFIRMATIONS)
def test_no_picture_is_searched_and_new(asked: Confirmation) -> None:
    assert not {*asked.searched} & {*asked.new}
    assert len(asked.new) >= 200
    assert max(asked.new) < 10_000
    assert not asked.stored or asked.searched == range(PICTURES)  # those of the stored search


def test_each_confirmation_has_pictures_of_its_own() -> None:
    every = [number for asked in CONFIRMATIONS.values() for number in asked.new]
    assert len(every) == len({*every})
    searched = {number for asked in CONFIRMATIONS.values() for number in asked.searched}
    assert not searched & {*every}


def test_a_picture_that_was_searched_is_refused() -> None:
    old = normal(20, *SHAPE, seed=0)
    check_disjoint(old, normal(5, *SHAPE, seed=1))
    with pytest.raises(ValueError, match=r"1 are among them: \[1\]"):
        check_disjoint(old, torch.stack([normal(1, *SHAPE, seed=1)[0], old[7]]))


def test_final_domains_judge_new_examples() -> None:
    spikes = lambda seed: 6 * normal(40, *SHAPE, seed=seed) * (normal(40, *SHAPE, seed=seed + 1) > 1.3)
    waves = lambda seed: WAVE.inverse(normal(40, *SHAPE, seed=seed + 2) * (torch.arange(16) % 8 == 3))
    f = lambda x: (WAVE(x)[:, 0, 3] + 2 * WAVE(x)[:, 0, 11] + WAVE(x)[:, 0, 3] * WAVE(x)[:, 0, 11])[:, None]
    old, new = (Streams.of(f, spikes(s) + waves(s), 0, method="integrated_gradients(steps=4)") for s in (0, 10))
    found = fit_domain(old, ["dct", "pixel"], "selection", folds=3)
    fixed = final(found, 40)
    assert fixed.domains == [{FITTED: found.transform, TWIN: found.twin}]
    told = summary(concluded(fixed, new, kinds=("count",), budgets=(0.1, 0.2)))
    assert found.transform.spec == "dct"
    assert told["errors"][FITTED] < told["errors"][TWIN]
    mean, low, high, p = told["rivals"][TWIN]
    assert 0 < low <= mean <= high
    assert p < 0.05
    turned = replace(fixed, domains=[{FITTED: found.twin, TWIN: found.transform}])
    other = summary(concluded(turned, new, kinds=("count",), budgets=(0.1, 0.2)))
    assert other["leader"] == TWIN
    assert other["p"] == 1  # of a rival's name nothing is claimed for the fitted domain
    assert other["rivals"][TWIN][0] == pytest.approx(-mean)


def test_a_search_that_is_not_the_stored_one_is_refused() -> None:
    x = normal(12, *SHAPE)
    found = fit_domain((lambda x: x.square().sum((1, 2)), x), ["pixel", "dct"], "selection", folds=3)
    with pytest.raises(ValueError, match="other domains than those that are stored"):
        check_stored("lattice", found)


@pytest.mark.parametrize(
    ("family", "spec"), [("lattice(wavelets=[db2], steps=1)", "dwt(db2, level=3)"), ("block_klt", "block_dct(block=8)")]
)
def test_the_known_domain_of_the_form_that_was_chosen(family: str, spec: str) -> None:
    x = normal(12, 1, 8, 8)
    found = fit_domain((lambda x: x.square().sum((1, 2, 3)), x), family, "selection", folds=3)
    assert unfitted(family.split("(")[0], found) == spec
