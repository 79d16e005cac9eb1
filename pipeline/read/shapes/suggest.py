"""Recognise by a file's column names that its hierarchy is written in another way than by ids of parents."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_LEFTS = ("lft", "left", "treeleft", "lefttree", "leftvalue", "nleft")
_RIGHTS = ("rgt", "right", "rght", "treeright", "righttree", "rightvalue", "nright")
_PATHS = {
    "/": (
        *("path", "fullpath", "treepath", "materializedpath", "nodepath", "categorypath", "breadcrumb", "breadcrumbs"),
        *("hierarchy", "namepath", "lineage", "pathname", "filepath", "fileref"),
    ),
    ":": (
        "fullname",
        "fullyqualifiedname",
        "fullaccountname",
        "account",
        "accountname",
    ),  # as bookkeeping programs export accounts
    " > ": ("categories", "productcategory", "googleproductcategory", "producttype", "categorytree"),  # as shops do
    ".": ("ltree",),
}
"""What columns of paths are called, by the separator that such columns usually have."""

_CODES = ("wbs", "wbscode", "wbsnumber", "outlinenumber", "outlineno", "outlinecode", "itemnumber", "positionnumber")
"""What columns of codes such as 1.2.3 are called."""

_LEVELS = ("level", "depth", "indent", "indentlevel", "outlinelevel", "outline", "ebene", "niveau", "nivel")
_CHILDREN = ("children", "items", "nodes", "subcategories", "childs", "subitems", "elements", "subs")


def shape_suggestion(names: Sequence[str]) -> str:
    """Return a sentence that says which shape a file with these columns seems to have, and how to say so; or nothing."""
    found = suggested_shape(names)
    if not found:
        return ""
    said = json.dumps(found, ensure_ascii=False)
    other = " Say the separator that the values have." if found["kind"] == "path" else ""
    return f"Or, if the hierarchy is written in {', '.join(_columns(found))}: shape={said}.{other}"


def suggested_shape(names: Sequence[str]) -> dict[str, Any]:
    """Return the shape that a file with these columns seems to have, as an upload says it; empty if it seems to have none."""
    by_core: dict[str, str] = {}
    for name in names:
        by_core.setdefault(re.sub(r"[\W_]", "", name).casefold(), name)
    return _shape(names, by_core)


def _shape(names: Sequence[str], by_core: dict[str, str]) -> dict[str, Any]:
    left, right = (next((by_core[core] for core in cores if core in by_core), "") for cores in (_LEFTS, _RIGHTS))
    if left and right:
        return {"kind": "nested_set", "left": left, "right": right}
    if levels := _numbered(names):
        return {"kind": "levels", "columns": levels}
    paths = (("path", cores, "column", {"separator": separator}) for separator, cores in _PATHS.items())
    for kind, cores, key, more in (
        *paths,
        ("prefix", _CODES, "column", {"separator": "."}),
        ("nested", _CHILDREN, "children", {}),
        ("outline", _LEVELS, "level", {}),
    ):
        if there := next((by_core[core] for core in cores if core in by_core), ""):
            return {"kind": kind, key: there, **more}
    return {}


def _numbered(names: Sequence[str]) -> list[str]:
    """Return columns such as level1, level2, level3, in this order; none if there are not at least two."""
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        if found := re.fullmatch(r"(\D+?)[\s_.-]*(\d{1,2})(\D*)", name.strip()):
            groups.setdefault(f"{found[1]} {found[3]}".casefold(), {})[int(found[2])] = name
    longest = max(groups.values(), key=len, default={})
    numbers = sorted(longest)
    together = len(numbers) > 1 and numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return [longest[number] for number in numbers] if together else []


def _columns(shape: dict[str, Any]) -> list[str]:
    one = [shape[key] for key in ("column", "children", "level", "left", "right") if key in shape]
    return [*one, *shape.get("columns", ())]
