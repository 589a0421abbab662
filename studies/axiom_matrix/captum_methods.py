"""Captum's methods as callables (f, x, target, x0) -> tensor, to be judged as they are."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...attribution.methods.captum_adapter import give_rules
from ...attribution.methods.coalitions import Players
from ...axioms.trial import MethodFunction
from ...transforms import Transform
from .default_options import groups

MOST_ROWS = 20_000  # of one perturbation method and example; more is refused by name
# Rows of one map of one example, where that is many; a row with a gradient counts three.
ROWS = {
    "captum.IntegratedGradients(n_steps=200)": 600,
    "captum.ShapleyValueSampling(feature_mask)": 100,
    "captum.ShapleyValueSampling": 2_500,
    "captum.IntegratedGradients": 150,
    "captum.GradientShap": 75,
    "captum.FeatureAblation(feature_mask)": 5,
    "captum.FeatureAblation": 100,
}


def captum_methods() -> dict[str, MethodFunction]:
    """Captum's attribution methods by name, with their own defaults where nothing else is said in the name.

    Raises: ImportError with the command that installs captum.
    """
    attr = _captum()
    methods: dict[str, Callable[..., Any]] = {
        "captum.Saliency": _plain(attr.Saliency),
        "captum.Saliency(abs=False)": _plain(attr.Saliency, abs=False),
        "captum.InputXGradient": _plain(attr.InputXGradient),
        "captum.IntegratedGradients": _based(attr.IntegratedGradients),
        "captum.IntegratedGradients(n_steps=200)": _based(
            attr.IntegratedGradients, n_steps=200, internal_batch_size=16
        ),
        "captum.DeepLift": _based(attr.DeepLift),
        "captum.GuidedBackprop": _plain(attr.GuidedBackprop),
        "captum.Deconvolution": _plain(attr.Deconvolution),
        "captum.LRP": _lrp,
        "captum.GradientShap(n_samples=25)": _based(attr.GradientShap, n_samples=25),
        "captum.FeatureAblation": _bounded(_based(attr.FeatureAblation, perturbations_per_eval=16), 1),
        "captum.FeatureAblation(feature_mask)": _grouped(attr.FeatureAblation),
        "captum.ShapleyValueSampling": _bounded(_based(attr.ShapleyValueSampling, perturbations_per_eval=16), 25),
        "captum.ShapleyValueSampling(feature_mask)": _grouped(attr.ShapleyValueSampling),
    }
    return {name: _named(name, method) for name, method in methods.items()}


def _plain(make: Any, **options: Any) -> Callable[..., Any]:
    return lambda f, x, target, x0: make(f).attribute(x, target=target, **options)


def _based(make: Any, **options: Any) -> Callable[..., Any]:
    return lambda f, x, target, x0: make(f).attribute(x, baselines=x0, target=target, **options)


def _grouped(make: Any) -> Callable[..., Any]:
    """With the players of `panel.groups` as the feature_mask: each coefficient gets the whole value of its group.

    Captum's own way there visits every coefficient in Python for every permutation. The numbers are the same where the
    groups themselves are its features, absent at 0 and present at 1.
    """

    def call(f: nn.Module, x: Tensor, target: Any, x0: Tensor) -> Any:
        players = Players.of(f.transform.layout, **groups(f.transform.layout))  # type: ignore[arg-type]
        index = players.index.to(x.device)

        def play(present: Tensor) -> Any:
            count = len(present) // len(x), *[1] * (x.ndim - 1)  # Captum stacks whole batches
            return f(torch.where(present[:, index] > 0, x.repeat(count), x0.repeat(count)))

        present = x.new_ones(len(x), players.count)
        values = make(play).attribute(present, baselines=0 * present, target=target, perturbations_per_eval=4)
        return values[:, index]

    return call


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError:
        raise ImportError("Captum's methods need captum: pip install 'pullback[captum]'.") from None
    return captum.attr


def _named(name: str, method: Callable[..., Any]) -> MethodFunction:
    def call(f: nn.Module, x: Tensor, target: Any, x0: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the hooks and gradients that captum sets
            return method(f, x.requires_grad_(), target, x0)

    call.__name__ = name
    return call


def _bounded(method: Callable[..., Any], repeats: int) -> Callable[..., Any]:
    """Refuses inputs on which one model row per coefficient, `repeats` times, is not feasible."""

    @functools.wraps(method)
    def call(f: nn.Module, x: Tensor, target: Any, x0: Tensor) -> Any:
        rows = repeats * math.prod(x.shape[1:])
        if rows > MOST_ROWS:
            raise ValueError(f"needs {rows:,} model evaluations for one example; the limit here is {MOST_ROWS:,}")
        return method(f, x, target, x0)

    return call


def _lrp(f: nn.Module, x: Tensor, target: Any, x0: Tensor) -> Any:
    """ε-LRP, with T⁻¹ as one more linear layer. `f` is a copy that keeps no rule."""
    leaves = [module for module in f.modules() if isinstance(module, Transform) and not list(module.children())]
    give_rules(f.modules(), *leaves)
    return _captum().LRP(f).attribute(x, target=target)
