"""`Execution(optimize=True)`: an equal network with fewer operations gives the same maps; else the plain one runs."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.subjects import AsModule, normal
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.engine import faster_form
from pullback.attribution.engine.equal_network import equal_network, own_bytes
from pullback.core.network_fusion import ActivatedConvolution
from pullback.core.network_graph import trace
from pullback.studies import load_model, load_photos

SHAPE = (3, 8, 10)
METHODS = [
    "integrated_gradients(steps=24)",
    "integrated_gradients",
    "smoothgrad(samples=24)",
    "rise(masks=48)",
    "occlusion(by=band)",
]
OPTIMIZE, PLAIN = pb.Execution(optimize=True), pb.Execution(optimize=False)


class Residual(nn.Module):
    """Convolutions with normalisation, a branch, dropout and a linear layer with normalisation."""

    def __init__(self, first: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = first or nn.Identity()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.SiLU())
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.BatchNorm2d(4, affine=False), nn.SiLU())
        self.alone, self.drop = nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.head = nn.Sequential(nn.Linear(320, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Identity(), nn.Linear(8, 3))
        for norm in self.modules():
            if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
                norm.running_mean, norm.running_var = torch.randn(norm.num_features), torch.rand(norm.num_features) + 0.5
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.first(x))
        x = self.alone(x + self.branch(x))
        out: Tensor = self.head(torch.nn.functional.dropout(self.drop(x), training=self.training).flatten(1))
        return out


def settings(att: pb.Attribution) -> dict[str, Any]:
    return dict(att.settings["execution"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("transform", ["dwt(haar, level=1)", "polar"])
def test_maps_are_those_of_the_plain_network(method: str, transform: str) -> None:
    model, x = Residual(), normal(2, *SHAPE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plain = pb.attribute(model, x, 1, method=method, transform=transform, execution=PLAIN)
    found = pb.attribute(model, x, 1, method=method, transform=transform, execution=OPTIMIZE)
    assert settings(found)["optimized"]
    assert "optimized" not in settings(plain)
    torch.testing.assert_close(found.values, plain.values, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(found.score_difference, plain.score_difference, rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_equal_network_has_fewer_layers() -> None:
    model = Residual()
    network, why = equal_network(model)
    assert not why
    assert network is not None
    kinds = [type(layer).__name__ for layer in network.modules()]
    assert kinds.count("BatchNorm2d") == 1  # the one after the sum
    assert not {"BatchNorm1d", "Dropout", "Identity"} & set(kinds)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    shared = {parameter.data_ptr() for parameter in model.parameters()}
    own = [name for name, parameter in network.named_parameters() if parameter.data_ptr() not in shared]
    assert {name.rpartition(".")[0] for name in own} == {"stem.0", "branch.0", "head.0"}  # only folded layers take memory
    x = normal(2, *SHAPE)
    torch.testing.assert_close(network(x), model(x), rtol=1e-12, atol=1e-12)
    assert len(list(trace(model).modules())) > len(list(network.modules()))  # the control


def test_on_one_thread_pointwise_convolutions_are_dilated(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1, stride=2), nn.Conv2d(4, 2, 3)).eval()
    # oneDNN has no double precision
    for threads, dtype, dilation in ((1, torch.float, (2, 2)), (2, torch.float, (1, 1)), (1, torch.double, (1, 1))):
        net, x = net.to(dtype), normal(2, *SHAPE).to(dtype)
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        network, _ = equal_network(net)
        assert network is not None
        convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        assert [layer.dilation for layer in convolutions] == [dilation, (1, 1), (1, 1)]  # only where it has no meaning
        torch.testing.assert_close(network(x), net(x))
    assert all(layer.dilation == (1, 1) for layer in net if isinstance(layer, nn.Conv2d))  # the user's own stay


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
@pytest.mark.parametrize("method", ["rise(masks=48)", "integrated_gradients(steps=24)"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_only_runs_without_gradients_join_convolution_and_activation(
    method: str, precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, seen = Residual().float(), normal(2, *SHAPE, dtype=torch.float32), list[str]()
    run = ActivatedConvolution.forward
    monkeypatch.setattr(ActivatedConvolution, "forward", lambda self, rows: seen.append(self.name) or run(self, rows))
    plain = pb.attribute(model, x, 1, method=method, execution=pb.Execution(optimize=False, precision=precision))
    assert not seen
    found = pb.attribute(model, x, 1, method=method, execution=pb.Execution(optimize=True, precision=precision))
    assert settings(found)["optimized"]
    assert set(seen) == ({"swish"} if method.startswith("rise") and precision == "fp32" else set())
    cosine = torch.nn.functional.cosine_similarity(found.values.flatten(1), plain.values.flatten(1))
    assert bool((cosine > (1 - 1e-5 if precision == "fp32" else 0.9)).all())


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if bool((x.sum() > -1e9).all()) else -x


class Direct(nn.Module):
    """Its layers stand in one forward, which may branch."""

    def __init__(self, branches: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.branches = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), branches
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x)).sigmoid()
        return out.mean((2, 3)) if not self.branches or bool((x.sum() > -1e9).all()) else out[:, :, 0, 0]


class Parts(nn.Module):
    """A forward that branches, around parts that do not; one part may take an argument, and one is used twice."""

    def __init__(self, read: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        block = lambda: nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.SiLU())
        self.first, self.blocks, self.last, self.read = block(), nn.Sequential(block(), Optional()), Direct(True), read
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean, norm.running_var = torch.randn(3), torch.rand(3) + 0.5
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        if self.read == "layers":
            x = self.first[0](x)
        if self.read == "weight":
            x = x * self.first[0].weight.mean()  # of a layer that is folded
        x = self.first(self.first(x)) if bool((x.sum() > -1e9).all()) else x
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.last(x)
        return out


class Optional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.inside(x)
        return out if mask is None else out * mask


@pytest.mark.parametrize(("read", "optimized"), [("", True), ("layers", False), ("weight", False)])
def test_parts_of_a_forward_that_branches_are_rewritten_and_checked(read: str, optimized: bool) -> None:
    x, method = normal(2, *SHAPE), "integrated_gradients(steps=24)"
    plain = pb.attribute(Parts(read), x, 1, method=method, execution=PLAIN)
    found = pb.attribute(Parts(read), x, 1, method=method, execution=OPTIMIZE)
    assert settings(found).get("optimized", False) == optimized
    torch.testing.assert_close(found.values, plain.values, rtol=1e-9, atol=1e-11)
    network, _ = equal_network(Parts())
    assert network is not None
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) == 1  # that of Direct


def hooked() -> nn.Module:
    model = Residual()
    model.stem[1].register_forward_hook(lambda *_: None)
    return model


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no module": (lambda: Residual().forward, {}, "no module"),
    "data decide": (lambda: Direct(branches=True), {}, "torch.fx cannot trace Direct"),
    "hooks": (hooked, {}, "hooks"),
    "second derivatives": (Residual, {"create_graph": True}, "create_graph"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_where_it_cannot_be_the_plain_network_runs_and_says_why(kind: str) -> None:
    build, options, why = REFUSED[kind]
    model, x = build(), normal(2, *SHAPE)
    found = pb.attribute(model, x, 1, execution=OPTIMIZE, method="integrated_gradients(steps=24)", **options)
    assert why in settings(found)["not_optimized"]
    assert "optimized" not in settings(found)
    plain = pb.attribute(build(), x, 1, method="integrated_gradients(steps=24)", execution=PLAIN, **options)
    torch.testing.assert_close(found.values, plain.values, rtol=1e-9, atol=1e-11)


def test_a_network_that_is_not_equal_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Residual(), normal(2, *SHAPE)
    plain = pb.attribute(model, x, 1, method="smoothgrad(samples=24)", execution=PLAIN)
    for wrong, said in (
        (lambda net: AsModule(lambda x: net(x) * 1.001), "f moves"),
        (lambda net: AsModule(lambda x: net(x.detach())), ""),
    ):
        monkeypatch.setattr(
            "pullback.attribution.engine.faster_form.equal_network", lambda net, wrong=wrong, **_: (wrong(net), "")
        )
        found = pb.attribute(model, x, 1, method="smoothgrad(samples=24)", execution=OPTIMIZE)
        assert "optimized" not in settings(found)
        assert settings(found)["memory_format"] == "channels_last"  # the plain network takes it
        assert "fallback" not in settings(found)
        assert said in settings(found)["not_optimized"] or "gradient moves" in settings(found)["not_optimized"]
        torch.testing.assert_close(found.values, plain.values, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("refused", "taken"),
    [
        ((), ("channels_last", True)),
        ((("equal", True),), ("channels_last", False)),  # it gains more than folding does
        ((("equal", True), ("own", True)), ("contiguous", True)),
        ((("equal", True), ("own", True), ("equal", False)), ("contiguous", False)),
    ],
)
def test_the_fastest_form_that_is_not_refused_runs(refused: Any, taken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = faster_form._trouble

    def trouble(run: Any, gradients: bool, network: Any, channels_last: bool) -> str:
        name = "own" if network is None else "equal"
        return f"{name} is refused" if (name, channels_last) in refused else real(run, gradients, network, channels_last)

    monkeypatch.setattr(faster_form, "_trouble", trouble)
    found = settings(pb.attribute(Residual(), normal(2, *SHAPE), 1, method="smoothgrad(samples=24)", execution=OPTIMIZE))
    assert (found["memory_format"], found.get("optimized", False)) == taken
    assert found.get("fallback", "") == ("own is refused" if ("own", True) in refused else "")
    assert ("not_optimized" in found) == (not taken[1])


def at_kinks(units: int) -> tuple[nn.Module, Tensor]:
    """A network of 1024 units, of which so many are at the kink of their ReLU, where rounding decides the gradient."""
    torch.manual_seed(0)
    x = torch.full((1, 1, 4, 4), 0.7)
    conv, norm = nn.Conv2d(1, 1024, 1, bias=False), nn.BatchNorm2d(1024)
    norm.running_mean = conv(x)[0, :, 0, 0].detach() - (torch.arange(1024) >= units).float()
    norm.running_var = torch.rand(1024) + 0.5
    return nn.Sequential(conv, norm, nn.ReLU(), nn.Flatten(), nn.Linear(16 * 1024, 3)).eval(), x


def test_double_precision_tells_kinks_from_another_function(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(units: int) -> dict[str, Any]:
        model, x = at_kinks(units)
        return settings(pb.attribute(model, x, 1, method="smoothgrad(samples=24)", execution=OPTIMIZE))

    monkeypatch.setattr(faster_form, "_ATTEMPTS", 1)
    assert run(4)["optimized"]
    assert "gradient moves" in run(1024)["not_optimized"]  # by more than kinks do: it may be a fault of single precision
    with monkeypatch.context() as without:
        without.setattr(faster_form, "_same_in_double", lambda *_: False)  # the control: single precision cannot tell
        assert "gradient moves" in run(4)["not_optimized"]
    wrong = lambda net, **_: (AsModule(lambda x: equal_network(net)[0](x) + 1e-5 * x.flatten(1)[:, :3]), "")
    monkeypatch.setattr(faster_form, "equal_network", wrong)
    assert "gradient moves" in run(4)["not_optimized"]


@pytest.mark.parametrize(
    ("moved", "rounding", "said"),
    [(1e-6, False, ""), (5e-6, True, ""), (5e-6, False, "f moves"), (5e-5, True, "f moves"), (torch.nan, True, "f moves")],
)
def test_f_may_move_as_much_as_the_last_bits_of_x_move_it(moved: float, rounding: bool, said: str) -> None:
    """f(x) - f(x₀) is 0.02 here: a ten-thousandth of it is 2e-6, and ten of them 2e-5."""
    asked: list[tuple[int, float]] = []
    run = SimpleNamespace(known=torch.tensor([[0.05, 9.0], [0.03, 0.0]]), points=torch.zeros(2, 2, *SHAPE))
    run.is_rounding = lambda row, number, by: asked.append((number, by)) or rounding
    found = run.known[0] + torch.tensor([moved, 1e-6])
    assert faster_form._moved(run, found, 1e-4).startswith(said)  # type: ignore[arg-type]
    assert bool(faster_form._moved(run, found, 1e-4)) == bool(said)  # type: ignore[arg-type]
    assert {number for number, _ in asked} == ({0} if moved == 5e-6 else set())  # nobody is asked for nothing


def test_methods_that_look_at_layers_never_see_it() -> None:
    pytest.importorskip("captum")
    model, x = (
        nn.Sequential(nn.Flatten(), nn.Linear(240, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double().eval(),
        normal(2, *SHAPE),
    )
    for method in ("captum(DeepLift)", "captum(GuidedBackprop)"):
        found = pb.attribute(model, x, 1, method=method, execution=OPTIMIZE)
        assert "optimized" not in settings(found)


def test_auto_waits_for_a_run_that_is_worth_it() -> None:
    model, x = Residual(), normal(2, *SHAPE)
    assert "optimized" not in settings(pb.attribute(model, x, 1, method="smoothgrad(samples=9)"))
    assert settings(pb.attribute(model, x, 1, method="smoothgrad(samples=24)"))["optimized"]
    unfolded = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.BatchNorm1d(240), nn.Linear(240, 3)).double().eval()
    found = settings(pb.attribute(unfolded, x, 1, method="smoothgrad(samples=24)"))
    assert "optimized" not in found
    assert "no BatchNorm follows" in found["not_optimized"]
    bare = settings(pb.attribute(nn.Sequential(nn.Flatten(), nn.Linear(240, 3)).double().eval(), x, 1, method="rise(masks=48)"))
    assert not {"optimized", "not_optimized"} & set(bare)  # a model without BatchNorm is not even traced
    with pytest.raises(ValueError, match="expected optimize in False, True, auto"):
        pb.Execution(optimize="yes")


def test_the_copy_of_the_weights_counts_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Residual(), normal(1, *SHAPE)
    network, _ = equal_network(model)
    assert network is not None
    folded = ("stem.0.", "branch.0.", "head.0.")
    assert own_bytes(network, model) == sum(p.nbytes for name, p in network.named_parameters() if name.startswith(folded))
    limits = {}
    for free in (0, own_bytes(network, model)):  # so much more is free beside what the rows take
        monkeypatch.setattr("pullback.attribution.engine.engine.free_bytes", lambda _, free=free: 200_000 + free)
        for execution in (PLAIN, OPTIMIZE):
            found = pb.attribute(model, x, 1, method="smoothgrad(samples=64)", execution=execution)
            limits[free > 0, execution.optimize] = found.settings["batch_size"]
    assert limits[False, True] < limits[False, False]
    assert limits[True, True] == limits[False, False]


def test_float32_maps_of_photos_agree() -> None:
    loaded = load_model("efficientnet-lite0")
    photos = [loaded.prepare(image)[:, 64:160, 64:160] for _, image in load_photos("imagenet-sample", 2)]
    model, x = loaded.module, torch.stack(photos)
    for method in ("smoothgrad(samples=20)", "integrated_gradients(steps=20)"):
        plain, found = (pb.attribute(model, x, 281, method=method, execution=how) for how in (PLAIN, pb.Execution()))
        assert settings(found)["optimized"]
        assert "optimized" not in settings(plain)
        cosine = torch.cosine_similarity(found.values.flatten(1).double(), plain.values.flatten(1).double())
        assert bool((cosine >= 0.99999).all()), cosine


def test_a_longer_run_continues_a_short_one_of_the_network_itself() -> None:
    model, x = Residual(), normal(1, *SHAPE)
    spec = "integrated_gradients(tol=0, max_evaluations={}, keep=True)"
    short = pb.attribute(model, x, 1, method=spec.format(20))
    assert "optimized" not in settings(short)
    longer = short.resume(model, x, 1, method=spec.format(200))
    assert settings(longer)["optimized"]
    plain = short.resume(model, x, 1, method=spec.format(200), execution=PLAIN)
    torch.testing.assert_close(longer.values, plain.values, rtol=1e-7, atol=1e-9)
