"""Stages that do what no stage should, to one page each. Imported by worker processes."""

from __future__ import annotations

import os
import time

from pipelines.page import Document


def die(doc: Document) -> None:
    """Take the worker along on page 7 of the site."""
    if doc.title is not None and doc.page.url.endswith(EVIL):
        os._exit(3)


def die_always(doc: Document) -> None:
    """Take the worker along on every page but the seed."""
    if doc.page.depth:
        os._exit(5)


def hang(doc: Document) -> None:
    """Never come back from that page."""
    if doc.page.url.endswith(EVIL):
        while True:
            time.sleep(0.01)


def spin(doc: Document) -> None:
    """Hold the interpreter lock for good: no thread of the worker could end it."""
    if doc.page.url.endswith(EVIL):
        sum(iter(int, 1))


def throw(doc: Document) -> None:
    """Raise."""
    if doc.page.url.endswith(EVIL):
        raise LookupError("nothing here")


def dies_sometimes(doc: Document) -> None:
    """Take the worker along on every page, but only the first time it is seen, which a file remembers."""
    marks = os.environ["HOSTILE_MARKS"]
    try:
        os.close(os.open(f"{marks}/{doc.sha256}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if doc.sha256 < "4":  # a quarter of the pages
        os._exit(4)


EVIL = os.environ.get("HOSTILE_PAGE", "/none")
