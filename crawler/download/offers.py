"""Mirrors that a server offers for a file, in the Link fields of its answers (RFC 6249).

A stranger named them, so they are used only where it does not matter who sends the bytes: when the user or the origin
of the file has told a strong digest of all of it. RFC 6249 2 asks such a server for one. They are a few, none is
reached without TLS where the offer came over it, and they go like the file itself through the gate and the rules for
addresses, without any secret, since those belong to origins. When the file has to be begun again and a mirror had a
part in it, no offer is taken any more: the second attempt must not fail by the first one's fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from crawler.download.answers.identity import Identity
from crawler.download.proof.digests import is_available, strength
from crawler.download.proof.discover import Claim, Lines, Trust, claims_of, trust_of
from crawler.download.proof.metalink import Mirror, links_of
from crawler.download.retry import Source, Sources

MAX_MIRRORS: Final = 4
"""Of one file. More would help nobody: they are asked when the places before them fail, or ask for a pause."""


def is_proven(claims: Iterable[Claim]) -> bool:
    """Tell whether the claims that decide about a file have a digest that nobody can hit with other bytes."""
    claims = list(claims)
    trust = max((claim.trust for claim in claims), default=Trust.OTHER_ORIGIN)
    return trust > Trust.OTHER_ORIGIN and any(
        claim.trust is trust and _is_strong(claim.digest.algorithm) for claim in claims
    )


def _is_strong(algorithm: str) -> bool:
    return strength(algorithm) > strength("sha1") and is_available(algorithm)


class Offers:
    """What was offered for one file, and what was taken of it."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._offered: dict[str, Mirror] = {}
        self._metalinks: list[str] = []
        self._is_over = False

    def noted(self, lines: Lines, at: str) -> None:
        """Note what an answer from `at` offers."""
        links = links_of(lines, at)
        self.found(links.mirrors, at)
        self._metalinks += [url for url in links.metalinks if trust_of(url, at) is Trust.SAME_ORIGIN]

    def found(self, mirrors: Iterable[Mirror], at: str) -> None:
        """Note mirrors that somebody at `at` names."""
        for mirror in mirrors:
            if mirror.url.startswith("https:") or not at.startswith("https:"):
                self._offered.setdefault(mirror.url, mirror)

    def redirected(self, lines: Lines, at: str) -> list[Claim]:
        """Note what a redirect from `at` offers; return the digests of the file that it tells.

        Whoever sends to mirrors tells of the others in the redirect. Only `Digest` counts there, and only beside an
        offer: `Repr-Digest` (RFC 9530 2) is of what the redirect itself carries.
        """
        found = links_of(lines, at)
        if not found.mirrors and not found.metalinks:
            return []
        self.noted(lines, at)
        told = [(name, value) for name, value in lines if name == "digest"]
        return claims_of(told, is_whole=False, trust=trust_of(at, self._sources.all[0].url))

    def metalink(self, claims: Iterable[Claim]) -> str | None:
        """Return the Metalink to ask for; None where nothing is missing that it could tell, or there is none.

        One of the place itself that offers it: what another says proves nothing.
        """
        if self._is_over or not self._metalinks or (self._offered and is_proven(claims)):
            return None
        return self._metalinks[0]

    def take(self, claims: Iterable[Claim], identity: Identity) -> None:
        """Add what was offered to the places of the file, if `claims` prove it. `identity`: what the file is."""
        if self._is_over or not self._offered or not is_proven(claims):
            return
        known = {url for source in self._sources.all for url in (source.url, source.at)}
        taken = len(self._sources.all) - len(self._sources.named)
        best = sorted(self._offered.values(), key=lambda mirror: (not mirror.is_preferred, mirror.priority))
        for mirror in best:
            if mirror.url in known:
                continue
            if taken >= MAX_MIRRORS:
                return
            taken += 1
            source = Source(mirror.url, is_offered=True)
            if mirror.is_preferred and identity.size is not None and identity.etag is not None:
                source.met(Identity(identity.size, identity.etag))  # RFC 6249 3.4: it has the same tags
            self._sources.all.append(source)

    def begin_again(self) -> None:
        """Give all of them back; the next answer offers anew."""
        self._is_over |= any(source.has_given for source in self._sources.all if source.is_offered)
        self._offered.clear()
        self._metalinks.clear()
        self._sources.all[:] = self._sources.named
