"""The best basis costs no more than any other basis, and isolates the coefficients that a model reads."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subjects import normal, smooth_net
from torch import Tensor

import pullback as pb
from pullback.attribution import Attribution, basis_cost
from pullback.transforms import WPT, TransformClaim, get

METHODS = ("integrated_gradients(steps=4)", "input_x_gradient", "gradient", "smoothgrad(samples=2)")
COSTS = ("entropy", "l1")


def attributions(shape: tuple[int, ...], method: str = METHODS[0], transform: str = "pixel", batch: int = 2) -> Attribution:
    return pb.attribute(smooth_net(shape), normal(batch, *shape), 0, method=method, transform=transform)


def all_trees(level: int, dims: int) -> Iterator[tuple[str, ...]]:
    """The leaves of every admissible tree: the root alone, or a tree below each of its children."""
    yield ("",)
    if level == 0:
        return
    keys = ["".join(key) for key in itertools.product("ad", repeat=dims)]
    for below in itertools.product(list(all_trees(level - 1, dims)), repeat=len(keys)):
        yield tuple(key + path for key, paths in zip(keys, below) for path in paths)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("shape", "level"), [((2, 16), 3), ((1, 13), 3), ((1, 6, 5), 1), ((1, 8, 8), 2), ((1, 4, 3, 2), 1)])
def test_it_is_the_cheapest_of_all_trees(shape: tuple[int, ...], level: int, method: str, cost: str) -> None:
    att = attributions(shape, method)
    tried = {nodes: basis_cost(att, WPT(shape, "db2", nodes=nodes), cost) for nodes in all_trees(level, len(shape) - 1)}
    price = {frozenset(nodes): costs for nodes, costs in tried.items()}  # several trees may cost the same
    together = pb.best_basis(att, cost, wavelet="db2", level=level)
    assert float(price[frozenset(together.nodes)].sum()) == pytest.approx(
        min(float(c.sum()) for c in tried.values()), rel=1e-12
    )
    for example, own in enumerate(pb.best_basis(att, cost, wavelet="db2", level=level, per_example=True)):
        least = min(float(costs[example]) for costs in tried.values())
        assert float(price[frozenset(own.nodes)][example]) == pytest.approx(least, rel=1e-12)


def test_the_number_of_trees_is_the_known_one() -> None:
    assert [len(list(all_trees(level, 1))) for level in range(5)] == [1, 2, 5, 26, 677]
    assert [len(list(all_trees(level, 2))) for level in range(3)] == [1, 2, 17]


@given(
    st.lists(st.integers(1, 33), min_size=1, max_size=1) | st.lists(st.integers(2, 9), min_size=2, max_size=3),
    st.sampled_from(COSTS),
    st.sampled_from(METHODS),
    st.sampled_from(["haar", "db4"]),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_it_costs_no_more_than_levels_and_pyramids(sizes: list[int], cost: str, method: str, wavelet: str) -> None:
    shape = (1, *sizes)
    att, depth = attributions(shape, method, batch=1), min(5, int(math.log2(max(sizes))))
    found = pb.best_basis(att, cost, wavelet=wavelet)
    least = float(basis_cost(att, found, cost))
    for name, level in itertools.product(("wpt", "dwt"), range(depth + 1)):
        other = float(basis_cost(att, get(f"{name}({wavelet}, level={level})", shape), cost))
        assert least <= other * (1 + 1e-12), (name, level)
    assert found.claims == TransformClaim.ORTHOGONAL
    assert found.level <= depth


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("shape", "leaf", "place"), [((1, 64), "dad", 5), ((1, 64), "ddad", 1), ((1, 16, 16), "addd", 7)])
def test_it_isolates_the_node_that_a_model_reads(
    shape: tuple[int, ...], leaf: str, place: int, dtype: torch.dtype, cost: str
) -> None:
    """f reads one coefficient of one node: only a tree with that leaf has a single share that is not 0."""
    dims = len(shape) - 1
    reader = WPT(shape, "db3", level=len(leaf) // dims)
    number = int((reader.layout.index[0] == reader.nodes.index(leaf)).nonzero()[place])
    model = lambda x: reader(x)[:, 0, number].tanh()
    att = pb.attribute(model, normal(4, *shape, dtype=dtype), method=METHODS[0])
    found = pb.best_basis(att, cost, wavelet="db3", level=4 if dims == 1 else 3)
    assert leaf in found.nodes
    path = [leaf[:i] for i in range(dims, len(leaf) + 1, dims)]  # only the nodes on the way to the leaf are split
    assert len(found.nodes) == len(path) * (2**dims - 1) + 1
    values = pb.attribute(model, normal(4, *shape, dtype=dtype), method=METHODS[0], transform=found).values.flatten(1).abs()
    assert bool((values.amax(1) > 0.999 * values.sum(1)).all())


@pytest.mark.parametrize("method", METHODS)
def test_the_domain_of_the_attribution_does_not_matter(method: str) -> None:
    specs = ["pixel", "dct", "dwt(haar, level=2)", "swt(bior2.2, level=1)", "dtcwt(level=2)"]
    nodes = {spec: pb.best_basis(attributions((1, 32), method, spec), level=4).nodes for spec in specs}
    assert len(set(nodes.values())) == 1, nodes


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("transform", ["dwt(db2, level=2)", "swt(haar, level=2)", "dft"])
def test_values_follow_from_the_covector(method: str, transform: str) -> None:
    att = attributions((1, 12), method, transform)
    assert att.covector is not None
    pulled = att.transform.adjoint(att.covector)
    torch.testing.assert_close(att.values, att.displacement * pulled if (att.kind == "share") else pulled)


def test_cost_is_its_definition() -> None:
    """The cost equals a double loop over the values that `attribute` finds in that basis."""
    x, model = normal(2, 1, 12), smooth_net((1, 12))
    transform = get("wpt(db2, level=2)", (1, 12))
    for method in METHODS:
        att, own = (pb.attribute(model, x, 0, method=method, transform=t) for t in ("pixel", transform))
        shares = att.kind == "share"
        for e in range(2):
            norm = float(own.transform.adjoint(att.covector)[e].norm()) * (float(x[e].norm()) if shares else 1)  # type: ignore[arg-type]
            q = [abs(float(a)) / norm for a in own.values[e].flatten()]
            p = q if shares else [value**2 for value in q]
            entropy = -sum(value * math.log(value) for value in p)
            assert float(basis_cost(att, transform, "entropy")[e]) == pytest.approx(entropy, rel=1e-10)
            assert float(basis_cost(att, transform, "l1")[e]) == pytest.approx(sum(q), rel=1e-10)
            assert sum(p) <= 1 + 1e-12


def test_a_set_may_come_in_parts_and_in_any_order() -> None:
    att = attributions((1, 24), batch=5)
    whole = pb.best_basis(att, level=3)
    assert pb.best_basis([att[:2], att[2:]], level=3).nodes == whole.nodes
    assert pb.best_basis([att[3:], att[:3]], level=3).nodes == whole.nodes
    each = pb.best_basis(att, level=3, per_example=True)
    assert [t.nodes for t in each] == [pb.best_basis(att[i], level=3).nodes for i in range(5)]


def test_no_example_outweighs_another() -> None:
    """Multiplying the score of one example by 1000 gives the same basis, as costs are relative to each example's norm."""
    att = dataclasses.replace(attributions((1, 32), batch=6), covector=normal(6, 1, 32, seed=3))
    scale = torch.tensor([1e3, 1, 1, 1, 1, 1e-3], dtype=torch.float64)[:, None, None]
    scaled = dataclasses.replace(att, covector=normal(6, 1, 32, seed=3) * scale)
    assert pb.best_basis(scaled, level=4).nodes == pb.best_basis(att, level=4).nodes
    largest = [pb.best_basis(part, level=4).nodes for part in (att[0], att)]
    assert largest[0] != largest[1]  # the control: the examples differ, so that their weights matter


