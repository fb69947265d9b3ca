"""Pages that no test of one's own would think of, and ordinary ones to count on."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

from pipelines.page import Page

MEBIBYTE = 1 << 20
_URL = "https://hostile.example/page"


def a_page(body: bytes, mime: str | None = "text/html", *fields: tuple[str, str], number: int = 0) -> Page:
    """Return a response with a right Content-Length; `mime` None for one that names no type."""
    headers = [("content-length", str(len(body))), *fields]
    if mime is not None:
        headers.append(("content-type", mime))
    return Page(number, f"{_URL}/{number}", 200, tuple(headers), body, "2027-01-01T00:00:00Z", framing="length")


def hostile_pages() -> dict[str, Page]:
    """Return pages by what is wrong with them: empty, binary, huge, deep, wrongly encoded, cut off."""
    named = {
        "empty": a_page(b""),
        "empty without a type": a_page(b"", None),
        "white space": a_page(b" \n\t" * 1000),
        "no text at all": a_page(b"<!doctype html><html><head></head><body></body></html>"),
        "all bytes": a_page(bytes(range(256)) * 64),
        "NUL": a_page(b"\0" * 4096),
        "an image": a_page(b"\x89PNG\r\n\x1a\n" + bytes(4096), "image/png"),
        "an image that says it is HTML": a_page(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 16),
        "JSON": a_page(b'{"price": 9.5, "items": [1, null, "\\ud800"]}', "application/json"),
        "plain text": a_page(b"line\r\n" * 2000, "text/plain"),
        "XML": a_page(b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaa">]><r>&a;&a;</r>', "application/xml"),
        '1 MiB of "<"': a_page(b"<" * MEBIBYTE),
        "1 MiB of one word": a_page(b"<p>" + b"a" * MEBIBYTE),
        "1 MiB of one title": a_page(b"<title>" + b"t " * (MEBIBYTE // 2)),
        "1 MiB of spaces": a_page(b"<p>a" + b" " * MEBIBYTE + b"b"),
        "deep nesting": a_page(b"<div>" * 5_000 + b"x"),
        "deep JSON": a_page(b'<script type="application/ld+json">' + b"[" * 20_000 + b"</script>"),
        "lone surrogates": a_page(_SURROGATES, "text/html; charset=utf-8"),
        "lone surrogates in UTF-16": a_page(b"\xff\xfe" + b"<\0p\0>\0" + b"\x00\xd8a\0\xff\xdf", "text/html"),
        "ten thousand attributes": a_page(b"<a " + b" ".join(b"a%d=1" % n for n in range(10_000)) + b">x</a>"),
        "ten thousand links": a_page(b"".join(b"<a href=/%d>%d</a>" % (n, n) for n in range(10_000))),
        "never closed": a_page(b'<html><body><p class="x" title="y><script>if (a < b) { <!-- <style>'),
        "scripts and styles": a_page(b"<script>alert('</p>')</script><style>p::after{content:'<p>'}</style><p>x"),
        "a wrong charset": a_page("<p>Grüße, 世界".encode(), "text/html; charset=shift_jis"),
        "a charset nobody knows": a_page(b"<p>x", "text/html; charset=klingon"),
        "right to left, combining, joined": a_page(_WRITING),
        "compressed": a_page(gzip.compress(b"<title>t", mtime=0), "text/html", ("content-encoding", "gzip")),
        "a header with odd bytes": a_page(b"<p>x", "text/html", ("x-odd", "\x80\xff \x01"), ("link", "<<>>;;rel=")),
        "cut off": a_page(b"<title>t</title><p>the rest is miss")._replace(truncated="content_length"),
        "a page of errors": a_page(b"<p>Not found")._replace(status=404),
    }  # fmt: skip
    return {case: page._replace(id=number, url=f"{_URL}/{number}") for number, (case, page) in enumerate(named.items())}


_WRITING = "<p>\u05e9\u05dc e\u0301\u0302 \U0001f469\u200d\U0001f467 \u202etxt".encode()
_SURROGATES = (
    b'<meta name=description content="\xed\xa0\x80"><title>\xed\xb0\x80 &#xD800;</title>'
    b'<script type="application/ld+json">{"name": "\\ud800", "offers": {"price": "\\udfff"}}</script><p>\xed\xa0\x80'
)


def ordinary_pages(count: int) -> Iterator[Page]:
    """Yield small pages, all different: address, title, words, price, links."""
    for number in range(count):
        body = (
            f"<!doctype html><html lang=en><title>Article {number}</title>"
            f'<meta property="og:title" content="Article {number}"><h1>Article {number}</h1>'
            f'<div itemprop="offers"><span itemprop="price">{number}.50</span>'
            f'<meta itemprop="priceCurrency" content="EUR"></div>'
            f"<p>Words of article w{number} and w{number + 1}. <a href=/{number + 1}>next</a> <a href=/>home</a></p>"
        )
        yield a_page(body.encode(), number=number)
