"""Which example and which sample each row belongs to, known on the CPU and on the device."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RowIndex:
    """The rows of one forward: row r is sample `sample[r]` of example `example[r]`; rows of one example stand together.

    example, sample: on the device of the data, (rows,).
    on_cpu: the same two on the CPU, (2, rows), which Python reads without waiting for the device.

    >>> index = RowIndex.of(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]))
    >>> list(index.runs()), index.samples
    ([(0, 0, 2), (1, 2, 3)], [0, 1, 0])
    """

    example: Tensor
    sample: Tensor
    on_cpu: Tensor

    @classmethod
    def of(cls, example: Tensor, sample: Tensor, device: torch.device | None = None) -> "RowIndex":
        """From two tensors on the CPU; `device` is that of the data."""
        on_cpu = torch.stack([example, sample])
        there = on_cpu.to(device or on_cpu.device, non_blocking=True)
        return cls(there[0], there[1], on_cpu)

    @classmethod
    def product(cls, counts: Tensor, device: torch.device) -> "RowIndex":
        """`counts[e]` samples of each example e, example by example.  counts: (examples,), on the CPU."""
        example = torch.arange(len(counts)).repeat_interleave(counts)
        return cls.of(example, torch.arange(len(example)) - (counts.cumsum(0) - counts)[example], device)

    def __len__(self) -> int:
        return len(self.example)

    def __getitem__(self, part: slice) -> "RowIndex":
        return RowIndex(self.example[part], self.sample[part], self.on_cpu[:, part])

    def with_samples(self, function: Callable[[Tensor], Tensor]) -> "RowIndex":
        """The same examples, with function(sample) for each sample."""
        return RowIndex(self.example, function(self.sample), torch.stack([self.on_cpu[0], function(self.on_cpu[1])]))

    @functools.cached_property
    def examples(self) -> list[int]:
        """The example of each row."""
        return self.on_cpu[0].tolist()

    @functools.cached_property
    def samples(self) -> list[int]:
        """The sample of each row."""
        return self.on_cpu[1].tolist()

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """(example, first row, last row + 1) of each run of rows that belong to one example."""
        first = 0
        for last in range(1, len(self) + 1):
            if last == len(self) or self.examples[last] != self.examples[first]:
                yield self.examples[first], first, last
                first = last
