"""Flatten nested JSON: records that contain their children, such as ``{"id": "1", "children": [{"id": "2"}]}``.

A tree may be as large as the file and deeper than any parser's stack, so it is read member by member; only the records that are
still open are kept, one a level. Rows are numbered where records begin. A parent's id may come after its children, so a row
first gets the number of its parent's row, and its parent's id when all is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.read.formats.json_tokens import JsonReader
from pipeline.read.raw_tables import RawTables
from pipeline.sqlfiles import quoted
from pipeline.staging.cleaning import with_cleaned_ids
from pipeline.staging.database import VALUE_LENGTH


class FoundRecord(NamedTuple):
    """A value where a record should be. ``above`` is the row of the record that it is nested in, 0 for the root of a tree."""

    row: int
    line: int
    value: Any
    above: int = 0
    in_tree: bool = False  # it is nested in another record, or has a list of children


class MisplacedChildren(dict[str, Any]):
    """A record whose children are not in a list."""


@dataclass
class _OpenRecord:
    """A record that has begun and not ended."""

    row: int
    line: int
    above: int
    in_tree: bool
    members: list[tuple[str, Any]] = field(default_factory=list)
    size: int = 0
    lists: int = 0  # of children
    among_children: bool = False  # the next value is one of its children
    after_value: bool = False  # a comma must come next, or the end


def walk(text: JsonReader, children: str) -> Iterator[FoundRecord]:
    """Yield the records of the next tree, each when it ends. Raises Unreadable if it is not JSON, or nested too deep."""
    if text.peek() != "{":
        yield FoundRecord(text.next_row(), text.line, text.value())
        return
    stack = [_begin(text, 0)]
    while stack:
        record = stack[-1]
        if text.peek() == ("]" if record.among_children else "}"):
            text.expect(text.peek())
            if not record.among_children:
                stack.pop()
                yield _ended(record, text, children)
            record.among_children, record.after_value = False, True
            continue
        if record.after_value:
            text.expect(",")
        record.after_value = True
        if not record.among_children:
            _member(record, text, children)
        elif text.peek() != "{":
            yield FoundRecord(text.next_row(), text.line, text.value(), record.row, in_tree=True)
        elif len(stack) < text.limits.tree_depth:
            stack.append(_begin(text, record.row))
        else:
            raise text.broken(f"records are nested more than {text.limits.tree_depth:,} deep")


def _begin(text: JsonReader, above: int) -> _OpenRecord:
    text.peek()
    record = _OpenRecord(text.next_row(), text.line, above, in_tree=above > 0)
    text.expect("{")
    return record


def _member(record: _OpenRecord, text: JsonReader, children: str) -> None:
    """Read the next key, and its value, and those after it that are plain; or begin the list of children."""
    while plain := text.plain_member():
        key = plain[0]
        if key == children:
            record.lists += 1
            record.in_tree = True
        _add(record, plain, text)
        if not text.comma():
            return
    if text.peek() != '"':
        raise text.broken(f"expected a key in quotes, found {text.peek()!r}")
    key = text.value()
    text.expect(":")
    if key == children:
        record.lists += 1
        record.in_tree = True
        if text.peek() == "[":
            text.expect("[")
            record.among_children, record.after_value = True, False
            return
    _add(record, (key, text.value()), text)


def _add(record: _OpenRecord, member: tuple[str, Any], text: JsonReader) -> None:
    record.members.append(member)
    record.size += text.taken
    if record.size > text.limits.record_bytes:
        raise text.broken(f"a record is longer than {text.limits.record_bytes:,} bytes")


def _ended(record: _OpenRecord, text: JsonReader, children: str) -> FoundRecord:
    own = [(key, value) for key, value in record.members if key != children]
    value = text.object_with(own, twice=record.lists > 1)
    if any(key == children and value is not None for key, value in record.members):
        value = MisplacedChildren(value)
    return FoundRecord(record.row, record.line, value, record.above, record.in_tree)


# --- From rows to parents ---


_NESTED = pa.schema([("_row", pa.int64()), ("above", pa.int64())])
_ADOPTED = """
create or replace temp table adopted as
with pairs as (
    select child._row, child.{parent} as said, above.{key} as id, first_line + child._row - first_row as line
    from nested join raw child on nested._row = child._row join raw above on nested.above = above._row
    asof left join lines on child._row >= first_row
)
from {pairs}
"""
_FIND = """
insert into findings by name
select
    'malformed_row' as code, 'error' as severity, _row as row, line, $column as "column", left(said, $most) as value,
    case
        when coalesce(cleaned_id, '') = '' then 'The record is nested in one that has no id.'
        else 'The record is nested in ' || left(id, $most) || ', but names another parent.'
    end as message,
    case
        when coalesce(cleaned_id, '') = '' then 'Give the record around it an id.'
        else 'Remove ' || $column || ', or move the record out of the list.'
    end as hint
from adopted where coalesce(cleaned_id, '') = '' or coalesce(cleaned_said, '') not in ('', cleaned_id)
"""


def store_nesting(nested: list[tuple[int, int]], staging: RawTables) -> None:
    """Store pairs of rows, the first nested in the second."""
    staging.connection.execute("create temp table if not exists nested (_row bigint, above bigint)")
    if nested:
        below, above = zip(*nested, strict=True)
        staging.insert("nested", pa.Table.from_arrays([pa.array(below), pa.array(above)], schema=_NESTED))
        nested.clear()


def set_parents(staging: RawTables) -> None:
    """Set the parent of every nested row in ``raw`` to the id of the row around it; add a finding where that cannot be."""
    key, parent = quoted(staging.dataset.key), quoted(staging.dataset.parent)
    staging.connection.execute(
        _ADOPTED.format(key=key, parent=parent, pairs=with_cleaned_ids("pairs", staging.dataset, ["said", "id"]))
    )
    staging.connection.execute(_FIND, {"column": staging.dataset.parent, "most": VALUE_LENGTH})
    staging.connection.execute(
        f"""update raw set {parent} = adopted.id from adopted
        where raw._row = adopted._row and coalesce(adopted.cleaned_said, '') = '' and adopted.id is not null"""
    )
    staging.connection.execute("drop table nested")
    staging.connection.execute("drop table adopted")
