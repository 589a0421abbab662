"""Whether a map lies where the truth does, as a lift over what a random map would have there.

The truth is a mask M in z, which is compared with |a|, or in the signal, which is compared with |heatmap()|. Heat maps are
equal in all linear domains: with truth in the signal, a number cannot rank these. A lift is 1 for a random map; `details` holds
the "raw" number and its "chance", which is |M| / d of d entries for most metrics and differs between domains. Equal entries
count as in a random order of them. A lift is NaN for an all-zero map, and where nothing is true.
Raises: TypeError or ValueError where the truth does not fit, or fits z and the signal and `truth_in` does not say which.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from ..attribution import Attribution
from .base import Metric, Needs, Scores, register
from .judged import Judged
from .truth import compared, octaves, placed


@dataclass(frozen=True)
class _Lift(Metric):
    """A metric of |a| and a mask M, divided by what a random map has on average."""

    better = "higher"
    chance = 1.0
    needs = Needs.TRUTH

    def cost(self, attribution: Attribution) -> int:
        return 0

    def measure(self, judged: Judged) -> Scores:
        size, truth = compared(judged)
        found, chance = self.raw(size, truth), self.expected(truth).to(size)
        defined = size.any(1) & truth.any(1)
        raw = found.where(defined, torch.nan)
        return Scores(raw / chance, details={"raw": raw, "chance": chance})

    @abstractmethod
    def raw(self, size: Tensor, truth: Tensor) -> Tensor:
        """The metric without its division by chance, (batch,).  size: |a|, (batch, cells).  truth: (batch, cells)."""

    def expected(self, truth: Tensor) -> Tensor:
        """What a random map has on average, (batch,)."""
        return truth.double().mean(1)


@register("relevance_mass")
@dataclass(frozen=True)
class RelevanceMass(_Lift):
    """Σ over M of |a| / Σ |a|, over |M| / d: the share of the map that lies on the truth M, of d entries."""

    formula = "(Σ over M of |a| / Σ |a|) / (|M| / d)"
    source = "Arras, Osman & Samek 2022 (CLEVR-XAI), relevance mass accuracy, here of |a|"

    def raw(self, size: Tensor, truth: Tensor) -> Tensor:
        share = size / size.amax(1, keepdim=True)  # first, so that the sum does not overflow
        return (share * truth).sum(1) / share.sum(1)


@register("relevance_rank")
@dataclass(frozen=True)
class RelevanceRank(_Lift):
    """|M ∩ the |M| first entries by |a|| / |M|, over |M| / d: the share of the truth that is ranked first."""

    formula = "(|M ∩ first |M| entries by |a|| / |M|) / (|M| / d)"
    source = "Arras, Osman & Samek 2022 (CLEVR-XAI), relevance rank accuracy"

    def raw(self, size: Tensor, truth: Tensor) -> Tensor:
        count = truth.sum(1, keepdim=True)
        last = size.sort(1, descending=True).values.gather(1, (count - 1).clamp(min=0))
        above, tied = size > last, size == last
        # Of the entries that tie with the last one, as many as there is room for, in any order.
        room = (count - above.sum(1, keepdim=True)).to(size) / tied.sum(1, keepdim=True)
        return ((above & truth).sum(1) + ((tied & truth) * room).sum(1)) / count[:, 0]


@register("relevance_auprc")
@dataclass(frozen=True)
class RelevanceAUPRC(_Lift):
    """The average precision of |a| as a detector of the truth M, over its mean for random maps.

    AP = Σ_n (R_n - R_(n-1)) P_n over the distinct values of |a| as thresholds, as scikit-learn's average_precision_score; all
    equal entries pass a threshold together. A random order of d entries has AP = (H + (m - 1) (d - H) / (d - 1)) / d on
    average, m = |M|, H = 1 + 1/2 + … + 1/d.
    """

    formula = "average precision of |a| for M, over its mean for random orders"
    source = "Crabbé & van der Schaar 2021 (AUPRC of time-series maps); its chance level: Bestgen 2015"

    def raw(self, size: Tensor, truth: Tensor) -> Tensor:
        ordered, order = size.sort(1, descending=True)
        hits = truth.gather(1, order).double().cumsum(1)
        precision = hits / torch.arange(1, size.shape[1] + 1, device=size.device)
        ends = torch.nn.functional.pad(ordered[:, 1:] != ordered[:, :-1], (0, 1), value=True)  # the last of equal entries
        reached = torch.where(ends, hits, 0).cummax(1).values
        gained = reached.diff(dim=1, prepend=torch.zeros_like(reached[:, :1]))
        return ((gained * precision).sum(1) / hits[:, -1]).to(size)

    def expected(self, truth: Tensor) -> Tensor:
        m, d = truth.sum(1).double(), truth.shape[1]
        harmonic = (1 / torch.arange(1, d + 1, device=truth.device).double()).sum()
        return (harmonic + (m - 1) / max(d - 1, 1) * (d - harmonic)) / d


@register("pointing_game")
@dataclass(frozen=True)
class PointingGame(_Lift):
    """Whether the largest |a| lies on the truth M, over |M| / d."""

    formula = "1[argmax |a| ∈ M] / (|M| / d)"
    source = "Zhang et al. 2018 (excitation backpropagation), without a tolerance"

    def raw(self, size: Tensor, truth: Tensor) -> Tensor:
        largest = size == size.amax(1, keepdim=True)
        return (largest & truth).sum(1).to(size) / largest.sum(1)


@register("octave_distance")
@dataclass(frozen=True)
class OctaveDistance(Metric):
    """The earth-mover distance between Σ|a| per octave and the truth per octave, in octaves.

    A map in the neighbouring octave is one octave away, and not simply wrong. The truth of an octave is the number of its
    coefficients that matter. 0 where both have the same shares of their octaves.

    NaN for domains without octaves (pixels), an all-zero map, and where nothing is true.
    Raises: ValueError for truth in the signal, which has no octaves.
    """

    formula = "earth-mover distance of Σ|a| per octave and |M| per octave, in octaves"
    source = "this project; distance: Rubner, Tomasi & Guibas 2000"
    better = "lower"
    needs = Needs.TRUTH | Needs.GROUPS

    def cost(self, attribution: Attribution) -> int:
        return 0

    def measure(self, judged: Judged) -> Scores:
        transform, values = judged.attribution.transform, judged.attribution.values
        shape = tuple(getattr(judged.truth, "shape", ()))
        if placed(transform, shape, len(values), judged.truth_in) == "signal":
            raise ValueError(f"{self.name}: needs the truth in z, (batch, *coeff); samples of the signal have no octave.")
        places, layout = octaves(transform), transform.layout.group("octave")
        if places is None:
            return Scores(values.new_full((len(values),), torch.nan))
        size, truth = compared(judged)
        found, planted = (layout.sum(each.reshape(values.shape).to(size)) for each in (size, truth))
        distances = [_distance(places, *pair) for pair in zip(found, planted)]
        return Scores(values.new_tensor(distances), details={"mass": found, "truth": planted})


def _distance(places: Tensor, found: Tensor, planted: Tensor) -> float:
    """NaN where one of the two has no mass, or not a finite one."""
    if not bool(found.any()) or not bool(planted.any()) or not bool(found.isfinite().all()):
        return torch.nan
    weights = (each.detach().double().cpu().numpy() for each in (found / found.amax(), planted))
    return float(stats.wasserstein_distance(places.numpy(), places.numpy(), *weights))
