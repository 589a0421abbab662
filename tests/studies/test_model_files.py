"""Files of weights and of programs: told by their content, loaded, or refused with the way on."""

import os
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support.small import SIZE, small
from torch import nn

from pullback import studies

DEPRECATED = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def write_files(folder: Path) -> None:
    net = small()
    for name in ("w.pth", "w.pt", "w.ckpt", "pytorch_model.bin", "w.pth.tar", "weights"):
        torch.save(net.state_dict(), folder / name)
    torch.save(net, folder / "whole.pt2")
    torch.save(net.state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    (folder / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    save_file(net.state_dict(), folder / "w.safetensors")
    save_file(net.state_dict(), folder / "named.bin")
    (folder / "m.onnx").write_bytes(b"\x08\x07")
    (folder / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (folder / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        for name in ("config.json", "model.weights.h5"):
            archive.writestr(name, "{}")


def test_a_file_of_weights_is_named_with_the_way_on(tmp_path: Path) -> None:
    write_files(tmp_path)
    kinds = {"safetensors": "safetensors", "onnx": "ONNX", "h5": "Keras", "keras": "Keras", "tflite": "TensorFlow"}
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="build the module in a function") as refused:
            studies.load_model(path)
        kind = "safetensors" if path.name == "named.bin" else kinds.get(path.suffix[1:], "checkpoint")
        assert f" is a{'n' if kind == 'ONNX' else ''} {'file of ' * (kind == 'safetensors')}{kind}" in str(refused.value)
        assert len(str(refused.value).replace(str(path), path.name)) < 300


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", Path("/dev/zero")):
        with pytest.raises(ValueError, match="is not a regular file"):
            studies.load_model(path)


@DEPRECATED
def test_programs_are_told_by_their_content(tmp_path: Path) -> None:
    net, x = small(), torch.ones(1, 3, 8, 8)
    torch.jit.trace(net, x).save(tmp_path / "trace.torchscript")
    torch.jit.script(net).save(tmp_path / "script.pt2")
    torch.export.save(torch.export.export(net, (x,)), tmp_path / "program.pt2")
    (tmp_path / "program.pt").write_bytes((tmp_path / "program.pt2").read_bytes())
    for name in ("trace.torchscript", "script.pt2", "program.pt2", "program.pt"):
        loaded = studies.load_model(tmp_path / name, preparation=SIZE)
        torch.testing.assert_close(loaded.classify(x), net(x))
    (tmp_path / "cut.pt").write_bytes((tmp_path / "trace.torchscript").read_bytes()[:-600])
    with pytest.raises(ValueError, match=r"cut\.pt is cut off or damaged; copy or export it again"):
        studies.load_model(tmp_path / "cut.pt")


def test_a_program_of_torchscript_is_loaded_and_explained_where_warnings_are_errors(tmp_path: Path) -> None:
    with warnings.catch_warnings():  # those of saving, which is not ours
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(small(), torch.ones(1, 3, 8, 8)).save(tmp_path / "one.pt")
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    model = studies.load_model(tmp_path / "one.pt", preparation=SIZE)
    found = studies.explain(tmp_path / "grey.png", model=model, transforms=["dct"], target=1, out=tmp_path / "out")
    assert found.files == ["grey-1-dct.png", "grey-1-dct.json"]


@DEPRECATED
def test_a_program_with_changed_weights_is_refused(tmp_path: Path) -> None:
    torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(192, 4))).save(tmp_path / "net.pt")
    whole = (tmp_path / "net.pt").read_bytes()
    assert studies.load_model(tmp_path / "net.pt")
    with zipfile.ZipFile(tmp_path / "net.pt") as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    middle = largest.header_offset + 1000  # inside the weights
    (tmp_path / "changed.pt").write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    with pytest.raises(ValueError, match=r"changed\.pt is damaged .* copy or export it again"):
        studies.load_model(tmp_path / "changed.pt")
