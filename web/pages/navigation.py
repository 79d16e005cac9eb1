"""The pages of the navigation, and which of them a request belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, request

from pipeline.ledger.api_keys import Role


@dataclass(frozen=True)
class Place:
    """One entry of the navigation; ``below``: the beginnings of the paths that belong to it, besides its own."""

    label: str
    path: str
    below: tuple[str, ...] = ()
    role: Role = Role.READER

    def holds(self, path: str) -> bool:
        """Return whether a path is this page or one below it."""
        return path == self.path or path.startswith(self.below)


PLACES = (
    Place("Upload", "/", ("/upload/",)),
    Place("Imports", "/imports", ("/imports/",)),
    Place("Datasets", "/datasets", ("/datasets/",)),
    Place("SQL", "/sql", ("/sql/",)),
    Place("Connect", "/connect", ("/connect/",)),
    Place("API", "/docs/quick-start", ("/docs", "/problems")),
    Place("Admin", "/admin/keys", ("/admin/",), Role.ADMIN),
)


def install(app: Flask) -> None:
    """Give the templates ``places(role)`` and ``is_here(place)``."""
    app.jinja_env.globals.update(places=lambda role: _places(Role(role)), is_here=lambda place: place.holds(request.path))


def _places(role: Role) -> list[Place]:
    """Return the places that the role may open."""
    return [place for place in PLACES if role.covers(place.role)]
