"""Rewritten networks compute the same function; what cannot be rewritten is named; a wrong rewrite is caught."""

import pytest
import torch
from support.subjects import Untraceable, normal
from torch import Tensor, nn

import pullback as pb
from pullback.axioms.rewrites.modules import KINDS, Rectifier
from pullback.axioms.rewrites.rewrite import SINGLY, TOGETHER, rewrites
from pullback.axioms.rewrites.steps import REWRITES, STEPS, Editor


def cnn(dtype: torch.dtype = torch.float64) -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU6(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 5),
        nn.ReLU(),
        nn.Linear(5, 5),
        nn.Tanh(),
        nn.Linear(5, 3),
    )
    for number, tensor in enumerate((*net.parameters(), *net.buffers())):
        if tensor.is_floating_point():
            tensor.data = normal(*tensor.shape, seed=number) * 0.4
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.abs_().add_(0.3)
    return net.to(dtype).eval()


class Residual(nn.Module):
    """Functional calls, a skip connection and a shared activation."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three, self.act = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.one(x.flatten(1)))
        return self.three(torch.relu(x + self.act(self.two(x)).relu()))


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (cnn(), normal(2, 2, 6, 6)),
        (Residual().double().eval(), normal(3, 1, 8)),
        (Untraceable().double().eval(), normal(2, 1, 8)),
    ],
    ids=["cnn", "residual", "untraceable"],
)
def test_every_rewrite_keeps_the_function_and_leaves_the_model_alone(net: nn.Module, x: Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        expected = net(x)
        for rewritten in rewrites(net, x, steps=(*SINGLY, *TOGETHER)):
            if rewritten.model is not None:
                assert rewritten.equal, rewritten
                assert rewritten.residual < 1e-13
                torch.testing.assert_close(rewritten.model(x), expected, rtol=1e-10, atol=1e-10)
            else:
                assert rewritten.skipped
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_all_rewrites_find_something_in_a_cnn() -> None:
    found = {r.name: r for r in rewrites(cnn(), normal(1, 2, 6, 6))}
    assert set(found) == set(REWRITES)
    assert all(r.sites > 0 for r in found.values()), found
    assert found["fold_batchnorm"].sites == 2
    assert not any(
        isinstance(m, nn.BatchNorm2d) and n.target == name
        for name, m in found["fold_batchnorm"].model.named_modules()
        for n in found["fold_batchnorm"].model.graph.nodes
    )


def test_rewrites_change_weights() -> None:
    net = cnn()
    found = {r.name: r.model for r in rewrites(net, normal(1, 2, 6, 6))}
    for name, layer in (("permute_channels", 0), ("rescale_channels", 7), ("fold_batchnorm", 0)):
        assert not torch.equal(found[name].get_submodule(str(layer)).weight, net[layer].weight), name
    assert len(list(found["factor_linear"].modules())) > len(list(net.modules()))


def test_what_cannot_be_traced_or_rewritten_is_named() -> None:
    found = {r.name: r for r in rewrites(Untraceable().double().eval(), normal(1, 1, 8))}
    assert "cannot trace Untraceable" in found["permute_channels"].skipped[0]
    assert found["permute_channels"].model is None
    assert found["relu_as_max"].sites == 1
    skipped = {r.name: r for r in rewrites(Residual().double().eval(), normal(1, 1, 8))}["permute_channels"].skipped
    assert any("one: the output of" in note and "2 times" in note for note in skipped)


def test_functional_relus_are_rewritten_too() -> None:
    assert {r.name: r.sites for r in rewrites(Residual().double().eval(), normal(1, 1, 8))}["relu_as_abs"] == 4


@pytest.mark.parametrize("cap", [None, 6.0])
@pytest.mark.parametrize("kind", KINDS)
def test_rectifiers_are_relu_with_its_gradient(kind: str, cap: float | None) -> None:
    x = (10 * normal(64)).requires_grad_()
    reference = nn.ReLU()(x) if cap is None else nn.ReLU6()(x)
    (expected,) = torch.autograd.grad(reference.sum(), x)
    found = Rectifier(kind, cap)(x)
    torch.testing.assert_close(found, reference)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x)[0], expected)


def test_a_rewrite_that_changes_the_function_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(editor: Editor) -> int:
        with torch.no_grad():
            next(editor.model.parameters()).mul_(1.001)
        return 1

    monkeypatch.setitem(STEPS, "permute_channels", wrong)
    (found,) = rewrites(cnn(), normal(1, 2, 6, 6), steps=[("permute_channels",)])
    assert not found.equal
    assert found.residual > 1e-5


def test_unknown_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="permute_channels"):
        pb.axioms.rewrites(cnn(), normal(1, 2, 6, 6), steps=[("shuffle",)])
