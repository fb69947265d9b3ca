"""The digests that a crawled page gives for files: hex beside a link, and the lists of checksum files.

Runs in the crawl's workers, on pages that are parsed anyway, and only in a crawl that has files. Cheap: a page without
a run of 32 hex digits is left after one search.

A digest beside a link is a guess, so only what is plain counts. It stands in the link itself (`#sha256=…` as in
PEP 503, `integrity`, a data attribute), in the text from the link to the next one, or in the smallest element around
the link that has one, and in none of these is there another link to a file or a second digest of the kind. 64 and 128
digits are SHA-2 unless a name in front says otherwise; shorter ones count only with their name in front, since commits,
keys and identifiers look the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from crawler.download.proof.digests import Digest, DigestError, canonical, decode, parse_digest
from crawler.download.proof.sums import entries, kind_of
from pipelines.page import Document
from pipelines.stages.globs import path_matcher
from pipelines.url import CanonicalUrl, canonicalize

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

MAX_CLAIMS: Final = 2000  # of one page
MAX_LINKS: Final = 5000  # looked at in one page
MAX_AROUND: Final = 2000  # characters of an element that counts as beside
MAX_CLIMB: Final = 4  # elements around a link
_ANY: Final = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Fa-f]{32,128}(?![0-9A-Za-z])|\bsha(?:256|384|512)-")
_HEX: Final = re.compile(
    r"(?:(?P<name>(?:sha|md|blake|b)-?[0-9][0-9a-z]*(?:[-_/][0-9]{3})?)[^0-9A-Za-z]{1,12})?"
    r"(?<![0-9A-Za-z])(?P<value>[0-9A-Fa-f]{32,128})(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_FRAGMENT: Final = re.compile(r"#(sha(?:224|256|384|512|1)|md5|blake2b)=([0-9A-Fa-f]{32,128})\Z")
_SUMS: Final = re.compile(
    r"(?:md5|sha-?\d+|b[23]|blake\d\w?|check)-?sums?(?:[._-][\w.-]*)?|[^/]+\.(?:md5|sha\d+|b2|b3|blake3)(?:sums?)?(?:\.txt)?",
    re.IGNORECASE,
)
_UNNAMED: Final = {64: "sha256", 128: "sha512"}
_ENDS: Final = frozenset({"br", "hr", "p", "div", "li", "tr", "dt", "table", "ul", "ol", "dl", "pre", "h1", "h2", "h3"})
_TOO_WIDE: Final = frozenset({"body", "html", "table", "tbody", "ul", "ol", "dl", "main", "nav"})
SUMS_PATTERN: Final = rf"(?i)/(?:{_SUMS.pattern})$"
"""Paths of checksum files, to look at them before the files beside them."""

Found = list[tuple[str, str]]
"""URL of a file, digest as `algorithm:hex`."""


def is_sums(url: str) -> bool:
    """Tell whether a URL is called what checksum files are called."""
    name = url.partition("?")[0].rpartition("/")[2]
    return _SUMS.fullmatch(name) is not None


class Beside:
    """Finds what a page says about files. Picklable, so that it travels to the workers."""

    def __init__(self, globs: Sequence[str]) -> None:
        """`globs` tell which links are files; without any, every link may be one."""
        self._globs = tuple(globs)
        self._is_file: Callable[[str], bool] = path_matcher(globs) if globs else bool

    def __reduce__(self) -> tuple[type[Beside], tuple[tuple[str, ...]]]:
        return Beside, (self._globs,)

    def __call__(self, doc: Document) -> Found:
        """Return each file with the digest it should have. Needs the tree of an HTML page."""
        if doc.markup is None:
            return []
        if doc.is_html:
            return list(dict.fromkeys(self._html(doc)))[:MAX_CLAIMS] if _ANY.search(doc.markup) else []
        return _listed(doc.page.url, doc.markup)[:MAX_CLAIMS] if is_sums(doc.page.url) else []

    def _html(self, doc: Document) -> Iterator[tuple[str, str]]:
        assert doc.tree is not None, "kept for those who read it"
        base = doc.page.url
        if (node := doc.tree.css_first("base[href]")) is not None:
            base = canonicalize(node.attributes.get("href") or "", base) or base
        for link in doc.tree.css("a[href]")[:MAX_LINKS]:
            href = link.attributes.get("href") or ""
            url = canonicalize(href, CanonicalUrl(base))
            if url is None or not self._is_file(url):
                continue
            for digest in _inside(link, href) or self._after(link) or self._around(link, url, base):
                yield url, str(digest)

    def _after(self, link: LexborNode) -> list[Digest]:
        """Return what stands between a link and the next one, or the end of the line."""
        text: list[str] = []
        node = link.next
        while node is not None and sum(map(len, text)) < MAX_AROUND:
            if node.tag in _ENDS or node.tag == "a" or (node.tag != "-text" and node.css_first("a[href]") is not None):
                break
            text.append(node.text(deep=True) or "")
            if node.tag == "-text" and "\n" in text[-1].strip():
                text[-1] = text[-1].lstrip().partition("\n")[0]
                break
            node = node.next
        return _plain(" ".join(text)[:MAX_AROUND])

    def _around(self, link: LexborNode, url: str, base: str) -> list[Digest]:
        """Return what stands in the smallest element that has any, unless it has another file as well."""
        node = link.parent
        for _ in range(MAX_CLIMB):
            if node is None or node.tag in _TOO_WIDE:
                return []
            text = node.text(deep=True, separator=" ") or ""
            if len(text) > MAX_AROUND or not self._is_alone(node, url, base):
                return []
            if _HEX.search(text):
                return _plain(text)
            node = node.parent
        return []

    def _is_alone(self, node: LexborNode, url: str, base: str) -> bool:
        for link in node.css("a[href]"):
            other = canonicalize(link.attributes.get("href") or "", CanonicalUrl(base))
            if other is not None and other != url and self._is_file(other):
                return False
        return True


def _inside(link: LexborNode, href: str) -> list[Digest]:
    """Return what the link itself says."""
    if match := _FRAGMENT.search(href):
        digest = decode(match[1], match[2])
        return [digest] if digest is not None else []
    found: list[Digest] = []
    for name, value in link.attributes.items():
        if not value or name == "href":
            continue
        if name == "integrity":
            found += _integrity(value)
        elif name.startswith("data-") or name == "title":
            named = canonical(name.removeprefix("data-")) if name != "title" else None
            digest = decode(named, value.strip()) if named else None
            found += [digest] if digest is not None else _plain(value[:MAX_AROUND])
    return _agreeing(found)


def _integrity(value: str) -> Iterator[Digest]:
    for word in value.split():
        try:
            yield parse_digest(word)
        except DigestError:  # an attribute of strangers: what is no digest says nothing
            continue


def _plain(text: str) -> list[Digest]:
    """Return the digests in a text, unless it has two different ones of a kind."""
    found: list[Digest] = []
    for match in _HEX.finditer(text):
        name = canonical(match["name"]) if match["name"] else None
        name = name or (_UNNAMED.get(len(match["value"])) if not match["name"] else None)
        digest = decode(name, match["value"]) if name else None
        if digest is not None:
            found.append(digest)
    return _agreeing(found)


def _agreeing(found: list[Digest]) -> list[Digest]:
    kinds: dict[str, set[Digest]] = {}
    for digest in found:
        kinds.setdefault(digest.algorithm, set()).add(digest)
    return [digest for same in kinds.values() if len(same) == 1 for digest in same]


def _listed(url: str, text: bytes) -> Found:
    """Return what a checksum file says of files in its folder and below; a bare one is for its namesake."""
    found: Found = []
    for entry in entries(text, kind_of(url)):
        name = entry.name if entry.name is not None else _named_after(url)
        target = canonicalize(_escaped(name), CanonicalUrl(url)) if name else None
        if target is not None and target.startswith(url[: url.rindex("/") + 1]) and target != url:
            found.append((target, str(entry.digest)))
    return found


def _named_after(url: str) -> str:
    name = url.partition("?")[0].rpartition("/")[2].removesuffix(".txt")
    return name.rpartition(".")[0]


def _escaped(name: str) -> str:
    """Write a file's name as a relative reference; `./` in front keeps a colon from being a scheme."""
    return "./" + name.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
