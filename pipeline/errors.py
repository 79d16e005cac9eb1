"""What can go wrong, in two families, told apart at birth so that no retry loop has to ask.

    BulkheadError
    ├── FileIsWrong          the user must act; a retry cannot help
    │   ├── Unreadable       the file cannot be read as any format we know
    │   └── FileReplaced     another file lies under the key by now
    ├── NotUsable            a request or a setting makes no sense; a retry cannot help
    │   ├── UnknownDataset
    │   ├── Gone             a receiver of messages wants none any more
    │   └── IllegalMove      the import is in a state that does not allow it
    ├── DamagedPart          what we stored ourselves is not what it was; a retry cannot help
    ├── Superseded           somebody else does this by now; what was begun here must come to nothing
    ├── Canceled             the import's cancellation was asked for; the step does not do its work
    ├── DatasetBusy          another import of the dataset is at work; the queue asks again who is next
    └── WorldIsWrong         something around us is away or overloaded; Temporal's backoff tries again
        ├── Unreachable      a server does not answer
        ├── Busy             as much of this is under way as may be
        └── Crashed          a child process died or ran over its limits

The docstring of a class is its message when none is given.
"""

from __future__ import annotations

import inspect


class BulkheadError(Exception):
    """Something went wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or inspect.cleandoc(self.__doc__ or ""))


class FileIsWrong(BulkheadError):
    """The file cannot be imported as it is.

    ``code`` is one of the stable finding codes; ``hint`` says how to mend the file.
    """

    def __init__(self, message: str = "", *, code: str = "unreadable_file", hint: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.line = line
        self.form = ""  # the file's format, once that is known


class Unreadable(FileIsWrong):
    """The file could not be read."""


class FileReplaced(FileIsWrong):
    """Another file was put under the same key before this one could be read."""


class NotUsable(BulkheadError):
    """That cannot be done."""


class UnknownDataset(NotUsable):
    """There is no such dataset."""


class Gone(NotUsable):
    """The webhook's receiver says that it is gone (410)."""


class IllegalMove(NotUsable):
    """The import is in a state that does not allow this."""


class DamagedPart(BulkheadError):
    """A stored part is not what it was when it was written."""


class Superseded(BulkheadError):
    """Another attempt has taken this over, or it is not to be done any more."""


class Canceled(BulkheadError):
    """The user canceled the import."""


class DatasetBusy(BulkheadError):
    """Another import of the dataset is at work."""


class WorldIsWrong(BulkheadError):
    """Something around us is not working; trying again later may help.

    ``wait_seconds``: not before so many, if somebody said so.
    """

    wait_seconds: float | None = None


class Unreachable(WorldIsWrong):
    """A server does not answer."""


class Busy(WorldIsWrong):
    """As many messages as may be are under way to this host or about this dataset. Try again in a minute."""


class Crashed(WorldIsWrong):
    """A child process died or ran over its limits."""
