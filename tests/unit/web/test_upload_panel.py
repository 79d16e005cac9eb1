"""What the panel of a file says of how the file is read."""

from __future__ import annotations

import pytest

from web.pages.upload_panel import Panel


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("clean", '{"skip_totals": true}', "clean: skip totals"),
        (
            "clean",
            '{"trim": true, "decimal": ",", "null_values": ["-", "n/a"]}',
            'clean: trim, decimal ,, null values ["-", "n/a"]',
        ),
        ("delimiter", "\t", "delimiter: tab"),
        ("delimiter", "\\t|\\t", r"delimiter: \t|\t"),
        ("header_row", "3", "header row: 3"),
        ("sheet", "{A}", "sheet: {A}"),
        ("sheet", "{}", "sheet: {}"),
    ],
)
def test_options_are_read_as_words(option: str, value: str, said: str) -> None:
    assert Panel.read_with(option, value) == said
