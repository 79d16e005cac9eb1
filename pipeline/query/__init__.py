"""Reading the warehouse: records and their kin by the indexes, and people's own SQL within limits."""

from pipeline.query.catalog import Catalog, Table
from pipeline.query.console import Answer, Column, Console, Stopped, TooMuch
from pipeline.query.guard import Refused, guarded
from pipeline.query.records import Page, Records

__all__ = ["Answer", "Catalog", "Column", "Console", "Page", "Records", "Refused", "Stopped", "Table", "TooMuch", "guarded"]
