"""Manifests: the files of a list, a `SHA256SUMS` or a Metalink, told apart by what is in them.

A list has one file a line: its URL, after tabs the URLs of mirrors. Indented lines below it are options, as aria2
reads them: `out=PATH`, `checksum=ALGORITHM=HEX`; `size=BYTES` is ours. `#` begins a comment. Problems are collected, so
that a person sees all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from crawler.download.names import UnsafeName, folded, safe_relative
from crawler.download.proof import metalink, sums
from crawler.download.proof.digests import Digest, DigestError, parse_digest
from crawler.download.proof.metalink import MetalinkError, Pieces
from pipelines.url import canonicalize

MAX_BYTES = 10 * 2**20
MAX_PROBLEMS = 100


class Listed(NamedTuple):
    """One file that a manifest wants."""

    url: str
    """Canonical; the best mirror of a Metalink."""
    path: str | None = None
    """A safe relative path; None to take the name from the answer."""
    digests: tuple[Digest, ...] = ()
    size: int | None = None
    mirrors: tuple[str, ...] = ()
    """Other places, the best first."""
    pieces: Pieces | None = None


class Manifest(NamedTuple):
    """What a manifest wants, and what in it is wrong."""

    files: tuple[Listed, ...]
    problems: tuple[str, ...]
    """One sentence each, with the line where there is one."""


def parse(data: bytes, *, name: str = "", base: str | None = None) -> Manifest:
    """Read a manifest of any kind. `name` is its file name, which tells the algorithm of a checksum file.

    `base` is the URL that names in a checksum file and relative URLs in a Metalink are resolved against. Never raises.
    """
    if len(data) > MAX_BYTES:
        return Manifest((), (f"longer than {MAX_BYTES:,} bytes",))
    return _without_clashes(_read(data, name, base))


def _read(data: bytes, name: str, base: str | None) -> Manifest:
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
        return _of_metalink(data, base)
    entries = sums.entries(data, sums.kind_of(name))
    if entries:
        return _of_sums(entries, base)
    return _of_list(data.decode("utf-8-sig", "replace"), base)


def _without_clashes(manifest: Manifest) -> Manifest:
    """Leave out every file whose path another file has before it; paths that some file system mixes up are one."""
    taken: set[str] = set()
    files: list[Listed] = []
    problems = list(manifest.problems)
    for file in manifest.files:
        key = folded(file.path) if file.path is not None else None
        if key is not None and key in taken:
            problems.append(f"{file.path!r}: two files of this path")
            continue
        if key is not None:
            taken.add(key)
        files.append(file)
    return Manifest(tuple(files), tuple(problems[:MAX_PROBLEMS]))


def _of_metalink(data: bytes, base: str | None) -> Manifest:
    try:
        found = metalink.parse(data, base)
    except MetalinkError as exc:
        return Manifest((), (str(exc),))
    files: list[Listed] = []
    problems: list[str] = []
    for file in found:
        problems += [f"{file.name}: {problem}" for problem in file.problems]
        if not file.mirrors:
            problems.append(f"{file.name}: no http or https URL")
            continue
        first, *others = dict.fromkeys(mirror.url for mirror in file.mirrors)
        files.append(Listed(first, file.name, file.digests, file.size, tuple(others), file.pieces))
    return Manifest(tuple(files), tuple(problems[:MAX_PROBLEMS]))


def _of_sums(entries: list[sums.Entry], base: str | None) -> Manifest:
    if base is None:
        return Manifest((), ("a checksum file names no URLs: say which URL its names are relative to",))
    digests: dict[str, dict[Digest, None]] = {}
    problems: list[str] = []
    for entry in entries:
        try:
            path = str(safe_relative(entry.name or ""))
        except UnsafeName as exc:
            problems.append(str(exc))
            continue
        digests.setdefault(path, {})[entry.digest] = None
    files: list[Listed] = []
    for path, found in digests.items():
        url = canonicalize(_quoted(path), base)
        if url is None:
            problems.append(f"{path!r}: no URL below {base!r}")
        elif len({digest.algorithm for digest in found}) < len(found):
            problems.append(f"{path!r}: two digests of one algorithm")
        else:
            files.append(Listed(url, path, tuple(found)))
    return Manifest(tuple(files), tuple(problems[:MAX_PROBLEMS]))


def _quoted(path: str) -> str:
    """Return a path as a relative reference: what would end or change the path is escaped."""
    escaped = path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    return f"./{escaped}"  # a colon in the first component is no scheme then (RFC 3986 4.2)


def _of_list(text: str, base: str | None) -> Manifest:
    files: list[Listed] = []
    problems: list[str] = []
    for number, line, options in _blocks(text):
        urls = []
        for word in line.split("\t"):
            url = canonicalize(word, base) if word.strip() else None
            if url is not None:
                urls.append(url)
            elif word.strip():
                problems.append(f"line {number}: {word.strip()[:80]!r}: no http or https URL")
        if not urls:
            continue
        first, *others = dict.fromkeys(urls)
        listed, wrong = _with_options(Listed(first, mirrors=tuple(others)), options)
        problems += wrong
        if not wrong:
            files.append(listed)
    return Manifest(tuple(files), tuple(problems[:MAX_PROBLEMS]))


def _blocks(text: str) -> Iterator[tuple[int, str, list[tuple[int, str]]]]:
    """Yield each URL line with its number and the indented lines below it."""
    block: tuple[int, str, list[tuple[int, str]]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and block is not None:
            block[2].append((number, line.strip()))
            continue
        if block is not None:
            yield block
        block = (number, line, [])
    if block is not None:
        yield block


def _with_options(listed: Listed, options: list[tuple[int, str]]) -> tuple[Listed, list[str]]:
    problems = []
    for number, option in options:
        key, _, value = (part.strip() for part in option.partition("="))
        try:
            match key:
                case "out":
                    listed = listed._replace(path=str(safe_relative(value)))
                case "checksum":
                    listed = listed._replace(digests=(*listed.digests, parse_digest(value)))
                case "size" if value.isascii() and value.isdigit() and len(value) <= 18:
                    listed = listed._replace(size=int(value))
                case "size":
                    problems.append(f"line {number}: size {value[:40]!r}: no number of bytes")
                case _:
                    problems.append(f"line {number}: unknown option {key[:40]!r}; known are out, checksum, size")
        except (UnsafeName, DigestError) as exc:
            problems.append(f"line {number}: {exc}")
    return listed, problems
