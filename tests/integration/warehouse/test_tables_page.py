"""docs/tables.md against a migrated database."""

from __future__ import annotations

from docs_site import tables


def test_the_page_lists_every_table_view_and_column(database: str) -> None:
    text = tables.PAGE.read_text(encoding="utf-8")
    assert text == tables.page(database), "run `bulkhead up` and, beside it: python -m docs_site.tables"
