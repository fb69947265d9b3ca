"""Every URL that HTML, SVG and CSS can hold, for `outlinks = "all"`: attribute by attribute, element by element.

Four times the cost of the other link sets, since every attribute of every element is read. What is found inside another
value (srcdoc, conditional comments, data: documents, markup in a meta) is parsed as a document of its own, two levels
deep and fifty times a page at the most.
"""

from __future__ import annotations

import re
from base64 import b64decode
from urllib.parse import unquote, unquote_to_bytes

from selectolax.lexbor import LexborHTMLParser, LexborNode

from pipelines.stages.links import Rows
from pipelines.stages.outline import WITHOUT_EVENTS
from pipelines.stages.pointers import css_urls, srcset_urls
from pipelines.stages.targets import Folder, Targets, resolve_base

MAX_NESTED_DEPTH = 2
MAX_NESTED_DOCUMENTS = 50
MAX_NESTED_CHARS = 1024 * 1024
MAX_GUESSES = 200

_URL_ATTRIBUTES = frozenset(
    {
        "action", "background", "cite", "data", "dynsrc", "formaction", "href", "icon", "implementation", "longdesc",
        "lowsrc", "manifest", "poster", "src", "usemap", "xlink:href",
    }
)  # fmt: skip
"""Attributes whose value is one URL, of HTML 2.0 to the living standard, SVG, and the inventions of two browsers."""
_LIST_ATTRIBUTES = frozenset({"archive", "ping", "profile"})
_SRCSET_ATTRIBUTES = frozenset({"imagesrcset", "srcset"})
_COLLECTED = frozenset({("a", "href"), ("area", "href"), ("link", "href"), ("iframe", "src"), ("frame", "src")})
_PLUGINS = frozenset({"applet", "object"})
_PLUGIN_ATTRIBUTES = frozenset({"archive", "classid", "code", "data"})
_PARAMETERS = frozenset({"data", "file", "filename", "href", "movie", "ref", "source", "src", "url"})
_LIST_SEPARATOR = re.compile(r"[\t\n\f\r ,]+")
_DOCTYPE_SYSTEM = re.compile(
    rb"""[\t\n\f\r ]*<!doctype[\t\n\f\r ]+[^\t\n\f\r >]+[\t\n\f\r ]+"""
    rb"""(?:system|public[\t\n\f\r ]*(?:"[^">]*"|'[^'>]*'))[\t\n\f\r ]*(?:"([^">]*)"|'([^'>]*)')""",
    re.IGNORECASE,
)
_FRAMESET = re.compile(rb"<frameset[\t\n\f\r >]", re.IGNORECASE)
_REPORT_URI = re.compile(r"(?:^|;)[\t\n\f\r ]*report-uri[\t\n\f\r ]+([^;]*)", re.IGNORECASE)
_META_URL = re.compile(
    r"msapplication-(?:config|starturl|tileimage|.*logo)|(?:og|twitter):(?:image|url|video|audio|player).*"
)
_DATA_DOCUMENT = re.compile(r"data:(?:image/svg\+xml|text/html)(?:;[^,;]*)*?(;base64)?,", re.IGNORECASE)
_GUESS = re.compile(
    r"https?://[!-~]+|\.{1,2}/[!-~]+|/[!-~]*\.(?:html?|php|aspx?|jsp|pdf|txt|xml|json|csv|zip)", re.IGNORECASE
)


