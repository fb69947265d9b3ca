"""A file that is there already: held to the digests that the caller gives now, whatever was known when it came."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, Fault, Wanted, there
from crawler.download.disk.layout import places_of
from crawler.download.disk.receipt import Receipt, load
from crawler.download.proof.discover import Claim, Trust
from crawler.download.retry import GivenUp
from crawler.download.whole import digests_of
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import digest
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve, version
from pipelines.pool.pool import WorkerPool

PATH = "/data.bin"
FILE, OTHER = version("A", 3_000_000), version("B", 3_000_000)
OPTIONS = DownloadOptions(is_durable=False, fetch=FetchOptions(allow_addresses=("127.0.0.0/8",)))


def digest_of(algorithm: str, file: ServedFile = FILE) -> Digest:
    return Digest(algorithm, bytes.fromhex(digest(file.body, algorithm)))


@pytest.fixture
async def downloader(server: FaultServer, tmp_path: Path, pool: WorkerPool) -> AsyncIterator[Downloader]:
    """The file is there, and nobody said what it must hash to; from now on every request is one too many."""
    server.mount(PATH, lambda request: serve(request, FILE))
    async with Downloader(tmp_path, OPTIONS, pool=pool) as downloader:
        assert (await downloader.fetch(Wanted(server.url(PATH), "x"))).status == "unverified"
        server.forget()
        yield downloader
    assert server.exchanges == []


def receipt(root: Path) -> Receipt:
    found = load(places_of(root, "x").receipt)
    assert isinstance(found, Receipt)
    return found


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
async def test_the_digest_that_is_wanted_now_verifies_it(
    algorithm: str, server: FaultServer, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was not computed when it came. It is read once: the receipt knows it from then on."""
    wanted = Wanted(server.url(PATH), "x", (digest_of(algorithm),))
    result = await downloader.fetch(wanted)
    claim = Claim(wanted.digests[0], "config", Trust.CONFIGURED)
    assert (result.status, result.fault, result.verified_by) == ("verified", None, claim), result
    assert result.digests == {"sha256": digest(FILE.body), algorithm: digest(FILE.body, algorithm)}
    assert claim in result.claims
    noted = receipt(tmp_path)
    assert (noted.status, noted.rank, noted.digests) == ("verified", 3, result.digests)
    monkeypatch.delattr(there, "digests_of")
    monkeypatch.delattr(there, "store")
    again = await downloader.fetch(wanted)
    assert again._replace(seconds=0) == result._replace(seconds=0)
    assert list((tmp_path / ".crawlmill/parts").iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [("sha256",), ("sha512",), ("sha256", "sha512")], ids=["known", "not known", "both"]
)  # fmt: skip
async def test_another_digest_refuses_it(
    wrong: tuple[str, ...], server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    digests = tuple(digest_of(name, OTHER if name in wrong else FILE) for name in ("sha256", "sha512"))
    before = receipt(tmp_path)
    result = await downloader.fetch(Wanted(server.url(PATH), "x", digests))
    assert (result.status, result.fault, result.path) == ("failed", Fault.EXISTS, None)
    assert digest(FILE.body, wrong[0]) in result.detail, "the detail says what the file has"
    assert receipt(tmp_path) == before
    assert (tmp_path / "x").read_bytes() == FILE.body.read(0, 3_000_000)


async def test_what_is_known_to_be_wrong_is_not_read(
    server: FaultServer, downloader: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(there, "digests_of")
    wanted = Wanted(server.url(PATH), "x", (digest_of("sha256", OTHER), digest_of("sha512")))
    assert (await downloader.fetch(wanted)).fault is Fault.EXISTS


async def test_it_is_the_bytes_that_are_read_not_the_receipt(
    server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    """Damage that a look from outside does not show."""
    path = tmp_path / "x"
    times = path.stat()
    with path.open("r+b") as damaged:
        damaged.seek(1_000_000)
        damaged.write(b"\0" * 100)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of("sha512"),)))
    assert result.fault is Fault.EXISTS


async def test_a_file_that_is_written_to_while_it_is_read_is_not_believed(
    server: FaultServer, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def touched(*args: object) -> dict[str, str]:
        digests = await digests_of(*args)  # type: ignore[arg-type]  # what the caller gave
        os.utime(tmp_path / "x")
        return digests

    monkeypatch.setattr(there, "digests_of", touched)  # nothing else gets in between so surely
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of("sha512"),)))
    assert (result.fault, receipt(tmp_path).status) == (Fault.EXISTS, "unverified")


async def test_a_receipt_that_cannot_be_written_costs_a_reading_and_nothing_else(
    server: FaultServer, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(there, "store", full)  # root may write everywhere, so no folder can be made read-only
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of("sha512"),)))
    assert (result.status, receipt(tmp_path).status) == ("verified", "unverified")


async def test_one_that_cannot_be_read_costs_no_more_than_itself(
    server: FaultServer, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `disk` would stop a whole crawl, for a file that somebody made private."""

    async def unreadable(*args: object) -> dict[str, str]:
        raise GivenUp(Fault.DISK, "Permission denied")

    before = receipt(tmp_path)
    monkeypatch.setattr(there, "digests_of", unreadable)  # root may read everything
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of("sha512"),)))
    assert (result.status, result.fault, result.path) == ("failed", Fault.EXISTS, None)
    assert "it cannot be read: Permission denied" in result.detail
    assert receipt(tmp_path) == before


async def test_another_size_refuses_it_unread(server: FaultServer, downloader: Downloader) -> None:
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (digest_of("sha256"),), size=2_999_999))
    assert result.fault is Fault.EXISTS


async def test_without_a_digest_the_url_decides(server: FaultServer, downloader: Downloader) -> None:
    same = await downloader.fetch(Wanted(server.url(PATH), "x"))
    other = await downloader.fetch(Wanted(server.url("/other.bin"), "x"))
    assert (same.status, other.fault) == ("unverified", Fault.EXISTS)
