"""Parse a page and check that it runs no script but our own."""

from __future__ import annotations

from html.parser import HTMLParser

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def field(self, name: str) -> str:
        return next(str(one["value"]) for one in self.all("input") if one.get("name") == name)

    def assert_tame(self) -> None:
        """Assert that the page has no inline script or style and loads nothing from another host."""
        for tag, attributes in self.tags:
            assert tag not in ("style", "iframe", "object", "embed", "base")
            assert not any(name.startswith("on") or name == "style" for name in attributes), attributes
            for name in ("src", "href", "action"):
                assert (attributes.get(name) or "/").startswith(("/", "#")), attributes
            if tag == "script":
                assert (attributes["src"] or "").startswith("/static/")
