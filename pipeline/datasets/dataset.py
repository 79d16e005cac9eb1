"""What a dataset is: one suite (``expectations/<name>.json``) and one table (``sql/tables/<name>.sql``).

The suite's ``meta`` names the key and the parent column, the table names the columns and their types. Nothing is
written twice: everything else (staging, checks' relation, parts, upsert) is derived from these two.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import abc
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.contracts.object_keys import DATASET_NAME
from pipeline.contracts.options import DETECTED, QUOTE_NONE, READ_NAMES, OnError, Options, ReadOptions
from pipeline.datasets.column_forms import columns_by_form, folded
from pipeline.datasets.definition_checks import check_definition
from pipeline.datasets.personal_columns import personal_columns, slip_in_ids
from pipeline.datasets.shape_meta import Shape, shape_of, slip_in
from pipeline.datasets.suite_meta import ColumnNames, Tolerance, TreeLimits
from pipeline.datasets.table import LINEAGE, Column, table_columns
from pipeline.datasets.tree_rules import NAMES, TreeRules, tree_rules
from pipeline.datasets.upload_rules import check_suite, check_value_options
from pipeline.display import meant
from pipeline.errors import InvalidConfiguration, InvalidRequest, UnknownDataset
from pipeline.settings import ROOT
from pipeline.sqlfiles import in_order

_OF_THE_MOMENT = re.compile(
    r"(?i)\b(now|today|age|random|\w*uuid\w*|localtime|\w*timestamp|get_current_\w+)\s*\(|\b(current|local)_?(date|time)"
)
"""SQL keywords of columns whose values PostgreSQL computes."""


_NO_RULES = frozenset({"audit_every", "search"})
"""What a suite's meta says of how often what is loaded is checked, and of how it is searched: no verdict depends on it."""

NOT_NAMES = ("every", "bounds", "rules")
"""The folders of sql/checks/ that belong to no dataset: a dataset with such a name would take their checks for its own."""


