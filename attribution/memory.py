"""How much memory a row takes, and how much is free."""

from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor, nn


class Saved:
    """Counts the bytes that autograd keeps for the backward pass of what runs inside, each storage once.

    It keeps them alive until the end, as a backward pass would, so that no storage is counted for two; there can be no
    backward pass through what ran inside.

    model: its parameters and buffers are there anyway, and are not counted.
    """

    def __init__(self, model: object) -> None:
        kept = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
        self._seen = {tensor.untyped_storage().data_ptr() for tensor in kept}
        self.bytes = 0
        self._held: list[Tensor] = []
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda _: _)

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += min(storage.nbytes(), tensor.nbytes)  # a slice of a batch holds more than itself
            self._held.append(tensor.detach())

    def __enter__(self) -> "Saved":
        self._hooks.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._held.clear()
        self._hooks.__exit__(kind, error, trace)


def free_bytes(device: torch.device) -> int | None:
    """Bytes that can still be had on `device`; None where that cannot be told."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    table = Path("/proc/meminfo")
    if device.type != "cpu" or not table.is_file():
        return None
    sizes = dict(line.split(":") for line in table.read_text().splitlines())
    return int(sizes["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in sizes else None
