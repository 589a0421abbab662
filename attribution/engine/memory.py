"""The memory that autograd keeps for a forward, and the free memory of a device."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef


class Saved(torch.autograd.graph.saved_tensors_hooks):
    """Context: counts the bytes that autograd would keep for a backward pass of the code inside, each storage once.

    Nothing is kept, so the code inside takes the memory and time of a pass without gradients, and a backward pass through
    it raises an error. Memory that was freed and used again counts again.

    model: its parameters and buffers are not counted.
    """

    def __init__(self, model: object) -> None:
        kept = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
        self._resident = {tensor.untyped_storage().data_ptr() for tensor in kept}
        self._seen: dict[int, StorageWeakRef] = {}
        self.bytes = 0
        # Inside a compiled model, the compiler would take the counting for a part of it.
        count = torch.compiler.disable(self._count) if "torch._dynamo" in sys.modules else self._count
        super().__init__(count, _refuse)

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address in self._resident or (address in self._seen and not self._seen[address].expired()):
            return
        self._seen[address] = StorageWeakRef(storage)
        self.bytes += min(storage.nbytes(), tensor.nbytes)  # the storage of a slice is that of the whole batch

    def __enter__(self) -> "Saved":  # type: ignore[override]
        super().__enter__()
        return self


def nothing_kept() -> AbstractContextManager[object]:
    """Context: autograd records the code inside, but keeps nothing for a backward pass, which raises RuntimeError."""
    # What is kept of a tensor is its class: `type` is no Python code, which a compiler would take for a part of the model.
    return torch.autograd.graph.saved_tensors_hooks(type, _refuse)


def _refuse(_: object) -> Tensor:
    raise RuntimeError("Saved: nothing was kept for a backward pass.")


def free_bytes(device: torch.device) -> int | None:
    """Free bytes on `device`, with those that torch's allocator holds in reserve; None where they are unknown."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    table = Path("/proc/meminfo")
    if device.type != "cpu" or not table.is_file():
        return None
    sizes = dict(line.split(":") for line in table.read_text().splitlines())
    return int(sizes["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in sizes else None
