"""Captum's methods in any domain, against Captum on `Pullback` and against closed forms; the Quantus signature."""

import copy
import importlib.util
import sys
import warnings

import captum.attr
import numpy as np
import pytest
import torch
from support.nonlinear import Sinh
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import Captum, quantus_explain
from pullback.attribution.methods.captum_adapter import attributes_inputs
from pullback.attribution.targets import difference

SHAPE = (1, 6, 6)
X = normal(3, *SHAPE, seed=3)
BASE = 0.1 * normal(*SHAPE, seed=4)
TARGET = [0, 1, 2]
DOMAINS = ["pixel", "dct", "dwt(db2, level=1, mode=symmetric)"]
METHODS: dict[str, dict[str, object]] = {
    "IntegratedGradients": {"n_steps": 8},
    "Saliency": {},
    "InputXGradient": {},
    "DeepLift": {},
    "GuidedBackprop": {},
    "FeatureAblation": {},
    "Occlusion": {"sliding_window_shapes": (1, 2, 3), "strides": (1, 1, 2)},
}


def conv_net(bias: bool = True, pool: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(1, 3, 3, padding=1, bias=bias),
        nn.ReLU(inplace=True),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.Flatten(),
        nn.Linear(27 if pool else 108, 8, bias=bias),
        nn.ReLU(),
        nn.Linear(8, 3, bias=bias),
    ]
    net = nn.Sequential(*layers).double().eval()
    for parameter in net.parameters():
        parameter.data = normal(*parameter.shape, seed=parameter.numel())
    return net


def without_in_place_layers(model: nn.Module) -> nn.Module:
    """A copy for direct calls of Captum, whose hooks need layers that do not work in place."""
    model = copy.deepcopy(model)
    for layer in model.modules():
        if hasattr(layer, "inplace"):
            layer.inplace = False  # type: ignore[assignment]
    return model


