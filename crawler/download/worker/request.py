"""What one order asks of a server: the header lines of its request."""

from __future__ import annotations

from crawler.download.answers.identity import Identity
from crawler.download.worker.wire import END_UNKNOWN, Fetch

WANTED_DIGESTS = "sha-256=10, sha-512=5"
"""For Want-Repr-Digest (RFC 9530 4): the weights are preferences, 10 the highest.

`Want-Digest` (RFC 3230) is not sent. The servers that know it compute a digest on demand, for as long as that takes.
"""


def headers_for(order: Fetch, pinned: Identity | None) -> dict[str, str]:
    """Return what to ask for, and under which conditions.

    A server that knows If-Match answers 412 where the file is another one, without a body, and before it looks at
    If-Range (RFC 9110 13.2.2); one that does not know it goes by If-Range, or by neither.
    """
    begins = order.first - order.lead
    headers = {}
    if begins or order.end != END_UNKNOWN:
        headers["Range"] = f"bytes={begins}-{'' if order.end == END_UNKNOWN else order.end - 1}"
    if order.wants_digest:
        headers["Want-Repr-Digest"] = WANTED_DIGESTS
    if pinned is None:
        return headers
    if order.is_matched and pinned.etag is not None:
        headers["If-Match"] = pinned.etag
    condition = pinned.if_range()
    if condition is not None:
        headers["If-Range"] = condition
    return headers
