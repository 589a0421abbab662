"""`Judged`: a map and the open model that it explains, as metrics see them."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor

from ..attribution import Attribution, open_engine
from ..attribution.engine.engine import Engine, Points
from ..attribution.engine.entries import Entries
from ..attribution.engine.faster_form import choose_form
from ..attribution.engine.open_engine import read_checked
from ..attribution.engine.score import real_output
from ..attribution.result import keep_only
from ..attribution.targets import Choice
from ..core.checks import check_choice, check_seed
from ..core.progress import Progress
from ..transforms import TransformClaim
from .explainer import Explain, check_same_class, explained
from .selection import Budgets, Selection, count_table, order, order_ranks, turns

Found = TypeVar("Found")
Answer = Literal["score", "probability", "margin"]
ANSWERS = ("score", "probability", "margin")
Key = tuple[str, bool, tuple[int, ...]]  # a ranking, whether its first coefficients are removed, their number in each example
_OWN = ("truth", "truth_in", "source", "explain", "orders", "seed")  # the options that are not those of `open_engine`


class Judging(TypedDict, total=False):
    """The options of `measure`."""

    truth: Tensor | None
    truth_in: str | None
    source: Tensor | None
    explain: Explain | None
    orders: Mapping[str, Tensor] | None
    batch_size: int | str
    seed: int
    progress: Progress | bool | None
    model_args: Sequence[Any]
    model_kwargs: Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class Answers:
    """What the model says at some inputs, each (…, batch).

    score: f.  probability: softmax at the target's class.  margin: the logit of the target's class less the largest other.
    predicted: the class with the largest logit. The last three are NaN where the target is no class.
    """

    score: Tensor
    probability: Tensor
    margin: Tensor
    predicted: Tensor

    @classmethod
    def of(cls, table: Tensor) -> "Answers":
        """From a tensor (…, 4)."""
        return cls(*table.unbind(-1))

    @property
    def table(self) -> Tensor:
        """All four as one tensor, (…, 4)."""
        return torch.stack([self.score, self.probability, self.margin, self.predicted], -1)


@dataclass(eq=False)
class Judged:
    """A map, and what the model answers at the inputs that metrics ask for. Each distinct selection is evaluated once.

    ends: x and x₀ in the signal, (batch, 2, *shape).  known: f at them, (2, batch).  seed: of all that is random.
    truth, truth_in, source: as in `measure`.
    explain: (model, x, target) -> the map of the same method, where one can be made.  orders: more rankings, (batch, *coeff).
    model, target, options: as the caller gave them.
    """

    attribution: Attribution
    engine: Engine
    ends: Tensor
    known: Tensor
    seed: int = 0
    truth: Tensor | None = None
    truth_in: str | None = None
    source: Tensor | None = None
    explain: Explain | None = None
    orders: dict[str, Tensor] = field(default_factory=dict)
    model: Any = None
    target: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    _memory: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def difference(self) -> Tensor:
        """f(x) - f(x₀), (batch,), NaN where it is zero, so that ratios say that they are not defined."""
        return self.difference_of("score")

    def difference_of(self, answer: Answer) -> Tensor:
        """As `difference`, of another answer."""
        at_x, at_base = self.at_ends(answer)
        return (at_x - at_base).where(at_x != at_base, torch.nan)

    def at_ends(self, answer: Answer) -> Tensor:
        """One of the answers at x and x₀, (2, batch).  Raises: ValueError for classes where the target is none."""
        check_choice("metrics", "answer", answer, ANSWERS)
        found = self.known if answer == "score" else getattr(self.answers_at_ends, answer)
        if bool(found.isnan().all()):
            wanted = f"metrics: {answer} needs a target that is a class, of a model that returns (rows, classes)"
            raise ValueError(f"{wanted}; take answer=score, or another metric.")
        return found

    @functools.cached_property
    def answers_at_ends(self) -> Answers:
        """What the model says at x and x₀, (2, batch)."""
        example = torch.arange(len(self.ends), device=self.known.device).repeat(2)
        points = self.ends.transpose(0, 1).flatten(0, 1)
        return Answers.of(self.at(example, points.__getitem__).table.unflatten(0, (2, len(self.ends))))

    def remember(self, key: Any, make: Callable[[], Found]) -> Found:
        """make(), computed once for each key."""
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    def rank(self, ranking: str) -> Tensor:
        """The rank of every coefficient, 0 for the first, equal ones at random, (batch, *coeff).

        Raises: ValueError for an unknown ranking, or one of another shape than the map.
        """
        return self.remember(("rank", ranking), lambda: self._rank(ranking))

    def _rank(self, ranking: str) -> Tensor:
        own, shape = self.orders.get(ranking), self.attribution.values.shape
        if own is not None and own.shape != shape:
            raise ValueError(f"orders[{ranking!r}]: expected the shape of the map, {tuple(shape)}, got {tuple(own.shape)}.")
        score = order(self.attribution, ranking, self.seed) if own is None else own
        own_turns = lambda: self.remember("turns", lambda: turns(self.attribution, self.seed))
        return order_ranks(score.to(self.attribution.values.device), own_turns)

    def counts(self, ranking: str, budgets: Sequence[float], by: Budgets) -> Tensor:
        """How many coefficients of a ranking each budget buys, (budgets, batch)."""
        make = lambda: count_table(self.attribution, self.rank(ranking), budgets, by)
        return self.remember(("counts", ranking, tuple(budgets), by), make)

    def numbers(self, selections: Sequence[Selection]) -> Tensor:
        """How many coefficients each selection has, (selections, batch)."""
        found: dict[Selection, Tensor] = {}
        for ranking, by in dict.fromkeys((each.ranking, each.by) for each in selections):
            alike = [each for each in selections if (each.ranking, each.by) == (ranking, by)]
            found |= zip(alike, self.counts(ranking, [each.budget for each in alike], by))
        return torch.stack([found[each] for each in selections])

    @property
    def signal(self) -> Tensor:
        """x = T⁻¹ z, (batch, *shape)."""
        return self.ends[:, 0]

    @functools.cached_property
    def fixed_target(self) -> Any:
        """The target, also at other inputs and of other models: classes that it chooses by the output are those at x."""
        score = self.engine.score
        return (lambda output, example: score(output, example)) if isinstance(score.choose, Choice) else self.target

    def explained(self, x: Tensor, *, model: Any = None, target: Any = None) -> Attribution:
        """The map that the method makes of inputs x (batch, *shape), for another model or other targets where they are given.

        Raises: TypeError or ValueError where `explain` makes a map of another kind, or with other settings.
        """
        own = target is None
        model, target = self.model if model is None else model, self.fixed_target if own else target
        with self.engine.prepared.around(), torch.enable_grad():  # `explain` is code of the caller
            found = explained(self.explain, self.attribution, (model, x.detach().to(self.engine.feed), target), self.options)
        if own:
            check_same_class(found, self.attribution)
        self.engine.counted(
            **{name: int(found.settings.get("evaluations", {}).get(name, 0)) for name in ("forward", "gradient")}
        )
        return found

    def answers(self, selections: Sequence[Selection]) -> Answers:
        """What the model says where each selection is kept or removed. Shapes: (selections, batch)."""
        numbers = map(tuple, self.numbers(selections).tolist())
        chosen: list[Key] = [(each.ranking, each.removed, count) for each, count in zip(selections, numbers)]
        asked = [key for key in dict.fromkeys(chosen) if key not in self._memory]
        if asked:
            self._memory |= zip(asked, self._ask(asked))
        return Answers.of(torch.stack([self._memory[key] for key in chosen]))

    def at(self, example: Tensor, points: Points) -> Answers:
        """What the model says at any rows.  example: (rows,), the example of each.  points: a slice -> (rows, *shape)."""
        return Answers.of(self.engine.outputs(example, points, self._read))

    def selected(self, mask: Tensor, example: Tensor, removed: Tensor, row: Tensor) -> Tensor:
        """Inputs in which some coefficients alone are kept, or alone removed. Shape: (rows, *shape).

        mask: True for these coefficients, (masks, *coeff).  example: of each mask, (masks,).  removed: of each row, (rows,).
        row: the number of the mask of each row, (rows,).  For a linear T, what is kept is x₀ + r, what is left is x - r, and
        r = T⁻¹(mask ⊙ (z - z₀)) is computed once for both.
        """
        att, removed = self.attribution, removed.reshape(-1, *[1] * (mask.ndim - 1))
        if TransformClaim.LINEAR not in att.transform.claims:
            return keep_only(att, mask[row] != removed, example[row])
        part, of = att.transform.inverse(att.displacement[example] * mask)[row], example[row]
        sign = (1 - 2 * removed.to(part)).reshape(-1, *[1] * (part.ndim - 1))
        return torch.addcmul(self.ends[of, 1 - removed.flatten().long()], part, sign)

    def _ask(self, asked: Sequence[Key]) -> Tensor:
        """What the model says, (asked, batch, 4). The two sides of a selection stand next to each other."""
        masks, batch = sorted({(ranking, count) for ranking, _, count in asked}), len(self.ends)
        device, place = self.known.device, {mask: number for number, mask in enumerate(masks)}
        numbers = torch.tensor([count for _, count in masks], device=device)
        sides = torch.tensor([removed for _, removed, _ in asked], device=device).repeat_interleave(batch)
        of = torch.tensor([place[ranking, count] for ranking, _, count in asked], device=device)
        row = (of[:, None] * batch + torch.arange(batch, device=device)).flatten()  # mask and example as one number
        row, turned = row.sort(stable=True)

        def points(part: slice) -> Tensor:
            distinct, inverse = row[part].unique_consecutive(return_inverse=True)
            mask, example = distinct // batch, distinct % batch
            kept = self._first([ranking for ranking, _ in masks], numbers, mask, example)
            return self.selected(kept, example, sides[turned[part]], inverse)

        found = self.at(row % batch, points).table
        return torch.empty_like(found).index_copy_(0, turned, found).unflatten(0, (len(asked), batch))

    def _first(self, rankings: Sequence[str], numbers: Tensor, mask: Tensor, example: Tensor) -> Tensor:
        """True for the first coefficients of some selections, (rows, *coeff).  mask: their numbers, which rise."""
        most, found = numbers[mask, example].reshape(-1, *[1] * (self.attribution.values.ndim - 1)), []
        named = [rankings[number] for number in mask.tolist()]
        for ranking in dict.fromkeys(named):
            part = slice(named.index(ranking), len(named) - named[::-1].index(ranking))
            found.append(self.rank(ranking)[example[part]] < most[part])
        return found[0] if len(found) == 1 else torch.cat(found)

    def _read(self, output: Any, example: Tensor) -> Tensor:
        """score, probability, margin and prediction of each row, (rows, 4)."""
        score = self.engine.checked(output, example)
        nothing = torch.full_like(score, torch.nan)
        probability = self.engine.score.probability(output, example)
        if probability is None:
            return torch.stack([score, nothing, nothing, nothing], 1)
        logits = real_output(output, example)
        logits, own, margin = logits.reshape(len(logits), -1), self._own_class(logits), nothing
        if own is not None:
            own = own.to(logits.device)[example][:, None]
            margin = (logits.gather(1, own)[:, 0] - logits.scatter(1, own, -torch.inf).amax(1)).to(score)
        return torch.stack([score, probability, margin, logits.argmax(1).to(score)], 1)

    def _own_class(self, logits: Tensor) -> Tensor | None:
        """The one class of each example's target, (batch,), or None.  logits: (rows, classes)."""
        score = self.engine.score
        if isinstance(score.choose, Entries):
            return score.choose.flat(tuple(logits.shape[1:]))
        return None if score.classes is None or score.classes.shape[1] != 1 else score.classes[:, 0]


