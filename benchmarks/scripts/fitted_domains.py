"""Domains fitted to real models: `python -m benchmarks.scripts.fitted_domains --data photos --family menu`.

Streams of gradients are stored in --cache, so that families are searched without running the model again; each call adds its
entry to results/fitted-domains.json, of which `make pages` makes docs/fitted_domains.md.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import pullback as pb
from benchmarks.results.stored import RESULTS, read
from benchmarks.subjects.searched import SUBJECTS, Subject
from pullback.core.files import write_text
from pullback.domains import FittedDomain, Pairs, Streams, concluded, randomise, transfer, transfer_matrix
from pullback.domains.families import Menu, get_family
from pullback.domains.objectives import get_objective
from pullback.domains.streams import FITTED
from pullback.metrics.protocol.conclusion import Conclusion
from pullback.studies.hidden_frame import KINDS, planted_search, sentences
from pullback.studies.loaders.adapted import Probabilities
from pullback.studies.report import atoms
from pullback.studies.report.figures import save
from pullback.studies.report.tilings import transfers

STORED = RESULTS / "fitted-domains.json"
PICTURES_OF_DOCS = RESULTS.parents[1] / "docs" / "pictures"
METHOD, FOLDS, SHORTLIST = "integrated_gradients(steps=32, rule=graded)", 4, 12
MENU = ["dct", "block_dct(block=8)", "block_dct(block=16)", *(f"dwt({name}, level=5)" for name in ("haar", "db4", "sym8"))]
COLORS = "color(opponent) >> "
OBJECTIVES = ("l1", "entropy", "selection")
LATTICE = "lattice(wavelets=[db4], level=5)"  # of which training is timed: 40 steps, each on 8 examples
PHOTOS: dict[str, str | Menu] = {
    "menu": Menu([*MENU, *(f"color(opponent) >> {spec}" for spec in MENU)]),
    "packets": "packets(wavelets=[db4], level=4, trees=[isotropic, anisotropic], before='color(opponent)')",
    "block_klt": "block_klt(weights=[[1, 0, 0], [1, 1, 0], [1, 9, 0], [0, 1, 0]])",
    "subband_klt": "subband_klt(wavelets=[db4], levels=[5], weights=[[1, 0, 0], [1, 1, 0], [1, 9, 0], [0, 1, 0]])",
    "lattice": "lattice(wavelets=[db2, db4], level=5, steps=20, each=all, before='color(opponent)')",
}
PICTURES: dict[str, str | Menu] = {
    "menu": "menu",
    "packets": "packets(wavelets=[haar, db4], level=3)",
    "block_klt": "block_klt(block=[4, 7, 14])",
    "subband_klt": "subband_klt(wavelets=[haar, db4], levels=[2])",
    "lattice": "lattice(wavelets=[db2, db4], level=3, batch=64)",
}
# A scale of one channel and one axis has nothing that subband_klt could mix.
RECORDINGS: dict[str, str | Menu] = {
    "menu": "menu",
    "packets": "packets(wavelets=[db4, sym8], level=6, trees=[isotropic, space_frequency])",
    "block_klt": "block_klt",
    "lattice": "lattice(wavelets=[db4, db6], level=8)",
}
VOLUMES: dict[str, str | Menu] = {
    "menu": "menu",
    "packets": "packets(wavelets=[haar, db4], level=2)",
    "block_klt": "block_klt",
    "subband_klt": "subband_klt(wavelets=[haar, db4], levels=[3])",
    "lattice": "lattice(wavelets=[db2, db4], level=3, each=axis)",
}
FASHION = ("fashion-erm", "fashion-pgd", "fashion-transformer")
FAMILIES = {"photos": PHOTOS, "stamps": PHOTOS, **dict.fromkeys(FASHION, PICTURES), "animals": RECORDINGS, "digits3d": VOLUMES}
# Domains of one model are judged on others: which models, and families whose domains exist for all their signals.
SHAPE_FREE = {"menu": "menu", "lattice": "lattice(wavelets=[db2, db4], level=4, each=all)"}
TRANSFERS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "pictures": (
        ("fashion-erm", "fashion-erm-1", "fashion-pgd", "fashion-transformer", "mnist-erm", "mnist-pgd"),
        {"block_klt": "block_klt(block=[4, 7, 14])", "packets": "packets(wavelets=[haar, db4], level=3)"},
    ),
    "kinds": (("fashion-pgd", "animals", "digits3d"), SHAPE_FREE),
}
TRANSFERRED = {"pictures": 250, "kinds": 60}  # examples of each model, at most
LEAST = 0.2  # of the median |f(x) - f(x₀)|: examples below it are left out, since the selection error divides by it


def streams(data: str, cache: Path, most: int | None = None) -> Streams:
    """The stored streams of a data set, or of its first examples; they are made where they are missing."""
    return streams_of(SUBJECTS[data](), cache / data, most)


def streams_of(subject: Subject, path: Path, most: int | None = None) -> Streams:
    """The streams of a subject, in files whose names begin with that of a path; they are made where they are missing."""
    model, x, group = subject
    real = _stream(path.with_name(f"{path.name}-real.safetensors"), model, x)
    # Of the randomised copy the score before the sigmoid, if there is one: its probabilities are all 0 or 1.
    control = randomise(model.inner if isinstance(model, Probabilities) else model)
    random = _stream(path.with_name(f"{path.name}-random.safetensors"), control, x)

    size = real["difference"].abs()
    kept = (size >= LEAST * size.median()).nonzero()[:most, 0]

    def made(net: nn.Module, part: dict[str, Tensor], other: Streams | None) -> Streams:
        pairs = Pairs(x, part["covector"], x, part["difference"], group)[kept]
        return Streams(pairs, other, net, part["target"][kept])

    return made(model, real, made(control, random, None))


def _stream(path: Path, net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Covectors, differences and targets: for each input the class that the network predicts."""
    if not path.exists():
        target = torch.cat([net(part).argmax(1) for part in x.split(16)])
        att = pb.attribute(net, x, target, method=METHOD)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"covector": att.covector, "difference": att.score_difference, "target": target}
        save_file({name: part.contiguous() for name, part in tensors.items()}, path)
    return load_file(path)


