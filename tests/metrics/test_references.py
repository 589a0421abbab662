"""Agreement with Captum and Quantus where they are right; where they are known to be wrong, the closed form."""

import warnings
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from support.metrics import valued
from support.subjects import linear_net, normal, smooth_net

import pullback as pb
from pullback.metrics import measure
from pullback.metrics.infidelity import Infidelity
from pullback.metrics.judged import judging

SHAPE = (1, 6, 6)


@pytest.mark.parametrize("law", ["noise", "noisy_baseline"])
@pytest.mark.parametrize("scaled", [False, True])
def test_infidelity_is_that_of_captum_on_the_same_perturbations(law: str, scaled: bool) -> None:
    captum = pytest.importorskip("captum.metrics")
    net, x, samples = smooth_net(SHAPE), normal(3, *SHAPE), 12
    att = pb.attribute(net, x, 1, baseline=normal(3, *SHAPE, seed=8))
    metric = Infidelity(law, 0.3, samples, scaled)  # type: ignore[arg-type]
    example = torch.arange(3).repeat(samples)
    with judging(net, att, 1, metric.cost(att)) as judged:
        found = metric.measure(judged)
        moved = metric._perturbed(judged, example, slice(0, 3 * samples)).unflatten(0, (samples, 3))
    phi = att.values / att.displacement
    moved = moved.transpose(0, 1).flatten(0, 1)  # Captum repeats each example
    given = lambda inputs: (inputs - moved, moved)
    theirs = captum.infidelity(net, given, x, phi, target=1, n_perturb_samples=samples, normalize=scaled)
    assert float(found.details["beta"].min()) > 0
    torch.testing.assert_close(found.value, theirs, rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def quantus() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("quantus", reason="pip install '.[bench]'", exc_type=ImportError)


def scored(
    judge: Any, model: torch.nn.Module, x: torch.Tensor, maps: torch.Tensor, batch_size: int = 64, **more: Any
) -> np.ndarray:
    """What a metric of Quantus says."""
    arrays = {"x_batch": x.numpy(), "y_batch": np.zeros(len(x), int), "a_batch": maps.numpy()} | more
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(judge(model, **arrays, batch_size=batch_size, device="cpu", softmax=False))


OPTIONS: dict[str, Any] = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}


class Logits(torch.nn.Module):
    """A linear model in single precision with two classes, the second of which is constant."""

    def __init__(self) -> None:
        super().__init__()
        self.net = linear_net(SHAPE).float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = self.net(x.float())
        return torch.cat([f, torch.zeros_like(f)], 1)


def linear_case() -> tuple[Logits, torch.Tensor, pb.Attribution]:
    model, x = Logits().eval(), normal(4, *SHAPE).float()
    return model, x, pb.attribute(model, x, 0, method="input_x_gradient")


def test_faithfulness_correlation_is_that_of_quantus(quantus: ModuleType) -> None:
    """1 on the shares of a linear model; of other maps, the same up to the sets that are drawn."""
    model, x, att = linear_case()
    how = {"nr_runs": 400, "subset_size": 9, "perturb_baseline": 0.0, "return_aggregate": False} | OPTIONS
    judge = quantus.FaithfulnessCorrelation(**how)
    np.testing.assert_allclose(scored(judge, model, x, att.values), 1, atol=1e-4)
    torch.testing.assert_close(measure(model, att, "mu_fidelity(subset=9)", 0)[0].value, torch.ones(4), rtol=0, atol=1e-4)
    other = valued(att, att.values + 1.5 * att.values.std() * normal(*att.values.shape, seed=3).float())
    ours = measure(model, other, "mu_fidelity(subset=9, samples=400)", 0)[0].value.numpy()
    np.random.seed(0)  # noqa: NPY002  (Quantus draws from it)
    theirs = scored(judge, model, x, other.values)
    assert 0.2 < ours.mean() < 0.95
    np.testing.assert_allclose(ours, theirs, atol=0.15)  # 3 standard errors of the difference, at a correlation near 0.5


