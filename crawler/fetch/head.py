"""What the head of a response says: its fields as a page keeps them, its framing, its Location and its Retry-After."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime

from pipelines.url import CanonicalUrl, canonicalize

MAX_RETRY_AFTER = 1e9  # seconds; only to keep the number finite, the frontier clamps

REDIRECTS = frozenset({301, 302, 303, 307, 308})  # Fetch standard 2.2.3, "redirect status"

Fields = tuple[tuple[str, str], ...]

_names: dict[bytes, str] = {}
_MAX_NAMES = 1024


def fields_of(raw: tuple[tuple[bytes, bytes], ...]) -> Fields:
    """Return raw header lines as text: names in lower case, values as latin-1 (RFC 9110 5.5)."""
    names = _names
    try:
        return tuple([(names[name], value.decode("latin-1")) for name, value in raw])
    except KeyError:
        return tuple([(_lower(name), value.decode("latin-1")) for name, value in raw])


def _lower(name: bytes) -> str:
    """Lower-case a field name, remembering the few hundred spellings that the web uses."""
    lower = name.decode("latin-1").lower()
    if len(_names) < _MAX_NAMES and len(name) <= 64:
        _names[name] = lower
    return lower


def length_of(raw: tuple[tuple[bytes, bytes], ...]) -> int:
    """Return the size of all header lines in bytes."""
    return sum(len(name) + len(value) + 4 for name, value in raw)


def redirect_target(location: bytes, base: CanonicalUrl) -> CanonicalUrl | None:
    """Resolve a Location header against the URL that answered; None when it leads to no http(s) URL.

    Bytes that are not UTF-8 are percent-encoded one by one, as browsers do.
    """
    try:
        text = location.decode()
    except UnicodeDecodeError:
        text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in location)
    return canonicalize(text, base) if text.strip() else None


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that Retry-After (RFC 9110 10.2.3) asks for, from `now`; None when it says nothing usable."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=now.tzinfo)
        return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER)
    except (TypeError, ValueError, IndexError, OverflowError):  # parsedate_to_datetime raises all of these on garbage
        return None
