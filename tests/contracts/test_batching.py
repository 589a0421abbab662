"""Rules 3 and 8 of numerics: a map does not depend on the batch, its order or the batch size, and no forward exceeds it."""

import pytest
import torch
from support.every_method import DOMAINS, FEW, SHAPE, least, methods, run
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import Estimator
from pullback.attribution.engine import chunks
from pullback.attribution.engine.chunks import rows_per_forward
from pullback.attribution.engine.random import derive, keys


@methods
def test_3_alone_or_in_any_batch_and_order(method: Estimator) -> None:
    model, x = smooth_net(SHAPE), normal(4, *SHAPE)
    x[3] *= 1e3
    together = run(model, x, method)
    shuffled = run(model, x[[2, 0, 3, 1]], method)
    alone = run(model, x[2:3], method)
    for a, b, c in zip(together, shuffled, alone):
        torch.testing.assert_close(b.values, a.values[[2, 0, 3, 1]], rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(c.values[0], a.values[2], rtol=1e-9, atol=1e-11)


@methods
def test_3_any_batch_size_gives_the_same_numbers(method: Estimator) -> None:
    model, x = smooth_net(SHAPE), normal(3, *SHAPE)
    reference = dict(zip(DOMAINS, run(model, x, method)))
    for rows, domains in ((least(method), FEW), (3, DOMAINS), (7, DOMAINS), (10_000, DOMAINS)):
        for name, found in zip(domains, run(model, x, method, transform=domains, batch_size=rows)):
            torch.testing.assert_close(found.values, reference[name].values, rtol=1e-9, atol=1e-11)


def test_3_noise_is_keyed_by_seed_content_and_sample() -> None:
    x = normal(2, *SHAPE)
    assert keys(x)[1] == keys(x[1:])[0] == keys(x.flip(0))[0]
    seeds = {derive(seed, key, sample) for seed in range(3) for key in keys(x) for sample in range(5)}
    assert len(seeds) == 30
    model = smooth_net(SHAPE)
    first, again, other = (pb.attribute(model, x, 0, method="smoothgrad(samples=3)", seed=seed).values for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("method", ["gradient", "smoothgrad(samples=9)", "rise(masks=9)"])
def test_3_a_model_that_mixes_examples_is_refused(method: str) -> None:
    model = lambda x: (x - x.mean(0)).flatten(1).pow(2).sum(1)
    x = normal(3, *SHAPE)
    with pytest.raises(ValueError, match=r"alone and .* among other rows, so its map would depend on the batch.*batch_size=1"):
        pb.attribute(model, x, method=method)
    quiet = pb.attribute(lambda x: 0 * x.flatten(1).sum(1), x, method=method, batch_size=1)
    assert torch.equal(pb.attribute(model, x, method=method, batch_size=1).values, quiet.values)  # one row is its own mean


class Log(list[int]):
    """A list that is shared by copies of the model that owns it: some methods run a copy of the model."""

    def __deepcopy__(self, _: object) -> "Log":
        return self


class Watches(nn.Module):
    """Remembers how many rows each forward had, and runs out of memory above `limit`."""

    def __init__(self, inner: nn.Module, limit: int = 10_000, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.inner, self.limit, self.error, self.rows = inner, limit, error, Log()

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.limit:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        self.rows.append(len(x))
        return self.inner(x)


@methods
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_8_no_forward_exceeds_the_batch_size_even_below_the_number_of_examples(method: Estimator, rows: int) -> None:
    model = Watches(smooth_net(SHAPE))
    if rows < least(method):
        with pytest.raises(ValueError, match="batch_size must be at least"):
            run(model, normal(4, *SHAPE), method, batch_size=rows)
        return
    (att, *_) = run(model, normal(4, *SHAPE), method, transform=FEW if rows == 1 else DOMAINS, batch_size=rows)
    assert max(model.rows) <= rows
    assert sum(model.rows) == sum(att.settings["evaluations"].values())


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_8_out_of_memory_halves_the_batch_size_and_continues(error: type[Exception]) -> None:
    model = Watches(smooth_net(SHAPE), limit=3, error=error)
    x = normal(4, *SHAPE)
    att = pb.attribute(model, x, 1, method="smoothgrad(samples=5)", batch_size=16)
    assert max(model.rows) <= 3
    torch.testing.assert_close(
        att.values, pb.attribute(smooth_net(SHAPE), x, 1, method="smoothgrad(samples=5)").values, rtol=1e-10, atol=1e-12
    )
    with pytest.raises(MemoryError, match="One row alone"):
        pb.attribute(Watches(smooth_net(SHAPE), limit=0, error=error), x, 1)


@pytest.mark.parametrize("kept", [True, False])
def test_8_forwards_without_gradients_hold_more_rows_where_freed_memory_is_kept(
    kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "keeps_freed_memory", lambda: kept)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 3)).double().eval()
    x = normal(1, 1, 512, 512)
    rows = rows_per_forward("auto", (1, 512, 512), x.device)

    def largest(method: str, limit: int = 10_000) -> tuple[int, Tensor]:
        model = Watches(net, limit)
        values = pb.attribute(model, x, 1, method=method).values
        return max(model.rows), values

    assert largest("smoothgrad(samples=20)")[0] == rows
    most, values = largest("rise(masks=40)")
    assert most == (4 * rows if kept else rows)
    for limit, expected in ((4 * rows - 1, rows), (rows - 1, rows // 2)):  # more at first, then the half of the usual number
        found, again = largest("rise(masks=40)", limit)
        assert found == expected
        torch.testing.assert_close(again, values, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("method", ["rise(masks=30)", "smoothgrad(samples=9)", "occlusion(by=band)"])
def test_8_a_model_of_one_batch_size_runs_where_freed_memory_is_kept(
    method: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "keeps_freed_memory", lambda: True)
    net, x = smooth_net(SHAPE), normal(rows, *SHAPE)
    fixed = lambda x: net(x).reshape(rows, 3)
    torch.testing.assert_close(
        pb.attribute(fixed, x, 1, method=method).values, pb.attribute(net, x, 1, method=method).values, rtol=1e-9, atol=1e-11
    )


@methods
def test_8_progress_counts_up_to_what_was_planned(method: Estimator) -> None:
    seen: list[tuple[int, int]] = []
    run(
        smooth_net(SHAPE),
        normal(2, *SHAPE),
        method,
        batch_size=3,
        progress=lambda done, planned: seen.append((done, planned)),
    )
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert seen[-1][0] <= seen[-1][1]


def test_shared_arguments_are_not_split() -> None:
    """A tensor with one entry per example is split among the examples, unless Broadcast says that all of them use it."""
    x, weight = normal(3, 1, 3), normal(3, 3, seed=4)
    model = lambda x, matrix: (x[:, 0] @ matrix).sum(1) if matrix.ndim == 2 else (x[:, 0] * matrix).sum(1)
    plain = pb.attribute(lambda x: model(x, weight), x, method="gradient").values
    for shared in ({"model_args": (pb.Broadcast(weight),)}, {"model_kwargs": {"matrix": pb.Broadcast(weight)}}):
        for rows in (1, 2, 8):
            found = pb.attribute(model, x, method="gradient", batch_size=rows, **shared).values
            torch.testing.assert_close(found, plain)
    each = pb.attribute(lambda x, own: (x[:, 0] * own).sum(1), x, method="gradient", model_args=(weight,)).values
    torch.testing.assert_close(each[:, 0], weight)  # the control: a plain tensor follows its example
