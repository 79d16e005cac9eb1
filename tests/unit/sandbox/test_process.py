"""The sandbox: what runs in it cannot harm the worker, and says clearly how it ended."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
import pytest

from pipeline.errors import Crashed, NoSpace, Unreadable
from pipeline.sandbox import messages, process
from pipeline.sandbox.fork_server import ForkServer
from pipeline.settings import ROOT
from pipeline.telemetry.metric import Program
from tests.support.recording import recording, series

MIB = 1 << 20


def double(number: int) -> int:
    return number * 2


def refuse() -> None:
    raise Unreadable("not a table", code="empty_file", hint="fill it", line=7)


def stumble() -> None:
    raise KeyError("colour")


def devour(size: int) -> int:
    return len(bytearray(size))


def spin(born: str | None = None) -> None:
    """Say which process it is in the file ``born``, if there is one; then do no work without end."""
    if born is not None:
        Path(born).write_text(str(os.getpid()))
    while True:
        pass


def spin_for_a_moment() -> None:
    time.sleep(0.2)


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(3)


def fill(path: str) -> None:
    Path(path).write_bytes(bytes(MIB))


def spill(path: str) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("create table numbers as select hash(range)::varchar as number from range(100000)")


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_the_disk_by_duckdb(as_another: bool) -> None:
    """DuckDB has no room to spill: its own error, or what a library made of it."""
    try:
        with duckdb.connect() as connection:
            connection.execute("set memory_limit = '16MiB'; set max_temp_directory_size = '64KiB'")
            connection.execute("select count(distinct hash(range)::varchar) from range(3000000)").fetchall()
    except duckdb.Error as error:
        if as_another:
            raise RuntimeError(str(error)) from error
        raise


def need_memory_by_duckdb() -> None:
    raise RuntimeError("Out of Memory Error: could not allocate (1.9 GiB/2.0 GiB used); consider SET threads=X")


def environment() -> dict[str, str]:
    return dict(os.environ)


def addresses_for_a_table() -> int:
    """How many more bytes of addresses a small Arrow table takes than its process had."""
    before = psutil.Process().memory_info().vms
    pa.table({"number": [1, 2, 3], "text": ["a", "b", "c"]})
    return psutil.Process().memory_info().vms - before


def addresses_for_threads(count: int) -> int:
    """How many more bytes of addresses threads take that allocate memory at once than their process had."""
    before, all_there = psutil.Process().memory_info().vms, threading.Barrier(count)
    threading.stack_size(MIB)

    def allocate(_: int) -> list[bytearray]:
        all_there.wait()
        held = [bytearray(4096) for _ in range(100)]
        all_there.wait()
        return held

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(allocate, range(count)))
        return psutil.Process().memory_info().vms - before


def start_threads_without_end() -> None:
    """Start threads until there is no room for the stack of another one; they end with the process."""
    threading.stack_size(64 * MIB)
    while True:
        threading.Thread(target=threading.Event().wait, daemon=True).start()


def limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_CORE)[0], resource.getrlimit(resource.RLIMIT_CPU)[0]


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    process.warm()


@pytest.fixture
def server() -> Iterator[ForkServer]:
    """A server of its own, which loads nothing."""
    server = ForkServer()
    yield server
    server.stop()


def test_a_result_comes_back() -> None:
    assert process.run(double, 21, memory_bytes=512 * MIB, seconds=20.0) == 42


def test_our_own_errors_come_back_as_themselves() -> None:
    with pytest.raises(Unreadable, match="not a table") as caught:
        process.run(refuse, memory_bytes=512 * MIB, seconds=20.0)
    assert (caught.value.code, caught.value.hint, caught.value.line) == ("empty_file", "fill it", 7)


def test_other_errors_come_back_with_their_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"in stumble(.|\n)*KeyError: 'colour'"):
        process.run(stumble, memory_bytes=512 * MIB, seconds=20.0)


def test_memory_is_limited() -> None:
    assert process.run(devour, 100 * MIB, memory_bytes=512 * MIB, seconds=20.0) == 100 * MIB
    with pytest.raises(Crashed, match="memory"):
        process.run(devour, 1024 * MIB, memory_bytes=512 * MIB, seconds=20.0)


@pytest.mark.parametrize("size", [(devour, 1024 * MIB), (need_memory_by_duckdb,)], ids=["python", "duckdb"])
def test_an_error_of_memory_names_the_setting(size: tuple[Any, ...]) -> None:
    with pytest.raises(Crashed, match=r"more memory than the 536,870,912 bytes of BULKHEAD_VALIDATION_MEMORY_BYTES") as told:
        process.run(*size, memory_bytes=512 * MIB, seconds=20.0)
    assert "threads" not in str(told.value)


@pytest.mark.parametrize(
    "call",
    [(fill_the_disk,), (fill_the_disk_by_duckdb, False), (fill_the_disk_by_duckdb, True)],
    ids=["python", "duckdb", "gx"],
)
def test_a_full_disk_is_no_fault_of_the_files(call: tuple[Any, ...]) -> None:
    with pytest.raises(NoSpace, match="No space is left") as told:
        process.run(*call, memory_bytes=1024 * MIB, seconds=60.0)
    assert "Traceback" not in str(told.value)


def test_time_is_limited() -> None:
    began = time.monotonic()
    with pytest.raises(Crashed, match="more than 1 seconds"):
        process.run(spin, memory_bytes=512 * MIB, seconds=1.0)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("write", [fill, spill], ids=["python", "duckdb"])
def test_what_a_child_writes_is_limited(tmp_path: Path, write: object) -> None:
    with pytest.raises(Crashed, match="a file of more than 65,536 bytes"):
        process.run(write, str(tmp_path / "large"), memory_bytes=512 * MIB, seconds=20.0, file_bytes=1 << 16)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "reason"),
    [((devour, 1 << 30), "memory"), ((spin,), "time"), ((fill, "large"), "file_size"), ((die,), "signal"), ((leave,), "exit")],
)
def test_a_death_is_counted_by_its_reason(tmp_path: Path, call: tuple[Any, ...], reason: str) -> None:
    function, *given = (str(tmp_path / one) if one == "large" else one for one in call)
    seconds = 1.0 if reason == "time" else 60.0
    with recording(Program.WORKER) as recorder, pytest.raises(Crashed):
        process.run(function, *given, memory_bytes=512 * MIB, seconds=seconds, file_bytes=1 << 16)
    assert series(recorder, "bulkhead_sandbox_deaths_total") == {f'reason="{reason}"': 1}


@pytest.mark.parametrize(("end", "said"), [(die, "SIGSEGV"), (leave, "exit code 3")])
def test_a_child_that_dies_is_an_error_and_not_a_hang(end: object, said: str) -> None:
    with pytest.raises(Crashed, match=said):
        process.run(end, memory_bytes=512 * MIB, seconds=20.0)  # type: ignore[arg-type]


def test_a_heartbeat_that_raises_ends_the_child(tmp_path: Path) -> None:
    born, children = tmp_path / "born", list[psutil.Process]()

    def beat() -> None:
        if born.is_file() and (pid := born.read_text()):
            children.append(psutil.Process(int(pid)))
            raise InterruptedError("canceled")

    with pytest.raises(InterruptedError, match="canceled"):
        process.run(spin, str(born), memory_bytes=512 * MIB, seconds=20.0, heartbeat=beat, beat_seconds=0.1)
    assert children, "it ran"
    assert psutil.wait_procs(children, timeout=5)[1] == []


def test_the_child_inherits_no_credentials(monkeypatch: pytest.MonkeyPatch, server: ForkServer) -> None:
    names = ("AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "PGPASSWORD", "BULKHEAD_SECRET_KEY", "TEMPORAL_API_KEY", "LDAP_SECRET")
    for name in (*names, "PYTHON_SECRET", "SOME_TOKEN"):
        monkeypatch.setenv(name, "hidden")
    seen = process.run(environment, memory_bytes=512 * MIB, seconds=20.0, server=server)
    assert "hidden" not in seen.values()
    assert "PATH" in seen


def test_starting_a_server_leaves_the_environment_and_the_main_module_alone(
    monkeypatch: pytest.MonkeyPatch, server: ForkServer
) -> None:
    """Other threads read them at any time: so they are not even changed for a moment."""
    changes: list[object] = []
    monkeypatch.setattr(os, "putenv", lambda *given: changes.append(given))
    monkeypatch.setattr(os, "unsetenv", lambda *given: changes.append(given))
    before, main = dict(os.environ), dict(vars(sys.modules["__main__"]))
    seen: list[bool] = []
    process.run(
        spin_for_a_moment,
        memory_bytes=512 * MIB,
        seconds=20.0,
        server=server,
        heartbeat=lambda: seen.append(dict(os.environ) == before and dict(vars(sys.modules["__main__"])) == main),
        beat_seconds=0.01,
    )
    assert seen
    assert all(seen)
    assert changes == []


def test_a_small_table_does_not_reserve_what_the_child_may_need() -> None:
    assert process.run(addresses_for_a_table, memory_bytes=512 * MIB, seconds=20.0) < 100 * MIB


def test_threads_that_allocate_do_not_reserve_what_the_child_may_need() -> None:
    """Otherwise 64 MiB each: a preview of ten rows took 800 MiB of its GiB, and failed on a busy machine."""
    assert process.run(addresses_for_threads, 16, memory_bytes=4096 * MIB, seconds=20.0) < 300 * MIB


def test_no_room_for_a_thread_is_an_error_of_memory() -> None:
    with pytest.raises(Crashed, match=r"more memory than the 536,870,912 bytes"):
        process.run(start_threads_without_end, memory_bytes=512 * MIB, seconds=20.0)


def test_the_child_leaves_no_core_and_has_so_much_processor_time() -> None:
    assert process.run(limits, memory_bytes=512 * MIB, seconds=20.0) == (0, 41)


def test_several_threads_may_run_children_at_once() -> None:
    results: list[int] = []

    def work(number: int) -> None:
        results.append(process.run(double, number, memory_bytes=512 * MIB, seconds=20.0))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [number * 2 for number in range(8)]


class Malicious:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (Path(self.path),)


def say_a_pickle(path: str) -> int:
    """Write what a taken-over reader would to the pipe to the worker, instead of a result."""
    messages.send(workers_socket(), pickle.dumps(("result", Malicious(path))))
    time.sleep(20)
    return 0


def say_something_else(kind: bytes, text: str) -> int:
    messages.send(workers_socket(), kind + text.encode())
    time.sleep(20)
    return 0


def say_half(sent: bytes, pause: float) -> int:
    """Begin a message, byte by byte, that never becomes whole."""
    for byte in sent:
        workers_socket().sendall(bytes([byte]))
        time.sleep(pause)
    time.sleep(20)
    return 0


def say_what_is_too_long() -> int:
    workers_socket().sendall((1 << 40).to_bytes(8, "big"))
    time.sleep(20)
    return 0


def workers_socket() -> Any:
    """Return the socket to the worker, as code that runs in the child can find it."""
    frame: Any = sys._getframe(1)
    while "worker" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["worker"]


def sockets() -> int:
    """How many sockets this process has."""
    return sum("socket:" in str(file.readlink()) for file in Path("/dev/fd").iterdir() if file.is_symlink())


def look_into_the_server() -> list[str]:
    return look_into(os.getppid())


def stay(born: str) -> None:
    """Say which process forked this one, then wait."""
    Path(born).write_text(f"{os.getppid()} {os.getpid()}")
    time.sleep(60)


def look_into(pid: int) -> list[str]:
    """What of another process can be read."""
    found = []
    for name in ("environ", "mem", "maps"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123 - a file of the kernel
                found.append(name if name == "mem" or file.read(1) else "")
        except OSError:
            continue
    return [name for name in found if name]


def look_into_each_other(folder: str) -> list[str]:
    (Path(folder) / str(os.getpid())).touch()
    while len(others := [int(one.name) for one in Path(folder).iterdir() if one.name != str(os.getpid())]) < 1:
        time.sleep(0.01)
    time.sleep(0.2)  # the other one is still there, and looks
    return look_into(others[0])


def test_what_a_child_says_is_not_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    pickle.loads(pickle.dumps(Malicious(str(mark))))  # it works where it is unpickled
    assert mark.exists()
    mark.unlink()
    with pytest.raises(Crashed, match="cannot be understood"):
        process.run(say_a_pickle, str(mark), memory_bytes=512 * MIB, seconds=20.0)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (b"R", '"not a number"'),
        (b"R", "[" * 100_000),
        (b"R", ""),
        (b"E", '{"class": "NoSuch", "message": 1}'),
        (b"E", '{"class": "Unreadable", "message": "m", "code": 1, "hint": "", "line": null}'),
        (b"E", "[" * 100_000),
        (b"F", "{}"),
        (b"Q", "1"),
        (b"?", "1"),
        (b"", ""),
        (b"\x80", "a pickle's first byte"),
    ],
    ids=str,
)
def test_a_message_of_another_kind_is_refused(kind: bytes, text: str) -> None:
    with pytest.raises(Crashed, match="cannot be understood"):
        process.run(say_something_else, kind, text[:200_000], memory_bytes=512 * MIB, seconds=20.0)


def test_a_message_that_is_too_long_is_not_read() -> None:
    with pytest.raises(Crashed, match="cannot be understood"):
        process.run(say_what_is_too_long, memory_bytes=512 * MIB, seconds=20.0)


@pytest.mark.parametrize("pause", [0.0, 0.2])
def test_a_message_that_never_ends_is_waited_for_no_longer_than_the_child_may_take(pause: float) -> None:
    beats: list[float] = []
    with pytest.raises(Crashed, match="more than 1 seconds"):
        process.run(
            say_half,
            *((64).to_bytes(8, "big") + b"R" * 20, pause),
            memory_bytes=512 * MIB,
            seconds=1.0,
            heartbeat=lambda: beats.append(0),
            beat_seconds=0.1,
        )
    assert beats


def test_a_child_has_no_socket_but_that_to_the_worker() -> None:
    with ThreadPoolExecutor(3) as pool:

        def count(_: int) -> int:
            return process.run(sockets, memory_bytes=512 * MIB, seconds=20.0)

        assert [*pool.map(count, range(3))] == [1, 1, 1]


def test_the_modules_of_the_sandbox_unpickle_only_what_the_worker_sends() -> None:
    """``loads`` is called in the child alone, and nothing of multiprocessing, whose recv() unpickles, is used."""
    texts = {file.name: file.read_text() for file in Path(process.__file__).parent.glob("*.py")}
    assert {name for name, text in texts.items() if "pickle.load" in text} == {"child.py"}
    assert not any("import multiprocessing" in text or "from multiprocessing" in text for text in texts.values())


def test_a_child_cannot_look_into_the_server() -> None:
    assert process.run(look_into_the_server, memory_bytes=512 * MIB, seconds=20.0) == []


def test_a_server_that_has_ended_is_started_anew(tmp_path: Path, server: ForkServer) -> None:
    born = tmp_path / "born"

    def beat() -> None:
        if born.is_file() and len(pids := born.read_text().split()) == 2:
            os.kill(int(pids[0]), signal.SIGKILL)

    with pytest.raises(Crashed, match="was killed with its parent"):
        process.run(stay, str(born), memory_bytes=512 * MIB, seconds=60.0, server=server, heartbeat=beat, beat_seconds=0.1)
    parent, child = map(int, born.read_text().split())
    assert psutil.wait_procs([psutil.Process(pid) for pid in (parent, child) if psutil.pid_exists(pid)], timeout=20)[1] == []
    assert process.run(double, 4, memory_bytes=512 * MIB, seconds=20.0, server=server) == 8


def test_a_server_that_cannot_start_is_an_error() -> None:
    server = ForkServer("pipeline.no_such_module")
    with pytest.raises(Crashed, match="No process could be started"):
        process.run(double, 4, memory_bytes=512 * MIB, seconds=20.0, server=server)
    server.stop()


def test_a_function_that_the_child_cannot_find_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not (Path(place) / "tests").is_dir()])
    with pytest.raises(RuntimeError, match="ModuleNotFoundError"):
        process.run(double, 4, memory_bytes=512 * MIB, seconds=20.0)


def test_a_child_cannot_look_into_the_worker() -> None:
    assert look_into(os.getpid()), "it could itself"
    assert process.run(look_into, os.getpid(), memory_bytes=512 * MIB, seconds=20.0) == []


def test_a_child_cannot_look_into_another_child(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:

        def look(_: int) -> list[str]:
            return process.run(look_into_each_other, str(tmp_path), memory_bytes=512 * MIB, seconds=20.0)

        assert [*pool.map(look, range(2))] == [[], []]


def test_values_come_back_with_their_types() -> None:
    given = Value(3, {"a": [1, None, "x"]}, Path("/x"))
    assert process.run(same, given, memory_bytes=512 * MIB, seconds=20.0) == given


@dataclass(frozen=True)
class Value:
    """A result with parts of several types."""

    count: int
    said: dict[str, list[int | str | None]]
    path: Path


def same(value: Value) -> Value:
    return value


def ask_twice(first: int, ask: Callable[[int], int]) -> int:
    return ask(ask(first))


def test_a_child_may_ask_and_is_answered() -> None:
    asked: list[int] = []

    def answer(question: int) -> int:
        asked.append(question)
        return question * 10

    assert process.run(ask_twice, 7, memory_bytes=512 * MIB, seconds=20.0, answer=answer) == 700
    assert asked == [7, 70]


def test_the_time_of_an_answer_is_not_the_childs_and_an_error_in_it_ends_the_child() -> None:
    def slow(question: int) -> int:
        time.sleep(3.5)
        return question

    assert process.run(ask_twice, 1, memory_bytes=512 * MIB, seconds=3.0, answer=slow) == 1
    with pytest.raises(ZeroDivisionError):
        process.run(ask_twice, 1, memory_bytes=512 * MIB, seconds=20.0, answer=lambda question: question // 0)


def test_no_thread_of_the_warm_up_is_left() -> None:
    """DuckDB has a thread for each processor in each database, and a fork copies none of them."""
    code = """
import os
import pipeline.sandbox.validate_file, pipeline.validate.expectations
before = len(os.listdir("/proc/self/task"))
import pipeline.sandbox.warm_up
print(len(os.listdir("/proc/self/task")) - before, flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "0\n", done.stderr
