"""Captum's methods on f∘T⁻¹."""

import contextlib
import functools
import importlib.util
import inspect
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...core.isolation import foreign_code, random_state
from ...transforms import Layout
from ...transforms.layout import GROUPINGS
from ..engine.engine import Engine
from ..engine.hooked import Hooked
from ..estimator import Chart, Cost, Estimate, Estimator, Evaluator, Kind, MethodClaim, register
from ..pullback import Pullback
from . import captum_adapter as adapter


@register("captum")
@dataclass(frozen=True, init=False)
class Captum(Estimator):
    """a = what the Captum class `method` attributes to z as the input of f∘T⁻¹.

    method: the name of a class of captum.attr that attributes the model's input; an unknown one lists them.
    options: of its constructor and of its `attribute`. Inputs, target and baselines come from `pb.attribute`.
    `feature_mask` is "band", "scale", "orientation", "octave" or a tensor (*coeff). Captum gives every member of a group
    the group's value; here the value is spread evenly, so that sums over groups are Captum's values.
    `layer` is a submodule's name; `attribution_method`, for NoiseTunnel, is the name of another class.

    For methods that only call f, its rows are evaluated within `batch_size`; for linear T, the gradient is pulled back by
    the adjoint. Methods that hook layers (DeepLift, LRP, GuidedBackprop, …) run on a copy of the model without in-place
    layers; the model itself is never changed. DeepLift's multipliers m are a covector, a = (z - z₀) ⊙ (T⁻¹)ᵀ m. For LRP,
    T⁻¹ is one more linear layer with the ε rule: samples of x that are exactly zero pass nothing on, and for bias-free ReLU
    networks on signals without zeros it is z ⊙ ∇_z f. LRP refuses T that are not linear; DeepLift is not complete there.
    Both need layers that Captum knows, and a score that is linear in the output (a class or a difference of two): other
    scores count as a plain gradient. LRP has rules for linear, convolution, pooling, batch norm, dropout, flatten, ReLU,
    Tanh and Sigmoid layers, each used once per pass; others (SiLU, GELU, LayerNorm, attention, embeddings, Softmax) are
    refused by name, and operations outside layers, such as a skip's addition, count as a plain gradient.
    Lime and KernelShap need scikit-learn. Random methods are seeded with (seed, example). They draw from generators that all
    threads share: one thread at a time runs Captum, and afterwards these generators are as before.

    Source: Kokhlikyan et al. 2020 (Captum).
    Raises: ImportError with the command that installs Captum; ValueError that lists the methods or options.

    >>> Captum("IntegratedGradients", n_steps=8).options
    {'n_steps': 8}
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)

    def __init__(self, method: str, /, **options: Any) -> None:
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "options", options)
        adapter.check_options(method, options, self._classes)

    @property
    def _names(self) -> list[str]:
        return [self.method, *filter(None, [self.options.get("attribution_method")])]

    @property
    def _classes(self) -> list[Any]:
        return [adapter.captum_class(name) for name in self._names]

    @property
    def claims(self) -> MethodClaim:
        return MethodClaim.NONE if self.options.keys() - {"n_steps"} else adapter.CLAIMS.get(self.method, MethodClaim.NONE)

    @property
    def kind(self) -> Kind:
        multiplies = self.options.get("multiply_by_inputs", True)
        shares = multiplies and self.options.get("attribution_method", self.method) not in adapter.SENSITIVITIES
        return "share" if shares else "sensitivity"

    @property
    def _together(self) -> int:
        """Rows of one example that share a forward; for DeepLift, x and x₀."""
        return 2 if self.method == "DeepLift" else 1

    def estimate(self, evaluator: Evaluator) -> Estimate:
        if evaluator.engine.requested < self._together:
            raise ValueError(f"captum({self.method}): x and x₀ share a forward: batch_size must be at least 2, got 1.")
        if evaluator.engine.create_graph:
            raise ValueError(f"captum({self.method}): Captum's maps have no graph; call it without create_graph.")
        if {"Lime", "KernelShap"} & set(self._names) and importlib.util.find_spec("sklearn") is None:
            advice = "pip install scikit-learn; or take lime or kernel_shap"
            raise ImportError(f"captum({self.method}) needs scikit-learn: {advice}.")
        with foreign_code, warnings.catch_warnings():  # warning filters are shared by all threads
            for message in adapter.KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", message=r"\s*" + message)
            return Estimate([self._values(evaluator, chart) for chart in evaluator.charts])

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        rows = self._together * len(layouts)
        for maker in self._classes:
            for key, parameter in inspect.signature(maker.attribute).parameters.items():
                if key in ("n_steps", "n_samples", "nt_samples"):
                    rows *= int(self.options.get(key, parameter.default))
        return Cost(gradients=rows)

    @classmethod
    def examples(cls) -> Iterable[Estimator]:
        try:
            return [cls("IntegratedGradients", n_steps=96), cls("InputXGradient"), cls("DeepLift")]
        except ImportError:
            return []

    def _values(self, evaluator: Evaluator, chart: Chart) -> Tensor:
        if self.method == "LRP" and evaluator.point is not evaluator.signal:
            raise ValueError("captum(LRP): LRP needs a linear transform; take another domain, or DeepLift.")
        hooked = any(adapter.hooks_layers(maker) for maker in self._classes)
        engine = evaluator.engine
        model = Hooked(engine, chart.push) if hooked else functools.partial(_score, engine, chart)
        side_by_side = self.method in adapter.SIDE_BY_SIDE
        if side_by_side and not hooked:  # the function itself keeps to the budget
            return self._call(model, evaluator, chart, slice(None))
        width = max(1 if side_by_side else engine.limit, self._together)
        example = torch.arange(len(chart.point), device=chart.point.device)
        parts = engine.chunks(example, lambda part: self._call(model, evaluator, chart, part), width)
        return torch.cat([values for _, values in parts])

    def _call(self, model: Any, evaluator: Evaluator, chart: Chart, part: slice) -> Tensor:
        """Captum's values of the examples in `part`. Shape: (examples, *coeff)."""
        z = chart.point[part].detach().clone().requires_grad_()
        example = torch.arange(len(chart.point), device=z.device)[part]
        method, arguments = self._built(model), self._arguments(evaluator, chart, part)
        seeded = random_state(evaluator.keyed.seed_of(int(example[0])), z.device)
        with seeded if adapter.DRAWS & set(self._names) else contextlib.nullcontext(), torch.enable_grad():
            try:
                values = method.attribute(z, additional_forward_args=(example,), **arguments)
            except AssertionError as error:  # Captum refuses options this way
                raise ValueError(f"captum({self.method}): {error}") from error
        if not isinstance(values, Tensor) or values.shape != z.shape:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            what = f"expected values of the input's shape {tuple(z.shape)}, got {got}"
            raise ValueError(f"captum({self.method}): {what}; this method with these options does not attribute the input.")
        values, mask = values.detach().to(z), self.options.get("feature_mask")
        if mask is None:
            return values
        groups = _groups(mask, chart.layout)
        return values / torch.bincount(groups.flatten())[groups].to(values)

    def _built(self, model: Any) -> Any:
        """The Captum object on `model`."""
        for name, maker in zip(reversed(self._names), reversed(self._classes)):
            wanted = inspect.signature(maker.__init__).parameters
            own = {key: value for key, value in self.options.items() if key in wanted}
            if "layer" in own:
                prefix = "model." if isinstance(model.model, Pullback) else ""
                own["layer"] = model.model.get_submodule(prefix + own["layer"])
            if name == "LRP":
                adapter.give_rules(model.model.modules(), model.lift)
            inside = "attribution_method" in wanted  # takes a method in place of the model
            model = maker(**own | {"attribution_method": model}) if inside else maker(model, **own)
        return model

    def _arguments(self, evaluator: Evaluator, chart: Chart, part: slice) -> dict[str, Any]:
        """The arguments of Captum's `attribute`."""
        wanted = adapter.attribute_options(self._classes)
        arguments = {key: value for key, value in self.options.items() if key in wanted}
        if "baselines" in wanted:
            base = (chart.point - chart.displacement)[part]
            # These two want a distribution of at least two baselines.
            arguments["baselines"] = base.repeat_interleave(2, 0) if self.method.endswith("DeepLiftShap") else base
        if "feature_mask" in arguments:
            groups = _groups(arguments["feature_mask"], chart.layout)
            if self.method == "KernelShap" and int(groups.min()) == int(groups.max()):
                why = "which gets all of f(x) - f(x₀); take a finer one"
                raise ValueError(f"captum(KernelShap): feature_mask has one group only, {why}.")
            arguments["feature_mask"] = groups[None].to(chart.point.device)
        limits = {"perturbations_per_eval", "internal_batch_size"} & wanted  # of what Captum itself holds at once
        return dict.fromkeys(limits, evaluator.engine.limit) | arguments


