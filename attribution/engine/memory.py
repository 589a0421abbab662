"""How much memory a row takes, and how much is free."""

from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef


class Saved:
    """Counts the bytes that autograd would keep for the backward pass of what runs inside, each storage once.

    Nothing is kept: what runs inside takes the memory and the time of a pass without gradients, and there can be no
    backward pass through it. A storage whose memory was given back and used again is a new one.

    model: its parameters and buffers are there anyway, and are not counted.
    """

    def __init__(self, model: object) -> None:
        kept = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
        self._there = {tensor.untyped_storage().data_ptr() for tensor in kept}
        self._seen: dict[int, StorageWeakRef] = {}
        self.bytes = 0
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, _refuse)

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place in self._there or (place in self._seen and not self._seen[place].expired()):
            return
        self._seen[place] = StorageWeakRef(storage)
        self.bytes += min(storage.nbytes(), tensor.nbytes)  # a slice of a batch holds more than itself

    def __enter__(self) -> "Saved":
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, trace)


def _refuse(_: None) -> Tensor:
    raise RuntimeError("Saved: nothing was kept for a backward pass.")


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
