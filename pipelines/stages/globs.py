"""Shell patterns for the paths of URLs. Safe with patterns of users on URLs of strangers: they never backtrack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import translate  # what lies between two stars is an atomic group: no backtracking into it
from re import IGNORECASE
from re import compile as compile_pattern
from urllib.parse import quote

MAX_TEXT = 2048  # characters of path and query that a pattern sees
_ASCII = "".join(map(chr, range(33, 127)))


def path_matcher(globs: Sequence[str]) -> Callable[[str], bool]:
    """Return whether one of the patterns is the path of a canonical URL, or its path and query, as a function.

    Upper and lower case are the same. Characters beyond ASCII are percent-encoded, as in a canonical URL.
    """
    if not globs:
        return _never
    match = compile_pattern("|".join(translate(quote(glob, _ASCII)) for glob in globs), IGNORECASE).match

    def matches(url: str) -> bool:
        text = url[url.index("/", 8) :][:MAX_TEXT]  # behind the authority, which starts at 7 or 8
        path, mark, _ = text.partition("?")
        return match(path) is not None or (mark != "" and match(text) is not None)

    return matches


def _never(url: str) -> bool:
    return False
