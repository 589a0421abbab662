"""Randomised parameters and other classes: what is copied, what is random, and what the numbers say."""

import copy
import functools

import numpy as np
import pytest
import torch
from scipy import stats
from support.subjects import normal, smooth_net
from support.uncopyable import MODELS, X
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import targets
from pullback.metrics import explainer, measure
from pullback.metrics.randomisation import randomised

SHAPE = (1, 16)
EACH = ["mprt(steps=2)", "mprt_spearman(steps=2)", "label_randomisation", "label_randomisation_spearman"]


def test_layers_become_random_from_the_last_to_the_first_in_a_copy() -> None:
    model = smooth_net(SHAPE)
    before = copy.deepcopy(model.state_dict())
    places = [1, 3, 5]  # the linear layers
    same = lambda twin, layer: torch.equal(twin[layer].weight, model[layer].weight)
    seen = [(share, [same(twin, layer) for layer in places]) for share, twin in randomised(model, seed=0)]
    assert seen == [(1 / 3, [True, True, False]), (2 / 3, [True, False, False]), (1.0, [False, False, False])]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [share for share, _ in randomised(model, 0, steps=2)] == [2 / 3, 1.0]
    assert [share for share, _ in randomised(model, 0, steps=99)] == [1 / 3, 2 / 3, 1.0]


