"""Exported programs are checked before torch reads them: none runs code of a stranger."""

import contextlib
import io
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.small import SIZE, small
from torch import Tensor, nn

from pullback import studies


class Touch:
    """A pickle that makes a folder when it is read."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.mark,)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program for any number of images."""
    path = tmp_path_factory.mktemp("program") / "ok.pt2"
    sizes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    torch.export.save(torch.export.export(small(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=sizes), path)
    return path


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What reaches the root logger during a test."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield records
    logging.getLogger().removeHandler(handler)


def rewritten(program: Path, path: Path, change: Callable[[str, bytes], bytes], add: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, data in (add or {}).items():
            new.writestr(f"ok/{name}", data)
    return path


def pickled(mark: Path) -> bytes:
    found = io.BytesIO()
    torch.save(({"x": Touch(str(mark))},), found)
    return found.getvalue()


@pytest.mark.parametrize("place", ["inputs", "weight", "constants", "object", "opaque", "library", "size", "twice", "packed"])
def test_a_program_is_checked_before_torch_reads_it(
    place: str, program: Path, tmp_path: Path, logged: list[logging.LogRecord]
) -> None:
    mark, payload, symbol = tmp_path / "ran", pickled(tmp_path / "ran"), b"Symbol('"
    same: Callable[[str, bytes], bytes] = lambda name, data: data
    evil = tmp_path / "evil.pt2"
    if place == "inputs":
        rewritten(program, evil, lambda name, data: payload if "sample_inputs" in name else data)
    elif place == "weight":
        rewritten(
            program,
            evil,
            lambda name, data: (
                payload if name.endswith("weight_0") else data.replace(b'"use_pickle": false', b'"use_pickle": true')
            ),
        )
    elif place == "size":
        attack = f"__import__('os').mkdir('{mark}') or Symbol('".encode()
        rewritten(program, evil, lambda name, data: data.replace(symbol, attack) if name.endswith(".json") else data)
        assert attack in zipfile.ZipFile(evil).read("ok/models/model.json")
    elif place == "twice":
        with pytest.warns(UserWarning, match="Duplicate"):
            rewritten(program, evil, same, {"data/sample_inputs/model.pt": payload})
    elif place == "packed":
        with zipfile.ZipFile(program) as old, zipfile.ZipFile(evil, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
    else:
        names = {
            "constants": "data/constants/model.pt",
            "object": "data/constants/custom_obj_0",
            "opaque": "data/constants/opaque_obj_0",
            "library": "data/aotinductor/model/x.so",
        }
        rewritten(program, evil, same, {names[place]: payload})
    with pytest.raises(ValueError, match=r"evil\.pt2.*export the program again"):
        studies.load_model(evil)
    assert not mark.exists()
    assert not logged
    if place in ("inputs", "size"):  # by itself torch runs it
        logging.disable()
        try:
            with contextlib.suppress(Exception):  # it may fail after it has run what it should not
                torch.export.load(evil)
        finally:
            logging.disable(logging.NOTSET)
        assert mark.exists()


def test_a_program_with_sizes_and_other_inputs_passes_the_check(program: Path, tmp_path: Path) -> None:
    x = torch.ones(3, 3, 8, 8)
    torch.testing.assert_close(studies.load_model(program, preparation=SIZE).classify(x), small()(x))

    class Halves(nn.Module):
        def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
            return x.reshape(x.shape[0], 3, -1)[:, :, : x.shape[2] * x.shape[3] // 2].mean(2) * scale

    sides = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)}
    exported = torch.export.export(Halves(), (torch.zeros(2, 3, 8, 6), 2.0), dynamic_shapes=(sides, None), strict=False)
    torch.export.save(exported, tmp_path / "halves.pt2", extra_files={"about.txt": "any text"})
    assert studies.load_model(tmp_path / "halves.pt2").module(x, 2.0).shape == (3, 3)
