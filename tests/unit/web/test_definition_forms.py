"""The form of a definition, read and shown again."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from web.http.problems import Problem
from web.pages.definition_forms import asked_in, definition_in, headers, lines, unused, without

PRODUCTS: dict[str, str] = {
    **{"name": "products", "title": " Our \n products ", "key": "0", "parent": "1", "shape": "", "clean": '{"trim": true}'},
    **{"name-0": "sku", "from-0": "SKU", "header-0": "SKU", "type-0": "text", "use-0": "1", "required-0": "1", "unique-0": "1"},
    **{"name-1": "parent_sku", "from-1": "Parent SKU", "header-1": "Parent SKU", "type-1": "text", "use-1": "1"},
    **{"name-2": "kind", "from-2": "kind", "type-2": "text", "use-2": "1", "values-2": "A\r\nB\r\n\r\nA", "max_length-2": "20"},
    **{"name-3": "notes", "from-3": "Notes", "type-3": "text"},
    **{"name-10": "added on", "type-10": "date", "use-10": "1", "format-10": "DD.MM.YYYY"},
}


def form(**other: str | None) -> MultiDict[str, str]:
    """The form of the products, with some of its fields changed or, with None, left out."""
    changed = {name.replace("_at_", "-"): value for name, value in other.items()}
    return MultiDict({name: value for name, value in {**PRODUCTS, **changed}.items() if value is not None})


def test_a_line_a_column_in_the_order_of_their_numbers() -> None:
    made = definition_in(form())
    assert (made.name, made.title, made.key, made.parent) == ("products", "Our products", "sku", "parent_sku")
    assert [column.name for column in made.columns] == ["sku", "parent_sku", "kind", "added on"]
    sku, _, kind, added = made.columns
    assert (sku.headers, sku.required, sku.unique, sku.values) == (["SKU"], True, True, None)
    assert (kind.values, kind.max_length, kind.required) == (["A", "B"], 20, False)
    assert (added.type, added.format) == ("date", "DD.MM.YYYY")
    assert made.clean == {"trim": True} and made.shape == {}


def test_columns_that_are_not_used() -> None:
    assert without(form()) == ["Notes"]
    assert headers(form()) == ["SKU", "Parent SKU", "kind", "Notes"]
    assert definition_in(form(parent="")).parent is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"key": "3"}, "Choose the column with the IDs"),
        ({"key": "99"}, "Choose the column with the IDs"),
        ({"key": "²"}, "Choose the column with the IDs"),
        ({"parent": "0"}, "One column cannot have both"),
        ({"name_at_1": "sku"}, "Two columns are called sku."),
        ({"max_length_at_2": "many"}, "kind: 'many' is not a number of characters."),
        ({"max_length_at_2": "0"}, "kind: '0' is not"),
        ({"max_length_at_2": "٣"}, "is not a number"),
        ({"clean": "[1]"}, "Clean is not a JSON object."),
        ({"shape": "[" * 100_000}, "Shape is not a JSON object."),
        ({"name_at_0": "s" * 64}, "name"),
    ],
)
def test_what_is_wrong_is_named_and_what_was_entered_is_shown_again(changed: dict[str, str], said: str) -> None:
    wrong = form(**changed)
    with pytest.raises(Problem) as caught:
        definition_in(wrong)
    assert said in caught.value.detail, caught.value.detail
    asked = asked_in(wrong)
    assert len(asked["columns"]) == 4
    shown = lines(asked, [])
    assert shown[2]["max_length"] == wrong["max_length-2"] and shown[2]["values_text"] == "A\nB"


def kept() -> dict[str, Any]:
    """A definition that a form changes."""
    column = {
        "type": "text",
        "required": False,
        "unique": False,
        "values": None,
        "max_length": None,
        "format": None,
        "warn": [],
    }
    return {
        **{"name": "products", "title": "Products", "key": "sku", "parent": None, "shape": {}, "clean": {"trim": True}},
        **{"other_meta": {"bounds": {"max_depth": 5}}, "other_rules": [{"type": "expect_x", "kwargs": {}}]},
        "columns": [{**column, "name": "sku", "headers": ["SKU"]}, {**column, "name": "kind", "headers": []}],
    }


def test_a_change_keeps_what_has_no_field() -> None:
    sent = MultiDict(
        [
            *{"title": "Products", "was-0": "sku", "name-0": "sku", "type-0": "text", "use-0": "1"}.items(),
            *{"was-1": "kind", "name-1": "kind", "type-1": "text", "use-1": "1", "required-1": "1"}.items(),
            *[("warn-1", "required"), ("warn-1", "nonsense")],
            *{"name-2": "stock", "type-2": "integer", "added-2": "1", "name-3": " ", "type-3": "text", "added-3": "1"}.items(),
        ]
    )
    made = definition_in(sent, kept())
    assert (made.name, made.key, made.parent, made.clean) == ("products", "sku", None, {"trim": True})
    assert made.other_meta == {"bounds": {"max_depth": 5}} and made.other_rules == kept()["other_rules"]
    assert [(one.name, one.headers, one.required, one.warn) for one in made.columns] == [
        *(("sku", ["SKU"], False, []), ("kind", [], True, ["required"]), ("stock", [], False, []))
    ]


def test_lines_say_which_types_fit_and_offer_what_is_not_used() -> None:
    seen = [
        {"name": "sku", "header": "SKU", "types": ["text"], "refuses": {"type": {"records": 1}}},
    ]
    used, left = lines({"columns": [{"name": "sku", "type": "integer", "headers": ["SKU"]}]}, seen, unused(form()))
    assert (used["used"], left["used"], left["header"]) == (True, False, "Notes")
    assert used["offered"][:2] == [("integer", False), ("text", True)]
    assert used["refuses"] == {"type": {"records": 1}}
