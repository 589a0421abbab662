"""What is given twice counts once, and few photos have no interval."""

from pathlib import Path

import pytest
from support.runs import alike, run
from support.tiny import settings, tiny

from pullback import studies


def test_a_domain_that_is_given_twice_counts_once(pictures: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    domains = ("dct", "dwt(haar, level=2)", "dct()", " dwt( haar,level=2 )", "dct")
    found = studies.compare(settings(pictures, transforms=domains, limit=2), tmp_path / "o", model=tiny(), note=notes.append)
    assert list(found.summary["domains"]) == ["dct", "dwt(haar, level=2)"]
    assert len(found.table) == 2 * 2
    assert len(notes) == 4  # the last one says what the run takes
    assert "'dct()' is the same domain as 'dct'" in notes[0]
    same = studies.explain(pictures / "1.png", model=tiny(), method="gradient", transforms=["dct", "dct()"], out=tmp_path / "e")
    assert [Path(name).suffix for name in same.files] == [".png", ".json"]


def test_copies_of_a_picture_narrow_no_interval(pictures: Path, tmp_path: Path) -> None:
    _, before = run(pictures, tmp_path / "1", pictures=0)
    for number in range(9):
        (pictures / f"copy {number}.png").write_bytes((pictures / f"{number}.png").read_bytes())
    _, after = run(pictures, tmp_path / "2", pictures=0)
    assert (after.summary["photos"], after.summary["copies"]) == (18, 9)
    assert set(after.table["copy_of"].dropna()) == {f"{number}.png" for number in range(9)}
    for domain, numbers in before.summary["domains"].items():
        again = after.summary["domains"][domain]
        alike(again, numbers)
        assert again["gini"]["photos"] == 9
        assert again["gini"]["low"] is again["gini"]["high"] is None  # of 9 photos, and not of 18


def test_too_few_photos_have_a_mean_and_no_interval(pictures: Path, tmp_path: Path) -> None:
    _, found = run(pictures, tmp_path / "o", limit=7, pictures=0)
    numbers = found.summary["domains"]["dft"]["gini"]
    assert numbers["photos"] == 7
    assert numbers["low"] is numbers["high"] is None
    assert numbers["mean"] == pytest.approx(found.table.query("transform == 'dft'")["gini"].mean())
