"""The HTML of the demo site: the frame every page has, and the body of the numbered pages."""

from __future__ import annotations

from html import escape

from crawler.demo.choice import mix
from crawler.demo.graph import Graph
from crawler.demo.text import PARAGRAPHS, sentence

_STYLE = (
    "body{margin:0;font:17px/1.6 system-ui,sans-serif;color:#222;background:#fbfaf7}"
    "nav,main,footer{max-width:44rem;margin:auto;padding:.8rem 1.2rem}nav a{margin-right:1.2rem}"
    "h1{line-height:1.2}a{color:#0b5c86}footer{color:#777;font-size:.85rem;border-top:1px solid #ddd}"
    "table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}"
)
_UNLISTED = (
    b'<p>Write to <a href="mailto:nobody@demo.invalid">nobody</a>, call <a href="tel:+000">no number</a>, '
    b'<a href="javascript:void(0)">do nothing</a> or go <a href="#top">up</a>.</p>\n'
)


def frame(title: str, main: bytes, *, head: str = "", nav: str = "", footer: str = "") -> bytes:
    """Return a whole HTML page. `title` and `footer` are plain text; `head`, `nav` and `main` are markup."""
    start = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n{head}<style>{_STYLE}</style>\n</head>\n<body>\n'
        f'<nav id="top">{nav}</nav>\n<main>\n<h1>{escape(title)}</h1>\n'
    )
    return b"".join((start.encode(), main, f"</main>\n<footer>{escape(footer)}</footer>\n</body>\n</html>\n".encode()))


def numbered(graph: Graph, pool: tuple[bytes, ...], number: int, *, mean_bytes: int, nav: str, more: str) -> bytes:
    """Return the HTML of one numbered page; about `mean_bytes`, between a third and five thirds of it.

    `nav` and `more` are links for its top and its end, as markup.
    """
    bits = graph.bits(number)
    url, hosts = graph.url(number), len(graph.hosts)
    start, here = graph.origins[0], graph.origins[number % hosts]
    head = f'<meta name="description" content="{sentence(bits)}">\n<link rel="canonical" href="{escape(url)}">\n'
    parts = [_welcome(graph, number)] if number < hosts else [f"<p>{sentence(mix(bits))} Page {number}.</p>\n".encode()]
    wanted = mean_bytes // 3 + (bits >> 16) % (mean_bytes * 4 // 3 + 1) - 2_000
    while wanted > 0:
        bits = mix(bits)
        paragraph = pool[bits % PARAGRAPHS]
        parts.append(paragraph)
        wanted -= len(paragraph)
    items = [f'<li><a href="{escape(href)}">{label}</a></li>\n' for href, label in graph.links(number)]
    parts.append(f'<h2 id="part-2">Read on</h2>\n<ul>\n{"".join(items)}</ul>\n{more}'.encode())
    if bits & 7 == 0:
        parts.append(_UNLISTED)
    nav = f'<a href="{start}/">Start</a><a href="{here}/">This host</a>{nav}'
    footer = (
        f"Page {number} of {graph.pages}, host {number % hosts + 1} of {hosts}. A demo site: the text means nothing."
    )
    return frame(graph.title(number), b"".join(parts), head=head, nav=nav, footer=footer)


def _welcome(graph: Graph, number: int) -> bytes:
    hosts = "".join(f'<li><a href="{origin}/">{origin}/</a></li>\n' for origin in graph.origins)
    return (
        f"<p>This is a web in a box: {graph.pages:,} pages on {len(graph.hosts)} hosts, made up on the spot by "
        "<code>crawl demo</code> and the same for everyone who asks for the same size and seed. It has what the "
        "real web has: links in every spelling, robots.txt, redirects, errors, duplicates, odd encodings and traps. "
        "Point a crawler at it and compare what it found with what there is.</p>\n"
        f"<p>You are on host {number + 1}. The hosts:</p>\n<ul>\n{hosts}</ul>\n"
    ).encode()
