"""Planted signals, and the check of what a network reads."""

from typing import Any

import pytest
import torch
from torch import nn

import pullback as pb
from pullback.studies.planted.networks import KINDS, ClosedForm, network, trained
from pullback.studies.planted.reliance import reliance
from pullback.studies.planted.signals import ROTATED, RULES, Parts, Recipe


def parts(count: int = 300, **changes: Any) -> tuple[Recipe, Parts]:
    """A recipe and signals of it."""
    recipe = Recipe(**{"shape": (1, 64), "hidden": "dct", "other": "pixel", **changes})
    return recipe, recipe.draw(count, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(1, 64), (1, 12, 20), (1, 8, 8, 8)])
@pytest.mark.parametrize("hidden", ["dct", "dwt(haar, level=2)", ROTATED])
def test_atoms_are_single_coefficients_of_the_hidden_frame(shape: tuple[int, ...], hidden: str) -> None:
    recipe, found = parts(20, shape=shape, hidden=hidden)
    z = recipe.frame(recipe.planted.flatten(0, 1)).flatten(1)
    assert torch.allclose(z.abs().amax(1), torch.ones(10), atol=1e-4)
    assert torch.allclose(z.square().sum(1), torch.ones(10), atol=1e-4)
    assert ((recipe.frame(found.atoms).flatten(1).abs() > 1e-3).sum(1) <= 2 * recipe.active).all()
    assert torch.equal(found.x, found.background + found.atoms + found.distractors)


def test_the_rules_are_what_they_say() -> None:
    for rule in RULES:
        recipe, found = parts(rule=rule)
        first, second = (torch.einsum("n...,a...->na", found.atoms, group).sum(1) for group in recipe.planted)
        said = {"presence": second.abs() > 1e-3, "sign": first > 0, "product": first * second > 0}[rule]
        assert torch.equal(said, found.label.bool())


def test_distractors_say_nothing_about_the_class_unless_they_leak() -> None:
    for leak, expected in ((0.0, 0.5), (1.0, 1.0)):
        recipe, found = parts(2000, leak=leak)
        sign = torch.einsum("n...,a...->na", found.distractors, recipe.distracting).sum(1) > 0
        kept = torch.einsum("n...,a...->na", found.distractors, recipe.distracting).sum(1).abs() > 1e-3
        assert abs(float((sign == found.label.bool())[kept].float().mean()) - expected) < 0.04


def test_paired_distractors_carry_a_bit_of_their_own() -> None:
    recipe, found = parts(paired=True)
    sign = torch.einsum("n...,a...->na", found.distractors, recipe.distracting).sum(1) > 0
    assert torch.equal(sign, found.other.bool())
    turned = found.turned()
    assert torch.equal(turned.atoms, found.distractors)
    assert torch.equal(turned.label, found.other)
    assert torch.allclose(turned.x, found.x, atol=1e-5)


def test_distractors_hardly_overlap_with_the_atoms() -> None:
    recipe, _ = parts(hidden="pixel", other="dwt(haar, level=2)")
    span = torch.linalg.qr(recipe.planted.flatten(0, 1).flatten(1).T).Q
    assert float((recipe.distracting.flatten(1) @ span).square().sum(1).max()) < 0.05


def test_permuted_samples_are_the_same_numbers_in_one_order() -> None:
    _, straight = parts(5)
    recipe, shuffled = parts(5, permuted=True)
    assert torch.equal(shuffled.x, recipe.shuffled(straight.x))
    assert torch.equal(shuffled.x.flatten(1).sort(1).values, straight.x.flatten(1).sort(1).values)


def test_the_background_falls_with_frequency() -> None:
    for slope, rising in ((0.0, False), (1.0, True)):
        _, found = parts(2000, slope=slope)
        power = torch.fft.rfft(found.background[:, 0]).abs().square().mean(0)[1:]
        ratio = float(power[:8].mean() / power[-8:].mean())
        assert (ratio > 10) == rising
        assert abs(float(found.background.var()) - 1) < 0.15


def test_a_frame_that_is_too_loud_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has \d+ quiet coefficients; 10 atoms need more"):
        parts(amplitude=0.01)


class _Reads(nn.Module):
    """Two classes, by the sum of the coefficients of some atoms."""

    def __init__(self, *atoms: torch.Tensor) -> None:
        super().__init__()
        self.form = ClosedForm(torch.cat(atoms), torch.ones(sum(map(len, atoms))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        odds = self.form(x)
        return torch.stack([-odds, odds], 1)


def test_a_network_that_reads_something_else_does_not_count() -> None:
    recipe, found = parts(2000, amplitude=4.0)
    assert not reliance(_Reads(recipe.planted[0]), found).fault
    assert "not learned" in reliance(_Reads(recipe.distracting), found).fault
    recipe, leaking = parts(2000, amplitude=4.0, leak=1.0)
    assert "reads more than the atoms" in reliance(_Reads(recipe.distracting), leaking).fault
    recipe, loud = parts(2000, amplitude=4.0, loudness=0.7)
    assert "distractors" in reliance(_Reads(recipe.planted[0], recipe.distracting[:3]), loud).fault


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 32), (1, 8, 8), (1, 4, 4, 4)])
def test_networks_take_every_kind_of_signal(kind: Any, shape: tuple[int, ...]) -> None:
    assert network(kind, shape)(torch.zeros(3, *shape)).shape == (3, 2)


def test_a_dense_network_learns_the_sign_of_the_atoms() -> None:
    recipe, found = parts(1000)
    model = trained(recipe, "dense", steps=150)
    assert float((model(found.x).argmax(1) == found.label).float().mean()) > 0.97


def test_closed_forms_have_exact_attributions() -> None:
    """Linear: a = c ⟨q, x⟩ in the domain of the atoms. Quadratic: a = c ⟨q, x⟩², since gradients grow linearly on the path."""
    recipe, found = parts(4)
    weights, dct = torch.linspace(1, 2, 5), pb.transforms.get("dct", (1, 64))
    z = dct(found.x.double())
    place = dct(recipe.planted[0].double()).flatten(1).abs().argmax(1)
    sign = dct(recipe.planted[0].double()).flatten(1).gather(1, place[:, None])[:, 0]
    for form, power in (("linear", 1), ("quadratic", 2)):
        model = ClosedForm(recipe.planted[0], weights, form).double()
        att = pb.attribute(model, found.x.double(), method="integrated_gradients(steps=2)", transform=dct)
        expected = weights * (sign * z.flatten(1)[:, place]) ** power
        assert torch.allclose(att.values.flatten(1)[:, place], expected, atol=1e-5)
        assert att.score_difference.sub(expected.sum(1)).abs().max() < 1e-5
