"""Live memory of one call: bytes of tensors that torch has made and not yet freed, counted as operations run."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from guard import Counted, MeasuresNothing, check_input, check_result, counted
from models import signals
from planned import planned
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import pullback as pb
from pullback.transforms import get

# Every registered method with n times a small number of samples, steps or groups.
SPECS: dict[str, Callable[[int], str]] = {
    "absgrad": lambda n: f"absgrad(samples={16 * n})",
    "captum": lambda n: f"captum(IntegratedGradients, n_steps={8 * n})",
    "expected_gradients": lambda n: f"expected_gradients(samples={8 * n})",
    "gradient": lambda n: "gradient",
    "gradient_shap": lambda n: f"gradient_shap(samples={8 * n})",
    "hsic": lambda n: f"hsic(samples={16 * n})",
    "input_x_gradient": lambda n: "input_x_gradient",
    "integrated_gradients": lambda n: f"integrated_gradients(tol=0, max_evaluations={33 * n})",
    "kernel_shap": lambda n: f"kernel_shap(samples={16 * n})",
    "lime": lambda n: f"lime(samples={16 * n})",
    "mask": lambda n: f"mask(steps={2 * n})",
    "occlusion": lambda n: f"occlusion(by=block, block={16 // {1: 1, 4: 2, 16: 4}[n]})",
    "rise": lambda n: f"rise(masks={16 * n})",
    "shapley": lambda n: f"shapley(exact=False, pairs={2 * n})",
    "smoothgrad": lambda n: f"smoothgrad(samples={8 * n})",
    "sobol": lambda n: f"sobol(samples={4 * n})",
    "squaregrad": lambda n: f"squaregrad(samples={16 * n})",
    "vargrad": lambda n: f"vargrad(samples={16 * n})",
}
TIMES = (1, 4, 16)
DOMAIN = "dwt(haar, level=2)"


class Peak(TorchDispatchMode):
    """Inside it, `bytes` is the largest total size of storages made since, by any operation and alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self._now = 0, 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._alive.add(key)
        self._now += size
        self.bytes = max(self.bytes, self._now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._now -= size


def peak(job: Callable[[], object]) -> int:
    """Bytes of the tensors that `job` holds at once, at most; what it returns included."""
    with Peak() as seen:
        job()
    return seen.bytes


def network() -> nn.Module:
    """A small convolutional network of three classes, for images of any size."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 3),
    )
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / parameter.shape[-1]
    return net.eval()


def line(method: str, images: int, side: int, rows: int, times: tuple[int, ...] = TIMES) -> list[int]:
    """Peak bytes in DOMAIN with samples times 1, 4, 16.  Shape: as `times`.

    Raises: MeasuresNothing where a call does not bring its rows through the model, or finds nothing.
    """
    model, x = Counted(network()), signals((images, 3, side, side), seed=1)
    check_input(x)
    return [_held(model, x, SPECS[method](n), rows) for n in times]


def _held(model: Counted, x: Tensor, spec: str, rows: int) -> int:
    domain, before = get(DOMAIN, tuple(x.shape[1:])), model.tally.now()
    call = lambda: pb.attribute(model, x, 0, method=spec, transform=domain, batch_size=rows)
    att = call()  # a first call, so that what is built once and kept does not count
    ran = model.tally.since(before)
    check_rows(ran, att, planned(spec, [domain], len(x)))
    check_result(att.values)
    return peak(counted(call, model.tally, *ran))


def check_rows(rows: tuple[int, int], att: pb.Attribution, most: tuple[int, int]) -> None:
    """(forward, backward) rows that a call brought through the model, against those that its definition asks for.

    The certified rule stops where the next grid would take more than it may: between nine tenths and all of them.
    Raises: MeasuresNothing where there are others.
    """
    spared = most[1] - rows[1]
    certified = "map_error" in att.details and 0 <= spared <= most[1] / 10
    if rows != most and not (certified and rows[0] == most[0] - spared):
        raise MeasuresNothing(f"{rows} rows went forward and back through the model; planned were {most}.")


def numbers(method: str, images: int, side: int, n: int) -> int:
    """What a method may hold by its definition: of each model row a few numbers, such as its score and which groups were
    present; HSIC compares all of an example's scores with all. What may not be held is anything of the signal's size."""
    forward, _ = planned(SPECS[method](n), [get(DOMAIN, (3, side, side))], images)
    return 16 * forward + (4 * (16 * n) ** 2 if method == "hsic" else 0)
