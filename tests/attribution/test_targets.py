"""Targets beyond a class index, and what else a model takes, against closed forms of tiny models."""

import pytest
import torch
from support.nonlinear import Sinh
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.targets import difference, log_odds, predicted, top_k
from pullback.transforms import Transform

SHAPE = (1, 4, 3)
X = normal(3, *SHAPE, seed=1)


def classifier(classes: int = 4) -> nn.Sequential:
    layer = nn.Linear(12, classes)
    layer.weight.data, layer.bias.data = normal(classes, 12, seed=5), normal(classes, seed=6)
    return nn.Sequential(nn.Flatten(), layer).double().eval()


def gradient(model: nn.Module, target: object, x: Tensor = X, **options: object) -> Tensor:
    return pb.attribute(model, x, target, method="gradient", **options).values  # type: ignore[arg-type, call-overload]


def test_difference_of_two_classes() -> None:
    model = classifier()
    weight = model[1].weight.detach()
    torch.testing.assert_close(gradient(model, difference(2, 0)), (weight[2] - weight[0]).expand(3, -1).view_as(X))
    each = gradient(model, difference([0, 1, 2], torch.tensor([3, 3, 0])))
    torch.testing.assert_close(each, (weight[[0, 1, 2]] - weight[[3, 3, 0]]).view_as(X))


def test_top_k_is_the_mean_of_the_highest_at_x() -> None:
    model = classifier()
    best = model(X).topk(2, dim=1).indices
    torch.testing.assert_close(gradient(model, top_k(2)), model[1].weight.detach()[best].mean(1).view_as(X))


def test_log_odds_is_the_logit_of_the_probability() -> None:
    model = smooth_net(SHAPE, 4)
    x = X.clone().requires_grad_()
    probability = model(x).softmax(1)[:, 1]
    (expected,) = torch.autograd.grad((probability / (1 - probability)).log().sum(), x)
    torch.testing.assert_close(gradient(model, log_odds(1)), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient(model, log_odds()), gradient(model, log_odds(model(X).argmax(1))))


def test_predicted_stays_the_class_at_x_all_along_the_path() -> None:
    model = classifier()
    method = "integrated_gradients(steps=8, rule=midpoint)"
    found = pb.attribute(model, X, predicted(), method=method)
    named = pb.attribute(model, X, model(X).argmax(1), method=method)
    moving = pb.attribute(model, X, lambda out: out.max(1).values, method=method)  # the control: another f
    torch.testing.assert_close(found.values, named.values)
    torch.testing.assert_close(found.score_difference, named.score_difference)
    assert not torch.allclose(found.values, moving.values)
    assert found.settings["target"] == "predicted()"
    assert found.settings["evaluations"]["forward"] == named.settings["evaluations"]["forward"] + len(X)


@pytest.mark.parametrize(("target", "at"), [(difference(0, 4), 0), ([0, -1, 1], 1), ([0, 1, 7], 2), (log_odds([0, 9, 1]), 1)])
def test_a_class_that_does_not_exist_names_its_example(target: object, at: int) -> None:
    with pytest.raises(ValueError, match=rf"0…3, got -?\d+ for example {at}\b"):
        gradient(classifier(), target)


