"""Result files that Attribution.save did not write: one clear sentence, at once, and nothing is built on a file's word."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import pullback as pb


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    x = torch.linspace(-1, 1, 16).reshape(2, 1, 8)
    pb.attribute(lambda x: x.flatten(1).square().sum(1), x, transform="dwt(haar, level=1)").save(path)
    return path


def header_of(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    return json.loads(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["pullback"])


def refused(path: Path, transform: object = None) -> str:
    """The one sentence of the refusal, which comes at once."""
    clock = time.perf_counter()
    with pytest.raises(ValueError, match=path.name) as raised:
        pb.Attribution.load(path, transform)  # type: ignore[arg-type]
    assert time.perf_counter() - clock < 1
    said = str(raised.value)
    assert len(said) <= 300, said
    assert "\n" not in said
    return said


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor], dict[str, Any]], object]) -> Path:
    """The file with other tensors or another header."""
    tensors, header = load_file(path), header_of(path)
    change(tensors, header)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, {"pullback": json.dumps(header)})
    return path


def test_a_file_that_is_as_it_was_written_is_read(saved: Path) -> None:
    before = pb.Attribution.load(saved)
    after = pb.Attribution.load(rewritten(saved, lambda tensors, header: None))
    assert torch.equal(before.values, after.values)
    assert before.settings == after.settings


HEADERS: dict[str, dict[str, Any]] = {
    "shape is text": {"shape": "8"},
    "shape holds text": {"shape": [1, "8"]},
    "shape holds a fraction": {"shape": [1, 8.7]},
    "shape holds a truth value": {"shape": [True, 8]},
    "shape is negative": {"shape": [1, -8]},
    "shape is empty": {"shape": []},
    "shape asks for 400 GB": {"shape": [1, 10**11]},
    "shape is another one": {"shape": [2, 4]},
    "transform is a number": {"transform": 3},
    "transform is a list": {"transform": ["dct"]},
    "transform is none": {"transform": None},
    "transform does not exist": {"transform": "x" * 1_000},
    "transform is a megabyte": {"transform": "dct >> " * 200_000 + "dct"},
    "transform is deep": {"transform": "along(" * 300 + "dct" + ")" * 300},
    "another transform": {"transform": "swt(haar, level=1)"},
    "kind is a list": {"kind": ["share"]},
    "kind is unknown": {"kind": "shares"},
    "settings are a list": {"settings": [1]},
    "settings hold a number as options": {"settings": {"options": 3}},
    "settings hold a list as execution": {"settings": {"execution": []}},
    "details are text": {"details": "converged"},
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_of_other_types_is_refused(saved: Path, name: str) -> None:
    refused(rewritten(saved, lambda tensors, header: header.update(HEADERS[name])))


def test_nothing_is_built_on_the_word_of_a_file_without_a_covector(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no tensor has the shape of the signal, a shape out of all proportion to the coefficients is refused."""
    monkeypatch.setattr("pullback.attribution.result.get", lambda *_: pytest.fail("a transform was built"))

    def huge(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        del tensors["covector"]
        header["shape"] = [1, 2**27]

    assert "too large for its coefficients; pass transform=" in refused(rewritten(saved, huge))


TENSORS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "whole numbers": lambda held: held.update(values=held["values"].long()),
    "truth values": lambda held: held.update(covector=held["covector"] > 0),
    "complex numbers": lambda held: held.update(displacement=held["displacement"] + 0j),
    "fewer coefficients": lambda held: held.update(coefficients=held["coefficients"][..., :4]),
    "another batch": lambda held: held.update(score_difference=held["score_difference"][:1]),
    "another batch of covectors": lambda held: held.update(covector=held["covector"][:1]),
    "another batch of details": lambda held: held.update({"details.converged": held["details.converged"][:1]}),
    "a detail without a batch": lambda held: held.update({"details.converged": torch.tensor(1.0)}),
    "no batch": lambda held: held.update({name: tensor[:0] for name, tensor in held.items()}),
    "no axis": lambda held: held.update(values=torch.tensor(1.0)),
    "one tensor less": lambda held: held.pop("displacement"),
    "one tensor more": lambda held: held.update({"x" * 500: torch.ones(2)}),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_do_not_fit_each_other_are_refused(saved: Path, name: str) -> None:
    refused(rewritten(saved, lambda tensors, header: TENSORS[name](tensors)))


def test_a_covector_of_another_signal_than_the_given_transform_is_refused(saved: Path) -> None:
    refused(saved, pb.transforms.get("dct", (8, 1)))


@pytest.mark.parametrize("text", ["[" * 100_000, "3", "[]", "{", "9" * 5_000, '"text"', ""], ids=lambda text: text[:3])
def test_a_header_that_is_no_object_is_refused(saved: Path, text: str) -> None:
    save_file(load_file(saved), saved, {"pullback": text})
    refused(saved)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "sparse.safetensors").write_bytes(b"\x80\x00\x00\x00\x00\x00\x00\x00{")
    os.truncate(tmp_path / "sparse.safetensors", 2**36)
    assert "a pipe" in refused(tmp_path / "pipe.safetensors")
    for name in ("folder", "empty", "sparse"):
        refused(tmp_path / f"{name}.safetensors")
    for name in ("none", "x" * 5_000, "a\x00b", "\x1b[31m\udcff"):
        with pytest.raises(FileNotFoundError, match="no such file") as raised:
            pb.Attribution.load(tmp_path / name)
        assert len(str(raised.value)) <= 300
        assert "\x1b" not in str(raised.value)


def test_the_control_of_this_page_changes_a_header_that_is_read(saved: Path) -> None:
    """A change of the header that fits is taken, so the refusals above are not of any change."""
    assert (
        pb.Attribution.load(rewritten(saved, lambda tensors, header: header.update(kind="sensitivity"))).kind == "sensitivity"
    )


def test_a_killed_save_leaves_no_file_for_ever(saved: Path) -> None:
    names: list[str] = []
    replace = os.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", lambda old, new: (names.append(Path(old).name), replace(old, new)))
        pb.Attribution.load(saved).save(saved)
    left = saved.with_name(names[0].replace(f"-{os.getpid()}-", "-4194305-"))  # a number that no process has
    left.write_text("half")
    pb.Attribution.load(saved).save(saved)
    assert not left.exists()
