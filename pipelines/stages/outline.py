"""One look over a parsed page: the few elements that matter, sorted by kind, in document order.

A selector with every tag we want (`a, area, h1, …`) costs lexbor 10 ns per element and tag, a walk per tag 15 ns per
element. Naming what we do *not* want is cheaper: most elements of real pages are one of a dozen tags, the selector
stops at the first that fits, and what is left is few enough to sort in Python. On five documentation sites that is a
third to a half of the cost of naming what we want. The result does not depend on the list, only the speed does.
"""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser, LexborNode

WITHOUT_EVENTS = 1  # LexborDocumentOptions.WO_EVENTS: nothing here needs mutation events, and parsing is faster

_COMMON = "span,div,td,li,code,p,tr,em,dt"
_INTERESTING = f":not({_COMMON})"

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_TAGS = (
    "html", "body", "head", "title", "meta", "base", "link", "a", "area", "iframe", "frame", "script", "style",
    "noscript", *_HEADINGS,
)  # fmt: skip


def _tag_ids() -> dict[str, int]:
    """Ask the parser for its own numbers: comparing an integer beats making a string for every element."""
    tree = LexborHTMLParser("")
    return {tag: tree.create_node(tag).tag_id for tag in _TAGS}


_ID = _tag_ids()
LEVELS = {_ID[tag]: int(tag[1]) for tag in _HEADINGS}
"""Heading level by tag id."""


class Outline:
    """The elements of one page that stages ask for. Holds nodes: it must not outlive its tree."""

    __slots__ = (
        "anchors", "areas", "bases", "frames", "headings", "hidden", "html", "links", "metas", "titles",
    )  # fmt: skip

    def __init__(self, tree: LexborHTMLParser) -> None:
        self.html: LexborNode | None = None
        self.titles: list[LexborNode] = []
        self.metas: list[LexborNode] = []
        self.bases: list[LexborNode] = []
        self.links: list[LexborNode] = []
        self.anchors: list[LexborNode] = []
        self.frames: list[LexborNode] = []
        self.areas: list[LexborNode] = []
        self.headings: list[LexborNode] = []
        self.hidden: list[LexborNode] = []
        """Elements of the body whose text is not visible."""
        self._sort(tree.css(_INTERESTING))

    def _sort(self, nodes: list[LexborNode]) -> None:
        kept = {
            _ID["a"]: self.anchors.append,
            _ID["area"]: self.areas.append,
            _ID["link"]: self.links.append,
            _ID["meta"]: self.metas.append,
            _ID["base"]: self.bases.append,
            _ID["title"]: self.titles.append,
            _ID["iframe"]: self.frames.append,
            _ID["frame"]: self.frames.append,
        }
        kept |= dict.fromkeys(LEVELS, self.headings.append)
        keeper_of = kept.get
        hidden = self.hidden.append
        body = _ID["body"]
        for node in nodes:
            tag_id = node.tag_id
            if keep := keeper_of(tag_id):
                keep(node)
            elif tag_id == body:
                kept |= dict.fromkeys((_ID["script"], _ID["style"], _ID["noscript"]), hidden)
            elif tag_id == _ID["html"] and self.html is None:
                self.html = node


def visible_text(tree: LexborHTMLParser, hidden: list[LexborNode], *, keep: bool) -> list[str]:
    """Return the words of the body outside the `hidden` elements.

    With `keep` the tree is as before afterwards: hidden elements change places with an empty one and back.
    """
    body = tree.body
    if body is None:
        return []
    if not keep:
        for node in hidden:
            node.decompose(recursive=False)
        return body.text(separator=" ", skip_empty=True).split()
    swapped = []
    for node in hidden:
        stand_in = tree.create_node("wbr")
        node.replace_with(stand_in, move=True)
        swapped.append((stand_in, node))
    words = body.text(separator=" ", skip_empty=True).split()
    for stand_in, node in reversed(swapped):
        stand_in.replace_with(node, move=True)
    return words
