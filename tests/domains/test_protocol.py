"""`concluded`: the comparison protocol names a fitted domain where it is the model's, and not where it is not."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from support.subjects import normal
from torch import Tensor, nn

from pullback.domains import FittedDomain, Pairs, Streams, concluded, fit_domain
from pullback.domains.streams import FITTED, TWIN
from pullback.transforms import get

SHAPE = (1, 32)
WAVE = get("dct", SHAPE)
OPTIONS = {"kinds": ("count",), "budgets": (0.05, 0.1, 0.2)}


class Reads(nn.Module):
    """Sums and products of a few cosine coefficients, beyond loud spikes that do not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(2, -1, 32).double() * (torch.arange(32) % 8 == 3))

    def forward(self, x: Tensor) -> Tensor:
        z = WAVE(x)[:, 0] * self.weight
        return (z.sum(1) + z[:, 3] * z[:, 11])[:, None]


@cache
def searched() -> tuple[FittedDomain, FittedDomain, Streams]:
    spikes = 6 * normal(288, *SHAPE, seed=1) * (normal(288, *SHAPE, seed=2) > 1.6)
    x = spikes + WAVE.inverse(normal(288, *SHAPE, seed=3) * (torch.arange(32) % 8 == 3))
    streams = Streams.of(Reads(), x, 0, method="integrated_gradients(steps=4)", seed=0)
    found = fit_domain(streams, ["dct", "pixel", "dwt(haar, level=3)"], "selection", folds=3)
    return found, fit_domain(streams, ["pixel", "dwt(haar, level=3)"], "selection", folds=3), streams


def test_the_fitted_domain_is_named_where_the_model_reads_in_it() -> None:
    found, menu, streams = searched()
    assert {found.transform.spec, found.twin.spec} == {"dct", "pixel"}
    said = concluded(found, streams, menu, **OPTIONS)
    assert said.named == FITTED, said.sentence
    assert said.errors[FITTED] < said.errors[TWIN]


def test_a_domain_that_is_not_the_models_is_not_named() -> None:
    found, menu, streams = searched()
    turned = [{FITTED: one[TWIN], TWIN: one[FITTED]} for one in found.domains]
    assert concluded(replace(found, domains=turned), streams, menu, **OPTIONS).named != FITTED
    alike = [{FITTED: one[FITTED], TWIN: one[FITTED]} for one in found.domains]
    said = concluded(replace(found, domains=alike), streams, menu, **OPTIONS)
    assert (TWIN, FITTED) in said.groups  # it selects what its twin selects


def test_further_rivals_are_judged_in_every_fold() -> None:
    found, menu, streams = searched()
    said = concluded(found, streams, menu, others={"haar": "dwt(haar, level=1)"}, **OPTIONS)
    assert said.named == FITTED
    assert said.checks["haar"].mean > 0
    same = concluded(found, streams, others={"known": "dct"}, **OPTIONS)
    assert {FITTED, "known"} in map(set, same.groups)  # the search has found the known one


def test_units_are_groups() -> None:
    found, _, streams = searched()
    grouped = replace(streams, pairs=replace(streams.pairs, group=torch.arange(288) // 24))
    said = concluded(found, grouped, **OPTIONS)
    assert said.named is None
    assert any("12 units are fewer than 20" in reason for reason in said.reasons)


def test_what_cannot_be_judged_is_refused() -> None:
    found, menu, streams = searched()
    with pytest.raises(ValueError, match="no model to ask"):
        concluded(found, Streams(Pairs.of(streams.pairs)))
    with pytest.raises(ValueError, match="same folds"):
        concluded(found, streams, replace(menu, judged=menu.judged.assign(fold=0)))
    with pytest.raises(ValueError, match="names of their own, got 'twin'"):
        concluded(found, streams, others={TWIN: "dct"})
