"""The first photo of a comparison is measured alone, and a line says what was found, before the others are measured."""

from pathlib import Path

import pytest
from support.tiny import settings, tiny

from pullback import studies
from pullback.studies.compare.parts import Parts


def test_the_first_photo_is_shown_before_the_others_are_measured(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    measured: list[tuple[int, list[int]]] = []  # how many lines were shown before, and the places

    def computed(parts: Parts, places: list[int], before: int, own: object = Parts._computed) -> object:
        measured.append((len(said), list(places)))
        return own(parts, places, before)  # type: ignore[operator]

    monkeypatch.setattr(Parts, "_computed", computed)
    outcome = studies.compare(settings(pictures, limit=3), tmp_path / "o", model=tiny(), show=said.append)
    assert [entry for entry in measured if entry[1]] == [(0, [0]), (1, [1, 2])]
    (line,) = said
    first = outcome.table.iloc[0]
    assert line.startswith(f"the first, {first['image']}")
    assert f"{first['transform']} {100 * first['kept10_attribution']:.0f} %" in line
    studies.compare(settings(pictures, limit=3), tmp_path / "o", model=tiny(), show=said.append)
    assert len(said) == 1  # stored photos are not measured again
