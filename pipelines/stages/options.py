"""What the stages may be told: one frozen value, standard library only, that travels to the workers inside the spec."""

from __future__ import annotations

from typing import Literal, NamedTuple

LinkSet = Literal["none", "anchors", "pages", "all"]
"""Which links are meant, each set containing the one before it:

`anchors`  `<a href>` and `<area href>`
`pages`    also what leads to another page: frames, `<link>` with a navigating rel (next, alternate, canonical, …),
           meta refresh, and the header fields Link (same rels), Refresh and Content-Location
`all`      also every other URL of HTML, SVG and CSS: images, scripts, styles, media, forms, pings, plug-ins, …
"""

RECORD_FIELDS = (
    "schema", "url", "final_url", "status", "fetched_at", "depth", "via", "redirects", "headers", "content_type",
    "mime", "sniffed", "charset", "charset_source", "wire_bytes", "body_bytes", "sha256", "text_sha256", "simhash",
    "complete", "truncated", "title", "description", "lang", "canonical", "robots", "headings", "text", "outlinks",
    "flags", "timings", "duplicate_of",
)  # fmt: skip
"""The keys of a record, in order."""
ALWAYS_RECORDED = frozenset({"schema", "url", "status", "duplicate_of"})

MAX_BODY_BYTES = 16 * 1024 * 1024  # the longest HTML page of the Common Crawl is cut at 1 MiB; browsers read far more
MAX_LINKS = 10_000
MAX_TEXT_CHARS = 2_000_000


class StageOptions(NamedTuple):
    """Options of the built-in stages; every default is what a crawl gets when its config says nothing."""

    max_body_bytes: int = MAX_BODY_BYTES
    """Cap on the decoded body; what is beyond is cut and `truncated` says `max_body`."""
    max_links: int = MAX_LINKS
    """Distinct outlinks kept per page; beyond them the record carries the flag `links_truncated`."""
    max_text_chars: int = MAX_TEXT_CHARS
    """Characters of text kept per page; beyond them the record carries the flag `text_truncated`."""
    outlinks: LinkSet = "pages"
    """Which links the record lists."""
    follow: LinkSet = "pages"
    """Which of the listed links go to the frontier."""
    follow_nofollow: bool = True
    """Follow links that the page marks `nofollow`. The mark is a hint about endorsement, not access control."""
    robots_agent: str = ""
    """Name under which agent-scoped robots directives (`X-Robots-Tag: NAME: nofollow`) count as ours; lower case."""
    record_headers: tuple[str, ...] = ("last-modified", "etag", "content-language", "server")
    """Response headers copied to the record, in lower case."""
    fields: tuple[str, ...] = ()
    """Keys of the record to write, besides those that are always there; empty for all."""
    store_body: bool = False
    """Hand the decoded body back for storing."""
    drop_query_keys: tuple[str, ...] = ()
    """Query keys removed from links, as shell patterns: `utm_*`."""
    sort_query: bool = False
    """Sort the query parameters of links by key."""
    stages: tuple[str, ...] = ()
    """The user's own stages as `module:function`, run in order after the built-in ones and before the record."""

    def records(self, *names: str) -> bool:
        """Return whether one of these keys is wanted in the record."""
        return not self.fields or not ALWAYS_RECORDED.union(self.fields).isdisjoint(names)
