"""Names of columns and datasets in the database, made of what a file calls them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

from pipeline.datasets.definition import NAME_CHARACTERS
from pipeline.datasets.table_text import NAME_BYTES, check_column_name

_PLAIN = re.compile("[a-z][a-z0-9]*([A-Z][a-z0-9]*)*")


def column_name(original: str, taken: Container[str]) -> str:
    """Return a name for a column: ``Parent SKU`` is parent_sku, parentId stays. ``taken``: names in lower case."""
    text = unicodedata.normalize("NFKC", original).strip()
    if not _PLAIN.fullmatch(text):
        text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", _without_accents(text)).lower()
        text = re.sub(r"\W+", "_", text).strip("_") or "column"
    if text[0].isdigit():
        text = f"column_{text}"
    text = _cut(text, NAME_BYTES - 4)
    try:
        check_column_name(text)
    except ValueError:
        text = f"{text.strip('_')}_value"
    name, number = text, 2
    while name.casefold() in taken:
        name, number = f"{text}_{number}", number + 1
    return name


def dataset_name(filename: str) -> str:
    """Return a name for a dataset, made of the name of a file: ``Products 2026.csv`` is products."""
    stem = re.split(r"[./\\]", re.sub(r".*[/\\]", "", filename))[0]
    text = re.sub(r"[^a-z0-9]+", "_", _without_accents(stem).lower()).strip("_")
    text = re.sub(r"(_?\d+)+$", "", text) or text
    text = text if re.match("[a-z]", text) else f"data_{text}".strip("_")
    return text[:NAME_CHARACTERS].strip("_")


def title_of(filename: str, name: str) -> str:
    """Return a title for people: ``Product list`` for product-list.csv."""
    stem = re.split(r"\.", re.sub(r".*[/\\]", "", filename))[0]
    words = " ".join(re.sub(r"[_\-]+", " ", stem or name).split())[:100]
    return (words[:1].upper() + words[1:]) or name


def _without_accents(text: str) -> str:
    pieces = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    return unicodedata.normalize("NFC", "".join(one for one in pieces if not ("\u0300" <= one <= "\u036f")))


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")
