"""Captum's methods on f∘T⁻¹."""

import importlib.util
import inspect
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...core.isolation import random_state
from ...transforms import Layout
from ...transforms.layout import GROUPINGS
from ..engine.engine import Engine
from ..engine.hooked import Hooked
from ..estimator import Chart, Cost, Estimate, Estimator, Evaluator, Kind, MethodClaim, register
from ..pullback import Pullback
from .captum_adapter import (
    CLAIMS,
    KNOWN_WARNINGS,
    SENSITIVITIES,
    SIDE_BY_SIDE,
    attribute_options,
    captum_class,
    check_options,
    give_rules,
    hooks_layers,
)


@register("captum")
@dataclass(frozen=True, init=False)
class Captum(Estimator):
    """a = what the Captum class `method` attributes to z as the input of f∘T⁻¹.

    method: the name of a class of captum.attr that attributes the model's input; an unknown one lists them.
    options: of its constructor and of its `attribute`. Inputs, target and baselines come from `pb.attribute`.
    `feature_mask` is "band", "scale", "orientation", "octave" or a tensor (*coeff); Captum gives every member of a group
    the group's value, here it is spread evenly, so that sums over groups are Captum's values and completeness is kept.
    `layer` is a submodule's name; `attribution_method`, for NoiseTunnel, is the name of another class.

    Methods that only call f see it as a function whose rows run within the budget, whatever number Captum asks for at
    once; for linear T its gradient is the adjoint of the signal's. Methods that hook layers (DeepLift, LRP,
    GuidedBackprop, …) work on a copy of the model with in-place layers switched off, so that the model itself is never
    changed. In z they mean: DeepLift's multipliers are a covector, carried by the adjoint, a = (z - z₀) ⊙ (T⁻¹)ᵀ m; for
    LRP, T⁻¹ is one more linear layer, under the ε rule, so that samples of x that are exactly zero pass nothing on: for
    bias-free ReLU networks on nowhere-zero signals it is z ⊙ ∇_z f. Both need layers that Captum knows, and a score that
    is linear in the output (a class or a difference of two): what the score adds is seen as a plain gradient. The same
    holds for DeepLift through a T that is not linear, and costs completeness; LRP refuses such T.
    LRP has rules for linear, convolution, pooling, batch norm, dropout, flatten, ReLU, Tanh and Sigmoid layers, each used
    once per pass. Others (SiLU, GELU, LayerNorm, attention, embeddings, Softmax) are refused by name; what a forward does
    outside layers, such as a skip's addition, is seen as a plain gradient.
    Lime and KernelShap need scikit-learn.
    Random methods are seeded with (seed, example); the global random state is as before.

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
        classes = [captum_class(method)]
        if "attribution_method" in options:
            classes.append(captum_class(options["attribution_method"]))
        check_options(method, options, classes)

    @property
    def claims(self) -> MethodClaim:
        return MethodClaim.NONE if self.options.keys() - {"n_steps"} else CLAIMS.get(self.method, MethodClaim.NONE)

    @property
    def kind(self) -> Kind:
        multiplies = self.options.get("multiply_by_inputs", True)
        shares = multiplies and self.options.get("attribution_method", self.method) not in SENSITIVITIES
        return "share" if shares else "sensitivity"

    @property
    def _together(self) -> int:
        """Rows of one example that it evaluates in one forward: DeepLift x and x₀."""
        return 2 if self.method == "DeepLift" else 1

    def estimate(self, evaluator: Evaluator) -> Estimate:
        if evaluator.engine.limit < self._together:
            raise ValueError(
                f"captum({self.method}): it evaluates x and x₀ together, so batch_size must be at least 2, got 1."
            )
        if evaluator.engine.create_graph:
            raise ValueError(f"captum({self.method}): Captum's maps have no graph; call it without create_graph.")
        if {"Lime", "KernelShap"} & set(self._names) and importlib.util.find_spec("sklearn") is None:
            raise ImportError(
                f"captum({self.method}) fits with scikit-learn: pip install scikit-learn; or take the methods "
                "lime and kernel_shap, which need none."
            )
        with warnings.catch_warnings():
            for message in KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", message=r"\s*" + message)
            return Estimate([self._values(evaluator, chart) for chart in evaluator.charts])

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        rows = self._together * len(layouts)
        for name in self._names:
            for key, parameter in inspect.signature(captum_class(name).attribute).parameters.items():
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
            raise ValueError(
                "captum(LRP): LRP needs a linear transform, whose inverse is one more linear layer; take another "
                "domain, or DeepLift."
            )
        hooked = any(hooks_layers(captum_class(name)) for name in self._names)
        model = Hooked(evaluator.engine, chart.push) if hooked else _Function(evaluator.engine, chart)
        side_by_side = self.method in SIDE_BY_SIDE
        if side_by_side and not hooked:  # the function itself keeps to the budget
            return self._call(model, evaluator, chart, slice(None))
        parts = []
        example = torch.arange(len(chart.point), device=chart.point.device)
        width = 1 if side_by_side else evaluator.engine.limit
        width = max(width, self._together)
        for _, part in evaluator.engine.chunks(example, lambda part: self._call(model, evaluator, chart, part), width):
            parts.append(part)
        return torch.cat(parts)

    @property
    def _names(self) -> list[str]:
        return [self.method, *filter(None, [self.options.get("attribution_method")])]

    def _call(self, model: Any, evaluator: Evaluator, chart: Chart, part: slice) -> Tensor:
        """Captum's values of the examples in `part`. Shape: (examples, *coeff)."""
        z = chart.point[part].detach().clone().requires_grad_()
        example = torch.arange(len(chart.point), device=z.device)[part]
        method = self._built(model)
        arguments = self._arguments(evaluator, chart, part)
        with random_state(evaluator.keyed.seed_of(int(example[0])), z.device), torch.enable_grad():
            try:
                values = method.attribute(z, additional_forward_args=(example,), **arguments)
            except AssertionError as error:  # Captum's way to refuse an option
                raise ValueError(f"captum({self.method}): {error}") from error
        if not isinstance(values, Tensor) or values.shape != z.shape:
            raise ValueError(
                f"captum({self.method}): expected values of the input's shape {tuple(z.shape)}, got "
                f"{tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__}; this method "
                "with these options does not attribute the input."
            )
        return self._spread(values.detach().to(z), chart.layout)

    def _built(self, model: Any) -> Any:
        """The Captum object on `model`."""
        for name in reversed(self._names):
            maker = captum_class(name)
            wanted = inspect.signature(maker.__init__).parameters
            own = {key: value for key, value in self.options.items() if key in wanted}
            if "layer" in own:
                inner: nn.Module = model.model
                if isinstance(inner, Pullback):
                    inner = inner.get_submodule("model")
                own["layer"] = inner.get_submodule(own["layer"])
            if "attribution_method" in wanted:
                own["attribution_method"] = model
            if name == "LRP":
                give_rules(model.model.modules(), model.lift)
            model = maker(**own) if "attribution_method" in wanted else maker(model, **own)
        return model

    def _arguments(self, evaluator: Evaluator, chart: Chart, part: slice) -> dict[str, Any]:
        """What `attribute` is called with."""
        wanted = attribute_options([captum_class(name) for name in self._names])
        arguments = {key: value for key, value in self.options.items() if key in wanted}
        if "baselines" in wanted:
            base = (chart.point - chart.displacement)[part]
            # These two want a distribution of at least two baselines.
            arguments["baselines"] = base.repeat_interleave(2, 0) if self.method.endswith("DeepLiftShap") else base
        if "feature_mask" in arguments:
            groups = _groups(arguments["feature_mask"], chart.layout)
            if self.method == "KernelShap" and int(groups.min()) == int(groups.max()):
                raise ValueError(
                    "captum(KernelShap): feature_mask has one group only, and all of f(x) - f(x₀) is its; take "
                    "a finer one."
                )
            arguments["feature_mask"] = groups[None].to(chart.point.device)
        for name in ("perturbations_per_eval", "internal_batch_size"):  # what Captum itself holds at once
            if name in wanted:
                arguments.setdefault(name, evaluator.engine.limit)
        return arguments

    def _spread(self, values: Tensor, layout: Layout) -> Tensor:
        mask = self.options.get("feature_mask")
        if mask is None:
            return values
        groups = _groups(mask, layout)
        return values / torch.bincount(groups.flatten())[groups].to(values)


class _Function:
    """z -> f(T⁻¹ z) within the row budget; its gradient is taken where it is called, and handed out later."""

    def __init__(self, engine: Engine, chart: Chart) -> None:
        self._engine, self._chart = engine, chart

    def __call__(self, z: Tensor, example: Tensor) -> Tensor:
        if torch.is_grad_enabled() and z.requires_grad:
            value: Tensor = _Read.apply(z, example, self._engine, self._chart)  # type: ignore[no-untyped-call]
            return value
        return self._engine.scores(example, lambda part: self._chart.push(z[part].detach()))


class _Read(torch.autograd.Function):
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
    got = mask if not isinstance(mask, Tensor) else f"{mask.dtype} of shape {tuple(mask.shape)}"
    raise ValueError(
        f"captum: feature_mask must be {', '.join(GROUPINGS)} or an integer tensor of shape {layout.shape}; "
        f"got {got!r}."
    )
