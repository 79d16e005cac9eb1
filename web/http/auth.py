"""Authenticate every request and check its role, before anything else of it is read.

Each view declares the role it needs; a view that declares none is closed. Programs send an API key as a bearer token. People
sign in once, with a key or at an identity provider (sso.py), and get a session cookie, which the API accepts too: alone for
safe methods, with a CSRF token for all others.
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

from pipeline.ledger.api_keys import ApiKey, Checked, Role
from pipeline.ledger.sessions import Person
from web.app_context import app_context
from web.http import audit_log, sso
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
    app.jinja_env.globals["may_make_datasets"] = may_make_datasets
    app.jinja_env.globals["may_be_signed_in"] = lambda: g.get("is_unsure", False)
    app.view_functions["static"] = for_anyone(app.view_functions["static"])


def key_in_use() -> ApiKey:
    """Return the API key of the present request, or the person who signed in at the identity provider."""
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


def may_make_datasets() -> bool:
    """Return whether the key of the request may create, change and drop datasets: an admin's key for all datasets."""
    key = signed_in()
    return key is not None and key.role.covers(Role.ADMIN) and key.datasets is None


def sign_in(key: ApiKey, how: str) -> None:
    """Start a session for the key's owner, and end any session before it. The audit log has ``how``: key or link."""
    audit_log.record_sign_in(audit_log.actor_of(key), how)
    sso.end()
    session.clear()
    session["key_id"], session["generation"] = key.id, key.generation
    session.permanent = True


def still_works() -> Callable[[], bool]:
    """Return a function that says whether the key or the session of the present request works still; it needs no request."""
    key, keys, of = key_in_use(), app_context().keys, sso.single_sign_on()
    if isinstance(key, Person):
        return lambda: of is not None and of.look(key) is not None
    return lambda: keys.get(key.id) is not None


def opens_pages(key: ApiKey) -> bool:
    """Return whether pages are open to a key or a person: where single sign-on is required, not to an ordinary key."""
    return isinstance(key, Person) or key.is_break_glass or not sso.is_required()


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
    g.key, g.is_unsure = None, "key_id" in session or sso.TOKEN in session
    g.key = _authenticate()
    g.is_unsure = False
    if g.key is None:
        return _refuse()
    role = getattr(view, "bulkhead_role", None)
    if role is None or not g.key.role.covers(role):
        what = "a key with the role" if g.key.kind == "key" else "the role"
        raise Problem("forbidden", f"This requires {what} {role or 'none'}; {g.key.name!r} has the role {g.key.role}.")
    if not g.by_cookie and not _is_of_api() and not opens_pages(g.key):
        raise Problem("forbidden", "Pages require single sign-on here, or a break-glass key. The API takes this key.")
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
        if scheme.lower() != "bearer":
            return None
        g.checked = app_context().keys.examine(token.strip(), request.remote_addr or "")
        checked: Checked = g.checked
        return checked.key
    g.by_cookie = True
    if sso.TOKEN in session:
        return sso.person()
    key_id = session.get("key_id")
    if key_id is None:
        return None
    key = app_context().keys.get(key_id, session.get("generation"), request.remote_addr or "")
    return key if key is not None and opens_pages(key) else None


def _csrf_in_form() -> str | None:
    """Return the CSRF token of a URL-encoded form. A multipart body may be an upload, which is not read here."""
    if request.mimetype != "application/x-www-form-urlencoded":
        return None
    return request.form.get(CSRF_FIELD)


def _is_of_api() -> bool:
    return request.path.startswith(("/v1/", "/s3/"))


def _refuse() -> ResponseReturnValue:
    if not _is_of_api() and request.method == "GET":
        return redirect(sso.sign_in_address())
    if "Authorization" in request.headers:
        checked: Checked = g.get("checked") or Checked(None)
        audit_log.record_failed_sign_in("key", checked.fault or "unknown key", checked.meant)
        said = f"{checked.fault or 'Invalid API key. Check that it is complete.'} Ask an administrator for a new one."
    else:
        said = "The request has no API key. Send it as: Authorization: Bearer bk_..."
    raise Problem("unauthorized", said, headers={"WWW-Authenticate": 'Bearer realm="Bulkhead"'})
