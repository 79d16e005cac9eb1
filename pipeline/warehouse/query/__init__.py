"""Reading the warehouse: records and their kin by the indexes, and people's own SQL within limits."""

from pipeline.warehouse.query.catalog import Catalog, Table
from pipeline.warehouse.query.console import Answer, Column, Console, Stopped, TooMuch
from pipeline.warehouse.query.guard import Refused, guarded
from pipeline.warehouse.query.records import Page, Records

__all__ = ["Answer", "Catalog", "Column", "Console", "Page", "Records", "Refused", "Stopped", "Table", "TooMuch", "guarded"]
