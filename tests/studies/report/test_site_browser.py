"""The documentation's site in a real browser, from a folder: it is searched without a server, and formulas are typeset."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "docs" / "site"))
PAGES = ("concepts/one-stream.md", "concepts/completeness.md")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of few pages, with the settings of the whole one."""
    pytest.importorskip("material", reason="needs mkdocs-material: pip install 'pullback[test]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        from mkdocs.commands.build import build
        from mkdocs.config import load_config
    import formulas

    docs, out = tmp_path_factory.mktemp("docs"), tmp_path_factory.mktemp("site #1")
    (docs / "concepts").mkdir()
    for name in ("site.css", "iframe-worker.js"):
        shutil.copy(ROOT / "docs" / name, docs / name)
    for name in PAGES:
        (docs / name).write_text(formulas.typeset((ROOT / "docs" / name).read_text(), sentences=True))
    (docs / "index.md").write_text("# Home\n\nNothing else.\n")
    only: dict[str, Any] = {"nav": None, "hooks": [], "strict": False, "validation": {"links": {"not_found": "ignore"}}}
    build(load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(docs), site_dir=str(out), **only))
    return out


@pytest.mark.parametrize("width", [1280, 390], ids=["wide", "phone"])
def test_words_are_found_from_a_folder_without_the_network(browser: Any, site: Path, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme="dark")
    context.set_default_timeout(10_000)
    page, asked, problems = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((site / "index.html").as_uri())
    if width < 1000:
        page.locator("label[for=__search]").first.click()
    field = page.locator("input.md-search__input")
    field.press_sequentially("covector")  # the theme waits for keys
    page.locator(".md-search-result__item a").first.wait_for()
    assert any("one-stream.html" in link for link in links(page))
    field.clear()
    field.press_sequentially("xylophone")
    page.get_by_text("No matching documents").wait_for()
    page.goto((site / "concepts" / "one-stream.html").as_uri())
    assert page.locator(".formula math").count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(".formula math").first.evaluate("one => one.getBoundingClientRect().height") > 15
    context.close()
    assert problems == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}


def links(page: Any) -> list[str]:
    """Where the results of a search lead."""
    return page.eval_on_selector_all(".md-search-result__item a", "found => found.map(one => one.href)")
