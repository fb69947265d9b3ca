"""What servers see of a crawl that was told a lot: who asks, with what, for what, and in which order."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.errors import ExitCode
from crawler.testing import redirect, text
from tests.support.engine_runs import lines
from tests.support.small_web import SmallWeb, crawl, html

SECRETS = ("authorization", "cookie", "x-api-key")


async def test_an_origin_gets_its_secrets_and_nobody_else_does(tmp_path: Path) -> None:
    """Not another host that is linked to or redirected to, and not another port of the same one."""
    with SmallWeb() as web, SmallWeb() as neighbour:
        web.put("/", "/away", web.url("/linked", 1), neighbour.url("/port"))
        web.mount("/away", lambda request: redirect(web.url("/target", 2)))
        for path in ("/linked", "/target"):
            web.put(path)
        neighbour.put("/port")
        origin = {
            "url": web.url("").rstrip("/"),
            "headers": {"X-Api-Key": "the key"},
            "cookies": {"session": "s3", "theme": "dark"},
            "basic_auth": "me:pass:word",
        }
        await crawl(web.config(tmp_path / "out", origin=[origin]))
    assert {request.path for request in web.asked(origin=0)} == {"/robots.txt", "/", "/away"}
    for request in web.asked(origin=0):
        found = tuple(request.header(name) for name in SECRETS)
        assert found == (f"Basic {b64encode(b'me:pass:word').decode()}", "session=s3; theme=dark", "the key")
    others = [*web.asked(origin=1), *web.asked(origin=2), *neighbour.requests]
    assert {request.path for request in others} == {"/robots.txt", "/linked", "/target", "/port"}
    assert {request.header(name) for request in others for name in SECRETS} == {None}


async def test_every_request_says_who_asks_and_what_was_to_be_added(tmp_path: Path) -> None:
    with SmallWeb() as web:
        web.put("/", web.url("/linked", 1))
        web.put("/linked")
        fetch = {
            "user_agent": "mybot/3 (+https://example.org/bot)",
            "headers": {"X-Team": "blue", "Accept": "text/html"},
        }
        await crawl(web.config(tmp_path / "out", fetch=fetch))
    assert len(web.requests) == 4, "two pages, two robots.txt"
    said = {tuple(request.header(name) for name in ("user-agent", "x-team", "accept")) for request in web.requests}
    assert said == {("mybot/3 (+https://example.org/bot)", "blue", "text/html")}


async def test_raised_urls_come_first_and_lowered_ones_last(tmp_path: Path) -> None:
    """By as many depths as there are patterns that match: what is two forward comes before what is one."""
    with SmallWeb() as web:
        web.put("/", "/last/a", "/plain/a", "/first/a", "/plain/b", "/first/very", "/last/b")
        web.put("/first/a", "/plain/deep")
        for path in ("/last/a", "/last/b", "/plain/b", "/plain/deep", "/first/very"):
            web.put(path)
        web.mount("/plain/a", lambda request: replace(html(), delay=0.5))  # until the link to /plain/deep is known
        priority = {"raise": ["^/first", "very"], "lower": ["^/last", "^/last"]}
        await crawl(web.config(tmp_path / "out", priority=priority, fetch={"concurrency": 1}))
    near, deep = ["/plain/a", "/plain/b"], ["/plain/deep"]
    assert web.pages() == ["/", "/first/very", "/first/a", *near, *deep, "/last/a", "/last/b"]


async def test_no_more_requests_than_allowed_are_under_way_at_once(tmp_path: Path) -> None:
    with SmallWeb() as web:
        web.put("/", *(web.url(f"/{number}", number % 3) for number in range(12)))
        for number in range(12):
            web.mount(f"/{number}", lambda request: replace(html(), delay=0.02))
        await crawl(web.config(tmp_path / "out", fetch={"concurrency": 2}))
    assert len(web.pages()) == 13
    assert web.most_active == 2


async def test_the_rules_for_queries_hold_for_seeds_links_and_redirects(tmp_path: Path) -> None:
    """Whoever names a page, it is asked for once, under its one name."""
    with SmallWeb() as web:
        web.put("/", "/page?b=2&utm_source=mail&a=1", "/page?a=1&b=2&utm_medium=x", "/moved?utm_x=1")
        web.put("/page")
        web.mount("/moved", lambda request: redirect(web.url("/page?b=2&a=1&utm_term=y")))
        tables = {"url": {"drop_query_keys": ["utm_*"], "sort_query": True}}
        seeds = [web.url("/?utm_campaign=z"), web.url("/page?utm_id=1&b=2&a=1")]
        await crawl(web.config(tmp_path / "out", job={"seeds": seeds}, **tables))
        assert sorted(web.pages()) == ["/", "/moved", "/page?a=1&b=2"]
        found = {line["url"]: line["final_url"] for line in lines(tmp_path / "out")}
        assert found[web.url("/moved")] == web.url("/page?a=1&b=2")


async def test_the_wanted_headers_are_in_the_records_of_pages_and_redirects(tmp_path: Path) -> None:
    with SmallWeb() as web:
        web.put("/", "/moved", x_wanted="a page", x_other="no")
        web.mount("/moved", lambda request: redirect("/").with_field("X-Wanted", "a redirect"))
        await crawl(web.config(tmp_path / "out", output={"headers": ["x-wanted"]}))
        found = {line["url"]: line["headers"] for line in lines(tmp_path / "out")}
        moved = {"location": "/", "x-wanted": "a redirect"}
        assert found == {web.url("/"): {"x-wanted": "a page"}, web.url("/moved"): moved}


async def test_a_crawl_with_few_keys_in_its_records_finds_the_same(tmp_path: Path) -> None:
    with SmallWeb() as web:
        web.put("/", "/a", "/moved")
        web.put("/a", "/deep")
        web.put("/deep")
        web.mount("/moved", lambda request: redirect("/a"))
        await crawl(web.config(tmp_path / "whole"))
        await crawl(web.config(tmp_path / "few", output={"fields": ["final_url", "title", "sha256"]}))
        moved = web.url("/moved")
    whole, few = ({line["url"]: line for line in lines(tmp_path / name)} for name in ("whole", "few"))
    assert few.keys() == whole.keys()
    assert len(few) == 4
    wanted = ("schema", "url", "final_url", "status", "sha256", "title", "duplicate_of")
    assert {tuple(line) for url, line in few.items() if url != moved} == {wanted}
    assert tuple(few[moved]) == tuple(name for name in wanted if name != "title"), "a redirect has no title"
    of_chance = {"duplicate_of": None}  # which of two equal pages came first
    for url, line in few.items():
        assert line | of_chance == {name: whole[url][name] for name in line} | of_chance


async def test_a_retry_after_is_kept_up_to_its_limit(tmp_path: Path) -> None:
    """A server that asks for an hour gets the pause that was allowed, and the whole host gets it."""
    with SmallWeb() as web:
        web.put("/", "/busy", "/other")
        web.put("/other")
        web.mount("/busy", lambda request: text(429, retry_after="3600") if len(web.asked("/busy")) < 1 else html())
        polite = {"retry_after_max": 0.3, "backoff_max": 0.01}
        await crawl(web.config(tmp_path / "out", politeness=polite, fetch={"concurrency": 1}))
    busy, *later = [request for request in web.requests if request.path in ("/busy", "/other")]
    assert [busy.path, *sorted(request.path for request in later)] == ["/busy", "/busy", "/other"]
    assert 0.29 < min(request.at for request in later) - busy.at < 3.0


@pytest.mark.parametrize(("ratio", "code"), [(0.5, ExitCode.COMPLETE), (0.49, ExitCode.FAILURES)])
async def test_too_many_failures_are_no_success(ratio: float, code: ExitCode, tmp_path: Path) -> None:
    with SmallWeb() as web:
        web.put("/", "/broken")
        web.mount("/broken", lambda request: text(501))
        summary = await crawl(web.config(tmp_path / "out", job={"max_failed_ratio": ratio}))
    assert (summary.done, summary.failed, summary.exit_code) == (1, 1, code)
