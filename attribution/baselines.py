"""Baselines x₀ by name: what "absent" means. Fixed, drawn at random, or declared in the coefficients of a domain."""

import abc
import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch_dct
from torch import Tensor

from ..transforms import Transform
from ..transforms.registry import Registry, parse
from .index import on_host
from .noise import Keyed


class Origin(abc.ABC):
    """Where paths start: a rule that gives x₀ for any x. Subclasses are frozen dataclasses.

    random: whether draws differ; then `expected_gradients` averages over them and other methods take the first.
    coordinates: "signal", or "z" where the domain's own coefficients are given.
    Raises: TypeError where a rule of the signal is asked for coefficients.
    """

    name: ClassVar[str] = ""  # the registered name; `register` writes it
    random: ClassVar[bool] = False
    coordinates: ClassVar[str] = "signal"

    @abc.abstractmethod
    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        """x₀ for draw `sample` of each `example`, (rows,) both. Shape: (rows, *shape)."""

    def coefficients(self, domain: Transform, x: Tensor) -> Tensor:
        """z₀ (batch, *coeff), where it is declared in z."""
        raise TypeError(f"baseline: {self.name} lives in the signal, not in the coefficients of {domain.spec}.")

    def describe(self) -> str:
        """What the result's settings say of it."""
        options = ", ".join(f"{f.name}={getattr(self, f.name)}" for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{self.name}({options})" if options else self.name

    @classmethod
    @abc.abstractmethod
    def examples(cls) -> Iterable["Origin"]:
        """Instances on which the tests run."""


origins: Registry[Origin] = Registry("baseline", "pullback.baselines")
register = origins.register
names = origins.names


@register("zero")
@dataclass(frozen=True)
class Zero(Origin):
    """x₀ = 0."""

    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        return torch.zeros_like(keyed.signal[example])

    @classmethod
    def examples(cls) -> Iterable[Origin]:
        return [cls()]


@register("blur")
@dataclass(frozen=True)
class Blur(Origin):
    """x₀ = x convolved along every axis with a Gaussian of standard deviation `sigma` samples.

    The signal is continued by half-sample reflection, for which the convolution is a product in the DCT-II:
    coefficient k of n is multiplied by exp(-½ (σ π k / n)²). Means are kept, constants unchanged.

    Source: Fong & Vedaldi 2017, §4.3; Sturmfels, Lundberg & Lee 2020.
    """

    sigma: float = 10.0

    def __post_init__(self) -> None:
        _check_number("blur", "sigma", self.sigma, 0)

    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        x = keyed.signal[example]
        for axis in range(2, x.ndim):
            n = x.shape[axis]
            gain = torch.exp(-0.5 * (self.sigma * math.pi / n * torch.arange(n, device=x.device).to(x)) ** 2)
            x = torch_dct.idct(torch_dct.dct(x.transpose(axis, -1)) * gain).transpose(axis, -1)
        return x

    @classmethod
    def examples(cls) -> Iterable[Origin]:
        return [cls(), cls(sigma=1.0)]


@register("mean")
@dataclass(frozen=True)
class Mean(Origin):
    """x₀ = the mean of each channel of the example, or of the whole example.

    per: "channel" or "example".
    """

    per: str = "channel"

    def __post_init__(self) -> None:
        if self.per not in ("channel", "example"):
            raise ValueError(f"mean: expected per in channel, example; got {self.per!r}.")

    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        x = keyed.signal[example]
        axes = tuple(range(2 if self.per == "channel" else 1, x.ndim))
        return x.mean(axes, keepdim=True).expand_as(x) if axes else x.clone()

    @classmethod
    def examples(cls) -> Iterable[Origin]:
        return [cls(), cls("example")]


@register("uniform")
@dataclass(frozen=True)
class Uniform(Origin):
    """x₀ ~ U(low, high), independent samples; None takes the example's smallest and largest value.

    Source: Sturmfels, Lundberg & Lee 2020.
    """

    low: float | None = None
    high: float | None = None
    random = True

    def __post_init__(self) -> None:
        for what, value in (("low", self.low), ("high", self.high)):
            if value is not None:
                _check_number("uniform", what, value)
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"uniform: low must lie below high, got low={self.low}, high={self.high}.")

    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        x = keyed.signal[example]
        unit = keyed.draw(example, sample, tuple(x.shape[1:]), Tensor.uniform_, "baseline")
        low = _broadcast(x.flatten(1).amin(1) if self.low is None else x.new_full((len(x),), self.low), x)
        high = _broadcast(x.flatten(1).amax(1) if self.high is None else x.new_full((len(x),), self.high), x)
        return low + (high - low) * unit

    @classmethod
    def examples(cls) -> Iterable[Origin]:
        return [cls(), cls(low=-1.0, high=1.0)]


