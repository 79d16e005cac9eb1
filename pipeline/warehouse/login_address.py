"""Tell the address at which other programs reach the database with a login."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import make_url

from pipeline.settings import Settings

_PORT = 5432
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class LoginAddress:
    """Where programs connect. ``host`` is empty if PostgreSQL cannot be reached by TCP, as far as the settings say."""

    host: str
    port: int
    database: str
    sslmode: str

    @property
    def is_local(self) -> bool:
        """Return whether it can be reached from this machine only."""
        return self.host in _THIS_MACHINE

    def url(self, user: str, password: str) -> str:
        """Return the address for a login as libpq takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{user}:{password}@{host}:{self.port}/{self.database}?sslmode={self.sslmode}"


def login_address(settings: Settings) -> LoginAddress:
    """Return the address: BULKHEAD_CONNECT_ADDRESS, with what it leaves out from the URL at which users' SQL runs."""
    url = make_url(settings.database_sql_url or settings.read_url or "postgresql://localhost/bulkhead")
    hosts, ports, modes = (_first(url.query.get(name)) for name in ("host", "port", "sslmode"))
    host, port = url.host or hosts, url.port or int(ports or _PORT)
    database = url.database or ""
    given = settings.connect_address
    if given and given != "off":
        place, _, named = given.partition("/")
        database = named or database
        host, port = _split(place, port)
    if host.startswith("/"):
        host = ""
    return LoginAddress(host, port, database, modes or ("prefer" if host in _THIS_MACHINE else "require"))


def _split(place: str, port: int) -> tuple[str, int]:
    """Return the host and the port of ``host:port``, ``host`` or ``[address]:port``; without a port the default."""
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        return host, int(rest[1:] or port)
    host, _, number = place.partition(":")
    return host, int(number or port)


def _first(value: str | tuple[str, ...] | None) -> str:
    """Return the first value of a parameter of a URL that may occur several times or have commas."""
    one = value[0] if isinstance(value, tuple) else value or ""
    return one.partition(",")[0]
