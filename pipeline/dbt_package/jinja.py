"""Texts in dbt's YAML files: dbt renders them as Jinja templates, and a text of a suite must stay what it is."""

from __future__ import annotations

import re

_BRACES = re.compile(r"\{[{%#]")
_CALLED = re.compile(r"\s*(env_var|ref|var|source|doc)\s*\(.+\)\s*", re.DOTALL)
"""dbt also evaluates a test's argument that looks like a call of these, without any braces (dbt.clients.jinja, 1.11)."""


def verbatim(text: str) -> str:
    """Return what dbt renders as exactly this text.

    A text from a suite may come from an uploaded file, so that ``env_var('PASSWORD')`` in it must not be evaluated.
    """
    if not _BRACES.search(text) and not _CALLED.fullmatch(text):
        return text
    return f"{{{{ {text!a} }}}}"  # Jinja decodes the escapes of its string literals as Python does