def test_all_zero_attributions_give_the_signal_itself() -> None:
    att = pb.attribute(lambda x: 0 * x.flatten(1).sum(1), normal(2, 1, 16))
    assert pb.best_basis(att).nodes == ("",)
    assert basis_cost(att, get("wpt", (1, 16))).tolist() == [0, 0]


def test_a_cost_given_as_a_function() -> None:
    att = attributions((1, 16))
    count = lambda q: (q > 0.05).double()
    found = pb.best_basis(att, count, level=2)
    least = min(float(basis_cost(att, WPT((1, 16), "db4", nodes=nodes), count).sum()) for nodes in all_trees(2, 1))
    assert float(basis_cost(att, found, count).sum()) == least


def test_it_runs_no_model() -> None:
    calls = []

    def model(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x.flatten(1).sum(1).tanh()

    att = pb.attribute(model, normal(2, 1, 16))
    before = list(calls)
    pb.best_basis(att)
    assert calls == before


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda att: pb.best_basis(att, "l0"), ValueError, "expected cost in entropy, l1, or a function"),
        (lambda att: pb.best_basis(att, wavelet="bior2.2"), ValueError, "wavelet must be orthonormal"),
        (lambda att: pb.best_basis(att, wavelet="daub"), ValueError, "not a discrete wavelet"),
        (lambda att: pb.best_basis(att, level=5), ValueError, r"level must lie in 0…4"),
        (lambda att: pb.best_basis(att.values), TypeError, "expected an Attribution"),
        (lambda att: pb.best_basis([]), ValueError, "at least one attribution"),
        (lambda att: pb.best_basis([att, attributions((1, 8))]), ValueError, "all of signals of one shape"),
        (lambda att: pb.best_basis(att, lambda q: (0 * q).log()), ValueError, "one finite number"),
        (lambda att: pb.best_basis(att, lambda q: q.sum()), ValueError, "one finite number"),
        (lambda att: basis_cost(att, get("swt", (1, 16))), ValueError, "costs compare in orthonormal bases only"),
        (lambda att: pb.best_basis(dataclasses.replace(att, covector=None)), ValueError, "keeps no covector"),
    ],
)
def test_wrong_arguments_are_refused(call: Callable[[Attribution], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(attributions((1, 16)))
