"""The site is a pure function, and `expected()` is the truth about it: a reference crawl finds just that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import pytest
from protego import Protego
from selectolax.lexbor import LexborHTMLParser

from crawler.demo.site import Answer, Demo, Kind, Limits
from crawler.frontier.scope import Scope, ScopeRules
from pipelines.url import CanonicalUrl, canonicalize
from tests.support.politeness import robots_of

OPTIONS = [
    Demo(pages=1, hosts=4),
    Demo(pages=7),
    Demo(pages=300),
    Demo(pages=300, hosts=1, faults=True),
    Demo(pages=300, hosts=6, seed=99, cases=False),
    Demo(pages=200, port=80, closed_host=True),
    Demo(pages=60, hosts=2, names=("one.test", "two.test")),
]


@dataclass
class ReferenceCrawl:
    """Follows ordinary links and redirects by the rules, one URL after the other, without a network."""

    demo: Demo
    requested: dict[str, Answer] = field(default_factory=dict)
    refused: dict[str, Kind] = field(default_factory=dict)

    def run(self) -> None:
        self.scope = Scope(ScopeRules(hosts=frozenset(self.demo.hosts_served), **Limits()._asdict()))
        self.rules = {host: text and Protego.parse(text) for host, text in robots_of(self.demo).items()}
        todo = [CanonicalUrl(self.demo.start_url)]
        for url in todo:
            refusal = self.refusal(url)
            if refusal is not None:
                self.refused[url] = refusal
                continue
            assert len(self.requested) < 5_000, "the site does not end"
            answer = self.requested[url] = self.ask(url)
            links = [link for link in self.links(url, answer) if link is not None]
            known = {*todo}
            todo += [link for link in dict.fromkeys(links) if link not in known]

    def refusal(self, url: CanonicalUrl) -> Kind | None:
        verdict = self.scope(url)
        if isinstance(verdict, str):
            return Kind.OUT_OF_SCOPE if verdict == "host" else Kind.TRAP
        rules = self.rules[verdict[0]]
        return None if not rules or rules.can_fetch(url, "test") else Kind.DISALLOWED

    def ask(self, url: str) -> Answer:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        return self.demo.answer(parts.hostname or "", target, accept="", earlier=9)

    def links(self, url: str, answer: Answer) -> list[CanonicalUrl | None]:
        headers = dict(answer.headers)
        location = headers.get("Location")
        if location is not None:
            return [canonicalize(location.encode("latin-1").decode(), url)]
        if answer.status != 200 or "text/html" not in headers.get("Content-Type", "") or "X-Robots-Tag" in headers:
            return []
        if headers.get("Content-Encoding"):
            return []
        tree = LexborHTMLParser(answer.body)
        if tree.css_first('meta[name="robots"][content="nofollow"]'):
            return []
        base = tree.css_first("base[href]")
        if base is not None:
            url = canonicalize(base.attributes["href"] or "", url) or url
        nodes = (node for node in tree.css("a[href]") if "nofollow" not in (node.attributes.get("rel") or "").lower())
        return [canonicalize(node.attributes["href"] or "", url) for node in nodes]


@pytest.mark.parametrize("demo", OPTIONS, ids=repr)
def test_a_reference_crawl_finds_exactly_what_is_expected(demo: Demo) -> None:
    crawl = ReferenceCrawl(demo)
    crawl.run()
    expected = {found.url: found for found in demo.expected()}
    unreached = {url for url, found in expected.items() if found.kind in (Kind.NOFOLLOW, Kind.RESOURCE)}
    assert {*crawl.requested} | {*crawl.refused} == {*expected} - unreached
    for url, kind in crawl.refused.items():
        assert expected[url].kind is kind, url
    for url, answer in crawl.requested.items():
        found = expected[url]
        assert found.kind in (Kind.PAGE, Kind.REDIRECT, Kind.ERROR, Kind.FAULT), url
        assert answer.status == found.status, url
        if found.kind is Kind.PAGE and "Content-Encoding" not in dict(answer.headers):
            assert hashlib.sha256(answer.body).hexdigest() == found.sha256, url


def test_every_url_is_expected_once_and_canonical() -> None:
    urls = [found.url for found in Demo(pages=200, faults=True, closed_host=True).expected()]
    assert len(urls) == len(set(urls))
    assert urls == [canonicalize(url) for url in urls]


def test_titles_are_those_of_the_pages() -> None:
    demo = Demo(pages=200)
    titles = [(n, LexborHTMLParser(demo.page_body(n)).css_first("title")) for n in range(200)]
    expected = [found.title for found in demo.expected()][:200]
    assert [node.text() for _, node in titles if node] == expected
    assert any("&" in title for title in expected if title)


def test_equal_options_give_equal_sites_and_another_seed_another() -> None:
    first, again, other = (list(demo.expected()) for demo in (Demo(pages=50), Demo(pages=50), Demo(pages=50, seed=2)))
    assert first == again
    assert not {found.sha256 for found in first[:50]} & {found.sha256 for found in other[:50]}


def test_without_cases_there_is_one_record_per_page_and_nothing_to_wait_for() -> None:
    demo = Demo(pages=2_000, cases=False, crawl_delay_seconds=0)
    assert sum(1 for _ in demo.expected().pages()) == 2_000
    assert {found.kind for found in demo.expected()} == {Kind.PAGE, Kind.DISALLOWED}
    assert all("Crawl-delay" not in (text or "") for text in robots_of(demo).values())


def test_two_million_pages_cost_no_more_than_ten() -> None:
    demo = Demo(pages=2_000_000, hosts=7)
    last = demo.graph.url(1_999_999)
    parts = urlsplit(last)
    answer = demo.answer(parts.hostname or "", last.split(":8642", 1)[1], accept="")
    assert answer.status == 200
    assert b"1999999" in answer.body
    depth, number = 0, 1_999_999
    while number:
        number, depth = (number - 1) // 6, depth + 1
    assert depth <= 9


def test_a_url_in_another_spelling_is_no_page() -> None:
    demo = Demo(pages=300)
    accented = next(url for n in range(4, 300) if "%C3%A9" in (url := demo.graph.url(n)))
    host, target = urlsplit(accented).hostname or "", urlsplit(accented).path
    assert demo.answer(host, target).status == 200
    assert demo.answer(host, target.replace("%C3%A9", "%c3%a9")).status == 404
    assert demo.answer(host, target + "/").status == 404
    other = "127.0.0.1" if host != "127.0.0.1" else "127.0.0.2"
    assert demo.answer(other, target).status == 404


def test_a_foreign_host_is_misdirected() -> None:
    assert Demo().answer("elsewhere.invalid", "/").status == 421


def test_pages_are_compressed_only_for_who_asks() -> None:
    demo = Demo(pages=200)
    codings = {
        dict(demo.answer(demo.graph.hosts[n % 4], demo.graph.target(n)).headers).get("Content-Encoding")
        for n in range(200)
    }
    assert codings == {None, "gzip", "br", "zstd", "deflate"}
    plain = (demo.answer(demo.graph.hosts[n % 4], demo.graph.target(n), accept="identity") for n in range(200))
    assert not any("Content-Encoding" in dict(answer.headers) for answer in plain)


def test_sizes_are_around_the_mean() -> None:
    for mean in (3_000, 6_000, 20_000):
        demo = Demo(pages=400, page_bytes=mean)
        sizes = [len(demo.page_body(n)) for n in range(400)]
        assert mean * 0.7 < sum(sizes) / 400 < mean * 1.3


def test_robots_differ_by_host_and_sitemaps_list_every_page() -> None:
    demo = Demo(pages=500)
    texts = [demo.answer(host, "/robots.txt") for host in demo.graph.hosts]
    assert [answer.status for answer in texts] == [200, 200, 404, 200]
    assert b"Crawl-delay: 0.02" in texts[1].body
    listed = []
    for host in demo.graph.hosts:
        tree = LexborHTMLParser(demo.answer(host, "/sitemap.xml").body)
        listed += [node.text() for node in tree.css("loc")]
    assert sorted(listed) == sorted(demo.graph.url(n) for n in range(500))


def test_a_large_host_has_an_index_of_sitemaps() -> None:
    demo = Demo(pages=25_000, hosts=1)
    index = demo.answer("127.0.0.1", "/sitemap.xml").body
    assert index.count(b"<sitemap>") == 3
    assert demo.answer("127.0.0.1", "/sitemap-2.xml").body.count(b"<url>") == 5_000
    for wrong in ("/sitemap-3.xml", "/sitemap-02.xml", "/sitemap-x.xml"):
        assert demo.answer("127.0.0.1", wrong).status == 404


def test_the_limits_are_the_defaults_of_the_scope() -> None:
    rules = ScopeRules()
    assert Limits() == (rules.max_repeated_segments, rules.max_segments, rules.max_query_length)


def test_traps_end_where_the_scope_says() -> None:
    demo = Demo(pages=10)
    few, more = (
        [found.url for found in demo.expected(limits).of(Kind.PAGE) if "/trap/again" in found.url]
        for limits in (Limits(), Limits(max_repeated_segments=6))
    )
    assert (len(few), len(more)) == (3, 6)
    assert demo.answer("127.0.0.1", "/calendar/9999/12/").status == 200
    assert demo.answer("127.0.0.1", "/calendar/2026/13/").status == 404


def test_flaky_pages_recover_after_their_tries() -> None:
    demo = Demo(pages=10)
    answers = [demo.answer("127.0.0.3", "/status/flaky", earlier=n).status for n in range(4)]
    assert answers == [500, 500, 200, 200]
    assert demo.is_counted("127.0.0.3", "/status/flaky")
    steady = replace(demo, flaky=False)
    assert steady.answer("127.0.0.3", "/status/flaky").status == 200
    assert not steady.is_counted("127.0.0.3", "/status/flaky")


@pytest.mark.parametrize("wrong", [{"pages": 0}, {"page_bytes": -1}, {"delay_seconds": -0.1}])
def test_impossible_options_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"pages|negative"):
        Demo(**wrong)  # type: ignore[arg-type]  # whichever
