"""The attribution KLT: the orthogonal matrices whose expected attributions are the most concentrated ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from ..attribution import Attribution
from ..core.checks import check_count, check_seed, is_number, listed, quoted
from ..transforms.grouped import Grouped
from .pairs import Pairs

Weights = Sequence[float]  # of the signed moment, of the energy, of the gradient
Kinds = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of groups of coefficients, summed over all groups of a kind and examples, {kind: (m, m)} each.

    With y = x - x₀ and g = ḡ in a group, both in units of the example's ‖x - x₀‖ and ‖ḡ‖:
    signed: Σ ½ (y gᵀ + g yᵀ), whose diagonal in any orthogonal basis is the sum of the attributions there.
    energy: Σ y yᵀ, of which the KLT is made that does not see the model.  gradient: Σ g gᵀ.
    """

    groups: Grouped
    signed: Kinds
    energy: Kinds
    gradient: Kinds

    @classmethod
    def none(cls, groups: Grouped) -> "Moments":
        """The moments of no example in the groups of a transform, whose own matrices do not matter."""
        identity = groups.with_matrices({kind: torch.eye(table.shape[1]) for kind, table in groups.tables.items()})
        signed, energy, gradient = (
            {kind: torch.zeros(table.shape[1], table.shape[1]).double() for kind, table in groups.tables.items()}
            for _ in range(3)
        )
        return cls(identity, signed, energy, gradient)

    def merge(self, pairs: Pairs) -> "Moments":
        """The moments with more examples added; these are read once, and not kept."""
        sums = [dict(self.signed), dict(self.energy), dict(self.gradient)]
        for part in pairs.blocks:
            for kind, (y, g) in _rows(part, self.groups).items():
                cross = (y.T @ g).double().to(sums[0][kind])
                for total, more in zip(sums, ((cross + cross.T) / 2, y.T @ y, g.T @ g)):
                    total[kind] = total[kind] + more.double().to(total[kind])
        return Moments(self.groups, *sums)

    def mixed(self, weights: Weights) -> Kinds:
        """The weighted sum of the three moments, each in units of its trace norm: shrinkage towards what has less noise."""
        found = {kind: torch.zeros_like(matrix) for kind, matrix in self.signed.items()}
        for weight, moment in zip(_checked(weights), (self.signed, self.energy, self.gradient)):
            for kind, matrix in moment.items():
                size = torch.linalg.eigvalsh(matrix).abs().sum() if weight else 0
                found[kind] += weight * matrix / size if size else 0
        return found

    def klt(self, weights: Weights = (1, 0, 0), factors: Sequence[int] = ()) -> Grouped:
        """The groups with the eigenvectors of `mixed` as atoms, by falling eigenvalue.

        factors: the sizes of the channels and axes of a group, if atoms shall be products of one vector for each; the
        vectors of an axis are eigenvectors of the moment summed over all others (its partial trace).
        """
        mixed = self.mixed(weights)
        made = {kind: _products(matrix, factors) if factors else _eigenvectors(matrix) for kind, matrix in mixed.items()}
        return self.groups.with_matrices(made)


def attribution_klt(
    source: Pairs | Attribution | Sequence[Attribution],
    groups: Grouped,
    *,
    weights: Weights = (1, 0, 0),
    atoms: int | None = None,
    seed: int = 0,
) -> Grouped:
    """The orthogonal transform of these groups in which the k largest expected attributions sum to the most, for every k.

    With M = sym E[(x - x₀) ḡᵀ] in a group, E[a] is the diagonal of T M Tᵀ, and by Schur and Horn the eigenvalues of M
    majorise it for every orthogonal T. The optimum holds on the examples that it is fitted on; on others it overfits where
    these are few, which `weights` counter. docs/fitted_domains.md says what the theorem does not promise.

    groups: `BlockLinear.identity(shape, block)` or `SubbandLinear.identity(shape, transform)`.
    weights: of M, of E[(x - x₀)(x - x₀)ᵀ] and of E[ḡ ḡᵀ]; (0, 1, 0) is the KLT of the data, which never saw the model.
    atoms: None, or compute so many atoms of M, half of them with the smallest eigenvalues, by Lanczos iteration: no m × m
    matrix is made, examples are read some dozen times, and the rest of the basis is completed by reflections.
    Source: Schur 1923; Horn 1954; Karhunen 1947, Loève 1948 for the KLT; Lehoucq, Sorensen & Yang 1998 (ARPACK).
    Raises: TypeError or ValueError for attributions without a covector, weights that are not three numbers from 0, not all of
    them 0, or both weights and atoms.

    >>> x = torch.randn(40, 1, 8, generator=torch.Generator().manual_seed(0))
    >>> slope = torch.tensor([0.6, 0.8] * 4)  # every block of two is read along (0.6, 0.8)
    >>> att = pb.attribute(lambda x: (x[:, 0] * slope).unflatten(1, (4, 2)).sum(2).pow(2).sum(1), x)
    >>> T = pb.domains.attribution_klt(att, pb.transforms.BlockLinear.identity((1, 8), 2))
    >>> T.atoms[0, 0].abs().round(decimals=1)
    tensor([0.6000, 0.8000], dtype=torch.float64)
    """
    pairs = Pairs.of(source)
    if atoms is None:
        return Moments.none(groups).merge(pairs).klt(weights)
    if tuple(_checked(weights)) != (1, 0, 0):
        raise ValueError(
            f"attribution_klt: with atoms, the weights must be (1, 0, 0), got {quoted(weights)}; drop one of them."
        )
    wanted = {
        kind: min(check_count("attribution_klt", "atoms", atoms), table.shape[1]) for kind, table in groups.tables.items()
    }
    return groups.with_matrices({kind: leading_atoms(pairs, groups, kind, n, seed)[1] for kind, n in wanted.items()})


