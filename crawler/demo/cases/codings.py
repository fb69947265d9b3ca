"""Content codings: each one, several at once, cut off, damaged and unknown."""

from __future__ import annotations

from collections.abc import Iterator

from crawler.demo.answer import HTML, Answer, Kind, encode, raw_deflate
from crawler.demo.cases.case import Case
from crawler.demo.render import frame

_STACKS = (
    ("gzip",), ("deflate",), ("br",), ("zstd",), ("deflate", "gzip"), ("gzip", "gzip"), ("br", "zstd", "gzip"),
    ("gzip", "deflate", "br", "zstd", "gzip"),
)  # fmt: skip


def codings(origin: str) -> Iterator[Case]:
    """Yield the cases; these are coded whatever the client accepts."""
    for stack in _STACKS:
        label = ", ".join(stack)
        title, body = _content(label)
        yield _case(f"{origin}/coding/{'-'.join(stack)}", label, encode(body, stack), body, title, label)
    title, body = _content("raw deflate")
    yield _case(
        f"{origin}/coding/raw-deflate", "deflate", raw_deflate(body), body, title, "deflate without its wrapper"
    )
    title, body = _content("x-gzip")
    yield _case(f"{origin}/coding/x-gzip", "X-GZIP", encode(body, ("gzip",)), body, title, "the old name of gzip")
    title, body = _content("two members")
    members = encode(body[:700], ("gzip",)) + encode(body[700:], ("gzip",))
    yield _case(f"{origin}/coding/two-members", "gzip", members, body, title, "a gzip file of two members")
    yield from _broken(origin)


def _broken(origin: str) -> Iterator[Case]:
    _, body = _content("broken")
    packed = {coding: encode(body, (coding,)) for coding in ("gzip", "br", "zstd")}
    for coding, data in packed.items():
        yield _case(
            f"{origin}/coding/cut-{coding}", coding, data[: len(data) // 2], None, None, f"{coding}, half of it"
        )
    wrong = packed["gzip"][:-8] + bytes(4) + packed["gzip"][-4:]
    yield _case(f"{origin}/coding/bad-crc", "gzip", wrong, None, None, "gzip with a wrong checksum")
    yield _case(f"{origin}/coding/not-gzip", "gzip", body, None, None, "says gzip and is not")
    yield _case(f"{origin}/coding/unknown", "rot13", body, None, None, "a coding that does not exist")
    yield _case(f"{origin}/coding/six", ", ".join(["gzip"] * 6), encode(body, ("gzip",) * 6), None, None, "six codings")


def _content(label: str) -> tuple[str, bytes]:
    title = f"Coded page: {label}"
    text = "".join(f"<p>Line {n} of a page that went through: {label}.</p>\n" for n in range(40))
    return title, frame(title, text.encode())


def _case(url: str, coding: str, data: bytes, body: bytes | None, title: str | None, note: str) -> Case:
    headers = (("Content-Type", HTML), ("Content-Encoding", coding))
    return Case(url, Kind.FAULT if body is None else Kind.PAGE, Answer(200, headers, data), body, title, note)
