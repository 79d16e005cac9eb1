"""The documents as a site: it is built without a warning, each link leads somewhere, and nothing comes from another host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from docs_site.diagrams import picture_of
from docs_site.hooks import FROM_REPOSITORY, MADE
from pipeline.cli.commands import app
from pipeline.settings import Settings
from pipeline.telemetry.known_codes import KNOWN_CODES
from web.http.problems import PROBLEM_TYPES

pytestmark = pytest.mark.together

ROOT = Path(__file__).resolve().parents[3]
LOADS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "video": "src"}
"""The attribute by which an element loads something."""


class Elements(HTMLParser):
    """The ids of a page, its links, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self._is_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get(LOADS.get(tag, "")) and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(given[LOADS[tag]])
        self.inline.append(given.get("style", ""))
        self._is_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self._is_style:
            self.inline.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DOCS_SOURCE_URL": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Elements]:
    found = {}
    for file in site.rglob("*.html"):
        elements = Elements()
        elements.feed(file.read_text(encoding="utf-8"))
        found[file.resolve()] = elements
    return found


def test_no_link_leads_nowhere(site: Path, pages: dict[Path, Elements]) -> None:
    broken = []
    for file, elements in pages.items():
        if file.name == "404.html":  # its links begin with /, as it is served under any address
            continue
        for link in [*elements.links, *elements.loaded]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            is_there = target.is_file() and target.is_relative_to(site.resolve())
            if not is_there or (parts.fragment and unquote(parts.fragment) not in pages[target].ids):
                broken.append((file.name, link))
    assert broken == []
    assert sum(len(elements.links) for elements in pages.values()) > 1000


def test_nothing_comes_from_another_host(site: Path, pages: dict[Path, Elements]) -> None:
    remote = re.compile(r"^(https?:)?//")
    assert [(file.name, url) for file, one in pages.items() for url in one.loaded if remote.match(url)] == []
    styles = [file.read_text(encoding="utf-8") for file in site.rglob("*.css")]
    styles += [text for one in pages.values() for text in one.inline]
    styles += [file.read_text(encoding="utf-8") for file in site.rglob("*.svg")]
    loaded = [url for text in styles for url in re.findall(r"(?:url\(|@import\s+)[\"']?([^\"')\s;]+)", text)]
    assert [url for url in loaded if remote.match(url)] == []


def test_no_script_fetches_from_another_host(site: Path, pages: dict[Path, Elements]) -> None:
    """Material's own can: for Mermaid where a page has a diagram for it, for a repository's stars where one is named, and for a
    class that all browsers of today have."""
    scripts = "\n".join(file.read_text(encoding="utf-8") for file in site.glob("assets/**/*.js"))
    assert set(re.findall(r"https://(?:unpkg\.com|cdn[.\w]+|api\.\w+\.com)/([a-z-]+)", scripts)) <= {
        *("mermaid", "resize-observer-polyfill"),
        *("repos", "users"),
    }
    for file in pages:
        text = file.read_text(encoding="utf-8")
        assert 'class="mermaid"' not in text and "language-mermaid" not in text and 'data-md-component="source"' not in text


def test_the_search_finds_every_page(site: Path, pages: dict[Path, Elements]) -> None:
    """Also from a folder: there the index is a script, since a page may not read a file."""
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {one["location"].partition("#")[0] or "index.html" for one in index["docs"]}
    assert {str(file.relative_to(site.resolve())) for file in pages} - {"404.html"} == found
    assert "BULKHEAD_SQL_SECONDS" in json.dumps(index["docs"])
    assert (site / "search" / "search_index.js").read_text(encoding="utf-8").startswith("var __index")


def in_nav() -> Iterator[str]:
    """Yield the pages in mkdocs.yml's navigation."""

    def below(node: object) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict | list):
            for one in node.values() if isinstance(node, dict) else node:
                yield from below(one)

    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    yield from below(yaml.safe_load(re.sub(r"!\S+", "", text))["nav"])


def test_every_document_is_in_the_navigation() -> None:
    documents = {file.name for file in ROOT.glob("docs/*.md")} | {*MADE}
    documents |= {str(file.relative_to(ROOT)) for file in ROOT.glob("deploy/*/README.md")} | {*FROM_REPOSITORY} - {"README.md"}
    listed = list(in_nav())
    assert set(listed) == documents | {"index.md"}, "add the page to nav in mkdocs.yml (and, outside docs/, to FROM_REPOSITORY)"
    assert len(listed) == len(set(listed))


def test_every_diagram_has_a_picture_of_its_text_of_today() -> None:
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))]
    sources = [source for text in texts for source in re.findall(r"^```mermaid\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
    images = {file.name for file in ROOT.glob("docs/images/diagram-*.svg")}
    assert {picture_of(source) for source in sources} == images, "run: .venv/bin/python -m docs_site.draw_diagrams"


# --- the reference says what the code has ---


def text_of(site: Path, page: str) -> str:
    return (site / "reference" / f"{page}.html").read_text(encoding="utf-8")


def test_the_reference_has_every_setting_command_problem_and_code(site: Path) -> None:
    settings = text_of(site, "settings")
    names = [field.validation_alias.choices for field in Settings.model_fields.values()]  # type: ignore[union-attr]
    assert [choices for choices in names if not any(f"<code>{name}</code>" in settings for name in choices)] == []
    problems = text_of(site, "problems")
    assert [name for name in PROBLEM_TYPES if f"<code>{name}</code>" not in problems] == []
    codes = (site / "validation.html").read_text(encoding="utf-8")
    assert [name for name in KNOWN_CODES if f"<code>{name}</code>" not in codes] == []


def test_the_reference_has_every_command(site: Path) -> None:
    page = text_of(site, "cli")
    named = {
        command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback
    }
    assert [name for name in named if f'id="bulkhead-{name.rstrip("-")}"' not in page] == []
    assert 'id="bulkhead-key-create"' in page


def test_the_reference_has_every_route(site: Path) -> None:
    page = text_of(site, "api")
    for route in ("POST /v1/datasets/{dataset}/imports", "GET /v1/imports/{import_id}", "POST /v1/query"):
        assert f"<code>{route}</code>" in page
    assert page.count("<h3 ") > 40


def test_the_site_does_not_tell_a_value_of_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_EMAIL_FROM", "me@example.org")
    assert "me@example.org" not in MADE["reference/settings.md"]()
