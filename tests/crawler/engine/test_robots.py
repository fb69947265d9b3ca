"""How a crawl asks for robots.txt: once in a day whatever the restarts, and through five redirects."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.engine.clock import Clock
from crawler.errors import ExitCode
from crawler.testing import redirect, text
from tests.support.engine_runs import lines
from tests.support.small_web import SmallWeb, crawl, html

HOUR = 3600.0


@pytest.fixture
def web() -> Any:
    """A page that links to two more, of which robots.txt forbids one."""
    with SmallWeb() as served:
        served.put("/", "/yes", "/no")
        served.put("/yes")
        served.put("/no")
        served.rules("User-agent: *\nDisallow: /no\n")
        yield served


def asked(web: SmallWeb) -> tuple[list[str], list[str]]:
    """Return which hops were asked for, in order, and which pages, which may come at once."""
    pages = ("/", "/yes", "/no")
    targets = [request.target for request in web.requests]
    hops = [target for target in targets if target not in pages]
    return hops, sorted(target for target in targets if target in pages)


async def first_page(web: SmallWeb, out: Path, **politeness: Any) -> None:
    """Crawl one page, which takes a robots.txt."""
    summary = await crawl(web.config(out, job={"max_pages": 1}, politeness=politeness))
    assert (summary.exit_code, asked(web)) == (ExitCode.LIMIT, (["/robots.txt"], ["/"]))


async def go_on(web: SmallWeb, out: Path, seconds: float, **politeness: Any) -> None:
    """Crawl the rest in another run, as if so many seconds had passed meanwhile."""
    clock = Clock(asyncio.get_running_loop().time, wall=lambda: time.time() + seconds)
    summary = await crawl(web.config(out, politeness=politeness), clock)
    assert summary.exit_code == ExitCode.COMPLETE


@pytest.mark.parametrize("seconds", [0.0, 23 * HOUR])
async def test_a_robots_txt_that_was_kept_is_not_asked_for_again(seconds: float, web: SmallWeb, tmp_path: Path) -> None:
    """It is in the store, so a restart goes on at once, and by the same rules."""
    await first_page(web, tmp_path / "out")
    await go_on(web, tmp_path / "out", seconds)
    assert asked(web) == (["/robots.txt"], ["/", "/yes"])
    assert [(line["url"], line["reason"]) for line in lines(tmp_path / "out", "skipped")] == [
        (web.url("/no"), "robots")
    ]


@pytest.mark.parametrize(
    ("seconds", "longest"), [(24 * HOUR + 1, 7 * 24 * HOUR), (61.0, 60.0)], ids=["a day, whatever is set", "as set"]
)
async def test_a_robots_txt_is_asked_for_anew_when_it_is_old(
    seconds: float, longest: float, web: SmallWeb, tmp_path: Path
) -> None:
    """RFC 9309 2.4: a copy is not used for more than 24 hours. What it says by then is what holds."""
    await first_page(web, tmp_path / "out", robots_max_age=longest)
    web.rules("User-agent: *\nDisallow: /yes\n")
    await go_on(web, tmp_path / "out", seconds, robots_max_age=longest)
    assert asked(web) == (["/robots.txt"] * 2, ["/", "/no"])


@pytest.mark.parametrize(("longest", "times"), [(0.5, 2), (60.0, 1)])
async def test_a_robots_txt_grows_old_within_a_run(longest: float, times: int, web: SmallWeb, tmp_path: Path) -> None:
    """An age below a second counts as one: no request may need a robots.txt of its own."""
    web.mount("/", lambda request: replace(html("/yes"), delay=1.1))
    await crawl(web.config(tmp_path / "out", politeness={"robots_max_age": longest}))
    assert asked(web) == (["/robots.txt"] * times, ["/", "/yes"])


def put_chain(web: SmallWeb, hops: int) -> list[str]:
    """Let robots.txt redirect so many times, to another host and back, to the rules; return the paths in order."""
    paths = ["/robots.txt", *(f"/hop{number}" for number in range(1, hops + 1))]
    web.rules("User-agent: *\nDisallow: /no\n", path=paths[-1])
    for number, path in enumerate(paths[:-1]):
        target = web.url(paths[number + 1], (number + 1) % 2)
        web.mount(path, lambda request, target=target: redirect(target))  # type: ignore[misc]  # a default binds it
    return paths


async def test_the_rules_behind_five_redirects_hold(web: SmallWeb, tmp_path: Path) -> None:
    """RFC 9309 2.3.1.2: at least five are followed, also across hosts, and the rules are the first host's."""
    paths = put_chain(web, 5)
    await crawl(web.config(tmp_path / "out"))
    assert asked(web) == (paths, ["/", "/yes"])


async def test_more_than_five_redirects_are_not_followed_and_allow_everything(web: SmallWeb, tmp_path: Path) -> None:
    """RFC 9309 2.3.1.2: it may be taken for unavailable, which permits all."""
    paths = put_chain(web, 6)
    await crawl(web.config(tmp_path / "out"))
    assert asked(web) == (paths[:-1], ["/", "/no", "/yes"])


async def test_a_robots_txt_that_redirects_to_itself_comes_to_an_end(web: SmallWeb, tmp_path: Path) -> None:
    web.mount("/robots.txt", lambda request: redirect("/robots.txt"))
    await crawl(web.config(tmp_path / "out"))
    assert asked(web) == (["/robots.txt"] * 6, ["/", "/no", "/yes"])


async def test_a_crawl_delay_is_kept_up_to_its_limit(web: SmallWeb, tmp_path: Path) -> None:
    """An hour between two pages would be the end of the crawl; a third of a second was allowed."""
    web.rules("User-agent: *\nCrawl-delay: 3600\n")
    await crawl(web.config(tmp_path / "out", politeness={"crawl_delay_max": 0.3}))
    starts = [request.at for request in web.requests if request.path != "/robots.txt"]
    assert len(starts) == 3
    assert 0.4 < starts[2] - starts[0] < 6.0, "twice 0.3 s, less what a busy machine kept the first one waiting"


async def test_a_robots_txt_that_fails_is_tried_again(web: SmallWeb, tmp_path: Path) -> None:
    """As often as a page would be; with no try left, nothing of the host may be asked for."""
    web.mount("/robots.txt", lambda request: text(503))
    await crawl(web.config(tmp_path / "out", fetch={"retries": 2, "retry_delay": 0.01, "retry_delay_max": 0.02}))
    assert asked(web) == (["/robots.txt"] * 3, [])