@register("gaussian")
@dataclass(frozen=True)
class Gaussian(Origin):
    """x₀ ~ N(μ, σ² I), σ = spread · (max x - min x) per example.

    around: μ = "input" (x itself), "mean" (the mean of each channel) or "zero".

    Source: Smilkov et al. 2017; Sturmfels, Lundberg & Lee 2020 (around the input).
    """

    spread: float = 0.5
    around: str = "input"
    random = True

    def __post_init__(self) -> None:
        _check_number("gaussian", "spread", self.spread, 0)
        if self.around not in ("input", "mean", "zero"):
            raise ValueError(f"gaussian: expected around in input, mean, zero; got {self.around!r}.")

    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        x = keyed.signal[example]
        noise = keyed.draw(example, sample, tuple(x.shape[1:]), Tensor.normal_, "baseline")
        std = self.spread * (x.flatten(1).amax(1) - x.flatten(1).amin(1))
        centre = {"input": x, "mean": Mean().rows(keyed, example, sample), "zero": torch.zeros_like(x)}[self.around]
        return centre + _broadcast(std, x) * noise

    @classmethod
    def examples(cls) -> Iterable[Origin]:
        return [cls(), cls(0.1, "mean"), cls(0.1, "zero")]


@dataclass(frozen=True, eq=False)
class Among(Origin):
    """x₀ drawn from reference signals; see `among`."""

    references: Tensor
    name = "among"
    random = True

    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        """Every reference once before any comes again, in an order of each example's own."""
        references = self.references.to(keyed.signal)
        if references.shape[1:] != keyed.signal.shape[1:]:
            raise ValueError(f"baseline: among() holds references of shape {tuple(references.shape[1:])}, but the examples "
                             f"have shape {tuple(keyed.signal.shape[1:])}.")  # fmt: skip
        orders = {e: keyed.generator(e, "among").permutation(len(references)) for e in set(on_host(example))}
        pick = [orders[e][s % len(references)] for e, s in zip(on_host(example), on_host(sample))]
        return references[torch.tensor(pick, device=references.device)]

    def describe(self) -> str:
        return f"among({len(self.references)} references)"

    @classmethod
    def examples(cls) -> Iterable[Origin]:
        return [cls(torch.linspace(-1, 1, 3).reshape(3, 1, 1).expand(3, 1, 4))]


@dataclass(frozen=True, eq=False)
class InDomain(Origin):
    """x₀ = T⁻¹ z₀, in each domain its own; see `in_domain`."""

    z0: Tensor | float = 0.0
    name = "in_domain"
    coordinates = "z"

    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        raise TypeError("baseline: in_domain() has no signal of its own; it is T⁻¹(z₀) of each transform T.")

    def coefficients(self, domain: Transform, x: Tensor) -> Tensor:
        shape = (len(x), *domain.layout.shape)
        z0 = self.z0 if isinstance(self.z0, Tensor) else x.new_tensor(self.z0)
        if z0.ndim and tuple(z0.shape) not in (shape, shape[1:], (1, *shape[1:])):
            raise ValueError(f"baseline: in_domain() expected coefficients of {domain.spec}, a tensor of shape {shape} or "
                             f"{shape[1:]}, got {tuple(z0.shape)}.")  # fmt: skip
        return check_finite("baseline", z0.to(x).expand(shape))

    def describe(self) -> str:
        return f"in_domain({_shown(self.z0)})"

    @classmethod
    def examples(cls) -> Iterable[Origin]:
        return [cls()]


@dataclass(frozen=True, eq=False)
class Given(Origin):
    """x₀ as the caller gave it: a number, a tensor that broadcasts to x, or a callable x -> x₀."""

    value: Any
    name = "given"

    def rows(self, keyed: Keyed, example: Tensor, sample: Tensor) -> Tensor:
        return _as_signal(self.value, keyed.signal)[example]

    def describe(self) -> str:
        return _shown(self.value)

    @classmethod
    def examples(cls) -> Iterable[Origin]:
        return [cls(0.5), cls(torch.neg)]


