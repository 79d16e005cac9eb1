"""Signing in at the identity provider: the way there, the way back, and the provider's own sign-outs."""

from __future__ import annotations

from typing import Any

import structlog
from flask import Blueprint, Flask, Response, g, redirect, render_template, request
from flask.typing import ResponseReturnValue

from pipeline.ledger.audit_log import Action, Actor
from pipeline.ledger.sessions import Person
from web.http import audit_log, sso
from web.http.auth import for_anyone
from web.http.problems import RETRY_SECONDS
from web.http.provider_documents import ProviderAway, SignInRefused
from web.http.sso import SingleSignOn

log = structlog.get_logger(__name__)

pages = Blueprint("sso", __name__, url_prefix="/sign-in/sso")

_ERRORS = frozenset(
    {
        *("access_denied", "account_selection_required", "consent_required", "interaction_required", "invalid_request"),
        *("invalid_scope", "login_required", "server_error", "temporarily_unavailable", "unauthorized_client"),
        *("unsupported_response_type", "request_not_supported", "registration_not_supported"),
    }
)
"""The errors that a provider may answer with (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6)."""


def install(app: Flask) -> None:
    """Add the routes, if single sign-on is switched on."""
    if "sso" in app.extensions:
        app.register_blueprint(pages)


@pages.get("")
@for_anyone
def begin() -> ResponseReturnValue:
    """Send the browser to the provider. ``next``: the page to come back to; ``another``: ask for another account."""
    of = _set_up()
    started = sso.start(request.args.get("next", "/"))
    try:
        return redirect(of.provider.authorization_url(started, prompt="login" if "another" in request.args else ""))
    except ProviderAway as error:
        return _away(of, error)


@pages.get("/callback")
@for_anyone
def come_back() -> ResponseReturnValue:
    """Check what the provider says, and begin a session for a person with a matching rule."""
    of = _set_up()
    found = sso.take_start(request.args.get("state", ""))
    if found is None:
        said = "This sign-in took more than ten minutes, was used already, or began in another browser. Sign in again."
        return _refused("unknown or used state", said, 400)
    started, page = found
    try:
        of.provider.check_issuer(request.args.get("iss"))
        if "error" in request.args:
            return _not_signed_in(of)
        signed_in = of.provider.redeem(request.args.get("code", ""), started)
    except SignInRefused as error:
        said = (
            f"The answer of {of.name} could not be verified, so you are not signed in. Sign in again; if that does not help, "
        )
        return _refused(str(error), f"{said}tell an administrator the request {g.request_id}.", 401)
    except ProviderAway as error:
        return _away(of, error)
    grant = of.grant_of(signed_in)
    if grant is None:
        why = of.why_none(signed_in)
        said = f"{of.name} knows you, but no rule of Bulkhead gives you access: {why}. Ask an administrator of Bulkhead."
        return _refused(f"no rule: {why}", said, 403, is_known=True)
    sso.begin(of, signed_in, grant)
    return redirect(page)


@pages.post("/logout")
@for_anyone
def log_out_by_provider() -> ResponseReturnValue:
    """End the sessions that the provider names by a logout token (OpenID Connect Back-Channel Logout 1.0)."""
    of = _set_up()
    try:
        subject, provider_session = of.provider.logged_out(request.form.get("logout_token", ""))
    except (SignInRefused, ProviderAway) as error:
        log.warning("logout token refused", reason=str(error), request_id=g.request_id)
        return {"error": "invalid_request"}, 400
    ended = of.sessions.end_of(of.settings.oidc_issuer, subject=subject, provider_session=provider_session)
    for id_, name in ended:
        one = audit_log.event(Action.SIGN_OUT, Actor("user", id_, name))
        audit_log.record(one.about("user", id_, how="back-channel logout"))
    return Response(status=200)


def signed_out(person: Person) -> ResponseReturnValue | None:
    """Return a page that leads on to the provider's sign-out; None if it has none.

    It is no redirect: the Content-Security-Policy lets a form lead to this app only, also by a redirect.
    """
    of = _set_up()
    back = f"{of.settings.url.rstrip('/')}/sign-in"
    url = of.provider.logout_url(person.id_token, back)
    if url is None:
        return None
    return render_template("signed_out.html", url=url, name=of.name, is_signed_out=True), 200, {"Refresh": f"0; url={url}"}


def _set_up() -> SingleSignOn:
    of = sso.single_sign_on()
    assert of is not None, "the routes exist only where single sign-on is set up"
    return of


def _not_signed_in(of: SingleSignOn) -> ResponseReturnValue:
    code = request.args["error"] if request.args["error"] in _ERRORS else "unknown error"
    return _refused(f"the provider answered {code}", f"{of.name} did not sign you in ({code}). Sign in again.", 401)


def _away(of: SingleSignOn, error: ProviderAway) -> ResponseReturnValue:
    log.error("identity provider away", reason=str(error), request_id=g.request_id)
    said = f"{of.name} does not answer, so no one can sign in there now. Try again soon, or sign in with an API key."
    answer: Any = _refused("the provider does not answer", said, 503)
    return (*answer, {"Retry-After": str(RETRY_SECONDS)})


def _refused(reason: str, said: str, status: int, *, is_known: bool = False) -> tuple[str, int]:
    audit_log.record_failed_sign_in("sso", reason)
    return render_template("sign_in.html", said=said, is_known=is_known), status
