"""Who is asking, and may they? Decided before anything else is looked at.

A view says which role it is for; one that says nothing is closed. Programs send a key as a bearer token. People sign in
once and carry a session cookie, which the API accepts too: for reading as it is, for anything else with the CSRF token.
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
    """The view is for keys whose role covers ``role``."""

    def mark(view: View) -> View:
        view.bulkhead_role = role  # type: ignore[attr-defined]
        return view

    return mark


def for_anyone(view: View) -> View:
    """The view needs no key."""
    view.bulkhead_public = True  # type: ignore[attr-defined]
    return view


def checks_csrf_itself(view: View) -> View:
    """The view finds the CSRF token in a body that must not be read before."""
    view.bulkhead_own_csrf = True  # type: ignore[attr-defined]
    return view


def changes_state(view: View) -> View:
    """The view changes something although it is a GET, as its protocol wants it: a cookie alone does not open it."""
    view.bulkhead_changes_state = True  # type: ignore[attr-defined]
    return view


def install(app: Flask) -> None:
    """Guard every view of the app."""
    app.before_request(_guard)
    app.jinja_env.globals["csrf_token"] = generate_csrf
    app.jinja_env.globals["signed_in"] = signed_in
    app.jinja_env.globals["may_be_signed_in"] = lambda: g.get("is_unsure", False)
    app.view_functions["static"] = for_anyone(app.view_functions["static"])


def key_in_use() -> ApiKey:
    """The key that the present request came with."""
    key: ApiKey = g.key
    return key


def signed_in() -> ApiKey | None:
    """Return the key of the request, looked up now if it was not before; None if there is none or PostgreSQL is away."""
    if "key" not in g:
        g.key, g.is_unsure = None, True
        with suppress(SQLAlchemyError):  # PostgreSQL is away, and the page says just that
            g.key = _asking()
            g.is_unsure = False
    key: ApiKey | None = g.key
    return key


def sign_in(key: ApiKey) -> None:
    """Open a session for the key's owner; whatever session there was before is over."""
    session.clear()
    session["key_id"] = key.id
    session.permanent = True


def check_csrf(token: str | None) -> None:
    """Raises Problem unless the token belongs to this session."""
    try:
        validate_csrf(token)
    except ValidationError as error:
        raise Problem("csrf") from error


def _guard() -> ResponseReturnValue | None:
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None:
        return None  # nothing is there, and saying so gives nothing away
    if getattr(view, "bulkhead_public", False):
        return None  # nor is anything asked of PostgreSQL
    g.key, g.is_unsure = None, "key_id" in session
    g.key = _asking()
    g.is_unsure = False
    if g.key is None:
        return _turned_away()
    role = getattr(view, "bulkhead_role", None)
    if role is None or not g.key.role.covers(role):
        raise Problem("forbidden", f"This needs a key with the role {role or 'nobody'}; {g.key.name!r} is a {g.key.role}.")
    if g.by_cookie and _needs_csrf(view):
        check_csrf(request.headers.get(CSRF_HEADER) or _csrf_in_form())
    return None


def _needs_csrf(view: Any) -> bool:
    """Whether the request has to show that it comes from one of our pages.

    For a GET that changes something the browser's own word is enough: no page of another site can send this header.
    """
    if getattr(view, "bulkhead_own_csrf", False):
        return False
    if getattr(view, "bulkhead_changes_state", False):
        return request.headers.get("Sec-Fetch-Site") != "same-origin"
    return request.method not in SAFE_METHODS


def _asking() -> ApiKey | None:
    """The key behind the request. A bearer token counts alone: a wrong one is not made good by a cookie."""
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
    """Only in a plain form: a multipart body may be an upload, which is not read here."""
    if request.mimetype != "application/x-www-form-urlencoded":
        return None
    return request.form.get(CSRF_FIELD)


def _turned_away() -> ResponseReturnValue:
    if not request.path.startswith(("/v1/", "/s3/")) and request.method == "GET":
        return redirect("/sign-in")
    if "Authorization" in request.headers:
        said = "The key is wrong or was revoked. Check it for a missing character, or ask for a new one."
    else:
        said = "There is no key in the request. Send it as: Authorization: Bearer bk_..."
    raise Problem("unauthorized", said, headers={"WWW-Authenticate": 'Bearer realm="Bulkhead"'})
