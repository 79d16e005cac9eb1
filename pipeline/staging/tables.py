"""The tables of the staging database that one step of the pipeline leaves for later ones, and who writes and reads them.

These tables and views are the only things that steps hand to one another in the database: each step has its own connection,
and its temporary tables are gone with it. A test compares this list with the database after a validation.
"""

from __future__ import annotations

from typing import NamedTuple


class StagingTable(NamedTuple):
    """A table or view. ``columns`` without the file's or the dataset's own, where ``has_own_columns``."""

    name: str
    columns: tuple[str, ...]
    written_by: str  # a module of pipeline/
    read_by: tuple[str, ...]  # packages of pipeline/, and sql: the checks
    has_own_columns: bool = False


_FINDING = ("code", "severity", "message", "row", "line", "column", "value", "hint", "related", "cycle")

_RULES = (
    *("rank_column", "ranks", "strict_ranks", "sibling_columns", "folded_siblings"),
    *("prefix_separator", "leaf_only", "branch_only", "columns"),
)

TABLES = (
    # read
    StagingTable("raw", ("_row",), "read/formats", ("staging", "validate", "report", "sandbox"), has_own_columns=True),
    StagingTable("text_rows", (), "read/formats", ("staging",), has_own_columns=True),
    StagingTable("malformed", ("_row", "line", "text"), "read/raw_tables", ("validate", "sandbox")),
    StagingTable("curtailed", ("_row",), "read/raw_tables", ("sandbox",)),
    StagingTable("lines", ("first_row", "first_line"), "read/raw_tables", ("validate", "report")),
    StagingTable("reading", (), "read/raw_tables", ("staging", "validate", "report", "sandbox"), has_own_columns=True),
    StagingTable("members", ("first_row", "name"), "read/containers", ("report",)),
    StagingTable("findings", _FINDING, "staging/database", ("read", "staging", "validate", "report")),
    # staging
    StagingTable("cleaned", ("_row",), "staging/cleaning", ("read", "staging", "validate"), has_own_columns=True),
    StagingTable("declared_totals", ("_row",), "read/raw_tables", ("read",)),
    StagingTable("incoming", ("_row",), "staging/cast", ("staging", "validate", "prepare"), has_own_columns=True),
    StagingTable("names", ("key", "parent", "ids_made_of"), "staging/hierarchy", ("sql",)),
    StagingTable("bounds", ("max_depth", "max_children", "single_root", "min_depth"), "staging/hierarchy", ("validate", "sql")),
    StagingTable("rules", _RULES, "staging/hierarchy", ("validate", "sql")),
    StagingTable("nodes", ("_row", "id", "parent"), "staging/hierarchy", ("validate", "sql")),
    StagingTable("twice", ("id", "first_row"), "staging/hierarchy", ("validate",)),
    StagingTable("links", ("_row", "id", "parent", "above"), "staging/hierarchy", ("validate", "prepare")),
    # validate
    StagingTable("warehouse_edges", ("id", "parentId"), "validate/tree_overlay", ("validate", "prepare")),
    StagingTable("overridden", ("id", "parentId"), "validate/tree_overlay", ("validate",)),
    StagingTable(
        "duplicates", ("_row", "id", "place", "copies", "alike", "others"), "validate/tree_overlay", ("validate", "sql")
    ),
    StagingTable("own", ("number", "id", "parent", "_row", "above"), "validate/tree_overlay", ("validate",)),
    StagingTable("laid_over_warehouse", ("number", "id", "parent", "_row", "above"), "validate/tree_overlay", ("validate",)),
    StagingTable("edges", ("number", "id", "parent", "_row", "above"), "validate/tree_overlay", ("validate", "sql")),
    StagingTable("unrooted", ("number", "reached"), "validate/cycles", ("validate",)),
    StagingTable("cycles", ("cycle", "_row", "path", "length", "rows", "old"), "validate/cycles", ("validate", "sql")),
    StagingTable("cycle_rows", ("cycle", "_row"), "validate/cycles", ("validate", "report", "sql")),
    StagingTable("below_cycles", ("_row", "cycle"), "validate/cycles", ("validate", "sql")),
    StagingTable("orphans", ("_row", "parent"), "validate/missing_parents", ("validate", "sql")),
    StagingTable("missing", ("parent", "records", "alike", "hint"), "validate/missing_parents", ("sql",)),
    StagingTable("crowds", ("number", "children"), "validate/tree_limits", ("validate", "sql")),
    StagingTable("depths", ("number", "depth"), "validate/tree_limits", ("validate", "sql")),
    StagingTable("pushed", ("_row", "id", "depth", "records"), "validate/tree_limits", ("sql",)),
    StagingTable("shallow", ("_row", "id", "depth", "records"), "validate/tree_limits", ("sql",)),
    StagingTable("branches", ("number",), "validate/tree_limits", ("validate", "sql")),
    StagingTable("moves", ("number", "_row", "left_parent"), "validate/tree_limits", ("validate", "sql")),
    StagingTable("warehouse_values", ("id",), "validate/tree_rules", ("validate",), has_own_columns=True),
    StagingTable("ruled", ("number",), "validate/tree_rules", ("validate",), has_own_columns=True),
    StagingTable("kinds", ("number", "kind", "rank"), "validate/tree_rules", ("sql",)),
    StagingTable("sibling_values", ("number", "value", "compared"), "validate/tree_rules", ("sql",)),
    StagingTable("filled", ("number", "column", "is_for_leaves"), "validate/tree_rules", ("sql",)),
    StagingTable("remaining", ("number", "id", "parent", "_row", "above"), "validate/rules_without", ("validate",)),
    StagingTable("faults_of_reading", ("row", "line", "column", "value", "message"), "validate/sql_checks", ("validate",)),
    StagingTable("quarantined", ("_row", "id", "code", "message"), "validate/quarantine", ("validate", "prepare")),
    # report
    StagingTable("ordered", ("number", "id", *_FINDING, "place", "cells"), "report/findings", ("report",)),
)
"""Beside them, each check has its offenders in a table ``check_<name>`` (validate/sql_checks). Checks of a dataset may query
the tables that validate/sql_checks lists."""
