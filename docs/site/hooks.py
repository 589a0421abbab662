"""What `mkdocs build` calls: it adds the generated pages, and the pages that stand outside docs/."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import api  # noqa: E402
import downloads  # noqa: E402
import formulas  # noqa: E402
import members  # noqa: E402

TUTORIAL = re.compile(r"getting-started\.md|tutorials/[\w-]+\.md")
FOLDERS = {"concepts": "Concepts", "tutorials": "Tutorials", "how-to": "How-to", "studies": "Studies"}
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "licence.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages, and their places in the navigation."""
    pages = {"contributing.md": outside("CONTRIBUTING.md"), "changelog.md": outside("CHANGELOG.md")}
    pages |= {"licence.md": f"# Licence\n\n```text\n{(ROOT / 'LICENSE').read_text()}```\n"}
    sections = {"API": api.pages()} | members.sections()
    for section, found in sections.items():
        pages |= found
        reference = next(each["Reference"] for each in config.nav if "Reference" in each)
        if section not in [next(iter(each)) for each in reference]:
            reference.append({section: list(found)})
    for path, text in (pages | taught(files)).items():
        files.append(File.generated(config, path, content=text))
    complete(config.nav, [file.src_uri for file in files if file.src_uri.endswith(".md")])
    return files


def taught(files: Files) -> dict[str, str]:
    """The script and the notebook of each tutorial."""
    pages = {file.src_uri.removesuffix(".md"): file.content_string for file in files if TUTORIAL.fullmatch(file.src_uri)}
    scripts = {f"{path}.py": downloads.script(text) for path, text in pages.items()}
    return scripts | {f"{path}.ipynb": downloads.notebook(text, (ROOT / "docs" / path).parent) for path, text in pages.items()}


def complete(nav: list[Any], pages: list[str]) -> None:
    """Adds the pages of a folder that the navigation does not name to the section of the folder."""
    named = set(re.findall(r"'([\w/-]+\.md)'", repr(nav)))
    for folder, section in FOLDERS.items():
        entries = next(each[section] for each in nav if section in each)
        entries += [path for path in sorted(pages) if path.startswith(f"{folder}/") and path not in named]


def outside(name: str) -> str:
    """A page of the repository's root, whose links lead from docs/."""
    text = (ROOT / name).read_text()
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", text)
    return re.sub(r"\]\((?!https?:|#|[\w-]+\.md)([^)]+)\)", lambda match: "](" + OUTSIDE.get(match[1], match[1]) + ")", text)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links from docs/ to the root lead to the pages that stand for them; tutorials can be downloaded; formulas are typeset."""
    for name, own in OUTSIDE.items():
        markdown = re.sub(rf"\]\(((?:\.\./)*)\.\./{re.escape(name)}", rf"](\g<1>{own}", markdown)
    if TUTORIAL.fullmatch(page.file.src_uri):
        stem = Path(page.file.src_uri).stem
        markdown = markdown.replace("\n\n", f"\n\n*Run it: [script]({stem}.py) · [notebook]({stem}.ipynb)*\n\n", 1)
    return formulas.typeset(markdown, sentences=not page.file.generated_by)
