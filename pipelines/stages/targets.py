"""From the hrefs of pages to canonical, fingerprinted, judged URLs, each worked out once per worker.

The pages of a site repeat the same few hundred hrefs. Resolving one costs about 3 µs, finding it again 0.05 µs, so
what a relative href means is remembered per folder: nothing but the base URL's folder matters to it, except for hrefs
that are empty or start with `?` or `#`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ada_url import URL

from pipelines.page import Target
from pipelines.url import CanonicalUrl, canonicalize

MAX_REMEMBERED_CHARS = 24 * 1024 * 1024  # of hrefs and URLs, an overhead each: about 24 MB a worker
MAX_REMEMBERED_HREF = 2048
MAX_REPORTED = 200_000
MAX_RAW_URL = 2000
INVALID_URL = "invalid_url"

_OVERHEAD_CHARS = 160
_C0_OR_SPACE = "".join(map(chr, range(0x21)))
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_PLAIN = re.compile(r"((?:\.\./)*)([A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?)")
"""Hrefs that only have to be appended to a folder: most of them, at a quarter of the cost of the whole standard."""
_IN_DISGUISE = re.compile(r"[\t\n\r]|\Ahttps?:(?!//)", re.IGNORECASE)
"""`http:?x` means `?x` on an http page, and tabs and newlines are ignored wherever they are: worked out each time."""
_TAB_OR_NEWLINE = re.compile(r"[\t\n\r]")


class Folder(dict[str, "Target | None"]):
    """What each href met in one folder of a site means; None for what is no web address. Resolves what it lacks."""

    __slots__ = ("_folders", "_origin", "_own", "_targets", "base")

    def __init__(self, targets: Targets, base: str) -> None:
        super().__init__()
        self._targets = targets
        self.base = base
        """The base URL of the page at work."""
        self._own: Target | None = None
        self._origin, self._folders = _folders_of(base)

    def enter(self, base: str) -> None:
        """Begin a page whose base URL is `base`, which lies in this folder."""
        if base != self.base:
            self.base = base
            self._own = None

    def __missing__(self, href: str) -> Target | None:
        bare, mark, _ = href.partition("#")
        bare = bare.lstrip(_C0_OR_SPACE) if mark else bare.strip(_C0_OR_SPACE)
        if not bare or bare[0] == "?" or bare[-1] <= " ":
            return self.here(bare + mark)
        if bare in self:
            return self[bare]
        target: Target | None
        folders = self._folders
        if folders and (plain := _PLAIN.fullmatch(bare)):
            ups = len(plain[1]) // 3
            target = self._targets.of_url(CanonicalUrl(folders[ups if ups < len(folders) else -1] + plain[2]))
        elif _IN_DISGUISE.search(bare):
            return self.here(bare + mark)
        else:
            target = self._targets.resolve(bare, self.base, self._origin)
        if len(bare) <= MAX_REMEMBERED_HREF:
            self[bare] = target
            self._targets.remembered_chars += len(bare) + _OVERHEAD_CHARS
        return target

    def here(self, href: str) -> Target | None:
        """Resolve an href whose meaning depends on more than the folder: empty, `?…` or `#…`."""
        if href and href[0] != "#":
            return self._targets.resolve_anew(href, self.base)
        if self._own is None:
            self._own = self._targets.resolve_anew(href, self.base)
        return self._own


def _folders_of(base: str) -> tuple[str, list[str]]:
    """Return the origin of a canonical base URL, and its folder and all those above it, each with a final slash."""
    if not base.startswith(("http://", "https://")):
        return "", []
    scheme, _, host, path = base.partition("?")[0].split("/", 3)
    origin = f"{scheme}//{host}"
    names = path.split("/")[:-1]
    return origin, [f"{origin}/{''.join(f'{name}/' for name in names[:depth])}" for depth in range(len(names), -1, -1)]


class Targets:
    """All URLs that one worker has met lately, and which of them it has reported."""

    def __init__(
        self,
        fingerprint: Callable[[str], int],
        admit: Callable[[CanonicalUrl], tuple[str, int] | str] | None,
        rewrite: Callable[[CanonicalUrl], CanonicalUrl] | None = None,
    ) -> None:
        self._fingerprint = fingerprint
        self._admit = admit
        self._rewrite = rewrite
        self._by_url: dict[str, Target] = {}
        self._rooted: dict[tuple[str, str], Target | None] = {}
        self._folders: dict[str, Folder] = {}
        self._reported: set[int] = set()
        self.remembered_chars = 0

    def folder_of(self, base: str) -> Folder:
        """Return the folder of `base`, ready to resolve hrefs of a page whose base URL is `base`."""
        name = base.partition("?")[0].rpartition("/")[0]
        folder = self._folders.get(name)
        if folder is None:
            folder = self._folders[name] = Folder(self, base)
        folder.enter(base)
        return folder

    def resolve(self, href: str, base: str, origin: str) -> Target | None:
        """Return what `href` means at `base`, remembering those that mean the same in every folder of the origin."""
        if len(href) > MAX_REMEMBERED_HREF:
            return self.resolve_anew(href, base)
        start = href[:8].lower()
        if start.startswith(("http://", "https://")):
            key = ("", href)
        elif start.startswith("/"):
            key = (origin, href)
        else:
            return self.resolve_anew(href, base)
        if key not in self._rooted:
            self._rooted[key] = self.resolve_anew(href, base)
            self.remembered_chars += len(href) + _OVERHEAD_CHARS
        return self._rooted[key]

    def resolve_anew(self, href: str, base: str) -> Target | None:
        """Return the target of `href`; None when it is no web address, one with a reason when it is a broken one."""
        url = canonicalize(href, base)
        if url is None:
            return self._broken(href, base)
        if self._rewrite is not None:
            url = self._rewrite(url)
        return self.of_url(url)

    def of_url(self, url: CanonicalUrl) -> Target:
        """Return the one target of a canonical URL."""
        target = self._by_url.get(url)
        if target is None:
            target = self._by_url[url] = Target(url, self._fingerprint(url))
            self.remembered_chars += len(url) + _OVERHEAD_CHARS
        return target

    def _broken(self, href: str, base: str) -> Target | None:
        scheme = _SCHEME.match(_TAB_OR_NEWLINE.sub("", href)) or _SCHEME.match(base)
        if scheme is None or scheme[1].lower() not in ("http", "https"):
            return None
        raw = href[:MAX_RAW_URL]
        return Target(raw, self._fingerprint(raw), INVALID_URL)

    def unreported(self, targets: list[Target]) -> tuple[list[Target], list[Target]]:
        """Return those this worker has not reported yet: the admitted and the refused ones."""
        admitted: list[Target] = []
        refused: list[Target] = []
        if self._admit is None:
            return admitted, refused
        for target in [target for target in targets if not target.is_reported]:
            if target.fingerprint in self._reported:
                target.is_reported = True
                continue
            if not target.is_judged:
                self._judge(target)
            (admitted if target.reason is None else refused).append(target)
        return admitted, refused

    def _judge(self, target: Target) -> None:
        assert self._admit is not None
        verdict = self._admit(CanonicalUrl(target.url))
        if isinstance(verdict, str):
            target.reason = verdict
        else:
            target.host, target.priority = verdict
        target.is_judged = True

    def mark_reported(self, targets: list[Target]) -> None:
        """Remember that these have left the worker; call it only once nothing can go wrong with their page any more."""
        if len(self._reported) + len(targets) > MAX_REPORTED:
            self._reported.clear()
        for target in targets:
            target.is_reported = True
            self._reported.add(target.fingerprint)

    def unmark_reported(self, targets: list[Target]) -> None:
        """Take back `mark_reported`: the batch that carried them never left the worker."""
        for target in targets:
            target.is_reported = False
            self._reported.discard(target.fingerprint)

    def forget_if_full(self) -> None:
        """Make room; call it between pages, because the targets of one page must be the same objects throughout."""
        if self.remembered_chars < MAX_REMEMBERED_CHARS:
            return
        self._by_url.clear()
        self._rooted.clear()
        self._folders.clear()
        self.remembered_chars = 0


def resolve_base(href: str, page_url: str) -> str:
    """Return the base URL that `<base href>` sets, the page's own where it may not: "set the frozen base URL".

    A base that is no web address is returned as it is: nothing relative can be resolved against it.
    """
    if (base := canonicalize(href, page_url)) is not None:
        return base
    try:
        other = URL(href, base=page_url)
    except ValueError:
        return page_url
    return page_url if other.protocol in ("data:", "javascript:") else other.href
