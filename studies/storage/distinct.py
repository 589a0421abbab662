"""Domains without repetition: one that is given twice would be counted twice."""

from collections.abc import Callable, Sequence

from ...core.files import plain
from ...transforms import get


def distinct_domains(
    specs: Sequence[str], shape: tuple[int, ...], note: Callable[[str], object] | None = None, lenient: bool = False
) -> tuple[str, ...]:
    """The specs without those that name the same transform as an earlier one on signals of `shape`.

    note: called with a sentence for each that is left out.  lenient: keep a spec that is wrong.
    Raises: ValueError or TypeError for a spec that is wrong.

    >>> distinct_domains(["dct", "dct()", "pixel"], (1, 8), print)
    'dct()' is the same domain as 'dct'; it is used once.
    ('dct', 'pixel')
    """
    first: dict[str, str] = {}
    for spec in specs:
        name = _canonical(spec, shape, lenient)
        if name in first and note is not None:
            note(f"{plain(spec)!r} is the same domain as {plain(first[name])!r}; it is used once.")
        first.setdefault(name, spec)
    return tuple(first.values())


def _canonical(spec: str, shape: tuple[int, ...], lenient: bool) -> str:
    try:
        return get(spec, shape).spec
    except (ValueError, TypeError, ImportError):
        if not lenient:
            raise
        return spec
