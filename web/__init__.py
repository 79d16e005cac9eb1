"""The web app: the API under /v1 and the pages, both on one AppContext. Served by gunicorn (web/gunicorn.py).

It receives files and shows the results of their imports. It never parses a file itself: previews are made in the sandbox.
"""

from __future__ import annotations

import re
import secrets
import time
import uuid
from datetime import timedelta
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, g, request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from werkzeug.middleware.proxy_fix import ProxyFix

from pipeline.logs import configure
from pipeline.secret_checks import check_secrets
from pipeline.settings import Settings, load_settings
from web.api import (
    api_guides,
    api_try,
    audit_log,
    audits,
    database_logins,
    definitions,
    direct_uploads,
    events,
    findings,
    health,
    import_actions,
    imports,
    keys,
    openapi,
    patches,
    previews,
    records,
    results,
    sql,
    webhooks,
)
from web.app_context import AppContext
from web.http import audit_log as audit_recording
from web.http import auth, problems, rate_limit, sso
from web.http.request_body import drain
from web.http.url_converters import EncodedSlashes, NameConverter, RestConverter
from web.pages import imports as pages

log = structlog.get_logger(__name__)

API_BLUEPRINTS = (
    imports.api,
    definitions.api,
    previews.api,
    previews.anywhere,
    direct_uploads.api,
    events.api,
    import_actions.api,
    patches.api,
    findings.api,
    results.api,
    records.api,
    audits.api,
    sql.api,
    database_logins.api,
    keys.api,
    webhooks.api,
    audit_log.api,
)
SESSION_HOURS = 12
FORM_BYTES_MAX = 1 << 20
"""Limit of all bodies but uploads, which do not go through Flask's form parser."""

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(settings: Settings | None = None, *, context: AppContext | None = None) -> Flask:
    """Return the app with ``settings`` (default: from the environment). It connects to nothing before the first request."""
    if settings is None:
        settings = load_settings()
        check_secrets(settings, "DATABASE_URL", "BULKHEAD_SECRET_KEY")
    configure(settings.log_format)
    app = OpenAPI(
        __name__,
        info=Info(
            title="Bulkhead",
            version="1",
            description="Imports hierarchical files into a warehouse. Every record is loaded, or reported with the reason.",
        ),
        security_schemes={"key": {"type": "http", "scheme": "bearer"}},
        doc_ui=False,
        validation_error_model=problems.ProblemModel,
        validation_error_callback=problems.refuse_parameters,
    )
    _configure(app, settings)
    app.extensions["bulkhead"] = app_context = context or AppContext.of(settings)
    app.before_request(_begin)  # first, so that every response has a request_id
    if settings.has_tracing:
        from web.http import request_tracing

        request_tracing.install(app, settings)
    auth.install(app)
    sso.install(app, settings, app_context)
    rate_limit.install(app, settings.requests_per_minute)
    if settings.has_metrics:
        from web.http import request_metrics

        request_metrics.install(app, settings, app_context)
    problems.install(app)
    for blueprint in API_BLUEPRINTS:
        app.register_api(blueprint)
    app.register_blueprint(health.pages)
    pages.install(app)
    openapi.install(app)
    api_guides.install(app)
    app.register_blueprint(api_try.pages)
    app.after_request(_end)
    audit_recording.install(app)  # last, so that it runs first: an answer that cannot be recorded is not sent
    return app


def _configure(app: Flask, settings: Settings) -> None:
    address = urlsplit(settings.url)
    app.jinja_env.globals["docs_url"] = settings.docs_url
    app.secret_key = session_secret(settings)
    app.config.update(
        # Cookies are shared between ports: two stacks on one machine need two names.
        SESSION_COOKIE_NAME=f"bulkhead_{address.port or address.scheme}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=address.scheme == "https",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=SESSION_HOURS),
        MAX_CONTENT_LENGTH=FORM_BYTES_MAX,
        WTF_CSRF_TIME_LIMIT=SESSION_HOURS * 3600,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.url_map.converters |= {"name": NameConverter, "rest": RestConverter}
    app.url_map.merge_slashes = False  # an id may have two in a row
    app.wsgi_app = EncodedSlashes(app.wsgi_app)  # type: ignore[method-assign]
    if settings.trusted_proxies:  # the client's address only: scheme and host come from BULKHEAD_URL
        only_address = {"x_for": settings.trusted_proxies, "x_proto": 0, "x_host": 0, "x_port": 0, "x_prefix": 0}
        app.wsgi_app = ProxyFix(app.wsgi_app, **only_address)  # type: ignore[method-assign]


def session_secret(settings: Settings) -> str:
    """Return the key that signs sessions: BULKHEAD_SECRET_KEY, or one that is generated once under BULKHEAD_HOME."""
    if settings.secret_key:
        return settings.secret_key
    file = settings.home / "session-secret"
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}-{uuid.uuid4().hex}")
    fresh.touch(mode=0o600)
    fresh.write_text(secrets.token_hex(32), encoding="ascii")
    try:
        file.hardlink_to(fresh)  # atomic; only the first of several processes succeeds
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return file.read_text(encoding="ascii")


def _begin() -> None:
    g.began = time.monotonic()
    audit_recording.begin()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()  # of the thread's last request
    structlog.contextvars.bind_contextvars(**_import_id())


def _end(response: Response) -> Response:
    if response.status_code >= 400 and request.method not in auth.SAFE_METHODS:
        drain(request.environ)
    headers = response.headers
    headers["X-Request-Id"] = g.get("request_id", "")
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
    headers.setdefault("Content-Security-Policy", _policy())
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    _log(response)
    return response


def _policy() -> str:
    """Return the Content-Security-Policy; a page for direct uploads may also connect to S3."""
    return f"{PAGE_POLICY}; connect-src 'self' {g.connects_to}" if g.get("connects_to") else PAGE_POLICY


def _log(response: Response) -> None:
    """Log one line per request, without query string and body, which may have secrets."""
    if request.endpoint in ("static", "health.healthz", "health.readyz"):
        return
    key = g.get("key")
    log.info(
        "request",
        method=request.method,
        route=str(request.url_rule or "-"),
        status=response.status_code,
        seconds=round(time.monotonic() - g.get("began", time.monotonic()), 4),
        request_id=g.get("request_id"),
        key_id=key.id if key else None,
    )


def _import_id() -> dict[str, str]:
    """Return the import's id if the path has one. Nothing else of the path is logged, since it may have any content."""
    try:
        return {"import_id": str(uuid.UUID((request.view_args or {}).get("import_id", "")))}
    except ValueError:
        return {}


__all__ = ["create_app"]
