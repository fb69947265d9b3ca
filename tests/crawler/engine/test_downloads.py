"""A crawl with real downloads comes to the ground truth of the demo site: right files, or none, and polite."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl
from crawler.config import Config
from crawler.download.verify import check_file
from crawler.engine.summary import Summary
from crawler.errors import ExitCode
from tests.support.crash_jobs import TABLES, Site, faults
from tests.support.engine_runs import Belongings, config_for, lines

FILES: dict[str, Any] = {"patterns": ["*.bin", "*.zip", "*.pdf"], "content_types": ["application/zip"]}


@pytest.fixture(scope="module")
def file_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Forty pages, and files to download."""
    site = Site(
        tmp_path_factory.mktemp("files"), "--pages", "40", "--downloads", "--steady", "--slow", "0.01",
        "--crawl-delay", "0.002",
        pages=40, downloads=True, flaky=False, slow_seconds=0.01, crawl_delay_seconds=0.002,
    )  # fmt: skip
    yield site
    site.close()


def tables_of(site: Site, **more: Any) -> dict[str, Any]:
    """Crawl the folder of the files only."""
    seed = site.demo.files()[0].url.rpartition("/")[0] + "/"
    return {
        "job": {"seeds": [seed]},
        "scope": {"max_depth": 1, "allow": ["^/downloads/"]},
        "downloads": {**FILES, **more},
    }


async def crawl(site: Site, out: Path, tables: dict[str, Any]) -> Summary:
    async with asyncio.timeout(60):
        async with Crawl(config_for(site, out, tables)) as crawling:
            return await crawling.run()


