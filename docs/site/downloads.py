"""A page that teaches, as a script and as a notebook."""

import json
import re
from typing import Any

BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", re.DOTALL | re.MULTILINE)


def parts(text: str) -> list[tuple[str, str]]:
    """("text" or "code", content) in order, without pictures and without what the code printed.

    >>> parts("# A\\n\\n```python\\nx = 1\\n```\\n\\nEnd.\\n")
    [('text', '# A'), ('code', 'x = 1'), ('text', 'End.')]
    """
    pieces = BLOCK.split(text)
    found = [("code" if number % 2 else "text", _shown(piece, number % 2)) for number, piece in enumerate(pieces)]
    return [(kind, piece) for kind, piece in found if piece]


def _shown(piece: str, code: int) -> str:
    return (piece if code else re.sub(r"^!\[.*?\]\(.*?\)$", "", piece, flags=re.MULTILINE)).strip("\n")


def script(text: str) -> str:
    """The page as a Python file: sentences are comments."""
    comment = lambda piece: "\n".join(f"# {line}".rstrip() for line in piece.splitlines())
    return "\n\n".join(piece if kind == "code" else comment(piece) for kind, piece in parts(text)) + "\n"


def notebook(text: str) -> str:
    """The page as a Jupyter notebook (nbformat 4), to be run."""
    return json.dumps(
        {
            "cells": [_cell(number, kind, piece) for number, (kind, piece) in enumerate(parts(text))],
            "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
        ensure_ascii=False,
    )


def _cell(number: int, kind: str, piece: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"id": f"part-{number}", "metadata": {}, "source": piece.splitlines(keepends=True)}
    if kind == "code":
        return cell | {"cell_type": "code", "execution_count": None, "outputs": []}
    return cell | {"cell_type": "markdown"}
