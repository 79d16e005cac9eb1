"""What a preview of a file says: its columns with what they probably are, its tree, what reading offers, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

SuggestedBy = Literal["header", "synonym", "content", "remembered", "similar"]
MisfitKind = Literal["missing_parent", "duplicate_id", "missing_id", "cycle"]
AppliesTo = Literal["file", "rows", "columns"]


@dataclass(frozen=True)
class ColumnPreview:
    """A column of the file. ``becomes``: its name after the automatic mapping; ``meant``: what it probably means, or empty.

    ``becomes`` is a column of the dataset, or the name itself where the dataset accepts any; None: it would be refused.
    """

    name: str
    becomes: str | None
    meant: str


@dataclass(frozen=True)
class ColumnMatch:
    """What a column of the file probably is. ``suggested``: a column of the dataset, None if none; ``reason``: a sentence."""

    suggested: str | None = None
    by: SuggestedBy | None = None
    reason: str = ""
    samples: tuple[str, ...] = ()
    is_given: bool = False  # the request's mapping says it


@dataclass(frozen=True)
class DatasetFit:
    """How many of the columns that a dataset requires a file has, after suggestions, and how many of all its columns."""

    dataset: str
    title: str
    matched: int
    required: int
    missing: tuple[str, ...] = ()
    columns: int = 0
    unknown: int = 0  # columns of the file that the dataset refuses
    unfit: tuple[str, ...] = ()  # columns of the file with values that the dataset would mostly refuse
    reason: str = ""


@dataclass(frozen=True)
class Offer:
    """An option of an upload that probably helps: its name, its value as JSON has it, and what it does in a sentence.

    ``is_used``: the preview was read with it already. ``rows`` are numbers of the file's own rows or lines, from 1.
    """

    option: str
    value: Any
    sentence: str
    applies_to: AppliesTo = "file"
    rows: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    is_used: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why the file would certainly be rejected. ``row`` is the file's own row or line, ``cell`` what a spreadsheet calls it."""

    code: str
    sentence: str
    hint: str = ""
    row: int | None = None
    column: str | None = None
    cell: str = ""


@dataclass(frozen=True)
class RawRow:
    """A row as it is in the file, before any of it is taken for the header. ``row``: its number from 1."""

    row: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class TreeNode:
    """A record: its level from 1, its id, its name (None: it has none), and how many children it has."""

    level: int
    id: str
    name: str | None
    children: int


@dataclass(frozen=True)
class Misfit:
    """A record that does not fit into the tree. ``row``: the file's own row or line."""

    kind: MisfitKind
    sentence: str
    value: str = ""
    row: int | None = None
    cell: str = ""


@dataclass(frozen=True)
class TreePreview:
    """``nodes`` are the first roots, each with its first children. ``problem``: why there is none, or what is wrong in it."""

    records: int = 0
    generated: int = 0  # of the records: those that the file implies and does not list
    roots: int = 0
    levels: int = 0
    nodes: tuple[TreeNode, ...] = ()
    problem: str = ""
    children_most: int = 0  # of one record
    misfits: tuple[Misfit, ...] = ()  # the first ones
    misfits_total: int = 0
    label: str = ""  # the column whose values are the names of the nodes


@dataclass(frozen=True)
class Preview:
    """``delimiter`` and ``sheet`` are empty where the format has none; ``rows`` are the first ones, texts or None.

    ``columns`` and ``matches`` are about the same columns, one for one.
    """

    format: str
    compression: str
    encoding: str
    delimiter: str
    sheet: str
    members: int  # files in the archive, of which this is the first; 1 without an archive
    columns: tuple[ColumnPreview, ...]
    rows: tuple[tuple[str | None, ...], ...]
    takes: tuple[str, ...]  # columns of the dataset that a file may have
    needs: tuple[str, ...]  # and those that it must have
    takes_others: bool
    tree: TreePreview | None = None  # what the mapping and the shape make of it; None: no column is the id, or the parent
    dataset: str | None = None  # that ``columns`` are about; None: no dataset fits
    datasets: tuple[DatasetFit, ...] = ()  # the best one first
    matches: tuple[ColumnMatch, ...] = ()
    offers: tuple[Offer, ...] = ()
    would_reject: tuple[Refusal, ...] = ()
    first_rows: tuple[RawRow, ...] = ()
    header_row: int | None = None  # row or line with the columns' names; None where a format has none
    sheets: tuple[str, ...] = ()
    records: int = 0  # in what was read
    is_whole: bool = True  # all of the file was read
