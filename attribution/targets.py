"""Targets of a classifier beyond a class index. Their classes are chosen once, by the output at x."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Classes = int | Sequence[int] | Tensor


@dataclass(frozen=True, eq=False)
class Choice:
    """A score of a few classes of an output (rows, classes), which are chosen once, by the output at x.

    Classes that were chosen anew at each point of a path would make f another function at each point.

    classes: output at x, (examples, classes) -> the chosen classes of each example, (examples, k).
    score: (output, chosen classes), (rows, classes) and (rows, k) -> (rows,).
    wanted: how many of the chosen classes, from the first, count for the reported probability.

    >>> lowest = Choice("lowest()", lambda output: output.argmin(1, keepdim=True), lambda output, c: output.gather(1, c)[:, 0])
    >>> lowest.classes(torch.tensor([[3.0, 1.0, 2.0]]))
    tensor([[1]])
    """

    label: str
    classes: Callable[[Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    wanted: int = 1


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
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"top_k: k must be a whole number of at least 1, got {k!r}.")

    def classes(output: Tensor) -> Tensor:
        if k > output.shape[1]:
            raise ValueError(f"top_k: k must be at most the number of classes, {output.shape[1]}, got {k}.")
        return output.topk(k, dim=1).indices

    return Choice(f"top_k({k})", classes, _mean, wanted=k)


def difference(a: Classes, b: Classes) -> Choice:
    """f = output[a] - output[b]: why a rather than b.  a, b: a class, or one class per example.

    Raises, when the output at x is known: TypeError unless a and b are classes, ValueError unless one per example.

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

    Raises, when the output at x is known: TypeError unless c is a class, ValueError unless one per example.

    >>> output = torch.tensor([[2.0, 0.0], [102.0, 100.0]])
    >>> target = log_odds(0)
    >>> target.score(output, target.classes(output))
    tensor([2., 2.])
    """

    def classes(output: Tensor) -> Tensor:
        given = output.argmax(1) if c is None else class_per_example("log_odds", c, len(output), output.device)
        return given[:, None]

    score = lambda output, own: output.gather(1, own)[:, 0] - output.scatter(1, own, -torch.inf).logsumexp(1)
    return Choice(f"log_odds({'' if c is None else _text(c)})", classes, score)


def class_per_example(
    who: str, classes: object, examples: int, device: torch.device, forms: str = "a class or one class per example"
) -> Tensor:
    """`classes` as one class for each example, (examples,), int64.

    forms: what is accepted, for the error.  Raises: TypeError unless it is a class or several, ValueError for another number.
    """
    try:
        index = torch.as_tensor(classes, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{who}: expected {forms}; got {classes!r}.") from None
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool or index.ndim > 1:
        raise TypeError(f"{who}: expected {forms}; got {index.dtype} of shape {tuple(index.shape)}.")
    if index.ndim == 1 and len(index) != examples:
        raise ValueError(f"{who}: expected one class per example, {examples}, got {len(index)}.")
    return index.long().expand(examples)


def _mean(output: Tensor, classes: Tensor) -> Tensor:
    return output.gather(1, classes).mean(1)


def _text(classes: Classes) -> str:
    return str(classes.tolist() if isinstance(classes, Tensor) else classes)
