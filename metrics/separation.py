"""How well selected coefficients of a mixture separate a source: measures of audio separation, with an oracle and a control.

They measure plausibility, not faithfulness: a model may recognise a voice by one of its partials.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attribution import Attribution
from ..attribution.result import coefficient_count, keep_only
from ..core.checks import check_number
from ..core.tensors import ordinary, ranks
from ..transforms import Transform
from .base import Metric, Needs, Scores, register
from .judged import Judged


def si_sdr(estimate: Tensor, reference: Tensor, *, zero_mean: bool = True) -> Tensor:
    """The scale-invariant signal-to-distortion ratio 10 log₁₀ (‖αs‖² / ‖αs - ŝ‖²), α = ⟨ŝ, s⟩ / ‖s‖², in dB.

    ŝ, s: estimate and reference, (..., samples), without their means unless zero_mean is False: a constant is not heard, and
    would count as distortion. Infinite where ŝ is a multiple of s, -∞ where they are orthogonal, NaN where one of them is zero.
    Shape: (...).  Raises: TypeError or ValueError where the two differ in shape.
    Source: Le Roux et al. 2019, equation 2. torchmetrics' scale_invariant_signal_distortion_ratio keeps the mean by default.

    >>> reference, noise = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([1.0, 1.0, -1.0, -1.0])
    >>> si_sdr(3 + 5 * reference + 0.5 * noise, reference)  # 5² / 0.5² = 100
    tensor(20.)
    """
    estimate, reference = _pair("si_sdr", estimate, reference, zero_mean)
    scaled = _coefficient(estimate, reference) * reference
    return 10 * torch.log10(_energy(scaled) / _energy(scaled - estimate))


def si_sdr_gain(estimate: Tensor, reference: Tensor, mixture: Tensor, *, zero_mean: bool = True) -> Tensor:
    """si_sdr(estimate) - si_sdr(mixture), in dB: what the estimate gains over the mixture. Shape: (...).

    >>> mixture, source = torch.tensor([2.0, 0.0, 0.0, -2.0]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    >>> si_sdr_gain(mixture, source, mixture)
    tensor(0.)
    """
    return si_sdr(estimate, reference, zero_mean=zero_mean) - si_sdr(mixture, reference, zero_mean=zero_mean)


def energy_left(estimate: Tensor, source: Tensor, corruption: Tensor) -> Tensor:
    """The share of the corruption's energy that is left in the estimate: β² of the least-squares ŝ ≈ αs + βn.

    All (..., samples), without their means. 0 where nothing of n is left, 1 where all is. NaN where s and n are parallel, or
    n is zero. Shape: (...).

    >>> source, corruption = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([1.0, 1.0, -1.0, -1.0])
    >>> energy_left(source + 0.5 * corruption, source, corruption)
    tensor(0.2500)
    """
    rest, own = _pair("energy_left", corruption, source, True)
    apart = rest - torch.where(_energy(own)[..., None] > 0, _coefficient(rest, own), 0) * own
    tiny = torch.finfo(apart.dtype).eps * apart.shape[-1]
    apart = apart.where(_energy(apart)[..., None] > tiny**2 * _energy(rest)[..., None], 0)  # parallel up to rounding
    return _coefficient(_pair("energy_left", estimate, source, True)[0], apart)[..., 0].square()


def ideal_order(transform: Transform, source: Tensor, mixture: Tensor, start: Tensor | None = None) -> Tensor:
    """(z₀ - s)² - (z - s)² of each coefficient, (batch, *coeff): what keeping it saves of the squared error, where T is
    orthogonal.

    z, s, z₀: coefficients of mixture, source and start (zero), each (batch, *shape). The first k by it are the best k that a
    selection of z can keep; with z₀ = 0 it is positive where |s| exceeds half of |z|, as in the ideal binary mask.
    Source: Wang 2005 (ideal binary mask).

    >>> T = pb.transforms.get("pixel", (1, 3))
    >>> ideal_order(T, torch.tensor([[[0.0, 2.0, 1.0]]]), torch.tensor([[[5.0, 2.0, 1.0]]]))
    tensor([[[-25.,   4.,   1.]]])
    """
    z, s = transform(mixture), transform(source)
    z0 = torch.zeros_like(z) if start is None else transform(start)
    return (z0 - s).square() - (z - s).square()


def dominant(transform: Transform, source: Tensor, corruption: Tensor) -> Tensor:
    """True where the coefficient of the source is larger than that of the corruption, (batch, *coeff): truth for localisation.

    source, corruption: (batch, *shape). In a time-frequency domain, such as stft or mdct, it is the ideal binary mask.

    >>> T = pb.transforms.get("pixel", (1, 3))
    >>> dominant(T, torch.tensor([[[0.0, 2.0, 1.0]]]), torch.tensor([[[5.0, 0.0, -3.0]]]))
    tensor([[[False,  True, False]]])
    """
    return transform(source).abs() > transform(corruption).abs()


@register("separation")
@dataclass(frozen=True)
class Separation(Metric):
    """The SI-SDR of x_S over that of x, with respect to the source, in dB: what selecting by |a| separates.

    x_S - x₀ = T⁻¹(1_S ⊙ (z - z₀)), S the first coefficients by |a|. `details` has, each (batch,): "si_sdr" of x_S; "oracle",
    the gain of the ideal selection of as many coefficients (by `ideal_order`, exact for orthogonal T); "coefficient", the gain
    of the ranking by |z - z₀|, which never sees the model; "energy_left", the share of the energy of x - source that is left.
    Channels count as one signal. NaN where the map or the source is zero.

    keep: |S| over the number of samples, in (0, 1].  Raises: ValueError for another; where the source does not fit x.
    """

    keep: float = 0.1
    formula = "SI-SDR(x_S, source) - SI-SDR(x, source), S the first coefficients by |a|, in dB"
    source = "Le Roux et al. 2019; controls: this project"
    better = "higher"
    needs = Needs.SOURCE

    def __post_init__(self) -> None:
        if not check_number(self.name, "keep", self.keep, 0, 1):
            raise ValueError(f"{self.name}: keep must lie in (0, 1], got {self.keep}.")

    def cost(self, attribution: Attribution) -> int:
        return 0

    def measure(self, judged: Judged) -> Scores:
        own, x = judged.attribution, judged.signal
        source = ordinary("source", judged.source).to(x)
        if source.shape != x.shape:
            raise ValueError(f"source: expected the shape of x, {tuple(x.shape)}; got {tuple(source.shape)}.")
        start = own.transform.inverse(own.coefficients - own.displacement)
        orders = {"attribution": own.values.abs(), "coefficient": own.displacement.abs()}
        orders["oracle"] = ideal_order(own.transform, source, x, start)
        count = coefficient_count(self.keep, own.transform)
        kept = {name: (keep_only(own, ranks(order) < count) - start).flatten(1) for name, order in orders.items()}
        s, mixture = source.flatten(1), x.flatten(1)
        gain = {name: si_sdr_gain(signal, s, mixture) for name, signal in kept.items()}
        some, mine = own.values.flatten(1).any(1), kept["attribution"]
        left = energy_left(mine, s, mixture - s)
        details = {"si_sdr": si_sdr(mine, s), "oracle": gain["oracle"], "coefficient": gain["coefficient"], "energy_left": left}
        return Scores(gain["attribution"].where(some, torch.nan), details=details)


def _pair(who: str, estimate: Tensor, reference: Tensor, zero_mean: bool) -> tuple[Tensor, Tensor]:
    estimate, reference = ordinary("estimate", estimate), ordinary("reference", reference)
    if estimate.shape != reference.shape or not estimate.ndim:
        raise ValueError(f"{who}: expected signals of one shape, got {tuple(estimate.shape)} and {tuple(reference.shape)}.")
    if not zero_mean:
        return estimate, reference
    return estimate - estimate.mean(-1, keepdim=True), reference - reference.mean(-1, keepdim=True)


def _energy(signal: Tensor) -> Tensor:
    return signal.square().sum(-1)


def _coefficient(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩ / ‖b‖², (..., 1); NaN where b is zero."""
    return ((a * b).sum(-1) / _energy(b))[..., None]
