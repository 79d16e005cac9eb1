"""The fork server: ``python -m pipeline.sandbox.fork_server_main SOCKET MODULE...``; fork_server.py starts it.

It imports the modules once and then forks a child for each message on the socket, which carries two file descriptors: the
child's end of a socket to the worker, and a socket for its state. On the second one the server says STARTED, and the exit code
(4 bytes, big-endian) when the child has ended. It kills the child when the worker closes that socket or has nothing more to say
on it. It ends, and its children with it, when no process holds the other end of its own socket, also while it imports.

Once it forks, the server has one thread, as fork(2) needs it. It has no credentials in its environment.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import selectors
import signal
import socket
import struct
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress

from pipeline import processes
from pipeline.sandbox.child import work
from pipeline.sandbox.limits import hide_process

STARTED = b"started"
EXIT_CODE = struct.Struct("!i")


class Server:
    """The sockets of the server: those of the requests, that of the signals, and one for the state of each child."""

    def __init__(self, *requests: socket.socket) -> None:
        self._requests = {*requests}
        self._signals, self._signal_writer = socket.socketpair()
        self._states: dict[int, socket.socket] = {}  # by the child's process id
        self._selector = selectors.PollSelector()  # unlike epoll it keeps nothing in the kernel that a child would share
        for one in (*requests, self._signals):
            self._selector.register(one, selectors.EVENT_READ)
        for one in (self._signals, self._signal_writer):
            one.setblocking(False)
        signal.set_wakeup_fd(self._signal_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # with a handler the signal is written to the wake-up socket

    def serve(self) -> None:
        """Fork, kill and report until the other ends of the requests are closed."""
        while self._requests:
            self._act(self._ready())
        self._kill(self._states)

    def _ready(self, seconds: float | None = None) -> set[socket.socket]:
        """Return the sockets on which there is something; wait for it, for so long."""
        return {key.fileobj for key, _ in self._selector.select(seconds)}  # type: ignore[misc]  # sockets are registered only

    def _act(self, ready: Collection[socket.socket]) -> None:
        if self._signals in ready:
            self._signals.recv(4096)
            self._report_ended()
        self._kill(pid for pid, state in self._states.items() if state in ready)
        for requests in [one for one in self._requests if one in ready]:
            if not self._fork_next(requests):
                self._selector.unregister(requests)
                self._requests.remove(requests)
                requests.close()

    def _fork_next(self, requests: socket.socket) -> bool:
        """Fork a child for the next request; False if there will be no more of them."""
        message, descriptors, *_ = socket.recv_fds(requests, 1, 2)
        if not message:
            return False
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        try:
            worker, state = sockets  # where we have no file descriptor left, they are fewer
            self._fork(worker, state)
        except (OSError, ValueError):  # the worker sees its sockets closed, and asks again
            for one in sockets:
                one.close()
        return True

    def _fork(self, worker: socket.socket, state: socket.socket) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._be_child(worker, state, server)
        worker.close()
        self._states[pid] = state
        self._selector.register(state, selectors.EVENT_READ)
        _tell(state, STARTED)

    def _be_child(self, worker: socket.socket, state: socket.socket, server: int) -> None:
        """Work, and end this process: with the worker's socket alone, so that it can ask nothing of the server."""
        exit_code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in (*self._own(), state, *self._states.values()):
                one.close()
            work(worker, server)
            exit_code = 0
        finally:
            os._exit(exit_code)

    def _own(self) -> Iterable[socket.socket]:
        """Return the sockets that no child may have."""
        return (*self._requests, self._signals, self._signal_writer)

    def _kill(self, pids: Iterable[int]) -> None:
        """Kill children that the worker has no more use for; a child that is reported has been waited for, and is not here."""
        for pid in list(pids):
            with suppress(KeyError):
                self._selector.unregister(self._states[pid])
            os.kill(pid, signal.SIGKILL)

    def _report_ended(self) -> None:
        for pid in list(self._states):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                state = self._states.pop(pid)
                with suppress(KeyError):
                    self._selector.unregister(state)
                _tell(state, EXIT_CODE.pack(os.waitstatus_to_exitcode(status)))
                state.close()


def _tell(state: socket.socket, message: bytes) -> None:
    """Send a message that the worker may have no more use for."""
    with suppress(OSError):
        state.send(message, socket.MSG_DONTWAIT)


def load(modules: Iterable[str]) -> None:
    """Import the modules, and keep the garbage collector away from them: while they load, since it would look through all of
    them again and again for little garbage; and afterwards, since each child would copy the pages that it marks them on.
    """
    with processes.no_garbage_collection():
        for module in modules:
            importlib.import_module(module)
    gc.collect()
    gc.freeze()


@contextmanager
def _ending_with(requests: socket.socket) -> Iterator[None]:
    """During the block, end this process as soon as no process holds the other end of the socket: imports take seconds."""
    over, is_over = os.pipe()
    watcher = threading.Thread(target=_end_when_closed, args=(requests.fileno(), over), daemon=True)
    watcher.start()
    yield
    os.close(is_over)
    watcher.join()
    os.close(over)


def _end_when_closed(requests: int, over: int) -> None:
    """End this process when the other end of ``requests`` is closed; return when that of ``over`` is."""
    poll = select.poll()
    poll.register(requests, select.POLLRDHUP)  # not POLLIN: requests may wait there already
    poll.register(over, select.POLLIN)
    if requests in dict(poll.poll()):
        os._exit(0)


def main() -> None:
    """Import the modules that the command line names, then serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker; the server ends with it
    requests = socket.socket(fileno=int(sys.argv[1]))
    with _ending_with(requests):
        load(sys.argv[2:])
    hide_process()
    Server(requests).serve()
    os._exit(0)  # without the interpreter's clean-up, in which DuckDB would list on stderr what it finds alive


if __name__ == "__main__":
    main()
