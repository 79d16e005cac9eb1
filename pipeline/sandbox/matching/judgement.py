"""Say what a file would become with the suggested mapping: its tree, what reading offers, whether it would be refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.read import FileSummary, Limits
from pipeline.read.synonyms import NAME
from pipeline.sandbox.matching.choice import Choice, Look
from pipeline.sandbox.matching.offers import Seen, offers_for, totals_offer
from pipeline.sandbox.matching.openings import Opening
from pipeline.sandbox.matching.verdict import refusals_of
from pipeline.sandbox.preview_model import Offer, Refusal, TreePreview
from pipeline.sandbox.preview_tree import has_shape, preview_tree

CELLS = {"xlsx": 500_000}
CELLS_MOST = 20_000_000
"""A file with more cells is not read again for its tree and its verdict: a preview must answer. By format, and else."""


@dataclass(frozen=True)
class File:
    """The file that is looked at, once it was read. ``is_text``: the lines of a text are its records."""

    path: Path
    filename: str
    reading: FileSummary
    opening: Opening
    is_whole: bool
    is_text: bool


@dataclass(frozen=True)
class Judgement:
    """What a file would become. ``tree``: None if no column is the id, or the parent."""

    tree: TreePreview | None
    offers: tuple[Offer, ...]
    would_reject: tuple[Refusal, ...]


@dataclass(frozen=True)
class Plan:
    """How a file is read again for its tree (if ``draws``) and its verdict, and what is offered already."""

    dataset: Dataset  # with the mapping and the options of the upload
    name: str | None  # of the dataset; None: none was chosen
    label: str
    draws: bool
    is_quick: bool
    offers: tuple[Offer, ...]


def planned(choice: Choice, look: Look, file: File, options: ReadOptions) -> Plan:
    """Return how the file is read again. ``options``: those that it was read with, recognised ones among them."""
    originals = [one.original for one in look.facts.columns]
    given = {name: column for name, column in look.options.mapping.items() if name in originals}
    dataset = choice.dataset.for_upload(replace(options, mapping={**choice.found.mapping(originals), **given}))
    asked = replace(dataset, options=replace(dataset.options, **_unused(look.options)))
    used = _recognised(look.options, options, file.opening)
    cells = file.reading.records * len(file.reading.columns)
    is_quick = cells <= CELLS.get(file.reading.format, CELLS_MOST)
    has_columns = choice.found.key is not None and choice.found.parent is not None
    return Plan(
        dataset,
        choice.name,
        _label(choice, look),
        draws=has_shape(dataset) or (has_columns and is_quick),
        is_quick=is_quick and not file.is_text,
        offers=offers_for(Seen(asked, look.facts, choice.found, file.opening, used)),
    )


def judged(plan: Plan, file: File, limits: Limits) -> Judgement:
    """Return what would become of the file."""
    tree, offers, header = None, plan.offers, file.opening.header
    if plan.draws:
        read_tree = preview_tree(
            *(file.path, plan.dataset, plan.dataset.options, limits, file.filename, plan.label, header),
        )
        tree = read_tree.tree
        offers = (*offers, *(totals_offer(read_tree.totals) if file.is_whole else ()))
    refused: tuple[Refusal, ...] = ()
    if plan.name and plan.is_quick:
        whole = file.is_whole
        refused = refusals_of(file.path, plan.dataset, limits, file.filename, is_whole=whole, header=header, tree=tree)
    return Judgement(tree, offers, refused)


def _unused(asked: ReadOptions) -> dict[str, Any]:
    """Return the options by which offers are left out: those that the request made itself."""
    return {"clean": asked.clean, "no_parent_values": asked.no_parent_values, "parent_by": asked.parent_by}


def _recognised(asked: ReadOptions, used: ReadOptions, opening: Opening) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if asked.header_row is None and used.header_row is not None and not opening.is_first:
        found["header_row"] = used.header_row
    if asked.sheet is None and used.sheet is not None:
        found["sheet"] = used.sheet
    return found


def _label(choice: Choice, look: Look) -> str:
    """Return the column of ``raw`` that names the records best: by its name, or else the first one of many different texts."""
    found, columns = choice.found, look.facts.columns
    pair = (found.key, found.parent)
    free = [place for place, match in enumerate(found.matches) if place not in pair and match.suggested != ""]
    named = [place for place in free if look.words.strength(columns[place].original, NAME)]
    texts = [
        place
        for place in free
        if columns[place].is_nearly_unique
        and not columns[place].decimals
        and not columns[place].dates
        and not any(sample.isdigit() for sample in columns[place].samples)
    ]
    place = next(iter((*named, *texts)), None)
    if place is None:
        return ""
    return found.matches[place].suggested or found.becomes[place] or columns[place].name
