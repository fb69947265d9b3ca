"""Which outlinks of a page are listed and which are followed, by the three sets of `LinkSet`."""

from __future__ import annotations

from selectolax.lexbor import LexborNode

from pipelines.page import Target
from pipelines.stages.options import LinkSet, StageOptions
from pipelines.stages.outline import Outline
from pipelines.stages.targets import Folder

MAX_ANCHOR_CHARS = 200
MAX_REL_CHARS = 200

PAGE_RELS = frozenset(
    {
        "alternate", "amphtml", "appendix", "author", "bookmark", "canonical", "chapter", "contents", "copyright",
        "first", "glossary", "help", "home", "index", "last", "license", "next", "prev", "previous", "search",
        "section", "shortlink", "start", "subsection", "tag", "toc", "top", "up",
    }
)  # fmt: skip
"""Relations of `<link>` and of the Link field that lead to a page (IANA link relations and HTML 4.01 6.12)."""

_HTML_TYPES = frozenset({"", "text/html", "application/xhtml+xml"})
_ANCHOR_KINDS = frozenset({"a", "area"})
_PAGE_KINDS = _ANCHOR_KINDS | {
    "link[href]", "iframe[src]", "frame[src]", "meta[refresh]", "header[link]", "header[refresh]",
    "header[content-location]",
}  # fmt: skip
_NEVER_FOLLOWED = frozenset(
    {
        "a[ping]", "area[ping]", "button[formaction:post]", "form[action:post]", "input[formaction:post]", "meta[csp]",
        "text",
    }
)  # fmt: skip
"""What no GET is meant for, or what is only a guess."""


class Rows:
    """The distinct links of one page, in order of appearance."""

    __slots__ = ("found", "is_full", "limit", "nofollow", "others")

    def __init__(self, limit: int) -> None:
        self.found: dict[Target, tuple[str, str, str, str]] = {}
        self.limit = limit
        self.is_full = False
        self.nofollow: set[Target] = set()
        """Those whose every occurrence is marked nofollow."""
        self.others = 0
        """Links with other schemes."""

    def add(self, folder: Folder, href: str, kind: str, text: str = "", rel: str = "") -> None:
        """List `href` unless its target is listed already."""
        target = folder.here(href) if not href or href[0] in "#?" else folder[href]
        if target is None:
            self.others += 1
        elif target not in self.found:
            if len(self.found) >= self.limit:
                self.is_full = True
                return
            self.found[target] = (target.url, kind, text, rel)
            if rel and "nofollow" in rel.lower().split():
                self.nofollow.add(target)


class LinkSets:
    """The link rules of one crawl."""

    def __init__(self, options: StageOptions) -> None:
        listed: LinkSet = options.outlinks
        self.has_anchors = listed != "none"
        self.has_pages = listed in ("pages", "all")
        self.has_all = listed == "all"
        self._follow: LinkSet = options.follow
        self._follow_nofollow = options.follow_nofollow

    def collect(self, outline: Outline, links: list[dict[str, str | None]], folder: Folder, rows: Rows) -> None:
        """List the links of an HTML page; anchors first, because they have a text."""
        if self.has_anchors:
            self._anchors(outline.anchors, "a", folder, rows)
            self._anchors(outline.areas, "area", folder, rows)
        if self.has_pages:
            self._links(links, folder, rows)
            for node in outline.frames:
                if src := node.attributes.get("src"):
                    rows.add(folder, src, f"{node.tag}[src]")

    def _anchors(self, nodes: list[LexborNode], kind: str, folder: Folder, rows: Rows) -> None:
        found = rows.found
        limit = rows.limit
        strict = not self._follow_nofollow
        for node in nodes:
            attributes = node.attributes
            if "href" not in attributes:
                continue
            href = attributes["href"]
            target = folder[href] if href and href[0] not in "#?" else folder.here(href or "")
            if target is None:
                rows.others += 1
                continue
            if target in found:
                if strict and target in rows.nofollow and not _says_nofollow(attributes.get("rel")):
                    rows.nofollow.discard(target)
                continue
            if len(found) >= limit:
                rows.is_full = True
                break
            rel = attributes.get("rel") or ""
            words = ((attributes.get("alt") or "") if kind == "area" else node.text_lexbor()).split()
            text = words[0] if len(words) == 1 else " ".join(words)
            found[target] = (target.url, kind, text[:MAX_ANCHOR_CHARS], rel[:MAX_REL_CHARS])
            if strict and _says_nofollow(rel):
                rows.nofollow.add(target)

    def _links(self, links: list[dict[str, str | None]], folder: Folder, rows: Rows) -> None:
        for attributes in links:
            href, rel = attributes.get("href"), attributes.get("rel") or ""
            if not href:
                continue
            if self.is_page_rel(rel, attributes.get("type") or ""):
                rows.add(folder, href, "link[href]", rel=rel[:MAX_REL_CHARS])
            elif self.has_all:
                rows.add(folder, href, "link[href:resource]", rel=rel[:MAX_REL_CHARS])

    def is_page_rel(self, rel: str, mime: str) -> bool:
        """Tell whether a link with this rel and type leads to a page."""
        if mime.partition(";")[0].strip().lower() not in _HTML_TYPES:
            return False
        words = rel.lower().split()
        return not PAGE_RELS.isdisjoint(words) and "stylesheet" not in words

    def followable(self, rows: Rows, page_says_nofollow: bool) -> list[Target]:
        """Return the targets among the listed ones where the crawl may go on."""
        if self._follow == "none" or (page_says_nofollow and not self._follow_nofollow):
            return []
        targets = list(rows.found)
        if self._follow == "all":
            targets = [target for target, row in rows.found.items() if row[1] not in _NEVER_FOLLOWED]
        elif self._follow == "anchors" or self.has_all:
            kinds = _ANCHOR_KINDS if self._follow == "anchors" else _PAGE_KINDS
            targets = [target for target, row in rows.found.items() if row[1] in kinds]
        if not self._follow_nofollow:
            targets = [target for target in targets if target not in rows.nofollow]
        return targets


def _says_nofollow(rel: str | None) -> bool:
    return rel is not None and "nofollow" in rel.lower().split()
