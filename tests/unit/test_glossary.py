"""The glossary names where each term is implemented; the term occurs there, so that a search finds it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(
    r"^\| (?!term \|)([^|]+?) \| ([^|]+?) \| `([^|`]+)` \|$",
    (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
STANDARD = {
    *("lease", "fencing token", "pointer jumping", "SSRF", "retention", "quarantine", "dead letter", "task queue", "heartbeat"),
    *("retry policy", "idempotency key", "backpressure", "presigned URL", "keyset pagination"),
}
OURS = {"import", "dataset", "record", "batch", "part", "wave", "finding", "failure"}


@pytest.mark.parametrize(("term", "module"), [(term, module) for term, _, module in ROWS], ids=[term for term, _, _ in ROWS])
def test_a_term_is_found_where_it_is_implemented(term: str, module: str) -> None:
    assert (ROOT / module).is_file(), f"{module} does not exist: where is {term!r} implemented now?"
    text = (ROOT / module).read_text(encoding="utf-8").lower()
    assert re.search(rf"\b{re.escape(term.lower())}", text), f"{module} does not contain {term!r}: add it to its docstring"


def test_the_glossary_has_the_terms_of_the_field_and_ours_each_once() -> None:
    terms = Counter(term for term, _, _ in ROWS)
    assert set(terms) >= STANDARD | OURS
    assert max(terms.values()) == 1


def test_every_row_of_the_glossary_is_read() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    assert len(ROWS) == sum(line.startswith("| ") for line in lines) - sum(line.startswith("| term |") for line in lines)
