"""How the model is run: nothing of it reaches the values beyond rounding, and nothing of the caller's is changed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.subjects import convolutional_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.engine.engine import Engine
from pullback.attribution.engine.execution import Execution
from pullback.attribution.engine.memory import Saved, free_bytes
from pullback.attribution.engine.open_engine import open_engine

SHAPE = (3, 12, 14)


class Views(nn.Module):
    """Reads its input with strides in mind, which a channels_last tensor does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 4, 3), nn.Linear(3 * 12 * 14, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.view(len(x), -1)) + self.first(x).mean((2, 3))[:, :2]


class Shapes(nn.Module):
    """Remembers what it was fed."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.seen: list[tuple[int, bool, torch.dtype]] = []

    def forward(self, x: Tensor) -> Tensor:
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        out: Tensor = self.model(x)
        self.seen.append((len(x), last, out.dtype))
        return out


METHODS = ["gradient", "integrated_gradients", "smoothgrad(samples=5)", "rise(masks=20)", "vargrad(samples=5)"]


EAGER = pb.Execution(compile={"backend": "eager"})  # traced and guarded as any compiled model, without a compiler


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own compiler asks for it, of what is no leaf
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("execution", "size"), [(pb.Execution(memory_format="channels_last"), "auto"), (EAGER, "auto"), (EAGER, 7)]
)
def test_the_values_are_those_of_the_plain_run(method: str, execution: Execution, size: int | str) -> None:
    model, x = convolutional_net(), normal(3, *SHAPE)
    plain = pb.attribute(
        model,
        x,
        1,
        method=method,
        transform=["dct", "polar"],
        execution=pb.Execution(memory_format="contiguous"),
        batch_size=7,
    )
    options = {"method": method, "transform": ["dct", "polar"]}
    run = pb.attribute(model, x, 1, execution=execution, batch_size=size, **options)  # type: ignore[call-overload]
    for a, b in zip(run, plain):
        torch.testing.assert_close(a.values, b.values, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(a.score_difference, b.score_difference, rtol=1e-12, atol=1e-12)


def test_images_go_channels_last_into_convolutions_and_nothing_else_does() -> None:
    model = Shapes(convolutional_net())
    att = pb.attribute(model, normal(2, *SHAPE), 0)
    formats = [last for _, last, _ in model.seen]
    assert formats[:4] == [False] * 4  # f(x) and f(x₀), x in two groups
    assert formats[4:6] == [True, False]  # f(x) in both formats by now, and two gradients for comparison
    assert set(formats[6:-1]) == {True}
    assert not formats[-1]  # f once more, after the run
    assert att.settings["execution"]["memory_format"] == "channels_last"
    for other, x in ((Shapes(smooth_net(SHAPE)), normal(2, *SHAPE)), (Shapes(smooth_net((3, 20))), normal(2, 3, 20))):
        pb.attribute(other, x, 0)
        assert {last for _, last, _ in other.seen} == {False}
    assert all(p.is_contiguous() for p in model.parameters())


def test_a_model_that_does_not_take_channels_last_is_fed_contiguous_images() -> None:
    model, x = Views().double().eval(), normal(2, *SHAPE)
    att = pb.attribute(model, x, 0)
    assert att.settings["execution"]["memory_format"] == "contiguous"
    torch.testing.assert_close(att.values, pb.attribute(model, x, 0, execution=pb.Execution(memory_format="contiguous")).values)
    with pytest.raises(RuntimeError, match="view"):
        pb.attribute(model, x, 0, execution=pb.Execution(memory_format="channels_last"))


@pytest.mark.parametrize("compiled", [True, False])
def test_compiled_chunks_have_one_shape_and_counts_are_of_real_rows(compiled: bool) -> None:
    model = Shapes(convolutional_net())
    execution = EAGER if compiled else None
    att = pb.attribute(model, normal(3, *SHAPE), 0, method="smoothgrad(samples=5)", batch_size=4, execution=execution)
    assert att.settings["evaluations"] == {"forward": 11, "gradient": 15}
    assert {rows for rows, *_ in model.seen[4:-1]} == ({4} if compiled else {4, 3})


def test_a_model_compiled_by_the_caller_is_fed_one_shape_too_and_hooked_where_it_is_not_compiled() -> None:
    pytest.importorskip("captum")
    model, x = convolutional_net(), normal(3, *SHAPE)
    compiled = torch.compile(model, backend="eager")
    for method in ("gradient", "captum(GuidedBackprop)", "captum(DeepLift)", "gradient"):
        torch.testing.assert_close(
            pb.attribute(compiled, x, 0, method=method).values, pb.attribute(model, x, 0, method=method).values
        )


@pytest.mark.parametrize(("rows", "shown"), [(4, 4), ("auto", 18)])
def test_a_model_compiled_by_the_caller_is_compiled_for_one_shape(rows: int | str, shown: int) -> None:
    """Each shape more would take it seconds to minutes; and 6 rows are not filled up to the most that fit."""
    seen: set[int] = set()

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        seen.update(len(one) for one in inputs if one.shape[1:] == SHAPE)
        return graph.forward

    torch._dynamo.reset()
    model = torch.compile(convolutional_net(), backend=backend, dynamic=False)
    pb.attribute(model, normal(3, *SHAPE), 0, method="smoothgrad(samples=6)", batch_size=rows)
    pb.attribute(model, normal(3, *SHAPE), 0, method="integrated_gradients(steps=6)", batch_size=rows)
    assert seen == {shown}


def test_bf16_narrows_the_model_and_not_the_sums() -> None:
    model, x = Shapes(convolutional_net(torch.float)), normal(2, *SHAPE).float()
    full = pb.attribute(model, x, 0, method="integrated_gradients(steps=16)")
    model.seen.clear()
    att = pb.attribute(model, x, 0, method="integrated_gradients(steps=16)", execution=pb.Execution(precision="bf16"))
    assert {dtype for *_, dtype in model.seen} == {torch.float, torch.bfloat16}  # f(x) - f(x₀) is read in full
    assert att.values.dtype == torch.float
    torch.testing.assert_close(att.score_difference, full.score_difference)
    cosine = torch.cosine_similarity(att.values.flatten(1), full.values.flatten(1))
    assert bool((cosine > 0.999).all())
    assert not torch.equal(att.values, full.values)
    assert att.settings["execution"]["precision"] == "bf16"


class Rough(torch.nn.Module):
    """A model that bf16 spoils: what it reads is the small difference of large numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(1000 + normal(4, 3 * 12 * 14).float())
        self.most = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.most = max(self.most, len(x))
        out = torch.nn.functional.linear(x.flatten(1), self.weight)
        return (out[:, :1] - out[:, 1:2]).square() + out[:, 2:] - out[:, 3:]


