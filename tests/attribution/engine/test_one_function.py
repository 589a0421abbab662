"""Models that are not one function: in other company, with gradients recorded, in training mode, or as time goes on."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.subjects import normal
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.engine.model_state import ModelState

METHODS = ["gradient", "integrated_gradients(steps=4)", "rise(masks=9)", "occlusion(by=coefficient)", "shapley(by=band)"]


def net(inputs: int = 8, outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs)).double().eval()


# With gradients recorded -------------------------------------------------------------------------------------------------


class Shortcut(nn.Module):
    """Computes something else where autograd does not record."""

    def __init__(self, recorded: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.net, self.recorded = net(), recorded

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out if self.recorded(x) else 2 * out + x.flatten(1).sum(1, keepdim=True)


SHORTCUTS: dict[str, Callable[[Tensor], bool]] = {
    "grad mode": lambda x: torch.is_grad_enabled(),
    "requires_grad": lambda x: x.requires_grad,
    "some examples": lambda x: x.requires_grad or not bool((x[:, 0, 0] > 0).any()),
}


@pytest.mark.parametrize("kind", SHORTCUTS)
@pytest.mark.parametrize("method", METHODS)
def test_f_is_the_function_that_gradients_see(kind: str, method: str) -> None:
    model, x = Shortcut(SHORTCUTS[kind]), normal(3, 1, 8)
    true = (model.net(x) - model.net(0 * x))[:, 1].detach()
    found = pb.attribute(model, x, 1, method=method)
    torch.testing.assert_close(found.score_difference, true, rtol=1e-12, atol=1e-12)
    plain = pb.attribute(model.net, x, 1, method=method)
    torch.testing.assert_close(found.values, plain.values, rtol=1e-10, atol=1e-12)


def test_the_predicted_class_is_that_of_the_function_that_gradients_see() -> None:
    flips = lambda x: model(x) if x.requires_grad else -model(x)
    model, x, predicted = net(), normal(3, 1, 8), pb.attribution.targets.predicted()
    plain = pb.attribute(model, x, predicted, method="gradient")
    torch.testing.assert_close(pb.attribute(flips, x, predicted, method="gradient").values, plain.values)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_the_fast_path_of_a_transformer_is_not_explained_in_place_of_the_model() -> None:
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    head, mask = nn.Linear(8, 3), torch.tensor([[False] * 4 + [True] * 2, [False] * 6])
    model = lambda x, mask: head(encoder(x, src_key_padding_mask=mask).mean(1))
    x = torch.randn(2, 6, 8)
    true = (model(x, mask) - model(0.1 * x, mask))[:, 1].detach()
    for method in ("integrated_gradients(steps=8)", "rise(masks=9)"):
        found = pb.attribute(model, x, 1, method=method, baseline=0.1 * x, model_kwargs={"mask": mask})
        torch.testing.assert_close(found.score_difference, true, rtol=1e-4, atol=1e-5)


def force(x: Tensor) -> Tensor:
    """-∇E of an energy, taken inside forward."""
    x = x if x.requires_grad else x.requires_grad_()
    (gradient,) = torch.autograd.grad(x.flatten(1).sin().sum(), x, create_graph=True)
    return -gradient.flatten(1)


def curvature(x: Tensor) -> Tensor:
    return torch.func.vmap(torch.func.jacrev(lambda v: v.flatten().sin().sum()))(x).flatten(1)


@pytest.mark.parametrize("inside", [force, curvature])
@pytest.mark.parametrize("method", METHODS)
def test_models_that_take_gradients_themselves(inside: Callable[[Tensor], Tensor], method: str) -> None:
    x, sign = normal(3, 1, 8), -1 if inside is force else 1
    found = pb.attribute(inside, x, 1, method=method)
    plain = pb.attribute(lambda x: sign * x.flatten(1).cos(), x, 1, method=method)
    torch.testing.assert_close(found.values, plain.values, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.score_difference, plain.score_difference, rtol=1e-12, atol=1e-12)


# In other company --------------------------------------------------------------------------------------------------------

LARGEST = 1e-9
MIXERS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "largest entry of the batch": lambda f, x: f(x / (x.abs().max() + LARGEST)),
    "from 0 to 1 over the batch": lambda f, x: f((x - x.min()) / (x.max() - x.min() + LARGEST)),
    "mean and deviation of the batch": lambda f, x: f((x - x.mean()) / (x.std() + LARGEST)),
    "softmax over the batch": lambda f, x: f(x).softmax(0),
    "in the order of their norms": lambda f, x: f(x) + 0.01 * f(x[x.flatten(1).norm(dim=1).argsort()]),
    "a leak of one percent": lambda f, x: f(x) + 0.01 * f(x).mean(0),
    "the same beside a constant": lambda f, x: 1e4 + f(x) + 0.01 * f(x).mean(0),
    "the next row": lambda f, x: f(x + 0.1 * torch.cat([x[1:], 0 * x[:1]])),
    "rows per batch": lambda f, x: f(x) * len(x),
}


@pytest.mark.parametrize("kind", MIXERS)
@pytest.mark.parametrize("examples", [1, 2, 8])
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients(steps=4)", "rise(masks=9)"])
def test_examples_that_see_each_other_are_refused(kind: str, examples: int, method: str) -> None:
    f, x = net(), normal(examples, 1, 8).abs()
    x[:, :, 0] = 4  # all examples have the same largest entry: the ends of the paths do not show who divides by it
    with pytest.raises(ValueError, match="so its map would depend on the batch"):
        pb.attribute(lambda x: MIXERS[kind](f, x), x, 1, method=method, batch_size=5)
    pb.attribute(lambda x: MIXERS[kind](f, x), x, 1, method=method, batch_size=1)  # the control: nobody to see


def test_a_model_that_fails_in_other_company_is_refused() -> None:
    edges = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 3]])
    graph = lambda x, edges: x + torch.zeros_like(x).index_add(0, edges[1], x[edges[0]])
    with pytest.raises(ValueError, match=r"cannot be read alone \(IndexError.* among other rows"):
        pb.attribute(graph, normal(5, 3), 0, method="gradient", model_args=(edges,))


@pytest.mark.parametrize("examples", [1, 4])
def test_what_the_reading_costs(examples: int) -> None:
    att = pb.attribute(net(), normal(examples, 1, 8), 1, method="gradient")
    assert att.settings["evaluations"]["forward"] == 2 * examples + examples + 2


# At each call ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 1e-4])
def test_random_numbers_are_seen_although_two_readings_agree(p: float) -> None:
    model = net()
    drops = lambda x: model(x) * torch.empty(len(x), 1, dtype=x.dtype).bernoulli_(1 - p)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"(draws random numbers|two runs).*not deterministic.*model\.eval"):
        pb.attribute(drops, normal(4, 1, 8), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_of_the_models_own_that_it_seeds_is_no_reason() -> None:
    model = net()

    def seeds(x: Tensor) -> Tensor:
        noise = torch.randn(8, generator=torch.Generator().manual_seed(0)).to(x)
        out: Tensor = model(x + noise)
        return out

    assert bool(pb.attribute(seeds, normal(2, 1, 8), 1).values.isfinite().all())


@pytest.mark.parametrize("calls", [6, 12])
def test_a_model_that_changes_during_the_run_is_refused(calls: int) -> None:
    model, seen = net(), [0]

    def drifts(x: Tensor) -> Tensor:
        seen[0] += 1
        out: Tensor = model(x) * (1 + 0.5 * (seen[0] > calls))
        return out

    with pytest.raises(ValueError, match="the model changes while it runs"):
        pb.attribute(drifts, normal(4, 1, 8), 1, method="smoothgrad(samples=10)", batch_size=4)


# In training mode --------------------------------------------------------------------------------------------------------


def norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).double().train()


class Holds:
    """A callable that is no module."""

    def __init__(self, inner: nn.Module) -> None:
        self.inner = inner

    def __call__(self, x: Tensor) -> Any:
        return self.inner(x)

    def method(self, x: Tensor) -> Any:
        return self.inner(x)


HIDDEN: dict[str, Callable[[nn.Module], Callable[[Tensor], Any]]] = {
    "closure": lambda inner: lambda x: inner(x),
    "partial": lambda inner: functools.partial(lambda inner, x: inner(x), inner),
    "object": Holds,
    "method": lambda inner: Holds(inner).method,
    "list": lambda inner: functools.partial(lambda held, x: held[0](x), [inner]),
    "traced": lambda inner: torch.jit.trace(inner, normal(4, 8), check_trace=False),
    "scripted": torch.jit.script,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("where", HIDDEN)
def test_statistics_that_a_forward_changes_are_put_back_and_the_model_refused(where: str) -> None:
    inner = norm()
    model = HIDDEN[where](inner)
    holder = model if isinstance(model, nn.Module) else inner
    before = {name: value.clone() for name, value in holder.state_dict().items()}
    with pytest.raises(ValueError, match=r"BatchNorm1d.*model\.eval\(\)"):
        pb.attribute(model, normal(4, 8), 1)
    for name, value in holder.state_dict().items():
        assert torch.equal(value, before[name]), name
    if where not in ("traced", "scripted"):
        inner.eval()
        assert bool(pb.attribute(model, normal(4, 8), 1).values.isfinite().all())  # the control


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("wrap", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
def test_power_iterations_are_refused_in_training_mode(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(wrap(nn.Linear(8, 3))).double().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"in training mode.*model\.eval\(\)"):
        pb.attribute(model, normal(2, 8), 1, method="gradient")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    pb.attribute(model.eval(), normal(2, 8), 1, method="gradient")


def test_a_buffer_that_does_not_reach_f_is_put_back() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("last", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            out: Tensor = self.net(x)
            self.last = out[0].detach()
            return out

    model = Counts().eval()
    last = model.last
    assert bool(pb.attribute(model, normal(2, 8), 1).values.isfinite().all())
    assert int(model.calls) == 0
    assert model.last is last


def test_a_buffer_of_nan_has_not_changed() -> None:
    layer = nn.BatchNorm1d(2)
    layer.running_mean = torch.tensor([torch.nan, 1.0])
    state = ModelState(layer)
    assert state.changed() == ""
    for value in (torch.tensor([2.0, 1.0]), torch.ones(3)):
        layer.running_mean = value
        assert state.changed() == "running_mean"
    state.restore()
    assert state.changed() == ""


# One batch size ----------------------------------------------------------------------------------------------------------


class Holding(nn.Module):
    """A recurrent network with a state for a batch of three."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)
        self.state = torch.zeros(1, 3, 4).double()
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.cell(x, (self.state, self.state))[0][:, -1])
        return out


