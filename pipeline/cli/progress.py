"""Show the progress of an upload and its import on stderr: as bars on a terminal, as plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from pipeline.cli.terminal import COLOURS, cell, counts_line, err, say
from pipeline.display import counted


class Following:
    """Shows an upload and then the states of its import; call ``sent`` and ``seen`` with the news."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress  # None: not a terminal, so plain lines
        self._upload: TaskID | None = None
        self._phase: TaskID | None = None
        self._last = ""

    def sent(self, sent_bytes: int, total_bytes: int | None) -> None:
        """Show how many bytes of the file have been sent."""
        if self._progress is None:
            return
        if self._upload is None:
            self._upload = self._progress.add_task("uploading", total=total_bytes, kind="bytes", note="")
        self._progress.update(self._upload, completed=sent_bytes, total=total_bytes)

    def uploaded(self) -> None:
        """Show that the whole file has been sent."""
        if self._progress is not None and self._upload is not None:
            done = next(t.completed for t in self._progress.tasks if t.id == self._upload)
            self._progress.update(self._upload, description="uploaded", completed=done, total=done)

    def seen(self, shown: Mapping[str, Any]) -> None:
        """Show the state of the import."""
        state, done, total, note = standing(shown)
        if self._progress is None:
            line = f"{state} {note}".strip()
            if line != self._last:
                say(line)
            self._last = line
            return
        if state != self._last:
            self._close_phase(shown)
            if state not in COLOURS:
                self._phase = self._progress.add_task(state, total=total, kind="records", note=note)
            self._last = state
        if self._phase is not None:
            self._progress.update(self._phase, completed=done, total=total, note=note)

    def _close_phase(self, shown: Mapping[str, Any]) -> None:
        """Complete the bar of the last state with its final counts, now that the next state has begun."""
        if self._progress is None or self._phase is None:
            return
        note = standing({**shown, "state": self._last})[3]
        self._progress.update(self._phase, total=1, completed=1, note="" if self._last == "queued" else note)
        self._phase = None


def standing(shown: Mapping[str, Any]) -> tuple[str, int, int | None, str]:
    """Return (state, records done, records in all, note) of an import; None for a number in all that is not known."""
    state, counts = str(shown["state"]), shown.get("counts", {})
    if state == "queued":
        ahead = shown.get("queue_position")
        return state, 0, None, f"(position {ahead})" if ahead else ""
    if state == "loading":
        done = sum(counts.get(name, 0) for name in ("inserted", "updated", "unchanged", "failed"))
        total = counts.get("total") or 0
        return state, done, total or None, f"{done:,} of {counted(total, 'record')}"
    if state in COLOURS:
        return state, 1, 1, counts_line(counts)
    return state, 0, None, counted(counts["total"], "record") if counts.get("total") else ""


class _Speed(TransferSpeedColumn):
    """The speed of an upload; empty for other tasks."""

    def render(self, task: Any) -> Text:
        is_known = task.fields.get("kind") == "bytes" and (task.finished_speed or task.speed)
        return super().render(task) if is_known else Text("")


class _Left(TimeRemainingColumn):
    """The time left of an upload while it runs; empty for other tasks."""

    def render(self, task: Any) -> Text:
        is_known = task.fields.get("kind") == "bytes" and not task.finished and task.time_remaining is not None
        return Text.assemble(super().render(task), (" left", "progress.remaining")) if is_known else Text("")


class _Size(DownloadColumn):
    """The size of an upload in bytes; the note of other tasks."""

    def render(self, task: Any) -> Text:
        if task.fields.get("kind") == "bytes":
            return super().render(task)
        return cell(task.fields.get("note", ""))


@contextmanager
def following() -> Iterator[Following]:
    """Show progress while the block runs."""
    console = err()
    if not console.is_terminal:
        yield Following(None)
        return
    columns = (TextColumn("{task.description:<20}"), BarColumn(28), TimeElapsedColumn(), _Size(), _Speed(), _Left())
    with Progress(*columns, console=console, redirect_stdout=False) as progress:
        yield Following(progress)
