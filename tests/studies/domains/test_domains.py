"""The study of domains: toys with a planted domain in both models, in one or in none; folders, files and the command."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.command_line import fails
from torch import Tensor

import pullback as pb
from pullback.metrics.protocol import compare_domains
from pullback.metrics.protocol.conclusion import ROTATION
from pullback.metrics.protocol.run import Run
from pullback.studies.compare.summary import _plain
from pullback.studies.domains import study, tables
from pullback.studies.domains.settings import FEW, Settings
from pullback.studies.domains.tables import CONTRARY, EQUAL, ONCE, OPEN, REPEATS

MENU, METHOD, SIDE, COUNT = ("pixel", "dct"), "input_x_gradient", 32, 96


def reader(domain: str, seed: int) -> Callable[[Tensor], Tensor]:
    """A linear model that reads four coefficients of a domain, of (batch, 1, side)."""
    generator = torch.Generator().manual_seed(seed)
    transform = pb.transforms.get(domain, (1, SIDE))
    z = torch.zeros(1, 1, SIDE, dtype=torch.double)
    z[0, 0, torch.randperm(SIDE, generator=generator)[:4]] = 1 + torch.rand(4, generator=generator, dtype=torch.double)
    weight = transform.inverse(z).flatten()
    return lambda x: (x.flatten(1) @ weight)[:, None]


def blind(seed: int) -> Callable[[Tensor], Tensor]:
    """A linear model that reads every coefficient of both domains alike."""
    weight = torch.randn(SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return lambda x: (x.flatten(1) @ weight)[:, None]


def cell(model: Callable[[Tensor], Tensor], name: str) -> tables.Cell:
    """What the protocol concludes about a model."""
    x = torch.randn(COUNT, 1, SIDE, generator=torch.Generator().manual_seed(5), dtype=torch.double)
    found = compare_domains(model, x, 0, domains=MENU, methods=[METHOD], budgets=(0.125, 0.25), kinds=("count",))
    return {"kind": "series", "data": "toys", "model": name, "method": METHOD}, _plain(found.conclusions[0])


@pytest.fixture(scope="module")
def cells() -> dict[str, tables.Cell]:
    models = {"dct": reader("dct", 0), "dct again": reader("dct", 1), "pixel": reader("pixel", 0)}
    models |= {"blind": blind(0), "blind again": blind(1)}
    return {name: cell(model, name) for name, model in models.items()}


@pytest.mark.parametrize(
    ("names", "outcomes", "better"),
    [
        (("dct", "dct again"), {REPEATS}, "dct"),
        (("dct", "blind"), {ONCE}, "dct"),
        (("blind", "blind again"), {OPEN, EQUAL}, ""),
        (("dct", "pixel"), {CONTRARY}, ""),
        (("dct", "dct again", "pixel"), {CONTRARY}, ""),
        (("dct", "dct again", "blind"), {REPEATS}, "dct"),
    ],
)
def test_a_finding_repeats_only_where_both_models_read_in_the_domain(
    cells: dict[str, tables.Cell], names: tuple[str, ...], outcomes: set[str], better: str
) -> None:
    repeats = tables.repeat_table(tables.contrast_table([cells[name] for name in names]))
    assert len(repeats) == 1
    assert repeats["outcome"].item() in outcomes
    assert repeats["better"].item() == better


def test_the_sentences_name_what_repeats(cells: dict[str, tables.Cell]) -> None:
    chosen = [cells[name] for name in ("dct", "dct again", "blind")]
    about, contrasts = tables.cell_table(chosen), tables.contrast_table(chosen)
    said = " ".join(study.sentences(about, contrasts, tables.repeat_table(contrasts)))
    assert "Holm over 3 contrasts" in said
    assert f"Repeats: dct before pixel with {METHOD} (2 of 3 cells, 2 models, 1 data set; beyond its largest" in said
    assert "Of 1 that repeat in either way, 0 do so in cells in which the map of the better domain also selects better" in said


def test_one_cell_with_two_names_of_the_same_model_is_no_repeat(cells: dict[str, tables.Cell]) -> None:
    about, found = cells["dct"]
    assert tables.repeat_table(tables.contrast_table([(about, found)])).empty


ADMITTED = {"noise": 0.01, "halves": 0.01, "doses": [0.2, 0.3, 0.4, 0.5, 0.6], "chance": 0.6, "p": 1e-6}


def invented(p: float, mean: float = 0.1, fault: str = "", groups: Any = (("a",), ("b",)), model: str = "m") -> tables.Cell:
    """A cell with one contrast."""
    contrast = {"mean": mean, "low": mean - 0.05, "high": mean + 0.05, "p": p, "detectable": 0.01, "units": 30}
    pair = {"first": "b", "second": "a", "verdict": "better" if mean > 0 else "worse", "contrast": contrast}
    errors = {name: 0.2 for group in groups for name in group}
    found = {"groups": groups, "pairs": [pair], "named": None, "reasons": [], "admission": ADMITTED | {"fault": fault}}
    found |= {"errors": errors, "checks": {"a": contrast}, "leader": "b"}
    return {"kind": "k", "data": "d", "model": model, "method": "x"}, found


def test_contrasts_are_turned_with_their_interval() -> None:
    row = tables.contrast_table([invented(0.001)]).iloc[0]
    assert (row["first"], row["second"], row["verdict"]) == ("a", "b", "worse")
    assert row[["mean", "low", "high"]].tolist() == pytest.approx([-0.1, -0.15, -0.05])


def test_a_lead_that_needs_no_map_is_told_from_one_that_does(tmp_path: Path) -> None:
    """A ranking by |z| that does as well as the map says that the domain compacts the signals: it is counted apart."""
    answer = {"data": "d", "method": "x", "domain": "b", "first": "attribution", "second": "coefficient", "verdict": "better"}
    held: dict[str, Any] = {"command": "compare", "state": "finished", "settings": {}}
    read = []
    for model, won in {"m": ["b"], "n": ["b"], "o": ["a"], "p": []}.items():
        about = {"data": "d", "model": model, "method": "x", "baseline": "zero", "signals": {"several": "k"}}
        rows = [answer | {"model": model, "domain": name} for name in won] + [answer | {"model": "else"}]
        rows.append(answer | {"model": model, "verdict": "open", "domain": "a"})
        written = held | {"cells": [about], "conclusions": [invented(0.001)[1]], "answers": rows}
        (tmp_path / model).mkdir()
        (tmp_path / model / "summary.json").write_text(json.dumps(written))
        read += tables.read(tmp_path / model)
    [row] = tables.repeat_table(tables.contrast_table(read)).to_dict("records")
    assert (row["better"], row["claims"], row["beyond"]) == ("b", 4, 2)


def test_a_run_of_an_earlier_version_is_read_by_the_rules_of_today(tmp_path: Path) -> None:
    about = {"data": "d", "model": "m", "method": "x", "baseline": "zero", "signals": {"several": "k"}}
    whole = invented(1e-4)[1] or {}
    for name, doses in (("steep", ADMITTED["doses"]), ("flat", [0.59, 0.592, 0.594, 0.596, 0.6])):
        cell = {**whole, "named": "b", "admission": ADMITTED | {"doses": doses, "fault": ""}}  # no floor was known then
        held = {"command": "compare", "state": "finished", "settings": {}, "cells": [about], "conclusions": [cell]}
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps(held))
    [(_, steep)], [(_, flat)] = tables.read(tmp_path / "steep"), tables.read(tmp_path / "flat")
    assert steep is not None
    assert flat is not None
    assert (steep["named"], flat["named"]) == ("b", None)
    assert "a map of noise is worse by 0.01 only" in flat["reasons"][0]
    found = {str(tables.contrast_table([(about | {"kind": "k"}, cell)])["verdict"].item()) for cell in (steep, flat)}
    assert found == {"worse", "open"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"checks": {"a": {"mean": 0.05, "low": -0.01}}}, "its lead over a may be too small"),
        ({"checks": {"a": {"mean": 0.05, "low": 0.01}}}, ""),
        ({"checks": {f"a {ROTATION}": {"mean": 0.05, "low": 0.02}}}, f"its lead over a {ROTATION} may be too small"),
        ({"checks": {f"a {ROTATION}": {"mean": 0.05, "low": 0.03}}}, ""),  # more than a tenth of 0.2 + 0.05
        ({"errors": {"a": 0.2, "b": 0.2, "c": 0.23}}, "c had other errors"),
        ({"errors": {"a": 0.2, "b": 0.2, "c": 0.21}}, ""),
    ],
)
def test_claims_of_earlier_versions_obey_the_rules_of_today(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    about = {"data": "d", "model": "m", "method": "x", "baseline": "zero", "signals": {"several": "k"}}
    whole = invented(1e-4, groups=(("a",), ("b", "c")))[1] or {}
    held = {"command": "compare", "state": "finished", "settings": {}, "cells": [about]}
    (tmp_path / "summary.json").write_text(json.dumps(held | {"conclusions": [{**whole, "named": "b"} | change]}))
    [(_, found)] = tables.read(tmp_path)
    assert found is not None
    assert (found["named"] is None) == bool(why)
    assert why in " ".join(found["reasons"])
    assert ("c" in found["groups"][1]) == ("other errors" not in why)


def test_claims_are_corrected_over_all_cells_and_need_an_admitted_metric() -> None:
    weak = [invented(0.03, model=str(number)) for number in range(3)]
    assert set(tables.contrast_table(weak)["verdict"]) == {"open"}  # 3 × 0.03
    assert set(tables.contrast_table(weak[:1])["verdict"]) == {"worse"}
    assert set(tables.contrast_table([invented(1e-4, fault="it does not answer to noise")])["verdict"]) == {"open"}
    mixed = tables.contrast_table([invented(0.02), invented(0.01, model="other")])
    assert mixed["p_corrected"].tolist() == pytest.approx([0.02, 0.02])


def test_domains_that_select_the_same_signal_are_equal_and_no_further_test() -> None:
    table = tables.contrast_table([invented(0.04, groups=(("a", "c"), ("b",)))]).set_index(["first", "second"])
    assert table.loc[("a", "c"), "verdict"] == "equal"
    assert table.loc[("b", "c"), "verdict"] == "better"
    assert table["p_corrected"].dropna().tolist() == [0.04, 0.04]


MODELS = """
import torch
from torch import nn
from pullback.studies.loaders.preparation import Preparation

