"""Why a model did not accept a signal, and what helps, which is tried before it is said."""

from collections.abc import Callable

from torch import Tensor

from ..kinds import Kind

Accepts = Callable[[Tensor], bool]
SIDES = (28, 32, 64, 96, 128, 224, 256, 299, 384)  # tried after a failure, to name one that works
BATCHES = (1, 2, 4, 8, 16, 32)


def advice(accepts: Accepts, x: Tensor, kind: Kind) -> str:
    """What to pass for inputs like x, in a sentence.  accepts: whether the model takes an input."""
    if batch := other_batch(accepts, x):
        return f"{batch}, or export it for batches of any size (torch.export: dynamic_shapes)"
    if not kind.resized:
        return "If its inputs have another shape, let its callable return a LoadedModel with a prepare that makes it"
    for channels, size in [(4 - x.shape[1], x.shape[2]), *((count, side) for count in (3, 1) for side in SIDES)]:
        if accepts(x.new_zeros(1, channels, size, size)):
            grey = f" --channels {channels}" if channels != x.shape[1] else ""
            side = f" --size {size}" if size != x.shape[2] else ""
            return f"It accepts {channels} × {size} × {size}: pass{grey}{side}"
    return "If its images have another size, pass --size N; a callable may also return (module, prepare)"


def other_batch(accepts: Accepts, x: Tensor) -> str:
    """What to pass if the model accepts such inputs only in another number; "" if in none that is tried."""
    works = fitting_batch(accepts, x, len(x))
    return "" if works is None else f"Pass --batch-size {works}"


def fitting_batch(accepts: Accepts, x: Tensor, but: int = 0) -> int | None:
    """The first number of `BATCHES` in which the model accepts inputs like x[:1], or None.  but: one that is not tried."""
    return next((n for n in BATCHES if n != but and accepts(x[:1].expand(n, *x.shape[1:]))), None)