@dataclass(frozen=True)
class Dataset:
    """One dataset as its two files describe it."""

    name: str
    root: Path
    columns: tuple[Column, ...]  # those of the user, in the table's order; lineage columns are not among them
    key: str
    parent: str
    rest: str | None  # the jsonb column that takes the file's other columns; None: they are refused
    suite: dict[str, Any]
    table_sql: str
    ignored: frozenset[str] = frozenset()  # folded names of a file's columns that are left out
    asked: tuple[tuple[str, str], ...] = ()  # names in a file, and the columns that an upload says they are
    options: ReadOptions = DETECTED  # how an upload says its file is read, where that is not as the suite says
    definition_version: int | None = None  # of its definition in the database; None: files of the checkout define it
    is_clear: bool = False  # whether it is read for a key that may unmask personal data

    def ignoring(self, names: Sequence[str]) -> Dataset:
        """Return the same dataset for a file of which these columns are left out."""
        return replace(self, ignored=frozenset(map(folded, names))) if names else self

    def for_upload(self, options: ReadOptions) -> Dataset:
        """Return the same dataset for a file whose columns are read as the upload says."""
        gone = [*options.without, *(name for name, column in options.mapping.items() if not column)]
        asked = tuple((name, column) for name, column in options.mapping.items() if column)
        return replace(self.ignoring(gone), asked=asked, options=_reading(options))

    def check_mapping(self, mapping: abc.Mapping[str, str]) -> None:
        """Raises InvalidRequest for a mapping to a column that is not there, or of two columns to one."""
        may_be = [name for name in self.names if name != self.rest]
        sources: dict[str, str] = {}
        for name, column in mapping.items():
            if column and column not in may_be:
                unknown = f"{name!r} cannot be mapped to {column!r}, which {self.name} does not have."
                raise InvalidRequest(f"{unknown}{meant(column, may_be)} Its columns: {', '.join(may_be)}.")
            if column and (other := sources.setdefault(column, name)) != name:
                raise InvalidRequest(f"{other!r} and {name!r} cannot both be mapped to {column!r}.")

    def check_options(self, options: ReadOptions) -> None:
        """Raises InvalidRequest, naming the option, for options of reading that mean nothing, apart from the mapping."""
        if options.quote and options.quote != QUOTE_NONE and options.quote in (options.delimiter or ""):
            raise InvalidRequest(f"The quote {options.quote!r} cannot be a part of the delimiter {options.delimiter!r}.")
        if options.shape:
            self.check_shape(options.shape)
        check_value_options(self, options)

    @cached_property
    def mapping(self) -> ColumnNames:
        """Return how a file's columns become the dataset's."""
        said = self._said("mapping", {"aliases", "renames", "defaults"})
        aliases = {name: tuple(others) for name, others in said.get("aliases", {}).items()}
        return ColumnNames(aliases, dict(said.get("renames", {})), dict(said.get("defaults", {})))

    @cached_property
    def wished(self) -> dict[str, str]:
        """Return for each folded name in a file the column that the upload maps it to."""
        return {folded(name): column for name, column in self.asked}

    @cached_property
    def renamed(self) -> dict[str, str]:
        """Return for each folded name in a file the name under which that column is kept."""
        return {folded(name): kept for name, kept in self.mapping.renames.items()}

    @cached_property
    def aliased(self) -> dict[str, str]:
        """Return for each folded alias its column."""
        return {folded(alias): name for name, aliases in self.mapping.aliases.items() for alias in aliases}

    @cached_property
    def by_form(self) -> dict[str, str]:
        """Return the column of each loose form of a name (column_forms.py); the column of the rest is not among them."""
        aliases = [(alias, name) for name, aliases in self.mapping.aliases.items() for alias in aliases]
        return columns_by_form([*((name, name) for name in self.names if name != self.rest), *aliases])

    @cached_property
    def shape(self) -> Shape:
        """Return how the hierarchy is written, as the upload says, or else the suite.

        Raises InvalidRequest or InvalidConfiguration, naming what can be said.
        """
        if self.options.shape:
            return self.check_shape(self.options.shape)
        said = self.suite.get("meta", {}).get("shape", {})
        try:
            return shape_of(said)
        except (ValueError, TypeError) as error:
            raise InvalidConfiguration(f"expectations/{self.name}.json: meta.{error}.") from error

    def check_shape(self, said: abc.Mapping[str, Any]) -> Shape:
        """Return the shape that an upload describes. Raises InvalidRequest, naming what it can say."""
        try:
            shape = shape_of(said)
        except ValueError as error:
            raise InvalidRequest(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        slip = slip_in(shape, self.names) or slip_in_ids(self, shape, None)
        if not slip and shape.path_separator and self.staging_file.is_file():
            slip = f"path_separator is for sql/staging/{self.name}.sql to say, since it is written by hand"
        if slip:
            raise InvalidRequest(f"{slip[:1].upper()}{slip[1:]}.")
        return shape

    @cached_property
    def personal(self) -> tuple[str, ...]:
        """Return the columns with personal data. Raises InvalidConfiguration."""
        try:
            return personal_columns(self)
        except ValueError as error:
            raise InvalidConfiguration(f"expectations/{self.name}.json: {error}.") from error

    @property
    def masked(self) -> tuple[str, ...]:
        """Return the columns whose values are masked where records are read: those with personal data, unless it is clear."""
        return () if self.is_clear else self.personal

    @property
    def shown_columns(self) -> tuple[Column, ...]:
        """Return the columns as records are read: a masked value is a text."""
        return tuple(Column(c.name, "text", c.required) if c.name in self.masked else c for c in self.columns)

    @cached_property
    def bounds(self) -> TreeLimits:
        """Return the limits of the tree."""
        return TreeLimits(**self._said("bounds", {"max_depth", "max_children", "single_root", "min_depth"}))

    @cached_property
    def tree_rules(self) -> TreeRules:
        """Return the rules for values in the tree."""
        types = {column.name: column.type for column in self.columns}
        return tree_rules(self._said("rules", {*NAMES}), types, (self.key, self.parent, self.rest))

    @cached_property
    def tolerance(self) -> Tolerance:
        """Return what happens to a file with errors."""
        said = self._said("tolerance", {"on_error", "max_errors", "max_error_ratio"})
        return Tolerance(**{**said, "on_error": OnError(said.get("on_error", OnError.REJECT))})

    def tolerance_for(self, options: Options) -> Tolerance:
        """Return what happens to an upload with errors: its own options override the suite's."""
        own = self.tolerance
        return Tolerance(
            on_error=options.on_error or own.on_error,
            max_errors=own.max_errors if options.max_errors is None else options.max_errors,
            max_error_ratio=own.max_error_ratio if options.max_error_ratio is None else options.max_error_ratio,
        )

    @property
    def audit_every(self) -> str | None:
        """Return how often it is audited, as the suite says it: ``1d``, ``never``; None: as BULKHEAD_AUDIT_EVERY says."""
        said = self.suite.get("meta", {}).get("audit_every")
        return None if said is None else str(said)

    @cached_property
    def version(self) -> str:
        """Return a hash of the rules, which changes with the suite, the mapping or the table."""
        suite = self.suite
        if not _NO_RULES.isdisjoint(suite.get("meta", {})):
            suite = {**suite, "meta": {name: value for name, value in suite["meta"].items() if name not in _NO_RULES}}
        rules = json.dumps(suite, sort_keys=True) + self.table_sql
        return hashlib.sha256(rules.encode()).hexdigest()[:12]

    @cached_property
    def rules(self) -> str:
        """Return a hash of all that a verdict depends on beside the file and the warehouse, our own release included.

        Empty if a rule asks what time it is, or for chance: then it may say something else of the same file tomorrow.
        """
        files = [*self.check_files, *([self.staging_file] if self.staging_file.is_file() else [])]
        text = "\0".join([self.version, metadata.version("bulkhead"), *(file.read_text(encoding="utf-8") for file in files)])
        if _OF_THE_MOMENT.search(text + json.dumps(self.suite)):
            return ""
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _said(self, part: str, known: set[str]) -> dict[str, Any]:
        said = self.suite.get("meta", {}).get(part, {})
        if not isinstance(said, dict) or not known.issuperset(said):
            takes = ", ".join(sorted(known))
            raise InvalidConfiguration(f"expectations/{self.name}.json: meta.{part} is an object that takes {takes}.")
        return said

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of the user's columns, in the table's order."""
        return tuple(column.name for column in self.columns)

    @property
    def title(self) -> str:
        """Return the name that people use."""
        return str(self.suite.get("meta", {}).get("title", self.name))

    def column(self, name: str) -> Column:
        """Return the column of that name. Raises KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def staging_file(self) -> Path:
        """Return the path of the hand-written staging query, which need not exist."""
        return self.root / "sql" / "staging" / f"{self.name}.sql"

    @property
    def check_files(self) -> list[Path]:
        """Return the SQL checks of this dataset: the general ones, those of its tree, then its own."""
        checks = self.root / "sql" / "checks"
        bounds = [checks / "bounds" / f"{name}.sql" for name in self.bounds.checks]
        rules = [checks / "rules" / f"{name}.sql" for name in self.tree_rules.checks]
        return [*in_order(checks / "every"), *bounds, *rules, *in_order(checks / self.name)]


def _reading(options: ReadOptions) -> ReadOptions:
    """Return only the options of reading: a dataset for the same file is the same, whatever else its upload asks for."""
    return ReadOptions(**{name: getattr(options, name) for name in READ_NAMES})


def dataset_names(root: Path = ROOT) -> list[str]:
    """Return the names of all datasets, sorted."""
    return sorted(path.stem for path in (root / "expectations").glob("*.json"))


def load_dataset(name: str, root: Path = ROOT, among: Collection[str] | None = None) -> Dataset:
    """Read a dataset's two files. ``among``: there are no others than these, whatever lies in the folder.

    Raises UnknownDataset (naming those there are) or InvalidConfiguration (saying which file is wrong and how).
    """
    suite_file = root / "expectations" / f"{name}.json"
    is_named = DATASET_NAME.fullmatch(name) and (among is None or name in among)
    if not is_named or not suite_file.is_file():
        known = [one for one in dataset_names(root) if among is None or one in among]
        raise UnknownDataset(f"There is no dataset {name!r}.{meant(name, known)} Datasets here: {', '.join(known) or 'none'}.")
    if name in NOT_NAMES:
        raise InvalidConfiguration(
            f"No dataset can be called {name}: sql/checks/{name}/ has checks of all datasets. Rename it."
        )
    table_file = root / "sql" / "tables" / f"{name}.sql"
    suite = suite_file.read_text(encoding="utf-8")
    if not table_file.is_file():
        raise InvalidConfiguration(f"The dataset {name!r} has a suite but no table: sql/tables/{name}.sql is missing.")
    dataset = dataset_of_texts(name, suite, table_file.read_text(encoding="utf-8"), root)
    return replace(dataset, definition_version=definition_versions(root).get(name))


def dataset_of_texts(name: str, suite_text: str, table_sql: str, root: Path) -> Dataset:
    """Return the dataset that the texts of its two files define. Raises InvalidConfiguration, or ValueError for no JSON."""
    suite = json.loads(suite_text)
    meta = suite.get("meta", {})
    columns = table_columns(table_sql)
    dataset = Dataset(
        name=name,
        root=root,
        columns=tuple(column for column in columns if column.name not in LINEAGE),
        key=meta.get("key", "id"),
        parent=meta.get("parent", "parentId"),
        rest=meta.get("rest"),
        suite=suite,
        table_sql=table_sql,
    )
    check_definition(dataset, tuple(column.name for column in columns))
    check_suite(dataset)
    return dataset


VERSIONS = "definitions.json"
"""The file that names the versions of the definitions in a folder that were written from the database."""


def definition_versions(root: Path) -> dict[str, int]:
    """Return the version of each definition in a folder that comes from the database; none for a checkout."""
    file = root / VERSIONS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def blank_dataset(name: str) -> Dataset:
    """Return a dataset for a name that has none: a file put under it is rejected with a report like any other."""
    columns = (Column("id", "text", True), Column("parentId", "text", False))
    return Dataset(name, ROOT, columns, "id", "parentId", None, {"name": name, "expectations": []}, "")
