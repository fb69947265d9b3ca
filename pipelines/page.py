"""The shared words of the pipeline: what goes in, what stages work on, what comes out.

A `Page` is one HTTP response exactly as it came off the wire: still compressed, still undecoded. It crosses into a
worker process, so it is a NamedTuple: those pickle in a third of the time of a frozen slotted dataclass.

A `Document` lives in one worker only, for the time of one page. Stages read and change it; nothing else ever sees it.

A `Processed` crosses back. It carries bytes that are ready to be written, so that the event loop never serialises,
parses or canonicalises anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

SCHEMA_VERSION = 1
"""Version of the record in pages.jsonl; docs/records.md tells the history."""


class Page(NamedTuple):
    """One response as it came off the wire, and what the crawl knows of it."""

    id: int
    """The URL's row in the store; 0 outside a crawl."""
    url: str
    """Canonical URL (WHATWG serialisation, no fragment, no credentials)."""
    status: int
    """HTTP status code."""
    headers: tuple[tuple[str, str], ...]
    """Response headers in order, names in lower case, values as latin-1 text."""
    body: bytes
    """Message body after transfer coding and before content coding, at most `fetch.max_wire_bytes` long."""
    fetched_at: str
    """UTC, RFC 3339, when the response's head arrived."""
    depth: int = 0
    """Links followed from a seed; a redirect does not count."""
    via: str | None = None
    """The URL on which this one was first found."""
    truncated: str | None = None
    """Why the body is not whole, as seen on the wire: `content_length`, `chunked`, `max_wire_bytes`, …"""
    redirects: tuple[str, ...] = ()
    """The chain of URLs that redirected here, first one first."""
    timings: tuple[tuple[str, float], ...] = ()
    """Seconds by phase, e.g. `(("wait", 0.1), ("fetch", 0.03))`."""
    framing: str = ""
    """What marked the end of the body: `length`, `chunked`, or `close`, where a cut cannot be told from the end."""


class Link(NamedTuple):
    """One outlink of a document, as a person would list it."""

    url: str
    """Canonical absolute URL; for an http(s) link that is no valid URL the raw attribute, at most 2,000 characters."""
    kind: str
    """Element and attribute it came from: `a`, `img[srcset]`, `css`, `meta[refresh]`, …"""
    text: str
    """Anchor text, white space collapsed, at most 200 characters; empty for anything but `a` and `area` (alt)."""
    rel: str
    """The rel attribute, as written."""


class Target:
    """A URL that pages of this crawl link to, canonical once, judged once; kept by the worker, shared between pages."""

    __slots__ = ("fingerprint", "host", "is_judged", "is_reported", "priority", "reason", "url")

    def __init__(self, url: str, fingerprint: int, reason: str | None = None) -> None:
        self.url = url
        self.fingerprint = fingerprint
        self.reason = reason  # why scope refuses it; None while not judged and when admitted
        self.is_judged = reason is not None
        self.is_reported = False  # this worker has handed it to the frontier
        self.host = ""
        self.priority = 0


class Document:
    """One page at work in a worker: the stages fill it in, in order. Not shared, not kept."""

    __slots__ = (
        "body", "canonical", "charset", "charset_source", "content_type", "description", "detail", "error", "flags",
        "follow", "headers", "headings", "is_html", "lang", "markup", "mime", "other_links", "outlinks", "page",
        "record", "robots", "sha256", "simhash", "sniffed", "text", "text_sha256", "title", "tree", "truncated",
        "words",
    )  # fmt: skip

    def __init__(self, page: Page) -> None:
        self.page = page
        self.headers: dict[str, str] = {}  # repeated fields joined by ", " (RFC 9110 5.3)
        for name, value in page.headers:
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self.body: bytes = page.body  # decode: the content, coding removed
        self.truncated: str | None = page.truncated  # decode, verify: why the body is not whole
        self.content_type: str | None = self.headers.get("content-type")
        self.mime: str = ""  # decode: essence of the declared or, without one, the sniffed type: "text/html"
        self.sniffed: str = ""  # verify: what the first bytes look like
        self.is_html = False  # decode: the parse stage reads it as HTML
        self.charset: str | None = None  # decode: WHATWG name, None for what is not text
        self.charset_source: str | None = None  # decode: bom, header, meta, default
        self.markup: bytes | None = None  # decode: text as UTF-8, the very `body` where that is UTF-8; None for binary
        self.tree: LexborHTMLParser | None = None  # parse
        self.title: str | None = None
        self.description: str | None = None
        self.lang: str | None = None
        self.canonical: str | None = None
        self.robots: tuple[str, ...] = ()  # parse: directives of meta robots and X-Robots-Tag, lower case, sorted
        self.headings: list[tuple[int, str]] = []
        self.text: str | None = None  # parse: visible text, white space collapsed
        self.words: list[str] = []  # parse: the words of the text, in order
        self.outlinks: list[tuple[str, str, str, str]] = []  # parse: `Link`s as plain tuples, pages have hundreds
        self.follow: list[Target] = []  # parse: where of these the crawl may go on
        self.other_links = 0  # parse: mailto:, javascript:, data: and the like, which are counted and not listed
        self.sha256: str = ""  # hash: of the decoded body, hex
        self.text_sha256: str | None = None
        self.simhash: int | None = None  # hash: unsigned 64 bit
        self.flags: list[str] = []  # anything a reader should know: "unknown_coding", "type_mismatch", …
        self.error: str | None = None  # a named reason that makes this page a failure instead of a record
        self.detail = ""  # for a person: more about the error
        self.record: dict[str, Any] = {}  # further keys of the record, from the user's own stages

    @property
    def links(self) -> list[Link]:
        """The outlinks as named tuples: made on each call, for stages that read them."""
        return [Link(*row) for row in self.outlinks]


class Processed(NamedTuple):
    """What one page became. Made in a worker, consumed by the store."""

    id: int
    line: bytes
    """The record: one line of JSON without a newline, last key `"duplicate_of":null`. Empty when `error` is set."""
    digest: int
    """First 8 bytes of the SHA-256 of the decoded body as a signed 64-bit integer: the key of duplicate detection."""
    outlinks: bytes
    """JSON array of links to be added to the frontier, `[fingerprint, url, host, priority]` each, or empty."""
    refused: bytes
    """JSON array of links that scope refused, `[fingerprint, url, reason]` each, or empty."""
    error: str | None = None
    """A named reason: the page failed and gets no record."""
    detail: str = ""
    """For a person: the exception's text, cut to 500 characters."""
    body: bytes | None = None
    """The decoded body, only when bodies are stored."""
    sha256: str = ""
    truncated: str | None = None
    body_bytes: int = 0
    """Length of the decoded body."""
    other_links: int = 0
    """Links that are no web addresses (mailto:, javascript:, data:): counted, not listed."""
    claims: bytes = b""
    """JSON array of digests that the page gives for files, `[fingerprint of the file, "sha256:…"]` each, or empty."""
