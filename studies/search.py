"""The search of domains for a model and its data: every family, judged on signals that it has not seen."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
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
from ..domains import FittedDomain, Streams, contrast, fit_domain, randomise, transfer, transfer_matrix
from ..domains.streams import FITTED, TWIN
from ..metrics.statistics import holm
from .compare.summary import versions
from .hidden_frame import KINDS, planted_search, sentences
from .loaders.adapted import Probabilities
from .loaders.data import load_photos
from .loaders.model_formats import load_model
from .loaders.models import LoadedModel
from .report import atoms
from .report.figures import save
from .report.report import write_page
from .report.section import Shown, write_section
from .report.tilings import transfers
from .storage.domains import FILES, build, stored
from .storage.fingerprint import answer, weights
from .storage.pieces import Pieces
from .storage.results import Results
from .storage.store import Store

FAMILIES = ("menu", "packets", "block_klt", "subband_klt", "lattice")
COMMAND = "study search"
CAPTIONS = {
    "atoms": "The domain that was fitted to the model, beside one that was fitted without it and a known one.",
    "transfer.png": "Selection errors of domains that were fitted to one model and judged on another. *: more than the domain "
    "of the model itself, °: less.",
}
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


def search(
    settings: Search,
    out: str | Path,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    pieces: Pieces | None = None,
) -> SearchResult:
    """Fits a domain of every family to the same gradient stream, and writes tables, atoms and figures into `out`.

    p values are corrected by Holm for all contrasts of the table. The score is that of the class that the model predicts.
    Each fitted domain is stored in `out`/.parts, and the same call continues there.
    progress: called with (domains done, domains planned).  note: is not called.
    pieces: which are measured, see `run_study`. How domains do on other models is measured by a whole run only.
    Raises: ValueError or ImportError for wrong names, too few signals, a family without a member for such signals, or where
    `out` holds other results; Interrupted for a KeyboardInterrupt.
    """
    check_writable(out)
    chosen, results, about = pieces or Pieces(), Results(out, COMMAND), dataclasses.asdict(settings)
    with chosen.running(results, {"settings": about}):
        models = {name: _Model(name, settings, Path(out)) for name in dict.fromkeys((settings.model, *settings.also))}
        chosen.plan(len(models) * len(settings.families))
        found = {name: dict[str, FittedDomain]() for name in models}
        for name, model in models.items():
            for family in settings.families:
                if (one := model.fitted(family, chosen)) is not None:
                    found[name][family] = one
                if progress is not None:
                    progress(chosen.place, chosen.planned)
        chosen.whole()
        for family, one in found[settings.model].items():
            one.save(Path(out) / plain(family))
        elsewhere = {family: _elsewhere(family, found, models, chosen) for family in settings.families if settings.also}
        done = written(found[settings.model], Path(out), results, elsewhere)
    write_page([out])
    return done


class _Model:
    """A model with its inputs, and its gradient streams once they are asked for."""

    def __init__(self, name: str, settings: Search, out: Path) -> None:
        self.settings, self.name, self.model = settings, name, load_model(name, settings.device)
        self.x, self.groups = _signals(self.model, settings)
        self.whole = self.model.whole(self.x).module
        values = hashlib.blake2b(self.x.cpu().contiguous().numpy().tobytes()).hexdigest()
        known = self.model.preparation(), weights(self.model.module), answer(self.whole(self.x[:1]).detach())
        names = ("objective", "shortlist", "method", "folds", "seed", "device", "batch_size")
        asked = [getattr(settings, key) for key in names]  # the data are known by their values
        self.store = Store(out / ".parts", [asked, versions(), values, self.groups, *known])

    @functools.cached_property
    def streams(self) -> Streams:
        """The gradient streams, for the class that the model predicts."""
        target = torch.cat([self.whole(part).argmax(1) for part in self.x.split(16)])
        # The probabilities of a randomised copy are all 0 or 1: of it the scores before the sigmoid are explained.
        control = randomise(self.model.module, self.settings.seed) if isinstance(self.whole, Probabilities) else None
        run: dict[str, Any] = {name: getattr(self.settings, name) for name in ("method", "batch_size", "seed")}
        return Streams.of(self.whole, self.x, target, groups=self.groups, randomised=control, **run)

    def fitted(self, family: str, pieces: Pieces) -> FittedDomain | None:
        """The domain of a family, fitted or read; None where it belongs to others."""
        options: Any = {name: getattr(self.settings, name) for name in ("folds", "shortlist", "seed")}
        fit = lambda: stored(fit_domain(self.streams, family, self.settings.objective, **options), self.store, family)
        piece = pieces.take(self.store, family, fit, f"{family} of {self.name}", FILES)
        return None if piece is None else build(piece, self.store.folder.parent)


def _elsewhere(
    family: str, found: dict[str, dict[str, FittedDomain]], models: dict[str, _Model], pieces: Pieces
) -> pd.DataFrame:
    """How the domains of each model do on the others."""

    def made() -> dict[str, Any]:
        own = {name: own[family] for name, own in found.items()}
        return transfer_matrix(transfer(own, {name: model.streams for name, model in models.items()})).to_dict("list")

    store = Store(next(iter(models.values())).store.folder, [model.store.digest for model in models.values()])
    return pd.DataFrame(pieces.take(store, f"{family} elsewhere", made, late=True))


def written(found: dict[str, FittedDomain], out: Path, results: Results, elsewhere: dict[str, pd.DataFrame]) -> SearchResult:
    """The result with its tables, figures and summary in `out`."""
    table = against_twin_and_menu(found)
    write_text(out / "families.csv", table.to_csv(index=False))
    pictures = atoms.draw({name: (one.transform, one.twin) for name, one in found.items()}, out)
    said = [str(one) for one in found.values()]
    if elsewhere:
        rows = pd.concat([matrix.assign(family=family) for family, matrix in elsewhere.items()])
        write_text(out / "transfer.csv", rows.to_csv(index=False))
        pictures += ["transfer.csv", save(transfers(elsewhere), out / "transfer.png")]
    files = _reported(results, {"families": table.to_dict("records")}, said, ("Families", table, "families.csv"), pictures)
    return SearchResult(table, said, out, files, found)


def _reported(
    results: Results, about: dict[str, Any], said: list[str], shown: Shown, pictures: Sequence[str] = ()
) -> list[str]:
    """Writes the summary and what the report says; returns the names of all files."""
    files = ["report.html", shown[2], "summary.json", *pictures]
    write_section(results.out, "Which domain suits what the model reads?", [shown], CAPTIONS)
    results.update(json.loads(json.dumps(about | {"findings": said, "versions": versions(), "files": files})), alone=True)
    return files


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
    return table.assign(p_holm=holm(table["p"].fillna(1.0)))


def search_planted(
    seeds: Sequence[int] = range(2),
    out: str | Path = "results/search",
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    pieces: Pieces | None = None,
) -> SearchResult:
    """The search where the truth is known, see `hidden_frame`; writes planted.csv, summary.json and report.html into `out`.

    The rest: see `search`.
    """
    check_writable(out)
    chosen, store = pieces or Pieces(), Store(Path(out) / ".parts", versions())
    results = Results(out, COMMAND)
    with chosen.running(results, {"settings": {"hidden frames": list(seeds)}}):
        chosen.plan(len(KINDS) * len(seeds))
        table = planted_search(seeds, progress=progress, take=functools.partial(chosen.take, store))
        chosen.whole()
        write_text(Path(out) / "planted.csv", table.to_csv(index=False))
        said, shown = sentences(table), ("Hidden frames", table, "planted.csv")
        files = _reported(results, {}, said, shown)
    write_page([out])
    return SearchResult(table, said, Path(out), files)


def _signals(model: LoadedModel, settings: Search) -> tuple[Tensor, list[int]]:
    """The inputs, (examples, *shape), and the number of the signal of each."""
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
