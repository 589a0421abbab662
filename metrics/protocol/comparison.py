"""`DomainComparison`: what the protocol found."""

import functools
import html
from dataclasses import dataclass

import pandas as pd

from .conclusion import Conclusion, Evidence, joined
from .table import COLUMNS, Block, rows


@dataclass(frozen=True, eq=False)
class DomainComparison:
    """The result: a conclusion for each method and baseline, the long table, and the evaluations that it took.

    evidence: {(method, baseline): curves} for further questions.  evaluations: of the scores, beside those of the maps.
    blocks: what the table is made of.
    """

    conclusions: tuple[Conclusion, ...]
    evidence: dict[tuple[str, str], Evidence]
    evaluations: int
    blocks: tuple[Block, ...]

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row per number, with the columns `table.COLUMNS`."""
        return pd.concat(map(rows, self.blocks), ignore_index=True)[list(COLUMNS)]

    @property
    def named(self) -> dict[str, str | None]:
        """The domain that each method names: the same with every baseline, or None."""
        found: dict[str, set[str | None]] = {}
        for each in self.conclusions:
            found.setdefault(each.method, set()).add(each.named)
        return {method: next(iter(names)) if len(names) == 1 else None for method, names in found.items()}

    @property
    def sentences(self) -> list[str]:
        """The verdicts in words."""
        found = []
        for method in self.named:
            own = [each for each in self.conclusions if each.method == method]
            if len(own) > 1:
                found.append(joined(own))
            found += [f"baseline={each.baseline}, {each.sentence}" if len(own) > 1 else each.sentence for each in own]
        return found

    def pair(self, first: str, second: str, method: str | None = None) -> str:
        """The verdict about `first` against `second`, the same with every baseline.  Raises: KeyError for unknown names."""
        turned = {"better": "worse", "worse": "better"}
        found = {
            each.verdict if (each.first, each.second) == (first, second) else turned.get(each.verdict, each.verdict)
            for one in self.conclusions
            if method in (None, one.method)
            for each in one.pairs
            if {each.first, each.second} == {first, second}
        }
        if not found:
            raise KeyError(f"no verdict about {first} and {second}")
        return found.pop() if len(found) == 1 else "depends on the baseline"

    def _repr_html_(self) -> str:
        """The verdicts, and the mean errors of each domain."""
        shown = pd.DataFrame({f"{each.method}, {each.baseline}": each.errors for each in self.conclusions})
        return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in self.sentences) + str(shown.to_html())
