"""Why a download, or one attempt at a part of it, failed: a closed set, each with what may be done about it."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final


@unique
class Fault(StrEnum):
    """The reason of a failure. Values are stable: they stand in records, receipts and summaries."""

    DNS = "dns"
    """The name of the host was not found, or not in time."""
    CONNECT = "connect"
    """No connection: refused, unreachable, or not in time."""
    ADDRESS_BLOCKED = "address_blocked"
    """The address policy forbids the host."""
    TLS = "tls"
    """The handshake failed or the certificate is not trusted."""
    TIMEOUT = "timeout"
    """The answer did not begin, or its body did not go on, in time."""
    TOO_SLOW = "too_slow"
    """The body came slower than the least rate that is allowed."""
    DISCONNECTED = "disconnected"
    """The connection was reset or ended before the head of the answer was complete."""
    PROTOCOL = "protocol"
    """What came is no valid HTTP: a broken head, two different lengths, a length beside a transfer coding."""
    SHORT_BODY = "short_body"
    """The body ended before the length that its head promised."""
    EXCESS_BODY = "excess_body"
    """The body went on beyond the length that its head promised."""
    RANGE_IGNORED = "range_ignored"
    """A range was asked for and something else came in full, which does not look like the file."""
    RANGE_WRONG = "range_wrong"
    """A 206 whose Content-Range is absent, malformed, impossible, or not what was asked for."""
    RANGE_REFUSED = "range_refused"
    """416 to a range inside the file: this server does no ranges here."""
    NOT_PARTIAL = "not_partial"
    """A status that answers no GET of a file: 204, 304 without a condition, 203, an unused 3xx."""
    CHANGED = "changed"
    """The file is another one than the one that was begun."""
    CHANGED_TOO_OFTEN = "changed_too_often"
    """The file changed during each of several attempts."""
    SEAM_MISMATCH = "seam_mismatch"
    """Neighbouring pieces do not agree about the bytes that both contain."""
    HTTP_4XX = "http_4xx"
    """The server refused the request (a 4xx that has no reason of its own here)."""
    HTTP_5XX = "http_5xx"
    """The server failed."""
    GONE = "gone"
    """404 or 410."""
    RATE_LIMITED = "rate_limited"
    """429: too many requests."""
    AUTH = "auth"
    """401, 403 or 407: no right to it, or no longer (a signed URL that has expired)."""
    REDIRECT = "redirect"
    """A redirect that the caller asked to be told of instead of followed."""
    REDIRECT_LIMIT = "redirect_limit"
    """Redirects went in a circle or on for too long."""
    REDIRECT_INSECURE = "redirect_insecure"
    """A redirect leads from https to http."""
    REDIRECT_TO_PAGE = "redirect_to_page"
    """A redirect leads to a web page instead of the file: a login, a notice."""
    ENCODED = "encoded"
    """The body is compressed although it was asked for as it is: its bytes are not those of the file."""
    DIGEST_MISMATCH = "digest_mismatch"
    """The bytes do not have the digest they must have."""
    SIZE_MISMATCH = "size_mismatch"
    """The file does not have the size it must have."""
    SIZE_LIMIT = "size_limit"
    """The file is larger than allowed."""
    DIGEST_REQUIRED = "digest_required"
    """A digest was required and none is known."""
    RETRIES_EXHAUSTED = "retries_exhausted"
    """As many attempts as allowed failed; the detail names the last one's fault."""
    NO_SPACE = "no_space"
    """The disk, the quota or the largest size of a file is exhausted."""
    DISK = "disk"
    """Reading or writing failed, or may not be done there."""
    EXISTS = "exists"
    """Something stands under the final name already and is not replaced."""
    NAME_UNSAFE = "name_unsafe"
    """The name leads outside the folder or cannot be a file's name."""
    LOCKED = "locked"
    """Another process is downloading to the same target."""
    WORKER_LOST = "worker_lost"
    """The worker process ended while it worked on the file."""
    INTERRUPTED = "interrupted"
    """The download was stopped from outside; it can be resumed."""
    INTERNAL = "internal"
    """A bug of this program."""


RETRYABLE: Final = frozenset({
    Fault.DNS,
    Fault.CONNECT,
    Fault.TIMEOUT,
    Fault.TOO_SLOW,
    Fault.DISCONNECTED,
    Fault.PROTOCOL,
    Fault.SHORT_BODY,
    Fault.EXCESS_BODY,
    Fault.RANGE_IGNORED,
    Fault.RANGE_WRONG,
    Fault.NOT_PARTIAL,
    Fault.CHANGED,
    Fault.SEAM_MISMATCH,
    Fault.HTTP_5XX,
    Fault.RATE_LIMITED,
    Fault.ENCODED,
    Fault.DIGEST_MISMATCH,
    Fault.WORKER_LOST,
})  # fmt: skip
"""What may be different at the next attempt. Each attempt is counted by whoever makes it."""

OF_RANGES: Final = frozenset({
    Fault.RANGE_IGNORED, Fault.RANGE_WRONG, Fault.RANGE_REFUSED, Fault.NOT_PARTIAL, Fault.HTTP_4XX, Fault.PROTOCOL,
})  # fmt: skip
"""What a server may do to a request for a part, and not to one for the whole."""

OF_LATER_RANGES: Final = OF_RANGES | {
    Fault.CHANGED, Fault.CHANGED_TOO_OFTEN, Fault.SEAM_MISMATCH, Fault.GONE, Fault.AUTH, Fault.REDIRECT_TO_PAGE,
    Fault.SHORT_BODY, Fault.EXCESS_BODY, Fault.ENCODED,
}  # fmt: skip
"""The same for requests behind the first, which had been answered well."""

NEVER_RETRIED: Final = frozenset({501, 505, 506, 508, 510, 511})
"""5xx that say what the server is, not how it feels (RFC 9110 15.6, RFC 2295, 5842, 2774, 6585)."""


def is_retryable(fault: Fault, status: int | None = None) -> bool:
    """Return whether the same request may end better another time; `status` is the answer's, when there was one."""
    return fault in RETRYABLE and status not in NEVER_RETRIED


def permitting(fault: str | None, detail: str) -> str:
    """Return a detail with what the user may do about it, if that is one option: to open a network, not a port."""
    is_address = fault == Fault.ADDRESS_BLOCKED and not detail.startswith("port ")
    return f"{detail}; --allow-address NET permits it" if is_address else detail