def by_hand(name: str, transform: pb.transforms.Transform, target: Tensor, options: dict[str, object]) -> Tensor:
    method = getattr(captum.attr, name)(pb.Pullback(without_in_place_layers(conv_net()), transform))
    if name not in ("Saliency", "InputXGradient", "GuidedBackprop"):
        options = options | {"baselines": transform(BASE.expand_as(X))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values: Tensor = method.attribute(transform(X), target=target, **options)
    return values.detach().double()


@pytest.mark.parametrize(("domain", "rows"), [("pixel", "auto"), ("dct", 2), ("dwt(haar, level=1, mode=symmetric)", 5)])
@pytest.mark.parametrize("name", METHODS)
def test_equals_captum_on_a_pullback(name: str, domain: str, rows: int | str) -> None:
    packed = name == "Occlusion" and "dwt" in domain
    options: dict[str, object] = {"sliding_window_shapes": (1, 4)} if packed else METHODS[name]
    method = Captum(name, **options)
    found = pb.attribute(conv_net(), X, TARGET, method=method, transform=domain, baseline=BASE, batch_size=rows)
    expected = by_hand(name, found.transform, torch.tensor(TARGET), options)
    limit = 1e-6 if name == "Occlusion" else 1e-10  # Captum returns single precision there
    torch.testing.assert_close(found.values, expected, rtol=limit, atol=limit)


def test_every_listed_method_can_be_built() -> None:
    names = [n for n in captum.attr.__all__ if attributes_inputs(n, getattr(captum.attr, n))]
    assert {"LRP", "ShapleyValueSampling", "KernelShap", "NoiseTunnel", "GradientShap"} < set(names)
    for name in names:
        needs = {"layer": "0"} if "layer" in dir(getattr(captum.attr, name)) or "Neuron" in name or "Cam" in name else {}
        Captum(name, **needs, **({"attribution_method": "Saliency"} if name == "NoiseTunnel" else {}))


@pytest.mark.parametrize("domain", DOMAINS)
def test_deeplift_multipliers_are_a_covector(domain: str) -> None:
    found = pb.attribute(conv_net(), X, TARGET, method="captum(DeepLift)", transform=domain, baseline=BASE)
    by_signal = captum.attr.DeepLift(without_in_place_layers(conv_net()), multiply_by_inputs=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        multipliers = by_signal.attribute(X, BASE.expand_as(X), target=torch.tensor(TARGET)).detach()
    torch.testing.assert_close(found.values, found.displacement * found.transform.adjoint(multipliers))
    plain = pb.attribute(conv_net(), X, TARGET, method="input_x_gradient", transform=domain, baseline=BASE)
    assert not torch.allclose(found.values, plain.values)  # the control: hooks that did not run give the gradient


@pytest.mark.parametrize("domain", DOMAINS)
def test_deeplift_is_complete_without_pooling(domain: str) -> None:
    for target in (TARGET, difference(0, 2)):
        found = pb.attribute(conv_net(pool=False), X, target, method="captum(DeepLift)", transform=domain, baseline=BASE)
        assert found.completeness_gap.abs().max() < 1e-10 * found.score_difference.abs().max()


@pytest.mark.parametrize("domain", DOMAINS)
def test_lrp_of_a_relu_network_without_bias_is_input_times_gradient(domain: str) -> None:
    """Shrikumar et al. 2016; Ancona et al. 2018. They differ by Captum's ε of 1e-9."""
    found, expected = (
        pb.attribute(conv_net(bias=False), X, TARGET, method=method, transform=domain)
        for method in ("captum(LRP)", "input_x_gradient")
    )
    torch.testing.assert_close(found.values, expected.values, rtol=1e-5, atol=1e-5)
    assert found.completeness_gap.abs().max() < 1e-6 * found.score_difference.abs().max()


@pytest.mark.parametrize("name", ["Saliency", "IntegratedGradients", "ShapleyValueSampling", "GradientShap", "DeepLift", "LRP"])
@pytest.mark.parametrize("rows", [2, 5])
def test_no_forward_exceeds_the_budget(name: str, rows: int) -> None:
    seen: list[int] = []

    class Watched(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return super().forward(x)

    net = Watched(*conv_net()).eval()
    options = {"feature_mask": "octave", "n_samples": 2} if "Sampling" in name else {}
    found = pb.attribute(net, X, TARGET, method=Captum(name, **options), transform="dct", batch_size=rows)
    assert max(seen) <= rows
    plain = pb.attribute(conv_net(), X, TARGET, method=Captum(name, **options), transform="dct")
    torch.testing.assert_close(found.values, plain.values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "method",
    [
        Captum("ShapleyValueSampling", feature_mask="band", n_samples=3),
        Captum("NoiseTunnel", attribution_method="Saliency", nt_samples=4, stdevs=0.3),
        Captum("GradientShap", n_samples=4, stdevs=0.2),
    ],
    ids=lambda m: m.method,
)
def test_random_methods_depend_on_seed_and_example_and_restore_the_global_state(method: Captum) -> None:
    model = conv_net()  # making layers draws from the global state
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    run = lambda x, target, seed=0: pb.attribute(model, x, target, method=method, transform="dct", seed=seed).values
    together = run(X, TARGET)
    for e in range(3):
        torch.testing.assert_close(run(X[e : e + 1], [e]), together[e : e + 1], rtol=1e-9, atol=1e-9)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
    assert not torch.allclose(run(X, TARGET, 1), together)


def test_captums_value_of_a_feature_group_is_spread_over_the_group() -> None:
    """Exact Shapley values of a linear model: each band's value is Σ z_k ∂f/∂z_k, and so is the sum of its shares."""
    weight = normal(36, 3, seed=5)
    model = lambda x: x.flatten(1) @ weight
    found = pb.attribute(model, X, 0, method="captum(ShapleyValues, feature_mask=octave)", transform="dct")
    layout = found.layout.group("octave")
    expected = layout.sum(found.coefficients * found.transform.adjoint(weight[:, 0].view(1, *SHAPE)))
    torch.testing.assert_close(layout.sum(found.values), expected, rtol=1e-6, atol=1e-6)  # Captum computes weights in float32
    own = pb.attribute(model, X, 0, method=Captum("ShapleyValues", feature_mask=layout.index), transform="dct")
    torch.testing.assert_close(own.values, found.values)


def test_a_transform_that_is_not_linear() -> None:
    net, transform = smooth_net(SHAPE), Sinh(SHAPE)
    found = pb.attribute(net, X, 1, method="captum(IntegratedGradients, n_steps=6)", transform=transform, baseline=BASE)
    method = captum.attr.IntegratedGradients(pb.Pullback(net, transform))
    expected = method.attribute(transform(X), transform(BASE.expand_as(X)), target=1, n_steps=6).detach()
    torch.testing.assert_close(found.values, expected)
    with pytest.raises(ValueError, match="LRP needs a linear transform"):
        pb.attribute(net, X, 1, method="captum(LRP)", transform=transform)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.allowed = conv_net(), True

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        out = self.body(x) * (gain if isinstance(gain, float) else gain[:, None])
        if not self.allowed:
            raise RuntimeError("stop here")
        return out


@pytest.mark.parametrize("name", ["DeepLift", "LRP", "GuidedBackprop", "IntegratedGradients"])
def test_the_model_is_unchanged_after_success_and_after_an_exception(name: str) -> None:
    net = Gated().eval()
    before = copy.deepcopy(net.state_dict())
    names = {key: set(vars(layer)) for key, layer in net.named_modules()}

    def unchanged() -> bool:
        same = all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
        hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in net.modules())
        grads = all(p.grad is None for p in net.parameters())
        return same and hooks == 0 and grads and names == {key: set(vars(m)) for key, m in net.named_modules()}

    x = X.clone()
    pb.attribute(net, x, TARGET, method=Captum(name))
    assert unchanged()
    assert net.body[1].inplace
    assert torch.equal(x, X)
    assert not x.requires_grad
    net.allowed = False
    with pytest.raises(RuntimeError, match="stop here"):
        pb.attribute(net, x, TARGET, method=Captum(name))
    assert unchanged()


@pytest.mark.parametrize("name", ["DeepLift", "IntegratedGradients", "FeatureAblation"])
def test_further_arguments_reach_the_model(name: str) -> None:
    gain = torch.tensor([1.0, 2.0, -1.0], dtype=torch.double)
    found = pb.attribute(Gated().eval(), X, TARGET, model_args=(gain,), method=Captum(name), transform="dct")
    plain = pb.attribute(Gated().eval(), X, TARGET, method=Captum(name), transform="dct")
    torch.testing.assert_close(found.values, plain.values * gain.reshape(3, 1, 1, 1))


def test_errors_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"DeepLift, .*got 'DeepLif'"):
        pb.attribute(conv_net(), X, 0, method="captum(DeepLif)")
    with pytest.raises(ValueError, match=r"unknown option 'steps'; its options: .*n_steps"):
        Captum("IntegratedGradients", steps=3)
    with pytest.raises(ValueError, match=r"arguments of pullback\.attribute"):
        Captum("IntegratedGradients", baselines=0)
    with pytest.raises(ValueError, match="needs the option layer="):
        Captum("GuidedGradCam")
    with pytest.raises(ValueError, match="feature_mask must be band, scale"):
        pb.attribute(conv_net(), X, 0, method="captum(ShapleyValues, feature_mask=rings)")
    with pytest.raises(ValueError, match="should be a tuple"):
        pb.attribute(conv_net(), X, 0, method="captum(Occlusion, sliding_window_shapes=[2])")
    with pytest.raises(ValueError, match="does not attribute the input"), warnings.catch_warnings():
        pb.attribute(conv_net(), X, 0, method="captum(GuidedGradCam, layer='0')", transform="dwt(haar, level=1)")
    with pytest.raises(TypeError, match=r"need an nn\.Module, got function"):
        pb.attribute(lambda x: x.flatten(1), X, 0, method="captum(DeepLift)")
    with pytest.raises(ValueError, match=r"0…2, got 3 for example 1"):
        pb.attribute(conv_net(), X, [0, 3, 1], method="captum(DeepLift)")
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match=r"pip install 'pullback\[captum\]'"):
        Captum("Saliency")
    assert list(Captum.examples()) == []


