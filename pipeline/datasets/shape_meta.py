"""What ``shape`` may say, of a suite (``meta.shape``) or of an upload: how the hierarchy of a file is written.

docs/files.md has a paragraph on each kind; pipeline/read/shapes/ has a module for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.display import meant

_TEXT, _TEXTS, _NUMBERS, _FLAG = "a text", "a list of different texts", "a list of whole numbers from 1 on", "true or false"
_LEVELS, _PLACES = "groups or indent", "above or below"

KINDS: dict[str, dict[str, str]] = {
    "levels": {"columns": _TEXTS, "separator": _TEXT, "id": _TEXT, "fill_down": _FLAG, "name": _TEXT},
    "outline": {
        **{"column": _TEXT, "columns": _TEXTS, "level": _TEXT, "id": _TEXT, "indent": _TEXT, "name": _TEXT},
        **{"text": _FLAG, "comment": _TEXT, "excel": _LEVELS, "parents": _PLACES},
    },
    "path": {"column": _TEXT, "separator": _TEXT, "id": _TEXT, "name": _TEXT},
    "prefix": {"column": _TEXT, "lengths": _NUMBERS, "separator": _TEXT, "longest": _FLAG, "id": _TEXT},
    "nested": {"children": _TEXT},
    "nested_set": {"left": _TEXT, "right": _TEXT, "tree": _TEXT},
    "edges": {"file": _TEXT, "id": _TEXT, "parent": _TEXT},
}
"""The kinds of shapes, and what each can say."""

_EXACTLY_ONE: dict[str, tuple[tuple[str, ...], ...]] = {
    "levels": (("columns",),),
    "outline": (("column", "columns", "level", "excel"),),
    "path": (("column",), ("separator",)),
    "prefix": (("column",), ("lengths", "separator", "longest")),
    "nested": (("children",),),
    "nested_set": (("left",), ("right",)),
    "edges": (("file",), ("id",), ("parent",)),
}
_LABELED = ("levels", "outline", "path")
_NEED_IDS = ("nested_set", "edges")


@dataclass(frozen=True)
class Shape:
    """How the hierarchy is written, where it is not one column of parents."""

    children: str | None = None  # nested trees in JSON: the key under which a record's children stand
    path_separator: str | None = None  # path-shaped ids, such as /a/b/c: what stands between their steps
    kind: str = ""  # one of KINDS that is made into ids and parents after the file is read; empty: none of them
    said: Mapping[str, Any] = field(default_factory=dict)  # what it says, by KINDS

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that the file must have for it, by the names that the file gives them."""
        if self.kind == "edges":
            return ()
        single = [self.said[name] for name in ("column", "level", "id", "left", "right", "tree") if name in self.said]
        return tuple(dict.fromkeys([*single, *self.said.get("columns", ())]))

    @property
    def gives_ids(self) -> bool:
        """Return whether records need no column of ids."""
        return bool(self.kind) and self.kind not in _NEED_IDS

    def label(self, names: tuple[str, ...]) -> str:
        """Return which of the dataset's columns gets a record's own text; empty if none does."""
        wanted = str(self.said.get("name", "name"))
        return wanted if self.kind in _LABELED and wanted in names else ""


def shape_of(said: Mapping[str, Any]) -> Shape:
    """Return the shape that a suite or an upload describes. Raises ValueError with a sentence about what it cannot say."""
    if "kind" not in said:
        _check_old(said)
        return Shape(**said)
    kind, own = said["kind"], {name: value for name, value in said.items() if name != "kind"}
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"shape has the kind {kind!r}, which does not exist.{_meant(kind, KINDS)} Kinds: {', '.join(KINDS)}")
    takes = KINDS[kind]
    for name, value in own.items():
        if name not in takes:
            raise ValueError(f"shape {kind} has no option {name!r}.{_meant(name, takes)} Its options: {', '.join(takes)}")
        if not _fits(value, takes[name]):
            raise ValueError(f"in shape {kind}, {name} is {takes[name]}, not {value!r}")
    for names in _EXACTLY_ONE[kind]:
        given = [name for name in names if own.get(name)]
        if given != ["column", "excel"] and len(given) != 1:
            raise ValueError(f"shape {kind} needs {' or '.join(names)}" + (", one of them" if len(names) > 1 else ""))
    if kind == "outline" and (slip := _slip_in_outline(own)):
        raise ValueError(f"in shape outline, {slip}")
    return Shape(children=own["children"]) if kind == "nested" else Shape(kind=kind, said=own)


def _slip_in_outline(said: Mapping[str, Any]) -> str:
    """Return which options of an outline do not go together; an empty text if all do."""
    if said.get("text") and ("column" not in said or "excel" in said):
        return "text needs column, which names the lines of the text, and no workbook"
    if "comment" in said and not said.get("text"):
        return "comment needs text"
    if said.get("excel") == "indent" and "column" not in said:
        return "excel indent needs column, whose cells are indented"
    if "parents" in said and said.get("excel") != "groups":
        return "parents says where they are of excel groups"
    return "excel needs no indent" if "excel" in said and "indent" in said else ""


def slip_in(shape: Shape, names: tuple[str, ...]) -> str:
    """Return what is wrong with a shape beside the dataset's columns; an empty text if nothing is."""
    if shape.children in names:
        return f"shape has the children under {shape.children}, which is a column too"
    wanted = shape.said.get("name")
    if wanted is not None and wanted not in names:
        return f"shape writes the name into {wanted}, which is not a column of the dataset: {', '.join(names)}"
    return ""


def _check_old(said: Mapping[str, Any]) -> None:
    """Raise ValueError for a shape without a kind that says anything but children or path_separator."""
    if not {"children", "path_separator"}.issuperset(said):
        raise ValueError(f"shape has a kind, which is one of {', '.join(KINDS)}; or it has children, or path_separator")
    if not all(one is None or (isinstance(one, str) and one.strip()) for one in said.values()):
        raise ValueError("in shape, children is a key and path_separator what stands between the steps of a path")
    if said.get("children") and said.get("path_separator"):
        raise ValueError("shape has both children and path_separator; a parent can come from one of them only")


def _fits(value: object, what: str) -> bool:
    if what == _TEXT:
        return isinstance(value, str) and value != ""
    if what in (_LEVELS, _PLACES):
        return value in what.split(" or ")
    if what == _FLAG:
        return isinstance(value, bool)
    if not isinstance(value, list | tuple) or not value or len({*map(str, value)}) < len(value):
        return False
    if what == _TEXTS:
        return all(isinstance(one, str) and one for one in value)
    return all(type(one) is int and one > 0 for one in value)


def _meant(wrong: object, known: Mapping[str, object]) -> str:
    return meant(wrong, known) if isinstance(wrong, str) else ""
