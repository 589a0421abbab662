"""Baselines that do not draw random numbers: computed from x, given by the caller, or declared in coefficients."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.checks import check_choice, check_number, is_number
from ...core.plain_data import plain
from ...core.spec import parse
from ...core.tensors import array_advice, check_range, ordinary
from ...transforms import Transform
from ..engine.random import Keyed
from ..engine.row_index import RowIndex
from .base import Baseline, baselines, names, register


@register("zero")
@dataclass(frozen=True)
class Zero(Baseline):
    """x₀ = 0, of the shape of x."""

    def draw(self, keyed: Keyed, rows: RowIndex) -> Tensor:
        return torch.zeros_like(keyed.signal[rows.example])


@register("blur")
@dataclass(frozen=True)
class Blur(Baseline):
    """x₀ = x convolved along every axis with a Gaussian of standard deviation `sigma` samples.

    The signal is continued by half-sample reflection, for which the convolution is a product in the DCT-II:
    coefficient k of n is multiplied by exp(-½ (σ π k / n)²). Means are kept, constants unchanged.

    Source: Fong & Vedaldi 2017, §4.3; Sturmfels, Lundberg & Lee 2020.
    Raises: ValueError where sigma is below 0 or not finite.

    >>> Blur(sigma=3).describe()
    'blur(sigma=3)'
    """

    sigma: float = 10.0
    examples = classmethod(lambda cls: [cls(), cls(sigma=1.0)])

    def __post_init__(self) -> None:
        check_number("blur", "sigma", self.sigma, 0)

    def draw(self, keyed: Keyed, rows: RowIndex) -> Tensor:
        return blurred(keyed.signal[rows.example], self.sigma)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """x (rows, channels, *sizes) convolved along every size, as `Blur` describes it."""
    import torch_dct  # imported here, as little needs it

    for axis in range(2, x.ndim):
        n = x.shape[axis]
        gain = torch.exp(-0.5 * (sigma * math.pi / n * torch.arange(n, device=x.device).to(x)) ** 2)
        x = torch_dct.idct(torch_dct.dct(x.transpose(axis, -1)) * gain).transpose(axis, -1)
    return x


@register("mean")
@dataclass(frozen=True)
class Mean(Baseline):
    """x₀ = the mean of each channel of the example, or of the whole example.

    per: "channel" or "example".  Raises: ValueError for anything else.

    >>> pb.attribute(torch.nn.Flatten(), torch.tensor([[[1.0, 3.0]]]), 0, baseline="mean").displacement
    tensor([[[-1.,  1.]]])
    """

    per: str = "channel"
    examples = classmethod(lambda cls: [cls(), cls("example")])

    def __post_init__(self) -> None:
        check_choice("mean", "per", self.per, ("channel", "example"))

    def draw(self, keyed: Keyed, rows: RowIndex) -> Tensor:
        x = keyed.signal[rows.example]
        axes = tuple(range(2 if self.per == "channel" else 1, x.ndim))
        return x.mean(axes, keepdim=True).expand_as(x) if axes else x.clone()


@dataclass(frozen=True, eq=False)
class Given(Baseline):
    """x₀ as given: a number, a tensor ([batch,] *shape) or a callable x -> x₀.  Raises: TypeError or ValueError for others."""

    value: Any
    name = "given"

    def draw(self, keyed: Keyed, rows: RowIndex) -> Tensor:
        x, value = keyed.signal, self.value
        value = value(x) if callable(value) and not isinstance(value, Tensor) else value
        value = torch.full_like(x, value) if is_number(value) else value
        value = ordinary("baseline", value)
        if value.is_complex() or (value.ndim and value.shape not in (x.shape, x.shape[1:], (1, *x.shape[1:]))):
            wanted, got = f"{tuple(x.shape)} or {tuple(x.shape[1:])}", f"{value.dtype} of shape {tuple(value.shape)}"
            raise ValueError(f"baseline: expected a real tensor of shape {wanted}, got {got}.")
        return check_range("baseline", value.to(x).expand_as(x))[rows.example]

    def describe(self) -> str:
        return str(plain(self.value))


@dataclass(frozen=True, eq=False)
class InDomain(Baseline):
    """x₀ = T⁻¹ z₀ in each domain T; see `in_domain`.  Raises: ValueError where z₀ does not fit the domain."""

    z0: Tensor | float = 0.0
    name = "in_domain"
    coordinates = "z"

    def draw(self, keyed: Keyed, rows: RowIndex) -> Tensor:
        raise TypeError("baseline: in_domain() has no signal of its own; it is T⁻¹(z₀) of each transform T.")

    def coefficients(self, domain: Transform, x: Tensor) -> Tensor:
        shape = (len(x), *domain.layout.shape)
        z0 = self.z0 if isinstance(self.z0, Tensor) else x.new_tensor(self.z0)
        if z0.ndim and tuple(z0.shape) not in (shape, shape[1:], (1, *shape[1:])):
            wanted = f"coefficients of {domain.spec}, a tensor of shape {shape} or {shape[1:]}"
            raise ValueError(f"baseline: in_domain() expected {wanted}, got {tuple(z0.shape)}.")
        return check_range("baseline", z0.to(x).expand(shape))

    def describe(self) -> str:
        return f"in_domain({plain(self.z0)})"


def in_domain(z0: Tensor | float = 0.0) -> Baseline:
    """A baseline declared in coefficients: x₀ = T⁻¹(z₀) in each domain T; by default z₀ = 0, for linear T the zero signal.

    z0: a number, or a tensor (batch, *coeff) or (*coeff) for one domain.
    Raises: ValueError for complex coefficients.

    >>> import torch, pullback as pb
    >>> x0 = pb.attribution.baselines.in_domain(0.25)
    >>> att = pb.attribute(torch.nn.Flatten(), torch.ones(1, 1, 1), 0, transform="dct", baseline=x0)
    >>> att.displacement, att.settings["baseline_coordinates"]
    (tensor([[[0.7500]]]), 'z')
    """
    z0 = ordinary("in_domain", z0) if isinstance(z0, Tensor) else z0
    if not isinstance(z0, Tensor):
        check_number("in_domain", "z0", z0)
    elif z0.is_complex() or z0.dtype == torch.bool:
        raise ValueError(f"in_domain: expected real coefficients, got {z0.dtype}.")
    return InDomain(z0)


def get(baseline: Any) -> Baseline:
    """The `Baseline` that `attribute(baseline=…)` means; a `Baseline` is returned as it is.

    Raises: ValueError that lists the choices, or TypeError.

    >>> get("blur(sigma=3)")
    Blur(sigma=3)
    """
    if isinstance(baseline, Baseline):
        return baseline
    if isinstance(baseline, str):
        calls = parse(baseline)
        if len(calls) != 1:
            raise ValueError(f"Baseline {baseline!r}: expected one baseline; '>>' belongs to transforms.")
        return baselines.build(calls[0])
    if baseline is None:
        return Zero()
    if not (is_number(baseline) or isinstance(baseline, Tensor) or callable(baseline)):
        wanted = f"a number, a tensor, a callable, a name such as 'blur(sigma=10)' (choices: {', '.join(names())}) or None"
        raise TypeError(f"baseline: expected {wanted}, got {type(baseline).__name__}{array_advice(baseline, 'baseline')}.")
    return Given(ordinary("baseline", baseline) if isinstance(baseline, Tensor) else baseline)
