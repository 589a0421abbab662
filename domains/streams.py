"""The gradient streams that all searches of a domain share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..attribution import attribute
from ..attribution.engine.score import Target
from ..core.copies import copied
from .pairs import Pairs

FITTED, TWIN, SHUFFLED, RANDOMISED = "fitted", "twin", "shuffled", "randomised"  # the searches
COEFFICIENT = "coefficient"  # the fitted domain, with coefficients ranked by |z - z₀|
_OF_THE_MODEL = ("batch_size", "model_args", "model_kwargs")


@dataclass(frozen=True, eq=False)
class Streams:
    """What the searches for a model need of it, so that several families use the same gradients.

    pairs: of the model.  randomised: the same of a copy with the entries of each parameter in random order, or None.
    model, target, options: by which domains are judged; without a model the objective judges.
    """

    pairs: Pairs
    randomised: "Streams | None" = None
    model: Callable[..., Any] | None = None
    target: Target = None
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: Callable[..., Any],
        x: Tensor,
        target: Target = None,
        *,
        groups: Any = None,
        randomised: nn.Module | None = None,
        seed: int = 0,
        **options: Any,
    ) -> "Streams":
        """The gradient stream of a model, and that of a randomised copy where it is a module with parameters.

        randomised: instead of the copy, such as a copy without a last sigmoid, whose values would all be 0 or 1.
        target, options: as in `attribute`, with a method that is linear in gradients.  groups: as in `Pairs.of`.
        Raises: TypeError or ValueError, as `attribute` and `Pairs.of` do.

        >>> streams = Streams.of(nn.Sequential(nn.Flatten(), nn.Linear(4, 1)).eval(), torch.ones(3, 1, 4))
        >>> list(streams.searches(seed=0))
        ['fitted', 'twin', 'shuffled', 'randomised']
        """

        own = {name: options[name] for name in _OF_THE_MODEL if name in options}

        def stream(f: Callable[..., Any], control: "Streams | None" = None) -> "Streams":
            return cls(Pairs.of(attribute(f, x, target, seed=seed, **options), groups), control, f, target, own)

        if randomised is None and isinstance(model, nn.Module) and any(True for _ in model.parameters()):
            randomised = randomise(model, seed)
        return stream(model) if randomised is None else stream(model, stream(randomised))

    def searches(self, seed: int) -> dict[str, Pairs]:
        """What each search works with: the model, no model, covectors of other groups, and the randomised model."""
        found = {FITTED: self.pairs, TWIN: self.pairs.without_model(), SHUFFLED: self.pairs.shuffled(seed)}
        return found if self.randomised is None else {**found, RANDOMISED: self.randomised.pairs}


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of a model with the entries of each parameter in random order: their sizes stay, what was learned goes.

    >>> layer = nn.Linear(3, 2, bias=False)
    >>> torch.equal(randomise(layer).weight.flatten().sort().values, layer.weight.flatten().sort().values)
    True
    """
    twin, generator = copied(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in twin.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return twin
