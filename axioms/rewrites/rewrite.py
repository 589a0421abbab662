"""`rewrites`: networks that compute the same function as a given one, with other modules and other weights."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...attribution.engine.open_engine import open_engine
from ...core.precision import SINGLE, tolerance
from .steps import REWRITES, STEPS, Editor

Steps = tuple[str, ...]
SINGLY: tuple[Steps, ...] = tuple((name,) for name in REWRITES)
# All rewrites in two networks, with each ReLU in two forms: one with modules for which methods have rules, one without.
# A method that gives both networks the original's map gives it to every single rewrite too.
TOGETHER: tuple[Steps, ...] = (
    ("permute_channels", "rescale_channels", "fold_batchnorm", "factor_linear", "split_channels", "identity_residual"),
    ("cancelling_branches", "relu_mixed"),
)


@dataclass(frozen=True, eq=False)
class Rewritten:
    """One rewritten network.

    name: the rewrite, or several joined by " + ".  model: the new network, a copy; None where there was nothing to rewrite.
    sites: the number of places that changed.  skipped: what was left unchanged, and why.
    residual: the largest relative difference of its outputs, on the given inputs and on random ones.
    equal: whether this is rounding.
    """

    name: str
    model: nn.Module | None
    sites: int
    skipped: tuple[str, ...]
    residual: float = 0.0
    equal: bool = True


def rewrites(model: nn.Module, x: Tensor, *, steps: Iterable[Steps] = SINGLY, seed: int = 0) -> list[Rewritten]:
    """Networks that compute the same function as `model` in another way; `model` itself is not changed.

    x: (batch, *shape), on which outputs are compared, together with random inputs of its scale.
    steps: for each network, the rewrites that are applied one after the other; by default each alone.
    Layers that cannot be rewritten, and models that torch.fx cannot trace, are named in `skipped`.

    Raises: ValueError that lists the rewrites.

    >>> net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    >>> [r.name for r in rewrites(net, torch.ones(1, 4)) if r.model is None]
    ['fold_batchnorm']
    >>> all(r.equal for r in rewrites(net, torch.ones(1, 4)))
    True
    """
    return [_rewritten(model, x, names, seed) for names in steps]


def _rewritten(model: nn.Module, x: Tensor, names: Steps, seed: int) -> Rewritten:
    if unknown := [name for name in names if name not in STEPS]:
        raise ValueError(f"rewrites: expected steps among {', '.join(STEPS)}; got {', '.join(unknown)}.")
    editor = Editor(model, seed)
    done = {name: STEPS[name](editor) for name in names}
    nothing = [f"{name}: found nothing to rewrite" for name, sites in done.items() if not sites]
    skipped = tuple(dict.fromkeys([*editor.skipped, *nothing]))
    name = " + ".join(name for name, sites in done.items() if sites)
    if not name:
        return Rewritten(" + ".join(names), None, 0, skipped)
    residual = difference(model, editor.model, x, seed)
    equal = residual <= 10 * tolerance(x.dtype)
    return Rewritten(name, editor.model, sum(done.values()), skipped, residual, equal)


def difference(model: nn.Module, other: nn.Module, x: Tensor, seed: int) -> float:
    """The largest relative difference of two networks' outputs, on x and on random inputs; infinite where one cannot run."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, *x.shape[1:], generator=generator, dtype=SINGLE).to(x) * x.std() + x.mean()
    points = torch.cat([x, noise])
    try:
        a, b = (_outputs(network, points, seed) for network in (model, other))
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
        return float("inf")
    worst = (a - b).abs().max() / a.abs().max().clamp(min=torch.finfo(a.dtype).tiny)
    return float(worst) if bool(worst.isfinite()) else float("inf")


def _outputs(model: nn.Module, points: Tensor, seed: int) -> Tensor:
    """A random projection of the outputs at these points, (points,), by which outputs of any shape are compared."""

    def project(output: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(output[0].numel(), generator=generator, dtype=SINGLE).to(output)
        return output.reshape(len(output), -1) @ direction

    example = torch.arange(len(points), device=points.device)
    with open_engine(model, points, project) as engine:
        return engine.as_recorded(lambda: engine.scores(example, points.__getitem__))
