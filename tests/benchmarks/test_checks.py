"""Each check of the benchmarks catches a cheat: a wrong map, too few rows, a transform or an adjoint that is none."""

import dataclasses
import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support import ROOT
from torch import Tensor

import pullback as pb
from pullback.transforms import Transform, TransformClaim, get

sys.path.append(str(ROOT / "benchmarks"))  # as `make bench` has it
direct, guard, laws, memory, models, planned, references = (
    importlib.import_module(name) for name in ("direct", "guard", "laws", "memory", "models", "planned", "references")
)
accelerator, growth, limits, peers, transforms = (
    importlib.import_module(f"test_{name}") for name in ("accelerator", "growth", "limits", "peers", "transforms")
)
MeasuresNothing = guard.MeasuresNothing
DOMAINS = ["dwt(db4, level=3)", "pixel", "dct"]
METHODS = [template.format(n=8) for template in limits.METHODS]


@pytest.fixture(scope="module")
def case() -> Any:
    return models.subject("small", "cpu", 2, quick=True)


def cosines(like: Tensor) -> Tensor:
    """Numbers that have nothing to do with any model."""
    return torch.cos(torch.arange(like.numel())).view_as(like).to(like)


def forged(att: pb.Attribution, values: Callable[[Tensor], Tensor] = cosines) -> pb.Attribution:
    return dataclasses.replace(att, values=values(att.values))


# Maps -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_map_of_other_numbers_is_caught(case: Any, method: str) -> None:
    for spec in ("dwt(db4, level=3)", "dct"):
        g = direct.Direct(case.module, get(spec, tuple(case.x.shape[1:])), case.x[:1], 0)
        honest = pb.attribute(case.module, case.x, 0, method=method, transform=spec)
        known = references.expected(method, g)
        references.check_map(honest, method, g, known)
        for wrong in (cosines, lambda a: 2 * a, lambda a: a.flip(-1), torch.zeros_like):
            with pytest.raises(MeasuresNothing):
                references.check_map(forged(honest, wrong), method, g, known)


def test_a_certificate_that_allows_anything_is_caught(case: Any) -> None:
    method = "integrated_gradients(tol=0, max_evaluations=8)"
    g = direct.Direct(case.module, get("dct", tuple(case.x.shape[1:])), case.x[:1], 0)
    honest = pb.attribute(case.module, case.x, 0, method=method, transform="dct")
    boast = {"map_error": torch.full_like(honest.details["map_error"], 5.0)}
    with pytest.raises(MeasuresNothing, match="reports an error of 5"):
        references.check_map(dataclasses.replace(forged(honest), details=boast), method, g)


def test_a_mask_that_stopped_early_is_caught(case: Any) -> None:
    g = direct.Direct(case.module, get("dct", tuple(case.x.shape[1:])), case.x[:1], 0)
    early = pb.attribute(case.module, case.x, 0, method="mask(steps=2)", transform="dct")
    with pytest.raises(MeasuresNothing, match="the objective of the mask"):
        references.check_map(early, "mask(steps=8)", g)


@pytest.mark.parametrize("method", ["absgrad(samples=8)", "rise(masks=8)", "smoothgrad(samples=8)"])
def test_a_wrong_map_in_another_of_many_domains_is_caught(
    case: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TEN", DOMAINS)
    monkeypatch.setattr(limits, "subject", lambda *args, **kwargs: case)
    limits._expected.cache_clear()
    found = pb.attribute(case.module, case.x, 0, method=method, transform=DOMAINS)
    limits.check(found, case, method)
    for place in (0, 2):
        wrong = [forged(att) if number == place else att for number, att in enumerate(found)]
        with pytest.raises(MeasuresNothing):
            limits.check(wrong, case, method)
    limits._expected.cache_clear()


# Rows -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        *METHODS,
        "shapley(exact=False, pairs=2)",
        "kernel_shap(by=band, samples=32)",
        "occlusion(by=block, block=16)",
        "captum(IntegratedGradients, n_steps=3)",
    ],
)
@pytest.mark.parametrize("domains", [DOMAINS[:1], DOMAINS])
def test_rows_are_those_of_the_definition(case: Any, method: str, domains: list[str]) -> None:
    """What the model counts, what the result says, and what was worked out by hand are one number."""
    if "block" in method and len(domains) > 1:
        pytest.skip("cells of a band without places are counted otherwise")
    model = guard.Counted(case.module)
    found = pb.attribute(model, case.x, 0, method=method, transform=domains)
    by_hand = planned.planned(method, [att.transform for att in found], len(case.x))
    assert model.tally.now() == by_hand == guard.evaluations([att.settings for att in found])