@pytest.mark.parametrize("method", ["integrated_gradients(steps=8)", "gradient", "occlusion(by=orientation)"])
def test_a_narrow_format_by_name_says_how_well_it_agrees(method: str) -> None:
    x, fine, rough = normal(2, *SHAPE).float(), convolutional_net(torch.float), Rough().eval()
    agreement = lambda model, **how: (
        pb.attribute(model, x, 0, method=method, batch_size=2, **how).settings["execution"].get("agreement")
    )
    assert agreement(fine, execution=pb.Execution(precision="bf16"))["bf16"] > 0.999
    assert agreement(rough, execution=pb.Execution(precision="bf16"))["bf16"] < 0.999
    assert rough.most <= 2  # rows bounds this too
    assert agreement(fine) is agreement(fine, execution=pb.Execution(precision="auto")) is None  # on a CPU that is fp32


def test_models_without_gradients_are_explained_in_a_narrow_format_too() -> None:
    model = lambda x: (x.flatten(1).sum(1) > 0).float()
    x, execution = normal(2, 3, 8, 8).float(), pb.Execution(precision="bf16")
    att = pb.attribute(model, x, method="occlusion(by=orientation)", execution=execution)
    assert "agreement" not in att.settings["execution"]
    with pytest.raises(ValueError, match="does not depend on its input"):
        pb.attribute(model, x, method="gradient", execution=execution)


