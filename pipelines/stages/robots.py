"""What a page asks of robots: `<meta name="robots">` and the X-Robots-Tag field, also where they name one robot.

Neither is in a standard; the forms are those that search engines document. RFC 9309 leaves them out on purpose.
"""

from __future__ import annotations

import re

_AGENT = re.compile(r"[ \t]*([a-z0-9_*.-]+)[ \t]*:[ \t]*")
_VALUED = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after", "unavailable after")
_DATE_COMMA = re.compile(r"(unavailable[_ ]after:[ \t]*[a-z]+), ")  # "unavailable_after: Sunday, 03-Jan-27 …"


def header_directives(field: str, agent: str = "") -> set[str]:
    """Return the directives of an X-Robots-Tag field: lower case, those for other robots as `name:directive`.

    A name holds for what follows it until the next name, as in `otherbot: noindex, nofollow`.
    """
    found: set[str] = set()
    scope = ""
    for part in _DATE_COMMA.sub(r"\1 ", field.lower()).split(","):
        rest = part.strip()
        if not rest.startswith(_VALUED) and (named := _AGENT.match(rest)):
            scope, rest = named[1], rest[named.end() :]
        if rest:
            found.add(rest if scope in ("", agent, "robots", "*") else f"{scope}:{rest}")
    return found


def meta_directives(content: str) -> set[str]:
    """Return the directives of a robots meta's content, lower case."""
    parts = _DATE_COMMA.sub(r"\1 ", content.lower()).split(",")
    return {part.strip() for part in parts if part.strip()}


def is_nofollow(directives: tuple[str, ...]) -> bool:
    """Tell whether a page asks us not to follow its links."""
    return "nofollow" in directives or "none" in directives
