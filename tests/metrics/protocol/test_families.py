"""What foreign families remove."""

import pytest
import torch

import pullback as pb
from pullback.metrics.protocol.families import blur, noise, projected, strongest
from pullback.metrics.protocol.shuffled import shuffled, shuffled_for


@pytest.mark.parametrize("spec", ["pixel", "dct", "dwt(haar, level=2)"])
def test_the_fewest_units_that_hold_the_share(spec: str) -> None:
    family = pb.transforms.get(spec, (1, 16))
    r = torch.randn(5, 1, 16, generator=torch.Generator().manual_seed(0)).double()
    z, kept = family(r), family(projected(family, r))
    energy = z.square().flatten(1)
    used = kept.abs().flatten(1) > 1e-12
    assert ((kept - z).abs().flatten(1)[used] < 1e-12).all()
    held = (energy * used).sum(1) / energy.sum(1)
    smallest = torch.where(used, energy, torch.inf).amin(1) / energy.sum(1)
    assert (held >= 0.9).all()
    assert (held - smallest < 0.9).all()
    assert (torch.where(used, 0, energy).amax(1) / energy.sum(1) <= smallest).all()


@pytest.mark.parametrize("share", [0.1, 0.9, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_strongest_are_the_first_of_a_sort_also_with_ties_and_numbers_of_any_size(dtype: torch.dtype, share: float) -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        long = seed < 4 and dtype == torch.float64  # single precision: sums of so many may differ by the last entry
        size = 20_000 if long else int(torch.randint(1, 300, (), generator=generator))
        z = torch.randn(3, size, generator=generator, dtype=dtype)
        z = (z, z.round(decimals=1), z * 10.0 ** torch.randint(-15, 15, z.shape, generator=generator), z * (z > 0.5))[seed % 4]
        mantissa, exponent = torch.frexp(z.abs())
        digits = {torch.float32: 12, torch.float64: 27}[dtype]
        # half of the digits count; equal ones in the order of their place
        level = (mantissa * 2 ** (digits + 1)).double() + 1 / 2
        level = (level.floor() + exponent.double() * 2**digits).where(z != 0, -torch.inf)
        place = level.argsort(dim=1, descending=True, stable=True)
        energy = z.square().gather(1, place)
        first = energy.cumsum(1) - energy < share * energy.sum(1, keepdim=True)
        assert torch.equal(strongest(z, share), torch.zeros_like(first).scatter_(1, place, first))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_does_not_decide_which_of_equal_units_is_removed(dtype: torch.dtype) -> None:
    """1 is a power of two, where the exponent changes; a number that is really larger comes first."""
    rounding = torch.finfo(dtype).eps * torch.tensor([-1.0, 1.0, 0.0, -2.0, 2.0, 0.0, 1.0, -1.0], dtype=dtype)
    assert strongest((1 + rounding)[None], 0.49)[0].tolist() == [True] * 4 + [False] * 4
    larger = torch.finfo(dtype).eps ** 0.5 * torch.tensor([0, 0, 0, 0, 9, 9, 9, 9], dtype=dtype)
    assert strongest((1 + rounding + larger)[None], 0.49)[0].tolist() == [False] * 4 + [True] * 4


def test_nothing_removed_is_nothing() -> None:
    assert not projected(pb.transforms.get("dct", (1, 8)), torch.zeros(2, 1, 8)).any()


def test_noise_has_the_spectrum_and_mean_of_what_it_replaces_and_not_its_shape() -> None:
    r = torch.randn(4, 2, 6, 9, generator=torch.Generator().manual_seed(0)).double()
    n = r - noise(r)
    spectra = [torch.fft.fft2(each).abs() for each in (n, r)]
    torch.testing.assert_close(*spectra, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(n.mean((2, 3)), r.mean((2, 3)))
    assert float(torch.nn.functional.cosine_similarity(n.flatten(1), r.flatten(1)).abs().max()) < 0.5
    torch.testing.assert_close(noise(r)[1:2], noise(r[1:2]), rtol=0, atol=1e-12)
    assert not torch.equal(noise(r), noise(r, seed=1))


def test_blur_takes_details_and_leaves_what_is_smooth() -> None:
    time = torch.arange(64, dtype=torch.float64)
    slow, fast = (torch.cos(torch.pi * k * (time + 0.5) / 64)[None, None] for k in (2, 60))
    assert float(blur(slow).norm() / slow.norm()) < 0.1
    assert float(blur(fast).norm() / fast.norm()) > 0.99


def test_a_shuffled_model_keeps_sizes_and_values_and_leaves_the_model() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    before = [parameter.clone() for parameter in network.parameters()]
    twin = shuffled(network, 0)
    for own, other, kept in zip(network.parameters(), twin.parameters(), before):
        assert torch.equal(own, kept)
        assert torch.equal(own.flatten().sort().values, other.flatten().sort().values)
    assert not torch.equal(network[0].weight, twin[0].weight)
    assert torch.equal(twin[0].weight, shuffled(network, 0)[0].weight)


def test_a_method_that_sees_the_function_alone_gets_a_faster_form_of_the_shuffled_model() -> None:
    """Also where rounding moves f; a method of layers, and a model with hooks, get the model with all of its layers."""
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 2))
    network, x = torch.nn.Sequential(*layers).eval().double(), torch.randn(2, 3, 8, 8).double()
    network[1].running_mean, network[1].running_var = torch.randn(4).double(), torch.rand(4).double() + 0.5
    before = {name: value.clone() for name, value in network.state_dict().items()}
    twin, found = shuffled(network, 0), shuffled_for("integrated_gradients", network, x, 0)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in found.modules())
    torch.testing.assert_close(found(x), twin(x), rtol=1e-10, atol=1e-10)
    assert not torch.allclose(found(x), network(x))
    assert found.get_submodule("0").weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
    assert network[0].weight.is_contiguous()
    rules = shuffled_for("captum(GuidedBackprop)", network, x, 0)
    assert [type(layer) for layer in rules] == [type(layer) for layer in network]
    network[0].register_forward_hook(lambda *given: None)
    assert isinstance(shuffled_for("gradient", network, x, 0)[1], torch.nn.BatchNorm2d)
