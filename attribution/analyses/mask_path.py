"""The masks that `Mask` finds for each of several prices, their sparsity and their scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...transforms import Layout, Transform
from ..attribute import attribute
from ..engine.score import Target
from ..methods.mask import Front, Mask
from ..methods.mask_optimisation import CURVES, Weight

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class MaskPath:
    """The masks of a batch for each price α, with their sparsity and scores.

    mask: (batch, alphas, *coeff).  alpha: (alphas,).  The curves are (batch, alphas):
    sparsity: 1 - ‖m‖₁ / (number of coefficients), the fraction removed.
    logit: f at the masked signal.  probability: of the target's class, softmax; NaN where the target is not a class.
    objective: the value that was minimised.
    settings: as in `Attribution`.
    """

    mask: Tensor
    alpha: Tensor
    sparsity: Tensor
    logit: Tensor
    probability: Tensor
    objective: Tensor
    coefficients: Tensor
    transform: Transform
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """The bands of the coefficients."""
        return self.transform.layout

    def signal(self, price: int) -> Tensor:
        """T⁻¹(m ⊙ z) for alpha[price], with zero for removed coefficients. Shape: (batch, *shape)."""
        return self.transform.inverse(self.mask[:, price] * self.coefficients)

    def to_frame(self) -> "pd.DataFrame":
        """One row per example and price: example, alpha, sparsity, logit, probability, objective."""
        import pandas as pd  # imported here, as it takes long

        batch, prices = self.sparsity.shape
        columns = {"example": torch.arange(batch).repeat_interleave(prices), "alpha": self.alpha.repeat(batch)}
        columns |= {name: getattr(self, name).flatten() for name in CURVES}
        return pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})


def mask_path(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    transform: str | Transform = "pixel",
    *,
    alphas: Sequence[float],
    steps: int = 500,
    lr: float = 0.1,
    game: str = "preservation",
    obfuscation: str = "baseline",
    weight: Weight = "uniform",
    continuation: float | None = None,
    **options: Any,
) -> MaskPath:
    """The masks that `Mask` finds, for every example and every price in one batch.

    A forward holds at most `batch_size` rows of examples × prices; each chunk of rows is optimised to its end.

    alphas: the prices.  continuation: None, or the fraction of `steps` for each price after the smallest, part of them
    from the best mask known; see `Front`. With 0.3 and 8 prices, it needs 39 % of the evaluations of independent runs.
    steps, lr, game, obfuscation, weight: as in `Mask`.
    options: baseline, batch_size, seed, progress, model_args and model_kwargs of `attribute`.
    Raises: ValueError for an alpha below 0, no alphas, or a model that is not finite (the example is named).

    >>> import torch, pullback as pb
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 3)).eval()
    >>> path = pb.attribution.mask_path(model, torch.ones(1, 1, 8), 0, "dct", alphas=[0.0, 1e3], steps=40)
    >>> path.sparsity[0, 1].item()
    1.0
    >>> path.to_frame().shape, path.signal(0).shape
    ((2, 6), torch.Size([1, 1, 8]))
    """
    method = Front(Mask(0.0, steps, lr, game, obfuscation, weight), tuple(alphas), continuation)
    found = attribute(model, x, target, method=method, transform=transform, **options)
    fields = {name: found.details[name] for name in ("mask", *CURVES)} | {
        "transform": found.transform,
        "settings": found.settings,
    }
    alpha = fields["mask"].new_tensor(method.alphas)
    return MaskPath(**fields, alpha=alpha, coefficients=found.coefficients)
