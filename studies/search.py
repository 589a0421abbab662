"""The search of domains for a model and its data: every family, judged on photos that it has not seen."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from ..core.defaults import PICTURE_METHOD
from ..core.files import check_writable, plain, write_text
from ..core.progress import Progress
from ..domains import FittedDomain, Streams, contrast, fit_domain, holm
from ..domains.streams import FITTED, TWIN
from .hidden_frame import planted_search, sentences
from .loaders.data import load_photos
from .loaders.model_formats import load_model
from .loaders.models import LoadedModel
from .report import atoms

FAMILIES = ("menu", "packets", "block_klt", "subband_klt", "lattice")
CUT = 0.8  # side of a cut, in units of the shorter side of the picture


@dataclass(frozen=True)
class Search:
    """What a search works with.

    model, data, limit: as in `compare`.  cuts: square parts of each picture, at its centre and its corners, 1 to 5; all parts
    of a picture are one group. Signals of other kinds are taken whole.
    families, objective, method, folds, seed: as in `fit_domain`.
    """

    model: str = "efficientnet-lite0"
    data: str = "imagenet-sample"
    families: tuple[str, ...] = FAMILIES
    objective: str = "l1"
    method: str = PICTURE_METHOD
    limit: int | None = None
    cuts: int = 1
    folds: int = 5
    seed: int = 0
    device: str = "cpu"
    batch_size: int | str = "auto"


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.  table: one row for each family, against its twin and the menu, or for each hidden frame.

    said: what it says, in sentences.  files: their names, in the folder `out`.  found: {family: result}.
    """

    table: pd.DataFrame
    said: list[str]
    out: Path
    files: list[str]
    found: dict[str, FittedDomain] = field(default_factory=dict)


def search(settings: Search, out: str | Path, progress: Progress | None = None) -> SearchResult:
    """Fits a domain of every family to the same gradient stream, and writes tables, atoms and figures into `out`.

    p values are corrected by Holm for all contrasts of the table. The score is that of the class that the model predicts.
    progress: called with (steps done, steps planned): the stream, and each family.
    Raises: ValueError or ImportError for wrong names, too few photos, or a family without a member for such signals.
    """
    check_writable(out)
    model, step = load_model(settings.model, settings.device), _steps(progress, len(settings.families) + 1)
    x, groups = _signals(model, settings)
    target = torch.cat([model.module(part).argmax(1) for part in x.split(16)])
    run: dict[str, Any] = {"method": settings.method, "batch_size": settings.batch_size, "seed": settings.seed}
    streams = Streams.of(model.module, x, target, groups=groups, **run)
    next(step)
    found = {}
    for family in settings.families:
        one = fit_domain(streams, family, settings.objective, folds=settings.folds, seed=settings.seed)
        found[family] = one
        one.save(Path(out) / plain(family))
        next(step)
    return written(found, Path(out), dataclasses.asdict(settings))


def written(found: dict[str, FittedDomain], out: Path, settings: dict[str, Any]) -> SearchResult:
    """The result with its table, figure and summary in `out`."""
    table = against_twin_and_menu(found)
    write_text(out / "families.csv", table.to_csv(index=False))
    pictures = atoms.draw({name: (one.transform, one.twin) for name, one in found.items()}, out)
    said = [str(one) for one in found.values()]
    summary = {"settings": settings, "families": table.to_dict("records"), "said": said}
    write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    return SearchResult(table, said, out, ["families.csv", "summary.json", *pictures], found)


def against_twin_and_menu(found: dict[str, FittedDomain]) -> pd.DataFrame:
    """One row for each family and what it is compared with: its twin, and the domain that was chosen from the menu.

    error: the mean of the fitted domain.  p_holm: corrected for all rows.
    """
    rows = []
    for name, one in found.items():
        head = {"family": name, "domain": one.transform.spec, "error": one.judged[FITTED].mean()}
        rows.append({**head, **one.against(TWIN)} | {"against": TWIN})
        menu = next((each for each in found.values() if each.settings["family"] == "menu"), None)
        if menu is not None and menu is not one:
            ours, theirs = (each.judged[FITTED].to_numpy(dtype=float) for each in (one, menu))
            rows.append({**head, "against": "menu", **contrast(ours, theirs, one.judged["group"].to_numpy())})
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"].fillna(1.0).tolist()))


def search_planted(out: str | Path, seeds: Sequence[int] = range(2), progress: Progress | None = None) -> SearchResult:
    """The search where the truth is known, see `hidden_frame`; writes planted.csv into `out`."""
    check_writable(out)
    table = planted_search(seeds, progress=progress)
    write_text(Path(out) / "planted.csv", table.to_csv(index=False))
    return SearchResult(table, sentences(table), Path(out), ["planted.csv"])


def _signals(model: LoadedModel, settings: Search) -> tuple[Tensor, list[int]]:
    """The inputs, (examples, *shape), and the number of the photo of each."""
    photos = load_photos(settings.data, settings.limit, model.signals)
    made = [(number, model.input(part)) for number, (_, whole) in enumerate(photos) for part in _cuts(whole, settings.cuts)]
    if len({tuple(x.shape) for _, x in made}) != 1:
        raise ValueError(f"search: expected signals of one shape in {settings.data!r}, got {len(made)} of several.")
    return torch.stack([x for _, x in made]).to(settings.device), [number for number, _ in made]


def _cuts(signal: Any, count: int) -> list[Any]:
    """Square parts of a picture; other signals as they are."""
    if count == 1 or not isinstance(signal, Image.Image):
        return [signal]
    side = round(CUT * min(signal.size))
    right, down = signal.width - side, signal.height - side
    corners = ((right // 2, down // 2), (0, 0), (right, 0), (0, down), (right, down))
    return [signal.crop((x, y, x + side, y + side)) for x, y in corners[:count]]


def _steps(progress: Progress | None, planned: int) -> Iterator[None]:
    report: Callable[[int, int], object] = progress or (lambda done, planned: None)
    for done in range(1, planned + 1):
        report(done, planned)
        yield
