"""The store for interrupted work: pieces of one question, whole or not at all."""

import multiprocessing
from pathlib import Path

import pytest

from pullback.studies.storage.store import Store


def test_pieces_are_found_by_their_key_and_their_question(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "cells", {"seed": 0}), Store(tmp_path / "cells", {"seed": 1})
    for key in (0, 10, "0", "dwt(haar, level=2) » a/b", "x" * 300):
        assert store.read(key) is None
        store.write(key, {"key": key})
        assert Store(tmp_path / "cells", {"seed": 0}).read(key) == {"key": key}
        assert other.read(key) is None
    assert store.foreign() == 0
    assert other.foreign() == 5
    assert other.foreign(["0", "not there"]) == 1
    assert other.foreign([]) == 0


def test_a_damaged_piece_is_missing_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    store = Store(tmp_path, "question")
    store.write("a", [1, 2])
    store.path("a").write_text("[1, ")
    assert store.read("a") is None
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.write("b", {1, 2})
    assert [path.name for path in tmp_path.iterdir()] == [store.path("a").name]


def test_the_order_of_a_questions_names_does_not_matter(tmp_path: Path) -> None:
    Store(tmp_path, {"a": 1, "b": [Path("x")]}).write(0, 1.5)
    assert Store(tmp_path, {"b": [Path("x")], "a": 1}).read(0) == 1.5
    assert Store(tmp_path, {"b": [Path("y")], "a": 1}).foreign([0]) == 1


def _write(store: Store, key: int) -> None:
    store.write(key, key)


def test_processes_share_a_folder(tmp_path: Path) -> None:
    store = Store(tmp_path, "question")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(_write, [(store, key) for key in range(4)])
    assert [store.read(key) for key in range(4)] == [0, 1, 2, 3]
