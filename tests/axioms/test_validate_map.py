"""What a callable may return as a map, and the one verdict on everything else."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.controls import integrate, keeper
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.axioms import NAMES

Change = Callable[[Tensor], Any]


def answering(change: Change, when: Callable[[int], bool] = lambda call: True) -> Callable[..., Any]:
    """Integrated gradients, whose values are changed in the calls that `when` selects."""
    calls = iter(range(10_000))

    def method(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Any:
        values = integrate(f, z, target, z0, nodes=6)
        return change(values) if when(next(calls)) else values

    return method


def judged(method: Callable[..., Any], axioms: Any = "all", dtype: torch.dtype = torch.double) -> pb.axioms.AxiomReport:
    mean = lambda x: x.mean(-1, keepdim=True).expand_as(x)
    return pb.axioms.check(
        smooth_net((1, 10)).to(dtype), normal(2, 1, 10).to(dtype), 1, method=method, baseline=mean, axioms=axioms
    )


# No maps -----------------------------------------------------------------------------------------------------------------

NO_MAPS: dict[str, tuple[Change, str]] = {
    "None": (lambda a: None, "NoneType, which is not a tensor"),
    "array": (lambda a: a.detach().numpy(), "ndarray, which is not a tensor"),
    "tuple": (lambda a: (a,), "tuple, which is not a tensor"),
    "dict": (lambda a: {"values": a}, "dict, which is not a tensor"),
    "number": (lambda a: float(a.sum()), "float, which is not a tensor"),
    "long": (lambda a: (1e6 * a).long(), "a tensor of int64"),
    "int": (lambda a: (1e6 * a).int(), "a tensor of int32"),
    "bool": (lambda a: a > 0, "a tensor of bool"),
    "complex": (lambda a: a.to(torch.cdouble), "a tensor of complex128"),
    "sparse": (lambda a: a.to_sparse(), "a tensor of layout sparse_coo"),
    "csr": (lambda a: a[:, 0].to_sparse_csr(), "a tensor of layout sparse_csr"),
    "nested": (lambda a: torch.nested.as_nested_tensor(list(a)), "a nested tensor"),
    "meta": (lambda a: a.to("meta"), "a tensor on meta"),
    "no channel": (lambda a: a[:, 0], "a tensor of shape ("),
    "scalar": (lambda a: a.sum(), "a tensor of shape ()"),
    "empty": (lambda a: a[:0], "a tensor of shape (0, 1, 10)"),
    "one more": (lambda a: torch.cat([a, a]), "a tensor of shape ("),
    "NaN": (lambda a: a.where(a > 0, float("nan")), "numbers that are NaN or infinite"),
    "inf": (lambda a: a / 0, "numbers that are NaN or infinite"),
    "half overflows": (lambda a: (1e6 * a.sign()).half(), "numbers that are NaN or infinite"),
}


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype", "ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("kind", NO_MAPS)
def test_what_is_no_map_is_unusable_in_every_law(kind: str) -> None:
    change, words = NO_MAPS[kind]
    report = judged(answering(change))
    assert [f.axiom for f in report] == list(NAMES)
    for finding in report:
        assert finding.verdict == "UNUSABLE", str(report)
        assert finding.holds is False
        assert finding.residual is None
        assert finding.reason.startswith("the method returned ")
        assert words in finding.reason
        assert "of z's shape, (" in finding.reason
    assert report.faults == report.findings
    assert str(report).count("UNUSABLE") == report.to_html().count("<td>UNUSABLE</td>") == len(NAMES)
    assert pb.axioms.AxiomReport.from_dict(report.to_dict()) == report


@pytest.mark.parametrize("axiom", NAMES)
def test_one_wrong_answer_stops_its_own_law_only(axiom: str) -> None:
    """The first answer is a map and the second is not: a law that needs two maps or more is UNUSABLE, the others hold."""
    alone = judged(answering(lambda a: a > 0, lambda call: call == 1), [axiom])[axiom]
    assert alone.verdict == ("kept" if axiom == "completeness" else "UNUSABLE"), alone
    late = judged(answering(lambda a: a > 0, lambda call: call == 1), [axiom, "determinism", "dummy"])
    assert {f.verdict for f in late} == {"kept", "UNUSABLE"}, str(late)


# Maps --------------------------------------------------------------------------------------------------------------------

MAPS: dict[str, Change] = {
    "single": lambda a: a.float(),
    "half": lambda a: a.half(),
    "bfloat16": lambda a: a.bfloat16(),
    "graph": lambda a: a.clone().requires_grad_() * 1,
    "parameter": lambda a: nn.Parameter(a),
    "strided": lambda a: torch.stack([a, a], -1)[..., 0],
    "backwards": lambda a: a.mT.contiguous().mT,
    "wider": lambda a: a.double(),
}


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [*((kind, torch.double) for kind in MAPS if kind != "wider"), *((kind, torch.float) for kind in ("half", "wider"))],
)
def test_a_keeper_stays_one_in_any_dtype_and_layout(kind: str, dtype: torch.dtype) -> None:
    report = judged(answering(MAPS[kind]), dtype=dtype)
    assert all(f.verdict == "kept" for f in report), str(report)
    narrow = {"single": torch.float, "half": torch.half, "bfloat16": torch.bfloat16}.get(kind, dtype)
    noted = [note for note in report.notes if "judged in that precision" in note]
    assert bool(noted) is (torch.finfo(narrow).eps > torch.finfo(dtype).eps), report.notes
    if noted:
        assert f"rounding of {str(narrow)[6:]}" in report["dummy"].tolerance_source


@pytest.mark.parametrize("kind", ["single", "half", "bfloat16"])
def test_narrow_maps_are_still_caught(kind: str) -> None:
    wrong = judged(answering(lambda a: MAPS[kind](0.9 * a + 0.1 * a.mean((1, 2), keepdim=True))), ["dummy", "completeness"])
    assert wrong.holds("dummy") is False
    assert wrong.holds("completeness")
    lost = judged(answering(lambda a: MAPS[kind](0.9 * a)), "completeness")
    assert lost.holds("completeness") is False


def test_a_method_that_hands_out_its_own_buffer_is_compared_with_what_it_said_before() -> None:
    buffers: dict[torch.Size, Tensor] = {}

    def method(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        values = integrate(f, z, target, z0, nodes=6)
        buffer = buffers.setdefault(z.shape, torch.empty_like(values))
        return buffer.copy_(values * (1 + 1e-3 * torch.rand(()).to(z)))

    assert judged(method, "determinism").holds("determinism") is False
    assert judged(keeper, "determinism").holds("determinism")
