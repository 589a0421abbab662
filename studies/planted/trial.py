"""One seed of a task: signals, network, reliance, comparison, and what was right."""

import dataclasses
from typing import Any

import torch
from torch import nn

from ...attribution import attribute
from ...attribution.targets import log_odds
from ...metrics.protocol import Protocol, compare_domains
from .networks import ClosedForm, trained
from .reliance import log_odds_of, reliance
from .rivals import PROTOCOL, picks
from .signals import Parts, Recipe
from .tasks import Menu, Task

_GREEDY = 2  # signals for which the greedy oracle is asked
_CHECKED = 600  # signals by which reliance is measured
_FORMS = ("linear", "quadratic", "saturating")
Record = dict[str, Any]


def trial(task: Task, seed: int, methods: tuple[str, ...], examples: int) -> Record:
    """What a seed of a task gives, as plain data.

    dropped: why it does not count, or "".  planted: the domain.  found: for each method, what the protocol names, whether that
    is right, whether it is a false claim, its sentence, and what the other scores pick.  A contrast pair counts as right where
    both networks are named rightly.
    """
    recipe = task.recipe(seed)
    about: Record = {"task": task.name, "seed": seed, "recipe": dataclasses.asdict(recipe), "network": task.network(seed)}
    sides = [
        _side(task, recipe, seed, turned, methods, examples) for turned in ((False, True) if task.kind == "pair" else (False,))
    ]
    dropped = next((side["dropped"] for side in sides if side["dropped"]), "")
    about |= {"dropped": dropped, "reliance": [side["reliance"] for side in sides]}
    if dropped:
        return about
    return about | {
        "planted": [side["planted"] for side in sides],
        "found": {m: _both([s["found"][m] for s in sides]) for m in methods},
    }


def _both(found: list[Record]) -> Record:
    """One record of both networks of a contrast pair, or the only one."""
    joined = {name: [one[name] for one in found] for name in found[0]}
    right = {score: all(one["right"][score] for one in found) for score in found[0]["right"]}
    return joined | {"right": right, "false_claim": any(joined["false_claim"])}


def _side(task: Task, recipe: Recipe, seed: int, turned: bool, methods: tuple[str, ...], examples: int) -> Record:
    """What one network gives.  turned: it reads the distractors, which carry a bit of their own."""
    generator, planted = torch.Generator().manual_seed(1_000_000 + seed), recipe.other if turned else recipe.hidden
    if task.kind == "closed":
        parts, model, target = recipe.draw(examples, generator), _closed(recipe, seed), None
        checked: Record = {"dropped": "", "reliance": None}
    else:
        model = trained(recipe, task.network(seed), seed, turned)
        turn = Parts.turned if turned else Parts.unchanged
        relied = reliance(model, turn(recipe.draw(_CHECKED, generator)))
        checked = {"dropped": relied.fault, "reliance": dataclasses.asdict(relied)}
        if relied.fault:
            return checked
        parts = _read(model, turn(recipe.draw(4 * examples, generator)), examples)
        target = log_odds(parts.label)
    return checked | {"planted": planted, "found": _compared(task, model, parts, target, planted, seed, methods)}


def _read(model: nn.Module, parts: Parts, examples: int) -> Parts:
    """The first signals that the model names rightly."""
    (odds,) = log_odds_of(model, parts.label, parts.x)
    right = (odds > 0).nonzero()[:examples, 0]
    return Parts(*(getattr(parts, field.name)[right] for field in dataclasses.fields(parts)))


def _closed(recipe: Recipe, seed: int) -> nn.Module:
    """A closed form that reads the atoms."""
    atoms = recipe.planted.flatten(0, 1)
    weights = torch.linspace(1.0, 2.0, len(atoms))
    return ClosedForm(atoms, weights, _FORMS[seed % len(_FORMS)])


def _compared(
    task: Task, model: nn.Module, parts: Parts, target: Any, planted: str, seed: int, methods: tuple[str, ...]
) -> dict[str, Record]:
    """What the protocol and the other scores say, for each method."""
    x = parts.x
    menu: Menu = task.menu(tuple(x.shape[1:]), seed)
    protocol = Protocol(menu, methods=methods, seed=seed, oracle=_GREEDY)
    found = compare_domains(model, x, target, domains=protocol)
    built = protocol.built(tuple(x.shape[1:]))
    records = {}
    for one in found.conclusions:
        maps = dict(zip(built, attribute(model, x, target, method=one.method, transform=list(built.values()))))
        chosen = {PROTOCOL: one.named} | picks(found.evidence[one.method, one.baseline], maps, model, target, parts.atoms)
        records[one.method] = {
            "picked": chosen,
            "right": {score: name in task.right(planted) for score, name in chosen.items()},
            "false_claim": task.false_claim(found, planted, one.method),
            "sentence": one.sentence,
            "errors": one.errors,
            "pairs": {f"{pair.first} | {pair.second}": pair.verdict for pair in one.pairs},
            "evaluations": found.evaluations,
        }
    return records
