"""Stages that take long to import or to construct, as those that load a model do. Imported by worker processes."""

from __future__ import annotations

import time

from pipelines.page import Document

time.sleep(1.0)


def mark(doc: Document) -> None:
    """Leave a mark."""
    doc.record["mark"] = 1


class Slow:
    """Takes long to be made, and counts how often it was."""

    made = 0

    def __init__(self) -> None:
        time.sleep(1.0)
        Slow.made += 1

    def __call__(self, doc: Document) -> None:
        """Leave a mark: 1 as long as there is one of this class in this process."""
        doc.record["mark"] = Slow.made
