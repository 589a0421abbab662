"""What `mkdocs build` calls: it adds the generated pages, and the pages that stand outside docs/."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import api  # noqa: E402
import members  # noqa: E402

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
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def outside(name: str) -> str:
    """A page of the repository's root, whose links lead from docs/."""
    text = (ROOT / name).read_text()
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", text)
    return re.sub(r"\]\((?!https?:|#|[\w-]+\.md)([^)]+)\)", lambda match: "](" + OUTSIDE.get(match[1], match[1]) + ")", text)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links from docs/ to the root lead to the pages that stand for them."""
    for name, own in OUTSIDE.items():
        markdown = markdown.replace(f"](../{name}", f"]({own}")
    return markdown
