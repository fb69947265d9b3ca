"""robots.txt and sitemaps of the demo site. Each host has its own rules, by its place modulo four.

| place | robots.txt |
|---|---|
| 0 | disallows /private/ (but allows /private/open/) and /calendar/; names the sitemap |
| 1 | Crawl-delay (when one is set), nothing disallowed |
| 2 | there is none: 404 |
| 3 | CRLF, comments, a group for another robot, wildcards: /private/ and /*print=1 are disallowed |
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from crawler.demo.graph import Graph

SITEMAP_URLS = 10_000  # sitemaps.org allows 50,000; less keeps one answer below a megabyte
PRIVATE_PLACES = (0, 3)


def robots(graph: Graph, host: int, crawl_delay: float) -> str | None:
    """Return the text of a host's robots.txt; None when it has none."""
    sitemap = f"Sitemap: {graph.origins[host]}/sitemap.xml\n"
    match host % 4:
        case 0:
            rules = "User-agent: *\nDisallow: /private/\nAllow: /private/open/\nDisallow: /calendar/\n"
            return f"# The demo site: traps and private pages are off limits\n{rules}\n{sitemap}"
        case 1:
            delay = f"Crawl-delay: {crawl_delay:g}\n" if crawl_delay else ""
            return f"User-agent: *\n{delay}Disallow:\n\n{sitemap}"
        case 2:
            return None
        case _:
            text = (
                "user-agent: nosy-bot # not welcome\ndisallow: /\n\n"
                "User-Agent: *   # everyone else\nDisallow: /private/\nDisallow: /*print=1$\nUnknown: line\n\n"
            )
            return (text + sitemap).replace("\n", "\r\n")


def sitemap(graph: Graph, host: int, target: str) -> str | None:
    """Return /sitemap.xml (an index, when one file does not hold all pages of the host) or /sitemap-N.xml."""
    count = len(range(host, graph.pages, len(graph.hosts)))
    files = -(-count // SITEMAP_URLS)
    if target == "/sitemap.xml":
        if files <= 1:
            return "".join(_urlset(graph, host, 0))
        origin = graph.origins[host]
        items = "".join(f"<sitemap><loc>{origin}/sitemap-{n}.xml</loc></sitemap>\n" for n in range(files))
        return _document("sitemapindex", items)
    number = target.removeprefix("/sitemap-").removesuffix(".xml")
    if files > 1 and number.isdecimal() and number == str(int(number)) and int(number) < files:
        return "".join(_urlset(graph, host, int(number)))
    return None


def _document(element: str, items: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{element} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        f"{items}</{element}>\n"
    )


def _urlset(graph: Graph, host: int, file: int) -> Iterator[str]:
    step = len(graph.hosts)
    first = host + file * SITEMAP_URLS * step
    pages = range(first, min(graph.pages, first + SITEMAP_URLS * step), step)
    yield _document("urlset", "".join(f"<url><loc>{escape(graph.url(page))}</loc></url>\n" for page in pages))