class Reader(nn.Module):
    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(3, 192, generator=generator))
    def forward(self, x):
        return (x.flatten(1) @ self.weight.T).tanh()

def one():
    return Reader(0).eval(), Preparation(8, (0.5,) * 3, (0.5,) * 3)

def two():
    return Reader(1).eval(), Preparation(8, (0.5,) * 3, (0.5,) * 3)

class Named(Reader):
    def forward(self, x, gain):
        return {"other": x.flatten(1), "scores": gain * super().forward(x)}

def named():
    return Named(0).eval(), Preparation(8, (0.5,) * 3, (0.5,) * 3)
"""


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("toys"), np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / "photos" / f"{number}.png")
    (folder / "nets.py").write_text(MODELS)
    models = tuple(f"{folder / 'nets.py'}:{name}" for name in ("one", "two"))
    return Settings(models, (str(folder / "photos"),), (METHOD,), ("pixel", "dct"), effort="quick")


@pytest.fixture(scope="module")
def found(toys: Settings, tmp_path_factory: pytest.TempPathFactory) -> study.Domains:
    return study.domains(toys, tmp_path_factory.mktemp("out"))


def test_files_of_a_users_models_are_whole_and_few_photos_claim_nothing(found: study.Domains) -> None:
    assert set(found.files) == {
        "report.html",
        "summary.json",
        "cells.csv",
        "contrasts.csv",
        "contrasts.parquet",
        "repeats.csv",
        "domains.png",
    }
    assert all((found.out / name).stat().st_size for name in found.files)
    pd.testing.assert_frame_equal(pd.read_parquet(found.out / "contrasts.parquet"), found.contrasts, check_dtype=False)
    assert found.cells["claimed"].tolist() == ["", ""]
    assert found.repeats["outcome"].tolist() == [OPEN]
    assert json.loads((found.out / "summary.json").read_text())["findings"] == found.summary["findings"]


def test_finished_comparisons_are_read_and_give_the_same_tables(found: study.Domains, tmp_path: Path) -> None:
    runs = [path.parent for path in sorted(found.out.glob("*/summary.json"))]
    assert len(runs) == 2
    again = study.domains(out=tmp_path / "o", runs=runs)
    pd.testing.assert_frame_equal(
        again.contrasts.sort_values("model", ignore_index=True), found.contrasts.sort_values("model", ignore_index=True)
    )
    with pytest.raises(ValueError, match="holds no finished comparison"):
        study.domains(out=tmp_path / "other", runs=[tmp_path])
    assert not (tmp_path / "other").exists()


def test_the_same_call_measures_nothing_again(toys: Settings, found: study.Domains, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (found.out / "contrasts.csv").read_bytes()
    monkeypatch.setattr(Run, "scored", lambda *a, **k: pytest.fail("measured again"))
    study.domains(toys, found.out)
    assert (found.out / "contrasts.csv").read_bytes() == before


@pytest.mark.parametrize("pair", [1, 2])
def test_an_interrupted_study_goes_on_and_writes_the_same_tables(
    pair: int, toys: Settings, found: study.Domains, tmp_path: Path
) -> None:
    """Interrupted while the model of the first or of the second pair is measured."""

    def stop(done: int, planned: int) -> None:
        if (pair - 1) * planned < 2 * done < pair * planned:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.domains(toys, tmp_path, stop)
    assert json.loads((tmp_path / "summary.json").read_text())["state"] == "interrupted"
    assert len(list(tmp_path.glob("*/results.csv"))) == pair - 1
    assert not (tmp_path / "repeats.csv").exists()
    again = study.domains(toys, tmp_path)
    for name in ("cells.csv", "contrasts.csv", "repeats.csv", "contrasts.parquet", "domains.png"):
        assert (again.out / name).read_bytes() == (found.out / name).read_bytes(), name


def test_a_file_of_weights_with_a_named_output_and_a_further_input(
    toys: Settings, found: study.Domains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers as of the model that the file of weights is of."""
    namespace: dict[str, Any] = {}
    source = toys.models[0].rpartition(":")[0]
    exec(Path(source).read_text(), namespace)
    torch.save(namespace["named"]()[0].state_dict(), tmp_path / "one.pt")
    how = ["--model", str(tmp_path / "one.pt"), "--arch", f"{source}:named", "--output", "scores", "--input", "gain=1.0"]
    how += ["--data", *toys.data, "--method", METHOD, "--transform", "pixel", "--transform", "dct", "--effort", "quick"]
    assert fails(monkeypatch, "study", "domains", *how, "--out", str(tmp_path / "o")) == 0
    one = pd.read_csv(tmp_path / "o" / "contrasts.csv")
    own = found.contrasts[found.contrasts["model"] == toys.models[0]]
    pd.testing.assert_frame_equal(
        one.drop(columns="model"), own.drop(columns="model").reset_index(drop=True), check_dtype=False
    )


