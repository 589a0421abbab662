"""What keeps a benchmark honest: inputs that say something, right results, and rows that pass the model inside the timer."""

import contextlib
import ctypes
import functools
import gc
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import torch
from timing import Step
from torch import Tensor, nn

Result = TypeVar("Result")


class MeasuresNothing(AssertionError):
    """The benchmark does not time what it says."""


@dataclass
class Tally:
    """Rows that went through a model: forward (with or without a gradient), and back; and the most at once."""

    forward: int = 0
    backward: int = 0
    most: int = 0

    def __deepcopy__(self, memo: object) -> "Tally":
        return self  # methods that work on a copy of the model are counted too

    def since(self, before: tuple[int, int]) -> tuple[int, int]:
        """(forward, backward) rows since `now` said `before`."""
        return self.forward - before[0], self.backward - before[1]

    def now(self) -> tuple[int, int]:
        """(forward, backward) rows so far."""
        return self.forward, self.backward

    def back(self, rows: int, _: Tensor) -> None:
        """A hook for the gradient of an output."""
        self.backward += rows


class Counted(nn.Module):
    """A model that tells its tally what passes it. Ours, the peers and the bare loop all run through it."""

    def __init__(self, model: nn.Module, tally: Tally | None = None) -> None:
        super().__init__()
        self.model, self.tally = model, tally or Tally()

    def forward(self, x: Tensor) -> Tensor:
        output = self.model(x)
        self.tally.forward += len(x)
        self.tally.most = max(self.tally.most, len(x))
        if output.requires_grad:
            output.register_hook(functools.partial(self.tally.back, len(x)))
        return output


@contextlib.contextmanager
def outside_compilers() -> Iterator[None]:
    """Inside, `torch.compile` of a `Counted` compiles the model in it, and the rows are counted around that.

    A compiler that saw the counting would trace it, guard the numbers, and compile the model anew at every call.
    """

    def compiled(model: Any, **options: Any) -> Any:
        counts = isinstance(model, Counted)
        return Counted(compiler(model.model, **options), model.tally) if counts else compiler(model, **options)

    compiler = torch.compile
    with mock.patch.object(torch, "compile", compiled):
        yield


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Convolutions in whole single precision inside, so that results can be compared; an accelerator may round them."""
    with torch.backends.cudnn.flags(
        enabled=True,
        benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.backends.cudnn.deterministic,
        allow_tf32=False,
    ):
        yield


def counted(job: Callable[[], Result], tally: Tally, forward: int, backward: int) -> Callable[[], Result]:
    """`job`, which must bring exactly so many rows through the model each time that it is called.

    A result from a cache, an estimator that stops early or work done before the clock starts do not.
    """

    def run() -> Result:
        before = tally.now()
        result = job()
        if tally.since(before) != (forward, backward):
            raise MeasuresNothing(
                f"inside the timer {tally.since(before)} rows went forward and back through the model; "
                f"planned were {(forward, backward)}."
            )
        return result

    return run


def check_input(x: Tensor) -> None:
    """Raises: MeasuresNothing where a signal is not finite, zero or constant, or equals another."""
    flat = x.detach().flatten(1)
    if not bool(flat.isfinite().all()):
        raise MeasuresNothing("the input is not finite.")
    if bool((flat.std(1) < 1e-6).any()) or bool(((flat == 0).double().mean(1) > 0.5).any()):
        raise MeasuresNothing("the input is constant, or mostly zero: such signals take short cuts that others do not.")
    if len(flat.unique(dim=0)) < len(flat):
        raise MeasuresNothing("the input holds the same signal twice.")


def check_result(found: Tensor, expected: Tensor | None = None, tolerance: float = 0.03) -> None:
    """Compares with a reference, (examples, …): relative L2 error for each example. Both may hold fewer examples.

    Raises: MeasuresNothing where values are not finite, all zero for an example, of another shape, or further off than
    `tolerance`.
    """
    if not bool(found.isfinite().all()):
        raise MeasuresNothing("the result is not finite.")
    if bool((found.flatten(1).abs().amax(1) == 0).any()):
        raise MeasuresNothing("the result is zero throughout.")
    if expected is None:
        return
    if found.shape[1:] != expected.shape[1:]:
        raise MeasuresNothing(f"the result has shape {tuple(found.shape)}, its reference {tuple(expected.shape)}.")
    wide = expected.flatten(1).double()
    error = (found[: len(wide)].flatten(1).double() - wide).norm(dim=1) / wide.norm(dim=1)
    if not bool((error <= tolerance).all()):
        raise MeasuresNothing(f"the result is {float(error.max()):.2g} from its reference; allowed is {tolerance}.")


def bare_steps(model: nn.Module, inputs: Tensor, forward: int, backward: int, target: int) -> list[Step]:
    """The model, forward and back on `backward` rows and forward on the others, and nothing else: (rows, pass) by pass.

    inputs: one chunk of rows, (chunk, *shape), which is fed again and again.  Passes return the gradient, or the output.
    """
    chunks = lambda rows: [len(inputs)] * (rows // len(inputs)) + [rows % len(inputs)] * (rows % len(inputs) > 0)

    def back(rows: int) -> Tensor:
        with torch.enable_grad():
            points = inputs[:rows].detach().requires_grad_()
            (last,) = torch.autograd.grad(model(points)[:, target].sum(), points)
        return last

    def there(rows: int) -> Tensor:
        with torch.no_grad():
            last: Tensor = model(inputs[:rows])
        return last

    # Forward first, as ours reads f(x) and f(x₀) first.
    return [
        (rows, functools.partial(run, rows))
        for total, run in ((forward - backward, there), (backward, back))
        for rows in chunks(total)
    ]


def peak_megabytes(job: Callable[[], object], device: str) -> float:
    """How far memory rises above what is held already while `job` runs: of the accelerator, or resident in the process."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        job()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - held) / 2**20
    with contextlib.suppress(AttributeError, OSError, TypeError):  # systems that have no glibc
        ctypes.CDLL(None).malloc_trim(0)  # gives freed memory back, so that using it again shows
    held = _reset_peak()
    job()
    return max(0.0, _resident("VmHWM") - held)


def _reset_peak() -> float:
    """Sets the process' peak to what it holds now, where the system lets it. Megabytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmHWM")


def _resident(field: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rounded(numbers: dict[str, Any], digits: int = 5) -> dict[str, Any]:
    """Floats with as many digits as a file needs."""
    return {key: round(value, digits) if isinstance(value, float) else value for key, value in numbers.items()}


def evaluations(settings: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """(forward, backward) rows of one run, as its results say: all of them hold the same totals."""
    (counts,) = {(entry["evaluations"]["forward"], entry["evaluations"]["gradient"]) for entry in settings}
    return counts[0] + counts[1], counts[1]