GROUPED: dict[str, object] = {"feature_mask": "octave"}
NEURON: dict[str, object] = {"layer": "4", "neuron_selector": 0}
OPTIONS: dict[str, dict[str, object]] = {
    "GradientShap": {"n_samples": 2},
    "GuidedGradCam": {"layer": "0"},
    "IntegratedGradients": {"n_steps": 3},
    "KernelShap": {"n_samples": 8},
    "Lime": {"n_samples": 8},
    "NeuronConductance": {"n_steps": 3},
    "NeuronIntegratedGradients": {"n_steps": 3},
    "NeuronGradientShap": {"n_samples": 2},
    "NoiseTunnel": {"attribution_method": "Saliency", "nt_samples": 2},
    "ShapleyValueSampling": {"n_samples": 1, **GROUPED},
    "ShapleyValues": GROUPED,
}
EVERY = [name for name in captum.attr.__all__ if attributes_inputs(name, getattr(captum.attr, name))]
REFUSED = {  # (method, domain): what it says
    ("GuidedGradCam", "dwt(haar, level=1)"): "does not attribute the input",
    ("LRP", "sinh"): "LRP needs a linear transform",
}


@pytest.mark.parametrize("domain", ["pixel", "dwt(haar, level=1)", "dct", "sinh"])
@pytest.mark.parametrize("name", EVERY)
def test_every_class_in_every_kind_of_domain(name: str, domain: str) -> None:
    """All of Captum's classes that attribute the input, in a signal, a packed, a full and a non-linear domain."""
    options = OPTIONS.get(name, {}) | (NEURON if name.startswith("Neuron") else {})
    if name == "Occlusion":
        options = {"sliding_window_shapes": (1, 4) if "dwt" in domain else (1, 2, 2)}
    run = lambda: pb.attribute(
        conv_net(),
        X[:1],
        TARGET[:1],
        method=Captum(name, **options),
        transform=Sinh(SHAPE) if domain == "sinh" else domain,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in ("Lime", "KernelShap") and importlib.util.find_spec("sklearn") is None:
            with pytest.raises(ImportError, match="pip install scikit-learn"):
                run()
        elif (name, domain) in REFUSED:
            with pytest.raises(ValueError, match=REFUSED[name, domain]):
                run()
        else:
            values = run().values
            assert bool(values.isfinite().all())
            assert float(values.abs().max()) > 0


def test_the_tables_of_options_and_refusals_name_existing_methods() -> None:
    assert {name for name, _ in REFUSED} <= set(EVERY)
    assert set(OPTIONS) <= set(EVERY)


@pytest.mark.parametrize("layer", [nn.SiLU(), nn.LayerNorm(36), nn.Softmax(1)], ids=lambda layer: type(layer).__name__)
def test_lrp_refuses_layers_without_a_rule_by_name(layer: nn.Module) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), layer, nn.Linear(36, 3)).double().eval()
    with pytest.raises((TypeError, ValueError), match=type(layer).__name__):
        pb.attribute(net, X, 0, method="captum(LRP)")


def test_nan_names_the_example() -> None:
    x = X.abs()
    x[1] = -1
    with pytest.raises(ValueError, match="nan for example 1"):
        pb.attribute(lambda x: x.flatten(1).sum(1).sqrt(), x, method="captum(FeatureAblation)")


def test_quantus_explain_function() -> None:
    net = conv_net().float()
    explain = quantus_explain("integrated_gradients", transform="dct", batch_size=7)
    inputs, targets = X.float().numpy(), np.array(TARGET)
    found = explain(model=net, inputs=inputs, targets=targets, device="cpu", method="Saliency")
    expected = pb.attribute(net, X.float(), TARGET, method="integrated_gradients", transform="dct").heatmap()
    assert isinstance(found, np.ndarray)
    assert found.shape == (3, 1, 6, 6)
    np.testing.assert_allclose(found[:, 0], expected.numpy(), rtol=1e-4, atol=1e-5)
    shifted = explain(net, inputs, targets, baseline=0.5)
    assert not np.allclose(shifted, found)
    double = explain(net, inputs.astype(np.float64), targets)  # Quantus passes what its loader gave
    np.testing.assert_allclose(double, found, rtol=1e-4, atol=1e-5)