def test_what_repeats_in_several_data_sets_is_told_from_other_models_of_one() -> None:
    cells = [invented(1e-4, model="m"), invented(1e-4, model="n")]
    for data, said in (
        ("d", "0 repeat in two data sets (of 0 that two have), 1 for other models of one data set"),
        ("e", "1 repeat"),
    ):
        contrasts = tables.contrast_table([cells[0], (cells[1][0] | {"data": data}, cells[1][1])])
        repeats = tables.repeat_table(contrasts)
        assert repeats["compared"].item() == repeats["sets"].item()
        assert study._repeated(repeats).startswith(said)


def test_shards_of_the_study_are_the_whole_study(toys: Settings, found: study.Domains, tmp_path: Path) -> None:
    """Each holds a part of each comparison."""
    folders = [tmp_path / name for name in ("a", "b")]
    parts = [study.domains_shard(toys, f"{number}/2", folder) for number, folder in enumerate(folders, 1)]
    assert [part.photos for part in parts] == [6, 0]  # the one batch of each comparison
    merged = study.domains(toys, tmp_path / "o", shards=folders)
    for name in ("cells.csv", "contrasts.csv", "repeats.csv"):
        assert (merged.out / name).read_bytes() == (found.out / name).read_bytes()
    with pytest.raises(ValueError, match="of 2 shards 1 are missing: 2"):
        study.domains(toys, tmp_path / "half", shards=folders[:1])
    with pytest.raises(ImportError, match="no shard holds"):
        study.domains(toys, tmp_path / "none", shards=[tmp_path / "nothing"])


