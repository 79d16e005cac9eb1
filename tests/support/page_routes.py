"""The routes of the app that answer with a page, so that a test of every page forgets none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.routing.exceptions import RequestRedirect

NOT_PAGES = ("/v1/", "/s3/", "/static/", "/healthz", "/readyz", "/metrics", "/openapi.json")
"""Beginnings of the paths that answer with data."""


def page_rules(app: Flask) -> list[Rule]:
    """Return the rules that are asked with GET and may answer with a page."""
    return [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.rule.startswith(NOT_PAGES)]


def unvisited(app: Flask, addresses: Iterable[str]) -> list[Rule]:
    """Return the rules of pages that none of these addresses belongs to."""
    seen = {_rule_of(app, address) for address in addresses}
    return [rule for rule in page_rules(app) if rule.rule not in seen]


def paths_of(app: Flask, rules: Iterable[Rule], known: Mapping[str, str]) -> dict[str, str]:
    """Return a path by the name of its rule, for the rules whose arguments are all known."""
    adapter = app.url_map.bind("localhost")
    built = [rule for rule in rules if rule.arguments <= known.keys()]
    return {
        rule.rule.strip("/"): adapter.build(rule.endpoint, {name: known[name] for name in rule.arguments}) for rule in built
    }


def _rule_of(app: Flask, address: str) -> str | None:
    """Return the rule of an address; None if the app has none."""
    try:
        rule, _ = app.url_map.bind("localhost").match(urlsplit(address).path, method="GET", return_rule=True)
    except (HTTPException, RequestRedirect):
        return None
    return rule.rule