def test_growth_checks_what_it_times(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = guard.Counted(models.network("small", "cpu", (3, 32, 32))), models.signals((2, 3, 32, 32))
    job = growth.smoothgrad(model, x, DOMAINS)
    monkeypatch.setattr(growth, "SAMPLES", 4)  # as a quick run has it
    with pytest.raises(AssertionError):
        growth.guard("samples", model, 4, dataclasses.replace(job, run=lambda: job.run()[:2]))  # a domain is missing
    honest = growth.smoothgrad(model, x, DOMAINS, samples=4)
    growth.guard("domains", model, 3, honest)()
    for place in range(3):
        with pytest.raises(MeasuresNothing):
            growth.guard("domains", model, 3, _spoilt(honest, place))
    with pytest.raises(MeasuresNothing, match="the input"):
        growth.guard("domains", model, 3, growth.Job(torch.zeros_like(x), honest.run))
    done = honest.run()
    before = growth.guard("domains", model, 3, growth.Job(x, lambda: done))
    with pytest.raises(MeasuresNothing, match=r"\(0, 0\) rows went"):  # a result from before
        before()


def _spoilt(job: Any, place: int) -> Any:
    return growth.Job(job.x, lambda: [forged(att) if k == place else att for k, att in enumerate(job.run())])


def test_growth_checks_transforms() -> None:
    x = models.signals((4, 3, 32, 32))
    T = growth._levels(x, 2)
    growth.guard("levels", None, 2, growth.Job(x, lambda: growth._there_and_back(T, x)))
    for wrong in (lambda z, a: (x.flatten(2), a), lambda z, a: (z, 2 * a), lambda z, a: (z, cosines(a))):
        with pytest.raises(MeasuresNothing):
            growth.guard("levels", None, 2, growth.Job(x, lambda wrong=wrong: wrong(T(x), T.adjoint(x))))


def test_memory_of_a_method_that_returns_early_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    few = lambda *args, **options: pb.attribute(*args, **{**options, "method": "smoothgrad(samples=2)"})
    monkeypatch.setattr(memory, "pb", type("pb", (), {"attribute": staticmethod(few), "Attribution": pb.Attribution}))
    with pytest.raises(MeasuresNothing, match="planned were"):
        memory.line("smoothgrad", 1, 16, 8, times=(1,))
    zero = lambda *args, **options: forged(pb.attribute(*args, **options), torch.zeros_like)
    monkeypatch.setattr(memory, "pb", type("pb", (), {"attribute": staticmethod(zero), "Attribution": pb.Attribution}))
    with pytest.raises(MeasuresNothing, match="zero throughout"):
        memory.line("smoothgrad", 1, 16, 8, times=(1,))


def test_a_certified_rule_may_spare_a_tenth_and_no_more() -> None:
    certified = pb.attribute(lambda x: x.square().flatten(1).sum(1), torch.ones(1, 1, 4))
    plain = pb.attribute(lambda x: x.square().flatten(1).sum(1), torch.ones(1, 1, 4), method="smoothgrad(samples=2)")
    memory.check_rows((30, 28), certified, (32, 30))
    for rows, att in (((20, 18), certified), ((30, 27), certified), ((33, 31), certified), ((30, 28), plain)):
        with pytest.raises(MeasuresNothing):
            memory.check_rows(rows, att, (32, 30))


# Transforms -----------------------------------------------------------------------------------------------------------


class Fake(Transform):
    """The identity, or what a test puts in its place, under the name and the claims of another."""

    def __init__(self, real: Transform) -> None:
        super().__init__()
        self.shape, self.spec, self.claims, self.layout = real.shape, real.spec, real.claims, real.layout

    def analysis(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.layout.shape).clone()

    def synthesis(self, z: Tensor) -> Tensor:
        return z.reshape(len(z), *self.shape).clone()

    @classmethod
    def examples(cls) -> list[Transform]:
        return []


class Permuted(Fake):
    """Orthogonal, its own adjoint and no identity, but not what it is called."""

    def analysis(self, x: Tensor) -> Tensor:
        return super().analysis(x.flip(-1))

    def synthesis(self, z: Tensor) -> Tensor:
        return super().synthesis(z).flip(-1)


@pytest.mark.parametrize("spec", ["dct", "dft", "hartley", "hadamard", "block_dct", "dwt(haar, level=2)", "wpt"])
def test_the_identity_is_no_transform(spec: str) -> None:
    real, x = get(spec, (1, 16, 16)), models.signals((2, 1, 16, 16))
    laws.check_transform(real, x, real(x), None, real.adjoint(x))
    fake = Fake(real)
    assert TransformClaim.ORTHOGONAL in fake.claims
    with pytest.raises(MeasuresNothing, match="the signal itself"):
        laws.check_transform(fake, x, fake(x), None, fake.adjoint(x))


@pytest.mark.parametrize("spec", ["dct", "dft", "hartley", "inverse_of(dct)", "along(dct, axes=1)"])
def test_another_transform_is_told_by_its_coefficients(spec: str) -> None:
    fake, x = Permuted(get(spec, (1, 16, 16))), models.signals((2, 1, 16, 16))
    with pytest.raises(MeasuresNothing, match="from its reference"):
        laws.check_transform(fake, x, fake(x), None, fake.adjoint(x))


@pytest.mark.parametrize("spec", ["dct", "dwt(bior4.4, level=2)", "swt", "laplacian", "color"])
def test_what_is_no_adjoint_is_caught(spec: str) -> None:
    T, x = get(spec, (3, 32, 32)), models.signals((2, 3, 32, 32))
    honest = T.adjoint(x)
    laws.check_adjoint(T, x, honest)
    for wrong in (T(x) * 1.1, -honest, honest.flip(-1), honest.flip(0), torch.zeros_like(honest)):
        with pytest.raises(MeasuresNothing, match="not that of"):
            laws.check_adjoint(T, x, wrong)
    if TransformClaim.ISOMETRIC not in T.claims:  # else the adjoint is T itself
        with pytest.raises(MeasuresNothing, match="not that of"):
            laws.check_adjoint(T, x, T(x))


def test_a_synthesis_that_does_not_undo_is_caught() -> None:
    T, x = get("dct", (1, 16, 16)), models.signals((2, 1, 16, 16))
    with pytest.raises(MeasuresNothing):
        laws.check_transform(T, x, T(x), x.flip(-1))
    with pytest.raises(MeasuresNothing):
        laws.check_transform(T, x, 2 * T(x), x)


def test_more_than_the_speed_of_a_copy_is_no_measurement() -> None:
    assert accelerator.check_share(0.44) == 0.44
    with pytest.raises(MeasuresNothing, match=r"36\.9 × the speed"):
        accelerator.check_share(36.88)
    assert "pixel" not in accelerator.BUILT


JOBS = [
    "dwt haar / ptwt",
    "dwt db4 / ptwt",
    "dwt sym8 / ptwt",
    "dwt db4 reflect / ptwt",
    "dwt db4 / PyWavelets",
    "dct / scipy",
    "dct / torch-dct",
    "dft / torch.fft",
]


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("sizes", [(256,), (64, 32), (32, 32, 32)])
def test_a_peer_that_does_another_job_is_caught(job: str, sizes: tuple[int, ...]) -> None:
    x = models.signals((2, 1, *sizes))
    peer = transforms._peer(job, x)
    transforms.check_peer(peer, x)
    wrong = dataclasses.replace(peer, flat=lambda found: np.roll(peer.flat(found), 1, -1))
    with pytest.raises(MeasuresNothing):
        transforms.check_peer(wrong, x)
    with pytest.raises(MeasuresNothing):
        transforms.check_peer(dataclasses.replace(peer, ours=get("dwt(db2, level=2)", (1, *sizes))), x)


# Formats and peers ----------------------------------------------------------------------------------------------------


def test_a_compiled_model_is_compiled_and_its_rows_are_counted(case: Any) -> None:
    seen: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        seen.append(sum(node.op == "call_module" or "conv" in str(node.target) for node in graph.graph.nodes))
        return graph.forward

    model = guard.Counted(case.module)
    method, plain = "smoothgrad(samples=4)", torch.compile
    with guard.outside_compilers():
        run = lambda: pb.attribute(model, case.x, 0, method=method, batch_size=8, compile={"backend": backend})
        att = guard.counted(run, model.tally, *planned.planned(method, [get("pixel", (3, 32, 32))], 2))()
    assert torch.compile is plain
    assert len(seen) == 1  # one graph, and the counting is not in it
    assert seen[0] >= 3  # which holds the three convolutions
    g = direct.Direct(case.module, att.transform, case.x[:1], 0)
    guard.check_result(att.values, references.expected(method, g))


@pytest.mark.parametrize("precision", accelerator.LEAST)
def test_a_wrong_map_in_any_format_is_caught(case: Any, precision: str) -> None:
    honest = models.signals((1, 3, 32, 32))
    assert accelerator.check_map(honest, honest, precision) == pytest.approx(1)
    for wrong in (cosines(honest), -honest, torch.zeros_like(honest), honest.flip(-1)):
        with pytest.raises(MeasuresNothing):
            accelerator.check_map(wrong, honest, precision)
    with pytest.raises(MeasuresNothing):
        accelerator.check_map(1.1 * honest, honest, "fp32")


def test_the_eager_loop_runs_as_many_rows_as_ours(case: Any) -> None:
    model = guard.Counted(case.module)
    accelerator.eager(case, model, 4, 10)()
    assert model.tally.now() == (10, 10)


def test_a_peer_whose_timed_map_points_elsewhere_is_caught() -> None:
    ours = models.signals((2, 3, 32, 32))
    peers.same_way(ours + 2 * models.signals((2, 3, 32, 32), seed=1), ours, 0.08)
    for wrong in (-ours, cosines(ours), 10 * ours, ours / 10, torch.zeros_like(ours)):
        with pytest.raises(MeasuresNothing):
            peers.same_way(wrong, ours, 0.08)
