"""Models as people have them: files of code, files of weights, programs, half and double precision, outputs of other shapes."""

import contextlib
import io
import json
import logging
import os
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support.tiny import PREPARE
from torch import Tensor, nn

from pullback import attribute, studies
from pullback.core.imports import import_matplotlib
from pullback.studies.loaders.models import LoadedModel
from pullback.studies.loaders.outputs import as_table, true_cause

CODE = """
import torch
import beside
def make(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, beside.CLASSES))
class Nets:
    @staticmethod
    def small(): return make()
fault = lambda: undefined
"""
SIZE = studies.Preparation(8)
DEPRECATED = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with net.py and the module that it imports; the current folder is another one."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "net.py").write_text(CODE)
    (folder / "beside.py").write_text("CLASSES = 4")
    (folder / "json.py").write_text("import torch\nmake = torch.nn.Flatten")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    return folder


def test_a_file_of_code_is_a_model(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(sys.path)
    for spec in ("code/net.py:make", "./code/net.py:make", f"{code}/net.py:make", Path("code/net.py:make")):
        assert len(studies.load_model(spec).module) == 2
    assert len(studies.load_model("code/net.py:Nets.small").module) == 2
    assert isinstance(studies.load_model("code/json.py:make").module, nn.Flatten)  # not the module json of Python
    assert json.loads("1") == 1
    monkeypatch.chdir(code)
    for spec in ("net.py:make", "net:make"):
        assert len(studies.load_model(spec).module) == 2
    assert sys.path == before


def test_changed_code_is_read_anew(code: Path) -> None:
    (code / "other.py").write_text("import torch\nmake = torch.nn.Flatten")
    assert isinstance(studies.load_model("code/other.py:make").module, nn.Flatten)
    (code / "other.py").write_text("import torch\nmake = torch.nn.Identity  # changed")
    assert isinstance(studies.load_model("code/other.py:make").module, nn.Identity)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("code/net.py", "as in code/net.py:make"),
        ("code/nothing.py:make", "there is no file"),
        ("code/net.py:nothing", "code/net.py has no 'nothing'; it defines "),
        ("code/net.py:", "expected package.module:callable or FILE.py:callable"),
        (":make", "expected package.module:callable"),
        (".net:make", "expected package.module:callable"),
        ("code/net:make", "expected package.module:callable or FILE.py:callable"),
        ("", "Unknown model ''. Choices"),
        ("code", "'code' is a folder"),
        ("m" * 100_000, "Unknown model"),
        ("x.onnx", "does not exist"),
        ("x.keras", "does not exist"),
    ],
)
def test_a_model_that_is_not_there_is_refused_in_a_line(spec: str, message: str, code: Path) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as refused:
        studies.load_model(spec)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 400


def test_an_error_in_the_users_code_is_the_users(code: Path) -> None:
    with pytest.raises(NameError, match="undefined"):
        studies.load_model("code/net.py:fault")
    (code / "broken.py").write_text("raise AttributeError('inside')")
    with pytest.raises(AttributeError, match="inside"):
        studies.load_model("code/broken.py:make")


def small() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 6 * 6, 4))
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 4
    return net.eval()


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
    place: str, program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
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
    assert not caplog.records
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