@pytest.mark.parametrize(("damage", "chosen"), [({"bf16": 0.2}, "tf32"), ({"bf16": 0.2, "tf32": 0.1}, "fp32"), ({}, "bf16")])
def test_auto_takes_the_narrowest_precision_that_agrees(damage: dict[str, float], chosen: str) -> None:
    prepared = Execution(precision="auto").prepare(convolutional_net(torch.float), normal(2, *SHAPE).float())
    true, noise = normal(2, 50), normal(2, 50, seed=1)
    prepared.choose_precision(lambda: true + damage.get(prepared.precision, 0) * noise)
    assert prepared.precision == chosen
    assert prepared.settings["agreement"]["fp32"] == 1
    flat = Execution(precision="auto").prepare(convolutional_net(torch.float), normal(2, *SHAPE).float())
    flat.choose_precision(lambda: torch.zeros(2, 50))
    assert flat.precision == "bf16"  # zero is zero in any format


def test_torch_settings_come_back_after_an_exception() -> None:
    switches = lambda: (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    before = switches()
    prepared = Execution().prepare(convolutional_net(), normal(2, *SHAPE))
    prepared.device_type = "cuda"
    with prepared.numerics():
        assert switches() == (False, False)
    assert switches() == before
    with pytest.raises(KeyError), prepared.numerics():
        raise KeyError
    assert switches() == before


def test_memory_of_a_row_bounds_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = convolutional_net(), normal(6, *SHAPE)
    with Saved(model) as one:
        model(x[:1].requires_grad_())
    with Saved(model) as three:
        model(x[:3].requires_grad_())
    assert three.bytes == 3 * one.bytes > 0
    monkeypatch.setattr("pullback.attribution.engine.engine.free_bytes", lambda device: 10 * one.bytes)
    att = pb.attribute(model, x, 0, method="smoothgrad(samples=4)")
    assert att.settings["batch_size"] == 5
    assert att.settings["evaluations"] == {"forward": 20, "gradient": 24}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = free_bytes(x.device) if Path("/proc/meminfo").is_file() else memory
    assert memory / 1000 < (free or 0) <= memory
    assert free_bytes(torch.device("meta")) is None
    assert pb.attribute(model, x, 0, method="smoothgrad(samples=4)", batch_size=9).settings["batch_size"] == 9


@pytest.mark.parametrize(
    ("images", "method", "readings"), [(1, "gradient", 0), (2, "gradient", 1), (1, "smoothgrad(samples=2)", 1)]
)
def test_memory_is_measured_only_where_several_rows_may_share_a_pass(
    images: int, method: str, readings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []
    counting = lambda model: built.append(model) or Saved(model)
    monkeypatch.setattr("pullback.attribution.engine.engine.Saved", counting)
    pb.attribute(convolutional_net(), normal(images, *SHAPE), 0, method=method)
    assert len(built) == readings


def test_scores_that_are_not_finite_are_found_late_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "checked", _late)
    points = torch.ones(9, 3).double()
    with open_engine(lambda x: x.sum(1), points.clone(), batch_size=2) as engine:
        points[4] = torch.nan
        with pytest.raises(ValueError, match="for example 4"):
            engine.scores(torch.arange(9), lambda part: points[part])


def _late(self: Engine, output: Tensor, example: Tensor) -> Tensor:
    """What `checked` does on a GPU."""
    value = self.score(output, example)
    self._unchecked.append((value.detach(), example))
    return value


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "fp16"}, ValueError, "expected precision in fp32, tf32, bf16, auto"),
        ({"precision": "tf32"}, ValueError, "tf32 exists on CUDA devices"),
        ({"precision": "bf16"}, ValueError, "narrows the products of single precision; x is torch.float64"),
        ({"memory_format": "nhwc"}, ValueError, "expected memory_format in auto, contiguous, channels_last"),
        ({"compile": "yes"}, TypeError, "compile: expected True, False or a mapping"),
        ({"compile": True, "create_graph": True}, ValueError, "no second derivative"),
    ],
)
def test_bad_choices_are_named(options: dict[str, object], error: type[Exception], message: str) -> None:
    own = dict(options)
    graph = bool(own.pop("create_graph", False))
    with pytest.raises(error, match=message):
        pb.attribute(convolutional_net(), normal(2, *SHAPE), 0, execution=pb.Execution(**own), create_graph=graph)  # type: ignore[arg-type]


def test_channels_last_belongs_to_images() -> None:
    with pytest.raises(ValueError, match="belongs to images"):
        pb.attribute(smooth_net((3, 20)), normal(2, 3, 20), 0, execution=pb.Execution(memory_format="channels_last"))