def entry(data: str, family: str, found: FittedDomain) -> dict[str, Any]:
    """What is stored of one search."""
    chosen = found.candidates[found.candidates["chosen"]]
    kept = chosen[["fold", "search", "candidate", "fit", "choose"]].round(5).to_dict("records")
    return {
        "data": data,
        "family": family,
        "settings": found.settings,
        "candidates": int((found.candidates["fold"] == 0).sum() / found.candidates["search"].nunique()),
        "domains": [found.transform.spec, found.twin.spec],
        "chosen": [row for row in kept if row["search"] in ("fitted", "twin")],
        "contrasts": found.contrasts.round(5).to_dict("records"),
        "judged": found.judged.drop(columns=["example", "fold"]).round(4).to_dict("list"),
    }


def cost(data: str, images: int, rounds: int) -> dict[str, Any]:
    """What a search costs beside its stream: 50 candidates by each objective as a share of the stream, and training in seconds.

    Each is the median over rounds of the processor time of one process on one thread, in which stream and candidates take
    turns. bare: the share of 50 transforms of both tensors that are built before and go on from none other.
    `fit_domain` asks an objective only about the part that chooses: in all folds together, once about each example.
    """
    model, x, _ = SUBJECTS[data]()
    x = x[:images]
    target = model(x).argmax(1)
    stream, att = _timed(lambda: pb.attribute(model, x, target, method=METHOD))
    pairs, taken = Pairs.of(att), list[dict[str, float]]()
    specs = candidates(pairs.shape)
    built = [pb.transforms.get(spec, pairs.shape) for spec in specs]
    for _ in range(rounds):
        stream, _ = _timed(lambda: pb.attribute(model, x, target, method=METHOD))
        shares = {name: _timed(lambda name=name: _judged(specs, name, pairs[slice(None)]))[0] / stream for name in OBJECTIVES}
        bare, _ = _timed(lambda: [T(each)[0] for T in built for each in (pairs.displacement, pairs.covector)])
        training, _ = _timed(lambda: list(get_family(LATTICE).candidates(pairs, get_objective("l1"))))
        taken.append({"stream": stream, **shares, "bare": bare / stream, "training": training})
    found = pd.DataFrame(taken).median().to_dict()
    return {"data": data, "images": images, "rounds": rounds, **{name: round(value, 4) for name, value in found.items()}}