def leading_atoms(pairs: Pairs, groups: Grouped, kind: str, atoms: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(eigenvalues, atoms as rows) of the signed moment of one kind, by falling eigenvalue, (k,) and (k, m).

    Half of the atoms have the largest, and half the smallest eigenvalues; one more at the top for an odd number.
    """
    size = groups.tables[kind].shape[1]
    groups = Moments.none(groups).groups

    def product(vector: np.ndarray) -> np.ndarray:
        v, out = torch.from_numpy(vector.reshape(-1)).to(pairs.covector.dtype), np.zeros(size)
        for part in pairs.blocks:
            y, g = _rows(part, groups)[kind]
            out += ((y.T @ (g @ v) + g.T @ (y @ v)) / 2).double().numpy()
        return out

    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    if atoms >= size - 1:
        values, vectors = np.linalg.eigh(np.stack([product(unit) for unit in np.eye(size)]))
    else:
        start = np.random.default_rng(check_seed("attribution_klt", seed)).standard_normal(size)
        values, vectors = eigsh(operator, atoms, which="BE", v0=start)
    order = np.argsort(-values)
    return torch.from_numpy(values[order].copy()), torch.from_numpy(vectors.T[order].copy())


def _rows(pairs: Pairs, groups: Grouped) -> dict[str, tuple[Tensor, Tensor]]:
    """{kind: (x - x₀, ḡ) in every group of every example}, in units of the examples' norms. Shapes: (groups, m)."""
    y = groups(_unit(pairs.displacement)).flatten(1)
    g = groups.adjoint(_unit(pairs.covector)).flatten(1)
    places = {kind: table.to(y.device) for kind, table in groups.tables.items()}
    return {kind: (y[:, table].flatten(0, 1), g[:, table].flatten(0, 1)) for kind, table in places.items()}


def _unit(x: Tensor) -> Tensor:
    norm = x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))
    return x / norm.where(norm > 0, 1)


def _eigenvectors(matrix: Tensor) -> Tensor:
    """Eigenvectors as rows, by falling eigenvalue; the entry of largest magnitude of each is positive."""
    vectors = torch.linalg.eigh(matrix)[1].flip(1)
    return (vectors * torch.sign(vectors.gather(0, vectors.abs().argmax(0, keepdim=True)))).T


def _products(matrix: Tensor, factors: Sequence[int]) -> Tensor:
    """The Kronecker product of the eigenvectors of the partial traces of a moment, by falling expected attribution."""
    whole, found = matrix.reshape(*factors, *factors), torch.ones(1, 1).to(matrix)
    for axis in range(len(factors)):
        rows = [chr(ord("a") + place) for place in range(len(factors))]
        columns = ["z" if place == axis else letter for place, letter in enumerate(rows)]
        trace = torch.einsum(f"{''.join(rows)}{''.join(columns)}->{rows[axis]}z", whole)
        found = torch.kron(found, _eigenvectors(trace))
    return found[(found @ matrix @ found.T).diagonal().argsort(descending=True)]


def _checked(weights: Weights) -> list[float]:
    given = listed(weights) or []
    if len(given) != 3 or not all(is_number(w) and w >= 0 for w in given) or not sum(given) > 0:
        wanted = "three numbers from 0, for the signed moment, the energy and the gradient, not all of them 0"
        raise ValueError(f"attribution_klt: weights must be {wanted}; got {quoted(weights)}.")
    return [float(weight) for weight in given]
