"""A crawl of the whole demo web is its ground truth: every URL once, in the right file, for the right reason."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context, resource_tracker
from pathlib import Path
from typing import Any

import orjson
import pytest

from crawler import Crawl, run
from crawler.demo.answer import Kind
from crawler.demo.site import Demo, Limits
from crawler.errors import ExitCode
from tests.support.crash_jobs import Site, assert_ways_are_told, faults
from tests.support.engine_runs import Belongings, Inline, Tables, config_for, identity, lines

RETRIES: Tables = {
    "fetch": {"retries": 3, "read_timeout": 2.0, "min_rate_after": "500ms", "min_rate": "10KiB"},
    "output": {"headers": ["x-robots-tag", "content-encoding"]},
}


@pytest.fixture(scope="module")
def crawled(full_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a whole crawl."""
    out = tmp_path_factory.mktemp("crawled") / "out"

    async def crawl() -> None:
        async with Crawl(config_for(full_site, out, RETRIES)) as crawl:
            summary = await crawl.run()
        assert summary.exit_code == ExitCode.COMPLETE
        assert summary.adds_up()
        assert summary.pending == 0
        lag = orjson.loads((out / "summary.json").read_bytes())["run"]["loop_lag_seconds"]
        assert lag["samples"] > 0
        assert 0 < lag["p50"] <= lag["p99"] <= lag["max"]

    asyncio.run(crawl())
    return out


def by_url(out: Path, name: str = "pages") -> dict[str, dict[str, Any]]:
    found = lines(out, name)
    assert len({line["url"] for line in found}) == len(found), "a URL twice"
    return {line["url"]: line for line in found}


def test_every_page_has_one_record_with_its_title_and_digest(full_site: Site, crawled: Path) -> None:
    records = by_url(crawled)
    for page in full_site.demo.expected().pages():
        record = records[page.url]
        assert (record["status"], record["complete"]) == (page.status, True), page.url
        if page.sha256 is not None:
            assert record["sha256"] == page.sha256, page.url
        if page.title is not None:
            assert record["title"] == page.title, page.url


def test_every_page_says_how_it_was_found(full_site: Site, crawled: Path) -> None:
    """`via` is a page that links to it, or the URL that redirects to it; only the seed has none."""
    records = by_url(crawled)
    assert [url for url, record in records.items() if record["via"] is None] == [full_site.url]
    assert_ways_are_told(records)


def test_a_landing_page_says_over_which_redirects_it_was_reached(full_site: Site, crawled: Path) -> None:
    records = by_url(crawled)
    hops = [full_site.url + f"redirect/chain-{number}" for number in (3, 2, 1)]
    assert records[full_site.url + "landed/chain"]["redirects"] == hops
    for redirect in full_site.demo.expected().redirects():
        assert redirect.target is not None
        if "/landed/" in redirect.target:  # nothing else leads to these
            landing = records[redirect.target]
            assert landing["redirects"][-1:] == [redirect.url], redirect.url
            assert landing["via"] == redirect.url


def test_records_have_the_headers_that_were_asked_for(crawled: Path) -> None:
    found = [record["headers"] for record in lines(crawled) if record["status"] == 200]
    assert {name for headers in found for name in headers} == {"x-robots-tag", "content-encoding"}
    assert {headers["x-robots-tag"] for headers in found if "x-robots-tag" in headers} == {"nofollow"}


def test_every_page_says_how_long_it_took(full_site: Site, crawled: Path) -> None:
    records = by_url(crawled)
    for page in full_site.demo.expected().pages():
        timings = records[page.url]["timings"]
        assert 0 < timings["ttfb"] <= timings["fetch"] < 30, page.url


def test_every_redirect_has_one_record_that_names_its_target(full_site: Site, crawled: Path) -> None:
    records = by_url(crawled)
    for redirect in full_site.demo.expected().redirects():
        assert records[redirect.url]["final_url"] == redirect.target
        assert 300 <= records[redirect.url]["status"] < 400


def test_every_error_is_told_with_its_status(full_site: Site, crawled: Path) -> None:
    errors = by_url(crawled, "errors")
    for error in full_site.demo.expected().errors():
        assert errors[error.url]["status"] == error.status, error.url


def test_what_is_refused_is_told_with_its_reason_and_never_asked_for(full_site: Site, crawled: Path) -> None:
    skipped = by_url(crawled, "skipped")
    reasons = {
        Kind.DISALLOWED: {"robots", "robots_unavailable"},
        Kind.TRAP: {"trap", "query_too_long"},
        Kind.OUT_OF_SCOPE: {"host"},
    }
    refused = list(full_site.demo.expected(Limits()).of(*reasons))
    assert len(refused) > 10
    for found in refused:
        assert skipped[found.url]["reason"] in reasons[found.kind], found
    assert faults(full_site, full_site.requests(), per_host=16) == []


def test_what_is_broken_is_an_error_or_says_so(full_site: Site, crawled: Path) -> None:
    records, errors = by_url(crawled), by_url(crawled, "errors")
    for fault in full_site.demo.expected().of(Kind.FAULT):
        if fault.url not in errors and records[fault.url]["status"] < 300:
            assert records[fault.url]["flags"] or not records[fault.url]["complete"], records[fault.url]


def test_nothing_else_is_recorded_and_no_url_is_in_two_places(full_site: Site, crawled: Path) -> None:
    known = {found.url for found in full_site.demo.expected()}
    optional = {found.url for found in full_site.demo.expected().of(Kind.RESOURCE)}
    found = Counter(line["url"] for name in ("pages", "errors", "skipped") for line in lines(crawled, name))
    assert known - optional <= set(found) <= known
    assert set(found.values()) == {1}


def test_a_second_run_of_a_complete_job_asks_for_nothing(full_site: Site, crawled: Path) -> None:
    before, known = identity(crawled), len(full_site.requests())
    summary = run(config_for(full_site, crawled, RETRIES))
    assert summary.exit_code == ExitCode.COMPLETE
    assert summary.run["requests"] == 0
    assert identity(crawled) == before
    assert full_site.requests(known) == []


def threads() -> Executor:
    return ThreadPoolExecutor(2)


def processes() -> Executor:
    resource_tracker.ensure_running()  # a process of the standard library's own, which stays
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


@pytest.mark.parametrize("make", [threads, processes, Inline])
async def test_any_executor_gives_the_same_records(
    make: Callable[[], Executor], plain_site: Site, tmp_path: Path
) -> None:
    make().shutdown()
    before = Belongings()
    with make() as executor:
        async with Crawl(config_for(plain_site, tmp_path / "out"), executor=executor) as crawl:
            summary = await crawl.run()
        assert executor.submit(len, "still open").result() == 10, "the caller's executor is the caller's to close"
    assert summary.exit_code == ExitCode.COMPLETE
    expected = {(page.url, page.sha256) for page in plain_site.demo.expected().pages()}
    assert {(line["url"], line["sha256"]) for line in lines(tmp_path / "out")} == expected
    before.assert_same()


def test_demos_of_this_folder_are_what_their_processes_serve(full_site: Site) -> None:
    assert full_site.demo == Demo(
        pages=300, faults=True, closed_host=True, slow_seconds=0.1, crawl_delay_seconds=0.002, port=full_site.demo.port
    )
