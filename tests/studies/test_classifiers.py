"""Models of other outputs, precisions, input sizes and batch sizes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.small import SIZE, small
from support.tiny import PREPARE
from torch import Tensor, nn

from pullback import attribute, studies
from pullback.studies.loaders.models import LoadedModel
from pullback.studies.loaders.outputs import as_table, true_cause

DEPRECATED = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


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


def test_half_models_give_the_map_of_their_float_twin() -> None:
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    half, full = (LoadedModel("net", small().to(dtype), PREPARE) for dtype in (torch.bfloat16, torch.float))
    maps = [attribute(model.module, x, 1, method="gradient").values for model in (half, full)]
    torch.testing.assert_close(maps[0], maps[1], rtol=0.05, atol=0.01)


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
