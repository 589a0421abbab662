"""Whether a map depends on what it should depend on: the parameters of the model, and the class that it explains."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..attribution import Attribution
from ..attribution.engine.entries import Entries
from ..attribution.engine.random import derive
from ..attribution.engine.score import real_output
from ..core.checks import check_count
from ..core.copies import copied
from ..core.precision import wide
from .base import Invariance, Metric, Needs, Scores, register
from .explainer import map_cost, takes_target
from .judged import Judged
from .similarity import cosine, covectors, spearman


def cosine_of_maps(a: Attribution, b: Attribution) -> Tensor:
    """The cosine of their covectors, (batch,)."""
    return cosine(covectors(a), covectors(b))


def spearman_of_maps(a: Attribution, b: Attribution) -> Tensor:
    """The rank correlation of |a| and |b|, (batch,)."""
    return spearman(a.values.abs(), b.values.abs())


def randomised(model: nn.Module, seed: int, steps: int | None = None) -> Iterator[tuple[float, nn.Module]]:
    """(share of layers, a copy of the model in which that share of them is random), from the last layer to the first.

    A layer is a module with parameters of its own, in the order in which they are registered. Every parameter gets normal
    numbers with the root mean square that it had, so that signals keep about their size; parameters that several layers share
    stay shared. Buffers, such as the averages of BatchNorm, stay. `model` itself is not changed. One copy is yielded again and
    again, with more of its layers random.

    steps: the number of copies, at equal distances; None for one after each layer.
    Raises: TypeError for a model that is no module, or cannot be copied; ValueError for one without parameters.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> [(share, bool((twin[0].weight == net[0].weight).all())) for share, twin in randomised(net, seed=0)]
    [(0.5, True), (1.0, False)]
    """
    twin = copied(_with_parameters(model))
    layers = [layer for layer in twin.modules() if any(True for _ in _own(layer))][::-1]
    done: set[int] = set()
    count = min(steps or len(layers), len(layers))
    cuts = [round(len(layers) * part / count) for part in range(count + 1)]
    for first, last in zip(cuts, cuts[1:]):
        for number in range(first, last):
            for place, parameter in enumerate(_own(layers[number])):
                if id(parameter) not in done:
                    _randomise(parameter, derive(seed, b"randomised", f"{number}/{place}"))
                    done.add(id(parameter))
        yield last / len(layers), twin


def _with_parameters(model: Any) -> nn.Module:
    """Raises: TypeError or ValueError where the model has no parameters to randomise."""
    if not isinstance(model, nn.Module):
        advice = "wrap the function in an nn.Module that holds its parameters"
        raise TypeError(f"randomisation: needs an nn.Module, got {type(model).__name__}; {advice}.")
    if not any(parameter.numel() for parameter in model.parameters()):
        raise ValueError(f"randomisation: {type(model).__name__} has no parameters, so that there is nothing to randomise.")
    return model


def _own(layer: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in layer.parameters(recurse=False) if parameter.numel())


def _randomise(parameter: Tensor, seed: int) -> None:
    """Drawn on the processor in single precision or wider, so that all devices get the same numbers."""
    generator, parts = torch.Generator().manual_seed(seed), parameter.detach()
    parts = torch.view_as_real(parts) if parts.is_complex() else parts
    if not parts.is_floating_point():
        return
    size = parts.to(wide(parts.dtype)).square().mean().sqrt()
    drawn = torch.randn(parts.shape, generator=generator, dtype=wide(torch.bool))
    with torch.no_grad():
        parts.copy_(drawn.to(size) * size)


@dataclass(frozen=True)
class _Randomisation(Metric):
    """The similarity of the map and of the maps of a model that is randomised from its last layer to its first.

    steps: how many randomised models there are; after each one, an equal share of the layers has random parameters in
    addition. The curve holds the similarity at each share of random layers; the value is its mean, of what is defined.
    The model is copied, and not changed. NaN where a map is zero.
    Raises: TypeError or ValueError where the model is no module, has no parameters or cannot be copied.
    """

    steps: int = 5
    similarity: ClassVar[Any]
    source = "Adebayo et al. 2018, section 3.1 (cascading randomisation)"
    better = "lower"
    needs = Needs.EXPLAIN

    def __post_init__(self) -> None:
        check_count(self.name, "steps", self.steps)

    def cost(self, attribution: Attribution) -> int:
        return self.steps * map_cost(attribution)

    def measure(self, judged: Judged) -> Scores:
        found, axis, own = [], [], judged.attribution
        for share, model in randomised(judged.model, judged.seed, self.steps):
            found.append(type(self).similarity(own, judged.explained(judged.signal, model=model)))
            axis.append(share)
        return Scores(torch.stack(found, 1).nanmean(1), torch.stack(found, 1), tuple(axis))

    @classmethod
    def examples(cls) -> Sequence[Metric]:
        return [cls(steps=2)]


@register("mprt")
@dataclass(frozen=True)
class ParameterRandomisation(_Randomisation):
    """Model parameter randomisation test: cosines.

    The cosine is that of covectors (the values of sensitivities, T.adjoint(ḡ) of shares that keep ḡ, else the values), which
    is equal in all orthonormal domains: it compares methods, not domains. A random map has 0 on average.
    """

    similarity = staticmethod(cosine_of_maps)
    formula = "mean over shares of random layers of cos(g, g of the randomised model), g the covector of the map"
    chance = 0.0
    invariant = Invariance.ORTHONORMAL


@register("mprt_spearman")
@dataclass(frozen=True)
class ParameterRandomisationRanks(_Randomisation):
    """Model parameter randomisation test: rank correlations.

    Ranks of |a| depend on the domain: in a domain that compacts signals, large coefficients have large shares for any model,
    so that a higher number says more about the domain than about the map. It compares methods inside one domain.
    """

    similarity = staticmethod(spearman_of_maps)
    formula = "mean over shares of random layers of Spearman(|a|, |a of the randomised model|)"
    chance = 0.0
    within_domain = True


@dataclass(frozen=True)
class _OtherClass(Metric):
    """The similarity of the map and of that of the class with the largest output among the others at x.

    A map that shows the same for another class shows what is in the signal, not what the class depends on. `details` has
    "other", the other class (batch,). NaN where a map is zero.
    Raises: ValueError unless the target is one of several classes, and `explain` takes (model, x, target).
    """

    similarity: ClassVar[Any]
    source = "Adebayo et al. 2018, section 3.2; with another class: Sixt, Granz & Landgraf 2020, section 5"
    better = "lower"
    needs = Needs.EXPLAIN | Needs.CLASSES

    def cost(self, attribution: Attribution) -> int:
        return map_cost(attribution) + 1

    def measure(self, judged: Judged) -> Scores:
        other = self._others(judged)
        found = judged.explained(judged.signal, target=other.tolist())
        return Scores(type(self).similarity(judged.attribution, found), details={"other": other})

    def _others(self, judged: Judged) -> Tensor:
        """The class of the largest other output, (batch,)."""
        score, x = judged.engine.score, judged.signal
        chosen = score.classes if score.classes is not None and score.classes.shape[1] == 1 else None
        if chosen is None and not isinstance(score.choose, Entries):
            advice = "take target=a class index, or one for each example"
            raise ValueError(f"{self.name}: needs a target that is a class of several; {advice}.")
        if judged.explain is None or not takes_target(judged.explain):
            raise ValueError(f"{self.name}: needs explain=, a function (model, x, target) -> Attribution.")

        def largest(output: Any, example: Tensor) -> Tensor:
            logits = real_output(output, example)
            if logits.ndim != 2 or logits.shape[1] < 2:
                raise ValueError(f"{self.name}: needs outputs (rows, classes), got {tuple(logits.shape)}.")
            own = score.choose.flat(tuple(logits.shape[1:]))[:, None] if chosen is None else chosen  # type: ignore[union-attr]
            own = own.to(logits.device)[example]
            return logits.scatter(1, own, -math.inf).argmax(1)

        return judged.engine.outputs(torch.arange(len(x), device=x.device), x.__getitem__, largest).long()


@register("label_randomisation")
@dataclass(frozen=True)
class LabelRandomisation(_OtherClass):
    """Label randomisation test: cosines.

    The cosine is that of covectors, which is equal in all orthonormal domains: it compares methods, not domains.
    """

    similarity = staticmethod(cosine_of_maps)
    formula = "cos(g, g of the other class), g the covector of the map"
    chance = 0.0
    invariant = Invariance.ORTHONORMAL


@register("label_randomisation_spearman")
@dataclass(frozen=True)
class LabelRandomisationRanks(_OtherClass):
    """Label randomisation test: rank correlations.

    Ranks of |a| depend on the domain, also for a random model: it compares methods inside one domain.
    """

    similarity = staticmethod(spearman_of_maps)
    formula = "Spearman(|a|, |a of the other class|)"
    chance = 0.0
    within_domain = True
