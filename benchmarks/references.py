"""Slow, plain formulas of the methods that benchmarks time, each from the docstring of the method: see `expected`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from direct import Direct
from games import GAMES, game, rise
from guard import MeasuresNothing, check_result
from torch import Tensor

import pullback as pb
from pullback.attribution import Attribution

Options = dict[str, Any]


def _integrated(g: Direct, options: Options) -> Tensor:
    """Gauss-Legendre; where the method chooses nodes by itself, three times as many as it may take."""
    nodes, weights = np.polynomial.legendre.leggauss(options["steps"] or 3 * options["max_evaluations"])
    column = lambda numbers: g.z.new_tensor(numbers).reshape(-1, *[1] * (g.z.ndim - 1))
    return g.z * (column(weights / 2) * g.gradients(column((nodes + 1) / 2) * g.z)).sum(0, keepdim=True)


def _noisy(statistic: Callable[[Tensor], Tensor]) -> Callable[[Direct, Options], Tensor]:
    return lambda g, options: statistic(g.gradients(g.noisy(options["samples"], options["spread"])))[None]


def _expected(g: Direct, options: Options) -> Tensor:
    return g.z * g.gradients(g.unit(options["samples"]) * g.z).mean(0, keepdim=True)


def _gradient_shap(g: Direct, options: Options) -> Tensor:
    ends = g.noisy(options["samples"], options["spread"])
    return (ends * g.gradients(g.unit(len(ends)) * ends)).mean(0, keepdim=True)


def _mask(g: Direct, options: Options) -> Tensor:
    """NAdam on the objective itself, each step projected onto [0, 1], from m = 1."""
    mask = torch.ones_like(g.z).requires_grad_()
    optimizer = torch.optim.NAdam([mask], lr=options["lr"])
    for step in range(options["steps"]):
        optimizer.param_groups[0]["lr"] = options["lr"] * (1 - step / options["steps"])
        optimizer.zero_grad()
        objective(g, mask, options).sum().backward()
        optimizer.step()
        with torch.no_grad():
            mask.clamp_(0, 1)
    return mask.detach()


def objective(g: Direct, mask: Tensor, options: Options) -> Tensor:
    """-f(T⁻¹(m ⊙ z)) + α ‖m‖₁ of each mask (rows, *coeff).  Shape: (rows,)."""
    kept = g.model(g.transform.inverse(mask * g.z))[:, g.target]
    return options["alpha"] * mask.flatten(1).sum(1) - kept


# Values (1, *coeff) in the method's own words.
FORMULAS: dict[str, Callable[[Direct, Options], Tensor]] = {
    "gradient": lambda g, options: g.gradients(g.z),
    "input_x_gradient": lambda g, options: g.z * g.gradients(g.z),
    "integrated_gradients": _integrated,
    "smoothgrad": _noisy(lambda rows: rows.mean(0)),
    "absgrad": _noisy(lambda rows: rows.abs().mean(0)),
    "squaregrad": _noisy(lambda rows: rows.square().mean(0)),
    "vargrad": _noisy(lambda rows: rows.var(0, correction=0)),
    "expected_gradients": _expected,
    "gradient_shap": _gradient_shap,
    "captum": lambda g, options: g.gradients(g.z).abs(),  # Saliency
    "rise": rise,
    "mask": _mask,
}


def options_of(method: str) -> tuple[str, Options]:
    """The method's name and its options, those that `method` does not mention included."""
    estimator = pb.attribution.get(method)
    return estimator.name, dataclasses.asdict(estimator)  # type: ignore[call-overload]


def expected(method: str, g: Direct) -> Tensor:
    """The map of `method` by its formula.  Shape: (1, *coeff).  Raises: KeyError for a method that has none."""
    name, options = options_of(method)
    return game(name, g, options) if name in GAMES else FORMULAS[name](g, options)


# Of what a certified map reports of itself: the error it may have, and how far that is from the finer rule, which has an error
# too. Together they stay below 1, which is how far a map of other numbers would be.
MOST, SLACK = 0.25, 2.0


def check_map(att: Attribution, method: str, g: Direct, known: Tensor | None = None) -> None:
    """The map of the first signal against its formula, or what follows from it.

    A certified map is held to the error that it reports. A mask is held to its objective: single precision moves the mask
    itself, since each step divides a gradient by its size.
    known: what `expected` said.

    Raises: MeasuresNothing where they differ.
    """
    name, options = options_of(method)
    found, known = att.values[:1], expected(method, g) if known is None else known
    if name == "mask":
        check_mask(found, known, g, options)
    elif name == "integrated_gradients" and options["steps"] is None:
        reported = float(att.details["map_error"][0])
        if not 0 < reported < MOST:
            raise MeasuresNothing(f"the map reports an error of {reported:.2g}; allowed is {MOST}.")
        check_result(found, known, SLACK * reported)
    else:
        check_result(found, known)


def check_mask(found: Tensor, known: Tensor, g: Direct, options: Options) -> None:
    """A mask (1, *coeff) in [0, 1] that lowers the objective as far as the plain descent did, `known`, which shuffled it
    would not.

    Raises: MeasuresNothing where it does not.
    """
    shuffle = torch.randperm(found.numel(), generator=torch.Generator().manual_seed(0)).to(found.device)
    others = torch.ones_like(found), found.flatten()[shuffle].view_as(found)
    with torch.no_grad():
        reached, low, high, shuffled = objective(g, torch.cat([found, known, *others]), options).tolist()
    inside = float(found.min()) >= 0 and float(found.max()) <= 1
    if not inside or not abs(reached - low) <= 0.05 * (high - low) or not reached < shuffled:
        raise MeasuresNothing(
            f"the objective of the mask is {reached:.5g}; of the plain descent {low:.5g}, of a mask of ones "
            f"{high:.5g}, of this one shuffled {shuffled:.5g}."
        )


def carried(covector: Tensor, att: Attribution) -> Tensor:
    """What the pixel domain's gradient (batch, *shape) is in the domain of `att`, by autograd through T⁻¹."""
    z = att.coefficients.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(att.transform.inverse(z), z, covector.to(z))
    return att.displacement * gradient if att.settings["shares"] else gradient
