"""Connections that break: what no proper server sends and every crawler meets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from crawler.demo.answer import Answer, Kind, html
from crawler.demo.cases.case import Case
from crawler.demo.render import frame


def faults(origin: str) -> Iterator[Case]:
    """Yield the cases. A crawl retries them, so each costs the time of its back-off."""
    body = frame("Half a page", b"<p>This page will not come to its end.</p>\n" * 100)
    whole = html(body)
    half = len(body) // 2
    for name, answer, note in (
        ("half", replace(whole, cut_after=half), "half of the announced length, then the end of the connection"),
        ("half-chunked", replace(whole, cut_after=half, chunked=True), "chunks without the last one"),
        ("half-reset", replace(whole, cut_after=half, reset=True), "half a page, then a reset"),
        ("reset", replace(whole, reset=True), "a reset instead of an answer"),
        ("head-only", replace(whole, cut_after=0), "a head, then nothing"),
    ):
        yield _case(f"{origin}/fault/{name}", answer, note)


def _case(url: str, answer: Answer, note: str) -> Case:
    return Case(url, Kind.FAULT, answer, note=note)
