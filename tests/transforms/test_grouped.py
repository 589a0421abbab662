"""Matrices on blocks and on sub-bands: known answers, completed atoms, files, and refusals."""

from pathlib import Path

import pytest
import torch
from support.subjects import normal
from torch import Tensor

import pullback as pb
from pullback.transforms import BlockLinear, SubbandLinear, get


def dct_matrix(*sizes: int) -> Tensor:
    """The orthonormal DCT of a block, coefficients as rows, (m, m)."""
    units = torch.eye(torch.Size(sizes).numel(), dtype=torch.double).reshape(-1, 1, *sizes)
    return get("dct", (1, *sizes))(units).flatten(1).T


def test_the_matrix_of_the_dct_gives_the_block_dct() -> None:
    x, T = normal(2, 1, 8, 12), BlockLinear((1, 8, 12), dct_matrix(4, 2), [4, 2])
    torch.testing.assert_close(T(x), get("block_dct(block=[4, 2])", (1, 8, 12))(x), rtol=1e-12, atol=1e-12)


def test_the_lapped_transform_has_the_known_coding_gain() -> None:
    """Of a first-order process with correlation .95 and blocks of 8: DCT 8.83 dB, fast lapped transform 9.22 dB."""
    size, count = 8, 72
    covariance = 0.95 ** (torch.arange(count)[:, None] - torch.arange(count)).abs().double()

    def gain(overlap: bool) -> float:
        rows = BlockLinear((1, count), dct_matrix(size), size, overlap)(torch.eye(count).double()[:, None])[:, 0].T[32:40]
        variances = (rows @ covariance @ rows.T).diagonal()
        return float(10 * (variances.mean() / variances.log().mean().exp()).log10())

    assert gain(False) == pytest.approx(8.83, abs=0.005)
    assert gain(True) == pytest.approx(9.22, abs=0.005)


def test_a_constant_is_one_atom_of_the_lapped_transform() -> None:
    z = BlockLinear((1, 16, 8), dct_matrix(4, 4), 4, overlap=True)(torch.ones(1, 1, 16, 8).double())
    assert int((z.abs() > 1e-12).sum()) == 4 * 2  # one coefficient in each block


def test_atoms_reach_over_half_of_the_neighbours_only_with_overlap() -> None:
    unit = torch.zeros(1, 1, 24).double()
    unit[0, 0, 8] = 1
    reach = [BlockLinear((1, 24), dct_matrix(8), 8, overlap).inverse(unit).abs() > 1e-12 for overlap in (False, True)]
    assert [torch.nonzero(part[0, 0])[[0, -1], 0].tolist() for part in reach] == [[8, 15], [4, 19]]


def test_given_atoms_are_completed_to_an_orthonormal_basis() -> None:
    rows = torch.linalg.qr(normal(12, 12)).Q[:3]
    T = BlockLinear((3, 8), rows, 4)
    torch.testing.assert_close(T(normal(2, 3, 8))[:, 0, [0, 1, 2]], normal(2, 3, 8)[..., :4].flatten(1) @ rows.T)
    whole = T(torch.eye(24).double().reshape(24, 3, 8)).flatten(1)
    torch.testing.assert_close(whole @ whole.T, torch.eye(24).double(), rtol=0, atol=1e-12)
    unit = torch.eye(4).double()[:2]  # needs no reflection
    torch.testing.assert_close(BlockLinear((1, 4), unit, 4)(normal(1, 1, 4)), normal(1, 1, 4))


def test_sub_bands_are_mixed_place_by_place() -> None:
    inner = get("dwt(db2, level=2)", (3, 8, 8))
    turn = torch.linalg.qr(normal(9, 9)).Q
    identity = SubbandLinear.identity((3, 8, 8), inner)
    x = normal(2, 3, 8, 8)
    torch.testing.assert_close(identity(x), inner(x))
    bands = inner.unpack(inner(x))
    expected = torch.cat([bands[name] for name in ("ad1", "da1", "dd1")], 1).flatten(2).mT @ turn.T
    found = identity.with_matrices(identity.matrices | {"d1": turn})(x)
    torch.testing.assert_close(found.flatten(1)[:, identity.tables["d1"]], expected)
    assert [band.name for band in identity.layout.bands] == ["a2", "d2", "d1"]


@pytest.mark.parametrize("spec", ["block_linear('{}', block=4)", "subband_linear('{}', transform=dwt(haar, level=1))"])
def test_a_saved_transform_is_built_from_its_spec_also_by_a_saved_attribution(spec: str, tmp_path: Path) -> None:
    kind, *options = (BlockLinear, 4) if spec.startswith("block") else (SubbandLinear, "dwt(haar, level=1)")
    T = kind.identity((2, 8), *options)
    T = T.with_matrices({name: torch.linalg.qr(normal(*each.shape)).Q for name, each in T.matrices.items()})
    T.save(tmp_path / "atoms.safetensors")
    read = get(spec.format(tmp_path / "atoms.safetensors"), (2, 8))
    assert torch.equal(read(normal(1, 2, 8)), T(normal(1, 2, 8)))
    att = pb.attribute(lambda x: x.pow(2).flatten(1).sum(1), normal(2, 2, 8), transform=read.spec)
    att.save(tmp_path / "att.safetensors")
    assert torch.equal(pb.Attribution.load(tmp_path / "att.safetensors").transform(normal(1, 2, 8)), T(normal(1, 2, 8)))


def test_bad_matrices_and_blocks_get_one_clear_error(tmp_path: Path) -> None:
    eye, wrong = torch.eye(4), tmp_path / "no.safetensors"
    wrong.write_bytes(b"no")
    for call, said in (
        (lambda: BlockLinear((1, 8), 2 * eye, 4), "rows of block must be orthonormal"),
        (lambda: BlockLinear((1, 8), torch.eye(3), 4), "4 coefficients in a group"),
        (lambda: BlockLinear((1, 9), eye, 4), "does not hold whole blocks"),
        (lambda: BlockLinear((1, 9), torch.eye(3), 3, overlap=True), "a multiple of 2"),
        (lambda: BlockLinear((1, 8, 8), eye, [4]), "one for each of 2 axes"),
        (lambda: BlockLinear((1, 8), str(tmp_path / "none")), "there is no file"),
        (lambda: BlockLinear((1, 8), wrong), "not a file that save wrote"),
        (lambda: SubbandLinear((1, 8), {"d1": eye}, "dwt(haar, level=1)"), "a matrix for each of a1, d1"),
        (lambda: SubbandLinear((1, 8), {}, "dct"), "expected dwt, lattice or swt"),
        (lambda: SubbandLinear.identity((1, 7, 8), "dwt(haar, level=1)"), "several sizes at a scale"),
    ):
        with pytest.raises((ValueError, TypeError), match=said) as error:
            call()
        assert len(str(error.value)) <= 300


def test_a_matrix_in_single_precision_is_made_orthogonal_again() -> None:
    T = BlockLinear((1, 12), torch.linalg.qr(normal(12, 12)).Q.float(), 12)
    assert not pb.axioms.check_transform(T).faults
