"""The list of all packages that `make` installs, as CycloneDX 1.5: `python -m benchmarks.scripts.sbom [FILE]`, or `make sbom`.

Names and versions are those of constraints.txt; licences are those of the packages that are installed here.
"""

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results.stored import ROOT
from pullback.core.files import write_text

OUT = ROOT / "results" / "sbom.json"


def pinned(text: str) -> Iterator[tuple[str, str]]:
    """The packages of a lock file and their versions.  Raises: ValueError for a line that pins none.

    >>> list(pinned("# exact versions\\ntorch==2.13.0\\n"))
    [('torch', '2.13.0')]
    """
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([\w.-]+)==([\w.+!-]+)", line.strip())
        if match is None:
            raise ValueError(f"constraints.txt: expected NAME==VERSION, got {line[:80]!r}.")
        yield match[1], match[2]


def component(name: str, version: str) -> dict[str, Any]:
    """One package, with its address in PyPI and its licence."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    found = {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{plain}@{version}"}
    licence = _licence(name)
    return found | ({"licenses": [{"license": {"name": licence}}]} if licence else {})


def _licence(name: str) -> str:
    """What an installed package says; "" where it says nothing, or is not installed."""
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    classes = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or [] if one.startswith("License ::")]
    said = about.get("License-Expression") or "; ".join(classes) or about.get("License") or ""
    return said.splitlines()[0][:120] if said else ""


def bill(lock: str) -> dict[str, Any]:
    """The whole list.  lock: the text of constraints.txt."""
    own = {"type": "library", "name": "pullback", "version": importlib.metadata.version("pullback")}
    components = [component(name, version) for name, version in pinned(lock)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
    }


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    write_text(out, json.dumps(bill((ROOT / "constraints.txt").read_text(encoding="utf-8")), indent=1) + "\n")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
