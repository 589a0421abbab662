"""`Selection`: which coefficients are kept or removed, by a ranking and a budget."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..attribution import Attribution
from ..attribution.engine.random import Keyed, fill, keys
from ..attribution.result import coefficient_count
from ..core.checks import check_choice
from ..core.tensors import descending, ranks
from ..transforms import TransformClaim
from .code_length import affordable

Budgets = Literal["count", "energy", "bits", "coefficients"]
BY = ("count", "energy", "bits", "coefficients")
BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
RANKINGS = ("attribution", "signed", "least_first", "coefficient", "random", "random_in_quantile", "coarse_first")
_QUANTILES = 10


@dataclass(frozen=True)
class Selection:
    """The first coefficients of a ranking, kept or removed.

    ranking: one of `RANKINGS`, or the name of an order that was given to `Judged`.
    budget: the share that is selected, in (0, 1].  by: of what, see `counts`.
    removed: whether the selected coefficients go back to the baseline's, rather than all others.
    """

    ranking: str = "attribution"
    budget: float = 0.1
    by: Budgets = "count"
    removed: bool = False


def order(attribution: Attribution, ranking: str, seed: int) -> Tensor:
    """The number by which each coefficient is ranked, the largest first, (batch, *coeff).

    attribution: |a|.  signed: a.  least_first: -a.  coefficient: |z - z₀|, which never sees the model.
    random: keyed by seed and content.
    random_in_quantile: random among coefficients of about the same |z - z₀|, the largest tenth first.
    coarse_first: from low frequencies to high ones, random among equal ones.
    """
    check_choice("metrics", "ranking", ranking, RANKINGS)
    if ranking in ("attribution", "signed", "least_first"):
        values = attribution.values
        return values.abs() if ranking == "attribution" else values if ranking == "signed" else -values
    size = attribution.displacement.abs()
    if ranking == "coefficient":
        return size
    names = keys(attribution.coefficients)
    if ranking == "random":
        return fill(torch.empty_like(size), Tensor.normal_, seed, names, [0] * len(names))
    below_one = fill(torch.empty_like(size), Tensor.uniform_, seed, names, [ranking] * len(names))
    if ranking == "random_in_quantile":
        place = ranks(size).to(size)
        return below_one - (place * _QUANTILES / size[0].numel()).floor()
    radius = attribution.layout.frequency.norm(dim=0).nan_to_num(0)
    step = radius.unique(return_inverse=True)[1]
    return below_one - step.to(size)


def order_ranks(score: Tensor, own_turns: Callable[[], Tensor]) -> Tensor:
    """The rank of every number of an example, 0 for the largest, equal ones by their turn.

    By position, equal ones would come coarse bands first, so that a map which says nothing would still rank well.
    own_turns: gives `turns` of the map; called where numbers are equal.
    """
    flat = score.flatten(1)
    place = descending(flat)
    ordered = flat.gather(1, place)
    tied = ordered[:, 1:] == ordered[:, :-1]
    for example in tied.any(1).nonzero()[:, 0].tolist():
        _take_turns(place[example], tied[example], own_turns()[example])
    rank = torch.arange(flat.shape[1], device=flat.device, dtype=torch.int32).expand_as(place)
    return torch.empty_like(rank).scatter_(1, place, rank).reshape(score.shape)


def _take_turns(place: Tensor, tied: Tensor, turn: Tensor) -> None:
    """Orders equal numbers by their turn, in place.  place: of the sorted numbers.  tied: whether the next one is equal."""
    end = tied.new_zeros(1)
    among = (torch.cat([end, tied]) | torch.cat([tied, end])).nonzero()[:, 0]
    run, held = torch.cat([end, ~tied]).cumsum(0)[among], place[among]
    place[among] = held[(run * len(place) + turn[held]).argsort()]


def turns(attribution: Attribution, seed: int) -> Tensor:
    """When each coefficient has its turn among equal ones: whole numbers, random but keyed by content, (batch, n)."""
    size, keyed = attribution.values[0].numel(), Keyed(attribution.coefficients, seed)
    drawn = [torch.from_numpy(keyed.generator(each, "ties").permutation(size)) for each in range(len(attribution.values))]
    place = torch.stack(drawn).to(attribution.values.device)
    return torch.empty_like(place).scatter_(1, place, torch.arange(size, device=place.device).expand_as(place))


def counts(attribution: Attribution, rank: Tensor, budget: float, by: Budgets) -> Tensor:
    """How many coefficients a budget buys, (batch,), at least one.

    count: `budget` of the number of samples of the signal.  coefficients: `budget` of the number of coefficients.
    energy: the fewest whose signal has `budget` of the energy, ‖x_S - x₀‖² ≥ budget ‖x - x₀‖².
    bits: the most whose code is no longer than `budget` of that of all samples of x - x₀, see `code_length`.
    rank: of every coefficient, (batch, *coeff).  Raises: ValueError for a budget outside (0, 1] or another `by`.
    """
    return count_table(attribution, rank, [budget], by)[0]


def count_table(attribution: Attribution, rank: Tensor, budgets: Sequence[float], by: Budgets) -> Tensor:
    """`counts` of several budgets, (budgets, batch)."""
    check_choice("metrics", "by", by, BY)
    most, size = [coefficient_count(each, attribution.transform) for each in budgets], rank[0].numel()
    if by in ("count", "coefficients"):
        numbers = most if by == "count" else [max(1, round(float(each) * size)) for each in budgets]
        return torch.tensor(numbers, device=rank.device).clamp(max=size)[:, None].expand(-1, len(rank))
    if by == "bits":
        return affordable(attribution, rank, budgets)
    if TransformClaim.ORTHOGONAL in attribution.transform.claims:
        return _by_parseval(attribution.displacement, rank, budgets)
    return torch.stack([_by_bisection(attribution, rank, each) for each in budgets])


def _by_parseval(displacement: Tensor, rank: Tensor, budgets: Sequence[float]) -> Tensor:
    """As `count_table`, where the energy of the signal is that of its coefficients."""
    flat = displacement.double().flatten(1).square()
    reached = torch.zeros_like(flat).scatter_(1, rank.flatten(1).long(), flat).cumsum(1)
    slack = 1 - torch.finfo(displacement.dtype).eps * math.sqrt(flat.shape[1])
    wanted = slack * flat.new_tensor(budgets) * reached[:, -1:]
    return (torch.searchsorted(reached, wanted) + 1).clamp(max=flat.shape[1]).T


def _by_bisection(attribution: Attribution, rank: Tensor, budget: float) -> Tensor:
    """As `counts`, for any T: the energy is that of the signal, which T⁻¹ gives."""
    transform, z0 = attribution.transform, attribution.coefficients - attribution.displacement
    start = transform.inverse(z0)

    def energy(count: Tensor) -> Tensor:
        kept = rank < count.reshape(-1, *[1] * (rank.ndim - 1))
        return (transform.inverse(z0 + attribution.displacement * kept) - start).double().flatten(1).square().sum(1)

    most = torch.full((len(rank),), rank[0].numel(), device=rank.device)
    low, high, wanted = torch.zeros_like(most), most, budget * energy(most)
    while bool((high - low > 1).any()):
        middle = (low + high) // 2
        enough = energy(middle) >= wanted
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high.clamp(min=1)
