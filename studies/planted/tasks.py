"""Tasks with a known answer: what is planted, which domains are compared, and what would be a false claim."""

import random
from dataclasses import dataclass

from ...metrics.protocol import DomainComparison
from ...metrics.protocol.rotation import Rotation
from ...transforms import Transform
from .networks import KINDS, Kind
from .signals import ROTATED, Recipe, Rule

HAAR = "dwt(haar, level=3)"
MENU = ("pixel", "dct", HAAR)
LEAK = 0.2  # the share of signals whose distractors tell the class, a shortcut that the network must not take
AGAIN, TURNED = "dct again", "a rotation"  # a second name of dct, and a random rotation as a domain
SIZES = {1: ((1, 64), (1, 128)), 2: ((1, 16, 16), (1, 12, 20)), 3: ((1, 8, 8, 8),)}
_LOUD = {"easy": (0.0, 1.0), "loud": (1.5, 3.0)}

Menu = dict[str, str | Transform]


@dataclass(frozen=True)
class Task:
    """A kind of task; each seed draws its own settings.

    kind: "truth", "pair", "closed", "duplicate", "rotation", "permuted" or "off_menu".  axes: of the signals.  loudness: "easy"
    (distractors up to as loud as atoms) or "loud" (1.5 to 3 times).  leak: the share of signals whose distractors tell the
    class.
    """

    name: str
    kind: str
    axes: int
    loudness: str = "easy"
    leak: float = 0.0

    @property
    def control(self) -> bool:
        """Whether the task is a negative control, in which something must not be claimed."""
        return self.kind in ("duplicate", "rotation", "permuted", "off_menu")

    def recipe(self, seed: int) -> Recipe:
        """The settings of a seed, drawn widely.

        >>> Task("1-D, easy", "truth", 1).recipe(3) == Task("1-D, easy", "truth", 1).recipe(3)
        True
        """
        draw = random.Random(f"{self.name}/{seed}")
        hidden = {"duplicate": "dct", "permuted": draw.choice(["dct", HAAR]), "off_menu": ROTATED}.get(
            self.kind
        ) or draw.choice(MENU)
        other = draw.choice([each for each in MENU if each != hidden])
        rules: tuple[Rule, ...] = ("sign",) if self.kind == "pair" else ("presence", "sign", "presence", "sign", "product")
        return Recipe(
            shape=draw.choice(SIZES[self.axes]),
            hidden=hidden,
            other=other,
            atoms=draw.randint(3, 6),
            active=draw.randint(2, 3),
            amplitude=draw.uniform(2.5, 4.0),
            loudness=1.0 if self.kind == "pair" else draw.uniform(*_LOUD[self.loudness]),
            loud=draw.randint(2, 4),
            slope=draw.uniform(0.0, 1.2),
            rule=draw.choice(rules),
            leak=self.leak,
            paired=self.kind == "pair",
            permuted=self.kind == "permuted",
            seed=seed,
        )

    def network(self, seed: int) -> Kind:
        """The kind of network of a seed."""
        return KINDS[random.Random(f"{self.name}/{seed}/network").randrange(len(KINDS))]

    def menu(self, shape: tuple[int, ...], seed: int) -> Menu:
        """The compared domains, by name."""
        found: Menu = {name: name for name in MENU}
        if self.kind == "duplicate":
            found[AGAIN] = "dct"
        if self.kind == "rotation":
            found[TURNED] = Rotation(shape, seed + 500)
        return found

    def false_claim(self, found: DomainComparison, planted: str, method: str) -> bool:
        """Whether the comparison says what is not so.

        A domain that is not the planted one is named; where nothing is planted in a compared domain, any; where samples are
        permuted, a smooth one (what remains of a fine wavelet is a few pixels). A domain differs from its copy; a random
        rotation does not lose against the planted domain.
        """
        named = found.named[method]
        if self.kind == "off_menu":
            return named is not None
        if self.kind == "permuted":
            return named in ("dct", HAAR)
        if self.kind == "duplicate" and found.pair("dct", AGAIN, method) != "equal":
            return True
        lost = self.kind == "rotation" and found.pair(planted, TURNED, method) != "better"
        return lost or (named is not None and named not in self.right(planted))

    def right(self, planted: str) -> tuple[str, ...]:
        """The names of the planted domain."""
        if self.kind in ("off_menu", "permuted"):
            return ()
        return (planted, AGAIN) if self.kind == "duplicate" else (planted,)


TASKS = (
    *(Task(f"{axes}-D, {loud}", "truth", axes, loud) for axes in (1, 2) for loud in ("easy", "loud")),
    Task("3-D, easy", "truth", 3),
    Task("2-D, contrast pair", "pair", 2),
    Task("2-D, closed forms", "closed", 2, "loud"),
    *(Task(f"{axes}-D, leaking distractors", "truth", axes, leak=LEAK) for axes in (1, 2)),
    *(Task(f"{axes}-D, duplicate domain", "duplicate", axes) for axes in (1, 2)),
    *(Task(f"{axes}-D, random rotation", "rotation", axes) for axes in (1, 2)),
    *(Task(f"{axes}-D, permuted samples", "permuted", axes) for axes in (1, 2)),
    *(Task(f"{axes}-D, off the menu", "off_menu", axes) for axes in (1, 2)),
)
QUICK = (
    "1-D, easy",
    "2-D, loud",
    "1-D, duplicate domain",
    "1-D, random rotation",
    "1-D, permuted samples",
    "1-D, off the menu",
)
