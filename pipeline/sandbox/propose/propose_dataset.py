"""Propose a dataset for a file, by all of its values. Runs in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.definition import ColumnRules, Definition, check_name, definition_from_json
from pipeline.datasets.definition_files import dataset_from, render
from pipeline.errors import InvalidRequest, RejectedFile, Unreadable
from pipeline.read import FileSummary, Limits, read
from pipeline.read.shapes.suggest import shape_suggestion
from pipeline.read.synonyms import NAME, Words, words_of
from pipeline.root import ROOT
from pipeline.sandbox.propose.column_facts import ColumnFacts, facts_of
from pipeline.sandbox.propose.column_names import column_name, dataset_name, title_of
from pipeline.sandbox.propose.column_types import Reading, chosen, fitting
from pipeline.sandbox.propose.refusals import Refused, refusals
from pipeline.sandbox.propose.roles import Roles, roles_of
from pipeline.staging.database import StagingDatabase

LENGTHS = (10, 20, 50, 100, 255, 500, 1000, 2000, 4000, 10_000, 100_000, 1_000_000)
"""Maximum lengths to propose: the first that is twice the longest value."""


@dataclass(frozen=True)
class ProposedColumn:
    """What was seen in a column of the file, and what each choice for it would refuse."""

    name: str
    header: str
    samples: tuple[str, ...]
    filled: int
    empty: int
    distinct: int
    longest: int
    reason: str
    types: tuple[str, ...]
    few: tuple[str, ...] | None
    refuses: dict[str, Refused]


@dataclass(frozen=True)
class Proposed:
    """A proposal. ``definition`` is as the API shows it; ``problem`` says why it cannot be used, if it cannot."""

    name: str
    definition: dict[str, Any]
    suite: str
    table: str
    records: int
    format: str
    columns: tuple[ProposedColumn, ...]
    refused: int
    problem: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """A column of the file: what was seen in it, its type, and why that."""

    facts: ColumnFacts
    header: str
    readings: tuple[Reading, ...]
    reading: Reading
    reason: str


def propose(
    source: Path,
    name: str,
    filename: str,
    given: dict[str, Any] | None,
    limits: Limits,
    memory_bytes: int,
    without: Sequence[str] = (),
    root: Path = ROOT,
) -> Proposed:
    """Return a proposal for the file, or with ``given``, a definition, what that would refuse in it.

    ``without``: columns of the file that are left out. ``root``: where datasets are, with the installation's own words.
    Raises Unreadable if the file cannot be read, InvalidRequest if ``given`` means nothing.
    """
    name = name or dataset_name(filename or "data") or "data"
    check = definition_from_json(given) if given is not None else None
    with StagingDatabase.in_memory(source.parent, memory_bytes) as database, database.connect() as connection:
        reading = read(source, _anything(name), connection=connection, filename=filename, limits=limits)
        if not reading.records:
            raise Unreadable("The file contains no records.", code="empty_file", hint="Add at least one record.")
        seen = _seen(connection, reading)
        originals = {one.facts.name: one.header for one in seen}
        roles = roles_of(connection, [one.facts for one in seen], originals, words_of(root))
    definition = check or _definition(name, title_of(filename, name), seen, roles, words_of(root))
    files = render(definition)
    refused, count, problem = _refused(source, definition, without, filename, limits, memory_bytes)
    columns = tuple(_shown(one, definition, seen, roles, refused) for one in definition.columns)
    notes = tuple(_notes(seen, roles, definition))
    said = json.loads(json.dumps(definition.to_json()))
    return Proposed(name, said, *files, reading.records, reading.format, columns, count, problem, notes)


def _anything(name: str) -> Dataset:
    """Return a dataset that takes any columns under their own names."""
    meta = {"mapping": {"defaults": {"id": "-", "parentId": "-"}}}
    return Dataset(name, ROOT, (), "id", "parentId", "-", {"name": name, "meta": meta}, "")


def _seen(connection: duckdb.DuckDBPyConnection, reading: FileSummary) -> list[_Seen]:
    found = []
    originals = dict(zip(reading.columns, reading.original_columns or reading.columns, strict=True))
    for facts in facts_of(connection, reading.columns, reading.records):
        readings = tuple(fitting(connection, facts.name)) if facts.filled else ()
        best, reason = chosen(connection, facts.name, readings) if facts.filled else (Reading("text"), "it has no values")
        found.append(_Seen(facts, originals[facts.name], readings, best, reason or "it has texts"))
    return found


def _definition(name: str, title: str, seen: Sequence[_Seen], roles: Roles, words: Words) -> Definition:
    names: dict[str, str] = {}
    for one in seen:
        names[one.facts.name] = column_name(one.header, {taken.casefold() for taken in names.values()})
    columns = [_rules(one, names[one.facts.name], roles) for one in seen]
    searched = next((n for n, one in enumerate(seen) if not _has_role(one, roles) and _is_name(one, columns[n], words)), None)
    if searched is not None:  # one index: each costs time at every load (docs/decisions/0048)
        columns[searched] = replace(columns[searched], search=True)
    clean: dict[str, Any] = {}
    for rule, mark in (("decimal", ","), ("thousands", None)):
        marked = [(names[one.facts.name], getattr(one.reading, rule)) for one in seen if getattr(one.reading, rule)]
        marks = {said for _, said in marked if mark is None or said == mark}
        if len(marks) == 1:
            clean[rule] = {"value": (used := marks.pop()), "columns": [column for column, said in marked if said == used]}
    parent = names.get(roles.parent)
    return Definition(name, title, names[roles.key], parent, tuple(columns), clean=clean)


def _has_role(one: _Seen, roles: Roles) -> bool:
    return one.facts.name in (roles.key, roles.parent)


def _is_name(one: _Seen, column: ColumnRules, words: Words) -> bool:
    """Return whether a column names the records: texts, under a header that means so, with more than a few values."""
    return column.type == "text" and not column.values and bool(words.strength(one.header, NAME))


def _rules(one: _Seen, name: str, roles: Roles) -> ColumnRules:
    facts, is_id = one.facts, _has_role(one, roles)
    type_ = "text" if is_id else one.reading.type
    is_text, is_key = type_ == "text", one.facts.name == roles.key
    return ColumnRules(
        name=name,
        headers=(one.header,) if one.header != name else (),
        type=type_,
        required=is_key or (not facts.empty and not is_id),
        unique=is_key,
        values=facts.few if is_text and not is_id else None,
        max_length=_most(facts.longest) if is_text and not is_id and not facts.few else None,
        format=None if is_id else one.reading.format,
    )


def _most(longest: int) -> int | None:
    return next((length for length in LENGTHS if length >= 2 * longest), None)


def _refused(
    source: Path, definition: Definition, without: Sequence[str], filename: str, limits: Limits, memory_bytes: int
) -> tuple[dict[str, dict[str, Refused]], int, str]:
    """Return what the definition refuses, how many records, and why it cannot be used at all, which is empty if it can."""
    try:
        check_name(definition.name)
        dataset = replace(dataset_from(definition.name, render(definition)), root=ROOT).ignoring(without)
        return *refusals(source, dataset, definition, filename, limits, memory_bytes), ""
    except ValueError as error:
        return {}, 0, f"{str(error)[:1].upper()}{str(error)[1:]}."
    except InvalidRequest as error:
        return {}, 0, str(error)
    except RejectedFile as error:
        return {}, 0, f"{error} {error.hint}".strip()


def _shown(
    column: ColumnRules, definition: Definition, seen: Sequence[_Seen], roles: Roles, refused: dict[str, dict[str, Refused]]
) -> ProposedColumn:
    one = next((other for other in seen if other.header in (column.name, *column.headers)), None)
    own = refused.get(column.name, {})
    if one is None:
        return ProposedColumn(column.name, "", (), 0, 0, 0, 0, "the file has no such column", ("text",), None, own)
    facts, reason = one.facts, one.reason
    if column.name == definition.key and facts.name == roles.key:
        reason = roles.key_reason
    elif column.name == definition.parent and facts.name == roles.parent:
        reason = roles.parent_reason
    types = tuple(dict.fromkeys([*(reading.type for reading in one.readings), "text"]))
    counts = (facts.filled, facts.empty, facts.distinct, facts.longest)
    return ProposedColumn(column.name, one.header, facts.samples, *counts, reason, types, facts.few, own)


def _notes(seen: Sequence[_Seen], roles: Roles, definition: Definition) -> list[str]:
    """Return what a person should know or decide, in sentences."""
    notes = []
    key = next(one for one in seen if one.facts.name == roles.key)
    if not key.facts.is_unique:
        notes.append(
            "No column has a different value in every record, and a dataset needs one: its key. Add such a column to the file,"
            f" or correct {key.header}."
        )
    if definition.parent is None and not definition.shape:
        notes.append("No column names a parent, so every record would be a root. Choose the parent if a column names it.")
        if shape := shape_suggestion([one.header for one in seen]):
            notes.append(shape)
    notes += [f"{one.header}: {one.reason}." for one in seen if "choose one" in one.reason]
    return notes
