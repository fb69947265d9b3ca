"""Redirects: every status, chains, a loop, and places that do not exist or may not be visited."""

from __future__ import annotations

from collections.abc import Iterator

from crawler.demo.answer import Answer, Kind
from crawler.demo.cases.case import Case, page


def redirects(origin: str, other: str) -> Iterator[Case]:
    """Yield the cases of `origin`; `other` is the origin of another host, or the same one."""
    for status in (301, 302, 303, 307, 308):
        landed = f"{origin}/landed/{status}"
        yield _hop(f"{origin}/redirect/{status}", status, landed, landed, f"status {status}")
        yield page(landed, f"Landed by {status}")
    yield from _chain(origin)
    yield from _spellings(origin, other)
    yield from _dead_ends(origin)


def _hop(url: str, status: int, location: str, target: str, note: str = "", kind: Kind = Kind.REDIRECT) -> Case:
    return Case(url, kind, Answer(status, (("Location", location),)), note=note, target=target)


def _chain(origin: str) -> Iterator[Case]:
    steps = [f"{origin}/redirect/chain-{n}" for n in (3, 2, 1)] + [f"{origin}/landed/chain"]
    for n, (status, step, following) in enumerate(zip((301, 302, 308), steps, steps[1:], strict=False)):
        yield _hop(step, status, following, following, "three hops" if n == 0 else "")
    yield page(steps[-1], "Landed by a chain")


def _spellings(origin: str, other: str) -> Iterator[Case]:
    relative = f"{origin}/landed/relative"
    yield _hop(f"{origin}/redirect/relative", 302, "../landed/relative#here", relative, "relative, with a fragment")
    yield page(relative, "Landed by a relative Location")
    across = f"{other}/landed/across"
    yield _hop(f"{origin}/redirect/across", 301, across, across, "to another host")
    yield page(across, "Landed from another host")
    accented = f"{origin}/landed/caf%C3%A9"
    # The raw UTF-8 bytes in a header field, which RFC 9110 forbids and many servers send.
    raw = accented.replace("%C3%A9", b"\xc3\xa9".decode("latin-1"))
    yield _hop(f"{origin}/redirect/utf-8", 302, raw, accented, "Location in raw UTF-8")
    yield page(accented, "Landed by raw UTF-8")


def _dead_ends(origin: str) -> Iterator[Case]:
    loop = f"{origin}/redirect/loop-a", f"{origin}/redirect/loop-b"
    yield _hop(loop[0], 302, loop[1], loop[1], "a loop of two")
    yield _hop(loop[1], 302, loop[0], loop[0])
    myself = f"{origin}/redirect/self"
    yield _hop(myself, 302, myself, myself, "to itself", Kind.FAULT)
    outside = "http://elsewhere.invalid/"  # RFC 6761: never resolves
    yield _hop(f"{origin}/redirect/outside", 302, outside, outside, "to a host that is not ours")
    yield Case(outside, Kind.OUT_OF_SCOPE)
    private = f"{origin}/private/by-redirect.html"
    yield _hop(f"{origin}/redirect/private", 302, private, private, "to a page that robots.txt disallows")
    yield Case(private, Kind.DISALLOWED)
    for name, location, note in (
        ("invalid", "http://[", "Location is no URL"),
        ("scheme", "mailto:nobody@demo.invalid", "Location is no web address"),
    ):
        answer = Answer(302, (("Location", location),))
        yield Case(f"{origin}/redirect/{name}", Kind.FAULT, answer, note=note)
    yield Case(f"{origin}/redirect/missing", Kind.FAULT, Answer(302, ()), note="no Location at all")
