"""How the model is run: number format, memory format, compiled or as it is. What it computes stays the same function."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...core.precision import tf32

PRECISIONS = ("fp32", "tf32", "bf16", "auto")
MEMORY_FORMATS = ("auto", "contiguous", "channels_last")
AGREES = 0.999  # least cosine with the full-precision gradient at which "auto" takes a narrower format


@dataclass(frozen=True)
class Execution:
    """What was asked for.

    precision: of products inside the model, on accelerators. fp32: the model's own, and no tf32 (which torch allows in
    convolutions by default). tf32: products of 10-bit mantissas, summed in single precision. bf16: autocast, summed in
    single precision. auto: the narrowest of these whose gradient at the first two examples, and half way to their baseline,
    has a cosine of at least 0.999 with that of fp32. On a CPU auto is fp32, and tf32 is not to be had. The result's settings
    hold these cosines under "agreement", also for a format that was asked for by name, which is then taken whatever they are.
    compile: whether to run the model through torch.compile; a mapping holds its options, such as {"mode": "max-autotune"}.
    memory_format: of images. auto: channels_last for convolutional networks on a CPU, where it is faster for every network
    measured, in runs of 16 rows and more; contiguous elsewhere, for models that the caller has compiled, and where one row
    shows that the model does not take it: that f, or the gradient where something in it is not torch's own, moves or fails.
    The result's settings then say why. "channels_last" by name is not tried first: where a model reads strides or storage by
    itself, `completeness_gap` shows it.

    Raises: ValueError or TypeError that lists the choices.
    """

    precision: str = "fp32"
    compile: bool | Mapping[str, Any] = False
    memory_format: str = "auto"

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("precision", self.precision, PRECISIONS),
            ("memory_format", self.memory_format, MEMORY_FORMATS),
        ):
            if value not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}; got {value!r}.")
        if not isinstance(self.compile, (bool, Mapping)):
            raise TypeError(
                "compile: expected True, False or a mapping of options of torch.compile, got "
                f"{type(self.compile).__name__}."
            )

    def of(
        self,
        model: Callable[..., Any],
        x: Tensor,
        create_graph: bool = False,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> "Prepared":
        """`model`, made ready for inputs like x (batch, *shape).  around: what every call of it stands in.

        Raises: ValueError where the choices do not fit the model, x or create_graph.
        """
        if self.compile is not False and create_graph:
            raise ValueError(
                "compile: compiled models have no second derivative; with create_graph=True pass compile=False."
            )
        if self.precision == "tf32" and x.device.type != "cuda":
            raise ValueError(f"precision: tf32 exists on CUDA devices; x is on {x.device}.")
        if self.precision in ("tf32", "bf16") and not is_single(x):
            raise ValueError(f"precision: {self.precision!r} narrows the products of single precision; x is {x.dtype}.")
        if self.memory_format == "channels_last" and x.ndim != 4:
            raise ValueError(
                f"memory_format: channels_last belongs to images, (batch, channels, height, width); x has shape "
                f"{tuple(x.shape)}."
            )
        if isinstance(model, nn.Module) and any(t.is_inference() for t in (*model.parameters(), *model.buffers())):
            model = copy.deepcopy(model)  # of ordinary tensors, which autograd takes
        return Prepared(model, self, x, around)


def is_single(x: Tensor) -> bool:
    """Whether x is in single precision, which can be narrowed; double precision was asked for with a reason."""
    return x.dtype == torch.float32


class Prepared(nn.Module):
    """A model as `Rows` calls it: the user's own inside, which is not changed.

    plain: the model itself, for methods that hook its layers.  fixed: whether all chunks should have one shape.
    around: what code of the caller's is run in, see `isolation.isolated`.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        execution: Execution,
        x: Tensor,
        around: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__()
        self.plain, self.around = model, around
        self.device_type, self.single = x.device.type, is_single(x)
        self.fixed = execution.compile is not False or _is_compiled(model)
        self.channels_last = _takes_channels_last(model, x, execution.memory_format)
        self.may_fall_back = self.channels_last and execution.memory_format == "auto"
        self._fallback = ""  # why it did
        self._asked = execution.precision
        self.precision = "fp32" if self._asked == "auto" else self._asked
        self.agreement: dict[str, float] = {}
        self._call = model
        if execution.compile is not False:
            options = dict(execution.compile) if isinstance(execution.compile, Mapping) else {}
            self._call = torch.compile(model, dynamic=False, **options)

    def arranged(self, x: Tensor) -> Tensor:
        """x in the memory format that the model gets."""
        return x.contiguous(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)

    def fall_back(self, why: str = "") -> None:
        """From the memory format that "auto" took to the contiguous one."""
        self.channels_last = self.channels_last and not self.may_fall_back
        self._fallback = why

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.fixed and self.device_type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        x = self.arranged(x)
        with self.around():
            if self.precision != "bf16":
                return self._call(x, *args, **kwargs)
            with torch.autocast(self.device_type, torch.bfloat16):
                return self._call(x, *args, **kwargs)

    @contextlib.contextmanager
    def exactly(self, channels_last: bool = False) -> Iterator[None]:
        """Inside, the model runs as it is, on contiguous images unless told otherwise: for f(x) - f(x₀), against which all
        values are held."""
        kept = self.precision, self._call, self.fixed, self.channels_last
        self.precision, self._call, self.fixed = "fp32", self.plain, _is_compiled(self.plain)
        self.channels_last = channels_last
        try:
            with self.numerics():
                yield
        finally:
            self.precision, self._call, self.fixed, self.channels_last = kept

    @contextlib.contextmanager
    def numerics(self) -> Iterator[None]:
        """Inside, products on the accelerator are of the chosen precision; torch's own settings come back after."""
        if self.device_type != "cuda":
            yield
            return
        with tf32(self.precision != "fp32"):
            yield

    @property
    def narrower(self) -> tuple[str, ...]:
        """The number formats that are held against fp32."""
        if self._asked != "auto":
            return () if self._asked == "fp32" else (self._asked,)
        return ("tf32", "bf16") if self.device_type == "cuda" and self.single else ()

    def choose(self, gradient: Callable[[], Tensor], narrower: tuple[str, ...] = ("tf32", "bf16")) -> None:
        """Notes how well gradient() (rows, *shape) agrees with that of fp32; "auto" takes the narrowest that still does."""
        found = {}
        for precision in ("fp32", *narrower):
            with self.exactly():
                self.precision = precision
                with self.numerics():
                    found[precision] = gradient().flatten(1).double()
            self.agreement[precision] = _cosine(found[precision], found["fp32"])
        if self._asked == "auto":
            self.precision = next(
                p for p in ("bf16", "tf32", "fp32") if self.agreement.get(p, 0) >= AGREES or p == "fp32"
            )

    @property
    def numbers(self) -> dict[str, Any]:
        """What was used in the end."""
        return {
            "precision": self.precision,
            "compiled": self.fixed,
            "memory_format": "channels_last" if self.channels_last else "contiguous",
        }

    @property
    def settings(self) -> dict[str, Any]:
        """What was used in the end and why, for the result's settings."""
        found = {"agreement": self.agreement, "fallback": self._fallback}
        return self.numbers | {name: value for name, value in found.items() if value}


def _cosine(a: Tensor, b: Tensor) -> float:
    """The smallest cosine over the rows of a and b; rows that are equal agree, also where they are zero."""
    cosine = torch.cosine_similarity(a, b, 1)
    return float(torch.where((a == b).all(1), 1, cosine).amin())


def _is_compiled(model: Any) -> bool:
    """Asked without importing torch's compiler, which takes seconds."""
    return hasattr(model, "_orig_mod") or hasattr(model, "_torchdynamo_orig_callable")


def uncompiled(model: Any) -> Any:
    """The module inside a compiled one: hooks that are put on a compiled module may silently not run."""
    return getattr(model, "_orig_mod", model)


def _takes_channels_last(model: Any, x: Tensor, memory_format: str) -> bool:
    if memory_format != "auto" or x.ndim != 4:
        return memory_format == "channels_last"
    convolves = isinstance(model, nn.Module) and any(isinstance(m, nn.Conv2d) for m in model.modules())
    return convolves and x.device.type == "cpu" and not _is_compiled(model)
