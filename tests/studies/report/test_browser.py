"""The report in a real browser: what can be done with it, that nothing leaves it, and that everybody can use it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pullback.studies.report.charts import percent
from pullback.studies.report.report import LIMIT, notebook, write_page

Visit = Callable[..., Any]
KINDS = ("image", "audio", "series", "volume")
PAGES = (*KINDS, "explain", "study", "axioms", "matrix")


def shown(page: Any) -> list[str]:
    """The domains of the rows that are shown, from top to bottom."""
    return page.eval_on_selector_all("#table tbody tr:not([hidden]) th", "rows => rows.map(row => row.textContent)")


def wait_for_viewer(page: Any) -> None:
    """Waits until the first example is drawn, on pages that have one."""
    if page.locator("#viewer").count():
        page.wait_for_selector("#viewer :is(img, canvas, svg)")


def thousand_cells(out: Path) -> Path:
    """A folder with scores of 10 models × 10 methods × 10 domains, three examples and budgets each."""
    out.mkdir()
    names = {"model": 10, "method": 10, "domain": 10, "control": 2, "example": 3, "budget": 3}
    index = pd.MultiIndex.from_product([range(count) for count in names.values()], names=list(names))
    table = index.to_frame(index=False).astype(str)
    budgets = table["budget"].astype(int).map({0: 0.01, 1: 0.05, 2: 0.1})
    controls = table["control"].map({"0": "attribution", "1": "random"})
    table = table.assign(budget=budgets, control=controls, unit=table["example"], data="set", budget_kind="count")
    table = table.assign(family="own", metric="kept_share", score=np.random.default_rng(0).uniform(size=len(table)))
    table.to_parquet(out / "scores.parquet", index=False)
    (out / "summary.json").write_text(json.dumps({"pullback": "0", "command": "compare", "settings": {}}))
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_and_nothing_leaves_it(visit: Visit, kind: str) -> None:
    opened = visit(kind)
    opened.page.wait_for_selector("#viewer :is(img, canvas, svg)")
    broken = "found => found.filter(one => one.complete && !one.naturalWidth).length"
    assert opened.page.eval_on_selector_all("#viewer img, header img", broken) == 0
    assert opened.requests == [opened.url]
    opened.shot(kind, full_page=True)


def test_the_table_is_sorted(visit: Visit) -> None:
    page = visit("image").page
    head = page.locator("#table thead th").filter(has_text="90 % held by")
    place = head.evaluate("head => head.cellIndex")
    values = f"rows => rows.map(row => parseFloat(row.cells[{place}].dataset.v)).filter(one => !isNaN(one))"
    for direction, order in (("descending", sorted), ("ascending", sorted)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        found = page.eval_on_selector_all("#table tbody tr", values)
        assert len(found) == 6
        assert found == order(found, reverse=direction == "descending")
    page.locator("#table thead th button").first.press("Enter")  # names
    assert shown(page) == sorted(shown(page))


def test_the_table_is_filtered(visit: Visit) -> None:
    page = visit("image").page
    assert len(shown(page)) == 8
    page.fill("#filter", "haar input_x")
    assert shown(page) == ["dwt(haar, level=2)"]
    assert page.text_content("#shown-rows") == "1 of 8 rows shown"
    page.fill("#filter", "")
    page.select_option("select[data-filter=method]", "input_x_gradient")
    assert len(shown(page)) == 4


def test_a_number_leads_to_its_rows(visit: Visit, folders: dict[str, Path]) -> None:
    page = visit("image").page
    link = page.locator("#table tbody tr").first.locator("a.number").last
    link.click()
    text = page.text_content("#source-text")
    assert "is the mean of 4 rows of results.csv: " in text
    assert "read_csv" in page.text_content("#source-code")
    address = page.get_attribute("#source-link", "href")
    page.keyboard.press("Escape")
    rows = [int(one) for one in address.partition("#row=")[2].split(";")]
    lines = (folders["image"] / "results.csv").read_text().splitlines()
    assert all(",pixel," in lines[row - 1] for row in rows)  # RFC 7111 counts rows from 1, the heading among them
    assert len(rows) == 4


def test_contrasts_and_sentences_lead_to_their_rows(visit: Visit, folders: dict[str, Path]) -> None:
    page = visit("image").page
    table = pd.read_csv(folders["image"] / "contrasts.csv")
    link = page.locator("#contrasts ~ details a.number").first
    row = int(link.get_attribute("href").partition("#row=")[2])
    assert f"{100 * table['mean'][row - 2]:+.3g}" == link.text_content()  # the heading is row 1
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    link.click()
    assert f"contrasts.csv, row {row}." in page.text_content("#source-text")
    page.keyboard.press("Escape")
    said = page.locator("#verdicts ~ details li:has(a)")
    first, last = (int(one) for one in said.last.locator("a").get_attribute("href").partition("#row=")[2].split("-"))
    assert set(table["question"][first - 2 : last - 1]) == {said.last.text_content().partition(":")[0]}
    share = page.locator("section.group table a.number").last
    rows = [int(one) for one in share.get_attribute("href").partition("#row=")[2].split(";")]
    wide = pd.read_csv(folders["image"] / "results.csv").iloc[[one - 2 for one in rows]]
    assert share.text_content() == percent(wide["share octave 1"].mean())


def test_an_explanation_has_its_shares_its_maps_and_its_command(visit: Visit) -> None:
    page = visit("explain").page
    wait_for_viewer(page)
    assert page.locator("#explained ~ article h3").all_text_contents() == [
        f"<img src=x onerror=alert(1)>.png: class {k}" for k in "01"
    ]
    assert "the largest share of Σ|a| has" in page.locator("article caption").first.text_content()
    assert page.locator("article tbody tr").count() == 2 * page.locator("article").first.locator("tbody tr").count()
    assert "decision is left" not in page.text_content("#viewer")
    page.select_option("#example", "1")
    page.locator("#viewer", has_text="as class 1").wait_for()
    assert "Called from Python" in page.text_content("main")


def test_a_study_holds_its_pictures_sounds_and_rows(visit: Visit, folders: dict[str, Path], tmp_path: Path) -> None:
    page = visit("study").page
    assert page.text_content("h1") == "Toy <i>study</i>"
    assert page.locator("img.whole").get_attribute("alt") == "Red all over."
    sources = page.eval_on_selector_all("img, audio", "found => found.map(one => one.src.slice(0, 15))")
    assert sources == ["data:image/webp", "data:audio/wav;"]
    assert page.locator("#tables ~ details tbody th").all_text_contents() == ["dwt", "<b>dct</b>"]
    links = page.eval_on_selector_all("#tables ~ details tbody a", "found => found.map(one => one.getAttribute('href'))")
    assert links == ["./results.csv#row=4", "./results.csv#row=2"]
    write_page([folders["study"]], tmp_path / "linked.html", limit=1_000)
    page = visit(tmp_path / "linked.html").page
    assert "would make this page larger than" in page.text_content("main")
    hrefs = page.eval_on_selector_all(
        "figcaption a", "found => found.map(one => decodeURIComponent(new URL(one.href).pathname))"
    )
    assert [Path(href).is_file() for href in hrefs] == [True, True]


def test_numbers_of_a_matrix_are_reached_with_the_keyboard(visit: Visit) -> None:
    page = visit("matrix").page
    page.keyboard.press("Tab")  # the table
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "BROKEN"
    page.keyboard.press("Enter")
    assert "≤" in page.locator("td p:visible").text_content()


def test_example_domain_scale_and_opacity_are_chosen(visit: Visit) -> None:
    page = visit("image").page
    page.wait_for_selector(".stage img")
    first = page.get_attribute(".stage img >> nth=1", "src")
    page.locator("#viewer input[type=radio]").nth(2).check()
    assert page.get_attribute(".stage img >> nth=1", "src") != first
    assert "of the attribution in dwt(haar, level=2), most of it in the " in page.get_attribute(".stage img >> nth=1", "alt")
    page.locator("#opacity").fill("20")
    assert page.locator(".stage img").nth(1).evaluate("one => one.style.opacity") == "0.2"
    page.select_option("#domain", "dct")
    assert page.locator("#viewer input[type=radio]").count() == 6
    page.select_option("#example", "1")
    page.locator("#viewer", has_text='a"b').wait_for()
    assert page.locator("#domain").input_value() == "dct"


def test_charts_of_another_method_are_shown(visit: Visit) -> None:
    page = visit("image").page
    assert page.locator("section.group:visible").count() == 1
    page.select_option("#group", "group-1")
    assert page.locator("section.group:visible h3").first.text_content() == "input_x_gradient"
    assert page.locator("section.group:visible svg.chart").first.get_attribute("aria-label").startswith("selection error")


def test_hostile_names_are_text_and_links_lead_to_files(visit: Visit, folders: dict[str, Path]) -> None:
    opened = visit("image")
    page = opened.page
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("#run th", has_text="bro<ken.jpg").count() == 1 or "bro<ken.jpg" in page.text_content("main")
    options = page.eval_on_selector_all("#example option", "found => found.map(one => one.textContent)")
    assert any("<img src=x onerror=alert(1)>.png" in text for text in options)
    links = page.eval_on_selector_all(
        "main table a[href^='./']", "found => found.map(one => decodeURIComponent(new URL(one.href).pathname))"
    )
    assert len(links) > 10
    assert [link for link in links if not Path(link).is_file()] == []
    assert "onerror" not in json.dumps(
        page.evaluate("[...document.querySelectorAll('*')].flatMap(one => one.getAttributeNames())")
    )


def test_sounds_load(visit: Visit) -> None:
    page = visit("audio").page
    page.wait_for_selector("audio")
    page.evaluate(
        "Promise.all([...document.querySelectorAll('audio')].map(one => one.readyState"
        " || new Promise(done => one.addEventListener('loadedmetadata', done))))"
    )
    lengths = page.eval_on_selector_all("audio", "found => found.map(one => one.duration)")
    assert lengths == pytest.approx([0.125] * 4)
    assert page.locator("figure.plane img").count() == 5


def test_a_slider_moves_the_slices(visit: Visit) -> None:
    page = visit("volume").page
    page.wait_for_selector("canvas")
    page.locator("canvas[aria-label]").nth(2).wait_for()
    picture = "found => found.map(one => one.toDataURL())"
    before = page.eval_on_selector_all("canvas", picture)
    page.locator("input.slice").nth(0).fill("2")
    page.locator("canvas[aria-label^='Slice 3 of 12']").wait_for()
    after = page.eval_on_selector_all("canvas", picture)
    assert [a == b for a, b in zip(before, after)] == [False, True, True]
    assert page.locator(".slices label").nth(2).text_content() == "Axis 3, slice 5 of 8 (9 mm)"


def test_channels_and_octaves_are_a_table(visit: Visit) -> None:
    page = visit("series").page
    page.wait_for_selector("td.shade")
    assert page.locator("table:has(td.shade) tbody th").all_text_contents() == ["Fp1", "<b>Cz</b>", "O2"]
    assert "Hz" in page.locator("table:has(td.shade) thead").text_content()
    assert page.locator(".traces path.heat").count() >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", PAGES)
def test_axe_finds_nothing_serious(visit: Visit, kind: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pullback[test]")
    opened = visit(kind, color_scheme=scheme)
    wait_for_viewer(opened.page)
    assert violations(opened.page, axe) == []
    opened.page.set_viewport_size({"width": 390, "height": 844})  # what fits a screen must be scrolled on a phone
    assert violations(opened.page, axe) == []


def violations(page: Any, axe: Any) -> list[tuple[str, str, str]]:
    """What axe finds where all is unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    return [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in axe.Axe().run(page).response["violations"]]


