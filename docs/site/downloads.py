"""A page that teaches, as a script and as a notebook that has been run."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"^(!\[.*?\]\()(.*?)\)$", re.MULTILINE)


class Piece(NamedTuple):
    """Sentences, or Python with what it prints; a test runs each page and compares."""

    code: bool
    text: str
    printed: str = ""


def pieces(text: str) -> list[Piece]:
    """The parts of a page in order.

    >>> pieces("# A\\n\\n```python\\nprint(1)\\n```\\n\\n```text\\n1\\n```\\n\\nEnd.\\n")[1:]
    [Piece(code=True, text='print(1)', printed='1\\n'), Piece(code=False, text='End.', printed='')]
    """
    return [piece for piece in _pieces(text) if piece.text]


def _pieces(text: str) -> Iterator[Piece]:
    end = 0
    for match in BLOCK.finditer(text):
        yield Piece(False, text[end : match.start()].strip("\n"))
        yield Piece(True, match[1].strip("\n"), match[2] or "")
        end = match.end()
    yield Piece(False, text[end:].strip("\n"))


def script(text: str) -> str:
    """The page as a Python file: sentences are comments, without pictures."""
    comment = lambda piece: "\n".join(f"# {line}".rstrip() for line in PICTURE.sub("", piece).strip("\n").splitlines())
    return "\n\n".join(each.text if each.code else comment(each.text) for each in pieces(text)) + "\n"


def notebook(text: str, folder: Path) -> str:
    """The page as a Jupyter notebook (nbformat 4) with its outputs and pictures.  folder: from which pictures are named."""
    return json.dumps(
        {
            "cells": list(_cells(pieces(text), folder)),
            "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
        ensure_ascii=False,
    )


def _cells(found: list[Piece], folder: Path) -> Iterator[dict[str, Any]]:
    runs = 0
    for number, piece in enumerate(found):
        cell: dict[str, Any] = {"id": f"part-{number}", "metadata": {}}
        if piece.code:
            runs += 1
            printed = [{"output_type": "stream", "name": "stdout", "text": piece.printed.splitlines(keepends=True)}]
            cell |= {"cell_type": "code", "execution_count": runs, "outputs": printed if piece.printed else []}
            yield cell | {"source": piece.text.splitlines(keepends=True)}
        else:
            held = {Path(name).name: {"image/webp": _encoded(folder / name)} for _, name in PICTURE.findall(piece.text)}
            shown = PICTURE.sub(lambda match: f"{match[1]}attachment:{Path(match[2]).name})", piece.text)
            cell |= {"cell_type": "markdown"} | ({"attachments": held} if held else {})
            yield cell | {"source": shown.splitlines(keepends=True)}


def _encoded(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode()