def _score(engine: Engine, chart: Chart, z: Tensor, example: Tensor) -> Tensor:
    """f(T⁻¹ z) within `batch_size`; the gradient is computed with the score and kept for the backward pass."""
    if torch.is_grad_enabled() and z.requires_grad:
        return _ScoreWithGradient.apply(z, example, engine, chart)  # type: ignore[no-untyped-call]
    return engine.scores(example, lambda part: chart.push(z[part].detach()))


class _ScoreWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, example: Tensor, engine: Engine, chart: Chart) -> Tensor:
        values, covector = z.new_empty(len(z)), torch.empty_like(z)
        for part, value, gradient in engine.gradient_chunks(example, lambda part: chart.push(z[part])):
            values[part], covector[part] = value, chart.pull(gradient)
        ctx.save_for_backward(covector)
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (covector,) = ctx.saved_tensors
        return upstream.reshape(-1, *[1] * (covector.ndim - 1)) * covector, None, None, None


def _groups(mask: Any, layout: Layout) -> Tensor:
    """Feature groups, one integer per coefficient. Shape: (*coeff)."""
    if isinstance(mask, str) and mask in GROUPINGS:
        return layout.group(mask).index
    if isinstance(mask, Tensor) and mask.shape == layout.index.shape and not mask.is_floating_point():
        return mask.cpu()
    got = f"{mask.dtype} of shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else repr(mask)
    wanted = f"{', '.join(GROUPINGS)} or an integer tensor of shape {layout.shape}"
    raise ValueError(f"captum: feature_mask must be {wanted}; got {got}.")
