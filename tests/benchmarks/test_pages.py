"""The generated parts of docs/ say what is stored and registered."""

import contextlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from support import ROOT
from support.subjects import normal

from benchmarks.results.stored import RESULTS
from benchmarks.scripts import axioms_page, pages, performance
from benchmarks.scripts.tables import NothingStored, table
from pullback import studies
from pullback.axioms.method_laws import LAWS_VERSION
from pullback.axioms.rewrites.modules import small_network
from pullback.studies.axiom_matrix.subject import Subject

PAGES = pages.pages()
REGISTERED = "table"  # what is registered is code and not a stored result: it must not keep anyone from adding to it


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout's folder with a copy of what is stored."""
    for folder in ("benchmarks/results", "docs/axioms", "docs/demo"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_says_what_is_stored(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    inside = {match[2]: match[0].split("\n", 1)[1].rsplit("\n", 1)[0] for match in pages._MARKED.finditer(text)}
    sections = pages.SECTIONS | {REGISTERED: lambda _: inside[REGISTERED]}
    assert pages.fill(text, ROOT, sections) == text, "run `make pages`"


def test_every_section_is_on_one_page() -> None:
    found = [match[2] for page in PAGES for match in pages._MARKED.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(pages.SECTIONS)


def test_a_stored_number_that_changes_changes_its_section(root: Path) -> None:
    before = {}
    for name in performance.SECTIONS.keys() - {"sources"}:
        with contextlib.suppress(NothingStored):
            before[name] = performance.SECTIONS[name](root)
    assert {"speed", "missed", "methods", "transforms", "formats", "growth", "memory", "quadrature", "masks"} <= before.keys()
    for path in (root / "benchmarks/results").glob("*.json"):
        text = path.read_text().replace('": 0.', '": 7.').replace('": 1.', '": 7.').replace("[\n     3", "[\n     9")
        path.write_text(text)
    for name, said in before.items():
        assert performance.SECTIONS[name](root) != said, name


def test_every_page_can_be_made_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in pages.SECTIONS.keys() - {"demo", REGISTERED, "laws", "asked", "sources", "quadrature"}:
        marked = f"<!-- {name}:begin -->\n<!-- {name}:end -->\n"
        assert "Not measured yet." in pages.fill(marked, tmp_path), name


def test_markers_need_a_section() -> None:
    text = "a\n<!-- one:begin -->\nold\n<!-- one:end -->\n"
    assert pages.fill(text, ROOT, {"one": lambda _: "new"}) == text.replace("old", "new")
    with pytest.raises(ValueError, match="no section is called one"):
        pages.fill(text, ROOT, {"two": lambda _: ""})


def test_tables_of_known_results() -> None:
    found = table(pd.DataFrame({"a|b": ["x < y", "z"], "n": ["1.5", "**2.0**"]}))
    assert found == "| a\\|b | n |\n| --- | ---: |\n| x &lt; y | 1.5 |\n| z | **2.0** |"
    speed = performance.speed(ROOT)
    assert "| Captum IntegratedGradients | 1 | **0.83** (0.82–0.84) | 1, met |" in speed
    assert "| ptwt, transforms and sizes | 12 | **0.45** (0.04–0.83) | 1, met by 12 of 12 |" in speed
    gpu = "| NVIDIA H100 80GB HBM3 | vit-b16 | bf16 compiled | **0.17** | 3,323 | 11.2 | – | – |"
    assert gpu in performance.SECTIONS["formats"](ROOT)
    unmeasured = {
        "optimize",
        "accuracy",
        "limits",
        "peers",
        "transforms",
        "memory",
        "axioms",
        "large",
        "metrics",
        "signals",
        "demo",
        "defaults",
    }
    stored = {path.name for path in RESULTS.glob("*-cuda.json")}
    missing = [suite for suite in performance.SUITES if suite in unmeasured and f"{suite}-cuda.json" not in stored]
    assert f"Not measured on a GPU yet: {', '.join(missing)}." in performance.sources(ROOT)


def test_the_matrix_of_a_study_is_taken_over(tmp_path: Path) -> None:
    pytest.importorskip("captum")
    subject = Subject(small_network((1, 8, 8)).double(), normal(1, 1, 8, 8), 0)
    run, methods = tmp_path / "run", ["gradient", "shapley"]
    studies.write_matrix({"net": subject}, run, methods=methods, transforms=["pixel", "dct"])
    axioms_page.store("net", run, tmp_path)
    said = {name: section(tmp_path) for name, section in axioms_page.SECTIONS.items() if name not in ("stability", "cost")}
    assert "### net\n\n4 cells" in said["figures"]
    count = len(axioms_page.every_method())
    assert f"2 of {count} methods in all 2 domains; in fewer: `absgrad` (0)" in said["figures"]
    assert "1 signal, float64" in said["figures"]
    assert axioms_page.OTHER_VERSION not in said["figures"]
    assert said["asked"].startswith("- net, `shapley`: ")
    assert "`shapley(by=block, block=4, unions=band)` in `pixel`" in said["asked"]
    assert "| `gradient` | ✗ | ✗ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✗ | ✓ |" in said["summary"]
    assert "| `gradient` | ✗ (✗) | ✓ (✓) | ✗ (✗) | ✓ (✓) | ✓ (✓) |" in said["literature"]
    assert "- `shapley`, dummy: kept according to Shapley 1953, broken on net in 2 of 2 domains" in said["differences"]

    path = axioms_page.stored(tmp_path) / "matrix-net.json"
    source = json.loads(path.read_text())
    assert source["laws_version"] == {str(LAWS_VERSION): 4}
    path.write_text(json.dumps(source | {"laws_version": {str(LAWS_VERSION): 1, "0": 3}}))
    assert "3 of the cells come from another version of the laws." in axioms_page.figures(tmp_path)
    path.unlink()
    assert "No file says which version of the laws" in axioms_page.figures(tmp_path)


def test_verdicts_of_another_version_are_named(root: Path) -> None:
    path = root / "benchmarks/results/axiom-verdicts.json"
    report = json.loads(path.read_text())
    assert "17,760 verdicts with a known answer" in axioms_page.stability(root)
    for version in (LAWS_VERSION, 0):
        path.write_text(json.dumps(report | {"settings": report["settings"] | {"laws_version": version}}))
        assert (axioms_page.OTHER_VERSION in axioms_page.stability(root)) is (version == 0)
