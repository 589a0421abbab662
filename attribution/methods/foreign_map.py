"""Maps that were made elsewhere: by Captum, by Quantus, by the code of a paper, or read from a file."""

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...core.checks import check_choice, check_file, quoted
from ...core.files import plain
from ...core.precision import wide
from ...core.tensors import ordinary
from ...transforms import Transform, TransformClaim
from ...transforms import get as get_transform
from ...transforms.linear import Pixel
from ..baselines.fixed import get as get_baseline
from ..baselines.path_start import Start, starts
from ..engine.open_engine import open_engine, read_checked
from ..engine.score import Score
from ..engine.signal import check_signal
from ..estimator import Kind

_WHO = "from_map"
FAR = 0.2  # of |f(x) - f(x₀)|, by which shares of most methods miss it
_IN = ("z", "signal")
_OPTIONS = ("batch_size", "model_args", "model_kwargs", "execution", "progress")
_FILES = ".npy, .npz or .safetensors"


def read_map(values: Any) -> Tensor:
    """The numbers of a map, a tensor of its own: of a tensor, an array, a tuple of one (as Captum returns), or a file.

    Raises: TypeError or ValueError for anything else; for a file that holds several arrays, none of them named "values".
    """
    if isinstance(values, str | os.PathLike):
        values = _read(check_file(_WHO, values, f"pass a tensor, an array, or a file {_FILES}"))
    if isinstance(values, tuple | list) and len(values) == 1 and isinstance(values[0], Tensor | np.ndarray):
        values = values[0]
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "biuf":
            raise TypeError(f"{_WHO}: expected real numbers, got an array of {quoted(values.dtype)}.")
        native = np.array(values, dtype=values.dtype.newbyteorder("="))  # a copy: torch reads no negative strides
        values = torch.from_numpy(native if native.itemsize < 16 else native.astype(np.float64))
    if not isinstance(values, Tensor):
        wanted = f"a tensor, an array, or a file {_FILES}"
        raise TypeError(f"{_WHO}: expected values as {wanted}; got {type(values).__name__}.")
    found = ordinary("values", values).detach()
    if found.is_complex():
        raise TypeError(f"{_WHO}: expected real values, got {found.dtype}; take a real part, or the real pairs of a transform.")
    return found.clone()


def _read(path: Path) -> Any:
    """The array of a file. Reading it executes no code."""
    shown, ending = plain(path)[-100:], path.suffix.lower()
    try:
        if ending == ".safetensors":
            with safe_open(path, "pt") as file:
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        elif ending in (".npy", ".npz"):
            found = np.load(path, allow_pickle=False)
            held = dict(found) if ending == ".npz" else {"values": found}
        else:
            raise ValueError(f"{_WHO}: {shown}: expected a file {_FILES}.")
    except (SafetensorError, OSError, EOFError, ValueError) as error:
        if str(error).startswith(_WHO):
            raise
        what = f"not a file that can be read ({type(error).__name__}: {plain(error)[:80]})"
        raise ValueError(f"{_WHO}: {shown}: {what}; arrays of objects are not read.") from None
    return _one(held, shown)


def _one(held: Mapping[str, Any], shown: str) -> Any:
    if "values" in held or len(held) == 1:
        return held.get("values", next(iter(held.values())))
    names = plain(", ".join(sorted(held)))[:80] or "none"
    raise ValueError(f'{_WHO}: {shown}: expected one array, or one named "values"; it holds {names}.')


