"""`Attribution`: what was found, in which coordinates, and how."""

import json
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pandas as pd
import torch
from torch import Tensor

from ..transforms import Layout, Transform, TransformClaim, get
from . import saved
from .call import Options, run
from .engine.score import Target
from .estimator import Kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMALIZATIONS = ("share", "density")


@dataclass(frozen=True, eq=False)
class Attribution:
    """Attributions of a batch in one domain.

    values: a, (batch, *coeff).  coefficients: z = T x.  displacement: z - z₀.  score_difference: f(x) - f(x₀), (batch,).
    transform: T.  kind: "share" for shares of f(x) - f(x₀), or "sensitivity".
    covector: ḡ in the signal, (batch, *shape), where a = (z - z₀) ⊙ T.adjoint(ḡ) for shares and T.adjoint(ḡ) for
    sensitivities.
    settings: method, options, target, baseline, seed, versions and the evaluations of the model.
    details: what the method itself reports, by name.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1).square().sum(1)
    >>> att = pb.attribute(f, torch.ones(2, 1, 8), transform="dwt(haar, level=1)")
    >>> att.values.shape, [band.name for band in att.layout.bands], bool((att.completeness_gap.abs() < 1e-4).all())
    (torch.Size([2, 1, 8]), ['a1', 'd1'], True)
    """

    values: Tensor
    coefficients: Tensor
    displacement: Tensor
    score_difference: Tensor
    transform: Transform
    kind: Kind = "share"
    covector: Tensor | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """The bands of the coefficients."""
        return self.transform.layout

    @property
    def completeness_gap(self) -> Tensor:
        """The completeness residual Σ a - (f(x) - f(x₀)), signed, in units of the score. Shape: (batch,).

        For a linear T it is the same in every domain, so it cannot rank domains.
        Source: completeness, Sundararajan, Taly & Yan 2017, proposition 1.

        >>> import pullback as pb
        >>> cube = lambda x: x.flatten(1).pow(3).sum(1)
        >>> pb.attribute(cube, torch.full((1, 1, 1), 2.0), method="input_x_gradient").completeness_gap  # 2 · 12 - 8
        tensor([16.])
        """
        return self.values.flatten(1).sum(1) - self.score_difference

    def __repr__(self) -> str:
        largest = f", largest |gap| {float(self.completeness_gap.abs().max()):.2g}"
        gap = largest if self.kind == "share" else ""
        return (
            f"Attribution({self.settings.get('method', '?')} in {self.transform.spec}, {len(self.values)} examples, "
            f"{self.values[0].numel():,} coefficients each{gap})"
        )

    def __len__(self) -> int:
        """How many examples."""
        return len(self.values)

    def __iter__(self) -> Iterator["Attribution"]:
        """The attribution of each example by itself."""
        return (self[example] for example in range(len(self)))

    def __getitem__(self, example: int | slice) -> "Attribution":
        """The attribution of one example, or of a slice of them; still a batch.

        Raises: IndexError where there is no such example, or none in the slice.
        """
        pick = (
            example
            if isinstance(example, slice)
            else slice(operator.index(example), operator.index(example) + 1 or None)
        )
        if not len(self.values[pick]):
            raise IndexError(f"Attribution: it holds {len(self)} examples; there is no {example!r}.")
        return replace(
            self,
            values=self.values[pick],
            coefficients=self.coefficients[pick],
            displacement=self.displacement[pick],
            score_difference=self.score_difference[pick],
            covector=None if self.covector is None else self.covector[pick],
            details={key: value[pick] if isinstance(value, Tensor) else value for key, value in self.details.items()},
        )

    def importance(self, by: str = "scale", normalize: str | None = "share") -> pd.DataFrame:
        """One row per example, one column per group of bands, coarse to fine.

        by: "scale", "band", "orientation" or "octave".
        normalize: "share", Σ|a| of the group over Σ|a| of all; "density", mean |a| of the group's coefficients, scaled
        to sum to 1 (what the robustness figure of WAM shows); None, the signed sum Σ a, whose total is that of the map.
        All-zero maps have all-zero shares.

        Raises: ValueError that lists the choices.

        >>> import pullback as pb
        >>> low = lambda x: x.flatten(1).sum(1)  # reads nothing but the mean
        >>> att = pb.attribute(low, torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), transform="dwt(haar, level=1)")
        >>> att.importance("band").loc[0].round(3).to_dict()
        {'a1': 1.0, 'd1': 0.0}
        """
        if normalize is not None and normalize not in NORMALIZATIONS:
            raise ValueError(
                f"importance: expected normalize in {', '.join(NORMALIZATIONS)} or None; got {normalize!r}."
            )
        layout = self.layout.group(by)
        sums = layout.sum(self.values if normalize is None else self.values.abs())
        if normalize == "density":
            sums = sums / layout.sizes.to(sums).clamp(min=1)
        if normalize is not None:
            total = sums.sum(1, keepdim=True)
            sums = torch.where(total > 0, sums / total.where(total > 0, 1), 0)
        names = [band.name for band in layout.bands]
        return pd.DataFrame(sums.detach().cpu().double().numpy(), columns=names).rename_axis("example")

    def keep_mask(self, keep: float) -> Tensor:
        """True for the `keep` × (number of signal samples) coefficients of largest |a|, per example, ties by position.

        Counted in signal samples, so that domains with more coefficients than samples get no larger budget.
        Shape: (batch, *coeff), bool.  Raises: ValueError unless keep lies in (0, 1].
        """
        return top(self.values.abs(), coefficient_count(keep, self.transform))

    def signal(self, keep: float = 0.1) -> Tensor:
        """T⁻¹ of the coefficients with the largest |a|; the others stay at the baseline's. Shape: (batch, *shape).

        keep: fraction of the number of signal samples.  Raises: ValueError unless it lies in (0, 1].

        >>> import pullback as pb
        >>> first = lambda x: x.flatten(1)[:, 0]
        >>> pb.attribute(first, torch.tensor([[[5.0, 7.0, 7.0, 7.0]]])).signal(keep=0.25).round(decimals=4)
        tensor([[[5., 0., 0., 0.]]])
        """
        return keep_only(self, self.keep_mask(keep))

    def heatmap(self, by: str | None = None) -> Tensor:
        """Where in the signal the attribution sits, channels summed: (batch, *spatial), or (batch, groups, *spatial).

        The part of a group b of coefficients is T⁻¹((z - z₀) on b) ⊙ ḡ for shares, and Tᵀ(a on b) for sensitivities.
        It is exact for any linear T, localised or not: the map of a share sums to Σ_{k in b} a_k, signed, and the
        groups' maps sum to the pixels' own.

        by: None, or as in `importance`.  Raises: ValueError where T is not linear.

        >>> import pullback as pb
        >>> first = lambda x: x.flatten(1)[:, 0]
        >>> att = pb.attribute(first, torch.tensor([[[5.0, 7.0, 7.0, 7.0]]]), transform="dct")
        >>> att.heatmap().round(decimals=4).abs()  # all DCT coefficients speak of sample 0
        tensor([[5., 0., 0., 0.]])
        """
        if TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS not in self.transform.claims:
            raise ValueError(
                f"heatmap: {self.transform.spec} is not linear, so its coefficients have no exact place in "
                "the signal; use importance() or signal()."
            )
        if by is None:
            return self._part(torch.ones_like(self.layout.index, dtype=torch.bool))
        layout = self.layout.group(by)
        return torch.stack([self._part(layout.index == group) for group in range(len(layout.bands))], 1)

    def _part(self, mask: Tensor) -> Tensor:
        mask = mask.to(self.values.device)
        if self.kind == "sensitivity":
            return analysis_transpose(self.transform, self.values * mask).sum(1)
        return (self.transform.inverse(self.displacement * mask) * self._covector()).sum(1)

    def _covector(self) -> Tensor:
        """ḡ in the signal; where the method has none, the one that gives a wherever z ≠ z₀."""
        if self.covector is not None:
            return self.covector
        moved = self.displacement != 0
        return analysis_transpose(
            self.transform, torch.where(moved, self.values / self.displacement.where(moved, 1), 0)
        )

    def plot(self, example: int = 0) -> "Figure":
        """A figure of one example: the signal, where each scale's attribution sits, and each scale's share."""
        from .plot import plot

        return plot(self, example)

    def to_xarray(self) -> Any:
        """An xarray.Dataset of values, coefficients and displacement, with a band name for each coefficient.

        Raises: ImportError with the command that installs xarray.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'pullback[xarray]'.") from None
        axes = ["channel", *(f"axis{i}" for i in range(1, self.layout.index.ndim))]
        dims = ["example", *axes]
        arrays = {
            name: (dims, getattr(self, name).detach().cpu().numpy())
            for name in ("values", "coefficients", "displacement")
        }
        names = pd.Series([band.name for band in self.layout.bands]).to_numpy(dtype=object)
        bands = (axes, names[self.layout.index.numpy()])
        return xarray.Dataset(
            arrays | {"score_difference": (["example"], self.score_difference.detach().cpu().numpy())},
            coords={"band": bands},
            attrs={"settings": json.dumps(self.settings)},
        )

    def resume(
        self, model: Callable[..., Any], x: Tensor, target: Target = None, **options: Unpack[Options]
    ) -> "Attribution":
        """Continues an integrated gradient that was made with keep=True, without evaluating anything twice.

        The call must be the same as the first one; `method` may now ask for a smaller tol or more evaluations. `settings`
        counts what is new.  options: method, baseline, batch_size, seed … as in `attribute`.
        Raises: ValueError that names what differs from the first call, or where nothing was kept.

        >>> import pullback as pb
        >>> f, x = lambda x: x.exp().sum(1), torch.ones(1, 4)
        >>> first = pb.attribute(f, x, method="integrated_gradients(tol=0.3, keep=True)")
        >>> first.resume(f, x, method="integrated_gradients(tol=0)").settings["evaluations"]["gradient"] > 0
        True
        """
        return run(Attribution, model, x, target, [self.transform], [self], **options)[0]

    def save(self, path: str | Path) -> None:
        """Writes one .safetensors file, settings inside as JSON; it appears whole or not at all.

        >>> import tempfile, pullback as pb
        >>> att = pb.attribute(lambda x: x.flatten(1).sum(1), torch.ones(1, 1, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     att.save(f"{folder}/ones.safetensors")
        ...     torch.equal(Attribution.load(f"{folder}/ones.safetensors").values, att.values)
        True
        """
        tensors = {name: getattr(self, name) for name in saved.TENSORS if getattr(self, name) is not None}
        header = {"transform": self.transform.spec, "shape": self.transform.shape, "kind": self.kind}
        saved.write(path, tensors, self.details, header | {"settings": self.settings})

    @classmethod
    def load(cls, path: str | Path, transform: Transform | None = None) -> "Attribution":
        """Reads what `save` wrote. Nothing in the file is executed.

        transform: needed only for a T that no spec describes.
        Raises: ValueError where the file is not an attribution, or its transform cannot be built from its spec;
        FileNotFoundError.
        """
        tensors, details, header = saved.read(Path(path))
        if transform is None:
            try:
                transform = get(header["transform"], tuple(header["shape"]))
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{path}: its transform {header['transform']!r} cannot be built from its name; pass "
                    f"Attribution.load(path, transform=…). ({error})"
                ) from None
        shape = tuple(tensors["values"].shape[1:])
        if shape != transform.layout.shape:
            raise ValueError(
                f"{path}: holds coefficients of shape {shape}, but {transform.spec} on signals of shape "
                f"{transform.shape} has {transform.layout.shape}; pass the transform it was made in."
            )
        return cls(**tensors, transform=transform, kind=header["kind"], settings=header["settings"], details=details)


def coefficient_count(keep: float, transform: Transform) -> int:
    """How many coefficients a fraction `keep` of the signal's samples is; at least 1."""
    if isinstance(keep, bool) or not isinstance(keep, (int, float)) or not 0 < keep <= 1:
        raise ValueError(f"keep: expected a fraction in (0, 1], got {keep!r}.")
    return max(1, round(keep * math.prod(transform.shape)))


def top(score: Tensor, count: int) -> Tensor:
    """True for the `count` largest entries of each example, ties by position. Shape: as score, bool."""
    flat = score.flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(flat, dtype=torch.bool).scatter(1, order, True).reshape(score.shape)


def keep_only(attribution: Attribution, mask: Tensor, example: Tensor | slice = slice(None)) -> Tensor:
    """T⁻¹(z₀ + mask ⊙ (z - z₀)) of these examples, which mask (examples, *coeff) belongs to. Shape: (examples, *shape)."""
    return attribution.transform.inverse(attribution.coefficients[example] - attribution.displacement[example] * ~mask)


def analysis_transpose(transform: Transform, z: Tensor) -> Tensor:
    """Tᵀ z: T⁻¹ itself where T is orthogonal, else by automatic differentiation of T."""
    if TransformClaim.ORTHOGONAL in transform.claims:
        return transform.inverse(z)
    with torch.inference_mode(False), torch.enable_grad():
        z = z.clone() if z.is_inference() else z
        x = torch.zeros((len(z), *transform.shape), dtype=z.dtype, device=z.device, requires_grad=True)
        (out,) = torch.autograd.grad(transform(x), x, z)
    return out
