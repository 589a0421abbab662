"""`Attribution`: the values found for a batch in one domain, and how they were found."""

import json
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import Tensor

from ..core.checks import check_choice, is_number, quoted
from ..core.files import plain
from ..core.imports import needs
from ..core.tensors import ranks
from ..transforms import Layout, Transform, get
from ..transforms.units import octave_table
from . import saved
from .call import BaselineLike, Model, Options, is_signal_linear, run
from .engine.score import Target
from .estimator import Kind
from .methods.foreign_map import foreign_fields
from .pullback import analysis_transpose
from .resume import missed, warn_unconverged

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NORMALIZATIONS = ("share", "density")  # or None


@dataclass(frozen=True, eq=False)
class Attribution:
    """Attributions of a batch in one domain.

    values: a, (batch, *coeff).  coefficients: z = T x.  displacement: z - z₀.  score_difference: f(x) - f(x₀), (batch,).
    transform: T.  kind: "share" for shares of f(x) - f(x₀), or "sensitivity".  details: what the method reports, by name.
    covector: ḡ in the signal, (batch, *shape), where a = (z - z₀) ⊙ T.adjoint(ḡ) for shares and T.adjoint(ḡ) for sensitivities.
    settings: method, options, target, baseline, seed, versions and the evaluations of the model.

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

        >>> cube = lambda x: x.flatten(1).pow(3).sum(1)
        >>> pb.attribute(cube, torch.full((1, 1, 1), 2.0), method="input_x_gradient").completeness_gap  # 2 · 12 - 8
        tensor([16.])
        """
        return self.values.flatten(1).sum(1) - self.score_difference

    def __repr__(self) -> str:
        gap = f", largest |gap| {float(self.completeness_gap.abs().max()):.2g}" if self.kind == "share" else ""
        late = missed([self])
        what = f"{self.settings.get('method', '?')} in {self.transform.spec}"
        size = f"{len(self)} examples, {self.values[0].numel():,} coefficients each"
        return f"Attribution({what}, {size}{gap}{', ' + late if late else ''})"

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.values)

    def __iter__(self) -> Iterator["Attribution"]:
        """The attribution of each example by itself."""
        return (self[example] for example in range(len(self)))

    def __getitem__(self, example: int | slice) -> "Attribution":
        """The attribution of one example, or of a slice of them; still a batch.  Raises: IndexError where there is none."""
        first = 0 if isinstance(example, slice) else operator.index(example)
        pick = example if isinstance(example, slice) else slice(first, first + 1 or None)
        if not len(self.values[pick]):
            raise IndexError(f"Attribution: it holds {len(self)} examples; there is no {example!r}.")
        tensors = {name: getattr(self, name)[pick] for name in saved.REQUIRED}
        details = {key: value[pick] if isinstance(value, Tensor) else value for key, value in self.details.items()}
        covector = None if self.covector is None else self.covector[pick]
        return replace(self, **tensors, covector=covector, details=details)

    def importance(self, by: str = "scale", normalize: str | None = "share") -> "pd.DataFrame":
        """One row per example, one column per group of bands, coarse to fine.

        by: "scale", "band", "orientation" or "octave".
        normalize: "share", Σ|a| of the group over Σ|a| of all; "density", mean |a| of the group's coefficients, scaled
        to sum to 1 (as in WAM's robustness figure); None, the signed sum Σ a. All-zero maps have all-zero shares.
        Raises: ValueError that lists the choices.

        >>> low = lambda x: x.flatten(1).sum(1)  # reads nothing but the mean
        >>> att = pb.attribute(low, torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), transform="dwt(haar, level=1)")
        >>> att.importance("band").loc[0].round(3).to_dict()
        {'a1': 1.0, 'd1': 0.0}
        """
        import pandas as pd  # imported here, as it takes long

        if normalize is not None:
            check_choice("importance", "normalize", normalize, NORMALIZATIONS)
        layout = self.layout.group(by)
        sums = layout.sum(self.values if normalize is None else self.values.abs())
        if normalize == "density":
            sums = sums / layout.sizes.to(sums).clamp(min=1)
        if normalize is not None:
            total = sums.sum(1, keepdim=True)
            sums = torch.where(total > 0, sums / total.where(total > 0, 1), 0)
        names = [band.name for band in layout.bands]
        return pd.DataFrame(sums.detach().cpu().double().numpy(), columns=names).rename_axis("example")

    def octaves(self, rate: float | Sequence[float] = 1.0, example: int = 0) -> "pd.DataFrame":
        """A row for each octave of one example: frequencies low to high, share of Σ|a|, and total Σ a, signed.
        rate: samples per second for Hz, or per mm; of several axes one for each ("low 1", …).  Raises: ValueError; IndexError.

        >>> att = pb.attribute(lambda x: x[:, 0, 0], torch.ones(1, 1, 8), transform="dwt(haar, level=1)")
        >>> att.octaves(rate=16_000).round(2).values.tolist()
        [[0.0, 4000.0, 1.0, 1.0], [4000.0, 8000.0, 0.0, 0.0]]
        """
        asked = (("share", "share"), ("total", None))
        return octave_table(self.layout, rate, {name: self[example].importance("octave", how).iloc[0] for name, how in asked})

    def keep_mask(self, keep: float) -> Tensor:
        """True where `signal` keeps z, (batch, *coeff), ties by position.  Raises: ValueError unless 0 < keep ≤ 1."""
        return ranks(self.values.abs()) < coefficient_count(keep, self.transform)

    def signal(self, keep: float = 0.1) -> Tensor:
        """T⁻¹ of the coefficients with the largest |a|; the others stay at the baseline's. Shape: (batch, *shape).

        keep: their number, as a fraction in (0, 1] of the number of signal samples, which is the same in every domain.
        Raises: ValueError for any other.

        >>> first = lambda x: x.flatten(1)[:, 0]
        >>> pb.attribute(first, torch.tensor([[[5.0, 7.0, 7.0, 7.0]]])).signal(keep=0.25).round(decimals=4)
        tensor([[[5., 0., 0., 0.]]])
        """
        return keep_only(self, self.keep_mask(keep))

    def heatmap(self, by: str | None = None) -> Tensor:
        """Where in the signal the attribution lies, channels summed: (batch, *spatial), or (batch, groups, *spatial).

        The part of a group b of coefficients is T⁻¹((z - z₀) on b) ⊙ ḡ for shares, and Tᵀ(a on b) for sensitivities.
        It is exact for any linear T, localised or not: the map of a share sums to Σ_{k in b} a_k, signed, and the
        groups' maps sum to the map in the pixel domain.

        by: None, or as in `importance`.  Raises: ValueError where T is not linear.

        >>> first = lambda x: x.flatten(1)[:, 0]
        >>> att = pb.attribute(first, torch.tensor([[[5.0, 7.0, 7.0, 7.0]]]), transform="dct")
        >>> att.heatmap().round(decimals=4).abs()  # all DCT coefficients together read sample 0
        tensor([[5., 0., 0., 0.]])
        """
        if not is_signal_linear(self.transform):
            advice = "so its coefficients have no exact place in the signal; use importance() or signal()"
            raise ValueError(f"heatmap: {self.transform.spec} is not linear, {advice}.")
        if by is None:
            return self._part(torch.ones_like(self.layout.index, dtype=torch.bool))
        layout = self.layout.group(by)
        return torch.stack([self._part(layout.index == group) for group in range(len(layout.bands))], 1)

    def _part(self, mask: Tensor) -> Tensor:
        """The map of the coefficients in `mask` (*coeff), (batch, *spatial)."""
        mask, covector = mask.to(self.values.device), self.covector
        if self.kind == "sensitivity":
            return analysis_transpose(self.transform, self.values * mask).sum(1)
        if covector is None:  # the covector that gives a wherever z ≠ z₀
            moved = self.displacement != 0
            ratio = torch.where(moved, self.values / self.displacement.where(moved, 1), 0)
            covector = analysis_transpose(self.transform, ratio)
        return (self.transform.inverse(self.displacement * mask) * covector).sum(1)

    def plot(self, example: int = 0) -> "Figure":
        """A figure of one example: the signal, a map of each scale's attribution, and each scale's share."""
        from .plot import plot

        return plot(self, example)

    def to_xarray(self) -> Any:
        """An xarray.Dataset of all tensors, with a band name for each coefficient.  Raises: ImportError without xarray."""
        with needs("to_xarray", "'pullback[xarray]'"):
            import xarray
        axes = ["channel", *(f"axis{i}" for i in range(1, self.layout.index.ndim))]
        dims = {name: ["example"] if name == "score_difference" else ["example", *axes] for name in saved.REQUIRED}
        arrays = {name: (axes_of, getattr(self, name).detach().cpu().numpy()) for name, axes_of in dims.items()}
        names = np.array([band.name for band in self.layout.bands], dtype=object)
        bands = (axes, names[self.layout.index.numpy()])
        return xarray.Dataset(arrays, coords={"band": bands}, attrs={"settings": json.dumps(self.settings)})

    @classmethod
    def from_map(
        cls,
        values: Any,
        x: Any,
        transform: str | Transform = "pixel",
        *,
        kind: Kind | None = None,
        target: Target = None,
        values_in: str | None = None,
        channels: str | None = None,
        baseline: BaselineLike = None,
        model: Model | None = None,
        score_difference: Any = None,
        method: str = "from_map",
        seed: int = 0,
        **options: Any,
    ) -> "Attribution":
        """A map that was made elsewhere: by Captum, Quantus, the code of a paper, or read from .npy, .npz or .safetensors.

        values: a tensor, an array, a tuple of one, or a path, (batch, *coeff) or (batch, *shape).  x: (batch, *shape).
        values_in: "z" or "signal", where both have one shape. A map in the signal is carried to z where it is a gradient, as
        T.adjoint(values): kind="sensitivity" and T linear. Shares of samples do not say what shares of coefficients are.
        channels: "spread" gives each channel an equal part of a share that was summed over channels, (batch, [1,] *spatial).
        baseline: x₀, as in `attribute`.  score_difference: f(x) - f(x₀), (batch,), else from `model` and `target`, else NaN.
        method: its name.  kind: None is "share", with a warning where Σ values is not f(x) - f(x₀).  options: of the model.
        Raises: TypeError or ValueError where shapes, formats or numbers are not what was expected, or leave two readings.

        >>> x, gradient = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[2.0, 0.0]]])
        >>> Attribution.from_map(gradient, x, "dwt(haar, level=1)", kind="sensitivity", values_in="signal").values
        tensor([[[1.4142, 1.4142]]])
        """
        how: dict[str, Any] = {"kind": kind, "values_in": values_in, "channels": channels, "method": method, "seed": seed}
        how |= {"model": model, "target": target, "baseline": baseline, "score_difference": score_difference}
        return cls(**foreign_fields(values, x, transform, **how, **options))

    def resume(self, model: Model, x: Tensor, target: Target = None, **options: Unpack[Options]) -> "Attribution":
        """Continues integrated gradients that were made with keep=True, without evaluating anything twice.

        The call must be the same as the first one; `method` may now ask for a smaller tol or more evaluations. `settings`
        counts the new evaluations.  options: method, baseline, batch_size, seed … as in `attribute`.
        Raises: ValueError that names what differs from the first call, or where nothing was kept.

        >>> f, x = lambda x: x.exp().sum(1), torch.ones(1, 4)
        >>> first = pb.attribute(f, x, method="integrated_gradients(tol=0.3, keep=True)")
        >>> first.resume(f, x, method="integrated_gradients(tol=0)").settings["evaluations"]["gradient"] > 0
        True
        """
        result = Attribution(**run(model, x, target, [self.transform], [vars(self)], **options)[0])
        warn_unconverged([result])
        return result

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
        """Reads a file that `save` wrote. Reading it executes no code.

        transform: needed only for a T that no spec describes.
        Raises: FileNotFoundError; ValueError for other files, or where the transform cannot be built from its spec.
        """
        tensors, details, header = saved.read(Path(path), sized=transform is None)
        if transform is None:
            try:
                transform = get(header["transform"], tuple(header["shape"]))
            except (ValueError, TypeError) as error:
                advice = f"pass Attribution.load(path, transform=…). ({str(error)[:60]})"
                what = f"its transform {header['transform'][:40]!r} cannot be built from its name"
                raise ValueError(f"{plain(path)[-100:]}: {what}; {advice}") from None
        shape, own = tuple(tensors["values"].shape[1:]), transform.layout.shape
        covector = tensors.get("covector")
        if shape != own or (covector is not None and tuple(covector.shape[1:]) != transform.shape):
            where = f"{transform.spec} on signals of shape {transform.shape} has {own}"
            held = f"{plain(path)[-100:]}: holds coefficients of shape {shape}"
            raise ValueError(f"{held}, but {where}; pass the transform it was made in.")
        return cls(**tensors, transform=transform, kind=header["kind"], settings=header["settings"], details=details)


