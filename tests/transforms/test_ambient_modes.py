"""Torch's modes do not reach a transform: autocast, default dtype and device, inference mode, torch.func."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.integrated_gradients import MISSED
from support.modes import default_dtype
from support.subjects import TRANSFORMS, normal
from torch import Tensor, nn

import pullback as pb
from pullback.core import precision
from pullback.transforms import Transform, TransformClaim, get, names

NARROW = (torch.bfloat16, torch.float16)
IDS = [f"{t.spec}-{'x'.join(map(str, t.shape))}" for t in TRANSFORMS]
every_transform = pytest.mark.parametrize("transform", TRANSFORMS, ids=IDS)


def gradient(map_: Callable[[Tensor], Tensor], at: Tensor, weights: Tensor) -> Tensor:
    at = at.clone().requires_grad_()
    return torch.autograd.grad((map_(at) * weights).sum(), at)[0]


def everything(transform: Transform) -> list[Tensor]:
    """T x, T⁻¹ z, both derivatives and the adjoint, in single precision."""
    x, g = (normal(2, *transform.shape, seed=seed, dtype=torch.float32) for seed in (0, 1))
    z, h = (normal(2, *transform.layout.shape, seed=seed, dtype=torch.float32) for seed in (2, 3))
    found = [transform(x), transform.inverse(z), gradient(transform, x, h), gradient(transform.inverse, z, g)]
    return found + ([transform.adjoint(g)] if TransformClaim.LINEAR in transform.claims else [])


def same(found: list[Tensor], wanted: list[Tensor]) -> bool:
    return all(torch.equal(one, other) and one.dtype == other.dtype for one, other in zip(found, wanted, strict=True))


@every_transform
def test_autocast_changes_no_digit_of_a_transform_and_of_its_derivatives(transform: Transform) -> None:
    wanted = everything(transform)
    for dtype in NARROW:
        with torch.autocast("cpu", dtype=dtype):
            assert same(everything(transform), wanted)
            assert transform(normal(1, *transform.shape, dtype=dtype)).dtype == torch.float32
            assert torch.is_autocast_enabled("cpu")


def test_products_that_do_not_leave_autocast_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    transform = get("dwt(db4, level=1)", (1, 32))
    wanted = everything(transform)
    monkeypatch.setattr(precision, "_leave_autocast", lambda kind, gradients: None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert [torch.equal(a, b) for a, b in zip(everything(transform), wanted)] == [True, True, False, False, True]
    monkeypatch.setattr(precision, "autocasts", lambda x: False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not same(everything(transform), wanted)


def test_rounded_products_of_a_cpu_are_set_aside_and_put_back() -> None:
    if not hasattr(torch.backends.mkldnn, "matmul"):
        pytest.skip("this torch has no such switch")
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        seen: list[str] = []
        with precision.full_products(torch.zeros(1)):
            seen.append(torch.backends.mkldnn.matmul.fp32_precision)
        assert [*seen, torch.backends.mkldnn.matmul.fp32_precision] == ["ieee", "bf16"]
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("spec", ["dwt(db4, level=2)", "swt(db2, level=1)", "dct", "linear", "polar"])
def test_a_model_in_other_coordinates_runs_under_autocast_on_exact_signals(spec: str) -> None:
    shape = (1, 16)
    transform = get(spec, shape) if spec != "linear" else pb.transforms.Linear(shape, normal(16, 16, seed=4))
    z, seen = transform(normal(2, *shape, dtype=torch.float32)), list[Tensor]()
    model = pb.Pullback(lambda x: seen.append(x) or x.sum(), transform)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(z)
    assert torch.equal(seen[0], transform.inverse(z))


@MISSED
@pytest.mark.parametrize("spec", ["dwt(db4, level=2)", "dwt(bior2.2, level=1, mode=reflect)", "dct", "swt(haar, level=1)"])
@pytest.mark.parametrize("method", ["integrated_gradients(max_evaluations=16)", "gradient"])
def test_a_result_computes_the_same_under_autocast(spec: str, method: str) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.Tanh(), nn.Linear(8, 2)).eval()
    for parameter in model.parameters():
        parameter.data = normal(*parameter.shape, dtype=torch.float32)
    att = pb.attribute(model, normal(2, 1, 24, dtype=torch.float32), 0, method=method, transform=spec)
    read = lambda: [att.signal(0.5), att.heatmap(), att.heatmap("band"), torch.tensor(att.importance("band").to_numpy())]
    wanted = read()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert same(read(), wanted)


def test_default_dtype_and_device_do_not_reach_constants_and_layouts() -> None:
    fitted = ("pca", "linear", "block_linear", "subband_linear")  # no spec holds what they are made of
    specs = {(t.spec, t.shape): t for t in TRANSFORMS if not t.spec.startswith((*fitted, "Operator", "wrap"))}
    assert {spec.split("(")[0] for spec, _ in specs} >= {*names()} - {*fitted}
    for (spec, shape), transform in specs.items():
        with default_dtype(torch.float64), torch.device("meta"):
            other = get(spec, shape)
            read = [other.layout.index, other.layout.frequency, other.layout.position]
        own = [transform.layout.index, transform.layout.frequency, transform.layout.position]
        assert same([part.nan_to_num(-1) for part in read], [part.nan_to_num(-1) for part in own]), spec
        with default_dtype(torch.float64):
            assert same(everything(other)[:2], everything(transform)[:2]), spec


def test_bands_are_grouped_under_any_default_device() -> None:
    layout = get("dwt(haar, level=2)", (1, 8, 8)).layout
    with torch.device("meta"):
        group = layout.group("scale")
        assert group.index.tolist() == layout.group("scale").index.tolist()


def test_no_source_of_a_transform_reads_or_sets_the_default_dtype() -> None:
    sources = list(Path(pb.transforms.__file__).parent.rglob("*.py"))
    assert len(sources) > 30
    assert [path.name for path in sources if "default_dtype" in path.read_text() or "defaults(" in path.read_text()] == []


def test_the_compiler_reads_a_transform_as_one_graph() -> None:
    transform, x = get("dwt(db4, level=2)", (1, 64)), normal(2, 1, 64, dtype=torch.float32)
    z = transform(x)
    transform.inverse(z)  # makes the matrices
    compiled = torch.compile(transform.inverse, backend="eager", fullgraph=True)
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            torch.testing.assert_close(compiled(z), x)


@every_transform
def test_inference_mode_and_torch_func_give_the_same_numbers(transform: Transform) -> None:
    x = normal(3, *transform.shape)
    z = transform(x)
    with torch.inference_mode():
        assert torch.equal(transform(x), z)
    torch.testing.assert_close(torch.func.vmap(lambda one: transform(one[None])[0])(x), z, rtol=0, atol=1e-10)
