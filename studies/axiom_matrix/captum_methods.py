"""Captum's methods as callables (f, x, target, x0) -> tensor."""

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
from .default_options import check_cost, groups

# Evaluations for one map of one example, where they are many; one with a gradient counts three.
EVALUATIONS = {
    "captum.IntegratedGradients(n_steps=200)": 600,
    "captum.ShapleyValueSampling(feature_mask)": 100,
    "captum.ShapleyValueSampling": 2_500,
    "captum.IntegratedGradients": 150,
    "captum.GradientShap": 75,
    "captum.FeatureAblation(feature_mask)": 5,
    "captum.FeatureAblation": 100,
}


def captum_methods() -> dict[str, MethodFunction]:
    """Captum's attribution methods by name; options that the name does not mention are Captum's defaults.

    Raises: ImportError with the command that installs captum.
    """
    attr = _captum()
    many = {"perturbations_per_eval": 16}
    methods: dict[str, Callable[..., Any]] = {
        "Saliency": _at_x(attr.Saliency),
        "Saliency(abs=False)": _at_x(attr.Saliency, abs=False),
        "InputXGradient": _at_x(attr.InputXGradient),
        "IntegratedGradients": _from_baseline(attr.IntegratedGradients),
        "IntegratedGradients(n_steps=200)": _from_baseline(attr.IntegratedGradients, n_steps=200, internal_batch_size=16),
        "DeepLift": _from_baseline(attr.DeepLift),
        "GuidedBackprop": _at_x(attr.GuidedBackprop),
        "Deconvolution": _at_x(attr.Deconvolution),
        "LRP": _lrp,
        "GradientShap(n_samples=25)": _from_baseline(attr.GradientShap, n_samples=25),
        "FeatureAblation": _affordable(_from_baseline(attr.FeatureAblation, **many), 1),
        "FeatureAblation(feature_mask)": _on_groups(attr.FeatureAblation),
        "ShapleyValueSampling": _affordable(_from_baseline(attr.ShapleyValueSampling, **many), 25),
        "ShapleyValueSampling(feature_mask)": _on_groups(attr.ShapleyValueSampling),
    }
    return {f"captum.{name}": _named(f"captum.{name}", method) for name, method in methods.items()}


def _at_x(make: Any, **options: Any) -> Callable[..., Any]:
    return lambda f, x, target, x0: make(f).attribute(x, target=target, **options)


def _from_baseline(make: Any, **options: Any) -> Callable[..., Any]:
    return lambda f, x, target, x0: make(f).attribute(x, baselines=x0, target=target, **options)


def _on_groups(make: Any) -> Callable[..., Any]:
    """With the players of `groups` as the feature_mask: each coefficient gets the whole value of its group.

    Captum itself visits every coefficient in Python for every permutation. Here the groups are its features, absent at 0
    and present at 1, which gives the same numbers.
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
            warnings.simplefilter("ignore")  # captum warns of the hooks and gradients that it sets
            return method(f, x.requires_grad_(), target, x0)

    call.__name__ = name
    return call


def _affordable(method: Callable[..., Any], repeats: int) -> Callable[..., Any]:
    """The method, which refuses inputs that need more evaluations than the limit: `repeats` for each coefficient."""

    def call(f: nn.Module, x: Tensor, target: Any, x0: Tensor) -> Any:
        check_cost(repeats * math.prod(x.shape[1:]))
        return method(f, x, target, x0)

    return call


def _lrp(f: nn.Module, x: Tensor, target: Any, x0: Tensor) -> Any:
    """ε-LRP, with T⁻¹ as one more linear layer. `f` is a copy that keeps no rule."""
    leaves = [module for module in f.modules() if isinstance(module, Transform) and not list(module.children())]
    give_rules(f.modules(), *leaves)
    return _captum().LRP(f).attribute(x, target=target)
