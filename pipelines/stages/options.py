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
    store_body: bool = False
    """Hand the decoded body back for storing."""
    drop_query_keys: tuple[str, ...] = ()
    """Query keys removed from links, as shell patterns: `utm_*`."""
    sort_query: bool = False
    """Sort the query parameters of links by key."""
    stages: tuple[str, ...] = ()
    """The user's own stages as `module:function`, run in order after the built-in ones and before the record."""
