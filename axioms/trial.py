"""`Trial`: a method under test on one problem, with its maps, what they cost, and the residual that rounding explains."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..attribution import Attribution, Estimator, Pullback
from ..attribution.call import BaselineLike, run
from ..attribution.methods.gradients import Gradient
from ..core.copies import copied
from ..core.precision import tolerance
from ..transforms.laws import relative_distance
from .case import Case
from .cheap_forms import cheap_form, fixed_form
from .rewrites.modules import small_network
from .sandbox import sandbox
from .tolerances import Tolerance, condition
from .validate_map import read_map, short

MethodFunction = Callable[[nn.Module, Tensor, Any, Tensor], Tensor]  # (f, z, target, z₀) -> values of z's shape
Form = Literal["full", "cheap", "fixed"]  # as it is; with few nodes or samples; with nodes that do not depend on f
MOST_ROUNDING = 1e-2  # the largest tolerance for rounding; above it, double precision decides
_PATH = (1.0, 0.6, 0.3, 0.05)  # where on the path from x₀ to x rounding is measured; it is larger near the baseline


@dataclass(eq=False)
class Trial:
    """A method under test on one problem. Maps and tolerances of the problem itself are measured once.

    given: a copy of the model in its own mode; `case.model` is in eval mode.  override: the caller's own tolerance.
    side_effects: what a callable changed and did not put back.  map_dtype: of its maps, where narrower than that of x.
    """

    method: Estimator | MethodFunction
    case: Case
    given: nn.Module
    baseline: BaselineLike
    seed: int
    override: float | None = None
    evaluations: int = 0  # of the model so far
    side_effects: dict[str, None] = field(default_factory=dict)
    map_dtype: torch.dtype | None = None
    _maps: dict[tuple[Form, int], Tensor] = field(default_factory=dict)
    _first: nn.Module | None = None

    @property
    def estimator(self) -> Estimator | None:
        """The method where it is an Estimator, None where it is a callable."""
        return self.method if isinstance(self.method, Estimator) else None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of x, or that of the maps where it is narrower."""
        return self.map_dtype or self.case.x.dtype

    def form(self, form: Form) -> Estimator | None:
        """The estimator in this form; None for a callable, which has one form only."""
        if self.estimator is None or form == "full":
            return self.estimator
        return cheap_form(self.estimator) if form == "cheap" else fixed_form(self.estimator)

    @property
    def adaptive(self) -> bool:
        """Whether the method chooses its nodes by looking at f, so that two functions get different nodes."""
        return self.form("fixed") != self.form("cheap")

    def generator(self, salt: int) -> torch.Generator:
        """A generator that depends on the seed and on `salt`."""
        return torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + salt)

    def normal(self, *shape: int, salt: int) -> Tensor:
        """Standard normal numbers in the dtype and on the device of x."""
        return torch.randn(*shape, generator=self.generator(salt), dtype=torch.double).to(self.case.x)

    def map(self, case: Case, form: Form = "full", reseed: int = 0) -> Tensor:
        """The method's values on a problem, (batch, *coeff), computed anew.  Raises: MethodFault, or what the method raises."""
        estimator = self.form(form)
        if estimator is None:
            return self._called(case, self.seed + reseed)
        return self.attribution(case, estimator, reseed).values

    def reference(self, form: Form = "full", reseed: int = 0) -> Tensor:
        """The method's values on the problem itself, computed once for each form and seed."""
        if self.form(form) == self.estimator:
            form = "full"
        elif not self.adaptive:
            form = "cheap"
        if (form, reseed) not in self._maps:
            first = self.estimator is not None and form == "full" and not reseed
            self._maps[form, reseed] = self.found.values if first else self.map(self.case, form, reseed)
        return self._maps[form, reseed]

    @functools.cached_property
    def found(self) -> Attribution:
        """The attribution of the problem itself by an estimator, with all details."""
        assert self.estimator is not None
        return self.attribution(self.case, self.estimator)

    def attribution(self, case: Case, estimator: Estimator, reseed: int = 0) -> Attribution:
        """The attribution of a problem by an estimator, without a warning where a cheap form misses its tolerance."""
        options: dict[str, Any] = {"method": estimator, "baseline": case.base, "seed": self.seed + reseed}
        with self._counted(case.model):
            return Attribution(**run(case.model, case.x, case.target, [case.transform], **options)[0])

    def _called(self, case: Case, seed: int) -> Tensor:
        """The values that a callable returns. Each call gets a copy of the model, which the callable may change."""
        z, base, target = case.transform(case.x), case.transform(case.base), case.target_argument()
        model = copied(case.model)
        f = Pullback(model, copied(case.transform))
        f.training = model.training  # the model keeps its own mode
        self._first = self._first or f  # kept alive: no later copy may get its id, by which a method could recognise it
        with self._counted(model), sandbox(f, seed, z.device, self.side_effects):
            values = self.method(f, z.clone(), target, base.clone())  # type: ignore[operator]
        found = read_map(values, z)
        if torch.finfo(values.dtype).eps > torch.finfo(self.dtype).eps:
            self.map_dtype = values.dtype
        return found

    def scores(self, case: Case) -> tuple[Tensor, Tensor]:
        """f(x) and f(x₀) of a problem, (batch,) each; their evaluations are counted."""
        with self._counted(case.model):
            return case.scores()

    @contextlib.contextmanager
    def _counted(self, model: nn.Module) -> Iterator[None]:
        def count(module: nn.Module, args: tuple[Any, ...]) -> None:
            self.evaluations += len(args[0])

        with model.register_forward_pre_hook(count):
            yield

    def take_evaluations(self) -> int:
        """Returns the evaluation counter and resets it."""
        evaluations, self.evaluations = self.evaluations, 0
        return evaluations

    @functools.cached_property
    def is_random(self) -> bool:
        """Whether the seed changes the map. A small network shows it too, at almost no cost."""
        network = small_network(self.case.shape, classes=1, width=4).to(self.case.x)
        small = replace(self.case, model=network, target=0)
        try:
            return relative_distance(self.map(small, "cheap"), self.map(small, "cheap", 1)) > 0
        except Exception:  # a method for one architecture may raise anything on another
            return relative_distance(self.reference("cheap"), self.reference("cheap", 1)) > 0

    @functools.cached_property
    def seed_spread(self) -> float:
        """The largest distance between cheap maps of this seed and of three others; 0 for a method that is not random."""
        others = (1, 2, 3) if self.is_random else ()
        return max((relative_distance(self.reference("cheap", seed), self.reference("cheap")) for seed in others), default=0.0)

    @functools.cached_property
    def double(self) -> "Trial | None":
        """The trial in double precision; None where x has it already, or where the model cannot run in it."""
        if self.case.x.dtype == torch.double:
            return None
        case = self.case.in_double()
        given = case.model if self.given is self.case.model else copied(self.given).double()
        other = Trial(self.method, case, given, self.baseline, self.seed, self.override, side_effects=self.side_effects)
        try:
            other.scores(case)
        except (RuntimeError, ValueError, TypeError):
            return None
        return other

    @property
    def tolerance(self) -> Tolerance:
        """The caller's tolerance, or that for rounding."""
        return self.rounding if self.override is None else Tolerance(self.override, "given by the caller")

    @property
    def rounding(self) -> Tolerance:
        """(rounding of the dtype + 3 × the measured noise floor of the model) × the condition of T."""
        rounding, noise, factor = tolerance(self.dtype), self.noise_floor, self._condition
        source = f"(rounding of {short(self.dtype)} {rounding:.1e} + 3 × noise floor of the model {noise:.1e})"
        source, full = f"{source} × condition of T {factor:.1f}", (rounding + 3 * noise) * factor
        capped = f", capped at {MOST_ROUNDING:g}" if full > MOST_ROUNDING else ""
        return Tolerance(min(full, MOST_ROUNDING), source + capped)

    @functools.cached_property
    def _condition(self) -> float:
        return condition(self.case.transform, self.case.x)

    @functools.cached_property
    def noise_floor(self) -> float:
        """The relative rounding error of ∇f, the largest at a few points of the path from x₀ to x."""
        signal = self.case.in_signal()
        worst = max(self._gradient_error(signal, salt, share) for salt, share in enumerate(_PATH))
        self.evaluations += 0 if self.double is None else self.double.take_evaluations()
        return worst

    def _gradient_error(self, case: Case, salt: int, share: float) -> float:
        """The distance of ∇f at x₀ + share · (x - x₀) to ∇f in double precision.

        Where the model does not run in it, the change of ∇f when x changes by 4 units in its last place.
        """
        point = case.base + share * (case.x - case.base)
        here = self.attribution(replace(case, x=point), Gradient()).values.double()
        if self.double is not None:
            other, moved = self.double, replace(self.double.case, x=point.double(), transform=case.transform)
        else:
            step = 4 * torch.finfo(point.dtype).eps * case.x.flatten(1).abs().amax(1)
            signs = self.normal(*point.shape, salt=11 + salt).sign()
            other, moved = self, replace(case, x=point + step.reshape(-1, *[1] * (point.ndim - 1)) * signs)
        return relative_distance(here, other.attribution(moved, Gradient()).values.double())
