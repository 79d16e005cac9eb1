"""Find rows of totals: the last row, if its ID or first cell is "Total" or the like, without a parent and mostly numbers.

A workbook may say itself which rows are totals of its tables; its reader then lists them in ``declared_totals`` (_row).
"""

from __future__ import annotations

import re
import unicodedata

from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted

_WRITTEN = """
    total | totals | totale | totales | totaal | totalt | totalsumme | totaux | totali | overall | sum | sums |
    sum total | somme | soma | summe | summen | summa | suma | sumă | gesamt | gesamtsumme | gesamtergebnis |
    insgesamt | zusammen | subtotal | subtotals | sub-total | sub total | grand total | grand totals | total
    general | total général | totale generale | totale complessivo | total geral | eindtotaal | itogo | итого |
    всего | сумма | итог | разом | razem | ogółem | łącznie | celkem | součet | spolu | összesen | toplam | genel
    toplam | yhteensä | summa totalt | ukupno | skupaj | kokku | viso | kopā |
    σύνολο | المجموع | الإجمالي | إجمالي | סך הכל | סה"כ | 合計 | 総計 | 小計 |
    计 | 合计 | 总计 | 小计 | 總計 | 합계 | 총계 | 소계 | कुल | รวม | tổng | tổng cộng |
    jumlah
"""
TOTAL_WORDS = frozenset(" ".join(word.split()) for word in _WRITTEN.split("|"))
"""What a row of totals is called, in lower case."""

_NUMBER = re.compile(r"[-+(]?[$€£¥]?\s?[0-9][0-9.,'’ \u00a0\u202f]*\s?[%€$£¥)]?")
_NOTE = re.compile(
    r"(source|quelle|fuente|fonte|note|notes|hinweis|anmerkung|generated|erstellt|exported|exportiert|created|printed|page|"
    r"copyright|last updated|as of|stand)\b|[*©]",
    re.IGNORECASE,
)
"""How a note below a table begins, which has nothing but its text."""

_SPACE = re.compile(r"\s+")


def find_totals(staging: RawTables, table: ReadResult, *, members: int) -> list[tuple[int, str]]:
    """Return the rows of totals with what they are called. Only the last row of the table, or of each of its files, is read."""
    columns, dataset = table.columns, staging.dataset
    if not {dataset.key, dataset.parent}.issubset(columns) or not table.records:
        return []
    last = _last_rows(staging, table.records, members)
    found = {row: label for row in last if (label := _label(_values(staging, columns, row), columns, staging))}
    declared = {row: "Total" for row in _declared(staging) if row not in found} if table.sheet else {}
    return sorted({**found, **declared}.items())


def is_total_word(text: str) -> bool:
    """Return whether a text says that a row is a sum of others, in one of several languages."""
    plain = _SPACE.sub(" ", unicodedata.normalize("NFC", text).casefold()).strip(" .:=*")
    return plain in TOTAL_WORDS


def _last_rows(staging: RawTables, records: int, members: int) -> list[int]:
    """Return the last row of each file that is a record."""
    last = "select max(_row) from raw"
    if members == 1 and not staging.connection.execute("from malformed limit 1").fetchall():
        return [records]
    if members > 1:
        ends = f"select first_row - 1 as before from members union select ({last}) + 1"
        last = f"select max(_row) from raw asof join ({ends}) on raw._row <= before group by before"
    return [int(row) for (row,) in staging.connection.execute(last).fetchall() if row is not None]


def _declared(staging: RawTables) -> list[int]:
    if not staging.connection.execute("from duckdb_tables() where table_name = 'declared_totals'").fetchall():
        return []
    rows = staging.connection.execute("select distinct _row from declared_totals semi join raw using (_row)").fetchall()
    return [int(row) for (row,) in rows]


def _values(staging: RawTables, columns: tuple[str, ...], row: int) -> dict[str, str]:
    """Return the values of a row that are not empty, by their columns."""
    picks = ", ".join(f"left({quoted(name)}::varchar, 200)" for name in columns)
    found = staging.connection.execute(f"select {picks} from raw where _row = $row limit 1", {"row": row}).fetchall()
    values = found[0] if found else ()  # that a row is lost is found where rows are counted
    return {name: value.strip() for name, value in zip(columns, values, strict=False) if value and value.strip()}


def _label(values: dict[str, str], columns: tuple[str, ...], staging: RawTables) -> str:
    """Return what the row of these values is called if it is one of totals, or a note; an empty text if it is a record."""
    key, parent = staging.dataset.key, staging.dataset.parent
    first = next(iter(values), "")
    label = values.get(key) or values.get(first, "")
    if len(values) == 1 and len(columns) > 2 and _NOTE.match(label) and " " in label:
        return label
    others = [value for name, value in values.items() if name != key and value != label]
    numbers = sum(bool(_NUMBER.fullmatch(value)) for value in others)
    if parent in values or not is_total_word(label) or not numbers or 2 * numbers < len(others):
        return ""
    named = f"select 1 from raw where {quoted(parent)} = $label limit 1"
    return "" if staging.connection.execute(named, {"label": label}).fetchall() else label
