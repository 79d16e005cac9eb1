"""Remove secrets and addresses from text. Pure.

This is the last of two defences: what is collected contains no values of records in the first place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pipeline.secret_checks import KNOWN_SECRETS
from pipeline.setting_types import is_secret, text_of
from pipeline.settings import Settings

HIDDEN = "…"
SECRET_CHARACTERS_MIN = 4
"""A shorter secret protects nothing, and removing it would remove half of each text."""

PIECE_CHARACTERS_MIN = 8
"""Of an address that is a secret, pieces of this length may be secrets by themselves, as tokens in paths are."""

_PATTERNS = (
    (re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/@'\"]*@", re.IGNORECASE), rf"\1{HIDDEN}@"),  # user and password in a URL
    (re.compile(r"\b(https?://[^\s?#'\"<>]+)[?#][^\s'\"<>]+"), rf"\1?{HIDDEN}"),  # a query, such as a signature
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), HIDDEN),  # an e-mail address
    (re.compile(r"\bbk_[0-9a-f]{32}_[0-9a-f]{48}\b"), HIDDEN),  # an API key of ours
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), HIDDEN),  # a secret of Standard Webhooks
    (re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),  # an access key of AWS
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),  # a JSON Web Token
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (
        re.compile(r"(?i)\b(password|passwd|pwd|secret|token|api[_-]?key|authorization)(\"?\s*[=:]\s*\"?)[^\s\"',;&]+"),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL), HIDDEN),
)


class Redactor:
    """Removes the secrets of these settings, however they are written, and what looks like a secret or an e-mail address."""

    def __init__(self, settings: Settings) -> None:
        words = sorted(secret_words(settings), key=len, reverse=True)
        self._words = re.compile("|".join(map(re.escape, words))) if words else None

    def text(self, text: str) -> str:
        """Return the text without them."""
        text = self.words(text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def words(self, text: str) -> str:
        """Return the text without the secrets of the settings."""
        return self._words.sub(HIDDEN, text) if self._words else text

    def tree(self, content: Any) -> Any:
        """Return the content of a JSON document with every text in it redacted."""
        if isinstance(content, Mapping):
            return {self.text(str(name)): self.tree(value) for name, value in content.items()}
        if isinstance(content, list | tuple):
            return [self.tree(one) for one in content]
        return content if isinstance(content, bool | int | float) or content is None else self.text(str(content))


def secret_words(settings: Settings) -> set[str]:
    """Return every text that must not be told: the values of all secrets, and the secret pieces of addresses."""
    found: set[str] = set()
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if is_secret(field):
            for one in value if isinstance(value, tuple) else (value,):
                found |= _pieces(text_of(one))
        elif name == "email_to":
            found |= {*value}
    return {word for word in found if len(word) >= SECRET_CHARACTERS_MIN and word.lower() not in KNOWN_SECRETS}


def _pieces(value: str) -> set[str]:
    """Return a secret, and if it is an address its user, password, long pieces of its path, and the values of its query."""
    if "://" not in value:
        return _spellings([value])
    try:
        parts = urlsplit(value)
        own = [parts.username or "", parts.password or ""]
    except ValueError:
        return _spellings([value])
    pieces = [piece for piece in parts.path.split("/") if len(piece) >= PIECE_CHARACTERS_MIN]
    if parts.scheme.startswith("postgres"):
        pieces, own = [], own[1:]  # the names of database and role are no secrets
    return _spellings(
        [value, *own, *pieces, *(text for _, text in parse_qsl(parts.query) if len(text) >= PIECE_CHARACTERS_MIN)]
    )


def _spellings(words: Iterable[str]) -> set[str]:
    return {one for word in words for one in (word, unquote(word), quote(unquote(word), safe=""))}
