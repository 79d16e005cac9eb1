"""Read the warehouse: records, their ancestors and descendants by keyset pagination, and users' SQL within limits."""

from pipeline.warehouse.query.catalog import Catalog, Table
from pipeline.warehouse.query.console import Answer, Column, Console, QueryStopped, ResultTooLarge
from pipeline.warehouse.query.guard import QueryRefused, guarded
from pipeline.warehouse.query.records import Page, Records
from pipeline.warehouse.query.search import NotSearchable

__all__ = [
    "Answer",
    "Catalog",
    "Column",
    "Console",
    "NotSearchable",
    "Page",
    "QueryRefused",
    "QueryStopped",
    "Records",
    "ResultTooLarge",
    "Table",
    "guarded",
]
