"""One stage for each rule that it breaks, imported by name by the workers that check them."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.page import Document

_counter = itertools.count()
_urls: set[str] = set()


def good(doc: Document) -> None:
    doc.record["title_length"] = len(doc.title or "")


class Good:
    def __init__(self) -> None:
        self.pattern = re.compile(r"\d+")

    def __call__(self, doc: Document) -> Document:
        doc.record["numbers"] = len(self.pattern.findall(doc.text or ""))
        return doc


def refuses(doc: Document) -> None:
    if not doc.text:
        doc.error, doc.detail = "denied", "no text"


def takes_two(doc: Document, currency: str) -> None: ...


async def waits(doc: Document) -> None: ...


def needs_html(doc: Document) -> None:
    assert doc.tree is not None
    doc.record["nodes"] = len(doc.tree.css("p"))


def trusts_json(doc: Document) -> None:
    if doc.tree is not None and (node := doc.tree.css_first("script[type='application/ld+json']")):
        doc.record["data"] = json.loads(node.text() or "null")


def trusts_short_json(doc: Document) -> None:
    if len(doc.body) < 100:
        trusts_json(doc)


def hangs(doc: Document) -> None:
    re.match(rb"(<+)+$", doc.body[:40] + b"!")


def dies(doc: Document) -> None:
    if not doc.body:
        os._exit(4)


def returns_number(doc: Document) -> Any:
    return len(doc.body)


def replaces_page(doc: Document) -> None:
    doc.page = doc.page._replace(status=200, via="https://other.example/")


def prints(doc: Document) -> None:
    print("found", doc.page.url)


def prints_below_python(doc: Document) -> None:
    os.write(1, b"found")


def tells_on_stderr(doc: Document) -> None:
    sys.stderr.write("found")


def counts(doc: Document) -> None:
    doc.record["number"] = next(_counter)


def clock(doc: Document) -> None:
    doc.record["seen_at"] = time.time()


def unordered(doc: Document) -> None:
    doc.record["words"] = list(set(doc.words))


def puts_objects(doc: Document) -> None:
    doc.record["match"] = object()


def steals_key(doc: Document) -> None:
    doc.record["title"] = "mine"


def hoards(doc: Document) -> None:
    _urls.add(doc.page.url)


class NeedsArguments:
    def __init__(self, currency: str) -> None: ...

    def __call__(self, doc: Document) -> None: ...
