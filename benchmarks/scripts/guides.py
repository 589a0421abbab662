"""Runs the pages that teach: `python -m benchmarks.scripts.guides [PAGE …]` writes what they print, and keeps what they draw.

A picture `name.png` that a page writes becomes docs/pictures/guides/name.webp. `drawn.json` holds the digest of the Python
that was run, so that a test sees a page whose code is newer than its pictures.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from benchmarks.results.stored import ROOT

DOCS = ROOT / "docs"
OUT = DOCS / "pictures" / "guides"
DRAWN = OUT / "drawn.json"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
WIDTH = 1_000  # pixels


def pages() -> list[Path]:
    """Getting started, the tutorials, and the how-to pages."""
    return [DOCS / "getting-started.md", *sorted(DOCS.glob("tutorials/*.md")), *sorted(DOCS.glob("how-to/*.md"))]


def digest(text: str) -> str:
    """SHA-256 of the Python of a page."""
    return hashlib.sha256("".join(code for code, _ in BLOCK.findall(text)).encode()).hexdigest()


def pictured(text: str) -> list[str]:
    """The names of the pictures that the Python of a page writes."""
    return re.findall(r"savefig\(\"([\w-]+)\.png\"\)", text)


def run(text: str, name: str) -> str:
    """The page with what its Python prints; the files are written into the current folder."""
    names: dict[str, object] = {"__name__": "guide"}

    def block(match: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(match[1], name, "exec"), names)
        shown = f"\n```text\n{printed.getvalue()}```\n" if printed.getvalue() else ""
        return f"```python\n{match[1]}```\n{shown}"

    return BLOCK.sub(block, text)


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    """A temporary folder, entered."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def keep(picture: Path) -> None:
    """Stores one picture that a page has drawn."""
    OUT.mkdir(parents=True, exist_ok=True)
    image = Image.open(picture).convert("RGB")
    image.thumbnail((WIDTH, 4 * WIDTH))
    image.save(OUT / f"{picture.stem}.webp", quality=75, method=6)


def main(names: Sequence[str]) -> None:
    chosen = [page for page in pages() if not names or page.stem in names]
    drawn = json.loads(DRAWN.read_text()) if DRAWN.exists() else {}
    for page in chosen:
        print(page.relative_to(DOCS), flush=True)
        with empty_folder() as folder:
            text = run(page.read_text(), page.name)
            for name in pictured(text):
                keep(folder / f"{name}.png")
                drawn[name] = digest(text)
        page.write_text(text)
    DRAWN.write_text(json.dumps(dict(sorted(drawn.items())), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
