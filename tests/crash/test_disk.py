"""A disk without room: exit code 6 with the cause, and after there is room the same command ends as if nothing was."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.errors import ExitCode
from tests.support.crash_jobs import COMPLETE, ROOT, Job, Site, check_state, kill_group
from tests.support.torture import Reference, Torture

MS_REMOUNT = 32  # <sys/mount.h>


def mount(target: Path, size: str, flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", bytes(target), b"tmpfs", flags, f"size={size}".encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; the state file and the records of `small_site` need several."""
    target = tmp_path / "disk"
    target.mkdir()
    try:
        mount(target, "1m")
    except OSError as exc:
        pytest.skip(f"no file system can be mounted here: {exc}")
    yield target
    ctypes.CDLL(None).umount(bytes(target))


def assert_told(job: Job) -> None:
    """The last run said what is wrong and what to do, in one line, without a traceback."""
    (line,) = job.complaints().splitlines()
    assert line.startswith("crawl: ")
    assert str(job.out) in line
    assert "make room" in line


@pytest.mark.parametrize("output", [{}, {"bodies": True, "compress": "zstd"}], ids=["plain", "bodies"])
def test_a_full_disk_ends_the_run_and_loses_nothing(
    output: dict[str, object], small_disk: Path, small_site: Site, small_reference: Reference, tmp_path: Path
) -> None:
    job = Job(tmp_path / "job", small_site, {"job": {"out": str(small_disk / "out")}, "output": output})
    for size in ("1m", "2m"):
        mount(small_disk, size, MS_REMOUNT)
        job.forget_complaints()
        assert job.finish() == ExitCode.STATE
        assert_told(job)
        check_state(job)
    mount(small_disk, "64m", MS_REMOUNT)
    assert job.finish() == COMPLETE, job.complaints()
    Torture(job, small_reference, 0).compare()


@pytest.mark.parametrize("limit", [4096, 100_000, 400_000])
def test_a_file_that_may_not_grow_ends_the_run_and_loses_nothing(
    limit: int, small_site: Site, small_reference: Reference, tmp_path: Path
) -> None:
    """A quota: from the first page of the state file to the middle of the records."""
    job = Job(tmp_path / "job", small_site)
    process = subprocess.Popen(
        job.command(), cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    try:
        complaints = process.communicate(timeout=60)[1].decode()
    finally:
        kill_group(process)
    assert process.returncode == ExitCode.STATE, complaints
    assert "crawl: " in complaints
    assert "Traceback" not in complaints
    check_state(job)
    assert job.finish() == COMPLETE, job.complaints()
    Torture(job, small_reference, 0).compare()
