"""What to say about arguments that belong to another library, and about inputs whose axes the model does not take."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from .checks import quoted

LONGEST = 90  # characters of what the model said
OURS = {  # arguments of Captum's `attribute`, and ours
    "inputs": "x",
    "baselines": "baseline=, as baseline=tensor or baseline='mean'",
    "n_steps": "method='integrated_gradients(steps=50)'",
    "method_name": "method=",
    "internal_batch_size": "batch_size=",
    "perturbations_per_eval": "batch_size=",
    "additional_forward_args": "model_args=(…,)",
    "return_convergence_delta": "the result's completeness_gap",
    "nt_type": "method='smoothgrad(samples=25)'",
    "nt_samples": "method='smoothgrad(samples=25)'",
    "stdevs": "method='smoothgrad(spread=0.15)'",
    "n_samples": "the method's own, as method='expected_gradients(samples=50)'",
    "feature_mask": "the method's own, and the bands of transform=",
    "sliding_window_shapes": "method='occlusion'",
    "show_progress": "progress=True",
}


def unknown_argument(names: Iterable[str]) -> TypeError:
    """The error for arguments that `attribute` does not have, which names ours for Captum's.

    >>> print(unknown_argument(["baselines"]))
    attribute: 'baselines' is an argument of Captum; here it is baseline=, as baseline=tensor or baseline='mean'.
    """
    name = next(iter(names))
    if name in OURS:
        return TypeError(f"attribute: {quoted(name)} is an argument of Captum; here it is {OURS[name]}.")
    known = "method, transform, baseline, batch_size, seed, progress, model_args, model_kwargs, create_graph, execution"
    return TypeError(f"attribute: unknown argument {quoted(name)}; it takes {known}.")


def about_shapes(error: Exception, model: Any, x: Any) -> Exception | None:
    """The error of a model that does not take the shape of x, in one sentence; None for other errors."""
    plain = type(error) in (RuntimeError, ValueError, IndexError)  # others may be built of more than a text
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith("pullback: x has shape")]
    if not (plain and notes and isinstance(x, Tensor)) or str(error).startswith("model_args:"):
        return None
    said = " ".join(str(error).split())
    said = said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"
    row = f"{tuple(x.shape)} makes one signal {tuple(x.shape[1:])}, which the model does not take"
    found = type(error)(f"x: {row}; {_advice(model, x)}. The model, given several signals at a time, said: {said}")
    for note in notes:
        found.add_note(note)
    return found


def _advice(model: Any, x: Tensor) -> str:
    """How to change the axes of x, where the model's first convolution says what it expects."""
    layers = model.modules() if isinstance(model, nn.Module) else ()
    first = next((layer for layer in layers if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)), None)
    if first is None:
        return "one signal by itself is x[None]"
    channels, axes = first.in_channels, first.weight.ndim - 2
    if x.ndim == axes + 1 and x.shape[0] == channels:
        return "the batch axis is missing: pass x[None]"
    if x.ndim == axes + 1 and x.shape[-1] == channels:
        return "the batch axis is missing and the channels are last: pass x.movedim(-1, 0)[None]"
    if x.ndim == axes + 2 and x.shape[-1] == channels != x.shape[1]:
        return "the channels are last: pass x.movedim(-1, 1)"
    if x.ndim == axes + 1 and channels == 1:
        return "the channel axis is missing: pass x[:, None]"
    return f"its first convolution takes {channels} channels and {axes} spatial axes, (batch, {channels}, …)"
