"""A stage of your own: the price of an article, from its markup into the record.

    PYTHONPATH=examples crawl examples/own_stage.toml

Worker processes import this module by the name that the config gives it, so it has to be on Python's path.
"""

from __future__ import annotations

import re

from pipelines.page import Document

_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,4})?")


def price(doc: Document) -> None:
    """Put `price` and `currency` into the record; both are null where a page names no price.

    Reads schema.org microdata: `<meta itemprop="price" content="9.50">` or `<span itemprop="price">9.50</span>`.
    """
    doc.record["price"] = doc.record["currency"] = None
    if doc.tree is None:  # not HTML
        return
    node = doc.tree.css_first('[itemprop="price"]')
    if node is None:
        return
    number = _NUMBER.fullmatch((node.attributes.get("content") or node.text()).strip())
    if number is None:
        doc.flags.append("price_unreadable")
        return
    doc.record["price"] = float(number[0])
    currency = doc.tree.css_first('[itemprop="priceCurrency"]')
    doc.record["currency"] = currency.attributes.get("content") if currency is not None else None
