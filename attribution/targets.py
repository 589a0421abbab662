"""Targets of a classifier beyond a class index. Their classes are chosen once, by the output at x."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Classes = int | Sequence[int] | Tensor
LISTED = 4096  # as many numbers of a target are kept in the settings of a result


@dataclass(frozen=True, eq=False)
class Choice:
    """A score of a few classes of an output (rows, classes), which are chosen once, by the output at x.

    Classes that were chosen anew at each point of a path would make f another function at each point.

    classes: output at x, (examples, classes) -> the chosen classes of each example, (examples, k).
    score: (output, chosen classes), (rows, classes) and (rows, k) -> (rows,).
    wanted: how many of the chosen classes, from the first, count for the reported probability; 0: it has none.
    among: of how many classes one is chosen; None: as many as the output has.

    >>> lowest = Choice("lowest()", lambda output: output.argmin(1, keepdim=True), lambda output, c: output.gather(1, c)[:, 0])
    >>> lowest.classes(torch.tensor([[3.0, 1.0, 2.0]]))
    tensor([[1]])
    """

    label: str
    classes: Callable[[Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    wanted: int = 1
    among: int | None = None


def predicted() -> Choice:
    """The output of the class that the model predicts at x.

    >>> import torch, pullback as pb
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 3)).eval()
    >>> pb.attribute(model, torch.ones(1, 1, 8), pb.attribution.targets.predicted()).settings["target"]
    'predicted()'
    """
    return Choice("predicted()", lambda output: output.argmax(1, keepdim=True), _mean)


def top_k(k: int) -> Choice:
    """The mean output of the k classes that are highest at x.

    Raises: ValueError unless k is a whole number of at least 1, and at most the number of the model's classes.

    >>> output = torch.tensor([[3.0, 1.0, 2.0]])
    >>> target = top_k(2)
    >>> target.score(output, target.classes(output))
    tensor([2.5000])
    """
    if isinstance(k, bool) or not hasattr(k, "__index__") or operator.index(k) < 1:
        raise ValueError(f"top_k: k must be a whole number of at least 1, got {k!r}.")
    k = operator.index(k)

    def classes(output: Tensor) -> Tensor:
        if k > output.shape[1]:
            raise ValueError(f"top_k: k must be at most the number of classes, {output.shape[1]}, got {k}.")
        return output.topk(k, dim=1).indices

    return Choice(f"top_k({k})", classes, _mean, wanted=k)


def difference(a: Classes, b: Classes) -> Choice:
    """f = output[a] - output[b]: why a rather than b.  a, b: a class, or one class per example.

    Raises: TypeError unless a and b are classes; ValueError, when the output at x is known, unless one per example.

    >>> output = torch.tensor([[3.0, 1.0, 2.0]])
    >>> target = difference(0, 2)
    >>> target.score(output, target.classes(output))
    tensor([1.])
    """

    def classes(output: Tensor) -> Tensor:
        return torch.stack([class_per_example("difference", c, len(output), output.device) for c in (a, b)], 1)

    score = lambda output, pair: output.gather(1, pair[:, :1])[:, 0] - output.gather(1, pair[:, 1:])[:, 0]
    return Choice(f"difference({_text(a)}, {_text(b)})", classes, score)


def log_odds(c: Classes | None = None) -> Choice:
    """f = log p_c / (1 - p_c) with p = softmax(output), in nats; c None is the class predicted at x.

    Unlike a logit it does not change when the same number is added to every output; unlike log p it does not saturate
    near p = 1.

    Raises: TypeError unless c is a class; ValueError, when the output at x is known, unless one per example, or for a model
    with one output.

    >>> output = torch.tensor([[2.0, 0.0], [102.0, 100.0]])
    >>> target = log_odds(0)
    >>> target.score(output, target.classes(output))
    tensor([2., 2.])
    """

    def classes(output: Tensor) -> Tensor:
        if output.shape[1] == 1:
            raise ValueError(
                "log_odds: needs two classes or more; the only output of a binary model is its log-odds: target=None."
            )
        given = output.argmax(1) if c is None else class_per_example("log_odds", c, len(output), output.device)
        return given[:, None]

    score = lambda output, own: output.gather(1, own)[:, 0] - output.scatter(1, own, -torch.inf).logsumexp(1)
    return Choice(f"log_odds({'' if c is None else _text(c)})", classes, score)


def binary(labels: Classes) -> Choice:
    """f = +output for label 1 and -output for label 0 of a binary model with one output, the logit of class 1.

    labels: 0 or 1, for all examples or for each. A class index is another thing: class 0 is the output itself.
    Raises: TypeError unless they are whole numbers; ValueError, when the output at x is known, for other labels than 0 and 1,
    another number of labels than examples, or a model with several outputs.

    >>> output = torch.tensor([[3.0], [3.0]])
    >>> target = binary([1, 0])
    >>> target.score(output, target.classes(output))
    tensor([ 3., -3.])
    """
    flags = whole_numbers("binary", labels, "a label or one label per example", hot=True)

    def classes(output: Tensor) -> Tensor:
        if output.shape[1] != 1:
            raise ValueError(f"binary: expected a model with one output per example, got {output.shape[1]}; pass the class.")
        return class_per_example("binary", flags.long(), len(output), output.device, "a label or one label per example")[
            :, None
        ]

    if flags.is_floating_point() and not torch.equal(flags, flags.long().to(flags.dtype)):
        raise TypeError(f"binary: expected labels 0 or 1, got {flags.dtype} numbers between them.")
    sign = lambda output, label: torch.where(label == 1, output, -output)[:, 0]
    return Choice(f"binary({_text(flags.long())})", classes, sign, wanted=0, among=2)


def class_per_example(
    who: str, classes: object, examples: int, device: torch.device, forms: str = "a class or one class per example"
) -> Tensor:
    """`classes` as one class for each example, (examples,), int64.

    forms: what is accepted, for the error.  Raises: TypeError unless it is a class or several, ValueError for another number.
    """
    index = whole_numbers(who, classes, forms).to(device)
    if index.ndim > 1:
        raise TypeError(f"{who}: expected {forms}; got {index.dtype} of shape {tuple(index.shape)}.")
    if index.ndim == 1 and len(index) != examples:
        raise ValueError(f"{who}: expected one class per example, {examples}, got {len(index)}.")
    return index.long().expand(examples)


def whole_numbers(who: str, value: object, forms: str, hot: bool = False) -> Tensor:
    """A number, sequence, array or tensor of whole numbers as a tensor on the CPU.

    hot: whether truth values and floating-point numbers are taken too.  Raises: TypeError that says which forms there are.
    """
    read = hasattr(value, "__array__") and not isinstance(value, Tensor)
    try:
        found = torch.as_tensor(_readable(value) if read else value).detach().cpu()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(f"{who}: expected {forms}; got {_short(value)}.") from None
    if found.is_complex() or (not hot and (found.is_floating_point() or found.dtype == torch.bool)):
        raise TypeError(f"{who}: expected {forms}; got {found.dtype} of shape {tuple(found.shape)}.")
    return found


def _readable(value: Any) -> Any:
    """A copy of an array that torch reads: in this machine's byte order and without negative strides."""
    array = np.array(value)
    return array.astype(array.dtype.newbyteorder("="))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _mean(output: Tensor, classes: Tensor) -> Tensor:
    return output.gather(1, classes).mean(1)


def _text(classes: Classes) -> str:
    held = whole_numbers("target", classes, "a class or one class per example")
    return str(held.tolist()) if held.numel() <= LISTED else f"{len(held)} examples"
