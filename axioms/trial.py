"""`Trial`: a method on trial, with the questions put to it, its answers, and what rounding alone would explain."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..attribution import Attribution, Estimator, Pullback, attribute
from ..attribution.call import BaselineLike
from ..attribution.engine.open import open_engine
from ..attribution.engine.score import Score, Target
from ..attribution.methods.gradients import Gradient
from ..core.precision import tolerance
from ..transforms import Pixel, Transform
from ..transforms.laws import relative_distance
from .cheap_forms import brief, fixed
from .rewrites.modules import small_network
from .sandbox import guarded
from .tolerances import Limit, condition
from .validate_map import read_map, short

Foreign = Callable[[nn.Module, Tensor, Any, Tensor], Tensor]
FLOOR_CAP = 1e-2  # no rounding may hide more than this; what exceeds it is settled in double precision
_PROBED = (1.0, 0.6, 0.3, 0.05)  # shares of the path at which rounding is measured: more of it shows near the baseline


@dataclass(frozen=True, eq=False)
class Case:
    """One question to a method: how is f(x) - f(x₀) shared out among the coefficients of T x?

    x, base: (batch, *shape).
    """

    model: nn.Module
    x: Tensor
    base: Tensor
    target: Target
    transform: Transform

    def in_coefficients(self) -> "Case":
        """The same question about g = f∘T⁻¹, with z in the part of the signal."""
        flat = Pixel(self.transform.layout.shape)
        return Case(
            Pullback(self.model, self.transform), self.transform(self.x), self.transform(self.base), self.target, flat
        )

    def in_double(self) -> "Case":
        """The same question in double precision."""
        return replace(self, model=copy.deepcopy(self.model).double(), x=self.x.double(), base=self.base.double())

    def subset(self, index: Sequence[int]) -> "Case":
        """The question about some examples, in this order."""
        target = self.target
        if isinstance(target, Tensor) and target.ndim == 1:
            target = target[torch.as_tensor(index, device=target.device)]
        elif isinstance(target, Sequence):
            target = [target[i] for i in index]
        return replace(self, x=self.x[list(index)], base=self.base[list(index)], target=target)

    def scores(self) -> tuple[Tensor, Tensor]:
        """f(x) and f(x₀), each (batch,), in double precision."""
        example = torch.arange(len(self.x), device=self.x.device)
        with open_engine(self.model, self.x, self.target, check=False) as engine:
            point, origin = (engine.scores(example, points.__getitem__).double() for points in (self.x, self.base))
        return point, origin

    def foreign_target(self) -> Any:
        """The target as other people's code receives it: one class per example, int64 (batch,), or a callable, or None."""
        choose = Score.of(self.target, len(self.x), self.x.device).choose
        return choose.clone() if isinstance(choose, Tensor) else choose


