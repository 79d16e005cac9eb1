"""Authenticate every request and check its role, before anything else of it is read.

Each view declares the role it needs; a view that declares none is closed. Programs send an API key as a bearer token. People
sign in once and get a session cookie, which the API accepts too: alone for safe methods, with a CSRF token for all others.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from flask import Flask, current_app, g, redirect, request, session
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf, validate_csrf
from sqlalchemy.exc import SQLAlchemyError
from wtforms import ValidationError

from pipeline.ledger.api_keys import ApiKey, Role
from web.app_context import app_context
from web.http.problems import Problem

View = TypeVar("View", bound=Callable[..., Any])

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"


def for_role(role: Role) -> Callable[[View], View]:
    """Mark a view as open to keys whose role covers ``role``."""

    def mark(view: View) -> View:
        view.bulkhead_role = role  # type: ignore[attr-defined]
        return view

    return mark


def for_anyone(view: View) -> View:
    """Mark a view as public: it needs no key."""
    view.bulkhead_public = True  # type: ignore[attr-defined]
    return view


def checks_csrf_itself(view: View) -> View:
    """Mark a view that checks the CSRF token itself, since it is in a body that must not be read before."""
    view.bulkhead_own_csrf = True  # type: ignore[attr-defined]
    return view


def changes_state(view: View) -> View:
    """Mark a GET that changes state, as its protocol requires: with a cookie it needs a CSRF token too."""
    view.bulkhead_changes_state = True  # type: ignore[attr-defined]
    return view


def install(app: Flask) -> None:
    """Check the key, the role and the CSRF token before every view of the app."""
    app.before_request(_check_access)
    app.jinja_env.globals["csrf_token"] = generate_csrf
    app.jinja_env.globals["signed_in"] = signed_in
    app.jinja_env.globals["may_be_signed_in"] = lambda: g.get("is_unsure", False)
    app.view_functions["static"] = for_anyone(app.view_functions["static"])


def key_in_use() -> ApiKey:
    """Return the API key of the present request."""
    key: ApiKey = g.key
    return key


def signed_in() -> ApiKey | None:
    """Return the key of the request, looked up now if it was not before; None if there is none or PostgreSQL is away."""
    if "key" not in g:
        g.key, g.is_unsure = None, True
        with suppress(SQLAlchemyError):  # PostgreSQL is away, and the page says just that
            g.key = _authenticate()
            g.is_unsure = False
    key: ApiKey | None = g.key
    return key


def sign_in(key: ApiKey) -> None:
    """Start a session for the key's owner, and end any session before it."""
    session.clear()
    session["key_id"] = key.id
    session.permanent = True


def check_csrf(token: str | None) -> None:
    """Raise Problem unless the CSRF token belongs to this session."""
    try:
        validate_csrf(token)
    except ValidationError as error:
        raise Problem("csrf") from error


def _check_access() -> ResponseReturnValue | None:
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None:
        return None  # not found, which reveals nothing
    if getattr(view, "bulkhead_public", False):
        return None  # and needs no query to PostgreSQL
    g.key, g.is_unsure = None, "key_id" in session
    g.key = _authenticate()
    g.is_unsure = False
    if g.key is None:
        return _refuse()
    role = getattr(view, "bulkhead_role", None)
    if role is None or not g.key.role.covers(role):
        raise Problem(
            "forbidden", f"This requires a key with the role {role or 'none'}; {g.key.name!r} has the role {g.key.role}."
        )
    if g.by_cookie and _needs_csrf(view):
        check_csrf(request.headers.get(CSRF_HEADER) or _csrf_in_form())
    return None


def _needs_csrf(view: Any) -> bool:
    """Return whether the request needs a CSRF token.

    A GET that changes state needs none if the browser says that it is from the same origin: other sites cannot set that header.
    """
    if getattr(view, "bulkhead_own_csrf", False):
        return False
    if getattr(view, "bulkhead_changes_state", False):
        return request.headers.get("Sec-Fetch-Site") != "same-origin"
    return request.method not in SAFE_METHODS


def _authenticate() -> ApiKey | None:
    """Return the key of the request, or None. If a bearer token is sent, the cookie is ignored."""
    g.by_cookie = False
    if "Authorization" in request.headers:
        scheme, _, token = request.headers["Authorization"].partition(" ")
        return app_context().keys.check(token.strip()) if scheme.lower() == "bearer" else None
    key_id = session.get("key_id")
    if key_id is None:
        return None
    g.by_cookie = True
    return app_context().keys.get(key_id)


def _csrf_in_form() -> str | None:
    """Return the CSRF token of a URL-encoded form. A multipart body may be an upload, which is not read here."""
    if request.mimetype != "application/x-www-form-urlencoded":
        return None
    return request.form.get(CSRF_FIELD)


def _refuse() -> ResponseReturnValue:
    if not request.path.startswith(("/v1/", "/s3/")) and request.method == "GET":
        return redirect("/sign-in")
    if "Authorization" in request.headers:
        said = "Invalid or revoked API key. Check that it is complete, or ask for a new one."
    else:
        said = "The request has no API key. Send it as: Authorization: Bearer bk_..."
    raise Problem("unauthorized", said, headers={"WWW-Authenticate": 'Bearer realm="Bulkhead"'})