def test_sensitivity_n_of_quantus_is_wrong_on_linear_models_and_ours_is_one(quantus: ModuleType) -> None:
    model, x, att = linear_case()
    how = {"features_in_step": 3, "n_max_percentage": 0.8, "perturb_baseline": 0.0, "return_aggregate": False} | OPTIONS
    theirs = scored(quantus.SensitivityN(**how), model, x, att.values)
    assert np.abs(theirs - 1).max() > 0.05
    torch.testing.assert_close(measure(model, att, "sensitivity_n", 0)[0].curve, torch.ones(4, 5), rtol=0, atol=1e-4)


def test_relevance_mass_accuracy_of_quantus_leaves_its_range_on_signed_maps_and_ours_is_the_share_of_sizes(
    quantus: ModuleType,
) -> None:
    """(2 - 1) / (2 - 1 - 0.9) = 10 is no share; Σ over M of |a| / Σ |a| over |M| / d is 3 / 3.9 / (2 / 36)."""
    model, x, att = linear_case()
    values = torch.zeros_like(att.values)
    values.flatten(1)[:, :3] = torch.tensor([2.0, -1.0, -0.9])
    truth = torch.zeros(4, *SHAPE, dtype=torch.bool)
    truth.flatten(1)[:, :2] = True
    judge = quantus.RelevanceMassAccuracy(return_aggregate=False, **OPTIONS)
    theirs = scored(judge, model, x, values, s_batch=truth.numpy())
    np.testing.assert_allclose(theirs, 10, rtol=1e-4)
    ours = measure(model, valued(att, values), "relevance_mass", 0, truth=truth, truth_in="z")[0].value
    torch.testing.assert_close(ours, torch.full((4,), 3 / 3.9 / (2 / 36)), rtol=1e-6, atol=0)


def test_pixel_flipping_of_quantus_has_no_area_and_ours_is_that_of_the_sums(quantus: ModuleType) -> None:
    """Its areas need np.trapz, which NumPy 2.4 has no longer; deletion is 1 - the cumulated shares, by trapezoids."""
    model, x, att = linear_case()
    judge = quantus.PixelFlipping(
        features_in_step=9, perturb_baseline=0.0, return_auc_per_sample=True, return_aggregate=False, **OPTIONS
    )
    with pytest.raises(AttributeError, match="trapz"):
        scored(judge, model, x, att.values)
    budgets = (0.25, 0.5, 0.75, 1.0)
    ranked = att.values.flatten(1).gather(1, att.values.flatten(1).abs().argsort(dim=1, descending=True))
    gone = ranked.double().cumsum(1)[:, [8, 17, 26, 35]] / ranked.double().sum(1, keepdim=True)
    heights = torch.cat([torch.ones(4, 1), 1 - gone], 1)
    area = (heights[:, 1:] + heights[:, :-1]).sum(1) / 8
    ours = measure(model, att, f"deletion(budgets={list(budgets)})", 0)[0].value
    torch.testing.assert_close(ours, area.float(), rtol=1e-4, atol=1e-4)


def test_road_of_quantus_depends_on_the_batch_size_and_our_curves_do_not(quantus: ModuleType) -> None:
    model, x = Logits().eval(), normal(16, *SHAPE).float()
    att = pb.attribute(model, x, 0, method="input_x_gradient")
    road = lambda size: scored(quantus.ROAD(percentages=[20, 50], **OPTIONS), model, x, att.values, size)
    try:
        assert not np.array_equal(road(4), road(16))
    except (AssertionError, IndexError, TypeError, ValueError):
        pytest.fail("ROAD of Quantus no longer depends on the batch size: compare with it")
    one, other = (measure(model, att, "deletion", 0, batch_size=size)[0].value for size in (4, 16))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
