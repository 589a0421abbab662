"""Calls in which two of attribute's arguments meet: what each does alone, both do."""

import contextlib
from collections.abc import Iterator

import pytest
import torch
from support.integrated_gradients import MISSED
from support.subjects import normal
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import targets


def linear(dtype: torch.dtype = torch.double) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).to(dtype).eval()


@contextlib.contextmanager
def default_double() -> Iterator[None]:
    torch.set_default_dtype(torch.double)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float)


@pytest.mark.parametrize("transform", ["polar", ["dct", "polar"]])
@pytest.mark.parametrize("target", [targets.predicted(), targets.top_k(2), targets.log_odds()], ids=lambda t: t.label)
def test_targets_that_look_at_f_settle_before_walks_in_z(target: object, transform: object) -> None:
    found = pb.attribute(linear(), normal(2, 1, 16), target, transform=transform, method="integrated_gradients")
    for att in found if isinstance(found, list) else [found]:
        assert float(att.completeness_gap.abs().max()) < 1e-6


@MISSED
def test_a_longer_run_may_choose_another_memory_format() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).double().eval()
    x = normal(1, 3, 8, 8)
    first = pb.attribute(model, x, 0, method="integrated_gradients(keep=true, tol=1e-9, max_evaluations=8)")
    longer = first.resume(model, x, 0, method="integrated_gradients(tol=1e-9, max_evaluations=40)")
    formats = [att.settings["execution"]["memory_format"] for att in (first, longer)]
    assert formats == ["contiguous", "channels_last"]


class Eye(nn.Module):
    """Makes a tensor of the default dtype in each call."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) @ torch.eye(4)


def test_code_of_the_caller_sees_the_callers_default_dtype() -> None:
    model, x, seen = Eye(), normal(2, 1, 16), []
    weights = lambda output: output @ torch.tensor([1.0, 2.0, 0.0, 0.0])
    third = lambda x: 0 * x + torch.tensor(1 / 3)
    with default_double():
        mapped = pb.attribute(
            model,
            x,
            weights,
            baseline=third,
            method="integrated_gradients",
            progress=lambda *_: seen.append(torch.get_default_dtype()),
        )
        captum = pb.attribute(model, x, 0, method="captum(DeepLift)")
    plain = pb.attribute(linear(), x, lambda output: output[:, 0] + 2 * output[:, 1], baseline=1 / 3)
    torch.testing.assert_close(mapped.values, plain.values)
    torch.testing.assert_close(captum.values, pb.attribute(linear(), x, 0, method="input_x_gradient").values)
    assert set(seen) == {torch.double}


class Mixed(pb.transforms.Operator):
    """A transform of the caller's, which makes a tensor of the default dtype."""

    def __init__(self) -> None:
        self.made = torch.ones(2)
        super().__init__((1, 4), lambda x: x.flip(-1), lambda z: z.flip(-1))


def test_transforms_do_not_depend_on_the_default_dtype_and_leave_it_to_code_of_the_caller() -> None:
    with default_double():
        assert Mixed().made.dtype == torch.double
        assert pb.transforms.get("dct", (1, 4)).layout.frequency.dtype == torch.float


def test_rounding_between_large_parts_is_not_taken_for_mixing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        """How many of four scores that are nothing but rounding."""
        found = 0
        for seed in range(4):
            generator = torch.Generator().manual_seed(seed)
            weights, order = torch.randn(64, 16, generator=generator), torch.randperm(16, generator=generator)
            parts = lambda x, order=order, weights=weights: (weights @ x, weights[:, order] @ x[order])
            f = lambda x, parts=parts: torch.sub(*(part.tanh() for part in parts(x.flatten(1).T))).sum(0)
            try:
                pb.attribute(f, torch.randn(4, 1, 16, generator=generator), method="smoothgrad")
            except ValueError:
                found += 1
        return found

    assert refused() == 0
    monkeypatch.setattr("pullback.attribution.engine.dry_run.DryRun.is_rounding", lambda *_: False)
    assert refused() > 0  # the control: without asking what the other rows hold


def test_walks_in_z_keep_to_the_rows_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    most = []

    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            most.append(len(x))
            return torch.stack([x.flatten(1)] * 64, 1).sin().sum((1, 2))

    monkeypatch.setattr("pullback.attribution.engine.engine.free_bytes", lambda device: 2**16)
    att = pb.attribute(Wide(), normal(4, 1, 16), transform="polar", method="smoothgrad(samples=100)")
    assert max(most[8:]) <= att.settings["batch_size"] < 400


def test_no_transform_at_all_is_said() -> None:
    with pytest.raises(ValueError, match="got an empty list"):
        pb.attribute(linear(), normal(1, 1, 16), 0, transform=[])
