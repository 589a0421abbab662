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
from ..domains import FittedDomain, Streams, contrast, fit_domain, holm, randomise, transfer, transfer_matrix
from ..domains.streams import FITTED, TWIN
from .hidden_frame import planted_search, sentences
from .loaders.adapted import Probabilities
from .loaders.data import load_photos
from .loaders.model_formats import load_model
from .loaders.models import LoadedModel
from .report import atoms
from .report.figures import save
from .report.tilings import transfers

FAMILIES = ("menu", "packets", "block_klt", "subband_klt", "lattice")
CUT = 0.8  # side of a cut, in units of the shorter side of the picture


@dataclass(frozen=True)
class Search:
    """What a search works with.

    model, data, limit: as in `compare`.  also: further models, on which the domains are judged too, and the other way round.
    cuts: square parts of each picture, at its centre and its corners, 1 to 5; of a recording or series the loudest parts of
    `samples` samples. All parts of a signal are one group. Volumes, and other signals without `samples`, are taken whole.
    families, objective, shortlist, method, folds, seed: as in `fit_domain`.
    """

    model: str = "efficientnet-lite0"
    data: str = "imagenet-sample"
    also: tuple[str, ...] = ()
    families: tuple[str, ...] = FAMILIES
    objective: str = "l1"
    shortlist: int = 0
    method: str = PICTURE_METHOD
    limit: int | None = None
    cuts: int = 1
    samples: int | None = None
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
    names = (settings.model, *settings.also)
    step, found = _steps(progress, len(names) * (len(settings.families) + 1)), dict[str, dict[str, FittedDomain]]()
    made = dict[str, Streams]()
    for name in names:
        made[name], found[name] = _streams(name, settings), {}
        next(step)
        for family in settings.families:
            options: Any = {"folds": settings.folds, "shortlist": settings.shortlist, "seed": settings.seed}
            one = fit_domain(made[name], family, settings.objective, **options)
            found[name][family] = one
            if name == settings.model:
                one.save(Path(out) / plain(family))
            next(step)
    elsewhere = {family: _elsewhere(family, found, made) for family in settings.families if settings.also}
    return written(found[settings.model], Path(out), dataclasses.asdict(settings), elsewhere)


def _streams(name: str, settings: Search) -> Streams:
    """The gradient streams of a model, for the class that it predicts."""
    model = load_model(name, settings.device)
    x, groups = _signals(model, settings)
    whole = model.whole(x).module
    target = torch.cat([whole(part).argmax(1) for part in x.split(16)])
    # The probabilities of a randomised copy are all 0 or 1: of it the scores before the sigmoid are explained.
    control = randomise(model.module, settings.seed) if isinstance(whole, Probabilities) else None
    run: dict[str, Any] = {"method": settings.method, "batch_size": settings.batch_size, "seed": settings.seed}
    return Streams.of(whole, x, target, groups=groups, randomised=control, **run)


def _elsewhere(family: str, found: dict[str, dict[str, FittedDomain]], made: dict[str, Streams]) -> pd.DataFrame:
    """How the domains of each model do on the others."""
    return transfer_matrix(transfer({name: own[family] for name, own in found.items()}, made))


def written(
    found: dict[str, FittedDomain], out: Path, settings: dict[str, Any], elsewhere: dict[str, pd.DataFrame]
) -> SearchResult:
    """The result with its tables, figures and summary in `out`."""
    table = against_twin_and_menu(found)
    write_text(out / "families.csv", table.to_csv(index=False))
    pictures = atoms.draw({name: (one.transform, one.twin) for name, one in found.items()}, out)
    said = [str(one) for one in found.values()]
    summary = {"settings": settings, "families": table.to_dict("records"), "said": said}
    write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    if elsewhere:
        rows = pd.concat([matrix.assign(family=family) for family, matrix in elsewhere.items()])
        write_text(out / "transfer.csv", rows.to_csv(index=False))
        pictures += ["transfer.csv", save(transfers(elsewhere), out / "transfer.png")]
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
    photos, made = load_photos(settings.data, settings.limit, model.signals), list[tuple[int, Tensor]]()
    for number, (_, whole) in enumerate(photos):
        inputs = [model.input(part) for part in _cuts(whole, settings.cuts)]
        made += [(number, x) for x in (_windows(inputs[0], settings) if inputs[0].ndim == 2 else inputs)]
    shapes = sorted({tuple(x.shape) for _, x in made})
    if len(shapes) != 1:
        advice = "; take parts of recordings or series by samples=…" if shapes and len(shapes[0]) == 2 else ""
        raise ValueError(f"search: expected signals of one shape in {settings.data!r}, got {len(shapes)} shapes{advice}.")
    return torch.stack([x for _, x in made]).to(settings.device), [number for number, _ in made]


def _cuts(signal: Any, count: int) -> list[Any]:
    """Square parts of a picture; other signals as they are."""
    if count == 1 or not isinstance(signal, Image.Image):
        return [signal]
    side = round(CUT * min(signal.size))
    right, down = signal.width - side, signal.height - side
    corners = ((right // 2, down // 2), (0, 0), (right, 0), (0, down), (right, down))
    return [signal.crop((x, y, x + side, y + side)) for x, y in corners[:count]]


def _windows(x: Tensor, settings: Search) -> list[Tensor]:
    """The loudest parts of a signal of one axis; none where it is too short."""
    if settings.samples is None:
        return [x]
    parts = x[:, : x.shape[1] // settings.samples * settings.samples].unflatten(1, (-1, settings.samples)).unbind(1)
    loudest = sorted(range(len(parts)), key=lambda place: -float(parts[place].square().sum()))[: settings.cuts]
    return [parts[place] for place in sorted(loudest)]


def _steps(progress: Progress | None, planned: int) -> Iterator[None]:
    report: Callable[[int, int], object] = progress or (lambda done, planned: None)
    for done in range(1, planned + 1):
        report(done, planned)
        yield
