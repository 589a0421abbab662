"""Writes the numbers of README, docs/ and benchmarks/*.md from stored results: `python -m benchmarks.pages`.

A page is text with places between the markers <!-- name:begin --> and <!-- name:end -->; each is filled by one function
of the folder of results. What stands outside of markers is written by hand, and is no number of a stored result.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from pullback.core.files import write_text

from . import accelerator, axioms, readme, tables
from .stored import RESULTS, ROOT

Section = Callable[[Path], str]
PAGES: dict[str, dict[str, Section]] = {
    "README.md": {"demo": readme.demo, "speed": readme.speed, "table": readme.table},
    "docs/axioms.md": {name: lambda _, section=section: section() for name, section in axioms.SECTIONS.items()},
    "benchmarks/accelerator.md": accelerator.SECTIONS,
    "benchmarks/integrated_gradients.md": tables.QUADRATURE,
    "benchmarks/limits.md": tables.LIMITS,
    "benchmarks/masks.md": tables.MASKS,
    "benchmarks/transforms.md": tables.TRANSFORMS,
}
_MARKED = re.compile(r"(<!-- ([\w-]+):begin -->\n).*?(<!-- \2:end -->)", re.DOTALL)


def fill(text: str, sections: dict[str, Section], results: Path) -> str:
    """`text` with what stands between markers written anew.

    Raises: ValueError where a marker has no section or a section no marker.
    """
    marked = [match.group(2) for match in _MARKED.finditer(text)]
    if sorted(marked) != sorted(sections):
        raise ValueError(
            f"expected a place for each of {', '.join(sorted(sections))}; found {', '.join(sorted(marked))}."
        )
    return _MARKED.sub(lambda match: f"{match[1]}{sections[match[2]](results).strip()}\n{match[3]}", text)


def rendered(page: str, results: Path = RESULTS, leave: tuple[str, ...] = ()) -> str:
    """What the page says by what is stored.  leave: sections that stay as they are."""
    text = (ROOT / page).read_text(encoding="utf-8")
    kept = {match.group(2): match.group(0) for match in _MARKED.finditer(text)}
    inside = lambda name: kept[name].split("\n", 1)[1].rsplit("\n", 1)[0]
    sections = {
        name: (lambda _, name=name: inside(name)) if name in leave else section for name, section in PAGES[page].items()
    }
    return fill(text, sections, results)


def write(page: str) -> None:
    write_text(ROOT / page, rendered(page))
    sys.stdout.write(f"wrote {page}\n")


def main() -> None:
    for page in PAGES:
        write(page)


if __name__ == "__main__":
    main()
