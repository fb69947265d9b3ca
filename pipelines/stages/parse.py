"""Title, description, language, headings, visible text, robots directives and outlinks of a page.

HTML is parsed by lexbor, which builds the tree that the HTML Standard prescribes. The text is what a reader of the body
could see: without script, style and noscript, white space collapsed, a space between any two elements.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from selectolax.lexbor import LexborHTMLParser, LexborNode

from pipelines.page import Document
from pipelines.stages.links import LinkSets, Rows
from pipelines.stages.options import StageOptions
from pipelines.stages.outline import LEVELS, WITHOUT_EVENTS, Outline, visible_text
from pipelines.stages.pointers import css_urls, link_field, refresh_url
from pipelines.stages.robots import header_directives, is_nofollow, meta_directives
from pipelines.stages.targets import Folder, Targets, resolve_base
from pipelines.url import canonicalize, fingerprinter

if TYPE_CHECKING:
    from pipelines.stages.everything import Everything

MAX_TITLE_CHARS = 2000
MAX_DESCRIPTION_CHARS = 5000
MAX_LANG_CHARS = 100
MAX_HEADING_CHARS = 500
MAX_HEADINGS = 1000
MAX_DIRECTIVES = 50


class Parse:
    """The parse stage. Holds what its worker remembers of URLs, so one instance serves one crawl in one process."""

    def __init__(self, options: StageOptions, targets: Targets, *, is_read: bool = False) -> None:
        """Share `targets` with the pipeline; `is_read` for stages that read more than the record has: `doc.tree`."""
        self._options = options
        self._targets = targets
        self._sets = LinkSets(options)
        self._keep_tree = is_read
        self._has_headings = is_read or options.records("headings")
        self._has_text = is_read or self._sets.has_all or options.records("text", "text_sha256", "simhash")
        self._everything: type[Everything] | None = None
        if self._sets.has_all:
            from pipelines.stages.everything import Everything  # 5 ms of each worker's start that few crawls need

            self._everything = Everything

    def __call__(self, doc: Document) -> None:
        directives: set[str] = set()
        if "x-robots-tag" in doc.headers:  # each line by itself: a robot named in one is not meant by the next
            for name, field in doc.page.headers:
                if name == "x-robots-tag":
                    directives |= header_directives(field, self._options.robots_agent)
        if doc.is_html and doc.markup is not None:
            self._html(doc, doc.markup, directives)
        else:
            folder = self._targets.folder_of(doc.page.url)
            rows = Rows(self._options.max_links)
            if doc.markup is not None:
                self._plain(doc, doc.markup, folder, rows)
            self._header_links(doc, folder, rows)
            self._finish(doc, rows, directives)

    def _html(self, doc: Document, markup: bytes, directives: set[str]) -> None:
        tree = doc.tree = LexborHTMLParser(markup, options=WITHOUT_EVENTS)
        outline = Outline(tree)
        base = doc.page.url
        for node in outline.bases:
            href = node.attributes.get("href", _ABSENT)
            if href is not _ABSENT:
                base = resolve_base(href or "", base)
                break
        folder = self._targets.folder_of(base)
        rows = Rows(self._options.max_links)
        links = [node.attributes for node in outline.links]
        self._sets.collect(outline, links, folder, rows)
        self._metas(doc, outline.metas, directives, folder, rows)
        self._header_links(doc, folder, rows)
        self._describe(doc, outline, links, base)
        everything = self._everything(self._targets, folder, rows) if self._everything else None
        if everything is not None:
            everything.document(tree, markup)
        # Last, because it takes elements out of the tree.
        if self._has_text:
            self._text(doc, visible_text(tree, outline.hidden, keep=self._keep_tree))
        if everything is not None:
            everything.guesses(doc.words)
        self._finish(doc, rows, directives)
        if not self._keep_tree:
            doc.tree = None

    def _describe(self, doc: Document, outline: Outline, links: list[dict[str, str | None]], base: str) -> None:
        if outline.titles:
            doc.title = _first_title(outline.titles)
        if outline.html is not None:
            attributes = outline.html.attributes
            lang = attributes.get("lang") or attributes.get("xml:lang")
            doc.lang = lang.strip()[:MAX_LANG_CHARS] or None if lang else None
        for attributes in links:
            rel = attributes.get("rel")
            if rel and "canonical" in rel.lower().split() and (href := attributes.get("href")):
                doc.canonical = canonicalize(href, base)
                break
        if not self._has_headings:
            return
        doc.headings = [
            (LEVELS[node.tag_id], " ".join(node.text_lexbor().split())[:MAX_HEADING_CHARS])
            for node in outline.headings[:MAX_HEADINGS]
        ]

    def _metas(self, doc: Document, metas: list[LexborNode], directives: set[str], folder: Folder, rows: Rows) -> None:
        agent = self._options.robots_agent
        for node in metas:
            attributes = node.attributes
            content = attributes.get("content")
            if not content:
                continue
            if name := attributes.get("name"):
                name = name.lower()
                if name == "description":
                    doc.description = doc.description or " ".join(content.split())[:MAX_DESCRIPTION_CHARS] or None
                elif name == "robots" or (agent and name == agent):
                    directives |= meta_directives(content)
            elif self._sets.has_pages and (attributes.get("http-equiv") or "").lower() == "refresh":
                url = refresh_url(content)
                if url is not None:
                    rows.add(folder, url, "meta[refresh]")

    def _plain(self, doc: Document, markup: bytes, folder: Folder, rows: Rows) -> None:
        text = markup.decode("utf-8", "replace")
        if doc.mime == "text/css":
            if self._sets.has_all:
                for url in css_urls(text):
                    rows.add(folder, url, "css")
        elif self._has_text:
            self._text(doc, text.split())

    def _text(self, doc: Document, words: list[str]) -> None:
        text = " ".join(words)
        if len(text) > self._options.max_text_chars:
            text = text[: self._options.max_text_chars]
            doc.flags.append("text_truncated")
        doc.text, doc.words = text, words

    def _header_links(self, doc: Document, folder: Folder, rows: Rows) -> None:
        if not self._sets.has_pages:
            return
        headers = doc.headers
        # Header fields are relative to the page, not to <base> (RFC 8288 3.2)
        if field := headers.get("link"):
            here = self._targets.folder_of(doc.page.url)
            for link in link_field(field):
                if self._sets.is_page_rel(link.rel, link.type):
                    rows.add(here, link.url, "header[link]", rel=link.rel)
                elif self._sets.has_all:
                    rows.add(here, link.url, "header[link:resource]", rel=link.rel)
                if doc.canonical is None and "canonical" in link.rel.split():
                    doc.canonical = canonicalize(link.url, doc.page.url)
        if (field := headers.get("refresh")) and (url := refresh_url(field)):
            rows.add(self._targets.folder_of(doc.page.url), url, "header[refresh]")
        if field := headers.get("content-location"):
            rows.add(self._targets.folder_of(doc.page.url), field, "header[content-location]")

    def _finish(self, doc: Document, rows: Rows, directives: set[str]) -> None:
        doc.robots = tuple(sorted(directives)[:MAX_DIRECTIVES])
        doc.outlinks = list(rows.found.values())
        doc.other_links = rows.others
        if rows.is_full:
            doc.flags.append("links_truncated")
        doc.follow = self._sets.followable(rows, is_nofollow(doc.robots))


@cache
def _default() -> tuple[Parse, Targets]:
    targets = Targets(fingerprinter(b""), None, None)
    return Parse(StageOptions(), targets, is_read=True), targets


def parse(doc: Document) -> None:
    """The parse stage with the default options; a Pipeline replaces it by one with its own."""
    stage, targets = _default()
    targets.forget_if_full()
    stage(doc)


_ABSENT = "\0absent"  # the parser returns None for a value that is empty, too


def _first_title(nodes: list[LexborNode]) -> str | None:
    """Return the document's title: the first title element of HTML, not of an SVG drawing."""
    for node in nodes:
        parent = node.parent
        while parent is not None and parent.tag != "svg":
            parent = parent.parent
        if parent is None:
            return " ".join(node.text_lexbor().split())[:MAX_TITLE_CHARS]
    return None
