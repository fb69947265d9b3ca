"""A file and the honest server of it: what RFC 9110 asks for, from which every fault departs in one point."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crawler.testing.bodies import Body, Literal, Source
from crawler.testing.messages import Fields, Reply, Request

A_DATE = "Sat, 01 Nov 2025 10:00:00 GMT"
ANOTHER_DATE = "Sun, 02 Nov 2025 11:30:00 GMT"


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A representation and what its server says of it."""

    body: Source
    etag: str | None = '"version-a"'
    """With its quotes, and W/ if it is weak."""
    last_modified: str | None = A_DATE
    content_type: str = "application/octet-stream"
    accept_ranges: str | None = "bytes"
    has_ranges: bool = True
    """Whether ranges are answered with 206, whatever `accept_ranges` says."""
    does_if_range: bool = True
    does_if_match: bool = True
    fields: Fields = ()
    """More header lines for every reply with a body."""

    @property
    def lines(self) -> Fields:
        """The header lines that describe the representation."""
        lines = [("Content-Type", self.content_type)]
        lines += [("Accept-Ranges", self.accept_ranges)] if self.accept_ranges is not None else []
        lines += [("ETag", self.etag)] if self.etag is not None else []
        lines += [("Last-Modified", self.last_modified)] if self.last_modified is not None else []
        return (*lines, *self.fields)


def version(name: str, size: int) -> ServedFile:
    """Return version "A", "B", … of a file, with the ETag and date that belong to it."""
    date = A_DATE if name == "A" else ANOTHER_DATE
    return ServedFile(Body(size, name), etag=f'"version-{name.lower()}"', last_modified=date)


def serve(request: Request, file: ServedFile) -> Reply:
    """Return the honest reply to GET or HEAD: preconditions, then If-Range, then the one range asked for."""
    if request.method not in ("GET", "HEAD"):
        return Reply(405, (("Allow", "GET, HEAD"),))
    if _precondition_fails(request, file):
        return Reply(412, file.lines)
    whole = Reply(200, file.lines, file.body)
    if request.method == "HEAD":
        return whole
    if not file.has_ranges or request.range is None or not _if_range_holds(request, file):
        return whole
    first, end = request.range
    size = file.body.size
    if first >= size:
        return Reply(416, (("Content-Range", f"bytes */{size}"),))
    return part(file, first, size if end is None else min(end, size))


def part(file: ServedFile, first: int, end: int) -> Reply:
    """Return the honest 206 of a stretch of a file (RFC 9110 15.3.7)."""
    lines = (*file.lines, ("Content-Range", f"bytes {first}-{end - 1}/{file.body.size}"))
    return Reply(206, lines, file.body, first, end)


def held(reply: Reply, body: bytes) -> Reply:
    """Return a reply with other bytes for its body."""
    return replace(reply, source=Literal(body), first=0, end=None)


def _precondition_fails(request: Request, file: ServedFile) -> bool:
    """RFC 9110 13.1.1 and 13.1.4: strong comparison, and a date that is not later."""
    wanted = request.header("if-match")
    if wanted is not None and file.does_if_match:
        tags = [tag.strip() for tag in wanted.split(",")]
        return wanted != "*" and (file.etag not in tags or (file.etag or "").startswith("W/"))
    since = request.header("if-unmodified-since")
    return since is not None and file.last_modified is not None and since != file.last_modified


def _if_range_holds(request: Request, file: ServedFile) -> bool:
    """RFC 9110 13.1.5: a strong ETag that matches, or the very date."""
    wanted = request.header("if-range")
    if wanted is None or not file.does_if_range:
        return True
    if wanted.startswith(('"', "W/")):
        return wanted == file.etag and not wanted.startswith("W/")
    return wanted == file.last_modified
