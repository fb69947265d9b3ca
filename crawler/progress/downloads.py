"""How far downloads are: bars on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol, Self, cast

from crawler.progress.output import Output, has_terminal
from crawler.progress.text import printable

if TYPE_CHECKING:
    from rich.progress import TaskID

    from crawler.download.values import FileProgress, FileResult

PLAIN_SECONDS = 5.0
"""Between two lines."""
REFRESHES = 4
"""Of the bars, a second."""


class Watching(Protocol):
    """What shows progress until `close`."""

    def moved(self, progress: FileProgress) -> None:
        """Take where one file stands."""

    def ended(self, result: FileResult) -> None:
        """Take what became of one file."""

    def close(self) -> None:
        """Leave the output as it should stay."""


def watching(output: Output, environ: Mapping[str, str], *, plain: bool) -> Watching:
    """Choose for the descriptor that progress goes to."""
    if plain or not has_terminal(output.fd, environ.get("TERM", "")):
        return Lines(output.line)
    return Bars(output)


class Shown:
    """Progress while the block runs, from the moment somebody has some; nothing with `quiet`."""

    def __init__(self, output: Output, environ: Mapping[str, str], *, plain: bool, quiet: bool) -> None:
        self._watching: Watching | None = None
        self._make = (lambda: None) if quiet else (lambda: watching(output, environ, plain=plain))

    def __enter__(self) -> Self:
        return self

    def watch(self) -> Watching | None:
        """Return what shows progress."""
        self._watching = self._make()
        return self._watching

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.close()


class Lines:
    """One line every few seconds: for logs and mail from cron. Short downloads write none."""

    def __init__(self, line: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        self._line = line
        self._clock = clock
        self._files: dict[str, FileProgress] = {}
        self._done_files = 0
        self._done_bytes = 0
        self._last = (clock(), 0)

    def moved(self, progress: FileProgress) -> None:
        """Take where one file stands."""
        self._files[progress.url] = progress
        self._write()

    def ended(self, result: FileResult) -> None:
        """Take what became of one file."""
        self._files.pop(result.url, None)
        self._done_files += 1
        self._done_bytes += result.size or 0
        self._write()

    def close(self) -> None:
        """Nothing to put back."""

    def _write(self) -> None:
        now, (before, had) = self._clock(), self._last
        if now - before < PLAIN_SECONDS:
            return
        written = self._done_bytes + sum(each.written for each in self._files.values())
        self._last = (now, written)
        rate = max(0, written - had) / (now - before)
        parts = [f"{self._done_files} done" if self._done_files else "", f"{len(self._files)} under way"]
        parts.append(f"{written / 1e6:,.1f} MB at {rate / 1e6:,.1f} MB/s")
        sizes = [each.size for each in self._files.values()]
        if rate and sizes and None not in sizes:
            left = sum(cast("int", each.size) - each.written for each in self._files.values())
            parts.append(f"{left / rate:,.0f} s left of these")
        unhashed = sum(max(0, each.written - each.hashed) for each in self._files.values())
        parts.append(f"{unhashed / 1e6:,.1f} MB to be verified")
        self._line("crawl download: " + ", ".join(filter(None, parts)))


class Bars:
    """A bar for each file under way, and with several files one for all of them, on top of theirs.

    Imports the terminal's library when there is something to show.
    """

    def __init__(self, output: Output, clock: Callable[[], float] = monotonic) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(file=cast("IO[str]", output), force_terminal=True, highlight=False, markup=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[verified]}", markup=False),
            console=console, transient=True, refresh_per_second=REFRESHES, redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._all = self._progress.add_task("", total=None, visible=False, verified="")
        self._all_due = 0.0
        self._clock = clock
        self._tasks: dict[str, TaskID] = {}
        self._files: dict[str, FileProgress] = {}
        self._done_files = 0
        self._done_bytes = 0
        self._is_started = False

    def moved(self, progress: FileProgress) -> None:
        """Take where one file stands."""
        if not self._is_started:
            self._progress.start()
            self._is_started = True
        task = self._tasks.get(progress.url)
        name = printable(progress.path or progress.url)
        if task is None:
            task = self._tasks[progress.url] = self._progress.add_task(name, total=progress.size, verified="")
        hashed = f"{progress.hashed / progress.size:4.0%} hashed" if progress.size else f"{progress.connections} conn."
        self._progress.update(task, completed=progress.written, total=progress.size, verified=hashed)
        self._files[progress.url] = progress
        if (now := self._clock()) >= self._all_due:
            self._all_due = now + 1 / REFRESHES
            self._add_up()

    def _add_up(self) -> None:
        """Show how far all files are that were seen so far; a file that was no longer than a moment is none of them."""
        files = list(self._files.values())
        size = sum((each.size for each in files if each.size is not None), self._done_bytes)
        is_known = bool(size) and all(each.size is not None for each in files)
        hashed = sum((each.hashed for each in files), self._done_bytes)
        self._progress.update(
            self._all,
            description=f"all, {self._done_files} done",
            completed=sum((each.written for each in files), self._done_bytes),
            total=size if is_known else None,
            visible=self._done_files + len(files) > 1,
            verified=f"{hashed / size:4.0%} hashed" if is_known else "",
        )

    def ended(self, result: FileResult) -> None:
        """Take what became of one file: its line is written elsewhere, and not behind a bar."""
        task = self._tasks.pop(result.url, None)
        if task is not None:
            self._progress.remove_task(task)
            self._done_files += 1
            del self._files[result.url]
            self._done_bytes += (result.size or 0) if result.fault is None else 0
            self._all_due = 0.0
        self.close()

    def close(self) -> None:
        """Take the bars away."""
        if self._is_started:
            self._progress.stop()
            self._is_started = False
