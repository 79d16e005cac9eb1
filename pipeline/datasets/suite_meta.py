"""What a suite's ``meta`` may say of its dataset, besides key and parent: mapping, shape, bounds, tolerance.

docs/datasets.md has an example of each.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contracts.options import OnError


@dataclass(frozen=True)
class ColumnNames:
    """How a file's columns become the dataset's (``meta.mapping``); names are compared without case and outer space.

    A file's column that is an alias or is renamed takes the column's name; a column that the file lacks, or leaves empty,
    takes its default.
    """

    aliases: dict[str, tuple[str, ...]]  # column -> other names that files give it
    renames: dict[str, str]  # a file's name -> the name to keep it under, also for what goes into ``rest``
    defaults: dict[str, str]  # column -> text


@dataclass(frozen=True)
class TreeLimits:
    """What the tree that results must not exceed (``meta.bounds``); None: no bound."""

    max_depth: int | None = None  # of levels; a root has depth 1
    max_children: int | None = None  # of one record
    single_root: bool = False
    min_depth: int | None = None  # of levels, of each record without children

    def __post_init__(self) -> None:
        """Raises ValueError: a bound that means nothing must not wait for a file to be taken for one."""
        for name in ("max_depth", "max_children", "min_depth"):
            limit = getattr(self, name)
            if limit is not None and (type(limit) is not int or limit < 1):
                raise ValueError(f"meta.bounds.{name} is a whole number from 1 on, not {limit!r}")
        if self.min_depth is not None and self.max_depth is not None and self.min_depth > self.max_depth:
            raise ValueError(f"meta.bounds.min_depth is at most max_depth, {self.max_depth}, not {self.min_depth}")
        if type(self.single_root) is not bool:
            raise ValueError(f"meta.bounds.single_root is true or false, not {self.single_root!r}")

    @property
    def checks(self) -> list[str]:
        """The names of the SQL checks that hold a tree to them."""
        bounded = {
            "max_depth_exceeded": self.max_depth is not None,
            "max_children_exceeded": self.max_children is not None,
            "several_roots": self.single_root,
            "min_depth_not_reached": self.min_depth is not None,
        }
        return [name for name, is_set in bounded.items() if is_set]


@dataclass(frozen=True)
class Tolerance:
    """What happens to a file with bad records, unless its upload says otherwise (``meta.tolerance``)."""

    on_error: OnError = OnError.REJECT
    max_errors: int | None = None
    max_error_ratio: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, as Bounds does."""
        most, share = self.max_errors, self.max_error_ratio
        if most is not None and (type(most) is not int or most < 0):
            raise ValueError(f"meta.tolerance.max_errors is a whole number from 0 on, not {most!r}")
        if share is not None and (type(share) not in (int, float) or not 0 <= share <= 1):
            raise ValueError(f"meta.tolerance.max_error_ratio is a number from 0 to 1, not {share!r}")
