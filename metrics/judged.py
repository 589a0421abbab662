"""`Judged`: a map and the open model that it explains, as metrics see them."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from ..attribution import Attribution, open_engine
from ..attribution.engine.engine import Engine, Points
from ..attribution.engine.entries import Entries
from ..attribution.engine.faster_form import choose_form
from ..attribution.engine.open_engine import read_checked
from ..attribution.engine.score import real_output
from ..attribution.result import keep_only
from ..core.progress import Progress
from ..core.tensors import ranks
from .selection import Selection, counts, order

Explain = Callable[[Any, Tensor], Attribution]


class Judging(TypedDict, total=False):
    """The options of `measure`."""

    truth: Tensor | None
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


@dataclass(eq=False)
class Judged:
    """A map, and what the model answers at the inputs that metrics ask for. Each distinct selection is evaluated once.

    known: f at x and x₀, (2, batch).  seed: of all that is random.
    truth: True for the coefficients that matter, (batch, *coeff).
    explain: (model, x) -> the map of the same method, where one can be made.  orders: more rankings, (batch, *coeff).
    """

    attribution: Attribution
    engine: Engine
    known: Tensor
    seed: int = 0
    truth: Tensor | None = None
    explain: Explain | None = None
    orders: dict[str, Tensor] = field(default_factory=dict)
    _ranks: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _answers: dict[Any, Tensor] = field(default_factory=dict, repr=False)

    @property
    def difference(self) -> Tensor:
        """f(x) - f(x₀), (batch,), NaN where it is zero, so that ratios say that they are not defined."""
        difference = self.known[0] - self.known[1]
        return difference.where(difference != 0, torch.nan)

    def rank(self, ranking: str) -> Tensor:
        """The rank of every coefficient, 0 for the first, (batch, *coeff)."""
        if ranking not in self._ranks:
            own = self.orders.get(ranking)
            self._ranks[ranking] = ranks(order(self.attribution, ranking, self.seed) if own is None else own)
        return self._ranks[ranking]

    def answers(self, selections: Sequence[Selection]) -> Answers:
        """What the model says where each selection is kept or removed. Shapes: (selections, batch)."""
        chosen = [self._chosen(each) for each in selections]
        asked = [key for key in dict.fromkeys(chosen) if key not in self._answers]
        if asked:
            batch = len(self.attribution)
            example = torch.arange(batch, device=self.known.device).repeat(len(asked))
            found = self.at(example, lambda part: self._kept(asked, example, part))
            table = torch.stack([getattr(found, name) for name in Answers.__dataclass_fields__], -1)
            self._answers |= zip(asked, table.unflatten(0, (len(asked), batch)))
        return Answers.of(torch.stack([self._answers[key] for key in chosen]))

    def at(self, example: Tensor, points: Points) -> Answers:
        """What the model says at any rows.  example: (rows,), the example of each.  points: a slice -> (rows, *shape)."""
        return Answers.of(self.engine.outputs(example, points, self._read))

    def _chosen(self, selection: Selection) -> tuple[str, bool, tuple[int, ...]]:
        """The ranking, the side, and the number of coefficients of each example."""
        found = counts(self.attribution, self.rank(selection.ranking), selection.budget, selection.by)
        return selection.ranking, selection.removed, tuple(found.tolist())

    def _kept(self, asked: Sequence[tuple[str, bool, tuple[int, ...]]], example: Tensor, part: slice) -> Tensor:
        """The inputs of some rows; row r belongs to selection r // batch."""
        of, masks = example[part], []
        for row, i in enumerate(of.tolist()):
            ranking, removed, numbers = asked[(part.start + row) // len(self.attribution)]
            masks.append((self.rank(ranking)[i] < numbers[i]) != removed)
        return keep_only(self.attribution, torch.stack(masks), of)

    def _read(self, output: Any, example: Tensor) -> Tensor:
        """score, probability, margin and prediction of each row, (rows, 4)."""
        score = self.engine.checked(output, example)
        nothing = torch.full_like(score, torch.nan)
        probability = self.engine.score.probability(output, example)
        choose = self.engine.score.choose
        if probability is None or not isinstance(choose, Entries):
            return torch.stack([score, nothing if probability is None else probability, nothing, nothing], 1)
        logits = real_output(output, example)
        own = choose.flat(tuple(logits.shape[1:])).to(logits.device)[example][:, None]
        other = logits.scatter(1, own, -torch.inf).amax(1)
        return torch.stack([score, probability, score - other, logits.argmax(1).to(score)], 1)


@contextlib.contextmanager
def judging(
    model: Callable[..., Any], attribution: Attribution, target: Any, cost: int, **options: Unpack[Judging]
) -> Iterator[Judged]:
    """Context: the map and its open model, which has been read at x and x₀.

    cost: the largest number of evaluations for one example.  options: as in `measure`.
    """
    own = {name: options.pop(name, None) for name in ("truth", "explain", "orders", "seed")}  # type: ignore[misc]
    z, transform = attribution.coefficients, attribution.transform
    ends = torch.stack([transform.inverse(z), transform.inverse(z - attribution.displacement)], 1)
    planned = len(z) * (2 + cost)
    with open_engine(model, ends[:, 0], target, **options) as engine:  # type: ignore[misc]
        engine.count.planned = planned
        run = read_checked(engine, ends, evaluations=planned)
        choose_form(run, planned, gradients=False, invariant=True)
        with engine.prepared.numerics():
            yield Judged(
                attribution, engine, run.known, own["seed"] or 0, own["truth"], own["explain"], dict(own["orders"] or {})
            )
        run.finish()
