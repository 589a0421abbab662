"""The attribution KLT: what the theorem of Schur and Horn promises, and what it does not."""

import pytest
import torch
from support.subjects import normal
from torch import Tensor

import pullback as pb
from pullback.domains import Moments, Pairs, attribution_klt, leading_atoms
from pullback.transforms import BlockLinear, SubbandLinear, Transform, get

SHAPE, BLOCK = (2, 8, 8), 4
GROUPS = BlockLinear.identity(SHAPE, BLOCK)


def pairs(seed: int = 0, count: int = 12, shape: tuple[int, ...] = SHAPE) -> Pairs:
    """Smooth signals, and the covectors of a network that reads some of their structure."""
    x = normal(count, *shape, seed=seed).cumsum(-1)
    g = 0.3 * x.roll(1, -1) + normal(count, *shape, seed=100 + seed)
    return Pairs(x, g, x, (x * g).flatten(1).sum(1), torch.arange(count))


def expected(data: Pairs, T: Transform) -> Tensor:
    """The sum over blocks of the mean attribution of each atom, in units of the examples' norms, falling. Shape: (m,)."""
    values = data.values(T).flatten(1) / data.scale[:, None]
    return values[:, GROUPS.tables["block"]].mean(0).sum(0).sort(descending=True).values


def majorises(one: Tensor, other: Tensor) -> bool:
    return bool((one.cumsum(0) >= other.cumsum(0) - 1e-9).all())


def random_basis(seed: int, size: int = 32) -> Tensor:
    return torch.linalg.qr(normal(size, size, seed=seed)).Q


def test_the_eigenbasis_majorises_every_other_orthogonal_domain_on_its_own_data() -> None:
    data = pairs()
    best = expected(data, attribution_klt(data, GROUPS))
    others = [GROUPS.with_matrices({"block": random_basis(seed)}) for seed in range(50)]
    others += [
        get("block_dct(block=4)", SHAPE),
        get("dwt(haar, level=2)", SHAPE),
        attribution_klt(data, GROUPS, weights=(0, 1, 0)),
    ]
    assert all(majorises(best, expected(data, other)) for other in others)
    assert not any(majorises(expected(data, other), best) for other in others)
    torch.testing.assert_close(best.sum(), expected(data, others[0]).sum())  # the totals are equal


def test_the_eigenbasis_of_other_data_majorises_nothing() -> None:
    """The control of the law above: the optimum belongs to the examples that it was fitted on."""
    data = pairs(0)
    foreign = expected(data, attribution_klt(pairs(1), GROUPS))
    assert not majorises(foreign, expected(data, attribution_klt(data, GROUPS)))
    assert sum(majorises(foreign, expected(data, GROUPS.with_matrices({"block": random_basis(s)}))) for s in range(50)) < 50


def test_expected_attributions_are_the_diagonal_of_the_rotated_moment() -> None:
    data, basis = pairs(), random_basis(3)
    signed = Moments.none(GROUPS).merge(data).signed["block"] / len(data)
    diagonal = (basis @ signed @ basis.T).diagonal().sort(descending=True).values
    torch.testing.assert_close(expected(data, GROUPS.with_matrices({"block": basis})), diagonal)


def test_one_example_is_two_atoms_whatever_the_signal() -> None:
    """sym(x gᵀ) has rank 2 and eigenvalues ½ (⟨x, g⟩ ± ‖x‖ ‖g‖)."""
    one = pairs(count=1, shape=(1, 16))
    T = attribution_klt(one, BlockLinear.identity((1, 16), 16))
    values = one.values(T).flatten().sort(descending=True).values
    product, norms = float(one.total), float(one.scale)
    assert values[[0, -1]].tolist() == pytest.approx([(product + norms) / 2, (product - norms) / 2])
    assert float(values[1:-1].abs().max()) < 1e-12 * norms


def test_parseval_frames_are_majorised_too_and_other_frames_are_not() -> None:
    """T M Tᵀ of a Parseval frame has the eigenvalues of M and zeros; an oblique basis has any diagonal with the same sum."""
    data = pairs(shape=(1, 16))
    own = attribution_klt(data, BlockLinear.identity((1, 16), 16))
    best = (data.values(own).flatten(1) / data.scale[:, None]).mean(0).sort(descending=True).values
    frame = get("swt(haar, level=2)", (1, 16))
    mean = (data.values(frame).flatten(1) / data.scale[:, None]).mean(0).sort(descending=True).values
    assert majorises(torch.cat([best, torch.zeros(len(mean) - 16)]).sort(descending=True).values, mean)
    shear = torch.eye(16).double()
    shear[1:, 0] = 20
    oblique = (data.values(pb.transforms.Linear((1, 16), shear)).flatten(1) / data.scale[:, None]).mean(0)
    assert not majorises(best, oblique.sort(descending=True).values)


