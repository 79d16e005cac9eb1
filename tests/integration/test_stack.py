"""The embedded stack: it binds to this machine only, survives what is done to it, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg
import pytest
from botocore.exceptions import ClientError

from pipeline.errors import NotUsable
from pipeline.local import postgres, seaweedfs
from pipeline.local.component import Component
from pipeline.local.relay import Deliveries, make_server
from pipeline.local.stack import SERVERS, Stack
from pipeline.local.supervisor import ComponentFailedError, Supervisor


def eventually(true: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if true():
                return
        except Exception:
            pass
        time.sleep(0.1)
    raise AssertionError(f"did not become true within {seconds} s")


def everything_of(stack: Stack) -> list[psutil.Process]:
    roots = [psutil.Process(process.pid) for process in stack.processes.values()]
    return [one for root in roots for one in (root, *root.children(recursive=True))]


def listened_on(process: psutil.Process) -> list[Any]:
    """Where a process listens: nowhere, if it has ended since it was listed, as PostgreSQL's helpers do."""
    try:
        return [one.laddr for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
    except psutil.NoSuchProcess:
        return []


def test_every_server_listens_on_this_machine_only(stack: Stack) -> None:
    listening = {address for process in everything_of(stack) for address in listened_on(process)}
    assert len(listening) >= 5
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_s3_wants_the_right_signature(stack: Stack) -> None:
    seaweedfs.store(stack.home).put_bytes("hello", b"x")
    assert seaweedfs.store(stack.home).get_bytes("hello") == b"x"
    stranger = boto3.client(
        "s3",
        endpoint_url=seaweedfs.endpoint_url(stack.home),
        region_name="us-east-1",
        aws_access_key_id=seaweedfs.ACCESS_KEY,
        aws_secret_access_key="wrong",
    )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.get_object(Bucket=seaweedfs.BUCKET, Key="hello")


def test_postgresql_wants_the_password(stack: Stack) -> None:
    wrong = postgres.url(stack.home).replace(stack.home.secret("postgres"), "wrong")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(wrong)


def test_nobody_else_may_read_the_secrets(stack: Stack) -> None:
    for name in ("stack.json", "stack.env", "s3-config/s3.json"):
        assert (stack.home.path / name).stat().st_mode & 0o077 == 0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_data_survive_a_stop_and_a_kill_and_nothing_outlives_the_stack(home: Path) -> None:
    with Stack(home, components=SERVERS) as stack:
        _put_something(stack)
        watching = threading.Thread(target=stack.wait)
        watching.start()
        before = {name: process.pid for name, process in stack.processes.items()}
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: all(process.pid != before[name] for name, process in stack.processes.items()))
        eventually(lambda: _find_something(stack))
        started = everything_of(stack)
        stack.ask_to_stop()
        watching.join()
    eventually(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started))
    with Stack(home, components=SERVERS) as stack:
        assert _find_something(stack)


def _put_something(stack: Stack) -> None:
    seaweedfs.store(stack.home).put_bytes("kept", b"x")
    with psycopg.connect(postgres.url(stack.home), autocommit=True) as connection:
        connection.execute("create table kept as select 1 as x")


def _find_something(stack: Stack) -> bool:
    with psycopg.connect(postgres.url(stack.home)) as connection:
        rows = connection.execute("select x from kept").fetchall()
    return rows == [(1,)] and seaweedfs.store(stack.home).get_bytes("kept") == b"x"


def test_two_stacks_run_side_by_side_but_not_on_one_home(stack: Stack, home: Path) -> None:
    with Stack(home, components=("postgres", "seaweedfs")) as other:
        assert postgres.url(other.home) != postgres.url(stack.home)
        assert seaweedfs.endpoint_url(other.home) != seaweedfs.endpoint_url(stack.home)
        with pytest.raises(NotUsable, match="BULKHEAD_HOME"):
            Stack(home, components=()).start()


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(stack: Stack, home: Path) -> None:
    taken = stack.home.port_of("postgres")
    with pytest.raises(NotUsable, match="BULKHEAD_PORT"):
        Stack(home, port=taken, components=()).start()


