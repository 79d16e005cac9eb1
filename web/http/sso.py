"""Single sign-on: sessions of people who signed in at the identity provider, and the sign-ins that are under way.

A session is a row in PostgreSQL; the signed cookie has its token. A sign-in that is under way is in the cookie only, so that a
visitor who never comes back leaves nothing: state, nonce and PKCE verifier, for ten minutes.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Flask, current_app, request, session

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Actor
from pipeline.ledger.sessions import Grant, Identity, Person, ProviderSession, Sessions
from pipeline.settings import Settings
from pipeline.sso_rules import Rule, digest, first_match, why_none
from web.app_context import AppContext
from web.http import audit_log
from web.http.identity_provider import IdentityProvider, SignedIn, Start

TOKEN = "session"
"""Where the cookie has the token of a person's session."""

_STARTS = "sign_ins"
STARTS_MOST = 3
"""How many sign-ins a browser may have under way, in as many tabs; the cookie is limited to 4 KiB."""

START_TIME = timedelta(minutes=10)
_LOCAL_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]{0,1500}")
_NOT_A_PAGE = ("/sign-in", "/sign-out", "/v1/", "/s3/")


@dataclass(frozen=True)
class SingleSignOn:
    """Single sign-on as it is set up for an app."""

    settings: Settings
    provider: IdentityProvider
    sessions: Sessions
    rules: tuple[Rule, ...]
    digest: str

    @property
    def name(self) -> str:
        """Return the provider's name for people."""
        return self.settings.sso_name

    def grant_of(self, signed_in: SignedIn) -> Grant | None:
        """Return what a person may do; None if no rule matches."""
        rule = first_match(self.rules, signed_in.claims)
        if rule is None:
            return None
        return Grant(Role(rule.role), None if rule.datasets is None else tuple(rule.datasets), self.digest)

    def why_none(self, signed_in: SignedIn) -> str:
        """Return why no rule matches, without values."""
        return why_none(self.rules, signed_in.claims)

    def look(self, person: Person) -> Person | None:
        """Return who is in a person's session; None if it is over. A look is no use of it."""
        return self.sessions.look(person.token_hash, rules=self.digest, idle=self.settings.oidc_session_idle)


def install(app: Flask, settings: Settings, context: AppContext) -> None:
    """Set up single sign-on for the app, if it is switched on. Nothing is fetched before the first sign-in."""
    if settings.has_sso:
        rules = settings.sso_rules
        provider = IdentityProvider(settings)
        app.extensions["sso"] = SingleSignOn(settings, provider, context.sessions, rules, digest(rules))
    app.jinja_env.globals["single_sign_on"] = single_sign_on


def single_sign_on() -> SingleSignOn | None:
    """Return how single sign-on is set up; None if it is switched off."""
    found: SingleSignOn | None = current_app.extensions.get("sso")
    return found


def is_required() -> bool:
    """Return whether pages are only for people who signed in at the provider, and for break-glass keys."""
    of = single_sign_on()
    return of is not None and of.settings.oidc_required


def sign_in_address() -> str:
    """Return where a visitor of the present page signs in, to come back to it."""
    wanted = local_path(request.full_path.removesuffix("?"))
    return "/sign-in" if single_sign_on() is None or wanted == "/" else f"/sign-in?{urlencode({'next': wanted})}"


def local_path(wanted: str) -> str:
    """Return the path of a page of this app, or the first page's for anything else: no sign-in leads to another site."""
    return wanted if _LOCAL_PATH.fullmatch(wanted) and not wanted.startswith(_NOT_A_PAGE) else "/"


# --- a sign-in that is under way ---


def start(wanted: str) -> Start:
    """Begin a sign-in that ends at the page ``wanted``, and note it in the cookie."""
    made = Start(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))
    known: dict[str, Any] = session.get(_STARTS) or {}
    others = sorted(known.items(), key=lambda one: one[1]["at"])[-(STARTS_MOST - 1) :]
    mine = {"nonce": made.nonce, "verifier": made.verifier, "next": local_path(wanted), "at": time.time()}
    session[_STARTS] = {**dict(others), made.state: mine}
    return made


def take_start(state: str) -> tuple[Start, str] | None:
    """Return the sign-in with this state and the page where it ends, once.

    None if this browser has begun none with it within ten minutes, or if it came back before.
    """
    known = dict(session.get(_STARTS) or {})
    found = known.pop(state, None)
    session[_STARTS] = known
    of = single_sign_on()
    if found is None or of is None or time.time() - found["at"] > START_TIME.total_seconds():
        return None
    if not of.sessions.use_state(state, within=START_TIME * 2):
        return None
    return Start(state, found["nonce"], found["verifier"]), found["next"]


# --- sessions ---


def begin(of: SingleSignOn, signed_in: SignedIn, grant: Grant) -> None:
    """Begin a session under a new token, and end any session before it."""
    claims = signed_in.claims
    address = request.remote_addr or ""
    who = Identity(of.settings.oidc_issuer, claims["sub"], _name(claims), _text(claims, "email"))
    person_id = of.sessions.know(who)
    audit_log.record_sign_in(Actor("user", person_id, who.name), "sso", role=str(grant.role))
    end()
    provider = ProviderSession(_text(claims, "sid"), signed_in.id_token)
    token = of.sessions.open(person_id, grant, provider, limit=of.settings.oidc_session_limit, address=address)
    session.clear()
    session[TOKEN] = token
    session.permanent = True


def person() -> Person | None:
    """Return the person whose session the cookie names; None if it is over."""
    of = single_sign_on()
    if of is None:
        return None
    idle = of.settings.oidc_session_idle
    return of.sessions.get(str(session[TOKEN]), rules=of.digest, idle=idle, address=request.remote_addr or "")


def end() -> None:
    """End the person's session that the cookie names, if it does."""
    of = single_sign_on()
    if of is not None and TOKEN in session:
        of.sessions.end(str(session[TOKEN]))


def _name(claims: Any) -> str:
    names = (_text(claims, name) for name in ("name", "preferred_username", "email", "sub"))
    return next(filter(None, names), "")


def _text(claims: Any, name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
