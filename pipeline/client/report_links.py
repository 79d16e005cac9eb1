"""Find what the pages of a report link to, so that the whole report can be downloaded."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin


def is_below(link: str, root: str) -> bool:
    """Return whether a link is below ``root`` and names a file; one with ``..`` would leave the folder of the download."""
    pieces = unquote(link.removeprefix(root)).split("/")
    return link.startswith(root) and not any(p == ".." or "\\" in p or "\0" in p for p in pieces) and pieces[0] != ""


def links_in(page: str, at: str) -> list[str]:
    """Return the URLs that a page at ``at`` refers to, absolute, without fragments and queries."""
    finder = _LinkFinder()
    finder.feed(page)
    return [urldefrag(urljoin(at, link))[0].partition("?")[0] for link in finder.links]


class _LinkFinder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