def test_nothing_outlives_a_supervisor_that_is_killed(home: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from pipeline.local.stack import Stack\n"
        f"s = Stack(Path({str(home)!r}), components=('postgres', 'seaweedfs', 'temporal')); s.start()\n"
        "print(*(p.pid for p in s.processes.values()), flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(pid) for pid in supervisor.stdout.readline().split()]
        assert len(pids) == 3
        supervisor.kill()
    eventually(lambda: not any(psutil.pid_exists(pid) and _lives(pid) for pid in pids), 40)


def _lives(pid: int) -> bool:
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


LOSES_ITS_PORT = """
import pathlib, sys, time
tries = pathlib.Path("tries")
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
if len(tries.read_text()) <= int(sys.argv[1]):
    sys.exit("listen tcp 127.0.0.1:1: bind: Address already in use")
time.sleep(60)
"""


def a_loser_of_ports(folder: Path, times: int) -> Component:
    folder.mkdir()
    (folder / "code.py").write_text(LOSES_ITS_PORT)
    return Component(
        "loser", [sys.executable, "code.py", str(times)], lambda: len((folder / "tries").read_text()) > times, folder=folder
    )


def test_a_server_that_lost_a_port_to_somebody_else_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, lambda line: None)
    try:
        supervisor.start(a_loser_of_ports(tmp_path / "twice", 2))
        assert [process.is_alive for process in supervisor.processes] == [True]
    finally:
        supervisor.stop()
    assert (tmp_path / "twice" / "tries").read_text() == "xxx"


def test_but_not_for_ever(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, lambda line: None)
    with pytest.raises(ComponentFailedError, match=r"loser ended(.|\n)*already in use"):
        supervisor.start(a_loser_of_ports(tmp_path / "always", 99))
    supervisor.stop()
    assert (tmp_path / "always" / "tries").read_text() == "xxx"


def test_a_component_that_cannot_work_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, lambda line: None)
    broken = Component("broken", [sys.executable, "-c", "raise SystemExit('no disk left')"], lambda: False)
    with pytest.raises(ComponentFailedError, match=r"broken ended(.|\n)*no disk left"):
        supervisor.start(broken)


def test_a_component_that_dies_again_and_again_stops_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.local.supervisor.RESTARTS", 1)
    monkeypatch.setattr("pipeline.local.supervisor.WATCH_SECONDS", 0.05)
    said: list[str] = []
    supervisor = Supervisor(tmp_path, said.append)
    supervisor.start(Component("frail", [sys.executable, "-c", "import time; time.sleep(0.2)"], lambda: True))
    with pytest.raises(ComponentFailedError, match="frail ended"):
        supervisor.watch()
    assert any("started again" in line for line in said)
    supervisor.stop()


def test_the_relay_turns_what_is_put_into_s3_into_one_event_each(home: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    with Stack(home, components=("seaweedfs",)) as stack:
        server = make_server(
            stack.home.port_of("relay"),
            stack.home.secret("relay"),
            Deliveries(tmp_path / "relay", lambda event, context: events.append(event)),
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = seaweedfs.store(stack.home)
        store.put_bytes("incoming/places/a b+é.csv", b"id\n")
        store.put_bytes("elsewhere/places/a.csv", b"id\n")
        (tmp_path / "big").write_bytes(b"x" * (20 << 20))
        store.put_file("incoming/places/big.csv", tmp_path / "big")
        eventually(lambda: len(events) >= 2)
        time.sleep(1)  # whatever else might come
        server.shutdown()
        server.server_close()
    told = sorted((e["Records"][0]["eventName"], e["Records"][0]["s3"]["object"]["key"]) for e in events)
    assert told == [
        ("ObjectCreated:CompleteMultipartUpload", "incoming/places/big.csv"),
        ("ObjectCreated:Put", "incoming/places/a+b%2B%C3%A9.csv"),
    ]
    sizes = {e["Records"][0]["s3"]["object"]["size"] for e in events}
    assert sizes == {3, 20 << 20}
