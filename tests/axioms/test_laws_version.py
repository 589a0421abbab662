"""LAWS_VERSION: a test reminds of it when a law changes its verdicts, and the stored verdicts are those of this version."""

import importlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support import known_verdicts
from support.controls import CONTROLS, judged
from support.known_verdicts import REMINDER, differences, read, store

from pullback.axioms import NAMES
from pullback.axioms.method_laws import LAWS, LAWS_VERSION
from pullback.axioms.outcome import Outcome
from pullback.axioms.trial import Trial

check_module = importlib.import_module("pullback.axioms.check")  # the package's `check` is the function


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return known_verdicts.measured()


def row_of(table: pd.DataFrame, method: str, axiom: str) -> int:
    (row,) = table.index[(table["dtype"] == "torch.float64") & (table["method"] == method) & (table["axiom"] == axiom)]
    return int(row)


def test_the_verdicts_are_those_stored_for_this_version(found: pd.DataFrame) -> None:
    version, stored = read()
    changed = differences(stored, found)
    assert not changed, "\n".join([REMINDER, *changed])
    assert version == LAWS_VERSION, REMINDER


@pytest.mark.parametrize("axiom", NAMES)
def test_a_law_that_measures_a_little_more_is_noticed(axiom: str, found: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    (law,) = [law for law in LAWS if law.name == axiom]
    (control,) = [method for method, broken in CONTROLS.items() if broken == {axiom}]

    def measure(trial: Trial) -> Outcome:
        outcome = law.measure(trial)
        return replace(outcome, residual=1.03 * outcome.residual)

    monkeypatch.setattr(check_module, "LAWS", (replace(law, measure=measure),))
    changed = found.copy()
    changed.loc[row_of(found, control.__name__, axiom), "residual"] = judged(control, axiom)[axiom].residual
    (line,) = differences(found, changed)
    assert f"{control.__name__}, {axiom}, BROKEN" in line


@pytest.mark.parametrize(
    ("column", "value", "lines"),
    [
        ("verdict", "UNUSABLE", 1),
        ("tolerance", 0.02, 1),
        ("tolerance", None, 1),
        ("residual", None, 1),
        ("residual", 0.0, 0),  # both are rounding, far below the tolerance
    ],
)
def test_verdicts_and_numbers_above_rounding_are_compared(column: str, value: object, lines: int, found: pd.DataFrame) -> None:
    changed = found.copy()
    changed.loc[row_of(found, "keeper", "completeness"), column] = value
    assert len(differences(found, changed)) == lines
    assert len(differences(found, found.drop(index=3))) == 1


def test_changed_verdicts_are_stored_under_another_version_only(found: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "known_verdicts.csv"
    path.write_text(known_verdicts.FILE.read_text())
    changed = found.assign(verdict="BROKEN")
    with pytest.raises(ValueError, match="Raise LAWS_VERSION"):
        store(changed, path)
    store(changed, path, LAWS_VERSION + 1)
    assert read(path)[0] == LAWS_VERSION + 1
    assert not differences(read(path)[1], changed)
