"""What a report says about a run itself: settings, versions, files with their fingerprints, and the methods' axioms."""

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...attribution import get as get_method
from ...axioms.method_laws import LAWS
from ...core.files import plain
from .contrasts import sourced
from .encode import smaller, uri
from .explained import explanations
from .folder import PAGE, SCORES, WIDE, Run
from .section import caption

TOLD = (
    "process",
    "command_line",
    "domains",
    "answers",
    "conclusions",
    "cells",
    "sentences",
    "findings",
    "said",
    "skipped",
    "notes",
    "files",
    "versions",
    "answer_sentences",
    "conclusion_sentences",
    "fronts",
)
PRINTED, SOUND = (".png", ".webp", ".jpg"), ".wav"


def about_run(run: Run) -> dict[str, Any]:
    """Plain data about a run for the page."""
    summary, explained = run.summary, explanations(run)
    cells = summary.get("cells") or [summary]
    settings = {name: value for name, value in summary.items() if name not in TOLD}
    return {
        "label": run.label,
        "path": plain(run.path),
        "command": plain(summary.get("command_line", "")),
        "state": summary.get("state", ""),
        "pullback": summary.get("pullback", ""),
        "sentences": sourced([plain(text) for text in _sentences(summary)] or [one["sentence"] for one in explained], run),
        "explained": explained,
        "skipped": _entries(cells, "skipped", "reason"),
        "notes": _entries(cells, "notes", "note"),
        "evaluations": sum(
            value for cell in cells for value in (cell.get("evaluations") or {}).values() if isinstance(value, int)
        ),
        "seconds": (summary.get("seconds") or {}).get("this_run") if isinstance(summary.get("seconds"), dict) else None,
        "photos": max((cell.get("photos") or 0 for cell in cells), default=0),
        "signals": next(
            (cell["signals"] for cell in cells if isinstance(cell.get("signals"), dict)),
            {"one": "example", "several": "examples"},
        ),
        "origins": _once(origin for one in (*cells, *explained) for origin in one.get("origins", [])),
        "versions": (summary.get("versions") or {}) | _digests(cells),
        "settings": json.dumps(settings, indent=1, ensure_ascii=False),
        "files": list(_files(run)),
    }


def _once(entries: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Equal entries once."""
    return list({json.dumps(one): one for one in entries}.values())


def _digests(cells: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The digest of each model's weights, by what the page calls it."""
    return {f"weights of {plain(one.get('model', 'the model'))}": plain(one["weights"]) for one in cells if one.get("weights")}


def _sentences(summary: Mapping[str, Any]) -> list[str]:
    """The verdicts in words, wherever the command put them."""
    for name in ("sentences", "findings", "said"):
        if isinstance(summary.get(name), list):
            return [str(one) for one in summary[name]]
    return []


def _entries(cells: Sequence[Mapping[str, Any]], name: str, text: str) -> list[tuple[str, str]]:
    """(file, reason), each once; what a folder of an earlier version says in another form is left out."""
    said = [one for cell in cells for one in cell.get(name) or [] if isinstance(one, dict) and {"file", text} <= set(one)]
    return list(dict.fromkeys((plain(one["file"]), plain(one[text])) for one in said))


def _files(run: Run) -> Iterator[dict[str, Any]]:
    for name in run.files:
        path = run.path / name
        if name == PAGE:
            continue
        tabular = name in (SCORES, WIDE) or name.endswith((".csv", ".toml"))
        print_ = hashlib.sha256(path.read_bytes()).hexdigest() if tabular else ""
        yield {"name": plain(name), "href": run.link(name), "bytes": path.stat().st_size, "sha256": print_}


def axioms_of(methods: Sequence[str], model: str) -> list[dict[str, Any]]:
    """The laws that each method claims, and the command that measures them; a method that is not installed is left out."""
    found = []
    for label in methods:
        spec = label.partition(", baseline=")[0]
        try:
            claims = get_method(spec).claims
        except (ValueError, TypeError, ImportError):
            continue
        laws = [
            {"name": law.name, "statement": law.statement, "source": law.source, "claimed": law.claimed_by(claims)}
            for law in LAWS
        ]
        command = shlex.join(["pullback", "axioms", "--model", model, "--method", spec])
        found.append({"method": spec, "laws": laws, "command": command})
    return list({one["method"]: one for one in found}.values())


def media_of(runs: Sequence[Run], sections: Sequence[Mapping[str, Any]], room: int) -> list[dict[str, str]]:
    """The pictures and sounds of the folders, inside the page as far as there is room, else as links.

    sections: of the runs.  room: bytes.  Each has the caption of its section, or says the name of its file.
    """
    found: list[dict[str, str]] = []
    for run, own in zip(runs, sections):
        for name in run.files:
            if not name.lower().endswith((*PRINTED, SOUND)):
                continue
            heard = name.lower().endswith(SOUND)
            shown_as, said = ("sound", "") if heard else ("image", caption(name, own["captions"]))
            data = _embedded(run.path / name, shown_as, room)
            room -= len(data)
            found.append({"name": plain(name), "href": run.link(name), "kind": shown_as, "caption": plain(said), "data": data})
    return found


def _embedded(path: Path, kind: str, room: int) -> str:
    """The file as a data URI; "" where there is no room for it."""
    if kind == "sound" and 4 * path.stat().st_size // 3 > room:
        return ""
    data = uri(path.read_bytes(), "audio/wav") if kind == "sound" else smaller(path.read_bytes())
    return data if len(data) <= room else ""
