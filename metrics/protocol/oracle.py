"""The greedy oracle: which coefficients could have been selected, by asking the model about each of them."""

import torch
from torch import Tensor

from ..judged import Judged


def greedy_order(judged: Judged, most: int) -> Tensor:
    """Coefficients in the order in which each lowers the selection error most, (batch, *coeff), the first largest; 0 after
    `most`.

    Each step asks the model twice about every coefficient that is left, 2 · most · coefficients evaluations for one example: an
    upper bound of what a map could reach, for a few examples of small signals.
    Source: greedy forward selection; as a reference for removal curves, Edin et al. 2025 (NAOPC).

    >>> import pullback as pb
    >>> f, x = lambda x: x.flatten(1) @ torch.tensor([1.0, 3.0, 0.0]), torch.ones(1, 1, 3)
    >>> from pullback.metrics.judged import judging
    >>> with judging(f, pb.attribute(f, x), None, 12) as judged:
    ...     greedy_order(judged, 2)
    tensor([[[1., 2., 0.]]])
    """
    shape = judged.attribution.values.shape
    chosen = torch.zeros(shape, dtype=torch.bool, device=judged.known.device).flatten(1)
    order = torch.zeros_like(judged.attribution.values).flatten(1)
    example = torch.arange(len(chosen), device=chosen.device)
    for step in range(min(most, chosen.shape[1])):
        best = _errors(judged, chosen).argmin(1)
        chosen[example, best] = True
        order[example, best] = float(most - step)
    return order.reshape(shape)


def _errors(judged: Judged, chosen: Tensor) -> Tensor:
    """The selection error with one coefficient more, infinite for those that are chosen already, (batch, coefficients)."""
    batch, size = chosen.shape
    rows = batch * size
    number = torch.arange(2 * rows, device=chosen.device)
    example, candidate = number % rows // size, number % size

    def points(part: slice) -> Tensor:
        of, row = example[part], torch.arange(len(example[part]), device=chosen.device)
        mask = chosen[of].clone()
        mask[row, candidate[part]] = True
        return judged.selected(mask.reshape(-1, *judged.attribution.values.shape[1:]), of, number[part] >= rows, row)

    kept, left = judged.at(example, points).score.unflatten(0, (2, batch, size))
    at_x, at_base = judged.known[..., None]
    return ((kept - at_x).abs() + (left - at_base).abs()).masked_fill(chosen, torch.inf)
