"""A restart of a large crawl asks for its next page within two seconds, and needs no hand."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from crawler.config import load
from crawler.demo.log import Entry
from crawler.store.group import Recorded, Seeds
from crawler.store.store import Store, StoreOptions
from pipelines.page import Processed
from pipelines.url import fingerprinter, host_of
from tests.support.crash_jobs import Job, Site, kill_group, members, wait_until
from tests.support.store_listener import Heard

KNOWN = 100_000
DONE = 60_000
BOUND_SECONDS = 2.0  # for the best of three: the machine does other things at the same time


@pytest.fixture
def large_site(tmp_path: Path) -> Site:
    arguments = ["--pages", str(KNOWN), "--plain", "--crawl-delay", "0"]
    return Site(tmp_path, *arguments, pages=KNOWN, cases=False, crawl_delay_seconds=0.0)


async def build(job: Job, site: Site) -> None:
    """Make the state that a crawl of the site would have had after 60,000 of 100,000 pages."""
    config = load(job.config)
    job.out.mkdir()
    meta = {"fingerprint_key": "00" * 16, "scope": config.scope_digest()}
    fingerprint = fingerprinter(bytes(16))
    heard = Heard(job.out)
    heard.store, _ = await Store.open(job.out, StoreOptions(durable=False), heard.listener(), meta)
    links = [(fingerprint(url), url, host_of(url), 0) for url in map(site.demo.graph.url, range(KNOWN))]
    for start in range(0, KNOWN, 10_000):
        heard.store.put(Seeds(links[start : start + 10_000], []))
    await heard.store.flush()
    requests = list(heard.rows().values())[:DONE]
    for number, request in enumerate(requests):
        line = b'{"url":"%b","duplicate_of":null}' % request.url.encode()
        heard.store.put(Recorded(request, Processed(request.id, line, number, b"", b"", body_bytes=1000), 1000))
    await heard.store.close(0)
    await heard.store.abandon()


@pytest.mark.slow
def test_a_restart_with_100_000_known_urls_fetches_within_two_seconds(large_site: Site, tmp_path: Path) -> None:
    job = Job(tmp_path / "job", large_site)
    asyncio.run(build(job, large_site))
    seconds = []
    try:
        for _ in range(3):
            known = len(large_site.requests())
            began = time.monotonic()
            process = job.start()
            assert wait_until(partial(pages_after, large_site, known), 30.0), job.complaints()
            kill_group(process)
            assert wait_until(lambda: not members(process.pid), 5.0)  # noqa: B023  # called here and now
            seconds.append(min(page.start for page in pages_after(large_site, known)) - began)
            with job.state() as db:
                assert db is not None
                assert dict(db.execute("SELECT name, value FROM counter"))["done"] >= DONE
    finally:
        large_site.close()
    print("seconds to the first page:", [round(each, 2) for each in seconds])
    assert min(seconds) < BOUND_SECONDS


def pages_after(site: Site, known: int) -> list[Entry]:
    """Return the requests for pages, robots.txt left out, that came after the first `known`."""
    return [entry for entry in site.requests(known) if entry.path != "/robots.txt"]
