"""Whether a small change of the signal leaves a map as it is."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attribution import Attribution
from ..attribution.result import coefficient_count, keep_only
from ..core.checks import check_count, check_number
from .base import Invariance, Metric, Needs, Scores, register
from .explainer import map_cost
from .judged import Judged
from .perturbation import Noise, Perturbation, perturbation, ways
from .similarity import cosine, covectors

_AMOUNTS = {"noise": 0.05, "shift": 1, "jpeg": 75}


@register("max_sensitivity")
@dataclass(frozen=True)
class MaxSensitivity(Metric):
    """max over δ of ‖g(x + δ) - g(x)‖ / ‖g(x)‖, ‖δ‖ = radius ‖x‖: the largest change of the map under noise.

    g: the covector of the map in z (the values of sensitivities, T.adjoint(ḡ) of shares that keep ḡ, else the values). Both
    norms are ℓ2, of the signal and of z, so orthonormal domains have equal numbers. A map that never changes has 0, a good
    one need not: compare methods by it, together with a metric of faithfulness. A method that draws random numbers draws
    others at x + δ, so that its number holds that noise too.

    radius: ‖δ‖ / ‖x‖.  samples: the number of directions, fixed by the seed. The largest of more samples is larger:
    numbers of different `samples` cannot be compared. The curve holds each of them.
    NaN for an all-zero map or signal.  Raises: ValueError unless radius > 0 and samples ≥ 1.
    """

    radius: float = 0.05
    samples: int = 10
    formula = "max over ‖δ‖ = radius ‖x‖ of ‖g(x + δ) - g(x)‖ / ‖g(x)‖, ℓ2 norms, g the covector of the map"
    source = "Yeh et al. 2019, definition 2.2"
    better = "lower"
    invariant = Invariance.ORTHONORMAL
    needs = Needs.EXPLAIN
    examples = classmethod(lambda cls: [cls(samples=2)])

    def __post_init__(self) -> None:
        check_count(self.name, "samples", self.samples)
        if not check_number(self.name, "radius", self.radius, 0):
            raise ValueError(f"{self.name}: radius, ‖δ‖ / ‖x‖, must be above 0.")

    def cost(self, attribution: Attribution) -> int:
        return self.samples * map_cost(attribution)

    def measure(self, judged: Judged) -> Scores:
        noise, own = Noise(self.radius, self.samples), covectors(judged.attribution).flatten(1)
        size, x = own.norm(dim=1), judged.signal
        changes = []
        for way in range(self.samples):
            other = covectors(judged.explained(noise(x, way, judged.seed))).flatten(1)
            changes.append((other - own).norm(dim=1) / size.where(size > 0, torch.nan))
        curve = torch.stack(changes, 1).where(x.flatten(1).any(1)[:, None], torch.nan)
        return Scores(curve.amax(1), curve, tuple(map(float, range(1, self.samples + 1))))


@register("top_k_stability")
@dataclass(frozen=True)
class TopKStability(Metric):
    """The cosine of x_S - x₀ and x'_S' - x₀' moved back: whether a changed signal x' has the same part selected by |a|.

    x_S = T⁻¹(z₀ + 1_S ⊙ (z - z₀)), S the first coefficients by |a|, as `Attribution.signal`. 1 where the selected signals
    agree. After a shift the coefficients of a wavelet transform are others, not the same ones elsewhere; signals can be
    moved back in any domain, so that domains can be compared. `details` has "overlap", |S ∩ S'| / |S| (batch, changes); after
    a shift it compares coefficients that lie at different places.

    under: "noise" in random directions, "shift" to both sides along each axis, or "jpeg" (images only, needs Pillow).
    amount: ‖δ‖ / ‖x‖ of noise (0.05), samples of a shift (1), quality of JPEG (75).  keep: |S| over the number of samples.
    samples: the number of noisy signals.
    The value is the mean over the changes; NaN where a map or a selected signal is zero.
    Raises: ValueError that lists the choices; where the signals are no images for JPEG, or have no axis to shift along.
    """

    under: str = "noise"
    amount: float | None = None
    keep: float = 0.1
    samples: int = 5
    formula = "mean over changes x' of cos(x_S - x₀, x'_S' - x₀' moved back), S and S' the first coefficients by |a|"
    source = "Ghorbani, Abid & Zou 2019, section 3 (top-k intersection); between signals: this project"
    better = "higher"
    needs = Needs.EXPLAIN
    examples = classmethod(lambda cls: [cls(samples=2), cls("shift")])

    def __post_init__(self) -> None:
        if not check_number(self.name, "keep", self.keep, 0, 1):
            raise ValueError(f"{self.name}: keep must lie in (0, 1], got {self.keep}.")
        self._change()

    def cost(self, attribution: Attribution) -> int:
        return len(ways(self._change(), attribution.transform.shape)) * map_cost(attribution)

    def measure(self, judged: Judged) -> Scores:
        change, own = self._change(), judged.attribution
        mask, count = own.keep_mask(self.keep), coefficient_count(self.keep, own.transform)
        found, overlap, selected = [], [], _selected(own, mask)
        for way in ways(change, own.transform.shape):
            other = judged.explained(change(judged.signal, way, judged.seed))
            kept = other.keep_mask(self.keep)
            found.append(cosine(selected, change.back(_selected(other, kept), way)))
            overlap.append((mask & kept).flatten(1).sum(1).to(selected) / min(count, mask[0].numel()))
        curve = torch.stack(found, 1)
        return Scores(curve.mean(1), curve, tuple(map(float, range(1, len(found) + 1))), {"overlap": torch.stack(overlap, 1)})

    def _change(self) -> Perturbation:
        amount = _AMOUNTS.get(self.under, 0) if self.amount is None else self.amount
        return perturbation(self.name, self.under, amount, self.samples)


def _selected(attribution: Attribution, mask: Tensor) -> Tensor:
    """x_S - x₀, (batch, *shape); zero where the map is zero, which selects nothing."""
    start = attribution.transform.inverse(attribution.coefficients - attribution.displacement)
    some = attribution.values.flatten(1).any(1).reshape(-1, *[1] * (start.ndim - 1))
    return (keep_only(attribution, mask) - start) * some
