"""Start and stop the whole system on one machine: servers, then the schema, then relay, worker and web app."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.errors import Conflict
from pipeline.local import metrics, ports, postgres, seaweedfs, temporal
from pipeline.local.answers import answered
from pipeline.local.component import Component, Process
from pipeline.local.home import Home, write_private
from pipeline.local.supervisor import Supervisor

SERVERS = ("postgres", "seaweedfs", "temporal")
APPLICATION = ("relay", "worker", "web")
ALL = SERVERS + APPLICATION
WEB_PORT = 8765

Prepare = Callable[[Mapping[str, str]], Mapping[str, str]]
"""Called when the servers are running, before the application starts: migrates the database; returns additional variables."""


class Stack:
    """One embedded stack on one home.

    ``environ``: variables that the application inherits besides the stack's. ``port``: the web app's; if set, it must be free.
    ``metrics_port``: the first of those for metrics, one for each process of the application; None: no metrics. ``tls``: the
    web app speaks TLS, with the certificate that is in ``environ``.
    Raises Conflict if the home or the port is in use, ComponentFailedError if a component does not work.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int | None = None,
        components: Sequence[str] = ALL,
        environ: Mapping[str, str] | None = None,
        metrics_port: int | None = None,
        tls: bool = False,
        prepare: Prepare | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.home = Home(home)
        self._port = port
        self._components = components
        self._environ = dict(environ or {})
        self._metrics_port = metrics_port
        self._scheme = "https" if tls else "http"
        self._prepare = prepare
        self._say = say
        self._supervisor = Supervisor(self.home.logs, say)
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        """Start everything; if that fails, stop everything again."""
        began = time.monotonic()
        self.home.lock()
        try:
            self._choose_port()
            self._start_servers()
            if self._prepare:
                self.environment |= self._prepare(self.environment)
            write_private(self._environment_file, _dotenv(self.environment))
            self._supervisor.start(*self._application())
        except BaseException:
            self.stop()
            raise
        self._say(f"all up after {time.monotonic() - began:.1f} s")

    def _choose_port(self) -> None:
        if self._port is not None and not (ports.is_free(self._port) and self.home.claim(self._port)):
            raise Conflict(f"Port {self._port} is in use. Set BULKHEAD_PORT to another one, or leave it unset.")
        self._web_port = self._port or self.home.port("web", WEB_PORT)

    def _start_servers(self) -> None:
        home = self.home
        self._relay_port = home.port("relay", WEB_PORT + 1)
        servers = {
            "postgres": lambda: postgres.postgres(home),
            "seaweedfs": lambda: seaweedfs.seaweedfs(home, relay_port=self._relay_port),
            "temporal": lambda: temporal.temporal(home),
        }
        started = [replace(servers[name](), anew=servers[name]) for name in SERVERS if name in self._components]
        self._supervisor.start(*started)
        if "postgres" in self._components:
            postgres.ensure_database(home)
            self.environment["DATABASE_URL"] = postgres.application_url(home)
            self.environment["BULKHEAD_MIGRATION_DATABASE_URL"] = postgres.url(home)
        if "seaweedfs" in self._components:
            seaweedfs.store(home).ensure_bucket()
            self.environment |= {
                "AWS_ENDPOINT_URL_S3": seaweedfs.endpoint_url(home),
                "AWS_ACCESS_KEY_ID": seaweedfs.ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": home.secret("s3"),
                "AWS_REGION": seaweedfs.REGION,
                "BULKHEAD_BUCKET": seaweedfs.BUCKET,
            }
        if "temporal" in self._components:
            self.environment |= temporal.environment(home)
        self.environment |= {
            "BULKHEAD_HOME": str(home.path),
            "BULKHEAD_TASK_QUEUE": "bulkhead",
            "BULKHEAD_PORT": str(self._web_port),
            "BULKHEAD_URL": f"{self._scheme}://{ports.HOST}:{self._web_port}",
            "BULKHEAD_RELAY_PORT": str(self._relay_port),
            "BULKHEAD_RELAY_TOKEN": home.secret("relay"),
            "BULKHEAD_SECRET_KEY": home.secret("web"),
        }

    def _application(self) -> list[Component]:
        python, ready = sys.executable, self.home.path / "worker.ready"
        environment = self._environ | self.environment | {"BULKHEAD_MIGRATION_DATABASE_URL": ""}  # not for the application
        web = [python, "-m", "gunicorn", "-c", "python:web.gunicorn", "web:create_app()"]
        described = {
            "relay": Component(
                "relay",
                [python, "-m", "pipeline.local.relay"],
                lambda: _answers_ok(f"http://{ports.HOST}:{self._relay_port}/healthz"),
                environment,
                needs=("Temporal",),
            ),
            "worker": Component(
                "worker",
                [python, "-m", "pipeline.orchestration.worker"],
                ready.exists,
                environment,
                stop_seconds=40,
                needs=("Temporal",),
                before=lambda: ready.unlink(missing_ok=True),
            ),
            "web": Component("web", web, lambda: _answers_ok(f"{environment['BULKHEAD_URL']}/healthz"), environment),
        }
        found = [described[name] for name in APPLICATION if name in self._components]
        return (
            found
            if self._metrics_port is None
            else metrics.with_ports(self.home, found, self._metrics_port, web_scheme=self._scheme)
        )

    def wait(self) -> None:
        """Keep everything running until ask_to_stop. Raises ComponentFailedError if a component cannot be kept up."""
        self._supervisor.watch()

    def ask_to_stop(self) -> None:
        """Make wait return; may be called from a signal handler."""
        self._supervisor.ask_to_stop()

    def stop(self) -> None:
        """End every process and release the home; the data stay."""
        self._supervisor.stop()
        if self.home.is_ours:  # else another stack uses the home, and the file is its own
            self._environment_file.unlink(missing_ok=True)
            self.home.unlock()

    @property
    def has_metrics(self) -> bool:
        """Return whether its processes serve metrics."""
        return self._metrics_port is not None

    @property
    def processes(self) -> dict[str, Process]:
        """Return the running processes by name."""
        return {process.component.name: process for process in self._supervisor.processes}

    @property
    def _environment_file(self) -> Path:
        """Return the file in which commands on this machine find the running stack (settings.py reads it)."""
        return self.home.path / "stack.env"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _dotenv(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in sorted(values.items()))


def _answers_ok(url: str) -> bool:
    return answered(url, seconds=2) == 200
