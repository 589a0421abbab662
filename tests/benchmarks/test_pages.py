"""The numbers of README, docs/ and benchmarks/*.md are those that are stored, on whatever machine they were taken."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

sys.path.append(str(ROOT))
pages, accelerator, readme, stored = (
    importlib.import_module(f"benchmarks.{name}") for name in ("pages", "accelerator", "readme", "stored")
)
# The list of what is registered is code and not a stored result; it must not keep anyone from adding to it.
BY_CODE = {"README.md": ("table",)}


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_page_says_what_is_stored(page: str) -> None:
    said = (ROOT / page).read_text(encoding="utf-8")
    assert pages.rendered(page, leave=BY_CODE.get(page, ())) == said, "run `python -m benchmarks.pages`"


def test_a_stored_number_that_changes_changes_its_page(tmp_path: Path) -> None:
    """The control: the comparison sees one digit."""
    for path in stored.RESULTS.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text().replace('"ratio": 0.', '"ratio": 7.'))
    for page in ("README.md", "benchmarks/transforms.md"):
        assert pages.rendered(page, tmp_path, BY_CODE.get(page, ())) != (ROOT / page).read_text()


def test_every_page_can_be_made_of_nothing(tmp_path: Path) -> None:
    for page in ("README.md", "benchmarks/accelerator.md", "benchmarks/transforms.md", "benchmarks/masks.md"):
        assert "Not measured yet." in pages.rendered(page, tmp_path, ("demo",))


def test_markers_and_sections_must_agree() -> None:
    text = "a\n<!-- one:begin -->\nold\n<!-- one:end -->\n"
    assert pages.fill(text, {"one": lambda _: "new"}, ROOT) == text.replace("old", "new")
    for wrong in ({}, {"two": lambda _: ""}, {"one": lambda _: "", "two": lambda _: ""}):
        with pytest.raises(ValueError, match="found one"):
            pages.fill(text, wrong, ROOT)


# A whole run on a GPU that nobody has -------------------------------------------------------------------------------


def timed(ratio: float, goal: float | None = None, **more: Any) -> dict[str, Any]:
    found = {"ratio": ratio, "low": 0.9 * ratio, "high": 1.1 * ratio, "ours_s": ratio, "bare_s": 1.0, "rounds": 3}
    return found | ({} if goal is None else {"goal": goal}) | {"processor": ratio, **more}


def executed(model: str, options: str, ratio: float) -> dict[str, Any]:
    noted = {
        "model": model,
        "options": options,
        "precision": "bf16",
        "rows": 512,
        "chunk": 128,
        "rows_per_s": 512 / ratio,
        "first_s": 9.5,
        "cosine": 0.9876,
        "of_floor": 0.21,
        "peak_mb": 4321.0,
        "agreement": None,
    }
    return timed(ratio, 1 / 3 if "compiled" in options else None, **noted)


def shares(spec: str, milliseconds: float, **jobs: float) -> dict[str, Any]:
    return {"spec": spec, "images": 256, "milliseconds": milliseconds, "goal": 0.5, **jobs}


EXECUTED = [
    ("efficientnet-lite0", "fp32", 1.02),
    ("efficientnet-lite0", "bf16 compiled", 0.61),
    ("resnet50", "bf16 compiled", 0.31),
    ("resnet50", "bf16 compiled channels_last", 0.23),
    ("vit-b16", "auto", 0.22),
]
LIMIT = {"method": "smoothgrad(samples=32)", "domains": 1, "peak_mb": 11.0, "bare_peak_mb": 10.0}
PUBLISHED = {
    "peer": "published wavelet SmoothGrad, as loaded",
    "method": "smoothgrad",
    "peak_mb": 1.0,
    "their_peak_mb": 2.0,
}
GPU_RUN: dict[str, dict[str, dict[str, Any]]] = {
    "accelerator": {
        **{f"test_execution[{model}-{options}]": executed(model, options, ratio) for model, options, ratio in EXECUTED},
        "test_maps_in_narrower_formats[vit-b16-smoothgrad]": {
            "model": "vit-b16",
            "method": "smoothgrad",
            "fp32": 1.0,
            "tf32": 0.99991,
            "bf16": 0.9876,
            "auto": 0.9999,
            "chosen": "tf32",
        },
        "test_bandwidth[dwt(haar, level=3)]": shares(
            "dwt(haar, level=3)", 0.42, analysis=0.57, synthesis=0.3, adjoint=0.29
        ),
        "test_bandwidth[polar]": shares("polar", 3.67, analysis=0.03, synthesis=0.05),
    },
    "peers": {"test_published_wavelet_smoothgrad[as loaded]": timed(0.24, 0.25, **PUBLISHED)},
    "limits": {
        f"test_limit[{model}-smoothgrad-1]": timed(ratio, 1.03, model=model, **LIMIT)
        for model, ratio in (("audio", 1.01), ("vit-b16", 1.2))
    },
    "growth": {"test_growth[batch]": {"slope": 0.87, "expected": [0.8, 1.15], "within": True}},
    "stream": {"test_ten_domains_cost_the_rows_of_one": timed(1.32, 1.1, images=4, forward=108, backward=100)},
    "transforms": {
        "test_ten_domains_against_one_pass_of_a_resnet50": timed(0.044, 0.05),
        **{
            f"test_against_peer[dwt haar / ptwt-{kind}]": timed(ratio, 1.0, kind=kind)
            for kind, ratio in (("audio", 0.4), ("image", 0.6), ("volume", 1.4))
        },
        "test_transform[dct-image]": {
            "analysis": 0.31,
            "synthesis": 0.32,
            "adjoint": 0.33,
            "kind": "image",
            "spec": "dct",
        },
    },
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """As `benchmarks.store` writes them."""
    machine = {"device": "NVIDIA H999", "kind": "cuda", "quick": False, "torch": "2.13.0+cu130", "threads": 16}
    for suite, noted in GPU_RUN.items():
        benchmarks = [{"name": name, "extra_info": entry} for name, entry in noted.items()]
        run = {
            "machine_info": machine,
            "commit": "0123456789",
            "datetime": "2026-11-24T01:02:03",
            "benchmarks": benchmarks,
        }
        (tmp_path / f"{suite}-cuda.json").write_text(json.dumps(run))
    return tmp_path


def row(text: str, *starts: str) -> str:
    """The one line of a table that begins with these cells."""
    (line,) = [line for line in text.splitlines() if line.startswith("| " + " | ".join(starts) + " |")]
    return line


def test_the_page_of_the_gpu_is_made_of_a_whole_run(results: Path) -> None:
    said = {name: section(results) for name, section in accelerator.SECTIONS.items()}
    assert "NVIDIA H999, torch 2.13.0, 16 threads, commit 0123456, 2026-11-24." in said["machine"]
    assert "Not measured on a GPU" not in said["machine"]
    line = row(said["execution"], "resnet50", "bf16 compiled channels_last")
    assert [cell.strip() for cell in line.split("|")[3:-1]] == [
        "2,226",
        "512",
        "**0.23** (0.21–0.25)",
        "0.333, met",
        "9.5",
        "0.9876",
        "0.21",
        "4,321",
    ]
    assert "on resnet50 (4.3 ×); **missed** on efficientnet-lite0 (1.6 ×)" in said["reached"]
    assert row(said["formats"], "vit-b16").endswith("| 1.00000 | 0.99991 | 0.98760 | 0.99990 | tf32 |")
    assert "`dwt(haar, level=3)` reach the goal" in said["bandwidth"]
    assert row(said["bandwidth"], "`polar`").endswith("| 3.67 | 0.03 | 0.05 | – |")
    assert said["domains"].startswith("4 photos, 25 gradients each: 1320 ms in ten domains, 1000 ms in one; **1.32**")
    assert "0.25, met" in row(said["peers"], "published wavelet SmoothGrad, as loaded")
    assert row(said["limits"], "`smoothgrad(samples=…)`", "1").endswith(
        "| **1.01** (0.91–1.11) | **1.20** (1.08–1.32) |"
    )
    assert "1.03, met by 1 of 2 in one domain." in said["limits"]
    assert "0.8 to 1.15, met" in row(said["growth"], "batch")
    assert said["chunks"] == said["levels"] == stored.NOT_YET


def test_the_readme_names_the_gpu_and_takes_its_numbers(results: Path) -> None:
    said = readme.speed(results)
    assert "### NVIDIA H999" in said
    assert f"### CPU\n\n{stored.NOT_YET}" in said
    assert "**0.24** (0.22–0.26) | 0.25, met" in row(said, "published wavelet SmoothGrad, as loaded")
    assert "efficientnet-lite0 **0.61**, resnet50 **0.23**" in row(
        said, "the eager float32 loop: SmoothGrad in bf16, compiled"
    )
    assert "**1.32** (1.19–1.45) | 1.1, missed" in said
    assert "`haar` 0.57" in said
    assert "**0.60** (0.40–1.40)" in row(said, "ptwt, 3 transforms and sizes")
    assert "batch 0.87" in said


def test_the_readme_says_how_long_a_run_took_what_it_left_out_and_what_it_missed(results: Path) -> None:
    assert "make bench` took" not in readme.speed(results)
    for path in results.glob("*.json"):
        content = json.loads(path.read_text()) | {"run_wall_s": 754.4}
        if path.name.startswith("peers"):
            content["skipped"] = {"test_quantus[Sparseness]": "Quantus does not load"}
        if path.name.startswith("growth"):
            content["benchmarks"][0]["extra_info"]["within"] = False
        path.write_text(json.dumps(content))
    said = readme.speed(results)
    assert "`make bench` took 12 min 34 s." in said
    assert "Left out of the peers: test_quantus[Sparseness] (Quantus does not load)." in said
    assert "batch 0.87 (expected 0.8 to 1.15, missed)" in said
    one = results / "stream-cuda.json"
    one.write_text(json.dumps(json.loads(one.read_text()) | {"run_wall_s": 99.0}))  # measured by itself later
    assert "`make bench` took" not in readme.speed(results).replace("`make bench` measures", "")


def test_transforms_on_a_gpu_have_their_table(results: Path) -> None:
    text = pages.rendered("benchmarks/transforms.md", results)
    assert "**0.60** (0.54–0.66) | **0.40** (0.36–0.44) | **1.40** (1.26–1.54)" in row(text, "dwt haar / ptwt")
    assert row(text, "`dct`").startswith("| `dct` | 0.3 / 0.3 / 0.3 |")
