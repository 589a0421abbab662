"""Fitted domains judged on pictures that no part of their search held: `python -m benchmarks.scripts.confirmed_domains`.

Two domains of the network that was trained against PGD attacks were named by the comparison protocol after their results had
picked them for it. Here the question is fixed first: `CONFIRMATIONS` says which pictures a search has, and which other ones
judge its two final domains, against the same rivals. Each answer goes into results/fitted-domains.json.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

import pullback as pb
from benchmarks.results.stored import read
from benchmarks.scripts.fitted_domains import FAMILIES, FOLDS, STORED, entry, store, streams_of, summary
from benchmarks.subjects.searched import PICTURES
from pullback.domains import FittedDomain, concluded
from pullback.domains.streams import FITTED, TWIN
from pullback.studies import load_model
from pullback.studies.zoo.fashion_mnist import fashion_of

DATA, NAMED, OBJECTIVE = "fashion-pgd", ("lattice", "block_klt"), "selection"
NOISE = 5e-4  # of a mean cost, between two runs of the same search


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """A search, and the pictures that judge what it found.

    network: a packaged one.  searched: the pictures that fit, choose and judge, by their number in the test set.
    new: pictures that judge the final domains.  seed: of the deal into parts and of training.  stored: whether the search is
    the stored one, whose domains must be found again.  unfitted: whether the known domain of the same form is the rival instead
    of the menu: a domain of the menu that selects nearly the same signal would stand for it.
    """

    network: str
    searched: range
    new: range
    seed: int
    stored: bool = False
    unfitted: bool = False


CONFIRMATIONS = {
    "the stored domains": Confirmation("fashion-pgd-seed0", range(PICTURES), range(1_100, 1_400), 0, True),
    "against known ones of their form": Confirmation(
        "fashion-pgd-seed0", range(PICTURES), range(1_700, 2_000), 0, stored=True, unfitted=True
    ),
    "fitted anew, with other pictures": Confirmation("fashion-pgd-seed0", range(2_000, 3_100), range(3_100, 3_350), 1),
    "another network of the same training": Confirmation("fashion-pgd-seed1", range(4_000, 5_100), range(5_100, 5_350), 2),
}
UNFITTED = {"lattice": "dwt({}, level=3)", "block_klt": "block_dct(block={})"}  # of the wavelet, or the size, that was chosen


def pictures(numbers: range) -> Tensor:
    """These pictures of the test set, (len(numbers), 1, 28, 28)."""
    return fashion_of("t10k", numbers.stop)[0][numbers.start :]


def check_disjoint(searched: Tensor, new: Tensor) -> None:
    """Raises: ValueError where a new picture is one of those that were searched, bit by bit."""
    known = {one.numpy().tobytes() for one in searched}
    shared = [number for number, one in enumerate(new) if one.numpy().tobytes() in known]
    if shared:
        raise ValueError(
            f"confirm: expected pictures that the search has not had; {len(shared)} are among them: {shared[:10]}."
        )


def final(found: FittedDomain, examples: int) -> FittedDomain:
    """The final domains of a search, as those that judge `examples` examples of other streams."""
    judged = pd.DataFrame({"example": range(examples), "fold": 0})
    return dataclasses.replace(found, judged=judged, domains=[{FITTED: found.transform, TWIN: found.twin}])


def unfitted(family: str, found: FittedDomain) -> str:
    """The known domain of the form that was chosen: the wavelet that a lattice was trained from, or the DCT of such blocks."""
    rows = found.candidates
    [chosen] = rows[(rows["fold"] == -1) & (rows["search"] == FITTED) & rows["chosen"]]["candidate"]
    return UNFITTED[family].format(chosen.split(",")[0].removeprefix("block="))


def check_stored(family: str, found: FittedDomain) -> None:
    """Raises: ValueError where a search has not found again what is stored of it: its candidates, with costs within `NOISE`."""
    made = entry(DATA, family, found)["chosen"]
    known = [one for one in (read(STORED) or {}).get("entries", []) if (one["data"], one["family"]) == (DATA, family)]
    kept = [one["chosen"] for one in known if one["settings"]["objective"] == OBJECTIVE]
    if not any(_same(one, made) for one in kept):
        raise ValueError(f"confirm: the search of {family} found other domains than those that are stored: {str(made)[:120]}.")


def _same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Whether two lists of chosen candidates are equal but for rounding, by which a threshold may take another coefficient."""
    names, costs = ("fold", "search", "candidate"), ("fit", "choose")
    alike = lambda a, b: all(a[name] == b[name] for name in names) and all(abs(a[cost] - b[cost]) < NOISE for cost in costs)
    return len(one) == len(other) and all(alike(a, b) for a, b in zip(one, other))


def confirm(asked: Confirmation, families: Sequence[str], cache: Path) -> dict[str, dict[str, Any]]:
    """{family: what the protocol says of its final domain on the new pictures}."""
    model, old, new = load_model(asked.network).module, pictures(asked.searched), pictures(asked.new)
    check_disjoint(old, new)
    made = []
    for numbers, x in ((asked.searched, old), (asked.new, new)):
        path = cache / f"{asked.network}-{numbers.start}-{numbers.stop}"
        made.append(streams_of((model, x, torch.arange(len(x))), path))
    searched, others = made
    find = lambda family: pb.fit_domain(searched, FAMILIES[DATA][family], OBJECTIVE, folds=FOLDS, seed=asked.seed)
    menu, told = None if asked.unfitted else final(find("menu"), len(others.pairs)), dict[str, dict[str, Any]]()
    for family in families:
        found = find(family)
        if asked.stored:
            check_stored(family, found)
        known = {"not fitted": unfitted(family, found)} if asked.unfitted else {}
        said = concluded(final(found, len(others.pairs)), others, menu, others=known)
        print(said.sentence, said.errors, flush=True)
        domains = {"fitted": found.transform.spec, "twin": found.twin.spec, **known}
        domains |= {} if menu is None else {"menu": menu.transform.spec, "menu without the model": menu.twin.spec}
        told[family] = summary(said) | {"domains": domains, "examples": len(others.pairs), **_where(asked)}
    return told


def _where(asked: Confirmation) -> dict[str, Any]:
    spans = {name: [span.start, span.stop] for name, span in (("searched", asked.searched), ("new", asked.new))}
    return {"network": asked.network, "seed": asked.seed, **spans}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=CONFIRMATIONS)
    parser.add_argument("--family", action="append", choices=NAMED)
    parser.add_argument("--cache", type=Path, default=Path("results/streams"))
    given = parser.parse_args()
    for name in given.only or CONFIRMATIONS:
        for family, said in confirm(CONFIRMATIONS[name], given.family or NAMED, given.cache).items():
            store(confirmed={f"{family}, {name}": {"family": family, "search": name, **said}})


if __name__ == "__main__":
    main()
