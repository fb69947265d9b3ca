"""Files in a crawl, with downloads that do as they are told: who gets what, what is recorded, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl
from crawler.config import Config
from crawler.demo.server import DemoServer
from crawler.demo.site import Demo
from crawler.download.fault import Fault
from crawler.download.proof.digests import DigestError, MissingExtra
from crawler.download.proof.discover import Trust
from crawler.engine import open_files
from crawler.engine.assemble import check
from crawler.engine.summary import Summary
from crawler.errors import ConfigError, ExitCode, StateError, WorkersError
from tests.support.engine_runs import lines
from tests.support.fake_downloads import FakeDownloads

GLOBS = ["*.bin", "*.zip", "*.pdf"]
NAMES = {
    "big.bin", "fielded.bin", "summed.zip", "wrong.zip", "bare.pdf", "whole.bin", "empty.bin", "gone.zip", "latest.zip",
}  # fmt: skip


@pytest.fixture
async def server() -> AsyncIterator[DemoServer]:
    async with DemoServer(Demo(pages=4, hosts=1, downloads=True, flaky=False)) as served:
        yield served


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> FakeDownloads:
    fake = FakeDownloads()
    monkeypatch.setattr(open_files, "Downloader", fake)
    return fake


def config_of(server: DemoServer, out: Path, **tables: Any) -> Config:
    usual: dict[str, Any] = {
        "job": {"seeds": [server.url + "downloads/"], "out": str(out)},
        "scope": {"hosts": ["127.0.0.1"], "max_depth": 1, "allow": ["^/downloads/"]},
        "fetch": {"allow_addresses": ["127.0.0.0/8"], "retries": 0},
        "politeness": {"delay": 0, "per_host": 3},
        "downloads": {"patterns": GLOBS, "content_types": []},
        "cpu": {"workers": 1},
    }
    for name, table in tables.items():
        usual[name] = {**usual.get(name, {}), **table} if isinstance(table, dict) else table
    return Config(**usual)


async def crawl(config: Config) -> Summary:
    async with asyncio.timeout(30):
        async with Crawl(config) as crawling:
            return await crawling.run()


def by_name(out: Path) -> dict[str, dict[str, Any]]:
    found = lines(out, "files")
    named = {line["url"].rpartition("/")[2]: line for line in found}
    assert len(named) == len(found), "a file twice"
    return named


async def test_every_file_has_one_line_and_no_page_is_made_of_it(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    downloads.ends = {"gone.zip": {"status": "failed", "detail": "status 404"}}
    summary = await crawl(config_of(server, tmp_path / "out"))
    files = by_name(tmp_path / "out")
    assert set(files) == NAMES
    assert files["gone.zip"]["reason"] == "gone"
    assert files["gone.zip"]["path"] is None
    assert files["big.bin"]["path"] == f"127.0.0.1_{server.port}/downloads/big.bin"
    assert files["big.bin"]["via"] == server.url + "downloads/"
    asked = {entry.path.rpartition("/")[2] for entry in server.log.entries}
    assert asked.isdisjoint(NAMES), "the pages' fetches leave files alone"
    assert summary.adds_up()
    assert (summary.files, summary.done, summary.pending) == (9, 3, 0)
    assert summary.files_by_status == {"unverified": 8, "failed": 1}
    assert summary.file_bytes == 800
    assert summary.exit_code == ExitCode.COMPLETE
    assert downloads.root == tmp_path / "out" / "files"


async def test_segments_and_pages_share_what_a_host_is_asked_for(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    downloads.requests, downloads.seconds = 8, 0.005
    summary = await crawl(config_of(server, tmp_path / "out"))
    assert summary.files == 9
    assert downloads.most_at_hosts == 3, "politeness.per_host, however many segments there are"
    assert downloads.at_hosts == 0


async def test_what_pages_say_of_a_file_goes_with_it(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    await crawl(config_of(server, tmp_path / "out"))
    wanted = {one.url.rpartition("/")[2]: one for one in downloads.wanted}
    files = {file.url.rpartition("/")[2]: file for file in server.demo.files()}
    (claim,) = wanted["big.bin"].claims
    assert str(claim.digest) == f"sha256:{files['big.bin'].sha256}"
    assert (claim.source, claim.trust) == (f"page {server.url}downloads/", Trust.SAME_ORIGIN)
    assert wanted["whole.bin"].claims[0].digest.algorithm == "md5"
    (claim,) = wanted["summed.zip"].claims
    assert claim.source == f"page {server.url}downloads/SHA256SUMS", "files wait for the sums beside them"
    assert str(claim.digest) == f"sha256:{files['summed.zip'].sha256}"
    assert wanted["bare.pdf"].claims == ()
    line = by_name(tmp_path / "out")["big.bin"]
    assert line["claims"] == [
        {
            "digest": f"sha256:{files['big.bin'].sha256}",
            "source": f"page {server.url}downloads/",
            "trust": "same_origin",
        }
    ]


async def test_digests_of_pages_can_be_left_out(server: DemoServer, downloads: FakeDownloads, tmp_path: Path) -> None:
    await crawl(config_of(server, tmp_path / "out", downloads={"page_digests": False}))
    assert len(downloads.wanted) == len(NAMES)
    assert all(wanted.claims == () for wanted in downloads.wanted)


async def test_a_media_type_makes_a_file_of_a_page(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    tables = {"downloads": {"patterns": [], "content_types": ["application/zip"]}}
    summary = await crawl(config_of(server, tmp_path / "out", **tables))
    assert set(by_name(tmp_path / "out")) == {"get?id=7"}
    assert summary.adds_up()
    (asked,) = [entry for entry in server.log.entries if entry.path.endswith("get?id=7")]
    assert not asked.complete or asked.status == 200


def redirect(target: str) -> dict[str, Any]:
    return {"status": "failed", "fault": Fault.REDIRECT, "final_url": target, "path": None}


async def test_a_redirect_goes_through_the_frontier(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    target = server.url + "downloads/release-7.zip"
    downloads.ends = {"latest.zip": redirect(target), "bare.pdf": redirect("http://elsewhere.test/bare.pdf")}
    summary = await crawl(config_of(server, tmp_path / "out"))
    assert summary.adds_up()
    files = by_name(tmp_path / "out")
    assert files["release-7.zip"]["redirects"] == [server.url + "downloads/latest.zip"]
    assert "latest.zip" not in files
    redirected = {line["url"]: line["final_url"] for line in lines(tmp_path / "out") if line["status"] == 302}
    assert redirected[server.url + "downloads/latest.zip"] == target
    skipped = {line["url"]: line["reason"] for line in lines(tmp_path / "out", "skipped")}
    assert skipped["http://elsewhere.test/bare.pdf"] == "host", "the scope decides, as for pages"


async def test_whoever_moved_a_file_is_believed_about_it(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    """A page of the origin that redirects to a network for delivery says what the file hashes to."""
    moved = f"http://127.0.0.2:{server.port}/downloads/moved"
    downloads.ends = {"big.bin": redirect(moved)}
    tables = {"scope": {"hosts": ["127.0.0.1", "127.0.0.2"]}, "politeness": {"robots": False}}
    await crawl(config_of(server, tmp_path / "out", **tables))
    wanted = next(wanted for wanted in downloads.wanted if wanted.url == moved)
    assert [claim.trust for claim in wanted.claims] == [Trust.SAME_ORIGIN]


async def test_a_redirect_to_where_anybody_can_listen_is_no_file(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    away = "https://127.0.0.1:1/x.zip"
    downloads.ends = {"x.zip": redirect("http://127.0.0.1:2/y.zip")}
    config = config_of(server, tmp_path / "out", politeness={"robots": False}, download=[{"url": away}])
    summary = await crawl(config)
    assert by_name(tmp_path / "out")["x.zip"]["reason"] == "redirect_insecure"
    assert summary.exit_code == ExitCode.FAILURES


def listing(server: DemoServer, name: str, **more: Any) -> dict[str, Any]:
    return {"url": f"{server.url}downloads/{name}", **more}


async def test_listed_files_need_no_seed_and_no_scope(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    away = f"http://127.0.0.2:{server.port}/x.zip"
    downloads.ends = {"latest.zip": redirect(away)}
    mirror = "http://mirror.test/big.bin"
    config = Config(
        job={"out": str(tmp_path / "out")},
        fetch={"allow_addresses": ["127.0.0.0/8"], "retries": 0},
        politeness={"delay": 0, "robots": False},
        download=[
            listing(server, "big.bin", sha256="ab" * 32, size=100, mirrors=[mirror], path="set/big"),
            listing(server, "latest.zip", digests=["md5:" + "cd" * 16]),
        ],
        cpu={"workers": 1},
    )
    summary = await crawl(config)
    assert summary.exit_code == ExitCode.COMPLETE
    assert (summary.files, summary.redirected, summary.done) == (2, 1, 0)
    big = next(wanted for wanted in downloads.wanted if wanted.url.endswith("big.bin"))
    assert (big.path, big.size, big.mirrors) == ("set/big", 100, (mirror,))
    assert [str(digest) for digest in big.digests] == ["sha256:" + "ab" * 32]
    moved = next(wanted for wanted in downloads.wanted if wanted.url == away)
    assert [str(digest) for digest in moved.digests] == ["md5:" + "cd" * 16], "what was listed goes along"
    assert moved.path == f"127.0.0.1_{server.port}/downloads/latest.zip"


async def test_a_listed_file_that_is_missing_is_a_failure_of_the_crawl(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However many others came: cron must hear of it, and of which it is."""
    downloads.ends = {"gone.zip": {"status": "failed"}}
    summary = await crawl(config_of(server, tmp_path / "one", download=[listing(server, "gone.zip")]))
    assert summary.exit_code == ExitCode.FAILURES
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert f"gone.zip' is listed and missing: {Fault.GONE}" in told.getMessage()
    summary = await crawl(config_of(server, tmp_path / "two", download=[listing(server, "big.bin")]))
    assert summary.exit_code == ExitCode.COMPLETE


