"""Every command is in the guide, what guides call exists with its options, and the commands of Getting started run."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from support import ROOT
from support.command_line import printed

from pullback import cli

GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
COMMAND = typer.main.get_command(cli.app)
CALL = re.compile(r"^(?: {4}|\$ )?(?:\S*/)?(?:python3? -m )?pullback (\S.*)$", re.MULTILINE)
INLINE = re.compile(r"`pullback ([^`]+)`")


def commands(command: Any = COMMAND, name: str = "") -> dict[str, Any]:
    """{"study minimal": the command} of all that can be called."""
    inner = getattr(command, "commands", {})
    found = {} if inner else {name: command}
    for own, each in inner.items():
        found |= commands(each, f"{name} {own}".strip())
    return found


def calls(text: str) -> Iterator[str]:
    """What follows `pullback` in lines of code and in sentences; two blanks or # end a call, and Python is none of it."""
    shell = re.sub(r"^```python\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    shell = re.sub(r" \\\n\s*", " ", shell)  # a command may go on in the next line
    for call in [*CALL.findall(shell), *INLINE.findall(shell)]:
        yield re.split(r"  |\s#|\s[|&]{1,2}\s|\s\[", call)[0].strip()


def mistake(call: str) -> str:
    """What is wrong with a call, but for arguments that it leaves out; nothing is run.  A capital NAME stands for any name."""
    words, command = shlex.split(call), COMMAND
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        name = words.pop(0)
        if name.isupper() or name == "…":
            return ""
        if name not in command.commands:
            return f"there is no command {name}"
        command = command.commands[name]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    if given - known:
        return f"there is no option {', '.join(sorted(given - known))}"
    try:
        command.make_context("pullback", [word for word in words if word not in ("--version", "--help", "…", "...")])
    except Exception as error:
        return "" if type(error).__name__ in ("MissingParameter", "NoArgsIsHelpError") else str(error)
    return ""


@pytest.mark.parametrize("path", GUIDES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_options_in_the_guides_exist(path: Path) -> None:
    assert {call: said for call in calls(path.read_text()) if (said := mistake(call))} == {}


def test_calls_are_found_and_mistakes_in_them_are_seen() -> None:
    text = "`pullback compare --quick` or\n\n    pullback study NAME   repeat\n    .venv/bin/pullback axioms | head -1\n"
    assert list(calls(text)) == ["study NAME", "axioms", "compare --quick"]
    assert [mistake(call) for call in calls(text)] == ["", "", ""]
    assert mistake("explain a.jpg --targets 3") == "there is no option --targets"
    assert mistake("study minimals") == "there is no command minimals"
    assert "valid integer" in mistake("compare --limit many")
    assert sum(len(list(calls(path.read_text()))) for path in GUIDES) > 130


def test_every_command_has_a_section_and_every_option_in_the_tables_exists() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text()
    headings = " ".join(re.findall(r"^## (.*)$", text, re.MULTILINE))
    named = {name for name in commands() if name in headings}
    assert set(commands()) - named == set()
    known = {opt for command in commands().values() for one in command.params for opt in (*one.opts, *one.secondary_opts)}
    assert set(re.findall(r"`(--[a-z][\w-]*)", text)) - known - {"--help", "--version"} == set()


def test_the_demo_is_the_same_in_the_makefile_on_its_page_and_in_its_stored_run() -> None:
    stored = json.loads((ROOT / "docs" / "demo" / "summary.json").read_text())["command_line"]
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    options = re.findall(r"^DEMO += (.*)$", makefile, re.MULTILINE)[0]
    assert "compare --effort quick $(DEMO) --out $(OUT)" in makefile
    made = shlex.split(f"compare --effort quick {options} --out results/demo")
    shown = [shlex.split(call) for call in calls((ROOT / "docs" / "demo.md").read_text()) if call.startswith("compare --")]
    assert [made] == shown == [shlex.split(stored)[1:]]


def test_the_commands_of_getting_started_write_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "getting-started.md").read_text()
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[1:]:  # the first one needs no command
        exec(compile(code, "getting-started.md", "exec"), names)
    outputs = [printed(monkeypatch, capsys, *shlex.split(call)) for call in calls(text) if call.startswith("explain")]
    told = ("500–1000 Hz", "cycles/mm", "12.5–25 Hz")
    assert [words for words, output in zip(told, outputs, strict=True) if words not in output] == []
    written = {name: {path.suffix for path in (tmp_path / name).iterdir()} for name in ("sound", "volume", "series")}
    assert all({".png", ".json"} <= ends for ends in written.values())
    assert ".wav" in written["sound"]
