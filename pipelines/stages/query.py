"""The user's own rules for query strings of links: keys to drop, order to ignore. Off unless asked for.

Which parameters do not matter is true for one site and false for the next, so nothing of this is canonicalisation.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import translate
from re import compile as compile_pattern

from pipelines.url import CanonicalUrl


def query_rules(drop_keys: tuple[str, ...], sort: bool) -> Callable[[CanonicalUrl], CanonicalUrl] | None:
    """Return a function that applies the rules to a canonical URL, None when there are none.

    `drop_keys` are shell patterns matched with the decoded key: `utm_*`. Sorting is by key and keeps the order of
    values of one key. The result is canonical again: parameters are only left out or moved, never re-spelled.
    """
    if not drop_keys and not sort:
        return None
    from urllib.parse import unquote_plus  # 2 ms of each worker's start that few crawls need

    dropped = compile_pattern("|".join(translate(key) for key in drop_keys)) if drop_keys else None

    def key_of(parameter: str) -> str:
        return unquote_plus(parameter.partition("=")[0])

    def rewrite(url: CanonicalUrl) -> CanonicalUrl:
        path, mark, query = url.partition("?")
        if not mark:
            return url
        parameters = query.split("&")
        if dropped is not None:
            parameters = [parameter for parameter in parameters if not dropped.match(key_of(parameter))]
        if sort:
            parameters.sort(key=key_of)
        query = "&".join(parameters)
        return CanonicalUrl(f"{path}?{query}" if query else path)

    return rewrite
