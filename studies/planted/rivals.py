"""What other scores would name: each picks the domain in which it is best."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...attribution import Attribution
from ...metrics import measure
from ...metrics.protocol.conclusion import NEUTRAL, ROTATION, Evidence
from ...metrics.protocol.families import OWN
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
)


def picks(evidence: Evidence, maps: Mapping[str, Attribution], model: Any, target: Any) -> dict[str, str]:
    """The domain that each score of `SCORES` prefers, by the mean over units; a random rotation is one of the domains.

    maps: of each domain and of `ROTATION`.
    """
    names = (*evidence.domains, ROTATION)
    table = {name: _scores(evidence, name, maps[name], model, target) for name in names}
    return {score: max(names, key=lambda name: table[name][score]) for score in SCORES}


def _scores(evidence: Evidence, name: str, one: Attribution, model: Any, target: Any) -> dict[str, float]:
    """Each score in one domain, the larger the better."""
    by, answer = evidence.kinds[0], evidence.answers[0]

    def error(control: str, families: list[str]) -> float:
        return float(evidence.error(name, control, families, by, answer).mean())

    insertion, deletion, srg = (
        float(np.nanmean(found.value.numpy())) for found in measure(model, one, ["insertion", "deletion", "srg"], target)
    )
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
    }