class Ones(nn.Module):
    def __init__(self, shape: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.shape, self.line = shape, nn.Linear(3 * 64, 1)

    def forward(self, x: Tensor) -> object:
        return self.shape(self.line(x.flatten(1)))


def test_one_number_for_one_image_may_lack_every_axis() -> None:
    model, x = LoadedModel("one", Ones(torch.squeeze).eval(), SIZE), torch.ones(2, 3, 8, 8)
    assert [model.classify(x[:count]).shape for count in (1, 2)] == [(1, 1), (2, 1)]


@pytest.mark.parametrize("shape", [lambda y: y, lambda y: y[:, 0]])
def test_one_output_may_lack_its_axis(shape: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    model, x = LoadedModel("one", Ones(shape).eval(), SIZE), torch.ones(2, 3, 8, 8)
    assert model.classify(x).shape == (2, 1)
    assert model.classify(x[:1]).shape == (1, 1)
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    found = studies.explain(tmp_path / "a.png", model=model, transforms=["pixel"], out=tmp_path, method="gradient")
    assert (found.class_name, found.target) == ("output", 0)
    with pytest.raises(ValueError, match="the model has one output, which is target 0; got 3"):
        studies.explain(tmp_path / "a.png", model=model, transforms=["pixel"], out=tmp_path, target=3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (lambda y: {"logits": y}, r"got dict with 'logits' \(1, 1\)\. Pass --output logits"),
        (lambda y: (y, y), "got tuple with .* Pass --output 0 or 1"),
        (lambda y: y[:, :, None], r"got \(1, 1, 1\)"),
        (lambda y: y.long(), r"of torch\.int64"),
        (lambda y: y.new_zeros(7, 5), r"got \(7, 5\)"),
        (lambda y: None, "got None"),
    ],
)
def test_other_outputs_are_described(shape: Callable[[Tensor], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"expected a classifier that returns .*{message}"):
        LoadedModel("odd", Ones(shape), SIZE).classify(torch.ones(1, 3, 8, 8))
    assert as_table(torch.zeros(3, 0), 3) is None


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.double])
def test_models_of_other_precisions_are_explained(dtype: torch.dtype, tmp_path: Path) -> None:
    net = small()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    scores = {}
    for own in (torch.float, dtype):
        model = LoadedModel("net", net.to(own), SIZE)
        shown = studies.explain(
            tmp_path / "a.png", model=model, transforms=["pixel"], out=tmp_path, method="gradient", target=1
        )
        scores[own] = shown.score
        subject = LoadedModel("net", net, SIZE).input(Image.new("RGB", (8, 8)))
        assert subject.dtype == (torch.double if own == torch.double else torch.float)
    assert abs(scores[dtype] - scores[torch.float]) < (1e-5 if dtype == torch.double else 0.1)


def test_advice_is_tried_before_it_is_given() -> None:
    grey = LoadedModel("grey", nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), SIZE)
    with pytest.raises(ValueError, match=r"to have 1 channels.*It accepts 1 × 8 × 8: pass --channels 1"):
        grey.classify(torch.ones(1, 3, 8, 8))
    digits = LoadedModel("digits", nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), SIZE)
    with pytest.raises(ValueError, match="It accepts 1 × 28 × 28: pass --channels 1 --size 28"):
        digits.classify(torch.ones(1, 3, 8, 8))
    assert digits.prepared(channels=1, size=28).input(Image.new("RGB", (9, 9))).shape == (1, 28, 28)
    other = LoadedModel("other", nn.Sequential(nn.Flatten(), nn.Linear(77, 10)), SIZE)
    with pytest.raises(ValueError, match="If its images have another size, pass --size N"):
        other.classify(torch.ones(1, 3, 8, 8))


