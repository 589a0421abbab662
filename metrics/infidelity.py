"""Infidelity: how well a map foretells the change of the score under small changes of the signal."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..attribution import Attribution
from ..attribution.engine.random import fill
from ..attribution.pullback import analysis_transpose
from ..core.checks import check_choice, check_count, check_number
from ..transforms import TransformClaim
from .base import Invariance, Metric, Needs, Scores, register
from .judged import Judged

PERTURBATIONS = ("noise", "noisy_baseline")


def sensitivities(attribution: Attribution) -> Tensor:
    """φ, the values as sensitivities, (batch, *coeff): shares are divided by z - z₀.

    Where z = z₀, a share says nothing; then φ is that of the covector where the map has one, else NaN.
    """
    if attribution.kind == "sensitivity":
        return attribution.values
    moved, covector = attribution.displacement, attribution.covector
    linear = TransformClaim.LINEAR in attribution.transform.claims
    known = attribution.transform.adjoint(covector) if covector is not None and linear else torch.nan
    return torch.where(moved != 0, attribution.values / moved.where(moved != 0, 1), known)


@register("infidelity")
@dataclass(frozen=True)
class Infidelity(Metric):
    """E[(⟨I_z, φ⟩ - (f(x) - f(x - I)))²], φ the map as sensitivities, I random in the signal and I_z = z - T(x - I).

    In squared units of the score. The law of I is that of the signal in every domain, and φ is a covector, so for any linear T
    with T⁻¹ T x = x the number is the same: ⟨T I, (T⁻¹)ᵀ ḡ⟩ = ⟨I, ḡ⟩. So it cannot rank domains; it compares methods, and finds
    wrong adjoints. Were I drawn for each coefficient, it would rank the laws of I.

    perturbation: "noise", I normal; "noisy_baseline", I = x - x₀ + noise, for shares of f(x) - f(x₀).
    size: the standard deviation of the noise, over the root mean square of x - x₀.  samples: the number of perturbations.
    scaled: whether φ is multiplied by β = max(0, E[⟨I_z, φ⟩ Δf] / E[⟨I_z, φ⟩²]), which fits it best. Captum takes a negative β
    too, by which -φ would be as good as φ.
    `details`: "scaled" and "beta"; "relative", the number over E[(f(x) - f(x - I))²], 1 for a map of zeros.
    """

    formula = "E_I (⟨T I, φ⟩ - (f(x) - f(x - I)))², φ = a / (z - z₀) for shares, I random in the signal"
    source = "Yeh et al. 2019, definition 2.1; β: Captum, normalize=True"
    better = "lower"
    invariant = Invariance.LINEAR
    needs = Needs.SIGNED
    perturbation: Literal["noise", "noisy_baseline"] = "noise"
    size: float = 0.1
    samples: int = 50
    scaled: bool = False

    def __post_init__(self) -> None:
        check_choice(self.name, "perturbation", self.perturbation, PERTURBATIONS)
        check_count(self.name, "samples", self.samples)
        if check_number(self.name, "size", self.size, 0) == 0 and self.perturbation == "noise":
            raise ValueError(f"{self.name}: expected a size above 0, got {self.size}.")

    def cost(self, attribution: Attribution) -> int:
        return self.samples

    def measure(self, judged: Judged) -> Scores:
        product, change = self._changes(judged)
        fit = (product * change).mean(0) / product.square().mean(0)
        plain, scaled = ((factor * product - change).square().mean(0) for factor in (1, fit.clamp(min=0)))
        details = {"scaled": scaled, "beta": fit, "relative": plain / change.square().mean(0)}
        return Scores((scaled if self.scaled else plain).to(judged.known), details=details)

    def _changes(self, judged: Judged) -> tuple[Tensor, Tensor]:
        """⟨I_z, φ⟩ and f(x) - f(x - I), each (samples, batch)."""
        att, batch = judged.attribution, len(judged.ends)
        phi, back = sensitivities(att), None
        if TransformClaim.LINEAR in att.transform.claims:
            back = analysis_transpose(att.transform, phi)  # ⟨T I, φ⟩ = ⟨I, Tᵀ φ⟩
        example = torch.arange(batch, device=phi.device).repeat(self.samples)
        product = torch.empty(len(example), device=phi.device).double()

        def points(part: slice) -> Tensor:
            of, moved = example[part], self._perturbed(judged, example, part)
            step = judged.ends[of, 0] - moved
            pairs = (step, back) if back is not None else (att.coefficients[of] - att.transform(moved), phi)
            product[part] = (pairs[0].double() * pairs[1][of]).flatten(1).sum(1)
            return moved

        score = judged.at(example, points).score.reshape(self.samples, batch)
        return product.reshape(self.samples, batch), (judged.known[0] - score).double()

    def _perturbed(self, judged: Judged, example: Tensor, part: slice) -> Tensor:
        """x - I of some rows. The noise is keyed by ‖x‖ to three digits, which rounding in T⁻¹ T x does not change."""
        of, batch = example[part], len(judged.ends)
        x, base = judged.ends[of].unbind(1)
        names = [f"{size:.3g}".encode() for size in x.double().flatten(1).norm(dim=1).tolist()]
        samples = [f"infidelity/{row // batch}" for row in range(part.start, part.stop)]
        noise = fill(torch.empty_like(x), Tensor.normal_, judged.seed, names, samples)
        rms = (x - base).flatten(1).norm(dim=1) / math.sqrt(x[0].numel())
        start = x if self.perturbation == "noise" else base
        return start - self.size * rms.reshape(-1, *[1] * (x.ndim - 1)) * noise

    @classmethod
    def examples(cls) -> list[Metric]:
        return [cls(), cls(perturbation="noisy_baseline", scaled=True)]
