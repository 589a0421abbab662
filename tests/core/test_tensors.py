"""Tensors as people have them become ordinary ones at the door, or one sentence says what to do."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from support.subjects import Scan, normal
from torch import Tensor, nn

from pullback.core.tensors import check_range, descending, limits, ordinary, without_subclass

X = normal(2, 3, 4)


@pytest.mark.parametrize(
    "form",
    [
        Scan.of(X),
        nn.Parameter(X),
        X.clone().requires_grad_(),
        X[:1].expand(2, 3, 4),
        X.transpose(1, 2),
        torch.complex(X, X).conj().imag,  # negated only when it is read
        torch.from_numpy(X.numpy()[:, ::-1].copy()),
    ],
    ids=["hostile subclass", "parameter", "with gradient", "expanded", "transposed", "lazy sign", "copied"],
)
def test_what_holds_numbers_becomes_a_plain_tensor(form: Tensor) -> None:
    with torch._C.DisableTorchFunctionSubclass():
        expected = torch.tensor(form.detach().tolist(), dtype=X.dtype)
        graph = form.requires_grad
    found = ordinary("x", form)
    assert type(found) is Tensor
    assert found.requires_grad == graph
    assert not found.is_neg()
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=0)


def test_the_graph_goes_through_a_subclass() -> None:
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(without_subclass(Scan.of(x)).square().sum(), x)
    torch.testing.assert_close(gradient, 2 * X)


def nested() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


def quantized() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.quint8)


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: X.to_sparse(), r"torch.sparse_coo; pass x.to_dense\(\)"),
        (lambda: X[0].to_sparse_csr(), r"torch.sparse_csr; pass x.to_dense\(\)"),
        (lambda: X.float().to_mkldnn(), r"torch._mkldnn; pass x.to_dense\(\)"),
        (nested, "a nested tensor; pad it to one shape"),
        (lambda: torch.nested.nested_tensor([X[0], X[0, :2]], layout=torch.jagged), "a nested tensor; pad it"),
        (quantized, r"quantized tensor; pass x.dequantize\(\)"),
        (lambda: X.to("meta"), "on the meta device; it holds no numbers"),
        (lambda: X.to(torch.float8_e4m3fn), r"8-bit floating-point format; torch cannot compute in it; pass x.float\(\)"),
        (lambda: torch.masked.masked_tensor(X, X > 0), "a MaskedTensor; pass a plain torch.Tensor"),
    ],
)
def test_what_does_not_is_refused_with_the_way_on(make: Any, advice: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls some of these a prototype
        value = make()
    with pytest.raises(ValueError, match=f"^x: expected a dense tensor, got .*{advice}") as caught:
        ordinary("x", value)
    assert len(str(caught.value)) <= 300


def locked() -> np.ndarray:
    array = np.ones((2, 3))
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array", [np.ones((2, 3)), np.ones((2, 3))[:, ::-1], np.ones((2, 3), dtype=">f4"), locked()], ids=lambda a: str(a.strides)
)
def test_the_advice_for_an_array_works(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match=r"got ndarray; pass torch\.from_numpy") as caught:
        ordinary("x", array)
    made = eval(str(caught.value).partition("pass ")[2].rstrip("."), {"torch": torch, "x": array})
    assert made.tolist() == array.tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_sizes_between_the_limits_pass_and_others_name_their_example(dtype: torch.dtype) -> None:
    low, high = limits(dtype)
    info = torch.finfo(dtype)
    good = torch.tensor(
        [[1.0, 0.0], [0.0, 0.0], [2 * max(low, info.tiny), 0.0], [-min(high, info.max) / 2, 1.0]], dtype=torch.float64
    )
    assert check_range("x", good.to(dtype), least=True).dtype == dtype
    for wrong, message in [(torch.inf, "NaN or infinity"), (torch.nan, "NaN or infinity")]:
        with pytest.raises(ValueError, match=f"x: example 2 holds {message}"):
            check_range("x", torch.tensor([[1.0], [1.0], [wrong]], dtype=dtype))
    if info.max > high:
        with pytest.raises(ValueError, match=r"x: example 1 holds numbers up to .*, too large for .*scale x"):
            check_range("x", torch.tensor([[1.0], [-2 * high]], dtype=torch.float64).to(dtype))
    if info.tiny < low:
        small = torch.tensor([[1.0, low / 2], [low / 2, 0.0]], dtype=torch.float64).to(dtype)
        with pytest.raises(ValueError, match=r"x: example 1 holds no number above .*, too small for .*scale x"):
            check_range("x", small, least=True)
        assert check_range("baseline", small) is small


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_descending_is_a_stable_sort(dtype: torch.dtype) -> None:
    ties = (normal(4, 301) * 3).round().to(dtype)
    ties[0, ::2] *= 0  # zeros of both signs are equal
    assert torch.equal(descending(ties), ties.argsort(dim=1, descending=True, stable=True))


def test_descending_orders_extreme_numbers_as_torch_does() -> None:
    tiny = torch.finfo(torch.float32).smallest_normal
    row = torch.tensor([[0.0, -0.0, torch.inf, -torch.inf, tiny / 8, -tiny / 8, 1e38, -1e38, 1.0, 1.0]])
    assert torch.equal(descending(row), row.argsort(dim=1, descending=True, stable=True))
    unknown = torch.cat([row, torch.full((1, 2), torch.nan)], 1)
    assert torch.equal(descending(unknown), unknown.argsort(dim=1, descending=True, stable=True))