@DEPRECATED
def test_the_cause_of_a_script_is_the_error_inside_it() -> None:
    class Reads(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.reshape(x, [x.shape[0], 7])

    scripted = LoadedModel("script", torch.jit.script(Reads()), SIZE)
    with pytest.raises(ValueError, match=r"images of 3 × 8 × 8: shape '\[1, 7\]' is invalid for input of size 192"):
        scripted.classify(torch.ones(1, 3, 8, 8))
    assert true_cause(RuntimeError("")) == "RuntimeError"


def fixed(rows: int) -> nn.Module:
    """A program for exactly this number of images."""
    module: nn.Module = torch.export.export(small(), (torch.zeros(rows, 3, 8, 8),)).module()
    return module


def test_a_program_of_one_batch_size_is_run_in_it(tmp_path: Path) -> None:
    x = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for rows in (1, 4):
        model = LoadedModel("fixed", fixed(rows), SIZE)
        assert model.fitting(x, "auto") == rows
        torch.testing.assert_close(model.classify(x, rows), small()(x))
        with pytest.raises(ValueError, match=f"Pass --batch-size {rows}, or export it for batches of any size"):
            model.classify(x)
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    model = LoadedModel("fixed", fixed(1), SIZE)
    found = studies.compare(
        studies.Settings("fixed", tmp_path, "gradient", ("pixel",), pictures=0), tmp_path / "o", model=model
    )
    assert found.summary["settings"]["batch_size"] == 1


def test_a_preparation_changes_in_the_parts_that_are_given() -> None:
    own = studies.Preparation(224, (127 / 255,) * 3, (128 / 255,) * 3, crop=False)
    model = LoadedModel("net", nn.Flatten(), own)
    assert model.prepared(size=None, mean=None) is model
    assert model.prepared(size=32).prepare == studies.Preparation(32, own.mean, own.std, crop=False)
    assert model.prepared(mean=(0.5,), crop=True).prepare == studies.Preparation(224, (0.5,) * 3, own.std)
    assert studies.Preparation().changed(channels=1).mean == (0.449,)
    assert studies.Preparation(8, (0.5,), (0.2,)).changed(channels=3).std == (0.2, 0.2, 0.2)
    assert studies.Preparation(8, (0.5,), (0.2,)).changed(mean=(0.1, 0.2, 0.3)).std == (0.2, 0.2, 0.2)

    class Theirs:
        mean, std = torch.tensor([0.5, 0.25, 0.5]), [0.5, 0.5, 0.5]

        def __call__(self, image: Image.Image) -> Tensor:
            return torch.zeros(3, 8, 8)

    theirs = LoadedModel("net", nn.Flatten(), Theirs())
    assert theirs.prepared(size=16).prepare == studies.Preparation(16, (0.5, 0.25, 0.5), (0.5,) * 3)
    said = theirs.preparation()
    assert said["mean"] == (0.5, 0.25, 0.5)
    assert "0x" not in said["prepare"]
    for wrong in (
        {"size": 0},
        {"channels": 2},
        {"mean": (0.1, 0.2)},
        {"std": (0.0,)},
        {"mean": (float("nan"),)},
        {"std": (-1.0,)},
    ):
        with pytest.raises(ValueError, match=r"Preparation|channels|mean"):
            studies.Preparation().changed(**wrong)


def test_the_preparation_is_recorded(tmp_path: Path, code: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    asked = studies.Settings(
        "code/net.py:make", tmp_path / "a.png", "gradient", ("pixel",), size=8, mean=(0.5,), crop=False, pictures=0
    )
    studies.compare(asked, tmp_path / "o")
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    expected = {"size": 8, "mean": [0.5] * 3, "std": [0.229, 0.224, 0.225], "crop": False, "channels": 3}
    assert summary["preparation"] == expected
    assert summary["settings"]["mean"] == [0.5]


def test_what_prepare_returns_is_checked(tmp_path: Path) -> None:
    for prepare in (
        lambda image: np.zeros((3, 8, 8)),
        lambda image: torch.zeros(8, 8),
        lambda image: torch.zeros(3, 8, 8).byte(),
    ):
        with pytest.raises(ValueError, match=r"net: expected prepare to return floats \(channels, height, width\)"):
            LoadedModel("net", nn.Flatten(), prepare).input(Image.new("RGB", (8, 8)))
    for width in (4, 8):
        Image.new("RGB", (width, 6)).save(tmp_path / f"{width}.png")
    sized = LoadedModel("net", nn.AdaptiveAvgPool2d(1), lambda image: torch.zeros(3, image.height, image.width))
    asked = studies.Settings("net", tmp_path, "gradient", ("pixel",))
    pooled = LoadedModel("net", nn.Sequential(sized.module, nn.Flatten()), sized.prepare)
    with pytest.raises(ValueError, match=r"'4\.png' 3 × 6 × 4 and '8\.png' 3 × 6 × 8; resize them to one"):
        studies.compare(asked, tmp_path / "o", model=pooled)


@pytest.fixture
def without_matplotlib() -> Iterator[None]:
    """Inside, matplotlib is imported anew."""
    names = [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]
    kept = {name: sys.modules.pop(name) for name in names}
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]
        sys.modules.update(kept)


@pytest.mark.parametrize(("backend", "kept"), [("no such backend", False), ("svg", True), ("", False)])
def test_figures_need_no_backend(backend: str, kept: bool, without_matplotlib: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", backend)
    import_matplotlib()
    assert os.environ["MPLBACKEND"] == backend
    import matplotlib

    assert (matplotlib.get_backend(auto_select=False) == backend) == kept


def test_half_models_give_the_map_of_their_float_twin() -> None:
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    half, full = (LoadedModel("net", small().to(dtype), PREPARE) for dtype in (torch.bfloat16, torch.float))
    maps = [attribute(model.module, x, 1, method="gradient").values for model in (half, full)]
    torch.testing.assert_close(maps[0], maps[1], rtol=0.05, atol=0.01)


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
