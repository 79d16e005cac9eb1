"""Define the errors. A class says whether a retry can help, and which HTTP status the error is answered with.

    BulkheadError
    ├── RejectedFile                     the user must act; a retry cannot help
    │   ├── Unreadable                   the file cannot be read as any format we know
    │   └── FileReplaced                 another file lies under the key by now
    ├── PermanentError                   a retry cannot help
    │   ├── InvalidRequest               the caller has to ask for something else (400, 422)
    │   ├── NotFound                     there is no such thing (404)
    │   │   ├── UnknownDataset
    │   │   └── RecipientGone            a recipient of notifications wants none any more
    │   ├── Conflict                     the present state does not allow it (409)
    │   │   └── IllegalMove              the import is in a state that does not allow it
    │   ├── NotReady                     Bulkhead is not set up for it; an administrator has to act (503)
    │   │   └── InvalidConfiguration     a setting or a dataset's definition is wrong
    │   └── InternalInconsistency        what we stored or counted ourselves does not fit together (500)
    │       └── DamagedPart              a stored part is not what it was when it was written
    ├── NotLoading                       the import is not being loaded (any more); what was begun here must come to nothing
    ├── Canceled                         the import's cancellation was asked for; the step does not do its work
    ├── DatasetBusy                      another import of the dataset is at work; the queue asks again who is next
    ├── Rewound                          the database has lost the import's last steps; the import begins again
    ├── PartsLost                        the database has lost parts that were loaded; they are loaded again
    ├── SystemFault                      something is not set up as it should be; a few attempts, then a person has to act
    │   └── DataFault                    the database cannot hold a value of ours
    └── TransientError                   something around us is away or overloaded; Temporal's backoff tries again
        ├── Unreachable                  a server does not answer
        ├── Busy                         as much of this is under way as may be
        ├── NoSpace                      a disk is full
        ├── Superseded                   another attempt has taken this over; the next one finds what it did
        └── Crashed                      a child process died or ran over its limits

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

    ``code`` is one of the stable finding codes; ``hint`` says how to mend the file.
    """

    def __init__(self, message: str = "", *, code: str = "unreadable_file", hint: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.line = line
        self.form = ""  # the file's format, once that is known


class Unreadable(RejectedFile):
    """The file could not be read."""


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
    """Something in the system is not as it should be."""


class DataFault(SystemFault):
    """The database cannot hold a value."""


class Canceled(BulkheadError):
    """The user canceled the import."""


class DatasetBusy(BulkheadError):
    """Another import of the dataset is at work."""


class TransientError(BulkheadError):
    """Something around us is not working; trying again later may help.

    ``wait_seconds``: not before so many, if somebody said so.
    """

    wait_seconds: float | None = None


class Unreachable(TransientError):
    """A server does not answer."""


class Busy(TransientError):
    """As many messages as may be are under way to this host or about this dataset. Try again in a minute."""


class Crashed(TransientError):
    """A child process died or ran over its limits."""


class NoSpace(TransientError):
    """No space is left on a disk. The import goes on by itself when there is some."""


class Superseded(TransientError):
    """Another attempt has taken this over."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether DuckDB ran out of memory, or a library's error says so.

    It is told by DuckDB's words: Great Expectations and SQLAlchemy raise errors of their own that only quote the first one, and
    the process that starts the sandbox does not import DuckDB for a comparison of classes.
    """
    return "Out of Memory Error" in str(error)


def is_no_space(error: BaseException) -> bool:
    """Whether an error says that a disk is full. Libraries such as DuckDB say so in words only."""
    return getattr(error, "errno", None) in _NO_SPACE or any(os.strerror(code) in str(error) for code in _NO_SPACE)
