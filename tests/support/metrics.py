"""Every example of every registered metric, and maps of known quality."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

import pullback as pb
from pullback.metrics import Metric, Needs, Scores, measure
from pullback.metrics.base import metrics
from support.subjects import normal

METRICS = [example for name in metrics.names() for example in metrics.maker(name).examples()]  # type: ignore[attr-defined]
SELECTED = [each for each in METRICS if Needs.EXPLAIN not in each.needs]  # those that judge one map


def judge(metric: Metric, model: Any, att: pb.Attribution, target: Any = 0, **options: Any) -> Scores:
    """What the metric finds.  options: as in `measure`, by default those of `given`."""
    return measure(model, att, metric, target, **(given(metric, att, **options) | options))[0]


def given(metric: Metric, att: pb.Attribution, **options: Any) -> dict[str, Any]:
    """What the metric needs: the truth is the largest eighth of |z - z₀|, and the source what these coefficients hold."""
    moved = att.displacement.flatten(1).abs()
    largest = (moved >= moved.quantile(0.875, dim=1, keepdim=True)).reshape(att.values.shape)
    truth = options.get("truth", largest)
    found = {"truth": truth, "truth_in": "z"} if Needs.TRUTH in metric.needs else {}
    return found | ({"source": att.transform.inverse(att.coefficients * truth)} if Needs.SOURCE in metric.needs else {})


def valued(att: pb.Attribution, values: Tensor) -> pb.Attribution:
    """The same map with other values, which follow from no covector."""
    return replace(att, values=values, covector=None)


def picked(att: pb.Attribution, index: list[int]) -> pb.Attribution:
    """Some examples of a map, in any order, also twice."""
    names = ("values", "coefficients", "displacement", "score_difference", "covector")
    found = {name: None if (tensor := getattr(att, name)) is None else tensor[index] for name in names}
    return replace(att, **found)


class KnownShares(nn.Module):
    """Logits (f - c, 0), f(x) = Σ_k w_k (T x)_k, T = dct: six coefficients have a share of 1, twelve of -0.1, others 0."""

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        self.transform = pb.transforms.get("dct", (1, size))
        shares = torch.zeros(size).double()
        place = torch.randperm(size, generator=torch.Generator().manual_seed(3))
        shares[place[:6]], shares[place[6:18]] = 1, -0.1
        self.z = normal(size, seed=1).sign() * (1 + normal(size, seed=2).abs())
        self.weight, self.bias = shares / self.z, 0.3

    def forward(self, x: Tensor) -> Tensor:
        f = self.transform(x).flatten(1) @ self.weight
        return torch.stack([f - self.bias, torch.zeros_like(f)], 1)

    def inputs(self, examples: int) -> Tensor:
        """(examples, 1, size), coefficients that differ by a tenth."""
        z = self.z * (1 + 0.1 * normal(examples, 1, len(self.z), seed=4))
        return self.transform.inverse(z)


def perfect(model: KnownShares, examples: int) -> pb.Attribution:
    """The exact shares of `KnownShares`."""
    return pb.attribute(model, model.inputs(examples), 0, method="input_x_gradient", transform="dct")


def random_map(att: pb.Attribution, seed: int) -> pb.Attribution:
    """Normal numbers with the norm of each map."""
    values = normal(*att.values.shape, seed=1000 + seed)
    return valued(att, values * (att.values.norm(dim=-1, keepdim=True) / values.norm(dim=-1, keepdim=True)))


def anti(metric: Metric, att: pb.Attribution) -> pb.Attribution:
    """The map that is wrong in everything that the metric reads: -a, or the largest |a| last."""
    size = att.values.abs()
    return valued(att, -att.values if Needs.SIGNED in metric.needs else size.amax(-1, keepdim=True) - size)
