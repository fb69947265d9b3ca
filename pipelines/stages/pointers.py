"""URLs inside values: refresh, Link fields, srcset, CSS. Each parser takes a value and returns raw URLs, unresolved."""

from __future__ import annotations

import re
from typing import NamedTuple

_REFRESH = re.compile(
    r"[\t\n\f\r ]*(?:[0-9]+(?:\.[0-9.]*)?|\.[0-9.]*)(?:[\t\n\f\r ]*[;,]|[\t\n\f\r ])[\t\n\f\r ]*"
    r"(?:url[\t\n\f\r ]*=[\t\n\f\r ]*)?(.*)",
    re.IGNORECASE | re.DOTALL,
)
_LINK_VALUE = re.compile(r'<([^>]*)>((?:"(?:[^"\\]|\\.)*"|[^,"])*)')
_LINK_PARAMETER = re.compile(
    r';[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;, \t"]*)))?'
)
_CSS_STRING = r"""(?:"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)')"""
_CSS_BARE = r"""([^"'()\\\t\n\f\r ]*(?:\\.[^"'()\\\t\n\f\r ]*)*)"""
_CSS_URL = re.compile(
    rf"url\([\t\n\f\r ]*(?:{_CSS_STRING}|{_CSS_BARE})|@import[\t\n\f\r ]+{_CSS_STRING}", re.IGNORECASE | re.DOTALL
)
_CSS_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})[\t\n\f\r ]?|(.))", re.DOTALL)
_SRCSET_URL = re.compile(r"[\t\n\f\r ,]*([^\t\n\f\r ]+)")


class LinkValue(NamedTuple):
    """One link of a Link field (RFC 8288)."""

    url: str
    rel: str
    type: str


def refresh_url(content: str) -> str | None:
    """Return the URL of a refresh value (`5; url=/x`), None when it has none: "shared declarative refresh steps"."""
    match = _REFRESH.match(content)
    if match is None:
        return None
    url = match[1]
    if url[:1] in ("'", '"') and url:
        url = url[1:].partition(url[0])[0]
    return url.strip("\t\n\f\r ") or None


def link_field(field: str) -> list[LinkValue]:
    """Return the links of a Link field, rel in lower case."""
    found = []
    for target, parameters in _LINK_VALUE.findall(field):
        rel = mime = ""
        for name, quoted, token in _LINK_PARAMETER.findall(parameters):
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted else token
            if name.lower() == "rel" and not rel:  # RFC 8288 3.3: only the first one counts
                rel = value.lower()
            elif name.lower() == "type":
                mime = value.lower()
        found.append(LinkValue(target.strip(), rel, mime))
    return found


def srcset_urls(value: str) -> list[str]:
    """Return the candidates of a srcset: "parse a srcset attribute" of the HTML Standard, descriptors ignored."""
    urls = []
    at = 0
    while match := _SRCSET_URL.match(value, at):
        url, at = match[1], match.end()
        if url.endswith(","):
            url = url.rstrip(",")
        else:
            at = _end_of_descriptors(value, at)
        if url:
            urls.append(url)
    return urls


def _end_of_descriptors(value: str, at: int) -> int:
    comma = value.find(",", at)
    opening = value.find("(", at)
    if 0 <= opening < comma:  # a comma in parentheses does not end the candidate
        closing = value.find(")", opening)
        comma = value.find(",", closing) if closing >= 0 else -1
    return len(value) if comma < 0 else comma + 1


def css_urls(css: str) -> list[str]:
    """Return what `url()` and `@import` in a style sheet or a style attribute point at, in order, escapes removed."""
    found = []
    for groups in _CSS_URL.findall(_without_comments(css)):
        url = "".join(groups)
        if "\\" in url:
            url = _CSS_ESCAPE.sub(_unescape, url)
        if url.strip():
            found.append(url.strip())
    return found


def _without_comments(css: str) -> str:
    """Return `css` without comments; by hand, because a lazy pattern is quadratic on `/*/*/*…`."""
    parts = []
    at = 0
    while (start := css.find("/*", at)) >= 0:
        parts.append(css[at:start])
        end = css.find("*/", start + 2)
        if end < 0:
            at = len(css)
            break
        at = end + 2
    parts.append(css[at:])
    return " ".join(parts)


def _unescape(match: re.Match[str]) -> str:
    if match[1] is None:
        return "" if match[2] == "\n" else match[2]
    code = int(match[1], 16)
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