class Viewing(nn.Module):
    """A linear layer whose output is viewed as three rows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(15, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.flatten(1)).view(3, 2)
        return out


FIXED: dict[str, Callable[[], Callable[[Tensor], Any]]] = {
    "state": Holding,
    "view": Viewing,
    "exported": lambda: torch.export.export(net(15), (normal(3, 5, 3),)).module(),
}


@pytest.mark.parametrize("kind", FIXED)
@pytest.mark.parametrize("examples", [3, 7])
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients(steps=4)", "rise(masks=9)"])
def test_models_of_one_batch_size_are_fed_that_size(kind: str, examples: int, method: str) -> None:
    model, x = FIXED[kind](), normal(examples, 5, 3)
    sizes: list[int] = []

    def watched(x: Tensor) -> Any:
        out = model(x)
        sizes.append(len(x))  # only where the model did not refuse
        return out

    found = pb.attribute(watched, x, 1, method=method, batch_size=3)
    assert found.values.shape == x.shape
    assert set(sizes) == {3}
    one = torch.cat([pb.attribute(model, x[e].expand(3, 5, 3), 1, method=method).values[:1] for e in range(examples)])
    torch.testing.assert_close(found.values, one, rtol=1e-9, atol=1e-11)
    if examples == 3:
        torch.testing.assert_close(pb.attribute(model, x, 1, method=method).values, found.values, rtol=1e-9, atol=1e-11)


def test_where_no_batch_size_helps_the_first_error_is_raised() -> None:
    def fails(x: Tensor) -> Tensor:
        raise RuntimeError(f"a fault of its own, with {len(x)} rows")

    with pytest.raises(RuntimeError, match="of its own, with 4 rows"):
        pb.attribute(fails, normal(2, 1, 8), 1, method="gradient")


def test_lengths_that_fall_keep_the_callers_order() -> None:
    torch.manual_seed(0)
    cell, head = nn.LSTM(3, 8, batch_first=True).double(), nn.Linear(8, 2).double()

    def model(x: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)  # wants falling lengths
        out: Tensor = head(cell(packed)[1][0][0])
        return out

    x, lengths = normal(4, 7, 3), torch.tensor([7, 5, 4, 2])
    (gradient,) = torch.autograd.grad(model(p := x.clone().requires_grad_(), lengths)[:, 1].sum(), p)
    for given in (lengths, lengths.tolist(), lengths.numpy()):
        found = pb.attribute(model, x, 1, method="gradient", model_args=(given,))
        torch.testing.assert_close(found.values, gradient, rtol=1e-10, atol=1e-12)
        pb.attribute(model, x, 1, method="integrated_gradients(steps=3)", model_args=(given,), batch_size=3)
