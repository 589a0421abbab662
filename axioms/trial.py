"""`Trial`: a method on trial, with the questions put to it, its answers, and what rounding alone would explain."""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attribution import Estimator, Pullback, attribute
from ..attribution.attribute import Baseline
from ..attribution.gradients import Gradient
from ..attribution.result import analysis_transpose
from ..attribution.rows import Rows, budget, feed_dtype
from ..attribution.score import Score, Target
from ..transforms import Claim, Pixel, Transform
from .modules import small_network
from .report import tolerance
from .transform_laws import gap

Foreign = Callable[[nn.Module, Tensor, Any, Tensor], Tensor]
FLOOR_CAP = 5e-2  # a model noisier than this could hide what is broken in substance


class MethodFault(Exception):
    """The method's answer is no map of the coefficients; the message says what it is."""


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

    def rows(self, index: Sequence[int]) -> "Case":
        """The question about some examples, in this order."""
        target = self.target
        if isinstance(target, Tensor) and target.ndim == 1:
            target = target[torch.as_tensor(index, device=target.device)]
        elif isinstance(target, Sequence):
            target = [target[i] for i in index]
        return replace(self, x=self.x[list(index)], base=self.base[list(index)], target=target)

    def scores(self) -> tuple[Tensor, Tensor]:
        """f(x) and f(x₀), each (batch,), in double precision."""
        score = Score.of(self.target, len(self.x), self.x.device)
        rows = Rows(self.model, score, budget("auto", tuple(self.x.shape[1:]), self.x.device),
                    feed_dtype(self.model, self.x.dtype))  # fmt: skip
        example = torch.arange(len(self.x), device=self.x.device)
        point, origin = (rows.values(example, points.__getitem__).double() for points in (self.x, self.base))
        return point, origin


@dataclass(frozen=True)
class Limit:
    """The largest residual that is not held against the method, and where it comes from."""

    value: float
    source: str

    def plus(self, extra: float, source: str) -> "Limit":
        return self if extra <= 0 else Limit(self.value + extra, f"{self.source} + {extra:.1e} {source}")


