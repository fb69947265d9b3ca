"""Workers die by the hundred: the crawl completes, each guilty page is lost alone and is named, no other is touched.

`CRAWLMILL_DEATHS` says how many deaths there must be at least (40; `make torture` takes 500).
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.crash.deadly_stage import PER_MILLE, guilt
from tests.support.crash_jobs import COMPLETE, Job, Site, assert_no_duplicates

DEATHS = int(os.environ.get("CRAWLMILL_DEATHS", "40"))
PAGES = max(500, DEATHS * 600 // PER_MILLE)  # a guilty page breaks two workers or three, and not all are reached
REASONS = {
    "kill": "parse_crash",
    "segfault": "parse_crash",
    "exit": "parse_crash",
    "hang": "parse_timeout",
    "hog": "parse_memory",
}


@pytest.fixture(scope="module")
def numbered_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Numbered pages and nothing else."""
    site = Site(
        tmp_path_factory.mktemp("numbered"), "--pages", str(PAGES), "--plain", "--crawl-delay", "0",
        "--page-bytes", "2000", pages=PAGES, cases=False, crawl_delay_seconds=0.0, page_bytes=2000,
    )  # fmt: skip
    yield site
    site.close()


def test_deaths_of_workers_cost_the_guilty_pages_only(numbered_site: Site, tmp_path: Path) -> None:
    undisturbed = Job(tmp_path / "undisturbed", numbered_site)
    assert undisturbed.finish() == COMPLETE
    links = {record["url"]: [row[0] for row in record["outlinks"]] for record in records(undisturbed)}
    reached = reachable(numbered_site.url, links)
    guilty = {url: kind for url in reached if (kind := guilt(url))}

    job = Job(
        tmp_path / "deadly", numbered_site,
        {
            "job": {"max_failed_ratio": 1.0},
            "parse": {"stages": ["tests.crash.deadly_stage:deadly"]},
            # Longer than an innocent page takes where many others want the same cores.
            "cpu": {"page_timeout": "2s", "workers": 3, "worker_memory": "150MiB"},
        },
    )  # fmt: skip
    assert job.finish(timeout=60.0 + DEATHS) == COMPLETE, job.complaints()
    found = job.found()
    assert_no_duplicates(found)
    assert set(found.errors) == {(url, REASONS[kind]) for url, kind in guilty.items()}, "each guilty page is named"
    expected = {key for key in undisturbed.found().pages if key[0] in reached and key[0] not in guilty}
    assert set(found.pages) == expected, "and no other page is lost, or another one than before"
    summary: dict[str, Any] = orjson.loads((job.out / "summary.json").read_bytes())
    deaths = summary["run"]["workers"]["deaths"]
    print(f"{len(guilty)} guilty pages of {len(reached)}, {deaths}, {summary['run']['seconds']:.1f} s")
    total = deaths["crash"] + deaths["timeout"] + deaths["oom"]
    assert DEATHS <= total <= 3 * len(guilty), "a batch, and twice alone"
    assert min(deaths["crash"], deaths["timeout"], deaths["oom"]) > 0
    assert deaths["start"] == 0
    kept = len(list((job.out / "quarantine").iterdir()))
    assert kept == min(100, len(guilty))


def records(job: Job) -> Iterator[dict[str, Any]]:
    """Yield the records of pages."""
    yield from map(orjson.loads, job.output("pages").read_bytes().splitlines())


def reachable(seed: str, links: dict[str, list[str]]) -> set[str]:
    """Return what can be found when guilty pages lead nowhere."""
    found, todo = {seed}, [seed]
    while todo:
        url = todo.pop()
        if guilt(url):
            continue
        for link in links.get(url, ()):
            link = urllib.parse.urldefrag(link).url
            if link in links and link not in found:
                found.add(link)
                todo.append(link)
    return found