def _judged(specs: Sequence[str], objective: str, pairs: Pairs) -> list[Tensor]:
    """What the pairs cost in each domain, which is built first."""
    return [get_objective(objective).costs(pb.transforms.get(spec, pairs.shape), pairs) for spec in specs]


def candidates(shape: tuple[int, ...]) -> list[str]:
    """50 specs: those of the menu, and where these are fewer, wavelets and packets of other lengths."""
    menu = [domain.spec for domain in pb.domains.menu(shape)]
    names = [f"{family}{length}" for length in range(3, 9) for family in ("db", "sym")]
    more = [f"{what}({name}, level=1)" for what in ("dwt", "wpt") for name in names]
    return list(dict.fromkeys([*menu, *more]))[:50]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of processor time, and what was made."""
    clock = time.process_time()
    made = work()
    return time.process_time() - clock, made


def store(made: dict[str, Any] | None = None, **more: dict[str, Any]) -> None:
    """Adds an entry, or measurements by name, to what is stored by now."""
    stored = read(STORED) or {"entries": [], "cost": {}, "planted": {}}
    if made is not None:
        key = lambda one: (one["data"], one["family"], one["settings"]["objective"], bool(one["settings"].get("shortlist")))
        others = [one for one in stored["entries"] if key(one) != key(made)]
        stored["entries"] = [*others, made]
    for name, found in more.items():
        stored[name] = {**stored.get(name, {}), **found}
    stored["settings"] = {"method": METHOD, "folds": FOLDS, "torch": torch.__version__}
    write_text(STORED, json.dumps(stored) + "\n")


def draw_transfers() -> None:
    """Draws the stored matrices of `TRANSFERS`."""
    stored = (read(STORED) or {}).get("transfer", {})
    for name in TRANSFERS:
        chosen = {key: one for key, one in stored.items() if key.startswith(f"{name}, ")}
        own = {f"{key.split(', ')[1]}, chosen by {one['objective']}": pd.DataFrame(one["rows"]) for key, one in chosen.items()}
        if own:
            save(transfers(own), PICTURES_OF_DOCS / f"transfer-{name}.png")


def plant(seeds: int, kinds: Sequence[str]) -> None:
    """Searches hidden frames, and stores what was found beside that of other kinds."""
    table = planted_search(range(seeds), kinds)
    print("\n".join(sentences(table)), flush=True)
    before = pd.DataFrame((read(STORED) or {}).get("planted", {}).get("rows", {"kind": []}))
    both = pd.concat([before[~before["kind"].isin(kinds)], table.round(4)], ignore_index=True)
    store(planted={"rows": both.to_dict("list"), "said": sentences(both)})


def judge_elsewhere(name: str, families: list[str] | None, cache: Path, objective: str) -> None:
    """Judges the domains that were fitted to each model on every other one, and stores the matrices."""
    models, known = TRANSFERS[name]
    made = {data: streams(data, cache, TRANSFERRED[name]) for data in models}
    for family in families or known:
        found = {data: pb.fit_domain(one, known[family], objective, folds=FOLDS) for data, one in made.items()}
        table = transfer(found, made)
        matrix = transfer_matrix(table).round(5)
        print(matrix.to_string(), flush=True)
        chosen = {data: [str(domains["fitted"].title) for domains in one.domains] for data, one in found.items()}
        store(transfer={f"{name}, {family}": {"rows": matrix.to_dict("list"), "objective": objective, "chosen": chosen}})
    draw_transfers()


def conclude(data: str, names: list[str], cache: Path, objective: str, most: int | None) -> None:
    """Asks the comparison protocol about the domains that families find, their twins and the menu's choices, and stores it."""
    made = streams(data, cache)
    menu, *found = (pb.fit_domain(made, FAMILIES[data][name], objective, folds=FOLDS) for name in ("menu", *names))
    for name, one in zip(names, found):
        said = concluded(one, made, menu, most)
        kept = {"data": data, "family": name, "objective": objective, **summary(said)}
        count = sum(min(most or size, size) for size in one.judged.groupby("fold").size())
        store(concluded={f"{name} on {data}": kept | {"examples": int(count)}})
        print(data, said.sentence, flush=True)


