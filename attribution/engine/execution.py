"""How the model is run: number format, memory format, compiled or not. The function that it computes stays the same."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...core.checks import check_choice
from ...core.copies import copied
from ...core.precision import tf32

Around = Callable[[], AbstractContextManager[object]]
Model = Callable[..., Any]
PRECISIONS = ("fp32", "tf32", "bf16", "auto")
MEMORY_FORMATS = ("auto", "contiguous", "channels_last")
AGREES = 0.999  # least cosine with the full-precision gradient at which "auto" takes a narrower format


@dataclass(frozen=True)
class Execution:
    """How to run the model; see `attribute`.

    precision: of the products inside the model, on accelerators. fp32: the model's own format, without tf32 (which torch
    allows in convolutions by default). tf32: products of 10-bit mantissas, summed in single precision. bf16: autocast, summed
    in single precision. auto: the narrowest of these whose gradient, at two examples and half way to their baseline, has a
    cosine of at least 0.999 with that of fp32; on a CPU that is fp32. The result's settings hold the cosines as "agreement".
    compile: whether to run the model through torch.compile; a mapping holds its options, such as {"mode": "max-autotune"}.
    memory_format: of images. contiguous; channels_last; or auto, which takes channels_last for convolutional networks on a
    CPU, in runs of 40 evaluations and more, if f at every x, and the gradient at two rows, agree in both formats: f within
    1e-4 of what is explained, or 1e-3 where the last bits of x move it as much; the gradient within 0.1 %, at the row or at
    one of three points near it, since rounding may carry a unit over the kink of a ReLU, or within 10 % where copies of the
    model in double precision agree within 1e-9. If they do not, the run is contiguous, and the settings say why as "fallback".

    optimize: whether methods that claim IMPLEMENTATION_INVARIANT run on an equal network with fewer operations: BatchNorm
    folded into the layer before it, zeros into the convolution after them, dropout and identities removed, parameters
    frozen. "auto": in runs of 24 evaluations and more, of models with a BatchNorm that can be folded, where channels_last
    is tried with it; True: wherever it can; False: never. f at every x and gradients are compared as for channels_last, within
    1e-9 in double precision; where they differ, or torch.fx can trace no part of the model, the model itself runs and the
    settings say why as "not_optimized". The settings of a run on the equal network hold "optimized": True.

    f(x) and f(x₀) are always read from the plain model, in its own precision and on contiguous images.

    Raises: ValueError or TypeError that lists the choices.

    >>> import torch, pullback as pb
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
    >>> how = pb.Execution(memory_format="contiguous")
    >>> pb.attribute(model, torch.ones(2, 1, 4, 4), 0, execution=how).settings["execution"]["memory_format"]
    'contiguous'
    """

    precision: str = "fp32"
    compile: bool | Mapping[str, Any] = False
    memory_format: str = "auto"
    optimize: bool | str = "auto"

    def __post_init__(self) -> None:
        check_choice("Execution", "precision", self.precision, PRECISIONS)
        check_choice("Execution", "memory_format", self.memory_format, MEMORY_FORMATS)
        named = str(self.optimize) if isinstance(self.optimize, bool) else self.optimize
        check_choice("Execution", "optimize", named, ("False", "True", "auto"))
        if not isinstance(self.compile, (bool, Mapping)):
            got = type(self.compile).__name__
            raise TypeError(f"compile: expected True, False or a mapping of options of torch.compile, got {got}.")

    def prepare(self, model: Model, x: Tensor, create_graph: bool = False, around: Around = nullcontext) -> "Prepared":
        """`model`, ready for inputs like x (batch, *shape).  around: the context in which every call of it runs.

        Raises: ValueError where the choices do not fit the model, x or create_graph.
        """
        if self.compile is not False and create_graph:
            raise ValueError("compile: compiled models have no second derivative; use create_graph=True without compile.")
        if self.precision == "tf32" and x.device.type != "cuda":
            raise ValueError(f"precision: tf32 exists on CUDA devices; x is on {x.device}.")
        if self.precision in ("tf32", "bf16") and x.dtype != torch.float32:
            raise ValueError(f"precision: {self.precision!r} narrows the products of single precision; x is {x.dtype}.")
        if self.memory_format == "channels_last" and x.ndim != 4:
            expected = "channels_last belongs to images, (batch, channels, height, width)"
            raise ValueError(f"memory_format: {expected}; x has shape {tuple(x.shape)}.")
        if isinstance(model, nn.Module) and any(t.is_inference() for t in (*model.parameters(), *model.buffers())):
            model = copied(model)  # of ordinary tensors, which autograd takes
        return Prepared(model, self, x, create_graph, around)


class Prepared(nn.Module):
    """The model as the engine calls it. The user's own model is inside and is not changed.

    plain: the model itself, for methods that hook its layers.  fixed: whether all chunks should have one shape.
    create_graph: whether values and gradients stay differentiable; else they have no graph.
    around: the context in which the caller's code runs, see `core.isolation`.
    """

    def __init__(self, model: Model, execution: Execution, x: Tensor, create_graph: bool, around: Around) -> None:
        super().__init__()
        self.plain, self.create_graph, self.around = model, create_graph, around
        self.device, self.device_type = x.device, x.device.type
        self.single = x.dtype == torch.float32  # else "auto" does not narrow: double precision was asked for with a reason
        self.fixed = execution.compile is not False or _is_compiled(model)
        self.channels_last = execution.memory_format == "channels_last"
        self.tries_channels_last = execution.memory_format == "auto" and gains_by_channels_last(model, x)
        self.records = False  # whether f is read with gradients recorded, since the model is another function without them
        self.differentiates = False  # whether the model takes gradients itself
        self.draws = False  # whether the model draws from torch's global generators, or seeds them
        self.size: int | None = None  # the one batch size that the model takes, where it takes no other
        self.sizes: list[int] = []  # batch sizes to try where a forward fails
        self.optimize, self.optimized, self.not_optimized = execution.optimize, False, ""
        self.fallback = ""  # why a run is contiguous where channels_last was tried
        self._asked = execution.precision
        self.precision = "fp32" if self._asked == "auto" else self._asked
        self.agreement: dict[str, float] = {}
        self._compile = execution.compile
        self._call = self._compiled(model)

    def _compiled(self, model: Model) -> Model:
        if self._compile is False:
            return model
        options = dict(self._compile) if isinstance(self._compile, Mapping) else {}
        compiled: Model = torch.compile(model, dynamic=False, **options)
        return compiled

    def run_on(self, network: nn.Module) -> None:
        """From now on, rows run on `network`, which computes the same function; `plainly` still runs the model itself."""
        self._call, self.optimized = self._compiled(network), True

    def record_inside(self) -> None:
        """From now on, f is read with gradients recorded and kept, for a model that takes gradients itself."""
        self.records = self.differentiates = True

    def arranged(self, x: Tensor) -> Tensor:
        """x in the memory format of the run."""
        return x.contiguous(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The model's output in the chosen formats."""
        if self.fixed and self.device_type == "cuda":  # CUDA graphs overwrite what the call before returned
            torch.compiler.cudagraph_mark_step_begin()
        x = self.arranged(x)
        with self.around():
            if self.precision != "bf16":
                return self._call(x, *args, **kwargs)
            with torch.autocast(self.device_type, torch.bfloat16):
                return self._call(x, *args, **kwargs)

    @contextlib.contextmanager
    def plainly(self, channels_last: bool = False, network: nn.Module | None = None) -> Iterator[None]:
        """Context: run the model in its own precision and on contiguous images; for the reference f(x) - f(x₀).

        network: runs in place of the model.
        """
        kept = self.precision, self._call, self.fixed, self.channels_last
        self.precision, self._call, self.fixed = "fp32", network or self.plain, _is_compiled(self.plain)
        self.channels_last = channels_last
        try:
            with self.numerics():
                yield
        finally:
            self.precision, self._call, self.fixed, self.channels_last = kept

    def numerics(self) -> AbstractContextManager[None]:
        """Context: products on the accelerator have the chosen precision; torch's own settings come back after it."""
        return tf32(self.precision != "fp32") if self.device_type == "cuda" else nullcontext()

    @property
    def narrower(self) -> tuple[str, ...]:
        """The number formats to compare with fp32."""
        if self._asked != "auto":
            return () if self._asked == "fp32" else (self._asked,)
        return ("tf32", "bf16") if self.device_type == "cuda" and self.single else ()

    def choose_precision(self, gradient: Callable[[], Tensor], narrower: tuple[str, ...] = ("tf32", "bf16")) -> None:
        """Notes the cosine of gradient() (rows, *shape) with that of fp32; "auto" takes the narrowest format that agrees."""
        found = {}
        for precision in ("fp32", *narrower):
            with self.plainly():
                self.precision = precision
                with self.numerics():
                    found[precision] = gradient().flatten(1).double()
            self.agreement[precision] = _cosine(found[precision], found["fp32"])
        if self._asked == "auto":
            agree = [p for p in ("bf16", "tf32") if self.agreement.get(p, 0) >= AGREES]
            self.precision = (agree or ["fp32"])[0]

    @property
    def numbers(self) -> dict[str, Any]:
        """The choices that the run was made with."""
        memory_format = "channels_last" if self.channels_last else "contiguous"
        found = {"precision": self.precision, "compiled": self.fixed, "memory_format": memory_format}
        return found | ({"optimized": True} if self.optimized else {})

    @property
    def settings(self) -> dict[str, Any]:
        """The choices and the reasons for them, for the result's settings."""
        reasons = {"agreement": self.agreement, "fallback": self.fallback, "not_optimized": self.not_optimized}
        return self.numbers | {name: value for name, value in reasons.items() if value}


def _cosine(a: Tensor, b: Tensor) -> float:
    """The smallest cosine over the rows of a and b; equal rows agree, also where they are zero."""
    return float(torch.where((a == b).all(1), 1, torch.cosine_similarity(a, b, 1)).amin())


def _is_compiled(model: Any) -> bool:
    """Whether torch compiled it; asked without importing torch's compiler, which takes seconds."""
    forward = getattr(model, "forward", None)
    wrapped = hasattr(model, "_orig_mod") or any(hasattr(each, "_torchdynamo_orig_callable") for each in (model, forward))
    return wrapped or getattr(model, "_compiled_call_impl", None) is not None  # the latter by Module.compile()


def uncompiled(model: Any) -> Any:
    """The module inside a compiled one: hooks on a compiled module may silently not run."""
    return getattr(model, "_orig_mod", model)


def gains_by_channels_last(model: Any, x: Tensor) -> bool:
    """Whether channels_last was faster for all networks of this kind that were measured."""
    convolves = isinstance(model, nn.Module) and any(isinstance(m, nn.Conv2d) for m in model.modules())
    return x.ndim == 4 and convolves and x.device.type == "cpu" and not _is_compiled(model)