def foreign_fields(
    values: Any,
    x: Any,
    transform: str | Transform,
    *,
    kind: str | None,
    target: Any,
    values_in: str | None,
    channels: str | None,
    baseline: Any,
    model: Any,
    score_difference: Any,
    method: str,
    seed: int,
    **options: Any,
) -> dict[str, Any]:
    """The fields of an `Attribution`; the arguments are those of `Attribution.from_map`."""
    declared, kind = kind is not None, kind or "share"
    check_choice(_WHO, "kind", kind, get_args(Kind))
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise TypeError(f"{_WHO}: unknown option {unknown[0]!r}; for the model, it takes {', '.join(_OPTIONS)}.")
    x = check_signal(torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x).detach().clone()
    x = x.to(wide(x.dtype))
    domain = get_transform(transform, tuple(x.shape[1:]))
    numbers = _finite(_spread(read_map(values), x, domain, kind, channels).to(x))
    place = _place(tuple(numbers.shape), len(x), domain, values_in)
    covector = numbers if kind == "sensitivity" and isinstance(domain, Pixel) else None
    if place == "signal":
        covector, numbers = _carried(numbers, domain, kind)
    rule = get_baseline(baseline)
    (start,) = starts(rule, [domain], x, seed)
    known, counted = _difference(score_difference, model, x, start.signal, target, options)
    if not declared:
        _warn_of_shares(numbers, known)
    point, base = _ends(domain, x, start)
    settings: dict[str, Any] = {"method": method, "options": {}, "baseline": rule.describe(), "seed": seed}
    settings |= {
        "baseline_coordinates": rule.coordinates,
        "dtype": str(x.dtype),
        "transform": domain.spec,
        "evaluations": counted,
        "device": str(x.device),
    }
    if target is not None:
        settings["target"] = Score.of(target, len(x), x.device).described()
    fields = {"values": numbers, "coefficients": point, "displacement": point - base, "score_difference": known}
    return fields | {"transform": domain, "kind": kind, "covector": covector, "settings": settings}


def _warn_of_shares(values: Tensor, difference: Tensor) -> None:
    """Warns where values whose kind was not declared can hardly be shares of f(x) - f(x₀), as those of a saliency map."""
    total, known = values.flatten(1).sum(1), difference.isfinite()
    off = known & ((total - difference).abs() > FAR * difference.abs())
    if bool(off.any()):
        first = int(off.nonzero()[0, 0])
        pair = f"{float(total[first]):.3g} where f(x) - f(x₀) is {float(difference[first]):.3g}"
        what = f"{int(off.sum())} of {len(values)} maps do not sum to f(x) - f(x₀): example {first} has {pair}"
    elif not bool(known.any()) and bool((values >= 0).all()) and bool(values.any()):
        what = "no value is negative, as in a saliency map |gradient|"
    else:
        return
    advice = "pass kind='sensitivity' for a gradient or saliency map, or kind='share' where shares are meant"
    warnings.warn(f"{_WHO}: values are taken as shares of f(x) - f(x₀), but {what}; {advice}.", stacklevel=4)


def _ends(domain: Transform, x: Tensor, start: Start) -> tuple[Tensor, Tensor]:
    """(z, z₀)."""
    point, base = domain.ends(x, start.signal)
    return point, base if start.coefficients is None else start.coefficients


def _spread(values: Tensor, x: Tensor, domain: Transform, kind: str, channels: str | None) -> Tensor:
    """The map with all channels, where it has one value for all of them and `channels` says what that means.

    Raises: ValueError that says so where `channels` does not.
    """
    if channels is not None:
        check_choice(_WHO, "channels", channels, ("spread",))
    shape, signal = tuple(values.shape), tuple(x.shape)
    summed = len(signal) > 2 and signal[1] > 1 and shape in ((len(x), *signal[2:]), (len(x), 1, *signal[2:]))
    if not summed or shape[1:] == domain.layout.shape:
        return values
    if channels is None:
        advice = "pass channels='spread' to give every channel an equal part of it, or a map of all channels"
        raise ValueError(f"{_WHO}: values of shape {shape} have one number for the {signal[1]} channels of x; {advice}.")
    if kind != "share":
        raise ValueError(
            f"{_WHO}: channels='spread' keeps sums of shares; sensitivities summed over channels cannot be undone."
        )
    return values.reshape(len(x), 1, *signal[2:]).expand(signal) / signal[1]


def _finite(values: Tensor) -> Tensor:
    """Raises: ValueError that names an example with NaN, infinity, or numbers that are too large for the format of x."""
    wrong = ~values.flatten(1).isfinite().all(1) if values.ndim > 1 else ~values.isfinite()
    if bool(wrong.any()):
        example, kind = int(wrong.nonzero()[0, 0]), str(values.dtype).removeprefix("torch.")
        raise ValueError(f"{_WHO}: values of example {example} hold NaN, infinity or numbers too large for {kind}.")
    return values


