"""Files that appear whole or not at all."""

import json
import multiprocessing
import os
import unicodedata
from pathlib import Path

import pytest

from pullback.core.files import check_writable, plain, read_json, remove_leftovers, slug, write_text, write_whole


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.json"
    write_whole(target, lambda name: Path(name).write_text(json.dumps([1])))
    assert json.loads(target.read_text()) == [1]

    def full_disk(name: str) -> None:
        Path(name).write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: .*a\.json"):  # it names the file
        write_whole(target, full_disk)
    assert json.loads(target.read_text()) == [1]
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_a_killed_writer_leaves_nothing_for_ever(tmp_path: Path) -> None:
    """Temporary files of a dead process are removed, and those of a live one, of another machine and others are not."""
    context = multiprocessing.get_context("fork")
    dead = context.Process(target=os._exit, args=(0,))
    dead.start()
    dead.join()
    names: list[str] = []
    write_whole(tmp_path / "a.json", lambda name: names.append(Path(name).name) or Path(name).write_text("1"))
    mine = names[0]
    left = mine.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    elsewhere = "." + "0" * 8 + left[9:]
    for name in (mine, left, elsewhere, ".hidden.tmp", "photo.tmp.png"):
        (tmp_path / name).write_text("half")
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", mine, elsewhere, ".hidden.tmp", "photo.tmp.png"}


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda old, new: (seen.append("rename"), replace(old, new)))
    write_text(tmp_path / "a.txt", "text")
    assert seen == ["fsync", "rename", "fsync"]  # the file, its name, and the folder that holds the name


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a": ', "\x00", "", "1" * 5_000])
def test_what_is_no_json_is_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    assert read_json(tmp_path / "a.json") is None


def test_what_is_no_file_is_nothing_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    assert [read_json(tmp_path / name) for name in ("pipe", "huge", "", "missing", "x" * 300)] == [None] * 5
    (tmp_path / "a").write_text("[1]")
    assert read_json(tmp_path / "a") == [1]


NAMES = ("x" * 238, "ф" * 119, "con", "a:b", "a\\b", "../../a", ".hidden", "....", "-rf", "a ", "a\nb", "\udcff", "$x^2$")
NAMES += (
    "e\u0301",
    "\u202egpj.exe",
    "हिन्दी",
    "日本",
    "a\x1b[31mb",
    "*?<>|\"'",
    "🐱",
    "A.B.",
    "nul.txt",
    "~",
    "a\x00b",
    "%s",
    "#1",
)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_slug_is_a_name_that_every_system_accepts(name: str, tmp_path: Path) -> None:
    found = slug(name)
    assert len(found.encode()) <= 48
    assert not set(found) & set("<>:\"/\\|?*$ %#~'") | {c for c in found if unicodedata.category(c)[0] in "CZ"}
    assert found == found.strip("-.")
    assert slug(found) == found
    (tmp_path / f"photo-{found}-{found}.png").write_text("")


def test_slugs_keep_what_tells_names_apart() -> None:
    assert [slug(name) for name in ("Dog 1", "日本", "हिन्दी", "a.b_c", "e\u0301")] == ["Dog-1", "日本", "हिन्दी", "a.b_c", "é"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_plain_text_cannot_reach_the_terminals_controls(name: str) -> None:
    shown = plain(name)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066" for c in shown)
    shown.encode("utf-8")
    assert plain(shown) == shown
    assert plain("🐱 [red] :smile: é 日本") == "🐱 [red] :smile: é 日本"


@pytest.mark.parametrize("folder", ["a\x00b", "x" * 5_000, "file/below", "/proc/nothing"])
def test_a_folder_that_cannot_be_is_named_in_one_sentence(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"out: no files can be written into .*; choose another folder") as raised:
        check_writable(tmp_path / folder)
    assert len(str(raised.value)) <= 300
