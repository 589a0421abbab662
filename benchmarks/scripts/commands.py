"""The command line that stored results were made with."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from pullback.core.files import plain

OPTIONS = (
    "model",
    "data",
    "method",
    "models",
    "methods",
    "baseline",
    "groups",
    "transforms",
    "domains",
    "kind",
    "rate",
    "window",
    "arch",
    "output",
    "size",
    "channels",
    "limit",
    "effort",
    "pictures",
    "seed",
    "batch_size",
    "device",
)
SINGULAR = {"transforms": "transform", "domains": "transform", "models": "model", "methods": "method"}  # of settings


def command(summary: Mapping[str, Any]) -> str:
    """The command line that makes the results, without the folder that it writes: as recorded, else from the settings.

    >>> command({"command": "compare", "settings": {"model": "m", "transforms": ["pixel", "dct"], "limit": None}})
    'pullback compare --model m --transform pixel --transform dct'
    >>> command({"command": "study domains", "settings": {"models": ["m", "n"]}})
    'pullback study domains --model m --model n'
    >>> command({"command_line": "pullback compare --model m --out 'my folder/a' --seed 1"})
    'pullback compare --model m --seed 1'
    """
    if isinstance(summary.get("command_line"), str):
        return plain(re.sub(r" --out[ =]('[^']*'|\S+)", "", summary["command_line"]))
    held = summary.get("settings")
    settings = held if isinstance(held, dict) else {}
    words = ["pullback", *str(summary.get("command", "")).split()]
    for name in OPTIONS if settings else ():
        value = settings.get(name)
        for one in value if isinstance(value, list) else [value]:
            words += [] if one in (None, "", "auto") else [f"--{SINGULAR.get(name, name).replace('_', '-')}", str(one)]
    return plain(shlex.join(words))