def test_random_parameters_keep_their_size_and_depend_on_the_seed() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 200))
    drawn = [next(twin for _, twin in randomised(model, seed))[1].weight for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    size = model[1].weight.detach().square().mean().sqrt()
    assert float(drawn[0].detach().std() / size) == pytest.approx(1, abs=0.05)


class Tied(nn.Module):
    """Two layers that share their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x.flatten(1))))


def test_shared_parameters_stay_shared_and_are_drawn_once() -> None:
    weights = []
    for _, twin in randomised(Tied(), 0):
        assert twin.first.weight is twin.second.weight
        weights.append(twin.first.weight.clone())
    assert torch.equal(weights[0], weights[1])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models_that_refuse_to_be_copied_are_randomised_without_a_change(name: str) -> None:
    model = MODELS[name]()
    with torch.no_grad():
        before = model(X).clone()
        _, twin = next(randomised(model, 0, steps=1))
        assert not torch.allclose(twin(X), before)
        assert torch.equal(model(X), before)


def test_a_map_that_ignores_the_model_has_similarity_one_and_the_gradient_less() -> None:
    model, x = smooth_net(SHAPE), normal(4, *SHAPE)
    blind = lambda model, x, target: pb.Attribution.from_map(x, x, kind="sensitivity")
    for found in measure(model, blind(model, x, 0), EACH, 0, explain=blind):
        torch.testing.assert_close(found.value, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-12)
    for found in measure(model, pb.attribute(model, x, 0, method="gradient"), EACH, 0):
        assert found.value.max() < 0.9


@pytest.mark.parametrize("domain", ["pixel", "dct"])
def test_of_a_linear_model_similarities_are_those_of_rows_of_weights(domain: str) -> None:
    """The map of a class is its row of weights: cos(w, w') and ranks of |T w|, w' random, or of the other class."""
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).double(), normal(4, *SHAPE)
    with torch.no_grad():
        other = model(x).index_fill(1, torch.tensor([0]), -torch.inf).argmax(1)
        (_, twin) = next(randomised(model, 0, 1))
        own, drawn, rows = model[1].weight[0], twin[1].weight[0], model[1].weight[other]
    att = pb.attribute(model, x, 0, method="gradient", transform=domain)
    pairs = {"mprt": drawn.expand(4, -1), "label_randomisation": rows}
    for name, against in pairs.items():
        cosine, ranks = measure(
            model, att, [f"{name}(steps=1)", f"{name}_spearman(steps=1)"] if name == "mprt" else [name, f"{name}_spearman"], 0
        )
        expected = torch.nn.functional.cosine_similarity(own[None], against)
        torch.testing.assert_close(cosine.value, expected.detach(), rtol=0, atol=1e-10)
        sizes = [att.transform(each.reshape(-1, *SHAPE)).flatten(1).abs().detach().numpy() for each in (own, against)]
        known = [stats.spearmanr(sizes[0][0], row).statistic for row in sizes[1]]
        np.testing.assert_allclose(ranks.value.numpy(), known, atol=1e-10)
    assert float((cosine.value - 1).abs().min()) > 0.1


def test_cosines_are_equal_in_orthonormal_domains_and_rank_correlations_are_not() -> None:
    model, x = smooth_net(SHAPE), normal(3, *SHAPE)
    method = "integrated_gradients(steps=4, rule=gauss_legendre)"
    pixel, dct = (measure(model, pb.attribute(model, x, 1, method=method, transform=t), EACH, 1) for t in ("pixel", "dct"))
    for name, a, b in zip(EACH, pixel, dct):
        distance = float((a.value - b.value).abs().max())
        assert distance < 1e-10 if "spearman" not in name else distance > 1e-3, name


def test_random_maps_have_the_declared_chance() -> None:
    """The mean over 400 random maps lies within four standard errors of 0."""
    model, x = smooth_net(SHAPE), normal(1, *SHAPE).expand(400, *SHAPE)
    random = pb.Attribution.from_map(normal(400, *SHAPE, seed=5), x, kind="sensitivity")
    own = pb.attribute(model, x[:1], 0, method="gradient").values
    explain = lambda model, x, target: pb.Attribution.from_map(
        pb.attribute(model, x[:1], target if isinstance(target, int) else target[0], method="gradient").values.expand_as(x),
        x,
        kind="sensitivity",
    )
    assert own.any()
    for found in measure(model, random, EACH, 0, explain=explain):
        assert abs(float(found.value.mean())) < 4 * float(found.value.std()) / 20


def test_other_class_is_the_one_with_the_largest_other_output() -> None:
    weight = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False)).double().eval()
    model[1].weight.data = weight
    x = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]], dtype=torch.float64)
    for target in (0, [0, 0], targets.predicted()):
        att = pb.attribute(model, x, target, method="gradient")
        (found,) = measure(model, att, "label_randomisation", target)
        assert found.details["other"].tolist() == [2, 1]
        assert found.value.abs().max() < 1e-12  # their gradients are orthogonal


def test_a_target_that_is_chosen_by_the_output_is_that_of_x_for_every_model() -> None:
    model, x = smooth_net(SHAPE), normal(4, *SHAPE)
    predicted = model(x).argmax(1).tolist()
    assert len(set(predicted)) > 1
    for steps in ("mprt(steps=3)", "max_sensitivity(radius=3.0, samples=2)"):
        chosen, fixed = (
            measure(model, pb.attribute(model, x, t, method="gradient"), steps, t)[0].value
            for t in (targets.predicted(), predicted)
        )
        torch.testing.assert_close(chosen, fixed, rtol=1e-12, atol=1e-12)


def test_batch_norm_lazy_layers_and_frozen_parameters_stay_as_they_are() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).double()
    model(normal(5, *SHAPE))
    model.eval().requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    att = pb.attribute(model, normal(2, *SHAPE), 1, method="gradient")
    assert all(found.value.isfinite().all() for found in measure(model, att, EACH, 1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("model", "match"),
    [(lambda x: x.flatten(1), "needs an nn.Module, got function"), (nn.Flatten(), "no parameters")],
)
def test_models_without_parameters_are_refused(model: object, match: str) -> None:
    att = pb.attribute(model, normal(1, *SHAPE), 0, method="gradient")  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError), match=match) as raised:
        measure(model, att, "mprt", 0)  # type: ignore[arg-type]
    assert len(str(raised.value)) <= 300


def test_targets_that_are_no_class_have_no_other_class() -> None:
    model, x = smooth_net(SHAPE, classes=1), normal(1, *SHAPE)
    with pytest.raises(ValueError, match="class of several"):
        measure(model, pb.attribute(model, x, method="gradient"), "label_randomisation")
    with pytest.raises(ValueError, match="rows, classes"):
        measure(model, pb.attribute(model, x, 0, method="gradient"), "label_randomisation", 0)
    net = smooth_net(SHAPE)
    att = pb.attribute(net, x, 0, method="gradient")
    with pytest.raises(ValueError, match=r"explain=, a function \(model, x, target\)"):
        measure(net, att, "label_randomisation", 0, explain=lambda model, x: pb.attribute(model, x, 0, method="gradient"))


def test_parameters_of_the_model_itself_come_last() -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offset, self.net = nn.Parameter(torch.ones(16)), nn.Linear(16, 2)

    model = Holds()
    twins = randomised(model, 0)
    assert torch.equal(next(twins)[1].offset, model.offset)
    assert not torch.equal(next(twins)[1].offset, model.offset)


def test_zero_maps_are_similar_to_nothing() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).double().eval()
    model[1].weight.data.zero_()
    att = pb.attribute(model, normal(2, *SHAPE), 0, method="gradient")
    assert all(found.value.isnan().all() for found in measure(model, att, EACH, 0))


def test_maps_do_not_depend_on_batch_size_order_and_duplicates() -> None:
    model, x = smooth_net(SHAPE), normal(3, *SHAPE)
    explain = functools.partial(pb.attribute, method="gradient", transform="dct")
    specs = [*EACH, "max_sensitivity(samples=2)", "top_k_stability(samples=2)", "top_k_stability(under=shift)"]
    once = measure(model, explain(model, x, [0, 1, 2]), specs, [0, 1, 2])
    order = [2, 0, 0, 1]
    again = measure(model, explain(model, x[order], order), specs, order, batch_size=2)
    for name, a, b in zip(specs, once, again):
        torch.testing.assert_close(a.value[order], b.value, rtol=1e-9, atol=1e-10, msg=name)


def test_no_more_evaluations_than_announced() -> None:
    rows = 0

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = smooth_net(SHAPE)

        def forward(self, x: Tensor) -> Tensor:
            nonlocal rows
            rows += len(x)
            return self.net(x)

    for method in ("gradient", "smoothgrad(samples=3)", "integrated_gradients(tol=0.01)", "rise(masks=8)"):
        model, seen = Counting().eval(), []
        att = pb.attribute(model, normal(2, *SHAPE), 0, method=method)
        for spec in [*EACH, "max_sensitivity(samples=2)", "top_k_stability(under=shift)"]:
            rows, metric = 0, pb.metrics.get(spec)
            progress = lambda done, planned: seen.append((done, planned))  # noqa: B023
            measure(model, att, metric, 0, progress=progress)
            assert rows <= 2 * (2 + metric.cost(att)) + 8, (method, spec)
            assert seen[-1][0] <= seen[-1][1]
            assert seen[-1][0] > 0.1 * rows


def test_an_explainer_of_another_method_is_refused() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    att = pb.attribute(model, x, 0, method="gradient", transform="dct")
    wrong = {
        "method": explainer("smoothgrad(samples=2)", "dct"),
        "transform": explainer("gradient", "pixel"),
        "baseline": explainer("gradient", "dct", baseline="mean"),
        "share values": explainer("input_x_gradient", "dct"),
        "shape": explainer("gradient", "swt(haar, level=1)"),
    }
    for what, explain in wrong.items():
        with pytest.raises(ValueError, match=what) as raised:
            measure(model, att, "max_sensitivity", 0, explain=explain)
        assert len(str(raised.value)) <= 300
    with pytest.raises(ValueError, match="explains class 0, and target is 1"):
        measure(model, att, "max_sensitivity", 1)
    with pytest.raises(TypeError, match="returned Tensor"):
        measure(model, att, "max_sensitivity", 0, explain=lambda model, x, target: x)


@pytest.mark.parametrize(
    ("method", "baseline"),
    [
        ("gradient", None),
        ("integrated_gradients(steps=4, rule=gauss_legendre)", 0.5),
        ("integrated_gradients(tol=0.001)", "blur(sigma=2)"),
        ("smoothgrad(samples=3, spread=0.2)", "uniform(0, 1)"),
        ("shapley(by=scale)", 1),
        ("rise(masks=4)", "mean(per=example)"),
    ],
)
def test_an_explainer_made_from_the_settings_makes_the_same_map(method: str, baseline: object) -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    att = pb.attribute(model, x, 1, method=method, baseline=baseline, seed=3)  # type: ignore[arg-type]
    again = pb.metrics.explainer_of(att)(model, x, 1)
    torch.testing.assert_close(att.values, again.values, rtol=0, atol=0)
    assert att.settings["options"] == again.settings["options"]


def test_settings_that_do_not_say_everything_are_refused() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    for att, match in (
        (pb.attribute(model, x, 0, baseline=x * 0.5), "baseline"),
        (pb.Attribution.from_map(x, x), "method 'from_map'"),
    ):
        with pytest.raises(ValueError, match=match) as raised:
            measure(model, att, "max_sensitivity", 0)
        assert len(str(raised.value)) <= 300
