"""Rules of single sign-on: claims of the identity provider -> a role and datasets.

The first rule that matches decides, as in PostgreSQL's pg_hba.conf: a person has one role on one list of datasets, and a union
of "reader of all" and "uploader of one" would be "uploader of all" (docs/decisions/0039).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

CONDITIONS = ("contains", "equals", "ends_with")
_EMAIL = "email"


class Rule(BaseModel):
    """One rule. ``datasets``: None means all, also future ones.

    ``unverified``: an e-mail address counts although the provider does not call it verified.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    claim: str = Field(min_length=1)
    contains: str | None = None
    equals: str | bool | int | None = None
    ends_with: str | None = Field(default=None, min_length=2)
    role: Literal["reader", "uploader", "admin"]
    datasets: list[str] | None = Field(default=None, min_length=1)
    unverified: bool = False

    @model_validator(mode="after")
    def _is_one(self) -> Rule:
        given = [name for name in CONDITIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"it has {' and '.join(given) or 'no condition'}; give one of {', '.join(CONDITIONS)}")
        if self.role == "admin" and self.datasets is not None:
            raise ValueError("an admin sees every dataset; leave datasets out, or choose another role")
        if self.claim == _EMAIL and self.ends_with is not None and not self.ends_with.startswith("@"):
            raise ValueError("ends_with of an e-mail address begins with @, or it would match longer domains, too")
        return self

    def matches(self, claims: Mapping[str, Any]) -> bool:
        """Return whether the claims fulfil the condition."""
        if self.claim == _EMAIL and not self.unverified and claims.get("email_verified") not in (True, "true"):
            return False
        value = claim_of(claims, self.claim)
        if self.contains is not None:
            return self.contains in value if isinstance(value, list) else False
        if self.equals is not None:
            return type(value) is type(self.equals) and _folded(self.claim, value) == _folded(self.claim, self.equals)
        return isinstance(value, str) and _folded(self.claim, value).endswith(_folded(self.claim, str(self.ends_with)))


def _folded(claim: str, value: Any) -> Any:
    """Return an address in lower case, anything else as it is."""
    return value.casefold() if claim == _EMAIL and isinstance(value, str) else value


def claim_of(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or else by a path such as ``realm_access.roles`` (Keycloak); None if there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for piece in name.split("."):
        if not isinstance(found, Mapping) or piece not in found:
            return None
        found = found[piece]
    return found


def first_match(rules: Sequence[Rule], claims: Mapping[str, Any]) -> Rule | None:
    """Return the first rule that matches; None: no access."""
    return next((rule for rule in rules if rule.matches(claims)), None)


def why_none(rules: Sequence[Rule], claims: Mapping[str, Any]) -> str:
    """Return in words which claims the rules look at and what is wrong with each, without the values of either."""
    return "; ".join(_fault_of(name, claims, rules) for name in sorted({rule.claim for rule in rules}))


def _fault_of(name: str, claims: Mapping[str, Any], rules: Sequence[Rule]) -> str:
    if claim_of(claims, name) is None:
        return f"the claim {name} is missing"
    if name == _EMAIL and claims.get("email_verified") not in (True, "true") and not any(rule.unverified for rule in rules):
        return "the e-mail address is not verified (claim email_verified)"
    return f"the claim {name} has no value that a rule names"


def digest(rules: Sequence[Rule]) -> str:
    """Return the SHA-256 of the rules: a session that began under other rules ends."""
    return hashlib.sha256(json.dumps([rule.model_dump() for rule in rules], sort_keys=True).encode()).hexdigest()


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules in a JSON list, or in the file that has one. Raises ValueError that names the rule and its fault."""
    if not text.strip():
        return ()
    if not text.lstrip().startswith("["):
        try:
            text = Path(text.strip()).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"it is no JSON list, and as a file it cannot be read: {error}") from error
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(given, list):
        raise ValueError("it is not a list of rules")
    return tuple(_rule(number, one) for number, one in enumerate(given, 1))


def _rule(number: int, given: Any) -> Rule:
    try:
        return Rule.model_validate(given)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" if e["loc"] else e["msg"].removeprefix("Value error, ")
            for e in error.errors()
        )
        raise ValueError(f"rule {number}: {wrong}") from error
