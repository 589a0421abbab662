"""Files that appear whole or not at all."""

import json
from pathlib import Path

import pytest

from pullback.core.files import write_whole


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.json"
    write_whole(target, lambda name: Path(name).write_text(json.dumps([1])))
    assert json.loads(target.read_text()) == [1]

    def full_disk(name: str) -> None:
        Path(name).write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(target, full_disk)
    assert json.loads(target.read_text()) == [1]
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]
