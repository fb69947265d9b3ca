"""The downloaders of benchmarks/faults.py: how each is told to fetch one file, with the same patience for all.

Eight connections where the tool can, three retries, three seconds of silence, resuming switched on where it was
interrupted. A tool is a function from a `Job` to a command line, or None when it cannot be told to do this.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SEGMENTS = 8
RETRIES = 3
SILENCE_SECONDS = 3
LEAST_RATE = 1000  # bytes a second
BUSY = "408,429,500,502,503,504,522,524"


@dataclass(frozen=True)
class Job:
    """One file to fetch."""

    url: str
    file: Path
    sha256: str | None = None
    mirrors: tuple[str, ...] = ()
    is_resumed: bool = False
    trusts_anybody: bool = False
    """Whether certificates are not to be checked."""


OURS = (sys.executable, "-m", "crawler", "download")


@cache
def _knows(tool: tuple[str, ...], option: str) -> bool:
    """Tell whether this version of a tool has an option."""
    return option in subprocess.run([*tool, "--help"], capture_output=True, text=True, check=False).stdout


Command = Callable[[Job], list[str] | None]


def curl(job: Job) -> list[str] | None:
    """One connection; knows no digests and no mirrors."""
    silence = str(SILENCE_SECONDS)
    command = ["curl", "--fail", "--silent", "--show-error", "--location", "--retry", str(RETRIES),
               "--retry-all-errors", "--retry-delay", "1", "--connect-timeout", silence,
               "--speed-limit", str(LEAST_RATE), "--speed-time", silence, "--output", str(job.file)]  # fmt: skip
    command += ["--continue-at", "-"] if job.is_resumed else []
    return [*command, *(["--insecure"] if job.trusts_anybody else []), job.url]


def wget(job: Job) -> list[str] | None:
    """One connection; knows no digests and no mirrors."""
    command = ["wget", "--no-config", "--quiet", f"--tries={RETRIES + 1}", f"--timeout={SILENCE_SECONDS}",
               "--waitretry=1", "--retry-connrefused", f"--retry-on-http-error={BUSY}"]  # fmt: skip
    command += ["--continue"] if job.is_resumed else []
    command += ["--no-check-certificate"] if job.trusts_anybody else []
    return [*command, f"--output-document={job.file}", job.url]


def wget2(job: Job) -> list[str] | None:
    """Chunks over several connections; digests from Metalink files only."""
    command = ["wget2", "--no-config", "--quiet", f"--tries={RETRIES + 1}", f"--timeout={SILENCE_SECONDS}",
               "--waitretry=1", "--retry-connrefused", "--no-http2",
               f"--max-threads={SEGMENTS}"]  # fmt: skip
    command += [f"--retry-on-http-error={BUSY}"] if _knows(("wget2",), "--retry-on-http-error") else []
    # Both together ask for the end of the file again and again, also of an honest server.
    command += ["--continue"] if job.is_resumed else ["--chunk-size=1M"]
    command += ["--no-check-certificate"] if job.trusts_anybody else []
    return [*command, f"--output-document={job.file}", job.url]


def aria2c(job: Job) -> list[str] | None:
    """Segments, mirrors and digests."""
    command = ["aria2c", "--no-conf", "--quiet", f"--max-connection-per-server={SEGMENTS}", f"--split={SEGMENTS}",
               "--min-split-size=1M", "--file-allocation=none", f"--max-tries={RETRIES + 1}", "--retry-wait=1",
               f"--timeout={SILENCE_SECONDS}", f"--connect-timeout={SILENCE_SECONDS}",
               f"--lowest-speed-limit={LEAST_RATE}", "--auto-file-renaming=false",
               f"--dir={job.file.parent}", f"--out={job.file.name}"]  # fmt: skip
    command += ["--continue=true"] if job.is_resumed else []
    command += [f"--checksum=sha-256={job.sha256}"] if job.sha256 is not None else []
    command += ["--check-certificate=false"] if job.trusts_anybody else []
    return [*command, job.url, *job.mirrors]


_PYPDL = """\
import json, sys, aiohttp
from pypdl import Pypdl
url, file, sha256, mirrors, segments, retries, silence = json.loads(sys.argv[1])
timeout = aiohttp.ClientTimeout(sock_connect=silence, sock_read=silence)
done = Pypdl().start(url=url, file_path=file, mirrors=mirrors or None, segments=segments, retries=retries,
                     hash_algorithms="sha256" if sha256 else None, overwrite=False, display=False, timeout=timeout)
if not done:
    sys.exit(1)
if sha256 and done[0][1].get_hash("sha256") != sha256:
    sys.exit(2)
"""


def pypdl(python: str) -> Command:
    """Segments and mirrors, in Python; the digest is compared as its documentation shows it."""

    def command(job: Job) -> list[str] | None:
        if job.trusts_anybody:
            return None
        wanted = [job.url, str(job.file), job.sha256, job.mirrors, SEGMENTS, RETRIES, SILENCE_SECONDS]
        return [python, "-c", _PYPDL, json.dumps(wanted)]

    return command


def ours(job: Job) -> list[str] | None:
    """The command of this project."""
    command = [*OURS, "--quiet", "--output", str(job.file), "--segments", str(SEGMENTS), "--retries", str(RETRIES),
               "--allow-address", "127.0.0.0/8", "--allow-address", "::1/128"]  # fmt: skip
    command += ["--timeout", str(SILENCE_SECONDS)] if _knows(OURS, "--timeout") else []
    command += ["--sha256", job.sha256] if job.sha256 is not None else []
    command += ["--insecure"] if job.trusts_anybody else []
    return [*command, job.url, *job.mirrors]


def peers(python: str | None) -> dict[str, Command]:
    """Return the tools that are here, by name; `python` is one that can import pypdl, None when there is none."""
    found: dict[str, Command] = {
        tool.__name__: tool for tool in (curl, wget, wget2, aria2c) if shutil.which(tool.__name__) is not None
    }
    if python is not None:
        found["pypdl"] = pypdl(python)
    return found | {"crawlmill": ours}