def coefficient_count(keep: float, transform: Transform) -> int:
    """The number of coefficients that is a fraction `keep` of the number of signal samples; at least 1."""
    if not is_number(keep) or not 0 < keep <= 1:
        raise ValueError(f"keep: expected a fraction in (0, 1], got {quoted(keep)}.")
    return max(1, round(float(keep) * math.prod(transform.shape)))


def keep_only(attribution: Attribution, mask: Tensor, example: Tensor | slice = slice(None)) -> Tensor:
    """T⁻¹(z₀ + mask ⊙ (z - z₀)) of these examples, one mask for each, (examples, *coeff). Shape: (examples, *shape)."""
    return attribution.transform.inverse(attribution.coefficients[example] - attribution.displacement[example] * ~mask)


def known_covector(who: str, attribution: Attribution) -> Tensor:
    """ḡ (batch, *shape), from which the values in any linear domain follow.  Raises: TypeError or ValueError without one."""
    if not isinstance(attribution, Attribution):
        raise TypeError(f"{who}: expected an Attribution, got {type(attribution).__name__}.")
    if attribution.covector is None or not is_signal_linear(attribution.transform):
        what = f"{attribution.settings.get('method', 'this method')} in {attribution.transform.spec} keeps no covector"
        advice = "take a method that is linear in gradients, such as integrated_gradients or smoothgrad, in a linear domain"
        raise ValueError(f"{who}: {what}, so its values in other domains do not follow from it; {advice}.")
    return attribution.covector
