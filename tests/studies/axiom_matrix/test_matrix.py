"""The matrix: the options of its methods, and the same cells in any number of processes and calls."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.subjects import normal
from torch import Tensor, nn

import pullback as pb
from pullback import cli, studies
from pullback.attribution.estimator import get as get_estimator
from pullback.attribution.methods.coalitions import Perturbation, Players
from pullback.axioms.cheap_forms import cheap_form
from pullback.axioms.method_laws import LAWS_VERSION
from pullback.axioms.rewrites.modules import small_network
from pullback.studies.axiom_matrix.captum_methods import EVALUATIONS, captum_methods
from pullback.studies.axiom_matrix.default_options import groups, with_options
from pullback.studies.axiom_matrix.matrix import Cell, attempt, effort, every_method, spec
from pullback.studies.axiom_matrix.subject import Subject

METHODS = ["gradient", "input_x_gradient"]


def subjects() -> dict[str, Subject]:
    return {"net": Subject(small_network((1, 8)).double(), normal(1, 1, 8), 0)}


def stored(out: Path) -> dict[str, dict[str, Any]]:
    reports = [json.loads(path.read_text()) for path in sorted((out / "cells").glob("*.json"))]
    return {report["subject"]: report for report in reports}


def test_processes_find_what_one_process_finds(tmp_path: Path) -> None:
    seen: list[str] = []
    one, _ = studies.write_matrix(subjects(), tmp_path / "a", methods=METHODS, transforms=["pixel", "dct"])
    two, files = studies.write_matrix(
        subjects(),
        tmp_path / "b",
        methods=METHODS,
        transforms=["pixel", "dct"],
        jobs=2,
        report=lambda report: seen.append(report.subject),
    )
    assert one.to_csv() == two.to_csv()
    assert len(seen) == 4
    assert all((tmp_path / "b" / name).exists() for name in files)
    for cell in stored(tmp_path / "b").values():
        assert cell["seconds"] >= 0
        assert cell["settings"]["laws_version"] == LAWS_VERSION


def test_calls_share_a_folder_and_the_last_one_joins_them(tmp_path: Path) -> None:
    for method in METHODS:
        studies.write_matrix(subjects(), tmp_path, methods=[method])
    seen: list[str] = []
    table, _ = studies.write_matrix(
        subjects(), tmp_path, methods=[*METHODS, "vargrad"], minutes=0, report=lambda report: seen.append(report.subject)
    )
    assert not seen
    assert set(table[table["verdict"] == "not applicable"]["method"]) == {"vargrad"}
    assert table["reason"].str.startswith("not run").sum() == len(pb.axioms.NAMES)
    assert len(stored(tmp_path)) == 2


def test_what_cannot_be_sent_to_a_process_is_named(tmp_path: Path) -> None:
    net = small_network((1, 8)).double()
    local = {"net": Subject(lambda x: net(x), normal(1, 1, 8), 0)}
    with pytest.raises(TypeError, match=r"cannot be pickled.*jobs=1"):
        studies.write_matrix(local, tmp_path, methods=METHODS, jobs=2)


def test_cells_of_another_version_of_the_laws_are_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    report = lambda found: seen.append(found.subject)
    for version in (LAWS_VERSION, LAWS_VERSION, LAWS_VERSION + 1):
        monkeypatch.setattr("pullback.studies.axiom_matrix.run.LAWS_VERSION", version)
        studies.write_matrix(subjects(), tmp_path, methods=METHODS[:1], report=report)
    assert len(seen) == 2
    assert len(list((tmp_path / "cells").glob("*.json"))) == 2


def test_the_command_ends_with_status_1_where_the_answer_is_no_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs_signs.py").write_text(
        "def signs(f, x, target, x0): return x > 0\ndef zeros(f, x, target, x0): return 0 * x\n"
    )
    monkeypatch.chdir(tmp_path)
    network = small_network((1, 4, 4)).double(), normal(1, 1, 4, 4)
    monkeypatch.setattr("pullback.studies.axiom_matrix.subject.trained_on_gratings", lambda seed: network)
    status = {}
    for name in ("signs", "zeros"):
        arguments = ["axioms", "--method", f"theirs_signs:{name}", "--axiom", "dummy", "--out", str(tmp_path)]
        with pytest.raises(SystemExit) as ended:
            cli.app(arguments)
        status[name] = ended.value.code, capsys.readouterr().out
    assert status["signs"][0] == 1
    assert "UNUSABLE" in status["signs"][1]
    assert "a tensor of bool" in status["signs"][1]
    assert status["zeros"][0] == 0


# The options of methods --------------------------------------------------------------------------------------------------

SHAPES = {(3, 48, 48): 3, (1, 16, 16): 2}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_methods_with_players_are_asked_with_a_few_in_every_domain(shape: tuple[int, ...]) -> None:
    subject = Subject(nn.Identity(), torch.zeros(1, *shape))
    for domain in ("pixel", f"dwt(db4, level={SHAPES[shape]})", "dct", "dft", "swt(haar, level=2)"):
        for name in every_method():
            cell = Cell("", domain, name)
            assert effort(cell, subject) > 0
            if name.startswith("captum.") or not isinstance(method := get_estimator(spec(cell, subject)), Perturbation):
                continue
            layout = pb.transforms.get(domain, shape).layout
            players = method.players(layout).count
            assert name == "rise" or 2 <= players <= 9, (spec(cell, subject), domain, players)
            assert cheap_form(method).cost([layout]).total <= 128, spec(cell, subject)


def test_a_spec_with_options_is_used_as_it_is() -> None:
    layout = pb.transforms.get("dct", (1, 8)).layout
    assert with_options("sobol(by=band)", layout) == "sobol(by=band)"
    subject = Subject(nn.Identity(), torch.zeros(1, 1, 8))
    assert spec(Cell("", "no such transform", "sobol"), subject) == "sobol"


def test_rows_of_captums_methods_are_those_of_methods_that_exist() -> None:
    pytest.importorskip("captum")
    assert all(any(name.startswith(start) for name in captum_methods()) for start in EVALUATIONS)


@pytest.mark.parametrize("name", ["FeatureAblation", "ShapleyValueSampling"])
def test_groups_as_features_are_captums_feature_mask(name: str) -> None:
    attr = pytest.importorskip("captum.attr")
    transform = pb.transforms.get("dct", (1, 6, 6))
    layout = transform.layout
    f = pb.Pullback(small_network((1, 6, 6)).double(), transform)
    z, z0, target = normal(3, 1, 6, 6), normal(3, 1, 6, 6, seed=1), torch.tensor([0, 2, 1])
    mask = Players.of(layout, **groups(layout)).index[None]
    torch.manual_seed(0)
    theirs = getattr(attr, name)(f).attribute(z, baselines=z0, target=target, feature_mask=mask)
    torch.manual_seed(0)
    ours = captum_methods()[f"captum.{name}(feature_mask)"](f, z, target, z0)
    assert len(layout.bands) > 4 > 1
    torch.testing.assert_close(ours, theirs)


# Blocks of places keep their number in the other domain ------------------------------------------------------------------


def test_coordinates_are_compared_in_a_domain_with_places_for_players_with_places() -> None:
    subject = Subject(small_network((1, 8, 8)).double(), normal(1, 1, 8, 8), 0)
    report = attempt(Cell("net", "pixel", "shapley"), subject, ["coordinate_consistency", "completeness"])
    assert report.holds("coordinate_consistency")
    assert "shapley" in report.subject.lower()
    assert report["coordinate_consistency"].evaluations < 4 * 512

    class Off(type(get_estimator("shapley"))):  # type: ignore[misc]
        def play(self, game: object) -> tuple[Tensor, dict[str, object]]:
            values, details = super().play(game)  # type: ignore[safe-super]
            return values * game.players.count, details  # type: ignore[attr-defined]

    off = pb.axioms.check(
        subject.model, subject.x, 0, method=Off(by="block", block=4, unions="band"), axioms="coordinate_consistency"
    )
    assert off.holds("coordinate_consistency") is False


def test_cells_of_other_weights_are_measured_anew(tmp_path: Path) -> None:
    """The name of the model and the signals are the same; the weights or the function are different."""
    notes: list[str] = []
    net, double = small_network((1, 8)).double(), small_network((1, 8)).double()
    with torch.no_grad():
        next(double.parameters()).mul_(1.001)
    square, cube = (lambda x, power=power: x.flatten(1) ** power for power in (2, 3))
    for one, other in ((net, double), (square, cube)):
        seen: list[str] = []
        for model in (one, one, other):
            asked = {"net": Subject(model, normal(1, 1, 8), 0)}
            studies.write_matrix(
                asked,
                tmp_path,
                methods=METHODS[:1],
                note=notes.append,
                report=lambda report, seen=seen: seen.append(report.subject),
            )
        assert len(seen) == 2
    assert len(notes) == 3  # of `square` too, which the folder does not know
    assert all("another model, signal, seed or version" in note for note in notes)


def test_two_models_share_a_folder_without_a_note(tmp_path: Path) -> None:
    notes: list[str] = []
    nets = {"net": subjects()["net"], "other": Subject(small_network((1, 8), seed=1).double(), normal(1, 1, 8), 0)}
    for methods in (METHODS[:1], METHODS):
        studies.write_matrix(nets, tmp_path, methods=methods, note=notes.append)
    assert not notes
    assert len(list((tmp_path / "cells").glob("*.json"))) == 4
