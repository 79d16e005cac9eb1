"""The embedded stack: it binds to this machine only, survives what is done to it, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg
import pytest
from botocore.exceptions import ClientError

from pipeline.errors import Conflict
from pipeline.local import postgres, seaweedfs
from pipeline.local.component import Component
from pipeline.local.home import PATH_BYTES_MAX, Home
from pipeline.local.relay import EventQueue, make_server
from pipeline.local.stack import SERVERS, Stack
from pipeline.local.supervisor import ComponentFailedError, Supervisor

pytestmark = pytest.mark.early


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


def test_only_their_owner_may_read_the_secrets(stack: Stack) -> None:
    for name in ("stack.json", "stack.env", "s3-config/s3.json"):
        assert (stack.home.path / name).stat().st_mode & 0o077 == 0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose path is as long as may be."""
    left = PATH_BYTES_MAX - len(os.fsencode(tmp_path)) - 2
    return tmp_path / ("h" * (left // 2)) / ("o" * (left - left // 2))


def test_data_survive_a_stop_and_a_kill_and_nothing_outlives_the_stack(home: Path) -> None:
    with Stack(home, components=SERVERS) as stack:
        _put_something(stack)
        watching = threading.Thread(target=stack.wait)
        watching.start()
        for _ in range(2):
            before = {name: process.pid for name, process in stack.processes.items()}
            for pid in before.values():
                os.kill(pid, signal.SIGKILL)
            eventually(lambda before=before: all(one.pid != before[name] for name, one in stack.processes.items()))  # type: ignore[misc]
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
        with pytest.raises(Conflict, match="BULKHEAD_HOME"):
            Stack(home, components=()).start()


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(stack: Stack, home: Path) -> None:
    taken = stack.home.port_of("postgres")
    with pytest.raises(Conflict, match="BULKHEAD_PORT"):
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


def test_a_server_that_lost_a_port_to_another_process_is_started_again(tmp_path: Path) -> None:
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


def test_a_server_that_lost_a_port_is_started_on_other_ports_if_it_can_be(tmp_path: Path) -> None:
    def describe() -> Component:
        described.append(len(described))
        code = "import sys, time; sys.exit('address already in use') if sys.argv[1] == '0' else time.sleep(60)"
        return Component("mover", [sys.executable, "-c", code, str(described[-1])], lambda: len(described) == 3)

    described: list[int] = []
    supervisor = Supervisor(tmp_path, lambda line: None)
    try:
        supervisor.start(replace(describe(), anew=lambda: describe() and describe()))
        [process] = supervisor.processes
        assert process.component.command[-1] == "2"
    finally:
        supervisor.stop()


def test_two_stacks_that_choose_at_the_same_moment_choose_different_ports(tmp_path: Path) -> None:
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    try:
        ports = [home.port("web", 18_765, twin=10) for home in (one, other)]
        assert abs(ports[0] - ports[1]) not in (0, 10)
        assert one.port("web", 18_765, twin=10) == ports[0], "a home keeps what is its own"
    finally:
        one.unlock()
        other.unlock()


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


SLEEPS = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


@contextmanager
def watched(supervisor: Supervisor, *components: Component) -> Iterator[None]:
    """The components, started and kept up while the block lasts."""
    failed: list[BaseException] = []
    started = threading.Event()

    def watch() -> None:
        try:
            supervisor.start(*components)
            started.set()
            supervisor.watch()
        except BaseException as error:
            failed.append(error)
        finally:
            started.set()
            supervisor.stop()

    thread = threading.Thread(target=watch)
    thread.start()
    started.wait(30)
    try:
        yield
    finally:
        supervisor.ask_to_stop()
        thread.join(30)
    assert not failed, failed


def pids(supervisor: Supervisor) -> dict[str, int]:
    return {process.component.name: process.pid for process in supervisor.processes}


def kill_all(supervisor: Supervisor) -> dict[str, int]:
    killed = pids(supervisor)
    for pid in killed.values():
        os.kill(pid, signal.SIGKILL)
    return killed


def test_components_recover_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.local.supervisor.PAUSES_SECONDS", (5.0,))
    said: list[str] = []
    supervisor = Supervisor(tmp_path, said.append)
    with watched(supervisor, *(Component(f"c{n}", SLEEPS, lambda: True) for n in range(4))):
        before = kill_all(supervisor)
        eventually(lambda: sum("started again in 5 s" in line for line in said) == 4, 4)  # before the first pause is over
        eventually(lambda: all(pid != before[name] for name, pid in pids(supervisor).items()), 10)
        eventually(lambda: sum("ready again" in line for line in said) == 4)


def test_repeated_deaths_back_off_and_are_forgotten_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.local.supervisor.PAUSES_SECONDS", (0.0, 0.1, 0.2))
    monkeypatch.setattr("pipeline.local.supervisor.FORGET_SECONDS", 1.0)
    said: list[str] = []
    supervisor = Supervisor(tmp_path, said.append)

    def kill_and_wait() -> None:
        ready = sum("ready again" in line for line in said)
        kill_all(supervisor)
        eventually(lambda: sum("ready again" in line for line in said) == ready + 1)

    with watched(supervisor, Component("frail", SLEEPS, lambda: True)):
        for _ in range(4):
            kill_and_wait()
        eventually(lambda: not supervisor._supervised[0].deaths)
        kill_and_wait()
    pauses = [re.findall(r"again(?: in ([0-9.]+) s)? \(", line) for line in said if "unexpectedly" in line]
    assert pauses == [[""], ["0.1"], ["0.2"], ["0.2"], [""]]


def test_what_needs_another_component_is_started_when_that_one_is_healthy(tmp_path: Path) -> None:
    is_up, said = threading.Event(), []
    is_up.set()
    supervisor = Supervisor(tmp_path, said.append)
    needed = Component("needed", SLEEPS, is_up.is_set)
    with watched(supervisor, needed, Component("needing", SLEEPS, lambda: True, needs=("needed",))):
        is_up.clear()
        before = kill_all(supervisor)
        eventually(lambda: pids(supervisor)["needed"] != before["needed"])
        time.sleep(0.5)
        assert pids(supervisor)["needing"] == before["needing"]
        is_up.set()
        eventually(lambda: pids(supervisor)["needing"] != before["needing"])
    assert next(line for line in said if "ready again" in line).startswith("needed")


def test_the_relay_turns_what_is_put_into_s3_into_one_event_each(home: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    with Stack(home, components=("seaweedfs",)) as stack:
        server = make_server(
            stack.home.port_of("relay"),
            stack.home.secret("relay"),
            EventQueue(tmp_path / "relay", lambda event, context: events.append(event)),
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
