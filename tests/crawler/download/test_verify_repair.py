"""`crawl verify --repair` with the real downloader and a server: what is damaged is fetched again, and nothing else."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, FileResult, Wanted, verify_command
from crawler.download.disk.receipt import Receipt, encode, load
from crawler.download.proof.checksum import CHECKSUM
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import digest
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve, version
from crawler.testing.messages import Reply

MIB = 1 << 20
SIZE = 24 * MIB
OPTIONS = DownloadOptions(
    segments=4, processes=1, retries=2, retry_delay=0.02, is_durable=False,
    fetch=FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=2.0),
)  # fmt: skip


def downloaded(root: Path, server: FaultServer, file: ServedFile) -> FileResult:
    async def fetch() -> FileResult:
        async with Downloader(root, OPTIONS) as downloader:
            expected = Digest("sha256", bytes.fromhex(digest(file.body)))
            return await downloader.fetch(Wanted(server.url("/set"), "set", (expected,)))

    server.mount("/set", lambda request: serve(request, file))
    return asyncio.run(fetch())


def verified(root: Path, *words: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    parser = argparse.ArgumentParser()
    verify_command.add_arguments(parser)
    options = parser.parse_args([str(root), "--processes", "1", *words])
    code = verify_command.main(options, lines.append, lines.append, lambda folder: Downloader(folder, OPTIONS))
    return code, lines


def damaged(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(10 * MIB + 5)
        file.write(b"damage")
    os.truncate(path, SIZE - 7)


def written_elsewhere(root: Path, file: ServedFile) -> None:
    """Make the receipt one of an installation where pieces have another checksum."""
    (path,) = root.glob(".crawlmill/receipts/*")
    receipt = load(path)
    assert isinstance(receipt, Receipt)
    data = file.body.read(0, SIZE)
    pieces = tuple((first, end, zlib.crc32(data[first:end])) for first, end, _ in receipt.pieces)
    path.write_bytes(encode(replace(receipt, checksum="crc32", pieces=pieces)))


@pytest.mark.parametrize("checksum", ["crc32c", "crc32"])
def test_only_what_is_damaged_is_fetched_again(tmp_path: Path, checksum: str) -> None:
    file = version("A", SIZE)
    with FaultServer() as server:
        assert downloaded(tmp_path, server, file).status == "verified"
        if checksum != CHECKSUM:
            written_elsewhere(tmp_path, file)
        assert verified(tmp_path)[0] == 0
        damaged(tmp_path / "set")
        before = len(server.exchanges)
        code, lines = verified(tmp_path)
        assert code == 3
        assert lines[0].startswith("damaged   set: bytes ")
        assert len(server.exchanges) == before
        code, lines = verified(tmp_path, "--repair")
        sent = sum(exchange.sent for exchange in server.exchanges[before:])
    assert code == 0, lines
    assert hashlib.sha256((tmp_path / "set").read_bytes()).hexdigest() == digest(file.body)
    assert sent < SIZE / 2
    assert [path.name for path in (tmp_path / ".crawlmill").rglob("*") if path.is_file()] == ["set.json"]


@pytest.mark.parametrize("size", [SIZE, MIB], ids=["in segments", "by a worker alone"])
def test_a_mirror_that_was_named_repairs_what_its_first_place_has_lost(size: int, tmp_path: Path) -> None:
    """It was never asked before: the receipt remembers who else has the file."""
    file = version("A", size)
    with FaultServer() as server:

        async def fetch() -> FileResult:
            async with Downloader(tmp_path, OPTIONS) as downloader:
                expected = Digest("sha256", bytes.fromhex(digest(file.body)))
                return await downloader.fetch(
                    Wanted(server.url("/set"), "set", (expected,), mirrors=(server.url("/mirror"),))
                )

        for path in ("/set", "/mirror"):
            server.mount(path, lambda request: serve(request, file))
        assert asyncio.run(fetch()).mirrors == 1
        server.mount("/set", lambda request: Reply(404))
        os.truncate(tmp_path / "set", size - 7)
        code, lines = verified(tmp_path, "--repair")
        assert code == 0, lines
    assert hashlib.sha256((tmp_path / "set").read_bytes()).hexdigest() == digest(file.body)


def test_another_version_on_the_server_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    with FaultServer() as server:
        assert downloaded(tmp_path, server, version("A", SIZE)).status == "verified"
        damaged(tmp_path / "set")
        before = (tmp_path / "set").read_bytes()
        server.mount("/set", lambda request: serve(request, version("B", SIZE)))
        code, lines = verified(tmp_path, "--repair")
    assert code == 3
    assert any(line.startswith("left      set: ") for line in lines)
    assert (tmp_path / "set").read_bytes() == before


def test_an_address_that_is_closed_to_a_repair_can_be_opened(tmp_path: Path) -> None:
    """The download was told that the user named the host; the receipt that a repair goes by may be anybody's."""
    with FaultServer() as server:
        file = version("A", SIZE)
        downloaded(tmp_path, server, file)
        damaged(tmp_path / "set")
        lines: list[str] = []
        parser = argparse.ArgumentParser()
        verify_command.add_arguments(parser)
        words = [str(tmp_path), "--processes", "1", "--repair"]
        assert verify_command.main(parser.parse_args(words), lines.append, lines.append) == 3
        (left,) = (line for line in lines if line.startswith("left"))
        assert left.endswith("; --allow-address NET permits it")
        words += ["--allow-address", "127.0.0.0/8"]
        assert verify_command.main(parser.parse_args(words), lines.append, lines.append) == 0
