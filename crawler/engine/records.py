"""The record of a redirect. The records of pages are made in the workers."""

from __future__ import annotations

import orjson

from crawler.config import Output
from crawler.fetch.outcome import Redirected
from crawler.frontier.request import Request
from pipelines.page import SCHEMA_VERSION
from pipelines.stages.options import ALWAYS_RECORDED


def redirect_line(request: Request, outcome: Redirected, target: str, output: Output) -> bytes:
    """Return the line for a URL that redirects: the keys of a page's record that a redirect has, in the same order."""
    headers = {name: value for name, value in outcome.headers if name in output.headers or name == "location"}
    line = {
        "schema": SCHEMA_VERSION,
        "url": request.url,
        "final_url": target,
        "status": outcome.status,
        "fetched_at": outcome.fetched_at,
        "depth": request.depth,
        "via": request.via,
        "redirects": request.redirects,
        "headers": headers,
        "sha256": None,
        "text_sha256": None,
        "complete": True,
        "duplicate_of": None,
    }
    if output.fields:
        line = {name: value for name, value in line.items() if name in ALWAYS_RECORDED or name in output.fields}
    return orjson.dumps(line)
