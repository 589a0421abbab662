"""A GPU gives the numbers of the CPU, and the host does not wait for it without need. Skipped where there is no GPU."""

import warnings

import pytest
import torch
from support.subjects import TRANSFORMS, convolutional_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.transforms import Transform, TransformClaim

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SHAPE = (3, 12, 14)
RANDOM = ("rise", "smoothgrad", "squaregrad", "vargrad", "absgrad", "expected_gradients", "gradient_shap")
METHODS = [
    "gradient",
    "integrated_gradients",
    "input_x_gradient",
    "occlusion",
    "shapley",
    "sobol",
    "hsic",
    "lime",
    "kernel_shap",
    *RANDOM,
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: f"{t.spec} {t.shape}"[:80])
def test_transforms_give_the_same_numbers(transform: Transform) -> None:
    x = normal(2, *transform.shape)
    z, there = transform(x), transform(x.cuda())
    torch.testing.assert_close(there.cpu(), z, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(transform.inverse(there).cpu(), transform.inverse(z), rtol=1e-9, atol=1e-10)
    if TransformClaim.LINEAR in transform.claims:
        torch.testing.assert_close(transform.adjoint(x.cuda()).cpu(), transform.adjoint(x), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    "spec",
    [
        "dwt(haar, level=2)",
        "dwt(db4, level=2)",
        "dwt(db4, level=2, mode=reflect)",
        "dct",
        "hadamard",
        "color",
        "block_dct(block=4)",
        "dtcwt(level=2)",
    ],
)
def test_transforms_are_exact_whatever_torch_allows_in_products(spec: str, allowed: bool) -> None:
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, allowed
    try:
        transform = pb.transforms.get(spec, (3, 64, 64))
        x = normal(4, 3, 64, 64).float()
        torch.testing.assert_close(transform(x.cuda()).cpu().double(), transform(x.double()), rtol=1e-5, atol=1e-5)
        assert torch.backends.cuda.matmul.allow_tf32 == allowed
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("net", [smooth_net(SHAPE), convolutional_net()], ids=["smooth", "convolutional"])
def test_maps_are_those_of_the_cpu_and_do_not_depend_on_rows(method: str, net: nn.Module) -> None:
    x = normal(3, *SHAPE)
    run = lambda device, rows: pb.attribute(
        net.to(device), x.to(device), 1, method=method, batch_size=rows, transform=["dwt(haar, level=2)", "polar"]
    )
    there, split = run("cuda", 64), run("cuda", 7)
    here = run("cpu", 64)
    for a, b, c in zip(there, split, here):
        torch.testing.assert_close(a.values, b.values, rtol=1e-8, atol=1e-10)
        if method not in RANDOM:  # each device has its own random numbers
            torch.testing.assert_close(a.score_difference.cpu(), c.score_difference, rtol=1e-9, atol=1e-10)
            torch.testing.assert_close(a.values.cpu(), c.values, rtol=1e-8, atol=1e-10)


def test_noise_is_the_examples_own_on_a_gpu_too() -> None:
    net, x = convolutional_net().cuda(), normal(3, *SHAPE).cuda()
    both = pb.attribute(net, x, 1, method="smoothgrad(samples=9)")
    alone = pb.attribute(net, x[2:], 1, method="smoothgrad(samples=9)")
    torch.testing.assert_close(alone.values[0], both.values[2], rtol=1e-9, atol=1e-11)


def test_a_score_that_is_not_finite_is_named() -> None:
    net = lambda x: torch.where(x[:, :1].flatten(1).sum(1) > 20, torch.nan, 1.0) * x.flatten(1).sum(1)
    x = normal(4, *SHAPE).cuda()
    x[2] += 10
    with pytest.raises(ValueError, match="returned nan for example 2"):
        pb.attribute(net, x, method="smoothgrad(samples=20)", batch_size=8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("options", [{}, {"mode": "reduce-overhead"}], ids=["inductor", "cuda graphs"])
def test_compiled_models_in_any_order_of_calls(options: dict[str, str]) -> None:
    net, x = convolutional_net(torch.float).cuda(), normal(3, *SHAPE).float().cuda()
    compiled = pb.Execution(compile=options or True)
    for method in ("smoothgrad(samples=9)", "rise(masks=30)", "integrated_gradients(steps=11)", "gradient"):
        plain = pb.attribute(net, x, 1, method=method, transform=["dct", "polar"])
        run = pb.attribute(net, x, 1, method=method, transform=["dct", "polar"], execution=compiled)
        for a, b in zip(run, plain):
            torch.testing.assert_close(a.values, b.values, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("precision", "cosine"), [("fp32", 0.999999), ("tf32", 0.9999), ("bf16", 0.999), ("auto", 0.999)])
def test_precisions_on_a_smooth_network(precision: str, cosine: float) -> None:
    net, x = convolutional_net(), normal(3, *SHAPE)
    true = pb.attribute(net, x, 1, method="integrated_gradients(steps=16)")
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    execution = pb.Execution(precision=precision)
    net, there = net.float().cuda(), x.float().cuda()
    att = pb.attribute(net, there, 1, method="integrated_gradients(steps=16)", execution=execution)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
    found = torch.cosine_similarity(att.values.cpu().double().flatten(1), true.values.flatten(1))
    assert bool((found > cosine).all())
    torch.testing.assert_close(att.score_difference.cpu().double(), true.score_difference, rtol=1e-4, atol=1e-5)


def waits(run: object) -> int:
    """The number of times that the host waited for the device."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()  # type: ignore[operator]
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(one.message) for one in told)


@pytest.mark.parametrize(
    "method",
    [
        "smoothgrad(samples={})",
        "integrated_gradients(steps={})",
        "squaregrad(samples={})",
        "rise(masks={})",
        "expected_gradients(samples={})",
    ],
)
def test_nothing_waits_for_the_device_chunk_by_chunk(method: str) -> None:
    net, x = convolutional_net().cuda(), normal(2, *SHAPE).cuda()
    count = lambda samples: waits(
        lambda: pb.attribute(net, x, 1, method=method.format(samples), transform="dct", batch_size=8, baseline="uniform(0, 1)")
    )
    assert count(8) == count(40)
    assert waits(lambda: x.sum().item()) == 1


def test_out_of_memory_halves_the_rows() -> None:
    free = torch.cuda.mem_get_info()[0]
    wide = int(free / 4 / 40)  # bytes of one row: 160 rows need all the free memory, and a batch of 400 does not fit

    def hungry(x: Tensor) -> Tensor:
        torch.empty(len(x) * wide, dtype=torch.uint8, device=x.device)
        return x.flatten(1).sin().sum(1)

    x = normal(4, *SHAPE).cuda()
    att = pb.attribute(hungry, x, method="smoothgrad(samples=100)", batch_size=400)
    assert att.settings["batch_size"] < 400
    torch.testing.assert_close(
        att.values, pb.attribute(lambda x: x.flatten(1).sin().sum(1), x, method="smoothgrad(samples=100)").values
    )
    torch.cuda.empty_cache()


def test_memory_grows_with_rows_and_not_with_samples() -> None:
    net, x = convolutional_net().cuda(), normal(4, *SHAPE).cuda()

    def peak(samples: int, rows: int) -> int:
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        pb.attribute(net, x, 1, method=f"smoothgrad(samples={samples})", batch_size=rows)
        return torch.cuda.max_memory_allocated() - held

    peak(20, 10)
    more_rows = (320 - 20) * len(x)
    assert peak(320, 10) - peak(20, 10) <= 64 * more_rows  # a few numbers per row may be kept, but no row
    assert peak(320, 1000) > 2 * peak(320, 10)