def among(references: Tensor) -> Origin:
    """A baseline distribution: the rows of `references` (n, *shape), such as other examples of the data.

    >>> import torch
    >>> among(torch.zeros(20, 1, 8)).describe()
    'among(20 references)'
    """
    if not isinstance(references, Tensor):
        raise TypeError(f"among: expected a tensor (n, *shape), got {type(references).__name__}.")
    if references.ndim < 2 or not len(references) or not references.is_floating_point():
        raise ValueError(f"among: expected a real floating-point tensor (n, *shape) with at least one reference, got "
                         f"{references.dtype} of shape {tuple(references.shape)}.")  # fmt: skip
    return Among(check_finite("among", references.detach()))


def in_domain(z0: Tensor | float = 0.0) -> Origin:
    """A baseline declared in coefficients: x₀ = T⁻¹(z₀) in each domain T, the zero of that domain by default.

    For linear T the default is the zero signal; elsewhere it is whatever zero coefficients mean there.

    z0: a number, or a tensor (batch, *coeff) or (*coeff) that fits the one domain it belongs to.
    Raises: ValueError for complex coefficients.

    >>> import torch, pullback as pb
    >>> att = pb.attribute(torch.nn.Flatten(), torch.ones(1, 1, 1), 0, transform="dct",
    ...                    baseline=pb.attribution.in_domain(0.25))
    >>> att.displacement, att.settings["baseline_coordinates"]
    (tensor([[[0.7500]]]), 'z')
    """
    if not isinstance(z0, Tensor):
        _check_number("in_domain", "z0", z0)
    elif z0.is_complex() or z0.dtype == torch.bool:
        raise ValueError(f"in_domain: expected real coefficients, got {z0.dtype}.")
    return InDomain(z0)


def get_baseline(baseline: Any) -> Origin:
    """The `Origin` that `attribute(baseline=…)` means.

    Raises: ValueError that lists the choices, or TypeError.

    >>> get_baseline("blur(sigma=3)")
    Blur(sigma=3)
    """
    if isinstance(baseline, Origin):
        return baseline
    if isinstance(baseline, str):
        calls = parse(baseline)
        if len(calls) != 1:
            raise ValueError(f"Baseline {baseline!r}: expected one baseline; '>>' belongs to transforms.")
        return origins.build(calls[0])
    if baseline is None:
        return Zero()
    if isinstance(baseline, bool) or not (isinstance(baseline, (int, float, Tensor)) or callable(baseline)):
        raise TypeError("baseline: expected a number, a tensor, a callable, a name such as 'blur(sigma=10)' (choices: "
                        f"{', '.join(names())}) or None, got {type(baseline).__name__}.")  # fmt: skip
    return Given(baseline)


def _as_signal(baseline: Any, x: Tensor) -> Tensor:
    """A given baseline in the shape, dtype and device of x.  Raises: TypeError or ValueError that says what came."""
    value = baseline(x) if callable(baseline) and not isinstance(baseline, Tensor) else baseline
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = torch.full_like(x, value)
    if not isinstance(value, Tensor):
        raise TypeError(f"baseline: expected a number, a tensor, a callable or None, got {type(value).__name__}.")
    if value.is_complex() or (value.ndim and value.shape != x.shape and value.shape != x.shape[1:]
                              and value.shape != (1, *x.shape[1:])):  # fmt: skip
        raise ValueError(f"baseline: expected a real tensor of shape {tuple(x.shape)} or {tuple(x.shape[1:])}, got "
                         f"{value.dtype} of shape {tuple(value.shape)}.")  # fmt: skip
    return check_finite("baseline", value.to(x).expand_as(x))


def check_finite(who: str, value: Tensor) -> Tensor:
    """`value` (batch, …).  Raises: ValueError that names the first example with NaN or infinity."""
    wrong = not_finite(value)
    if wrong is not None:
        raise ValueError(f"{who}: example {wrong} holds NaN or infinity; clean or drop it.")
    return value


def not_finite(value: Tensor) -> int | None:
    """The first example of `value` (batch, …) that holds NaN or infinity, or None."""
    if bool(value.detach().sum().isfinite()):  # one cheap pass: what is not finite stays so in the sum
        return None
    finite = value.isfinite().flatten(1).all(1)
    return None if bool(finite.all()) else int((~finite).nonzero()[0, 0])


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"tensor {tuple(value.shape)}"
    return f"callable {getattr(value, '__qualname__', type(value).__name__)}" if callable(value) else str(value)


def _check_number(who: str, what: str, value: Any, least: float = -math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
        bound = "" if least == -math.inf else f" of at least {least}"
        raise ValueError(f"{who}: {what} must be a finite number{bound}, got {value!r}.")