def test_axe_catches_what_is_wrong(browser: Any, tmp_path: Path) -> None:
    """The control: a page with pale text and a picture without words."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pullback[test]")
    (tmp_path / "bad.html").write_text("<html lang=en><title>a</title><p style='color:#ccc'>pale<img src='data:,'>")
    page = browser.new_page()
    page.goto((tmp_path / "bad.html").as_uri())
    assert {one["id"] for one in axe.Axe().run(page).response["violations"]} >= {"color-contrast", "image-alt"}
    page.close()


@pytest.mark.parametrize("kind", PAGES)
def test_a_phone_shows_the_whole_width(visit: Visit, kind: str) -> None:
    opened = visit(kind, viewport={"width": 390, "height": 844})
    wait_for_viewer(opened.page)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    opened.shot(f"{kind}-phone", full_page=True)


def test_a_page_is_used_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit("image").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    reached = set()
    for _ in range(150):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"filter", "group", "BUTTON", "A", "SUMMARY"} <= reached


def test_a_page_prints(visit: Visit, tmp_path: Path) -> None:
    page = visit("image").page
    page.wait_for_selector(".stage img")
    data = page.pdf()
    assert data.startswith(b"%PDF")
    assert 3 <= data.count(b"/Type /Page\n") <= 20
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    page.set_viewport_size({"width": 690, "height": 980})  # a page of A4 without its margins
    assert page.evaluate("document.documentElement.scrollWidth") == 690


def test_views_beside_the_page_are_loaded_when_they_are_chosen(visit: Visit, folders: dict[str, Path], tmp_path: Path) -> None:
    files = write_page([folders["image"]], tmp_path / "o ut.html", limit=1)
    assert len(files) == 9
    opened = visit(tmp_path / "o ut.html")
    opened.page.wait_for_selector(".stage img")
    assert [Path(url).name for url in opened.requests] == ["o%20ut.html", "0.js"]
    assert "larger than 15 MB" in opened.page.text_content("main")
    opened.page.select_option("#example", "3")
    opened.page.locator("#viewer", has_text="שלום").wait_for()
    files[2].unlink()
    opened.page.select_option("#example", "1")
    opened.page.locator("#viewer", has_text="is not there").wait_for()
    opened.problems.clear()  # the browser's own word about the missing file


def test_a_default_page_is_small(folders: dict[str, Path]) -> None:
    for kind in KINDS:
        page = (folders[kind] / "report.html").read_text()
        assert len(page.encode()) < LIMIT
        assert page.count("function setTable") == 1  # one copy of the script
    assert LIMIT == 15_000_000


def test_a_thousand_cells_are_painted_within_two_seconds(visit: Visit, tmp_path: Path) -> None:
    write_page([thousand_cells(tmp_path / "many")], tmp_path / "many.html")
    assert (tmp_path / "many.html").stat().st_size < LIMIT
    page = visit(tmp_path / "many.html").page
    assert page.locator("#table tbody tr").count() == 1000
    page.click("#more")
    assert len(shown(page)) == 1000
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 2000


def test_two_runs_stand_side_by_side(visit: Visit, folders: dict[str, Path], tmp_path: Path) -> None:
    [path] = write_page([folders["series"], folders["audio"]], tmp_path / "both.html")
    page = visit(path).page
    page.wait_for_selector("#viewer svg")
    assert page.locator("select[data-filter=run] option").all_text_contents() == ["all", "series", "audio"]
    page.select_option("select[data-filter=run]", "audio")
    assert shown(page) == ["stft", "dwt(db8, level=3)", "random rotation (control)"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_notebook_shows_the_same_numbers_without_a_script(
    visit: Visit, folders: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    piece = notebook(folders[kind])
    assert "<script" not in piece
    (tmp_path / "cell.html").write_text(f"<!doctype html><html lang='en'><meta charset='utf-8'><title>a</title>{piece}")
    opened, page = visit(tmp_path / "cell.html"), visit(kind).page
    assert opened.page.locator("img[src=x]").count() == 0
    cells = "rows => rows.map(row => [...row.cells].slice(-3).map(cell => (cell.querySelector('a') || cell).textContent))"
    assert opened.page.eval_on_selector_all("tbody tr", cells) == page.eval_on_selector_all("#table tbody tr", cells)
    opened.shot(f"{kind}-notebook", full_page=True)
