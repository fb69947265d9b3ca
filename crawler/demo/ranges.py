"""Parts of an answer: what a request with Range and If-Range gets (RFC 9110 13.1.5, 14). Pure.

One range of bytes, as downloads ask for it. Several ranges at once, which a server may ignore, get the whole.
"""

from __future__ import annotations

import re
from dataclasses import replace

from crawler.demo.answer import Answer

_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?\Z")


def part_of(answer: Answer, asked: str, condition: str) -> Answer:
    """Return the part that `Range: asked` and `If-Range: condition` ask for, or the answer itself.

    Only an answer with `Accept-Ranges: bytes` has parts; `condition` is empty where there was no If-Range.
    """
    fields = {name.lower(): value for name, value in answer.headers}
    match = _RANGE.match(asked)
    if answer.status != 200 or fields.get("accept-ranges") != "bytes" or match is None or match[0] == "bytes=-":
        return answer
    if condition and condition not in (fields.get("etag"), fields.get("last-modified")):
        return answer
    size = len(answer.body)
    if match[1] is None:
        first, last = max(0, size - int(match[2])), size - 1
    else:
        first, last = int(match[1]), min(size - 1, int(match[2] or size - 1))
    if first >= size or last < first:
        return Answer(416, (("Content-Range", f"bytes */{size}"),))
    ranged = ("Content-Range", f"bytes {first}-{last}/{size}")
    return replace(answer, status=206, headers=(*answer.headers, ranged), body=answer.body[first : last + 1])
