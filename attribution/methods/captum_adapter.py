"""Captum's classes: which attribute the input, what they take and claim, and the rules of LRP."""

import inspect
from collections.abc import Iterable
from typing import Any

from torch import nn

from ...core.checks import check_choice
from ...core.imports import needs
from ..estimator import MethodClaim

_GRADIENT = MethodClaim.LINEAR | MethodClaim.DUMMY | MethodClaim.SYMMETRIC | MethodClaim.IMPLEMENTATION_INVARIANT
CLAIMS = {
    "InputXGradient": _GRADIENT,
    "Saliency": _GRADIENT & ~MethodClaim.LINEAR,  # absolute values
    "IntegratedGradients": _GRADIENT | MethodClaim.COMPLETE | MethodClaim.SENSITIVE,
    "FeatureAblation": _GRADIENT | MethodClaim.SENSITIVE,
    "ShapleyValues": _GRADIENT | MethodClaim.COMPLETE | MethodClaim.SENSITIVE,
    "DeepLift": MethodClaim.COMPLETE | MethodClaim.SENSITIVE,
}
SENSITIVITIES = {"Saliency", "GuidedBackprop", "Deconvolution", "GuidedGradCam", "Lime"}
SENSITIVITIES |= {"NeuronGradient", "NeuronGuidedBackprop", "NeuronDeconvolution"}
# One row per example and no random numbers: one call takes several examples. Other methods take one example at a time.
SIDE_BY_SIDE = {"Saliency", "InputXGradient", "DeepLift", "GuidedBackprop", "Deconvolution", "LRP"}
# These draw from the global generators of torch, numpy and Python.
DRAWS = {"GradientShap", "NeuronGradientShap", "NoiseTunnel", "Lime", "KernelShap", "ShapleyValueSampling"}
# These give a layer's values, are a base class, or permute over the batch.
_NOT_INPUTS = {"InternalInfluence", "LimeBase", "FeaturePermutation"}
_OURS = {"inputs", "target", "additional_forward_args", "baselines", "return_convergence_delta"}
KNOWN_WARNINGS = (
    "Setting .*hooks",
    "You are attempting to compute Shapley Values with at least 10",
    "Attempting to construct interpretable model with > 10000",
    "Internal batch size cannot be less",
    "Couldn't appropriately interpolate",
)
# Linear layers for which Captum's LRP has no rule: they take the ε rule, its default for convolutions.
_IN_1_AND_3_AXES = ("Conv", "BatchNorm", "AvgPool", "AdaptiveAvgPool")
_LINEAR_LAYERS = {nn.Flatten, nn.Unflatten, nn.Identity}
_LINEAR_LAYERS |= {getattr(nn, f"{name}{axes}d") for name in _IN_1_AND_3_AXES for axes in (1, 3)}


def captum_class(name: str) -> Any:
    """The class captum.attr.name.  Raises: ImportError or ValueError that says what to do.

    >>> captum_class("Saliency").__name__
    'Saliency'
    """
    with needs("captum(…)", "'pullback[captum]'"):
        import captum.attr
    known = [n for n in captum.attr.__all__ if attributes_inputs(n, getattr(captum.attr, n))]
    check_choice("captum", "a method that attributes the model's input", name, sorted(known))
    return getattr(captum.attr, name)


def attributes_inputs(name: str, maker: Any) -> bool:
    """Whether a class gives one value for each number of the input, from one example alone."""
    if not inspect.isclass(maker) or not hasattr(maker, "attribute") or name in _NOT_INPUTS or name.startswith("Layer"):
        return False
    return "inputs" in inspect.signature(maker.attribute).parameters


def hooks_layers(maker: Any) -> bool:
    """Whether a class hooks the model's layers, and so needs the module.

    >>> [hooks_layers(captum_class(name)) for name in ("DeepLift", "IntegratedGradients")]
    [True, False]
    """
    return bool({"model", "layer"} & inspect.signature(maker.__init__).parameters.keys())


def attribute_options(classes: list[Any]) -> set[str]:
    """The arguments of `attribute` of all these classes."""
    return {name for maker in classes for name in inspect.signature(maker.attribute).parameters}


def check_options(method: str, options: dict[str, Any], classes: list[Any]) -> None:
    """Raises: ValueError where no class takes an option, or where an option that a class needs is missing."""
    built = {name for maker in classes for name in inspect.signature(maker.__init__).parameters}
    choices = (built | attribute_options(classes)) - _OURS - {"self", "args", "kwargs", "forward_func", "model"}
    wrong = [name for name in options if name not in choices]
    if wrong:
        hint = " Baselines and targets are arguments of pullback.attribute." if _OURS & set(wrong) else ""
        raise ValueError(f"captum({method}): unknown option {wrong[0]!r}; its options: {', '.join(sorted(choices))}.{hint}")
    for name, meaning in (("layer", "submodule"), ("attribution_method", "Captum class")):
        if name in built and name not in options:
            raise ValueError(f"captum({method}): needs the option {name}=, the name of a {meaning}.")


def give_rules(layers: Iterable[nn.Module], *linear: nn.Module) -> None:
    """Gives the ε rule of LRP to the linear layers that Captum has no rule for; `linear` are more of these, such as T⁻¹."""
    from captum.attr._utils.lrp_rules import EpsilonRule

    for layer in [*linear, *layers]:
        if layer in linear or (type(layer) in _LINEAR_LAYERS and not hasattr(layer, "rule")):
            layer.rule = EpsilonRule()