@dataclass(eq=False)
class Trial:
    """One method, one question, and the seed of everything that is drawn.

    given: a copy of the model in the mode in which it was given; `case.model` is one in eval mode.
    """

    method: Estimator | Foreign
    case: Case
    given: nn.Module
    baseline: Baseline
    seed: int
    override: float | None = None
    spent: int = 0  # model rows so far
    reported: float = 0.0  # largest relative error that the method has reported of its own maps
    _cache: dict[str, Any] = field(default_factory=dict)

    @property
    def own(self) -> Estimator | None:
        return self.method if isinstance(self.method, Estimator) else None

    def generator(self, salt: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + salt)

    def normal(self, *shape: int, salt: int = 0) -> Tensor:
        """Standard normal numbers in the dtype and on the device of x."""
        return torch.randn(*shape, generator=self.generator(salt), dtype=torch.double).to(self.case.x)

    # The method's answers --------------------------------------------------------------------------------------------

    def map(self, case: Case, reseed: int = 0, method: Estimator | None = None) -> Tensor:
        """The method's values, (batch, *coeff).  Raises: MethodFault, or what the method raises."""
        with self._counted(case.model):
            estimator = method or self.own
            if estimator is not None:
                found = attribute(case.model, case.x, case.target, method=estimator, transform=case.transform,
                                  baseline=case.base, seed=self.seed + reseed)  # fmt: skip
                if "map_error" in found.details:
                    self.reported = max(self.reported, float(found.details["map_error"].max()))
                return found.values
            return self._ask(case, self.seed + reseed)

    def _ask(self, case: Case, seed: int) -> Tensor:
        z, base = case.transform(case.x), case.transform(case.base)
        g = Pullback(case.model, case.transform)
        g.training = case.model.training  # the model's own mode stays as it is
        with random_state(seed, z.device), torch.enable_grad():
            values = self.method(g, z.clone(), case.target, base.clone())  # type: ignore[operator]
        if not isinstance(values, Tensor):
            raise MethodFault(f"returned {type(values).__name__}; expected a tensor of z's shape, {tuple(z.shape)}")
        if values.shape != z.shape:
            raise MethodFault(f"returned shape {tuple(values.shape)}; expected z's shape, {tuple(z.shape)}")
        if not bool(values.isfinite().all()):
            raise MethodFault(f"returned {int((~values.isfinite()).sum())} numbers that are NaN or infinite")
        return values.detach()

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
        return self._once("answer", lambda: self.map(self.case))

    @property
    def reseeded(self) -> Tensor:
        """The map with another seed."""
        return self._once("reseeded", lambda: self.map(self.case, 1))

    @property
    def sampling(self) -> float:
        """How far maps of other seeds are from the map of this one; 0 for a method that draws nothing."""
        return self._once("sampling", self._sampling)

    def _sampling(self) -> float:
        # Whether it draws at all is seen on a small network too, and costs nothing there.
        small = replace(
            self.case, model=small_network(tuple(self.case.x.shape[1:]), classes=1, width=4).to(self.case.x), target=0
        )
        if gap(self.map(small), self.map(small, 1)) == 0:
            return 0.0
        return max(gap(self.reseeded, self.answer), *(gap(self.map(self.case, seed), self.answer) for seed in (2, 3)))

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    # What rounding explains ------------------------------------------------------------------------------------------

    @property
    def limit(self) -> Limit:
        """dtype × condition of T, or 3 × the model's measured noise floor where that is more; or the user's own."""
        if self.override is not None:
            return Limit(self.override, "given by the caller")
        return self._once("limit", self._limit)

    @property
    def approximate(self) -> Limit:
        """`limit`, and twice what the method reports as the error of its maps, for laws that compare two different maps."""
        if self.override is not None:
            return self.limit
        return self.limit.plus(2 * self.reported, "for two maps whose own reported error is half of that")

    def _limit(self) -> Limit:
        case = self.case
        rounding, floor = tolerance(case.x.dtype), self.floor
        factor = condition(case.transform, case.x)
        if 3 * floor > rounding * factor:
            return Limit(min(3 * floor, FLOOR_CAP), f"3 × the model's noise floor {floor:.1e}"
                         + (f", capped at {FLOOR_CAP:g}" if 3 * floor > FLOOR_CAP else ""))  # fmt: skip
        return Limit(rounding * factor, f"rounding of {str(case.x.dtype).removeprefix('torch.')} {rounding:.1e} × condition "
                                        f"of T {factor:.1f} (noise floor of the model {floor:.1e})")  # fmt: skip

    @property
    def floor(self) -> float:
        """Relative change of ∇f where the input changes by 16 units in its last place: what rounding in f can do."""
        return self._once("floor", self._floor)

    def _floor(self) -> float:
        case = replace(self.case, transform=Pixel(tuple(self.case.x.shape[1:])))
        step = 16 * torch.finfo(case.x.dtype).eps
        size = case.x.flatten(1).abs().amax(1).reshape(-1, *[1] * (case.x.ndim - 1))
        worst = 0.0
        for salt, share in ((11, 1.0), (12, 0.5)):
            point = case.base + share * (case.x - case.base)
            signs = self.normal(*case.x.shape, salt=salt).sign()
            before, after = (
                self.map(replace(case, x=p), method=Gradient()) for p in (point, point + step * size * signs)
            )
            worst = max(worst, gap(before, after))
        return worst


@contextlib.contextmanager
def random_state(seed: int, device: torch.device) -> Iterator[None]:
    """All global generators start from `seed` inside, and are as before outside."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  (what other people's code draws from)
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def condition(transform: Transform, x: Tensor, iterations: int = 12) -> float:
    """‖T‖ ‖T⁻¹‖, by power iteration; for other T the amplification of small changes of z by T⁻¹, measured at T x."""
    if Claim.ORTHOGONAL in transform.claims:
        return 1.0
    z = transform(x[:1])
    generator = torch.Generator().manual_seed(0)

    def draw(shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.double).to(z)

    if Claim.LINEAR not in transform.claims:
        noise = draw(z.shape)
        step = 1e-3 * z.norm() * noise / noise.norm()
        change = transform.inverse(z + step) - transform.inverse(z)
        return max(1.0, float(change.norm() / x[:1].norm().clamp(min=1e-12) * 1e3))
    synthesis, analysis = draw(z.shape), draw(x[:1].shape)
    gains = [1.0, 1.0]
    for _ in range(iterations):
        synthesis, analysis = synthesis / synthesis.norm(), analysis / analysis.norm()
        pulled, lifted = (
            transform.adjoint(transform.inverse(synthesis)),
            analysis_transpose(transform, transform(analysis)),
        )
        gains = [float(pulled.norm()), float(lifted.norm())]
        synthesis, analysis = pulled, lifted
    return max(1.0, (gains[0] * gains[1]) ** 0.5)