def check(site: Site, out: Path, folder: Path) -> None:
    """Assert that every file is what it must be, and nothing else is there."""
    found = {line["url"]: line for line in lines(out, "files")}
    expected = {file.url: file for file in site.demo.files()}
    assert set(found) == set(expected)
    for url, line in found.items():
        file = expected[url]
        assert line["status"] == file.status, line
        if line["path"] is None:
            assert file.status in ("mismatch", "failed")
            continue
        data = (folder / line["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file.sha256 == line["digests"]["sha256"], url
        assert line["size"] == len(data) == len(file.body)
        assert (line["verified_by"] is not None) == (file.status == "verified")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    room = {name for name in there if name.startswith(".crawlmill/")}
    assert there - room == {line["path"] for line in found.values() if line["path"]}
    assert [name for name in room if name.endswith((".part", ".journal"))] == []


async def test_files_are_right_or_absent_and_each_has_one_line(file_site: Site, tmp_path: Path) -> None:
    known = len(file_site.requests())
    before = Belongings()
    summary = await crawl(file_site, tmp_path / "out", tables_of(file_site))
    before.assert_same()
    check(file_site, tmp_path / "out", tmp_path / "out" / "files")
    assert summary.adds_up()
    assert summary.exit_code == ExitCode.COMPLETE
    assert summary.files_by_status == {"verified": 6, "unverified": 2, "failed": 1, "mismatch": 1}
    assert faults(file_site, file_site.requests(known), per_host=16) == []
    asked = len(file_site.requests())
    summary = await crawl(file_site, tmp_path / "out", tables_of(file_site))
    assert summary.exit_code == ExitCode.COMPLETE
    assert len(file_site.requests()) == asked, "a second run asks for nothing"


async def test_segments_keep_to_the_limit_of_the_host(file_site: Site, tmp_path: Path) -> None:
    known = len(file_site.requests())
    tables = tables_of(file_site) | {"politeness": {"per_host": 2}}
    await crawl(file_site, tmp_path / "out", tables)
    check(file_site, tmp_path / "out", tmp_path / "out" / "files")
    assert faults(file_site, file_site.requests(known), per_host=2) == []


async def test_a_whole_crawl_with_files_adds_up(file_site: Site, tmp_path: Path) -> None:
    tables = {"downloads": {**FILES, "folder": str(tmp_path / "elsewhere")}}
    summary = await crawl(file_site, tmp_path / "out", tables)
    assert summary.adds_up()
    assert summary.pending == 0
    pages = {line["url"] for line in lines(tmp_path / "out")}
    assert {page.url for page in file_site.demo.expected().pages() if page.title is not None} <= pages
    files = {line["url"]: line for line in lines(tmp_path / "out", "files")}
    for file in file_site.demo.files():
        assert files[file.url]["status"] == file.status
    assert pages.isdisjoint(files)
    assert not (tmp_path / "out" / "files").exists()


async def test_a_file_that_needs_a_digest_and_has_none_is_not_there(file_site: Site, tmp_path: Path) -> None:
    await crawl(file_site, tmp_path / "out", tables_of(file_site, require_digest=True))
    found = {line["url"].rpartition("/")[2]: line for line in lines(tmp_path / "out", "files")}
    assert (found["bare.pdf"]["status"], found["bare.pdf"]["reason"]) == ("failed", "digest_required")
    assert found["bare.pdf"]["path"] is None
    assert found["big.bin"]["status"] == "verified"


async def test_a_listed_file_is_fetched_by_itself(file_site: Site, tmp_path: Path) -> None:
    file = next(file for file in file_site.demo.files() if file.url.endswith("big.bin"))
    wrong = next(file for file in file_site.demo.files() if file.url.endswith("bare.pdf"))
    listed = [
        {"url": file.url, "sha256": file.sha256, "path": "set/big.bin", "size": len(file.body)},
        {"url": wrong.url, "sha256": "00" * 32, "path": "set/bare.pdf"},
    ]
    config = Config(
        job={"out": str(tmp_path / "out")}, **{name: dict(table) for name, table in TABLES.items()}, download=listed,
        cpu={"workers": 1},
    )  # fmt: skip
    async with asyncio.timeout(30), Crawl(config) as crawling:
        summary = await crawling.run()
    assert summary.exit_code == ExitCode.FAILURES, "one of them is not what it must be"
    found = {line["path"]: line for line in lines(tmp_path / "out", "files")}
    assert found["set/big.bin"]["verified_by"]["trust"] == "configured"
    assert (tmp_path / "out" / "files" / "set" / "big.bin").read_bytes() == file.body
    assert found[None]["status"] == "mismatch"
    assert not (tmp_path / "out" / "files" / "set" / "bare.pdf").exists()


async def test_a_listed_file_that_was_put_there_by_hand_is_not_fetched(file_site: Site, tmp_path: Path) -> None:
    """Restored from a backup, say: its bytes are what the config says. Twice: the receipt is made but once."""
    file = next(file for file in file_site.demo.files() if file.url.endswith("big.bin"))
    listed = [{"url": file.url, "sha256": file.sha256, "path": "set/big.bin"}]
    folder = tmp_path / "files"
    (folder / "set").mkdir(parents=True)
    (folder / "set" / "big.bin").write_bytes(file.body)
    known = len(file_site.requests())
    for run in ("first", "second"):
        config = Config(
            job={"out": str(tmp_path / run)}, **{name: dict(table) for name, table in TABLES.items()}, download=listed,
            downloads={"folder": str(folder)}, cpu={"workers": 1},
        )  # fmt: skip
        async with asyncio.timeout(30), Crawl(config) as crawling:
            assert (await crawling.run()).exit_code == ExitCode.COMPLETE
        (line,) = lines(tmp_path / run, "files")
        assert (line["status"], line["path"], line["fetched_bytes"]) == ("verified", "set/big.bin", 0)
        assert line["verified_by"]["trust"] == "configured"
        (receipt,) = (folder / ".crawlmill" / "receipts").iterdir()
        assert check_file(str(folder), None, receipt.name).state == "right"
    assert [entry for entry in file_site.requests(known) if file.url.endswith(entry.path)] == []
