"""Files to download: up to some megabytes, in ranges, with the ways in which the web tells what they hash to.

A digest beside the link, a field of the response, a list of sums, none at all, and a wrong one. Only with
`Demo(downloads=True)`: to a crawl of pages they are nothing but heavy.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from crawler.demo.answer import HTML, Answer, Kind
from crawler.demo.cases.case import Case, content, page

FOLDER = "/downloads/"
_BINARY = "application/octet-stream"
_MODIFIED = "Tue, 01 Jul 2025 12:00:00 GMT"


class DemoFile(NamedTuple):
    """A file of the demo site, and what becomes of it where `*.bin`, `*.zip`, `*.pdf` and application/zip are files."""

    url: str
    status: str
    """`verified`, `unverified`, `mismatch` or `failed`, with the digests that pages tell."""
    body: bytes = b""
    says: str = ""
    """Digest beside its link, or what else is said of it there."""
    content_type: str = _BINARY
    headers: tuple[tuple[str, str], ...] = ()
    has_ranges: bool = True

    @property
    def sha256(self) -> str:
        """Hex digest of the file."""
        return hashlib.sha256(self.body).hexdigest()

    def answer(self) -> Answer:
        """Return what a request for the whole file gets."""
        if self.status == "failed":
            return Answer(404, (("Content-Type", HTML),), b"<!doctype html><title>404</title>")
        fields = [("Content-Type", self.content_type), *self.headers]
        if self.has_ranges:
            fields += [("Accept-Ranges", "bytes"), ("ETag", f'"{self.sha256[:16]}"'), ("Last-Modified", _MODIFIED)]
        return Answer(200, tuple(fields), self.body)


def demo_files(origin: str, key: int) -> tuple[DemoFile, ...]:
    """Return the files."""
    bodies = [hashlib.shake_128(f"{key}/download/{number}".encode()).digest(size) for number, size in enumerate(_SIZES)]
    big, fielded, summed, wrong, bare, typed, whole, moved = bodies
    at = origin + FOLDER
    return (
        DemoFile(f"{at}big.bin", "verified", big, hashlib.sha256(big).hexdigest()),
        DemoFile(f"{at}fielded.bin", "verified", fielded, headers=(("Repr-Digest", _field(fielded)),)),
        DemoFile(f"{at}summed.zip", "verified", summed),
        DemoFile(f"{at}wrong.zip", "mismatch", wrong, hashlib.sha256(b"another file").hexdigest()),
        DemoFile(f"{at}bare.pdf", "unverified", bare, content_type="application/pdf"),
        DemoFile(f"{at}get?id=7", "unverified", typed, content_type="application/zip"),
        DemoFile(f"{at}whole.bin", "verified", whole, "MD5 " + hashlib.md5(whole).hexdigest(), has_ranges=False),  # noqa: S324  # as sites publish it
        DemoFile(f"{at}empty.bin", "verified", b"", hashlib.sha256(b"").hexdigest()),
        DemoFile(f"{at}gone.zip", "failed"),
        DemoFile(f"{at}release-7.zip", "verified", moved, headers=(("Repr-Digest", _field(moved)),)),
    )


_SIZES = (6_000_000, 3_000_000, 1_500_000, 64_000, 100_000, 200_000, 1_000_000, 300_000)


def downloads(origin: str, key: int) -> Iterator[Case]:
    """Yield the page that lists the files, the files, a redirect to one of them, and the list of sums."""
    files = demo_files(origin, key)
    rows, sums = [], []
    for file in files[:-1]:
        name = file.url.rpartition("/")[2]
        rows.append(
            f'<tr><td><a href="{escape(file.url)}">{escape(name)}</a></td><td>{len(file.body):,} bytes</td>'
            f"<td><code>{file.says}</code></td></tr>\n"
        )
        if name.startswith("summed"):
            sums.append(f"{file.sha256}  {name}\n")
    latest, last = f"{origin}{FOLDER}latest.zip", files[-1]
    text = f'<p><a href="{latest}">The latest release</a>, <a href="{origin}{FOLDER}SHA256SUMS">sums</a>.</p>\n'
    listing = f"{text}<table>\n{''.join(rows)}</table>\n"
    yield page(f"{origin}{FOLDER}", "Files to download", note="files to download, with digests", text=listing)
    plain = (("Content-Type", "text/plain"),)
    yield content(f"{origin}{FOLDER}SHA256SUMS", "".join(sums).encode(), plain)
    yield Case(latest, Kind.REDIRECT, Answer(302, (("Location", last.url),)), target=last.url)
    for file in files:
        kind = Kind.ERROR if file.status == "failed" else Kind.PAGE
        yield Case(file.url, kind, file.answer(), None if kind is Kind.ERROR else file.body)


def _field(body: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"
