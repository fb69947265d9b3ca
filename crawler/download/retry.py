"""Whether to ask again, where, and when: the table of what each fault means for the next request. No clock, no chance.

Each place that has the file is judged alone. One whose answers show it will not do better is given up at once; one that
fails for a reason that may pass is asked again, after a pause that doubles, until it failed as often in a row as is
allowed. Bytes that arrive count as a new beginning. When no place is left, the download fails with the last fault.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from crawler.download.answers.identity import Identity
from crawler.download.fault import Fault, is_retryable

MAX_HOPS = 10  # redirects, as browsers allow 20 and curl 50; a file's are few
MAX_RENEWALS = 3
"""How often a place that was reached by a redirect and does not let us in any more is looked up anew (signed URLs)."""


class GivenUp(Exception):
    """The download cannot be finished. Expected trouble: it becomes the result."""

    def __init__(self, fault: Fault, detail: str, last: Fault | None = None) -> None:
        """`last`: what the last request failed with, where `fault` is that there were too many."""
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail
        self.last = last or fault


class Patience(NamedTuple):
    """How long to go on; seconds."""

    retries: int
    delay: float
    delay_max: float
    retry_after_max: float
    stall: float = 0.0
    """Without a byte of a part, after which the rest of it is asked for again; 0: none of its own."""


class Failure(NamedTuple):
    """A request that failed, with what a decision about the next one needs."""

    fault: Fault
    detail: str
    status: int = 0
    retry_after: float | None = None
    """Seconds that the server asked for."""
    began: float = inf
    """When the request was made: what was under way when another one failed tells nothing new."""


class Source:
    """One place that has the file: a URL, where it leads now, and what was experienced there."""

    def __init__(self, url: str, *, is_offered: bool = False) -> None:
        self.url = url
        self.is_offered = is_offered
        """Whether only an answer named it, and nobody who asked for the file."""
        self.at = url
        """Where redirects have led to."""
        self.pinned: Identity | None = None
        """What this place said the file is; the same bytes have other tags elsewhere."""
        self.hops = 0
        self.failures = 0
        """In a row, without a byte in between."""
        self._counted_at = -inf
        self.renewals = 0
        self.not_before = 0.0
        self.dead: Fault | None = None
        self.last: Fault | None = None
        self.is_warned = False
        self.detail = ""
        self.has_given = False
        """Whether bytes of it count."""
        self.is_single = False
        """Whether it does not serve parts."""
        self.has_short_parts = False
        """Whether a part of it did not even bring the overlap with what is there."""
        self.is_matched = False
        """Whether If-Match is sent: once it has answered in this run, unless it answers 412 without a reason."""
        self._denied: str | None = None

    def moved(self) -> None:
        """Note that bytes came."""
        self.has_given = True
        self.failures = self.renewals = self.hops = 0

    def met(self, identity: Identity) -> None:
        """Pin what this place says the file is.

        If-Match is sent from now on, but not where it was answered with 412 to a tag that is still the file's: such a
        server compares tags wrongly, and would have the file begun again for ever.
        """
        self.pinned = identity
        self.is_matched = identity.etag is not None and identity.etag != self._denied

    def denied(self) -> None:
        """Note a 412: the tag that was sent is not the file's, says this place."""
        if self.is_matched and self.pinned is not None:
            self._denied = self.pinned.etag
        self.is_matched = False

    def silence(self, terms: Patience) -> float:
        """Return after how long without a byte a part from here is given up; 0 when that is no business of ours.

        A server that is slow but alive gets twice as long each time that nothing came, and its last chance undisturbed.
        """
        return terms.stall * 2**self.failures if self.failures < terms.retries else 0.0

    def begin_again(self) -> None:
        """Forget where this led and what was found there; not what went wrong."""
        self.pinned, self.is_matched = None, False
        self.at, self.hops = self.url, 0

    def redirected(self, asked: str, target: str) -> None:
        """Follow a redirect from where was `asked`; give this place up when there are too many, or one leads from
        https to http (RFC 9110 15.4).

        Several requests may be under way: what comes from where nobody asks any more is no news.
        """
        if asked != self.at:
            return
        self.hops += 1
        if self.hops > MAX_HOPS:
            self.end(Fault.REDIRECT_LIMIT, f"more than {MAX_HOPS} redirects, the last to {target}")
        elif self.at.startswith("https:") and not target.startswith("https:"):
            self.end(Fault.REDIRECT_INSECURE, f"from https to {target}")
        else:
            self.at = target

    def end(self, fault: Fault, detail: str) -> None:
        """Give this place up: it will not do better."""
        self.dead = self.last = fault
        self.detail = detail

    def failed(self, asked: str, failure: Failure, now: float, terms: Patience, jitter: float) -> None:
        """Note a request that failed where was `asked`, and decide when this place may be asked again, if at all.

        `jitter`: between 0 and 1, any; spreads the retries of many.
        """
        fault, detail, status, retry_after, began = failure
        if asked != self.at and fault in (Fault.AUTH, Fault.GONE):
            return  # of a signature that was given up meanwhile
        self.detail = detail
        if fault in (Fault.AUTH, Fault.GONE) and self.at != self.url and self.renewals < MAX_RENEWALS:
            self.renewals += 1
            self.at, self.hops = self.url, 0
            return
        self.last = fault
        if fault in (Fault.AUTH, Fault.GONE) and self.has_given and not self.is_warned:
            self.is_warned = True  # it let us in before: one node of many may not know the file, or us
        elif not is_retryable(fault, status or None):
            self.dead = fault
            return
        if began < self._counted_at:
            self.not_before = max(self.not_before, now + (retry_after or 0.0))
            return
        self._counted_at = now
        self.failures += 1
        if self.failures > terms.retries:
            self.dead = fault if terms.retries == 0 else Fault.RETRIES_EXHAUSTED
            self.detail = detail if terms.retries == 0 else f"{_times(terms.retries)}, the last: {fault}: {detail}"
            return
        if retry_after is not None and retry_after > terms.retry_after_max:
            self.dead = fault
            self.detail = f"{detail}; it asks to wait {retry_after:.0f} s"
            return
        pause = min(terms.delay * 2 ** (self.failures - 1), terms.delay_max) * (0.5 + 0.5 * jitter)
        self.not_before = max(self.not_before, now + max(pause, retry_after or 0.0))


