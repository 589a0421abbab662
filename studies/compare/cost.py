"""What a large comparison will cost, from what a small one has taken on the same hardware."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ...core.checks import check_number
from .cell import Cell, read_plan


@dataclass(frozen=True)
class Cost:
    """The expected cost of one cell.

    seconds: of a photo in one worker, in all domains, with reading, attribution and scores; the mean of `measured` photos.
    hours: of all photos in one worker.
    """

    model: str
    data: str
    method: str
    domains: int
    measured: int
    seconds: float
    hours: float


def expected_cost(trial: str | Path, photos: int) -> list[Cost]:
    """What `photos` photos cost in each cell of a small comparison that was measured with the same settings.

    hours = photos · seconds of a photo / 3600. Workers that share no hardware divide the sum of all cells. Drawn photos take
    longer and the first batch warms up, so that a trial should hold some batches and no pictures.

    Raises: ValueError where the folder holds no comparison, or a cell without a measured photo.
    """
    check_number("expected_cost", "photos", photos, 1, 1e12)
    return [_cost(cell, Path(trial), photos) for cell in read_plan(Path(trial))]


def _cost(cell: Cell, folder: Path, photos: int) -> Cost:
    store, one = cell.store(folder), cell.settings
    parts = [part for place in cell.places if (part := cell.read(store, place)) is not None]
    found = [part["seconds"] for part in parts if part["records"] and isinstance(part.get("seconds"), float)]
    if not found:
        raise ValueError(f"expected_cost: {str(folder)[-100:]} holds no measured photo of {one.model[0]}, {one.method_label}.")
    seconds = mean(found)
    names = str(one.model[0]), str(one.data[0]), one.method_label
    return Cost(*names, len(one.transforms), len(found), seconds, photos * seconds / 3600)
