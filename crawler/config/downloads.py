"""The sections about files: which links are files instead of pages, how they are fetched, and which are listed."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from msgspec import Meta

from crawler.config.kinds import FilePath, Size, SizeOrZero, Switch, Time, read_text
from crawler.config.parsed import Finding, Parsed, Source, meaning, refuse
from crawler.config.section import Section
from crawler.config.web import Seed

MAX_GLOB_CHARS: Final = 200
DIGEST_BYTES: Final = {
    "md5": 16, "sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64, "sha3_256": 32, "sha3_384": 48,
    "sha3_512": 64, "blake2b": 64, "blake2s": 32, "blake3": 32, "crc32c": 4, "crc32": 4,
}  # fmt: skip
"""Length of each digest that a file can be held to."""
_TYPE: Final = r"[a-z0-9!#$&^_.+-]+/(?:\*|[a-z0-9!#$&^_.+-]+)"  # RFC 6838 4.2, or all of a type


def _read_glob(raw: Any, source: Source) -> str:
    text = read_text(raw, source)
    if not text.startswith(("/", "*")):
        raise refuse('expected a glob that starts with "/" or "*" ("*.pdf", "/data/*")', "it is held to the whole path")
    if len(text) > MAX_GLOB_CHARS:
        raise refuse(f"expected a glob of at most {MAX_GLOB_CHARS} characters")
    return text


def _read_type(raw: Any, source: Source) -> str:
    text = read_text(raw, source).strip().lower()
    if not re.fullmatch(_TYPE, text):
        raise refuse('expected a media type without parameters ("application/pdf", "image/*")')
    if text in ("text/html", "application/xhtml+xml", "text/*"):
        raise refuse("expected a media type other than that of pages")
    return text


def _read_algorithm(raw: Any, source: Source) -> str:
    text = read_text(raw, source).strip().lower().replace("-", "")
    name = {known.replace("_", ""): known for known in DIGEST_BYTES}.get(text.replace("_", ""))
    if name is None:
        raise refuse(f"expected one of {', '.join(DIGEST_BYTES)}")
    return name


def _read_digest(raw: Any, source: Source) -> str:
    name, colon, value = read_text(raw, source).partition(":")
    if not colon:
        raise refuse('expected algorithm and hex digits ("sha512:9f86d0…")')
    algorithm = _read_algorithm(name, source)
    return f"{algorithm}:{_hex(value, DIGEST_BYTES[algorithm])}"


def _read_sha256(raw: Any, source: Source) -> str:
    return _hex(read_text(raw, source), DIGEST_BYTES["sha256"])


def _hex(text: str, length: int) -> str:
    digits = text.strip().lower()
    if not re.fullmatch(f"[0-9a-f]{{{2 * length}}}", digits):
        raise refuse(f"expected {2 * length} hex digits")
    return digits


def _read_place(raw: Any, source: Source) -> str:
    text = read_text(raw, source)
    parts = text.split("/")
    if any(part in ("", ".", "..") or part.startswith(".") or "\\" in part for part in parts):
        raise refuse("expected a path inside the folder of the files, without hidden names", 'e.g. "data/a.csv.gz"')
    if any(len(part.encode()) > 255 for part in parts):
        raise refuse("expected names of at most 255 bytes")
    return text


Glob = Annotated[str, Parsed(_read_glob, "glob", {"type": "string", "pattern": r"^[/*]", "examples": ["*.pdf"]})]
MediaType = Annotated[str, Parsed(_read_type, "media type", {"type": "string", "examples": ["application/pdf"]})]
Algorithm = Annotated[str, Parsed(_read_algorithm, "algorithm", {"type": "string", "examples": ["sha256"]})]
DigestText = Annotated[
    str, Parsed(_read_digest, "algorithm:hex", {"type": "string", "pattern": r"^[\w-]+:\s*[0-9A-Fa-f]+\s*$"})
]
Sha256 = Annotated[
    str, Parsed(_read_sha256, "64 hex digits", {"type": "string", "pattern": r"^\s*[0-9A-Fa-f]{64}\s*$"})
]
Place = Annotated[str, Parsed(_read_place, "path", {"type": "string", "minLength": 1})]


class Downloads(Section, frozen=True, kw_only=True):
    """Which links are files, fetched whole and verified instead of parsed, and how. Off without patterns and types."""

    patterns: Annotated[
        tuple[Glob, ...],
        meaning('Globs for the path, or path?query, of links that are files: "*.pdf", "/data/*". Case does not count.'),
    ] = ()
    content_types: Annotated[
        tuple[MediaType, ...],
        meaning('Media types that are files, told by the head of the response: "application/zip", "image/*".'),
    ] = ()
    folder: Annotated[FilePath | None, meaning("Folder for the files. When absent: files, in job.out.")] = None
    concurrency: Annotated[
        int,
        Meta(ge=1, le=1000),
        meaning("Files at a time, over all hosts; of 4 or more an eighth, at least one, is kept for hosts with none."),
    ] = 8
    segments: Annotated[
        int, Meta(ge=1, le=64), meaning("Most connections for one file; politeness.per_host bounds them too.")
    ] = 8
    processes: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        meaning("Processes that receive files. When absent: one for each core this process may use."),
    ] = None
    stall_timeout: Annotated[
        Time,
        meaning(
            "Silence after which a connection is given up and its rest asked for on another; fetch.read_timeout bounds "
            "it, and is what a server has that serves no parts."
        ),
    ] = 10.0
    max_bytes: Annotated[Size | None, meaning("Longest file; a longer one fails, and nothing of it is kept.")] = None
    require_digest: Annotated[
        Switch, meaning("A file fails when no digest is known that proves it, instead of being recorded as unverified.")
    ] = False
    page_digests: Annotated[
        Switch, meaning("Hold a file to the hex digest that stands beside its link on a crawled page.")
    ] = True
    digests: Annotated[
        tuple[Algorithm, ...], meaning("Digests computed for the record, whatever is known beforehand.")
    ] = ("sha256",)
    limit_rate: Annotated[SizeOrZero, meaning("Most bytes per second, all files together; 0 is no limit.")] = 0


class Download(Section, frozen=True, kw_only=True):
    """A file to fetch, listed by its URL. It needs no seed and no scope; robots.txt and politeness hold for it too."""

    url: Annotated[Seed, meaning("Where the file is.")]
    path: Annotated[
        Place | None, meaning("Where it goes, seen from downloads.folder. When absent: host and path of the URL.")
    ] = None
    sha256: Annotated[Sha256 | None, meaning("SHA-256 of the file, as sha256sum prints it.")] = None
    digests: Annotated[
        tuple[DigestText, ...], meaning('Further digests: "sha512:9f86d0…", "blake3:…". All have to match.')
    ] = ()
    size: Annotated[SizeOrZero | None, meaning("Exact size of the file.")] = None
    mirrors: Annotated[tuple[Seed, ...], meaning("Other URLs of the same file.")] = ()

    def known_digests(self) -> tuple[str, ...]:
        """Return every digest given, each as `algorithm:hex`."""
        own = (f"sha256:{self.sha256}",) if self.sha256 else ()
        return tuple(dict.fromkeys((*own, *self.digests)))

    def findings(self) -> Iterator[Finding]:
        """Yield two different digests of one algorithm, of which one must be wrong."""
        seen: dict[str, str] = {}
        for text in self.known_digests():
            algorithm = text.partition(":")[0]
            if algorithm in seen:
                yield Finding(("digests",), f"expected one {algorithm}, found two", others=(("sha256",),))
            seen[algorithm] = text
