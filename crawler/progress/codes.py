"""What each exit code means, in the words of `crawl --help` and of the final table."""

from __future__ import annotations

from collections.abc import Mapping

from crawler.errors import ExitCode

MEANING: Mapping[ExitCode, str] = {
    ExitCode.COMPLETE: "complete",
    ExitCode.INTERNAL: "internal error, a bug; what was recorded is intact",
    ExitCode.USAGE: "wrong arguments or configuration; nothing was touched",
    ExitCode.FAILURES: "finished, but more failed than job.max_failed_ratio allows, or a listed file is missing",
    ExitCode.LIMIT: "stopped by a limit of the job with work left",
    ExitCode.LOCKED: "another run holds the output directory",
    ExitCode.STATE: "disk or state trouble",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C; the same command goes on",
    ExitCode.TERMINATED: "terminated by SIGTERM or SIGHUP; the same command goes on",
}
