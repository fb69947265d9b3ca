"""D76 to D79 in the worker, whose `pwrite` is the one that meets a full or broken disk: absent, with the reason.

Nothing is patched: the kernel refuses the call, by a filter, by a limit of the process, or because a small file system
is full. Whatever had landed before, the next run ends right.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from crawler.download.downloader import Downloader
from crawler.download.fault import Fault
from crawler.download.values import FileResult, Wanted
from crawler.download.worker.terms import PRELOAD
from crawler.testing import FaultServer, Reply, Request, serve, version
from crawler.testing.messages import Framing
from crawler.testing.oracle import judge
from pipelines.pool.pool import WorkerPool
from tests.support.broken_calls import can_refuse, refuse
from tests.support.downloading import LIMIT_SECONDS, options

MIB = 1024 * 1024
FILE = version("A", 4 * MIB)
PART = MIB + 12_345  # where the disk ends, in no way round


def honest(request: Request) -> Reply:
    """Answer at 16 MiB a second, so that several pieces land one after the other."""
    return replace(serve(request, FILE), rate=16.0 * MIB)


def hiding(request: Request) -> Reply:
    """Answer without a length: nobody can reserve room for it."""
    return replace(serve(request, replace(FILE, has_ranges=False)), framing=Framing.CHUNKED)


async def fetched(
    root: Path, pool: WorkerPool, respond: Callable[[Request], Reply] = honest, segments: int = 2
) -> FileResult:
    """Download the file once."""
    with FaultServer() as server:
        server.mount("/f", respond)
        async with Downloader(root, options(segments), pool=pool) as downloader:
            return await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), LIMIT_SECONDS)


async def absent_and_then_right(
    root: Path, broken: WorkerPool, mended: WorkerPool, fault: Fault, respond: Callable[[Request], Reply] = honest
) -> FileResult:
    """Download on a disk that breaks, and again when it is well."""
    first = await fetched(root, broken, respond)
    assert (first.fault, first.path) == (fault, None), first
    assert first.retries == 0, "the disk is no better the next time"
    assert not (root / "f").exists()
    second = await fetched(root, mended)
    assert second.fault is None, second
    assert judge(root / "f", [FILE.body], says_success=True) == "right"
    assert list((root / ".crawlmill/parts").iterdir()) == []
    return first


@pytest.mark.skipif(not can_refuse(), reason="the numbers of system calls are known for two machines")
@pytest.mark.parametrize(
    ("call", "code", "fault"),
    [
        ("pwrite64", errno.EIO, Fault.DISK),
        ("pwrite64", errno.EDQUOT, Fault.NO_SPACE),
        ("preadv2", errno.EIO, Fault.DISK),
    ],
    ids=["write error", "quota", "read-back"],
)
async def test_d77_d78_a_disk_that_fails_under_a_worker(
    call: str, code: int, fault: Fault, tmp_path: Path, pool: WorkerPool
) -> None:
    with WorkerPool(
        1, preload=PRELOAD, name="broken", spare=False, initializer=partial(refuse, call, code, PART)
    ) as broken:
        first = await absent_and_then_right(tmp_path, broken, pool, fault)
    assert os.strerror(code) in first.detail


async def test_d77_d79_a_file_that_may_not_grow_any_more(tmp_path: Path) -> None:
    """RLIMIT_FSIZE of the worker alone: the kernel takes a part of the last write, and nothing of the next."""
    with WorkerPool(1, preload=PRELOAD, name="limited", spare=False) as pool:
        await fetched(tmp_path / "warm", pool)
        (pid,) = pool.pids
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (PART, resource.RLIM_INFINITY))
        first = await fetched(tmp_path / "out", pool)
        assert (first.fault, first.path) == (Fault.NO_SPACE, None), first
        assert not (tmp_path / "out/f").exists()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        second = await fetched(tmp_path / "out", pool)
        assert list(pool.pids) == [pid], "a full disk is no reason to die"
    assert second.fault is None, second
    assert judge(tmp_path / "out/f", [FILE.body], says_success=True) == "right"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB; `grow` makes it larger."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("only root may mount a small file system, and not in every container")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grow(disk: Path) -> None:
    """Make room."""
    subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)


async def test_d76_a_disk_that_is_full_in_the_middle(small_disk: Path, pool: WorkerPool) -> None:
    """Of a stream of unknown length, for which no room could be reserved; and it is full for the journal as well."""
    first = await fetched(small_disk, pool, hiding)
    assert (first.fault, first.path) == (Fault.NO_SPACE, None), first
    assert not (small_disk / "f").exists()
    grow(small_disk)
    second = await fetched(small_disk, pool, hiding)
    assert second.fault is None, second
    assert judge(small_disk / "f", [FILE.body], says_success=True) == "right"
    assert list((small_disk / ".crawlmill/parts").iterdir()) == []