class Everything:
    """Collects all links of one page into its rows."""

    def __init__(self, targets: Targets, folder: Folder, rows: Rows) -> None:
        self._targets = targets
        self._folder = folder
        self._base = folder.base
        self._rows = rows
        self._nested = 0

    def document(self, tree: LexborHTMLParser, markup: bytes) -> None:
        """List every link of a parsed page; `markup` is what it was parsed from."""
        frameset = _FRAMESET.search(markup)
        if frameset and tree.body is not None:  # HTML parsing ignores a frameset once the body has content
            self._html(markup[frameset.start() :].decode("utf-8", "replace"), depth=0)
        match = _DOCTYPE_SYSTEM.match(markup[:1024])
        if match and (system_id := match[1] or match[2]):
            self._add(system_id.decode("utf-8", "replace"), "doctype")
        self._elements(tree, depth=0)
        if b"<!--[if" in markup:
            self._conditional_comments(markup, depth=0)

    def guesses(self, words: list[str]) -> None:
        """List what looks like a URL in running text. Nobody knows what it is relative to, so three ways are tried.

        Guesses have the kind `text` and are never followed.
        """
        left = MAX_GUESSES
        for word in words:
            if "/" not in word or not (match := _GUESS.match(word)):
                continue
            guess = match[0].rstrip(".,;:!?)]}'\"")
            tail = guess.lstrip("./")
            self._add(guess, "text")
            if not guess.lower().startswith("http"):
                self._add(f"/{tail}", "text")
                self._add(f"{self._base.partition('?')[0].rstrip('/')}/{tail}", "text")
            left -= 1
            if not left:
                break

    def _add(self, url: str, kind: str) -> None:
        self._rows.add(self._folder, url, kind)

    def _elements(self, tree: LexborHTMLParser, depth: int) -> None:
        for node in tree.css("*"):
            attributes = node.attributes
            tag = node.tag or ""
            if tag == "style":
                self._css(node.text_lexbor(), "css")
            if not attributes:
                continue
            if tag == "meta":
                self._meta(attributes, depth)
            elif tag == "param":
                self._param(attributes)
            elif tag in _PLUGINS:
                self._plugin(tag, attributes)
            self._attributes(node, tag, attributes, depth)

    def _attributes(self, node: LexborNode, tag: str, attributes: dict[str, str | None], depth: int) -> None:
        for name, value in attributes.items():
            if not value:
                continue
            if name in _URL_ATTRIBUTES:
                if _DATA_DOCUMENT.match(value):
                    self._data_document(value, depth)
                elif (tag, name) not in _COLLECTED and tag not in _PLUGINS:
                    self._add(value, _kind_of_form(tag, name, attributes))
            elif name in _SRCSET_ATTRIBUTES:
                for url in srcset_urls(value):
                    self._add(url, f"{tag}[{name}]")
            elif name == "style":
                self._css(value, "css")
            elif name in _LIST_ATTRIBUTES and tag not in _PLUGINS:
                for url in filter(None, _LIST_SEPARATOR.split(value)):
                    self._add(url, f"{tag}[{name}]")
            elif name == "srcdoc":
                self._html(value, depth)

    def _plugin(self, tag: str, attributes: dict[str, str | None]) -> None:
        """Read `<object>` and `<applet>`, whose other URLs are relative to their codebase (HTML 4.01 13.3)."""
        folder = self._folder
        if codebase := attributes.get("codebase"):
            self._add(codebase, f"{tag}[codebase]")
            folder = self._targets.folder_of(resolve_base(codebase, self._base))
        for name in _PLUGIN_ATTRIBUTES & attributes.keys():
            value = attributes[name] or ""
            for url in filter(None, _LIST_SEPARATOR.split(value) if name == "archive" else [value]):
                self._rows.add(folder, url, f"{tag}[{name}]")
        self._folder = self._targets.folder_of(self._base)

    def _param(self, attributes: dict[str, str | None]) -> None:
        value = attributes.get("value")
        is_reference = (attributes.get("valuetype") or "").lower() == "ref"
        if value and (is_reference or (attributes.get("name") or "").lower() in _PARAMETERS):
            self._add(value, "param[value]")

    def _meta(self, attributes: dict[str, str | None], depth: int) -> None:
        content = attributes.get("content")
        if not content:
            return
        if (attributes.get("http-equiv") or "").lower().startswith("content-security-policy"):
            for report in _REPORT_URI.findall(content):
                for url in report.split():
                    self._add(url, "meta[csp]")
        elif _META_URL.fullmatch((attributes.get("name") or attributes.get("property") or "").lower()):
            self._add(content, "meta[content]")
        elif "<" in content:
            self._html(content, depth)

    def _css(self, css: str, kind: str) -> None:
        for url in css_urls(css):
            if not url.lower().startswith("data:"):
                self._add(url, kind)

    def _data_document(self, value: str, depth: int) -> None:
        match = _DATA_DOCUMENT.match(value)
        if match is None or len(value) > MAX_NESTED_CHARS:
            return
        data = value[match.end() :]
        if match[1]:
            try:
                html = b64decode(unquote_to_bytes(data)).decode("utf-8", "replace")
            except ValueError:
                return
        else:
            html = unquote(data, errors="replace")
        self._html(html, depth)

    def _conditional_comments(self, markup: bytes, depth: int) -> None:
        """Read what only old Internet Explorers saw: `<!--[if …]>HTML<![endif]-->`."""
        at = 0
        while (start := markup.find(b"<!--[if", at)) >= 0 and self._nested < MAX_NESTED_DOCUMENTS:
            begin, end = markup.find(b"]>", start), markup.find(b"-->", start)
            if end < 0:
                return
            if 0 <= begin < end:
                self._html(markup[begin + 2 : end].removesuffix(b"<![endif]").decode("utf-8", "replace"), depth)
            at = end

    def _html(self, html: str, depth: int) -> None:
        if depth >= MAX_NESTED_DEPTH or self._nested >= MAX_NESTED_DOCUMENTS or len(html) > MAX_NESTED_CHARS:
            return
        self._nested += 1
        tree = LexborHTMLParser(html.encode("utf-8", "replace"), options=WITHOUT_EVENTS)
        for node in tree.css("a[href],area[href],link[href],iframe[src],frame[src]"):
            name = "src" if node.tag in ("iframe", "frame") else "href"
            if value := node.attributes.get(name):
                self._add(value, node.tag if node.tag in ("a", "area") else f"{node.tag}[{name}]")
        self._elements(tree, depth + 1)


def _kind_of_form(tag: str, name: str, attributes: dict[str, str | None]) -> str:
    """Return the kind of a link, telling apart what would be posted."""
    method = attributes.get("method" if name == "action" else "formmethod") or ""
    if name in ("action", "formaction") and method.lower() == "post":
        return f"{tag}[{name}:post]"
    return f"{tag}[{name}]"
