"""Numbers of rows that are known to the host too, so that reading them does not wait for the device."""

from collections.abc import Callable, Iterator

from torch import Tensor


def both(index: Tensor, host: Tensor) -> Tensor:
    """`index`, which `on_host` will read from `host`, its copy on the CPU."""
    index._on_host = host  # type: ignore[attr-defined]
    return index


def host(index: Tensor) -> Tensor:
    """`index` on the CPU."""
    known: Tensor = getattr(index, "_on_host", index)
    return known.cpu()


def on_host(index: Tensor) -> list[int]:
    """The entries of `index` (rows,)."""
    entries: list[int] = host(index).tolist()
    return entries


def mapped(function: Callable[[Tensor], Tensor], index: Tensor) -> Tensor:
    """function(index), known to the host too."""
    return both(function(index), function(host(index)))


def runs(example: Tensor) -> Iterator[tuple[int, int, int]]:
    """(entry, first, last) of each run of equal entries in `example`, (rows,): rows of one example stand together."""
    entries = on_host(example)
    first = 0
    for last in range(1, len(entries) + 1):
        if last == len(entries) or entries[last] != entries[first]:
            yield entries[first], first, last
            first = last
