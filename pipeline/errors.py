"""Define the errors. A class says whether a retry can help, and which HTTP status the error is answered with.

    BulkheadError
    ├── RejectedFile                     the user must act; a retry cannot help
    │   ├── Unreadable                   the file cannot be read in any known format
    │   └── FileReplaced                 another file was stored under the key meanwhile
    ├── PermanentError                   a retry cannot help
    │   ├── InvalidRequest               the caller has to ask for something else (400, 422)
    │   ├── NotFound                     there is no such thing (404)
    │   │   ├── UnknownDataset
    │   │   └── RecipientGone            a recipient of notifications no longer exists
    │   ├── Conflict                     the present state does not allow it (409)
    │   │   └── IllegalMove              the import is in a state that does not allow it
    │   ├── NotReady                     Bulkhead is not set up for it; an administrator has to act (503)
    │   │   └── InvalidConfiguration     a setting or a dataset's definition is wrong
    │   └── InternalInconsistency        what we stored or counted ourselves does not fit together (500)
    │       └── DamagedPart              a stored part is not what it was when it was written
    ├── NotLoading                       the import is not, or no longer, being loaded: the transaction is rolled back
    ├── Canceled                         the import was canceled: the step does not do its work
    ├── DatasetBusy                      another import of the dataset is running: the queue asks again which is next
    ├── Rewound                          the database lost the import's last steps: the import starts again
    ├── PartsLost                        the database lost loaded parts: they are loaded again
    ├── SystemFault                      a fault of the system: a few attempts, then an administrator has to act
    │   └── DataFault                    PostgreSQL cannot store a value
    └── TransientError                   a service is away or overloaded: Temporal retries with backoff
        ├── Unreachable                  a server does not answer
        ├── Busy                         too many messages at the same time
        ├── NoSpace                      a disk is full
        ├── Superseded                   another attempt has taken over (a newer fencing token); the next finds its result
        └── Crashed                      a child process died or exceeded its limits

The docstring of a class is its message when none is given.
"""

from __future__ import annotations

import errno
import inspect
import os

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class BulkheadError(Exception):
    """Something went wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or inspect.cleandoc(self.__doc__ or ""))


class RejectedFile(BulkheadError):
    """The file cannot be imported as it is.

    ``code`` is one of the stable finding codes; ``hint`` says how to correct the file.
    """

    def __init__(self, message: str = "", *, code: str = "unreadable_file", hint: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.line = line
        self.form = ""  # the file's format, once that is known


class Unreadable(RejectedFile):
    """The file could not be read."""

    encodings: tuple[tuple[str, str], ...] = ()
    """If it is in an encoding that it should not be in, the likeliest ones, the likeliest first: the option's value and a name
    for people."""


class FileReplaced(RejectedFile):
    """Another file was put under the same key before this one could be read."""


class PermanentError(BulkheadError):
    """This cannot be done."""


class InvalidRequest(PermanentError):
    """The request is invalid."""


class NotFound(PermanentError):
    """There is no such thing."""


class UnknownDataset(NotFound):
    """There is no such dataset."""


class RecipientGone(NotFound):
    """The recipient of the webhook no longer exists: it answered 410 Gone."""


class Conflict(PermanentError):
    """The present state does not allow this."""


class IllegalMove(Conflict):
    """The import is in a state that does not allow this."""


class NotReady(PermanentError):
    """Bulkhead is not set up for this. An administrator has to act."""


class InvalidConfiguration(NotReady):
    """A setting or the definition of a dataset is wrong."""


class InternalInconsistency(PermanentError):
    """What Bulkhead stored or counted does not fit together. This is a fault of the system, not of the file."""


class DamagedPart(InternalInconsistency):
    """A stored part is not what it was when it was written."""


class NotLoading(BulkheadError):
    """The import is not being loaded."""


class Rewound(BulkheadError):
    """The database has lost the last steps of the import, as after a failover. The import begins again."""


class PartsLost(BulkheadError):
    """The database has lost parts that were loaded, as after a failover. They are loaded again."""


class SystemFault(BulkheadError):
    """Something in the system is wrong."""


class DataFault(SystemFault):
    """PostgreSQL cannot store a value."""


class Canceled(BulkheadError):
    """The user canceled the import."""


class DatasetBusy(BulkheadError):
    """Another import of the dataset is running."""


class TransientError(BulkheadError):
    """A service that Bulkhead needs does not work; trying again later may help.

    ``wait_seconds``: the time until the next attempt, if it is prescribed.
    """

    wait_seconds: float | None = None


class Unreachable(TransientError):
    """A server does not answer."""


class Busy(TransientError):
    """Too many messages to this host or about this dataset at the same time. Try again in a minute."""


class Crashed(TransientError):
    """A child process died or exceeded its limits."""

    def __init__(self, message: str = "", *, reason: str = "other") -> None:
        """``reason``: for metrics, one of telemetry/catalog.py."""
        super().__init__(message)
        self.reason = reason


class NoSpace(TransientError):
    """No space is left on a disk. The import continues by itself when there is some."""


class Superseded(TransientError):
    """Another attempt has taken this over."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether DuckDB ran out of memory, or a library's error says so.

    The message decides, not the class: Great Expectations and SQLAlchemy raise errors of their own that quote DuckDB's message,
    and the process that starts the sandbox does not import DuckDB.
    """
    return "Out of Memory Error" in str(error)


def is_no_space(error: BaseException) -> bool:
    """Return whether an error says that a disk is full. Libraries such as DuckDB say it only in words."""
    return getattr(error, "errno", None) in _NO_SPACE or any(os.strerror(code) in str(error) for code in _NO_SPACE)
