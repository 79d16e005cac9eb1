"""The panel of a file that is not uploaded yet, as its template needs it: what it is read as, and what would become of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app, url_for

from pipeline.display import counted
from pipeline.ledger.api_keys import Role
from pipeline.option_texts import delimiter_of, delimiter_text, option_text
from web.http.auth import key_in_use
from web.pages.upload_choices import KEEP, SKIP, TO, Choices

COLUMNS_NAMED = 8
OFFERED_DATASETS = 6
CELLS_SHOWN = 30
OFFERS_SHOWN = 12
NEW_DATASET = "new_dataset_pages.new_dataset"


@dataclass(frozen=True)
class Column:
    """A column of the file. ``becomes``: what an import would read it as by itself; ``choice`` and ``choices``: its select."""

    name: str
    becomes: str | None
    choice: str
    choices: Sequence[tuple[str, str]]
    reason: str

    @property
    def outcome(self) -> str | None:
        """Return the column that it becomes, an empty text if it is left out, None if the file would be refused for it."""
        if self.choice == SKIP:
            return ""
        return self.choice.removeprefix(TO) if self.choice.startswith(TO) else self.becomes


@dataclass(frozen=True)
class Panel:
    """``seen``: the preview's answer; ``given``: the options that it was read with, as texts; ``wrong``: of its columns."""

    seen: Mapping[str, Any]
    chosen: Choices
    columns: Sequence[Column]
    given: Mapping[str, str]
    wrong: Sequence[str]
    new_dataset: str
    filename: str

    @staticmethod
    def setting(option: str, value: Any) -> str:
        """Return the value of a button that sets an option: ``header_row=3``."""
        return f"{option}={option_text(value)}"

    @staticmethod
    def read_with(option: str, value: str) -> str:
        """Return an option that is in force, as a person reads it: ``clean: skip totals`` instead of its JSON."""
        if option == "delimiter":
            return f"delimiter: {delimiter_text(delimiter_of(value))}"
        try:
            given = json.loads(value) if value.startswith("{") else None
        except ValueError:
            given = None
        if given:
            value = ", ".join(name if is_on is True else f"{name} {option_text(is_on)}" for name, is_on in given.items())
            value = value.replace("_", " ")
        return f"{option.replace('_', ' ')}: {value}"

    @property
    def widest(self) -> int:
        """Return the most cells that one of the first rows has."""
        return max((len(row["cells"][:CELLS_SHOWN]) for row in self.seen["first_rows"]), default=1) or 1

    @property
    def button(self) -> str:
        """Return what the button of a file says."""
        act = "Check" if self.chosen.options.get("dry_run") else "Import"
        return "Upload anyway" if self.is_refused else f"{act} {self.rows}".strip()

    @property
    def is_refused(self) -> bool:
        """Return whether an import would certainly be rejected."""
        return bool(self.wrong or self.seen["would_reject"])

    @property
    def rows(self) -> str:
        """Return the number of rows in words; an empty text if only the beginning of the file was read."""
        tree = self.seen["tree"]
        count = tree["records"] - tree["generated"] if tree and tree["records"] else self.seen["records"]  # without totals
        return counted(count, "row") if self.seen["is_whole"] and count > 0 else ""

    @property
    def offers(self) -> Sequence[Mapping[str, Any]]:
        """Return the offers that are not used yet; sheets have buttons of their own."""
        found = [one for one in self.seen["offers"] if not one["is_used"] and one["option"] != "sheet"]
        return found[:OFFERS_SHOWN]

    @property
    def others(self) -> Sequence[Mapping[str, Any]]:
        """Return the other datasets, the best one first."""
        found: Sequence[Mapping[str, Any]] = [one for one in self.seen["datasets"] if one["dataset"] != self.seen["dataset"]]
        return found[:OFFERED_DATASETS]

    @property
    def fit(self) -> Mapping[str, Any]:
        """Return how well the file fits to the dataset that it is shown for; empty if it fits none."""
        return next((one for one in self.seen["datasets"] if one["dataset"] == self.seen["dataset"]), {})


def of(seen: Mapping[str, Any], chosen: Choices, filename: str, draft_id: str | None = None) -> Panel:
    """Return the panel of a preview, with what is chosen already; ``draft_id``: if the file is kept already."""
    columns = [_column(one, seen, chosen.columns) for one in seen["columns"]]
    read = {name: option_text(value) for name, value in seen["options"].items() if name != "mapping"}
    if delimiter := read.get("delimiter"):
        read["delimiter"] = delimiter_text(delimiter)
    needs = () if "shape" in seen["options"] else seen["needs"]  # a shape makes the ids and the parents
    wrong = _wrong(columns, needs) if seen["dataset"] else []
    return Panel(seen, chosen, columns, {**chosen.options, **read}, wrong, new_dataset_page(draft_id), filename)


def data(panel: Panel) -> dict[str, Any]:
    """Return what the upload page's script needs to know beside the panel."""
    seen = panel.seen
    return {
        "columns": [{"name": one.name, "becomes": one.becomes, "choice": one.choice} for one in panel.columns],
        **{name: seen[name] for name in ("dataset", "text", "options", "options_remembered", "remembered", "delimiter")},
        "is_refused": panel.is_refused,
        "rows": panel.rows,
    }


def new_dataset_page(draft_id: str | None = None) -> str:
    """Return the address of the page that makes a dataset of a file; an empty text if the key may not, or there is none."""
    key = key_in_use()
    may = key.role.covers(Role.ADMIN) and key.datasets is None
    return url_for(NEW_DATASET, draft=draft_id) if may and NEW_DATASET in current_app.view_functions else ""


def _column(one: Mapping[str, Any], seen: Mapping[str, Any], said: Mapping[str, str]) -> Column:
    takes, becomes = seen["takes"], one["becomes"]
    choices = [(KEEP, "Not mapped")] if becomes is None else []
    if becomes is not None and becomes not in takes:
        choices = [(KEEP, "Keep" if seen["takes_others"] else becomes)]
    choices += [(f"{TO}{name}", f"→ {name}") for name in takes]
    wanted = said.get(one["name"], one["suggested"])
    choice = SKIP if wanted == "" else f"{TO}{wanted}" if wanted in takes else f"{TO}{becomes}" if becomes in takes else KEEP
    reason = one["reason"] if one["name"] not in said or said[one["name"]] == one["suggested"] else ""
    return Column(one["name"], becomes, choice, [*choices, (SKIP, "Skip")], reason)


def _wrong(columns: Sequence[Column], needs: Sequence[str]) -> list[str]:
    """Return what is wrong with what the columns become: with it the file would be rejected."""
    outcomes = [one.outcome for one in columns]
    lacking = [name for name in needs if name not in outcomes]
    twice = sorted({name for name in outcomes if name and outcomes.count(name) > 1})
    unknown = [one.name for one in columns if one.outcome is None]
    named = [*unknown[:COLUMNS_NAMED], *(["others"] if len(unknown) > COLUMNS_NAMED else [])]
    return [
        *([f"Choose which {'column is' if len(lacking) == 1 else 'columns are'} {_named(lacking)}."] if lacking else []),
        *([f"Choose only one column for {_named(twice)}."] if twice else []),
        *([f"The dataset has no column for {_named(named)}. Choose a column, or Skip."] if unknown else []),
    ]


def _named(names: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b, and c``."""
    *others, last = names
    return f"{', '.join(others)}{',' if len(others) > 1 else ''} and {last}" if others else last