def _place(shape: tuple[int, ...], batch: int, domain: Transform, values_in: str | None) -> str:
    """Whether values of that shape lie in "z" or in the "signal".  Raises: ValueError where that is not clear."""
    z, signal = (batch, *domain.layout.shape), (batch, *domain.shape)
    fits = {"z": shape == z, "signal": shape == signal}
    if values_in is not None:
        check_choice(_WHO, "values_in", values_in, _IN)
        fits = {values_in: fits[values_in]}
    where = [name for name, fit in fits.items() if fit]
    if len(where) == 2 and not isinstance(domain, Pixel):
        what = f"shape {shape} fits the coefficients of {domain.spec[:60]} and the signal"
        raise ValueError(f"{_WHO}: {what}; say which with values_in='z' or values_in='signal'.")
    if not where:
        wanted = " or ".join(dict.fromkeys(str({"z": z, "signal": signal}[name]) for name in fits))
        raise ValueError(f"{_WHO}: expected values of shape {wanted}, got {shape}{_advice(shape, signal)}.")
    return where[0]


def _advice(shape: tuple[int, ...], signal: tuple[int, ...]) -> str:
    if shape == signal[1:]:
        return "; add the batch axis with values[None]"
    if len(shape) == len(signal) > 2 and shape == (signal[0], *signal[2:], signal[1]):
        return f"; its channels are last: np.moveaxis(values, -1, 1), or values.movedim(-1, {1 - len(signal)})"
    if signal[1] == 1 and shape == (signal[0], *signal[2:]):
        return "; add the channel axis with values[:, None]"
    same = shape[1:] == signal[1:] and shape[:1] != signal[:1]
    return f"; x holds {signal[0]} examples" if same else ""


def _carried(values: Tensor, domain: Transform, kind: str) -> tuple[Tensor | None, Tensor]:
    """(ḡ, values in z) of a map in the signal.  Raises: ValueError where the map does not say what they are."""
    if isinstance(domain, Pixel):
        return None, values
    if kind == "share":
        why = "shares of samples say nothing of shares of coefficients"
        advice = "pass the (averaged) gradient itself as kind='sensitivity', or take transform='pixel'"
        raise ValueError(f"{_WHO}: {why} in {domain.spec[:60]}; {advice}.")
    if TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS not in domain.claims:
        raise ValueError(f"{_WHO}: {domain.spec[:60]} is not linear, so a gradient in the signal does not say what it is in z.")
    return values, domain.adjoint(values)


def _difference(
    given: Any, model: Any, x: Tensor, base: Tensor, target: Any, options: dict[str, Any]
) -> tuple[Tensor, dict[str, int]]:
    """(f(x) - f(x₀), evaluations): as given, from the model, or NaN without either.  Raises: ValueError where both differ."""
    known, counted = x.new_full((len(x),), math.nan), {"forward": 0, "gradient": 0}
    if model is not None:
        with open_engine(model, x, target, **options) as engine:
            ends = read_checked(engine, torch.stack([x, base], 1)).known
            counted = {"forward": engine.count.forward, "gradient": 0}
        known = (ends[0] - ends[1]).to(x)
    if given is None:
        return known, counted
    try:
        stated = torch.as_tensor(given).detach().to(x)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{_WHO}: expected score_difference as ({len(x)},) numbers, got {quoted(given)}.") from None
    if stated.shape not in ((len(x),), ()) or not bool(stated.isfinite().all()):
        got = f"shape {tuple(stated.shape)}" if bool(stated.isfinite().all()) else "NaN or infinity"
        raise ValueError(f"{_WHO}: expected score_difference as ({len(x)},) finite numbers, got {got}.")
    stated = stated.expand(len(x)).clone()
    if model is not None and not torch.allclose(stated, known, rtol=1e-3, atol=1e-6):
        example = int((stated - known).abs().argmax())
        pair = f"{float(stated[example]):.4g} for example {example}, but the model's is {float(known[example]):.4g}"
        raise ValueError(f"{_WHO}: score_difference is {pair}; check target, baseline and x, or leave it out.")
    return stated, counted
