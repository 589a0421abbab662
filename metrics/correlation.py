"""Whether the sum of a map over random coefficients foretells how far the score falls when these are removed."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..attribution import Attribution
from ..attribution.engine.random import Keyed
from ..attribution.engine.row_index import RowIndex
from ..core.checks import check_choice, check_count, is_number, quoted, whole
from .base import Metric, Needs, Scores, register
from .judged import Judged

CORRELATIONS = ("pearson", "spearman")
_ROUNDING = 256  # units of the last bit below which numbers that differ are taken to be equal


def falls(judged: Judged, size: float, samples: int) -> tuple[Tensor, Tensor]:
    """Σ_S a and f(x) - f(x without S) for random sets S of one size, each (batch, samples).

    size: a share in (0, 1) of the coefficients, or their number. A share of the coefficients holds, on average over S, that
    share of the energy, in every domain.  The sets are keyed by seed, content, size and number, and evaluated once.
    """
    count = _count(size, judged.attribution)
    return judged.remember(("falls", count, samples), lambda: _falls(judged, count, samples))


def _falls(judged: Judged, count: int, samples: int) -> tuple[Tensor, Tensor]:
    att, batch = judged.attribution, len(judged.ends)
    keyed, values = Keyed(att.coefficients, judged.seed), att.values.double()
    sums = values.new_empty(samples * batch)
    example = torch.arange(batch, device=sums.device).repeat(samples)

    def points(part: slice) -> Tensor:
        of, row = example[part], torch.arange(part.stop - part.start, device=sums.device)
        sample = torch.arange(part.start, part.stop) // batch
        order = keyed.priorities(RowIndex.of(of.cpu(), sample, of.device), values[0].numel(), f"subset/{count}")
        mask = (order <= order.topk(count, 1, largest=False)[0][:, -1:]).reshape(-1, *values.shape[1:])
        sums[part] = (values[of] * mask).flatten(1).sum(1)
        return judged.selected(mask, of, torch.ones_like(row, dtype=torch.bool), row)

    score = judged.at(example, points).score.reshape(samples, batch)
    return sums.reshape(samples, batch).T, (judged.known[0] - score).double().T


def _count(size: float, attribution: Attribution) -> int:
    """The number of coefficients that `size` means, at least 1."""
    of = attribution.values[0].numel()
    return max(1, min(of, int(size) if size >= 1 else round(size * of)))


def correlations(a: Tensor, b: Tensor, least: Tensor, kind: str) -> Tensor:
    """The correlation of each row of a and b, (batch, samples), in double precision; NaN where either is constant. (batch,).

    least: (2, batch), the differences of a and of b below which they are rounding.
    """
    constant = torch.stack([each.amax(1) - each.amin(1) for each in (a, b)]) <= least
    if kind == "spearman":
        from scipy import stats  # heavy: loaded when it is needed

        a, b = (torch.from_numpy(stats.rankdata(each.cpu().numpy(), axis=1)).to(each) for each in (a, b))
    a, b = (each - each.mean(1, keepdim=True) for each in (a, b))
    found = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return found.clamp(-1, 1).where(~constant.any(0), torch.nan)


def _correlation(judged: Judged, size: float, samples: int, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """The correlation of each example, (batch,), and what is correlated, twice (batch, samples)."""
    sums, drops = falls(judged, size, samples)
    eps = [torch.finfo(each).eps for each in (judged.attribution.values.dtype, judged.engine.feed)]
    scale = [judged.attribution.values.abs().flatten(1).sum(1), judged.known.abs().amax(0)]
    least = torch.stack([_ROUNDING * bit * each.double() for bit, each in zip(eps, scale)])
    return correlations(sums, drops, least, kind).to(judged.known), sums, drops


def _check_size(who: str, what: str, size: Any) -> float:
    """`size`, if it is a share in (0, 1) or a whole number.  Raises: ValueError where it is not."""
    if not is_number(size) or not (0 < size < 1 or ((number := whole(size)) is not None and number >= 1)):
        raise ValueError(f"{who}: expected {what} in (0, 1), or a whole number of coefficients; got {quoted(size)}.")
    return size


@register("mu_fidelity")
@dataclass(frozen=True)
class MuFidelity(Metric):
    """The correlation of Σ_S a and f(x) - f(x without S) over random sets S of one size, removed to the map's baseline.

    1 for the shares of a linear model, in every domain. Also called faithfulness correlation. Sensitivities stay as they are.

    subset: the size of S, a share in (0, 1) of the coefficients, or their number. Sets of a fixed share of the coefficients
    have that share of the energy on average, in every orthonormal domain; a single set may have more or less of it.
    correlation: "pearson" (Bhatt et al.) or "spearman" (Xplique).  samples: the number of sets.
    `details` has what is correlated: "sums" and "drops", (batch, samples).  NaN where either is constant.
    """

    formula = "corr over random S of (Σ_S a, f(x) - f(x without S))"
    source = "Bhatt, Weller & Moura 2020 (faithfulness correlation); Spearman: Xplique"
    better = "higher"
    chance = 0.0
    needs = Needs.SIGNED
    subset: float = 0.1
    correlation: Literal["pearson", "spearman"] = "pearson"
    samples: int = 100

    def __post_init__(self) -> None:
        _check_size(self.name, "subset", self.subset)
        check_choice(self.name, "correlation", self.correlation, CORRELATIONS)
        check_count(self.name, "samples", self.samples, 3)

    def cost(self, attribution: Attribution) -> int:
        return self.samples

    def measure(self, judged: Judged) -> Scores:
        value, sums, drops = _correlation(judged, self.subset, self.samples, self.correlation)
        return Scores(value, details={"sums": sums, "drops": drops})

    @classmethod
    def examples(cls) -> list[Metric]:
        return [cls(samples=40), cls(subset=7, correlation="spearman", samples=40)]


@register("sensitivity_n")
@dataclass(frozen=True)
class SensitivityN(Metric):
    """The correlation of Σ_S a and f(x) - f(x without S) over random sets S of n coefficients, for several n, and its mean.

    1 at every n, in every domain, for the shares of a linear model.  sizes: n, as shares in (0, 1) of the coefficients, or as
    their numbers.  samples: sets for each n.  NaN at an n where either side is constant; the mean is over the others.
    """

    formula = "mean over n of corr over random S, |S| = n, of (Σ_S a, f(x) - f(x without S))"
    source = "Ancona, Ceolini, Öztireli & Gross 2018"
    better = "higher"
    chance = 0.0
    needs = Needs.SIGNED
    sizes: tuple[float, ...] = (0.01, 0.05, 0.2, 0.5, 0.8)
    samples: int = 50

    def __post_init__(self) -> None:
        given: Any = self.sizes if isinstance(self.sizes, list | tuple) else (self.sizes,)
        if not given:
            raise ValueError(f"{self.name}: expected at least one size, got none.")
        object.__setattr__(self, "sizes", tuple(_check_size(self.name, "sizes", each) for each in given))
        check_count(self.name, "samples", self.samples, 3)

    def cost(self, attribution: Attribution) -> int:
        return self.samples * len(self.sizes)

    def measure(self, judged: Judged) -> Scores:
        curve = torch.stack([_correlation(judged, each, self.samples, "pearson")[0] for each in self.sizes], 1)
        return Scores(curve.nanmean(1), curve, self.sizes)

    @classmethod
    def examples(cls) -> list[Metric]:
        return [cls((0.05, 0.5, 3), 20)]
