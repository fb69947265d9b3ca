"""A file that becomes another one while it is fetched: nothing of the old one stays, and it is not tried for ever."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download import Downloader, DownloadOptions, Fault, Wanted
from crawler.download.answers.identity import Identity
from crawler.download.changes import MAX_CHANGES, Changes
from crawler.download.retry import GivenUp, Source
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import digest
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve, version
from crawler.testing.messages import End, Reply, Request
from crawler.testing.oracle import judge
from pipelines.pool.pool import WorkerPool

MIB = 1 << 20
PATH = "/data.bin"
SIZE = 9 * MIB
OPTIONS = DownloadOptions(
    segments=4, retries=20, retry_delay=0.01, retry_delay_max=0.02, is_durable=False,
    fetch=FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=2.0),
)  # fmt: skip


@pytest.fixture
async def downloader(tmp_path: Path, pool: WorkerPool) -> AsyncIterator[Downloader]:
    async with Downloader(tmp_path, OPTIONS, pool=pool) as downloader:
        yield downloader


def announced(name: str, size: int) -> ServedFile:
    """A version whose answers say what it hashes to, by two algorithms."""
    file = version(name, size)
    md5, sha512 = (b64encode(bytes.fromhex(digest(file.body, each))).decode() for each in ("md5", "sha512"))
    return replace(file, fields=(("x-goog-hash", f"md5={md5}"), ("Repr-Digest", f"sha-512=:{sha512}:")))


@pytest.mark.parametrize("size", [SIZE, SIZE + MIB, SIZE - MIB], ids=["same size", "longer", "shorter"])
@pytest.mark.parametrize("does_if_range", [True, False])
async def test_what_the_old_version_said_of_itself_is_forgotten(
    size: int, does_if_range: bool, server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    """Its digests and its size are true, and not of the file that is there now."""
    old, new = announced("A", SIZE), replace(announced("B", size), does_if_range=does_if_range)
    is_new = False

    def answer(request: Request) -> Reply:
        nonlocal is_new
        is_new = is_new or request.first > 0
        return serve(request, new if is_new else old)

    server.mount(PATH, answer)
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.size, result.fault) == ("verified", size, None), result
    assert {str(claim.digest) for claim in result.claims} == {
        f"md5:{digest(new.body, 'md5')}", f"sha512:{digest(new.body, 'sha512')}"
    }  # fmt: skip
    assert judge(tmp_path / "x", [new.body], says_success=True) == "right"


def restless(changes: int | None, *, has_ranges: bool) -> object:
    """Each answer is about another file than the one before and breaks off; after so many changes all is well."""

    def answer(request: Request) -> Reply:
        number = request.number if changes is None else min(request.number, changes + 1)
        reply = serve(request, replace(version(f"v{number}", SIZE), has_ranges=has_ranges))
        return reply if number == (changes or -1) + 1 else replace(reply, cut=reply.length // 2, after=End.CLOSE)

    return answer


@pytest.mark.parametrize("has_ranges", [True, False])
async def test_d36_a_file_that_never_stays_the_same_is_given_up(
    has_ranges: bool, server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    """Long before all retries are used up, each of which may cost the whole file. Once it stays, it is fetched."""
    server.mount(PATH, restless(None, has_ranges=has_ranges))  # type: ignore[arg-type]  # a responder
    async with asyncio.timeout(30):  # not for ever is what this is about
        result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.fault, result.path) == ("failed", Fault.CHANGED_TOO_OFTEN, None), result
    assert result.detail.startswith(f"{MAX_CHANGES + 1} times, the last: ETag was")
    assert len(server.exchanges) <= 8 * (MAX_CHANGES + 1)
    assert not (tmp_path / "x").exists()
    last = version("last", SIZE)
    server.mount(PATH, lambda request: serve(request, last))
    assert (await downloader.fetch(Wanted(server.url(PATH), "x"))).fault is None
    assert judge(tmp_path / "x", [last.body], says_success=True) == "right"


async def test_a_file_that_changes_as_often_as_it_may_is_right(
    server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.mount(PATH, restless(MAX_CHANGES, has_ranges=False))  # type: ignore[arg-type]  # a responder
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.fault) == ("unverified", None), result
    assert len(server.exchanges) == MAX_CHANGES + 1, "one whole answer for each version"
    last = version(f"v{MAX_CHANGES + 1}", SIZE)
    assert result.digests == {"sha256": digest(last.body)}
    assert judge(tmp_path / "x", [last.body], says_success=True) == "right"


class TestCounting:
    """Without a network: what counts as a change."""

    OLD, NEW = Identity(10, '"a"'), Identity(10, '"b"')

    def test_a_version_that_broke_and_another_one_after_it_is_one(self) -> None:
        changes, source = Changes(), Source("http://a/")
        changes.met(source, self.OLD)
        changes.broke(source, self.OLD)
        changes.met(source, self.OLD)
        assert changes.count == 0
        changes.met(source, self.NEW)
        assert changes.count == 1
        changes.met(source, self.OLD)
        assert changes.count == 1, "what broke before was counted"

    def test_what_was_noted_while_it_came_is_not_counted_again(self) -> None:
        changes, source = Changes(), Source("http://a/")
        changes.broke(source, self.OLD)
        changes.noted("the ETag changed")
        changes.met(source, self.NEW)
        assert changes.count == 1

    def test_another_place_is_no_change(self) -> None:
        changes = Changes()
        changes.broke(Source("http://a/"), self.OLD)
        changes.met(Source("http://b/"), self.NEW)
        assert changes.count == 0

    def test_one_too_many_ends_it_and_says_what_was_last(self) -> None:
        changes = Changes()
        for _ in range(MAX_CHANGES):
            changes.noted("news")
        with pytest.raises(GivenUp) as raised:
            changes.noted("the last straw")
        assert raised.value.fault is Fault.CHANGED_TOO_OFTEN
        assert "the last straw" in raised.value.detail
