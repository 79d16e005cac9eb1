"""Another client writes to a dataset's table between validation and the end of the load: it is noticed, and said."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pipeline.cli import doctor
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.ledger.models import ImportRecord
from pipeline.warehouse import migrate
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, balance, tree
from tests.support.import_steps import ORPHANS, ended, known, pause, paused_before_loading, slow, upload
from tests.support.waiting import wait_until

pytestmark = pytest.mark.settings(**SMALL_PARTS)


WHAT = "changed by another client during the load"


def by_hand(bulkhead: Bulkhead, *statements: str) -> None:
    """As an operator with psql would."""
    with psycopg.connect(bulkhead.settings.database_url, application_name="psql") as connection:
        for statement in statements:
            connection.execute(statement)


def resumed(bulkhead: Bulkhead, one: ImportRecord) -> ImportRecord:
    pause(bulkhead, one.id, wanted=False)
    return ended(bulkhead, one.id)


def test_a_record_whose_parent_was_removed_before_the_load_is_not_loaded(bulkhead: Bulkhead) -> None:
    upload(bulkhead, HEADER + "p,,parent\nq,,other\n", Options())
    one = paused_before_loading(bulkhead, HEADER + "a,p,child\nb,a,grandchild\nc,q,stays\n")
    by_hand(bulkhead, "delete from warehouse.records where id = 'p'")
    done = resumed(bulkhead, one)
    assert (done.state, done.inserted, done.failed) == (State.PARTIALLY_SUCCEEDED, 1, 2)
    assert balance(done)
    codes = {row["id"]: (row["code"], row["message"]) for row in bulkhead.ledger.failures.page(one.id)}
    assert codes["a"][0] == "missing_parent" and "'p'" in codes["a"][1] and WHAT in codes["a"][1]
    assert codes["b"][0] == "parent_failed"
    assert bulkhead.rows(ORPHANS) == [(0,)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("delete from warehouse.records where id in ('r1', 'r2')", "2 of the 8,000 records that it wrote are gone"),
        ("delete from warehouse.records where id = 'r0'", "have a parent that is not there"),
        ("update warehouse.records set \"parentId\" = 'r5' where id = 'r1'", "on a cycle or below one"),
        ("truncate warehouse.records", "records that it wrote are gone"),
    ],
    ids=["leaves and inner ones removed", "a root removed", "a cycle", "all removed"],
)
def test_what_was_changed_after_it_was_loaded_is_no_success(bulkhead: Bulkhead, statement: str, said: str) -> None:
    slow(bulkhead, 0.1)
    one = upload(bulkhead, tree(8000), Options(), wait=False)  # 20 parts
    wait_until(lambda: known(bulkhead, one.id).parts_done >= 2)
    pause(bulkhead, one.id, wanted=True)
    wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
    by_hand(bulkhead, statement)
    done = resumed(bulkhead, one)
    assert done.state is State.FAILED
    assert WHAT in done.reason and said in done.reason.replace(f"{done.inserted:,}", "8,000")
    assert "psql" in done.reason and "with force" in done.reason


def test_a_harmless_change_costs_nothing_and_what_came_before_is_not_asked_about(bulkhead: Bulkhead) -> None:
    by_hand(bulkhead, "insert into warehouse.records (id, _import_id, _row) values ('x', gen_random_uuid(), 1)")
    one = paused_before_loading(bulkhead, tree(300))
    by_hand(bulkhead, "update warehouse.records set name = 'other' where id = 'x'")
    assert bulkhead.rows("select operation, client from ledger.foreign_write order by written_at") == [
        ("insert", "psql"),
        ("update", "psql"),
    ]
    done = resumed(bulkhead, one)
    assert (done.state, done.inserted) == (State.SUCCEEDED, 300)
    assert len(bulkhead.rows("select from ledger.foreign_write")) == 2, "loads are not noted"


@pytest.mark.all_versions
def test_migrate_has_writes_noted_on_a_table_that_was_there_before(database: str) -> None:
    noted = "select count(*) from pg_trigger where tgname = 'bulkhead_foreign_write'"
    with psycopg.connect(database, autocommit=True) as connection:

        def count() -> Any:
            return connection.execute(noted).fetchone()

        before = count()
        connection.execute("drop trigger bulkhead_foreign_write on warehouse.records")
        migrate.migrate(database)
        assert count() == before


def test_notes_are_kept_for_a_week_and_for_as_long_as_an_import_has_to_know(bulkhead: Bulkhead) -> None:
    by_hand(bulkhead, "insert into warehouse.records (id, _import_id, _row) values ('x', gen_random_uuid(), 1)")
    one = paused_before_loading(bulkhead, tree(300))
    by_hand(bulkhead, "update warehouse.records set name = 'other' where id = 'x'")
    later = datetime.now(UTC) + timedelta(days=8)
    assert bulkhead.ledger.removals.expire_foreign_writes(later - timedelta(days=30), dry_run=False) == 0
    assert bulkhead.ledger.removals.expire_foreign_writes(later, dry_run=True) == 1
    assert bulkhead.ledger.removals.expire_foreign_writes(later, dry_run=False) == 1, "the one before the import began"
    by_hand(bulkhead, "update warehouse.records set name = 'another' where id = 'x'")
    assert bulkhead.ledger.removals.expire_foreign_writes(later, dry_run=False) == 0, "it has to know of both"
    resumed(bulkhead, one)
    assert bulkhead.ledger.removals.expire_foreign_writes(later, dry_run=False) == 1, "the last one stays"


def test_content_that_another_client_has_changed_since_is_loaded_again(bulkhead: Bulkhead) -> None:
    first = upload(bulkhead, tree(300), Options())
    assert upload(bulkhead, tree(300), Options()).duplicate_of == first.id
    by_hand(bulkhead, "delete from warehouse.records where id = 'r299'")
    again = upload(bulkhead, tree(300), Options())
    assert (again.state, again.inserted, again.unchanged) == (State.SUCCEEDED, 1, 299)


def test_the_doctor_names_roles_that_may_write_to_the_warehouse(bulkhead: Bulkhead) -> None:
    assert doctor.database.tables(bulkhead.settings).startswith("as their files declare them")
    role = f"writer_{uuid.uuid4().hex[:8]}"  # roles belong to the whole server
    by_hand(bulkhead, f"create role {role}", f"grant select, update on warehouse.places to {role}")
    try:
        with pytest.raises(doctor.Wrong, match=role) as wrong:
            doctor.database.tables(bulkhead.settings)
        by_hand(bulkhead, wrong.value.mend)
        assert doctor.database.tables(bulkhead.settings).startswith("as their files declare them")
    finally:
        by_hand(bulkhead, f"drop owned by {role}", f"drop role {role}")