@dataclass(eq=False)
class Trial:
    """One method, one question, and the seed of everything that is drawn.

    given: a copy of the model in the mode in which it was given; `case.model` is one in eval mode.
    """

    method: Estimator | Foreign
    case: Case
    given: nn.Module
    baseline: BaselineLike
    seed: int
    override: float | None = None
    spent: int = 0  # model rows so far
    leaks: dict[str, None] = field(default_factory=dict)  # what a foreign method did not leave as it was
    coarse: torch.dtype | None = None  # of a foreign method's maps, where that is narrower than x's
    _cache: dict[str, Any] = field(default_factory=dict)
    _first: nn.Module | None = None

    @property
    def own(self) -> Estimator | None:
        return self.method if isinstance(self.method, Estimator) else None

    @property
    def dtype(self) -> torch.dtype:
        """The narrowest dtype seen so far: of x, or of the maps that a foreign method returns."""
        return self.coarse or self.case.x.dtype

    @property
    def brief(self) -> Estimator | None:
        """Our method with few nodes or samples, None for a foreign one."""
        return None if self.own is None else brief(self.own)

    @property
    def chooses(self) -> bool:
        """Whether the method picks its nodes by looking at f, so that two questions have two quadratures."""
        return self.own is not None and fixed(self.own) != self.brief

    def generator(self, salt: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + salt)

    def normal(self, *shape: int, salt: int = 0) -> Tensor:
        """Standard normal numbers in the dtype and on the device of x."""
        return torch.randn(*shape, generator=self.generator(salt), dtype=torch.double).to(self.case.x)

    # The method's answers --------------------------------------------------------------------------------------------

    def map(self, case: Case, reseed: int = 0) -> Tensor:
        """The method's values, (batch, *coeff).  Raises: MethodFault, or what the method raises."""
        if self.own is None:
            return self._ask(case, self.seed + reseed)
        found = self.attribution(case, self.own, reseed)
        if case is self.case and not reseed:
            self._cache["found"] = found
        return found.values

    def quick(self, case: Case, reseed: int = 0) -> Tensor:
        """`map` by the brief form of an own method: for laws that hold at any number of nodes."""
        return self.map(case, reseed) if self.brief is None else self.attribution(case, self.brief, reseed).values

    def steady(self, case: Case) -> Tensor:
        """`quick`, with nodes that are the same for every question."""
        return self.map(case) if self.own is None else self.attribution(case, fixed(self.own)).values

    def attribution(self, case: Case, method: Estimator, reseed: int = 0) -> Attribution:
        """What `attribute` finds by an own method."""
        with self._counted(case.model):
            return attribute(
                case.model,
                case.x,
                case.target,
                method=method,
                transform=case.transform,
                baseline=case.base,
                seed=self.seed + reseed,
            )

    def _ask(self, case: Case, seed: int) -> Tensor:
        z, base, target = case.transform(case.x), case.transform(case.base), case.foreign_target()
        # A copy for each call: whatever the method does to it is gone with it.
        model = copy.deepcopy(case.model)
        g = Pullback(model, copy.deepcopy(case.transform))
        g.training = model.training  # the model's own mode stays as it is
        self._first = self._first or g  # stays, so that no later copy has its id: a method may go by that
        with self._counted(model), guarded(g, seed, z.device, self.leaks):
            values = self.method(g, z.clone(), target, base.clone())  # type: ignore[operator]
        found = read_map(values, z)
        if torch.finfo(values.dtype).eps > torch.finfo(self.dtype).eps:
            self.coarse = values.dtype
        return found

    @contextlib.contextmanager
    def _counted(self, model: nn.Module) -> Iterator[None]:
        def count(module: nn.Module, args: tuple[Any, ...]) -> None:
            self.spent += len(args[0])

        handle = model.register_forward_pre_hook(count)
        try:
            yield
        finally:
            handle.remove()

    def scores(self, case: Case) -> tuple[Tensor, Tensor]:
        with self._counted(case.model):
            return case.scores()

    @property
    def answer(self) -> Tensor:
        """The map of the question itself."""
        return self.seeded(0)

    @property
    def found(self) -> Attribution:
        """What an own method found on the question, with all details."""
        _ = self.answer
        return self._cache["found"]

    def seeded(self, reseed: int) -> Tensor:
        """The map of the question with another seed."""
        return self._once(f"seed {reseed}", lambda: self.map(self.case, reseed))

    @property
    def quick_answer(self) -> Tensor:
        """The brief form's map of the question."""
        return self.answer if self.brief in (None, self.own) else self._once("quick", lambda: self.quick(self.case))

    @property
    def steady_answer(self) -> Tensor:
        """The map of the question, with nodes that are the same for every question."""
        return self._once("steady", lambda: self.steady(self.case)) if self.chooses else self.quick_answer

    @property
    def draws(self) -> bool:
        """Whether the seed changes the map. That is seen on a small network too, and costs nothing there."""
        return self._once("draws", self._draws)

    def _draws(self) -> bool:
        network = small_network(tuple(self.case.x.shape[1:]), classes=1, width=4).to(self.case.x)
        small = replace(self.case, model=network, target=0)
        try:
            return relative_distance(self.quick(small), self.quick(small, 1)) > 0
        except Exception:  # a method for one architecture may raise anything on another
            return relative_distance(self.quick_answer, self.quick(self.case, 1)) > 0

    @property
    def sampling(self) -> float:
        """How far brief maps of other seeds are from that of this one; 0 for a method that draws nothing."""
        return self._once("sampling", self._sampling) if self.draws else 0.0

    def _sampling(self) -> float:
        again = self.seeded if self.brief in (None, self.own) else lambda seed: self.quick(self.case, seed)
        return max(relative_distance(again(seed), self.quick_answer) for seed in (1, 2, 3))

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    # What rounding explains ------------------------------------------------------------------------------------------

    @property
    def double(self) -> "Trial | None":
        """The same trial in double precision; None where x is in it already, or the model does not run in it."""
        return self._once("double", self._double)

    def _double(self) -> "Trial | None":
        if self.case.x.dtype == torch.double:
            return None
        case = self.case.in_double()
        given = case.model if self.given is self.case.model else copy.deepcopy(self.given).double()
        other = Trial(self.method, case, given, self.baseline, self.seed, self.override, leaks=self.leaks)
        try:
            other.scores(case)
        except (RuntimeError, ValueError, TypeError):
            return None
        return other

    @property
    def limit(self) -> Limit:
        """What rounding explains; or the user's own."""
        return self.rounding if self.override is None else Limit(self.override, "given by the caller")

    @property
    def rounding(self) -> Limit:
        """(rounding of the dtype + 3 × the model's measured noise floor) × condition of T."""
        return self._once(f"limit in {self.dtype}", self._limit)

    def _limit(self) -> Limit:
        case = self.case
        rounding, floor, factor = tolerance(self.dtype), self.floor, condition(case.transform, case.x)
        full = (rounding + 3 * floor) * factor
        source = (
            f"(rounding of {short(self.dtype)} {rounding:.1e} + 3 × noise floor of the model "
            f"{floor:.1e}) × condition of T {factor:.1f}"
        )
        return Limit(min(full, FLOOR_CAP), source + (f", capped at {FLOOR_CAP:g}" if full > FLOOR_CAP else ""))

    @property
    def floor(self) -> float:
        """Relative error of ∇f by rounding in the model, the largest at a few points of the path.

        It is the distance to the same gradient in double precision; where that cannot be had, the change of ∇f when x
        changes by 4 units in its last place.
        """
        return self._once("floor", self._floor)

    def _floor(self) -> float:
        case, double = self.case, self.double
        case = replace(case, transform=Pixel(tuple(case.x.shape[1:])))
        step = 4 * torch.finfo(case.x.dtype).eps * case.x.flatten(1).abs().amax(1).reshape(-1, *[1] * (case.x.ndim - 1))
        worst = 0.0
        for salt, share in enumerate(_PROBED):
            point = case.base + share * (case.x - case.base)
            here = self.attribution(replace(case, x=point), Gradient()).values.double()
            if double is None:
                moved = point + step * self.normal(*point.shape, salt=11 + salt).sign()
                there = self.attribution(replace(case, x=moved), Gradient()).values.double()
            else:
                exact = replace(double.case, x=point.double(), transform=case.transform)
                there = double.attribution(exact, Gradient()).values
            worst = max(worst, relative_distance(here, there))
        self.spent += 0 if double is None else double.taken()
        return worst

    def taken(self) -> int:
        """The model rows so far, which are then counted elsewhere."""
        rows, self.spent = self.spent, 0
        return rows
