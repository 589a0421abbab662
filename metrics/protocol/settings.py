"""`Protocol`: what is compared, and how."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...attribution.call import BaselineLike, Method
from ...attribution.result import coefficient_count
from ...transforms import Transform, get
from ..selection import BUDGETS, Budgets
from .admission import DOSES
from .conclusion import BLIND, NEUTRAL, ROTATION
from .families import FOREIGN, OWN, USABLE, Family, blur, noise
from .rotation import Rotation

Domains = Sequence[str | Transform] | Mapping[str, str | Transform]
RANDOM = ("random", "random_in_quantile")
REACHED, AFFORDED = 0.05, 20_000  # share of the samples that the oracle selects, and its evaluations in one domain


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how.

    domains: specs or transforms, or a mapping of names to these.  methods: specs.  baselines: x₀, as in `attribute`; a verdict
    must hold with each.  families: domains whose units are removed, "blur" or "noise", which fill the place of what is removed;
    None for all linear domains that are compared. A random rotation that is no domain is added.
    budgets: shares.  kinds: of what, see `selection.counts`.
    controls: whether the map of a model with permuted parameters, and random order among coefficients of equal size, are
    controls, beside |z - z₀|, coarse-first order and random order.
    whole: whether what no verdict reads is scored too: the random rotation in its own family and with controls of its own,
    domains in their own family at further kinds of budgets, and noise of other shares than ½ (else random order is share 1).
    oracle: so many examples, the first ones, are also selected by the greedy oracle, at budgets of up to 5 % of the samples
    that take at most 20,000 evaluations, so in no photos of usual size.

    >>> Protocol(("pixel", "dct")).cost((1, 8, 8))
    890
    """

    domains: Domains
    methods: Sequence[Method] = ("integrated_gradients",)
    baselines: Sequence[BaselineLike] = (None,)
    families: Sequence[str] | None = None
    budgets: tuple[float, ...] = BUDGETS
    kinds: tuple[Budgets, ...] = ("count", "energy", "bits")
    controls: bool = True
    whole: bool = True
    oracle: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        names = self.names
        if not names or len(set(names)) < len(names):
            raise ValueError(f"compare_domains: expected domains with different names, got {', '.join(names)[:120] or 'none'}.")
        if reserved := {OWN, ROTATION, NEUTRAL, *FOREIGN} & set(names):
            raise ValueError(f"compare_domains: the name {min(reserved)!r} belongs to a control; name the domain otherwise.")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the domains."""
        return tuple(each.spec if isinstance(each, Transform) else str(each) for each in self.domains)

    @property
    def random(self) -> tuple[str, ...]:
        """The random orders."""
        return RANDOM if self.controls else RANDOM[:1]

    @property
    def doses(self) -> tuple[float, ...]:
        """The shares of noise that are mixed into the maps."""
        return DOSES if self.whole else (0.5,)

    def built(self, shape: tuple[int, ...]) -> dict[str, Transform]:
        """The domains by name, and the random rotation that is a control."""
        given = self.domains.values() if isinstance(self.domains, Mapping) else self.domains
        found = {name: get(each, shape) for name, each in zip(self.names, given)}
        return found | {ROTATION: Rotation(shape, self.seed)}

    def removed(self, domains: Mapping[str, Transform]) -> dict[str, Family]:
        """The families by name, without that of the selection itself."""
        asked = [name for name in self.names if USABLE in domains[name].claims] if self.families is None else self.families
        shape = domains[ROTATION].shape
        own: dict[str, Family] = {"blur": blur, "noise": functools.partial(noise, seed=self.seed), **domains}
        return {name: own[name] if name in own else get(name, shape) for name in asked} | {
            NEUTRAL: Rotation(shape, self.seed + 1)
        }

    def cost(self, shape: tuple[int, ...]) -> int:
        """The largest number of evaluations of the model for one example, method and baseline, beside those of the method."""
        domains = self.built(shape)
        families, each = self.removed(domains), 2 * len(self.budgets)
        maps = sum(1 + len(families) - (name in families) for name in domains) * len(self.kinds)
        controls = (len(BLIND) - (not self.controls)) * len(self.kinds) + 1 + len(self.random)
        controls *= len(domains) if self.whole else len(self.names)
        maps -= 0 if self.whole else len(domains) * len(self.kinds) - len(self.names)  # in their own families
        return each * (maps + controls + len(self.names) * len(self.doses)) + 2 + self._oracle_cost(domains)

    def several(self, domain: Transform) -> tuple[int, ...]:
        """Places of the budgets that select several coefficients by number."""
        return tuple(place for place, budget in enumerate(self.budgets) if coefficient_count(budget, domain) > 1)

    def reached(self, domain: Transform) -> tuple[float, ...]:
        """The budgets for which the oracle can be asked."""
        return tuple(each for each in self.budgets if each <= REACHED and _greedy(each, domain) <= AFFORDED)

    def _oracle_cost(self, domains: Mapping[str, Transform]) -> int:
        """An upper bound of the oracle's evaluations for one of its examples."""
        asked = ((max(found), one) for one in domains.values() if (found := self.reached(one)))
        return sum(_greedy(*each) for each in asked) if self.oracle else 0


def _greedy(budget: float, domain: Transform) -> int:
    """The evaluations of greedy selection in a domain."""
    return 2 * math.prod(domain.layout.shape) * coefficient_count(budget, domain)