def summary(said: Conclusion) -> dict[str, Any]:
    """What is stored of a conclusion.  p: the largest of all contrasts that the name stands for; 1 for another leader."""
    checks = {name: [one.mean, one.low, one.high, one.p_corrected, one.detectable] for name, one in said.checks.items()}
    p = max(one.p_corrected for one in said.checks.values()) if said.leader == FITTED else 1.0
    told = {"said": said.sentence, "named": said.named, "leader": said.leader, "reasons": said.reasons, "p": p}
    return told | {"errors": said.errors, "groups": said.groups, "checks": checks, "rivals": _rivals(said)}


def _rivals(said: Conclusion) -> dict[str, list[float]]:
    """{rival: how much smaller the error of the fitted domain is, low, high, p after Holm}, of one domain of each group."""
    found = {}
    for one in said.pairs:
        if one.contrast is not None and FITTED in (one.first, one.second):
            mean, low, high, p = one.contrast.mean, one.contrast.low, one.contrast.high, one.contrast.p_corrected
            first = one.first == FITTED
            found[one.second if first else one.first] = [mean, low, high, p] if first else [-mean, -high, -low, p]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=[*FAMILIES], default="photos")
    parser.add_argument("--family", action="append")
    parser.add_argument("--objective", default="l1", help="what candidates are trained and chosen by")
    parser.add_argument("--model-chooses", action="store_true", help=f"among the {SHORTLIST} best by the objective")
    parser.add_argument("--transfer", choices=TRANSFERS, help="only judge domains of one model on others")
    parser.add_argument("--draw", action="store_true", help="only draw what was transferred")
    parser.add_argument("--cache", type=Path, default=Path("results/streams"))
    parser.add_argument("--protocol", action="store_true", help="ask the comparison protocol about each --family")
    parser.add_argument("--most", type=int, help="with --protocol: examples of each fold")
    parser.add_argument("--cost", action="store_true", help="measure only what a search costs")
    parser.add_argument("--images", type=int, default=16, help="with --cost: the number of images")
    parser.add_argument("--rounds", type=int, default=3, help="with --cost: medians of so many")
    parser.add_argument("--planted", type=int, help="only search so many hidden frames of each kind")
    parser.add_argument("--kind", action="append", choices=KINDS, help="with --planted: only these")
    parser.add_argument("--pictures", type=Path, help="folder for figures of atoms")
    given = parser.parse_args()
    if given.planted:
        plant(given.planted, given.kind or KINDS)
        return
    if given.cost:
        store(cost={f"{given.data}, {given.images}": cost(given.data, given.images, given.rounds)})
        return
    if given.draw:
        draw_transfers()
        return
    if given.protocol:
        conclude(given.data, given.family or [], given.cache, given.objective, given.most)
        return
    if given.transfer:
        judge_elsewhere(given.transfer, given.family, given.cache, given.objective)
        return
    made, shortlist = streams(given.data, given.cache), SHORTLIST if given.model_chooses else 0
    for family in given.family or FAMILIES[given.data]:
        clock = time.perf_counter()
        found = pb.fit_domain(made, FAMILIES[given.data][family], given.objective, folds=FOLDS, shortlist=shortlist)
        print(f"{given.data} {found} {time.perf_counter() - clock:.0f} s", flush=True)
        print(found.contrasts.round(4).to_string(), flush=True)
        print(found.judged.drop(columns=["example", "group", "fold"]).mean().round(4).to_dict(), flush=True)
        store(entry(given.data, family, found))
        if given.pictures:
            atoms.draw({f"{given.data}-{family}": (found.transform, found.twin)}, given.pictures)


if __name__ == "__main__":
    main()