def _times(retries: int) -> str:
    return "1 retry" if retries == 1 else f"{retries} retries"


class Sources:
    """All places of one file, best first."""

    def __init__(self, urls: list[str], terms: Patience) -> None:
        self.all = [Source(url) for url in dict.fromkeys(urls)]
        self.terms = terms

    def best(self, now: float) -> Source:
        """Return the place to ask next, which may want to be left alone for a while. Raises GivenUp: none is left."""
        alive = [source for source in self.all if source.dead is None]
        if not alive:
            last = self.named[-1]
            assert last.dead is not None
            others = "" if len(self.all) == 1 else f" (and {len(self.all) - 1} other places failed, too)"
            raise GivenUp(last.dead, last.detail + others, last.last)
        return min(alive, key=lambda source: max(0.0, source.not_before - now))

    @property
    def named(self) -> list[Source]:
        """Those that whoever asked for the file has named; at least one."""
        return [source for source in self.all if not source.is_offered]

    def revive(self) -> None:
        """Ask all of them once more, without patience."""
        self.terms = self.terms._replace(retries=0)
        for source in self.all:
            source.dead, source.at, source.hops, source.failures, source.not_before = None, source.url, 0, 0, 0.0

    def last_to(self, source: Source) -> None:
        """Ask a place only when no other is left: its bytes were wrong."""
        self.all.remove(source)
        self.all.append(source)