@contextlib.contextmanager
def judging(
    model: Callable[..., Any], attribution: Attribution, target: Any, cost: int, **options: Unpack[Judging]
) -> Iterator[Judged]:
    """Context: the map and its open model, which has been read at x and x₀.

    cost: the largest number of evaluations for one example.  options: as in `measure`.
    """
    own: dict[str, Any] = {name: options.pop(name, None) for name in _OWN}  # type: ignore[misc]
    own |= {
        "seed": check_seed("metrics", own["seed"] or 0),
        "orders": dict(own["orders"] or {}),
        "model": model,
        "target": target,
    }
    own["options"] = {name: value for name, value in options.items() if name != "progress"}
    z, transform = attribution.coefficients, attribution.transform
    ends = torch.stack([transform.inverse(z), transform.inverse(z - attribution.displacement)], 1)
    planned = len(z) * (2 + cost)
    with open_engine(model, ends[:, 0], target, **options) as engine:  # type: ignore[misc]
        engine.count.planned = planned
        run = read_checked(engine, ends, evaluations=planned)
        _check_target(engine, attribution)
        choose_form(run, planned, gradients=False, invariant=True)
        with engine.prepared.numerics():
            yield Judged(attribution, engine, ends, run.known, **own)
        run.finish()


def _check_target(engine: Engine, attribution: Attribution) -> None:
    """Raises: ValueError where the settings of the map name another entry of the output than the target."""
    choose, known = engine.score.choose, attribution.settings.get("target")
    if not isinstance(choose, Entries) or not isinstance(known, int | list):
        return
    other = choose.first_other(known)
    if other is None:
        return
    example, made, wanted = other
    kind, names = ("class", (made[0], wanted[0])) if len(made) == 1 else ("entry", (made, wanted))
    where = "" if isinstance(known, int) and choose.same else f" in example {example}"
    what = f"the map explains {kind} {names[0]}, and target is {names[1]}{where}"
    raise ValueError(f"measure: {what}; pass the target of the map.")
