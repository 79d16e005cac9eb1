"""Hooks for mkdocs: add the pages that are not in docs/, and make the links of the repository links of the site.

On a page of the site, a link to a document leads to its page. A link to another file of the repository is its name, or leads to
``extra.source_url`` if that is set.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs_site import pages
from docs_site.diagrams import picture_of

ROOT = Path(__file__).resolve().parents[1]
FROM_REPOSITORY = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md"),
    *("deploy/aws/README.md", "deploy/compose/README.md", "deploy/kubernetes/README.md"),
)
"""Documents outside docs/ that are pages, under the same path; README.md is the first page."""

MADE: dict[str, Callable[[], str]] = {
    "reference/settings.md": pages.settings,
    "reference/cli.md": pages.command_line,
    "reference/api.md": pages.api,
    "reference/problems.md": pages.problems,
    "reference/metrics.md": pages.metrics,
    "reference/licences.md": pages.licences,
    "reference/promises.md": pages.promises,
    "decisions.md": pages.decisions,
}
"""Pages that are made from the code. Links in them are as from docs/."""

LINK = re.compile(r"(?P<text>!?\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\])\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions under their overview."""
    decisions = sorted(Path(config.docs_dir).glob("decisions/*.md"))
    explanation = next(one["Explanation"] for one in config.nav or [] if "Explanation" in one)
    explanation[-1] = {"Decisions": ["decisions.md", *(f"decisions/{file.name}" for file in decisions)]}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the documents that are not in docs/."""
    for name in FROM_REPOSITORY:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page_of(name) or name, content=text))
    worker = Path(__file__).with_name("iframe-worker.js").read_text(encoding="utf-8")
    files.append(File.generated(config, "assets/iframe-worker.js", content=worker))
    for name, make in MADE.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the text with its links and diagrams as the site has them."""
    uri = page.file.src_uri
    home = origin_of(uri)

    def diagram(found: re.Match[str]) -> str:
        picture = relpath(f"docs/images/{picture_of(found[1])}", Path(home).parent.as_posix())
        return f"![A diagram of this section]({picture})"

    markdown = MERMAID.sub(diagram, markdown)
    pieces = FENCE.split(markdown)
    pieces[::2] = [LINK.sub(lambda found: site_link(found, home, uri, config), nested(piece)) for piece in pieces[::2]]
    return "".join(pieces)


def nested(text: str) -> str:
    """Return a text with what belongs to an item of a list indented by four, as Python-Markdown wants it: GitHub takes less."""
    lines, width = [], 0
    for line in text.split("\n"):
        if item := re.match(r"(\d+\.|[-*]) +(?=\S)", line):
            width = len(item[0])
        elif line and not line.startswith(" "):
            width = 0
        elif width and line.startswith(" " * width):
            line = " " * (4 - width) + line
        lines.append(line)
    return "\n".join(lines)


def origin_of(uri: str) -> str:
    """Return the path in the repository that links on a page are relative to."""
    if uri == "index.md":
        return "README.md"
    return uri if uri in FROM_REPOSITORY else "docs/page.md" if uri in MADE else f"docs/{uri}"


def page_of(path: str) -> str | None:
    """Return the page or the picture of the site that a file of the repository is, if it is one."""
    if path == "README.md":
        return "index.md"
    if path in ("docs/decisions", "docs"):
        return "decisions.md" if path.endswith("decisions") else "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path if path in FROM_REPOSITORY else None


def site_link(found: re.Match[str], home: str, uri: str, config: MkDocsConfig) -> str:
    """Return a link with the target as the site has it."""
    text, anchor = found["text"], found["anchor"] or ""
    if "![" in text[1:]:
        text = LINK.sub(lambda inner: site_link(inner, home, uri, config), text)
    path = normpath(f"{Path(home).parent.as_posix()}/{found['target']}")
    if page := page_of(path):
        return f"{text}({relpath(page, Path(uri).parent.as_posix())}{anchor})"
    if not (ROOT / path).exists():
        return found[0]  # mkdocs warns of it
    source: Any = config.extra.get("source_url")
    return f"{text}({str(source).rstrip('/')}/{path})" if source else text.strip("[]")