def test_packaged_models_that_are_not_installed_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **options: Any) -> None:
        raise ImportError("fashion-mnist needs the Debian package")

    monkeypatch.setattr(study, "compare", missing)
    said: list[str] = []
    with pytest.raises(ImportError, match="Debian package"):
        study.domains(Settings(), tmp_path / "o", note=said.append)
    assert len(said) == len(Settings().pairs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data": ("a", "b")}, "one for each"),
        ({"models": ("a", "b", "c"), "data": ("a", "b")}, "got 3 models and 2 data sets"),
        ({"methods": ("nothing",)}, "Unknown"),
        ({"effort": "hard"}, "effort"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**options)


def test_quick_needs_no_training_and_no_debian_package() -> None:
    quick = Settings().quick
    assert {model for model, _ in quick.pairs} == {"mnist-lenet", "mnist-lenet-robust"}
    assert (quick.transforms, quick.effort, quick.limit) == (FEW, "quick", 20)
    assert dataclasses.replace(Settings(), models=("a",), data=("b",)).quick.pairs == [("a", "b")]


def test_only_slow_packaged_networks_take_fewer_signals_and_only_unless_told() -> None:
    limits = lambda asked: {model: asked.comparison(model, data).limit for model, data in asked.pairs}
    assert limits(Settings()) == limits(Settings(limit=40)) | {"efficientnet-lite0": 10, "yamnet": 12, "digits3d-net": 20}
    assert set(limits(Settings(limit=7)).values()) == {7}
    assert limits(Settings(models=("yamnet",), data=("animals",))) == {"yamnet": 40}


def test_the_command_prints_the_findings(
    found: study.Domains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(path.parent) for path in found.out.glob("*/summary.json")]
    assert fails(monkeypatch, "study", "domains", *runs, "--out", str(tmp_path / "o")) == 0
    assert "A domain is claimed in 0 of 2 cells" in " ".join(capsys.readouterr().out.split())
    assert fails(monkeypatch, "study", "domains", str(tmp_path), "--out", str(tmp_path / "p")) == 2
