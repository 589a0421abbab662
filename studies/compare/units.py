"""The units of a comparison: which examples count as one in its statistics."""

import re
from collections.abc import Sequence

import pandas as pd

from ...core.checks import check_file, quoted

COLUMNS = ["example", "group"]
_FORMS = "give a CSV file with the columns example and group, or a pattern such as '(.+)-crop[0-9]+'"


def units_of(names: Sequence[str], groups: str | None) -> list[str]:
    r"""The unit of each example. Crops of one photo, or frames of one recording, are no units of their own.

    groups: a CSV file with the columns example and group, or a regular expression whose first group names the unit: examples
    that it does not match are units under their own names.  None: each example is a unit.
    Raises: ValueError for another file or expression, where the file lacks an example, and where the expression matches none.

    >>> units_of(["a-crop1", "a-crop2", "a", "b"], r"(.+)-crop\d+")
    ['a', 'a', 'a', 'b']
    """
    if groups is None:
        return list(names)
    if groups.endswith(".csv"):
        return _listed(names, groups)
    found = [pattern(groups).fullmatch(name) for name in names]
    if names and not any(found):
        raise ValueError(
            f"groups: {quoted(groups)} matches none of {len(names)} examples, such as {quoted(names[0])}; {_FORMS}."
        )
    return [name if one is None else one.group(1) or name for name, one in zip(names, found)]


def pattern(groups: str) -> re.Pattern[str]:
    """The expression.  Raises: ValueError where it is none, or has no group."""
    try:
        found = re.compile(groups)
    except re.error as error:
        raise ValueError(f"groups: expected a regular expression, got {quoted(groups)}: {error}; {_FORMS}.") from None
    if not found.groups:
        raise ValueError(f"groups: {quoted(groups)} has no group in parentheses, which names the unit; {_FORMS}.")
    return found


def _listed(names: Sequence[str], path: str) -> list[str]:
    """The groups of a file."""
    table = pd.read_csv(check_file("groups", path, _FORMS), dtype=str, keep_default_na=False)
    if not set(COLUMNS) <= set(table) or table["example"].duplicated().any():
        raise ValueError(f"groups: {path[-80:]}: expected the columns example and group, and each example once.")
    of = dict(zip(table["example"], table["group"]))
    if lacking := [name for name in names if not of.get(name)]:
        raise ValueError(f"groups: {path[-80:]} names no group of {len(lacking)} examples, such as {quoted(lacking[0])}.")
    return [of[name] for name in names]