def test_bad_targets_say_what_is_expected() -> None:
    with pytest.raises(ValueError, match="at most the number of classes, 4, got 5"):
        gradient(classifier(), top_k(5))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        top_k(0)
    with pytest.raises(TypeError, match="a class or one class per example"):
        gradient(classifier(), difference(0.5, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"one class per example, 3, got 2"):
        gradient(classifier(), difference([0, 1], 1))
    with pytest.raises(ValueError, match=r"\(rows, classes\)"):
        gradient(nn.Identity(), predicted())


def test_regression() -> None:
    weight = normal(12, seed=2)
    found = gradient(lambda x: x.flatten(1) @ weight, None)  # type: ignore[arg-type]
    torch.testing.assert_close(found, weight.expand(3, -1).view_as(X))


def test_segmentation() -> None:
    """Mean logit of class 1 over a region: its gradient lives in the region's receptive field only."""
    model = nn.Conv2d(1, 2, 1).double().eval()
    found = gradient(model, lambda out: out[:, 1, :2].flatten(1).mean(1))
    expected = torch.zeros_like(X)
    expected[:, :, :2] = model.weight[1].item() / 6
    torch.testing.assert_close(found, expected)


def test_detection() -> None:
    """A dictionary of boxes and scores, as detectors return."""
    weight = normal(12, 5, seed=3)

    def detector(x: Tensor) -> dict[str, Tensor]:
        return {"scores": x.flatten(1) @ weight, "boxes": x.new_zeros(len(x), 5, 4)}

    found = pb.attribute(detector, X, lambda out: out["scores"][:, 2], method="gradient", transform="dct")
    torch.testing.assert_close(found.values, found.transform.adjoint(weight[:, 2].expand(3, -1).view_as(X)))


def test_audio_tagging() -> None:
    """Several labels at once: the sum of two tags' log-probabilities over a waveform."""
    x = normal(2, 1, 16, seed=4)
    model = nn.Sequential(nn.Conv1d(1, 3, 5), nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten()).double().eval()
    target = lambda out: nn.functional.logsigmoid(out)[:, [0, 2]].sum(1)
    point = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(target(model(point)).sum(), point)
    torch.testing.assert_close(gradient(model, target, x), expected)


class Conditioned(nn.Module):
    """f(x, gain, scale=, shift=): one gain per example, one scale for all."""

    def forward(self, x: Tensor, gain: Tensor, *, scale: Tensor, shift: float = 0.0) -> Tensor:
        return (gain * (x + shift).flatten(1).square().sum(1)) * scale


@pytest.mark.parametrize("transform", ["dct", Sinh(SHAPE)], ids=str)
@pytest.mark.parametrize("rows", [1, 2, "auto"])
def test_further_arguments_follow_their_example(transform: str | Transform, rows: int | str) -> None:
    gain, scale = torch.tensor([1.0, -2.0, 3.0], dtype=torch.double), torch.tensor(0.5, dtype=torch.double)
    method = "integrated_gradients(steps=3, rule=midpoint)"
    options = {
        "model_kwargs": {"scale": scale, "shift": 0.25},
        "method": method,
        "transform": transform,
        "batch_size": rows,
    }
    found = pb.attribute(Conditioned(), X, model_args=(gain,), **options)  # type: ignore[call-overload]
    expected = gain * scale * ((X + 0.25).flatten(1).square().sum(1) - 12 * 0.25**2)
    torch.testing.assert_close(found.score_difference, expected)
    for e in range(3):
        alone = pb.attribute(Conditioned(), X[e : e + 1], model_args=(gain[e : e + 1],), **options)  # type: ignore[call-overload]
        torch.testing.assert_close(found.values[e : e + 1], alone.values, rtol=1e-12, atol=1e-12)


def test_a_model_that_is_not_finite_names_the_example() -> None:
    x = X.abs()
    x[2, 0, 0, 0] = -1
    with pytest.raises(ValueError, match="nan for example 2"):
        gradient(lambda x: x.flatten(1).sqrt().sum(1), None, x)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["integrated_gradients(steps=2, rule=midpoint)", "captum(IntegratedGradients, n_steps=2)"])
def test_several_inputs_attributed_together(method: str) -> None:
    """f(a, b) = aᵀ W b: along the straight path from zero each side gets half of f."""
    weight, a, b = normal(12, 5, seed=2), X, normal(3, 5, seed=8)
    joint = pb.attribution.Joint(lambda a, b, gain=1.0: ((a.flatten(1) @ weight) * b).sum(1) * gain, (a, b))
    found = pb.attribute(joint, joint.pack(a, b), method=method, model_kwargs={"gain": 2.0}, batch_size=4)
    for_a, for_b = joint.split(found.values)
    torch.testing.assert_close(for_a, a * (b @ weight.T).view_as(a))
    torch.testing.assert_close(for_b, b * (a.flatten(1) @ weight))
    assert [tuple(part.shape) for part in joint.split(joint.pack(a, b))] == [(3, *SHAPE), (3, 5)]


def test_inputs_that_do_not_belong_together_are_refused() -> None:
    joint = pb.attribution.Joint(lambda a, b: a, (X, X[:, 0]))
    with pytest.raises(ValueError, match=r"one batch size, dtype and device with shapes \(batch, 1, 4, 3\), \(batch, 4, 3\)"):
        joint.pack(X, X[:2, 0])
    with pytest.raises(ValueError, match="Joint: expected tensors"):
        joint.pack(X)
    with pytest.raises(ValueError, match="at least one input"):
        pb.attribution.Joint(nn.Identity(), ())