async def test_a_listed_file_that_robots_may_not_have_is_missing_too(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    config = config_of(server, tmp_path / "out", download=[{"url": server.url + "private/x.zip"}])
    summary = await crawl(config)
    skipped = {line["url"]: line["reason"] for line in lines(tmp_path / "out", "skipped")}
    assert skipped.get(server.url + "private/x.zip") == "robots"
    assert not any(wanted.url.endswith("private/x.zip") for wanted in downloads.wanted)
    assert summary.exit_code == ExitCode.FAILURES
    assert (await crawl(config)).exit_code == ExitCode.FAILURES, "the next run says so too"


async def test_a_listed_file_that_is_sent_in_circles_is_missing_too(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    target = server.url + "downloads/latest.zip"
    downloads.ends = {"latest.zip": redirect(target)}
    summary = await crawl(config_of(server, tmp_path / "out", download=[{"url": target}]))
    errors = {line["url"]: line["reason"] for line in lines(tmp_path / "out", "errors")}
    assert errors == {target: "redirect_limit"}
    assert summary.exit_code == ExitCode.FAILURES
    assert summary.adds_up()


async def test_a_folder_that_cannot_be_used_is_said_before_anything_is_fetched(
    server: DemoServer, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StateError, match=r"taken: cannot be used as folder for files: .*; make room"):
        await crawl(config_of(server, tmp_path / "out", downloads={"folder": str(tmp_path / "taken")}))


async def test_trouble_of_this_machine_ends_the_run_and_the_file_stays_pending(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    downloads.ends = {"big.bin": {"status": "failed", "fault": Fault.NO_SPACE, "detail": "disk full"}}
    config = config_of(server, tmp_path / "out")
    with pytest.raises(StateError, match="disk full; make room"):
        await crawl(config)
    downloads.ends = {}
    summary = await crawl(config)
    assert summary.exit_code == ExitCode.COMPLETE
    assert summary.adds_up()
    assert set(by_name(tmp_path / "out")) == NAMES


async def test_a_bug_costs_one_file_and_the_exit_code_tells(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    downloads.ends = {"big.bin": {"raises": ZeroDivisionError("oh")}}
    summary = await crawl(config_of(server, tmp_path / "out"))
    assert summary.exit_code == ExitCode.INTERNAL
    line = by_name(tmp_path / "out")["big.bin"]
    assert (line["status"], line["reason"], line["detail"]) == ("failed", "internal", "ZeroDivisionError: oh")
    assert len(by_name(tmp_path / "out")) == len(NAMES)


async def test_without_workers_the_run_ends_and_every_file_stays_pending(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    downloads.ends = {"big.bin": {"raises": WorkersError("they die")}}
    config = config_of(server, tmp_path / "out")
    with pytest.raises(WorkersError, match="they die"):
        await crawl(config)
    assert "big.bin" not in by_name(tmp_path / "out")
    downloads.ends = {}
    assert (await crawl(config)).files == len(NAMES)


async def test_a_stop_leaves_files_for_the_next_run(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    downloads.seconds = 60.0
    config = config_of(server, tmp_path / "out")
    async with asyncio.timeout(20), Crawl(config) as crawling:
        running = asyncio.create_task(crawling.run())
        await downloads.started.wait()
        crawling.stop()
        summary = await running
    assert summary.exit_code == ExitCode.INTERRUPTED
    assert summary.adds_up()
    assert downloads.cancelled
    assert (summary.files, downloads.at_hosts) == (0, 0)
    downloads.seconds = 0.0
    assert (await crawl(config)).files == len(NAMES)


async def test_a_limit_of_pages_lets_found_files_come_to_their_end(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    """Their requests still get turns when no page may be started any more."""
    downloads.requests, downloads.seconds = 4, 0.01
    config = config_of(server, tmp_path / "out", job={"max_pages": 1}, scope={"allow": []})
    summary = await crawl(config)
    assert summary.done == 1
    assert summary.exit_code == ExitCode.LIMIT
    assert summary.adds_up()


async def test_files_are_records_of_the_iteration(server: DemoServer, downloads: FakeDownloads, tmp_path: Path) -> None:
    async with asyncio.timeout(20), Crawl(config_of(server, tmp_path / "out")) as crawling:
        found = [record async for record in crawling]
    assert {record["url"].rpartition("/")[2] for record in found if record["status"] == "unverified"} == NAMES


async def test_a_snapshot_shows_the_files_under_way(
    server: DemoServer, downloads: FakeDownloads, tmp_path: Path
) -> None:
    downloads.seconds = 60.0
    config = config_of(server, tmp_path / "out", downloads={"concurrency": 2})
    async with asyncio.timeout(20), Crawl(config) as crawling:
        running = asyncio.create_task(crawling.run())
        await downloads.started.wait()
        while (  # noqa: ASYNC110  # no event for it
            (snapshot := crawling.snapshot()) is None or snapshot.files_waiting < 7 or len(snapshot.files_under_way) < 2
        ):
            await asyncio.sleep(0.01)
        assert len(snapshot.files_under_way) == 2
        assert snapshot.files_under_way[0].written == 40
        assert snapshot.wire_bytes >= 80
        crawling.stop()
        await running


async def test_without_rules_for_files_nothing_of_the_downloads_is_loaded(server: DemoServer, tmp_path: Path) -> None:
    """What few crawls need costs the others no time."""
    import subprocess
    import sys

    (tmp_path / "c.toml").write_text(
        f'[job]\nseeds = ["{server.url}"]\nmax_pages = 1\n[fetch]\nallow_addresses = ["127.0.0.0/8"]\n'
    )
    code = (
        "import sys, crawler.cli; crawler.cli.main([sys.argv[1], '--quiet']); "
        "print([name for name in sys.modules if name.startswith('crawler.download') or name == 'crawler.engine.files'])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "c.toml"), stdout=subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert out.splitlines()[-1] == b"[]"


def test_a_digest_that_needs_a_package_which_is_not_there_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str) -> None:
        if name == "blake3":
            raise MissingExtra(name, name)
        if name == "crc32c":
            raise DigestError("crc32c needs what is not there")

    monkeypatch.setattr("crawler.download.proof.digests.new_hash", missing)
    config = Config(
        job={"out": str(tmp_path)},
        downloads={"digests": ["sha256", "blake3"]},
        download=[{"url": "https://a.test/x", "digests": ["crc32c:00000000"]}],
    )
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert [str(problem) for problem in caught.value.problems] == [
        "downloads.digests[1]: blake3 needs an extra: pip install 'crawlmill[blake3]'",
        "download[0].digests: crc32c needs what is not there",
    ]
