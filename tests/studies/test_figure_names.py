"""Names of figures: one overwrites only itself, and pictures may have any name."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from support.runs import summary
from support.tiny import settings, tiny

from pullback import studies


def explained(image: Path, out: Path, **changes: Any) -> list[str]:
    options: dict[str, Any] = {"model": tiny(), "method": "gradient", "transforms": ["dct"], "target": 1} | changes
    return studies.explain(image, out=out, **options).files


def test_a_figure_overwrites_only_itself(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal stems, other methods, other seeds, letters in capitals, and files that nobody lists."""
    monkeypatch.setattr(sys.modules["pullback.studies.kinds.image"], "plot", lambda one, show: Figure())
    out, other = tmp_path / "o", tmp_path / "other"
    other.mkdir()
    (other / "1.png").write_bytes((pictures / "1.png").read_bytes())
    (pictures / "X.png").write_bytes((pictures / "2.png").read_bytes())
    (other / "x.png").write_bytes((pictures / "3.png").read_bytes())
    out.mkdir()
    (out / "2-1-dct.png").write_text("something else")
    calls = [
        lambda: explained(pictures / "1.png", out),
        lambda: explained(other / "1.png", out),
        lambda: explained(pictures / "1.png", out, method="input_x_gradient"),
        lambda: explained(pictures / "1.png", out, seed=1),
        lambda: explained(pictures / "1.png", out, model=dataclasses.replace(tiny(), name="another")),
        lambda: explained(pictures / "2.png", out),
        lambda: explained(pictures / "X.png", out),
        lambda: explained(other / "x.png", out),
    ]
    first = [name for call in calls for name in call() if name.endswith(".png")]
    assert len({name.casefold() for name in first}) == len(calls)
    assert first[0] == "1-1-dct.png"
    assert [name for call in calls for name in call() if name.endswith(".png")] == first
    assert (out / "2-1-dct.png").read_text() == "something else"
    files = summary(out, ".summary.json")["files"]
    assert {name for name in files if name.endswith(".png")} == set(first)
    assert files[first[1]]["image"] == str(other / "1.png")
    assert files[first[2]]["method"] == "input_x_gradient"


STRANGE = (
    "a_b^c$x_$",
    "we $\\frac ird$",
    "🐱",
    "x" * 238,
    "ф" * 119,
    "a\x1b[31mb",
    "\udcff",
    "[red]:cat:",
    "a\nb",
    "con",
    "日本",
)


def test_pictures_of_any_name_are_explained_and_compared(pictures: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "o"
    photos.mkdir()
    for name in STRANGE:
        Path(f"{photos}/{name}.png").write_bytes((pictures / "0.png").read_bytes())
    model = dataclasses.replace(tiny(), classes=tuple("$\\frac 🐱\x1b[31m\udcff" for _ in range(5)))
    drawn = [figure for name in STRANGE for figure in explained(Path(f"{photos}/{name}.png"), tmp_path / "e", model=model)]
    assert {path.name for path in (tmp_path / "e").iterdir() if path.suffix in (".png", ".json")} - {".summary.json"} == set(
        drawn
    )
    assert len(set(drawn)) == 2 * len(STRANGE)  # a figure and its shares
    found = studies.compare(settings(photos, transforms=("dct",), pictures=2, method="gradient"), out, model=model)
    assert found.summary["photos"] == len(STRANGE)
    assert all((out / name).is_file() for name in found.files)
    assert all(len(name.encode()) <= 143 for name in found.files + drawn)
    assert "\x1b" not in (out / "report.html").read_text() + (out / "results.csv").read_text()
