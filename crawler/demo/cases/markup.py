"""What pages say about themselves and their links: nofollow, noindex, base, refresh, wrong types, copies, resources."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from crawler.demo.answer import HTML, Answer, Kind
from crawler.demo.cases.case import Case, content, page
from crawler.demo.render import frame


def markup(origin: str) -> Iterator[Case]:
    """Yield pages whose markup decides what is followed."""
    yield from _nofollow(origin)
    yield page(
        f"{origin}/markup/noindex", "Not to be indexed", head='<meta name="robots" content="NoIndex">', note="noindex"
    )
    based = f"{origin}/markup/based/on/this"
    yield page(
        f"{origin}/markup/base", "Links with a base", head='<base href="/markup/based/on/">',
        text='<p><a href="this">This</a> is not where it seems.</p>', note="a base element moves the links",
    )  # fmt: skip
    yield page(based, "Found by the base element")
    moved = f"{origin}/markup/refreshed"
    yield page(
        f"{origin}/markup/refresh", "About to move", head='<meta http-equiv="refresh" content="5; url=refreshed">',
        text='<p>Going <a href="refreshed">there</a>.</p>', note="meta refresh",
    )  # fmt: skip
    yield page(moved, "Moved by a refresh")
    yield page(
        f"{origin}/markup/parts", "A page with parts", note="image, style sheet, frame",
        head='<link rel="stylesheet" href="/assets/site.css"><link rel="icon" href="/assets/icon.png">',
        text='<img src="/assets/logo.png" alt="logo" srcset="/assets/logo.png 1x, /assets/large.png 2x">'
        '<iframe src="/markup/framed"></iframe>',
    )  # fmt: skip
    yield page(f"{origin}/markup/framed", "In a frame", kind=Kind.RESOURCE)
    for name in ("icon", "logo", "large", "dot"):
        yield content(f"{origin}/assets/{name}.png", _png(), (("Content-Type", "image/png"),), kind=Kind.RESOURCE)
    css = b'@charset "utf-8";\nbody { background: url("dot.png") }\n'
    yield content(f"{origin}/assets/site.css", css, (("Content-Type", "text/css"),), kind=Kind.RESOURCE)


def _nofollow(origin: str) -> Iterator[Case]:
    for name, note, head, rel, headers in (
        ("link", "a link with rel=nofollow", "", ' rel="noopener NoFollow"', ()),
        ("page", "a page whose meta element says nofollow", '<meta name="robots" content="nofollow">', "", ()),
        ("header", "a page whose X-Robots-Tag says nofollow", "", "", (("X-Robots-Tag", "nofollow"),)),
    ):
        text = f'<p><a{rel} href="nofollowed-by-{name}">Do not go there</a>.</p>'
        yield page(
            f"{origin}/markup/nofollow-{name}", f"Nofollow: {name}", head=head, text=text, note=note, headers=headers
        )
        yield page(f"{origin}/markup/nofollowed-by-{name}", f"Behind nofollow: {name}", kind=Kind.NOFOLLOW)


def rules(origins: tuple[str, ...]) -> Iterator[Case]:
    """Yield what robots.txt decides by more than the start of the path: `crawler.demo.robots` has the rules."""
    yield page(f"{origins[0]}/private/open/", "Open in private", note="allowed by the longer rule (RFC 9309 2.2.2)")
    if len(origins) > 3:
        yield Case(f"{origins[3]}/docs/?print=1", Kind.DISALLOWED, note="disallowed by a wildcard")
        yield page(f"{origins[3]}/docs/?print=12", "Not for printing", note="not disallowed: the rule ends in $")


def copies(origin: str) -> Iterator[Case]:
    """Yield pages with the same bytes, and pages with nearly the same text."""
    lines = [f"<p>Paragraph {n} of a text that is found in more than one place on this site.</p>\n" for n in range(30)]
    body = frame("The same everywhere", "".join(lines).encode())
    for name in ("one", "two", "three", "four?x=1", "four?x=2"):
        yield content(
            f"{origin}/same/{name}", body, (("Content-Type", HTML),), note="exact copy", title="The same everywhere"
        )
    for n in range(3):
        changed = [*lines[:n], f"<p>Only this paragraph is different: {n}.</p>\n", *lines[n:]]
        yield page(f"{origin}/near/{n}", "Nearly the same", text="".join(changed), note="near copy")


def types(origin: str) -> Iterator[Case]:
    """Yield pages that are not what their Content-Type says."""
    body = frame("Which type is this?", b"<p>The header and the bytes tell different stories.</p>")
    for name, headers, note in (
        ("text", (("Content-Type", "text/plain"),), "HTML, said to be plain text"),
        ("octets", (("Content-Type", "application/octet-stream"),), "HTML, said to be anything"),
        ("none", (), "HTML without a Content-Type"),
        ("nonsense", (("Content-Type", "html"),), "HTML with a Content-Type that is none"),
    ):
        yield Case(f"{origin}/type/{name}", Kind.PAGE, Answer(200, headers, body), body, note=note)
    png = _png()
    yield Case(
        f"{origin}/type/image",
        Kind.PAGE,
        Answer(200, (("Content-Type", HTML),), png),
        png,
        note="an image, said to be HTML",
    )


def _png() -> bytes:
    """Return a grey image of one pixel (W3C PNG 5 and 11)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\x00\x80")) + chunk(b"IEND", b"")
    )