def test_the_eigenbasis_has_the_largest_sum_of_absolute_values() -> None:
    """Σ|E a| is the nuclear norm there, and at most that elsewhere: concentration and cancellation are one."""
    data = pairs()
    best = expected(data, attribution_klt(data, GROUPS)).abs().sum()
    assert all(expected(data, GROUPS.with_matrices({"block": random_basis(s)})).abs().sum() <= best for s in range(20))


def test_the_eigenbasis_can_select_worse_than_another_basis() -> None:
    """x = (1, 0), g = (1, √3): the eigenvalues are 3/2 and -1/2, so one atom misses f(x) - f(x₀) = 1 by half; pixels hit it."""
    x, g = torch.tensor([[[1.0, 0.0]]]).double(), torch.tensor([[[1.0, 3**0.5]]]).double()
    data = Pairs(x, g, x, torch.ones(1).double(), torch.zeros(1))
    half = pb.domains.objectives.maker("selection")(budgets=[0.5])
    eigenbasis = attribution_klt(data, BlockLinear.identity((1, 2), 2))
    assert data.values(eigenbasis).flatten().tolist() == pytest.approx([1.5, -0.5])
    assert half.costs(eigenbasis, data).tolist() == pytest.approx([0.5])
    assert half.costs(get("pixel", (1, 2)), data).tolist() == pytest.approx([0.0])


def test_one_basis_is_sparse_for_each_example_without_the_model() -> None:
    """With x / ‖x‖ as an atom, a is ⟨x, g⟩ there and 0 elsewhere: the least Σ|a|, per example, is found without g."""
    one = pairs(count=1, shape=(1, 16))
    T = BlockLinear((1, 16), one.displacement[0] / one.displacement.norm(), 16)
    values = one.values(T).flatten()
    assert float(values[0]) == pytest.approx(float(one.total))
    assert float(values[1:].abs().max()) < 1e-10


@pytest.mark.parametrize("groups", [GROUPS, SubbandLinear.identity(SHAPE, "dwt(haar, level=2)")], ids=["blocks", "sub-bands"])
def test_streams_and_lanczos_agree_with_the_dense_matrix(groups: BlockLinear | SubbandLinear) -> None:
    data = pairs()
    whole, streamed = Moments.none(groups).merge(data), Moments.none(groups)
    for part in (data[torch.arange(5)], data[torch.arange(5, 12)]):
        streamed = streamed.merge(part)
    for kind, matrix in whole.signed.items():
        torch.testing.assert_close(streamed.signed[kind], matrix)
        values, atoms = leading_atoms(data, groups, kind, 2)
        exact = torch.linalg.eigvalsh(matrix)
        torch.testing.assert_close(values, exact[[-1, 0]])
        torch.testing.assert_close(matrix @ atoms.T, atoms.T * values)
    T = attribution_klt(data, groups, atoms=2)
    assert not pb.axioms.check_transform(T).faults


def test_the_klt_of_the_data_is_that_of_pca() -> None:
    data = pairs(count=40, shape=(1, 6))
    blind = attribution_klt(data, BlockLinear.identity((1, 6), 6), weights=(0, 1, 0))
    units = data.displacement / data.displacement.norm(dim=(1, 2), keepdim=True)
    axes = pb.transforms.PCA.fit(torch.cat([units, -units])).axes.flatten(1)  # without a mean
    torch.testing.assert_close((blind.matrices["block"] @ axes.T).abs(), torch.eye(6).double(), rtol=0, atol=1e-8)


def test_bad_weights_get_one_clear_error() -> None:
    for call, said in (
        (lambda: attribution_klt(pairs(), GROUPS, weights=(0, 0, 0)), "three numbers from 0"),
        (lambda: attribution_klt(pairs(), GROUPS, weights=(1, -1, 0)), "three numbers from 0"),
        (lambda: attribution_klt(pairs(), GROUPS, weights=(1, 1, 0), atoms=3), "drop one of them"),
        (lambda: attribution_klt(torch.zeros(3), GROUPS), "expected an Attribution"),  # type: ignore[arg-type]
    ):
        with pytest.raises((ValueError, TypeError), match=said) as error:
            call()
        assert len(str(error.value)) <= 300
