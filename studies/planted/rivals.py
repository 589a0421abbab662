"""What other scores would name: each picks the domain in which it is best."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ...attribution import Attribution
from ...metrics import measure
from ...metrics.protocol.conclusion import NEUTRAL, ROTATION, Evidence
from ...metrics.protocol.errors import Cell, errors
from ...metrics.protocol.families import OWN, SHARE, strongest
from ...metrics.sparsity import fraction_holding, gini

PROTOCOL = "the protocol"
SCORES = (
    "selection error, away",
    "selection error, own",
    "gain, away",
    "|z| alone",
    "insertion",
    "deletion",
    "srg, signed",
    "gini",
    "samples that hold 90 %",
    "greedy oracle, own",
    "µ-fidelity",
    "sensitivity-n",
    "rate–fidelity",
    "mass on the truth, lift",
)
_MEASURED = ("insertion", "deletion", "srg", "mu_fidelity", "sensitivity_n", "rate_fidelity", "relevance_mass")


def picks(evidence: Evidence, maps: Mapping[str, Attribution], model: Any, target: Any, atoms: Tensor) -> dict[str, str]:
    """The domain that each score of `SCORES` prefers, by the mean over units; a random rotation is one of the domains.

    maps: of each domain and of `ROTATION`.  atoms: what carries the class, (batch, *shape).
    """
    names = (*evidence.domains, ROTATION)
    table = {name: _scores(evidence, name, maps[name], model, target, atoms) for name in names}
    return {score: max(names, key=lambda name: table[name][score]) for score in SCORES}


def truth(one: Attribution, atoms: Tensor) -> Tensor:
    """The fewest coefficients that hold 90 % of the energy of the atoms in the domain of a map, (batch, *coeff)."""
    return strongest(one.transform(atoms), SHARE)


def _scores(evidence: Evidence, name: str, one: Attribution, model: Any, target: Any, atoms: Tensor) -> dict[str, float]:
    """Each score in one domain, the larger the better."""
    by, answer = evidence.kinds[0], evidence.answers[0]

    def error(control: str, families: list[str]) -> float:
        return float(evidence.error(name, control, families, by, answer).mean())

    oracle = evidence.curves[Cell(name, "oracle", OWN, by, answer)]
    scored = measure(model, one, _MEASURED, target, truth=truth(one, atoms), truth_in="z")
    insertion, deletion, srg, fidelity, sensitivity, rate, mass = (float(found.value.nanmean()) for found in scored)
    return {
        "selection error, away": -error("attribution", evidence.away(name)),
        "selection error, own": -error("attribution", [OWN]),
        "gain, away": error("coefficient", [NEUTRAL]) - error("attribution", [NEUTRAL]),
        "|z| alone": -error("coefficient", [OWN]),
        "insertion": insertion,
        "deletion": -deletion,
        "srg, signed": srg,
        "gini": float(gini(one.values).mean()),
        "samples that hold 90 %": -float(fraction_holding(one.values).mean()),
        "greedy oracle, own": -float(np.nanmean(errors(oracle, evidence.differences[answer]))),
        "µ-fidelity": fidelity,
        "sensitivity-n": sensitivity,
        "rate–fidelity": rate,
        "mass on the truth, lift": mass,
    }
