"""The licences of what Bulkhead runs on: each is one that an Apache-2.0 program may be distributed with."""

from __future__ import annotations

import re

import pytest

from docs_site.licence_list import pinned, runtime

ALLOWED = {
    *("MIT", "MIT License", "MIT-0", "ISC License (ISCL)", "0BSD", "Zlib", "CC0-1.0", "PSF-2.0", "Unlicense"),
    *("Apache-2.0", "Apache Software License"),
    *("BSD", "BSD License", "3-Clause BSD License", "BSD-2-Clause", "BSD-3-Clause"),
    *("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"),
}
"""Licences that ask for a notice, or for the source of the files that they cover."""

AS_A_LIBRARY = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only", "pycountry": "LGPL-2.1-only"}
"""Under the LGPL: used unchanged, as packages of their own, which a user may replace."""


def is_allowed(licence: str) -> bool:
    """Return whether a licence expression allows it: of OR one side is enough; of AND, and of classifiers, all are needed."""
    text = licence.strip()
    if text in ALLOWED:
        return True
    if text.startswith("(") and text.endswith(")"):
        return is_allowed(text[1:-1])
    for separator, enough in ((r" AND |; ", all), (" OR ", any)):
        pieces = re.split(rf"(?:{separator})(?![^(]*\))", text)
        if len(pieces) > 1:
            return enough(is_allowed(piece) for piece in pieces)
    return False


def test_every_licence_is_compatible() -> None:
    found = runtime()
    assert len(found) > 0.8 * len(pinned())
    refused = {one.name: one.licence for one in found if not is_allowed(one.licence)}
    assert refused == AS_A_LIBRARY


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("Apache Software License; BSD License", True),
        ("GPL-3.0-or-later", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_an_expression_is_read_as_it_is_meant(licence: str, allowed: bool) -> None:
    assert is_allowed(licence) == allowed
