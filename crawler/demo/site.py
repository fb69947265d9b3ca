"""The demo site as a pure function: host and target in, answer out.

`Demo` holds its options and a few constants of the seed. Nothing is stored per page, so a site of 2,000,000 pages is as
cheap as one of 10; two `Demo`s with equal options answer alike, byte for byte, in every process. No answer depends on
the time. `Demo.expected()` is the ground truth for tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from crawler.demo.answer import HTML, Answer, Drip, Kind, encode
from crawler.demo.cases import Catalogue, Limits
from crawler.demo.cases.downloads import DemoFile, demo_files
from crawler.demo.choice import mix
from crawler.demo.expected import Expected
from crawler.demo.graph import Graph
from crawler.demo.render import numbered
from crawler.demo.robots import PRIVATE_PLACES, robots, sitemap
from crawler.demo.text import paragraphs

__all__ = ["Answer", "Demo", "Drip", "Kind", "Limits", "addresses"]

_PAGE_CODINGS = {0: "gzip", 1: "br", 2: "zstd", 3: "deflate"}  # of 16: a quarter of the pages is compressed on request


def addresses(count: int) -> tuple[str, ...]:
    """Return `count` loopback addresses: 127.0.0.1, 127.0.0.2, … (all of 127.0.0.0/8 is loopback on Linux)."""
    if not 1 <= count <= 60_000:
        raise ValueError(f"hosts: expected 1 to 60000, got {count}")
    return tuple(f"127.0.{n // 250}.{n % 250 + 1}" for n in range(count))


@dataclass(frozen=True)
class Demo:
    """A deterministic web site. Equal options give equal answers.

    `dataclasses.replace(demo, port=...)` gives the same site at another port: the port is part of absolute links.
    """

    pages: int = 500
    """Numbered pages on all hosts together; every one answers 200 with HTML and is reached by links from page 0."""
    hosts: int = 4
    """Hosts 127.0.0.1, 127.0.0.2, … when `names` is empty; never more than `pages`."""
    seed: int = 1
    port: int = 8642
    names: tuple[str, ...] = ()
    """Host names to use instead of loopback addresses; the client must be able to resolve them."""
    page_bytes: int = 6_000
    """Mean size of a numbered page."""
    delay_seconds: float = 0.0
    """Wait before every answer but robots.txt."""
    crawl_delay_seconds: float = 0.02
    """Crawl-delay in robots.txt of every fourth host, from the second on; 0 leaves it out."""
    cases: bool = True
    """Whether there are special URLs beside the numbered pages. Without, a crawl has exactly `pages` records."""
    slow_seconds: float = 0.3
    """How long the slow pages among the special URLs take."""
    flaky: bool = True
    """Whether some special URLs answer 500, 503 and 429 at first. The server counts the requests, so a restart of the
    server starts them over; without this no answer depends on what was asked before."""
    faults: bool = False
    """Whether some special URLs break the connection."""
    downloads: bool = False
    """Whether some special URLs are files of up to some megabytes, which can be had in ranges."""
    closed_host: bool = False
    """Whether there is one more host, linked from the first page, whose robots.txt answers 503: all of it is closed."""

    def __post_init__(self) -> None:
        if self.pages < 1:
            raise ValueError(f"pages: expected 1 or more, got {self.pages}")
        if min(self.page_bytes, self.delay_seconds, self.crawl_delay_seconds, self.slow_seconds) < 0:
            raise ValueError("page_bytes and the delays must not be negative")

    @cached_property
    def graph(self) -> Graph:
        """The numbered pages and their links."""
        names = self.names or addresses(self.hosts)
        return Graph(self.pages, names[: self.pages], self.port, mix(self.seed))

    @cached_property
    def hosts_served(self) -> tuple[str, ...]:
        """All host names, the closed one last."""
        return self.graph.hosts + (addresses(len(self.graph.hosts) + 1)[-1:] if self.closed_host else ())

    @cached_property
    def start_url(self) -> str:
        """The URL from which everything is reached."""
        return self.graph.origins[0] + "/"

    @cached_property
    def catalogue(self) -> Catalogue | None:
        """The special URLs, if there are any."""
        if not self.cases:
            return None
        return Catalogue(self.graph.origins, mix(self.seed), self.slow_seconds, self.flaky, self.faults, self.downloads)

    @cached_property
    def closed_url(self) -> str | None:
        """The page of the closed host that the first page links to."""
        if not self.closed_host:
            return None
        return self.graph.origins[0].replace(self.graph.hosts[0], self.hosts_served[-1]) + "/closed.html"

    @cached_property
    def _pool(self) -> tuple[bytes, ...]:
        return paragraphs(mix(self.seed))

    @cached_property
    def _host_index(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.hosts_served)}

    def answer(self, host: str, target: str, *, accept: str = "gzip, deflate, br, zstd", earlier: int = 0) -> Answer:
        """Return the answer to GET `target` (path and query as sent) on `host` (name without port).

        `accept` is the Accept-Encoding of the request; `earlier` says how often a URL for which `is_counted` holds was
        asked for before. A host that is not part of the site answers 421.
        """
        index = self._host_index.get(host)
        if index is None:
            return _message(421, "This host is not part of the demo site.")
        if index == len(self.graph.hosts):
            return _message(503, "This host is closed.")
        number = self.graph.number(index, target)
        if number is not None:
            return self._page_answer(number, accept)
        return self._other(index, target, earlier) or _message(404, "There is no such page.", self.delay_seconds)

    def is_counted(self, host: str, target: str) -> bool:
        """Return whether the answer depends on how often the URL was asked for before."""
        index = self._host_index.get(host, len(self.graph.hosts))
        return self.catalogue is not None and index < len(self.graph.hosts) and self.catalogue.is_counted(index, target)

    def warm(self) -> None:
        """Make what is made once per site, so that the first answers take no longer than the others."""
        self.page_body(0)
        if self.catalogue is not None:
            self.catalogue.answer(0, "/cases/", 0)

    def files(self) -> tuple[DemoFile, ...]:
        """Return the files to download, if there are any, and what should become of each."""
        origins = self.graph.origins
        return demo_files(origins[3 % len(origins)], mix(self.seed)) if self.cases and self.downloads else ()

    def expected(self, limits: Limits = Limits()) -> Expected:  # noqa: B008 - an immutable value
        """Return the ground truth: every URL of the site and what a crawl within the scope `limits` makes of it."""
        return Expected(self, limits)

    def page_body(self, number: int) -> bytes:
        """Return the HTML of a numbered page."""
        nav = f'<a href="{self.start_url}cases/">Special cases</a>' if self.cases else ""
        more = self._private_link(number)
        if number == 0 and self.closed_url:
            more += f'<p>A host that is closed: <a href="{self.closed_url}">knock</a>.</p>\n'
        return numbered(self.graph, self._pool, number, mean_bytes=self.page_bytes, nav=nav, more=more)

    def private_target(self, number: int) -> str | None:
        """Return the disallowed target on its own host that a numbered page links to, if it does."""
        host = number % len(self.graph.hosts)
        if host % 4 in PRIVATE_PLACES and self.graph.bits(number) >> 34 & 15 == 0:
            return f"/private/{number}.html"
        return None

    def _private_link(self, number: int) -> str:
        target = self.private_target(number)
        return f'<p>Not for robots: <a href="{target}">notes on page {number}</a>.</p>\n' if target else ""

    def _page_answer(self, number: int, accept: str) -> Answer:
        body = self.page_body(number)
        bits = self.graph.bits(number) >> 40
        headers: tuple[tuple[str, str], ...] = (("Content-Type", HTML),)
        coding = _PAGE_CODINGS.get(bits & 15)
        if coding:
            headers = (*headers, ("Vary", "Accept-Encoding"))
            if coding in accept:
                headers = (*headers, ("Content-Encoding", coding))
                body = encode(body, (coding,))
        return Answer(200, headers, body, delay_seconds=self.delay_seconds, chunked=bits >> 4 & 15 == 0)

    def _other(self, host: int, target: str, earlier: int) -> Answer | None:
        if target == "/robots.txt":
            text = robots(self.graph, host, self.crawl_delay_seconds)
            return None if text is None else Answer(200, (("Content-Type", "text/plain"),), text.encode())
        if target.startswith("/sitemap"):
            text = sitemap(self.graph, host, target)
            return None if text is None else Answer(200, (("Content-Type", "application/xml"),), text.encode())
        if self.catalogue is not None and (special := self.catalogue.answer(host, target, earlier)):
            return special
        if target.startswith("/private/") and host % 4 in PRIVATE_PLACES:
            # A robot that comes here has broken the rules; it gets a page, so that the log tells, not the status.
            return Answer(200, (("Content-Type", HTML),), b"<!doctype html><title>Private</title><p>Not for robots.")
        return None


def _message(status: int, text: str, delay_seconds: float = 0.0) -> Answer:
    body = f"<!doctype html>\n<title>{status}</title>\n<h1>{status}</h1>\n<p>{text}</p>\n"
    return Answer(status, (("Content-Type", HTML),), body.encode(), delay_seconds)
