"""Numbers as a person reads them: counts, sizes, times. ASCII only, so that any terminal and any log can take them."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def count(number: int) -> str:
    """Return `1,234,567`."""
    return f"{number:,}"


def size(number: float) -> str:
    """Return bytes with a decimal unit and three digits: `987 B`, `1.23 MB`, `123 MB`."""
    for unit in _UNITS:
        if number < 999.5 or unit == _UNITS[-1]:
            digits = 0 if unit == "B" or number >= 99.95 else 1 if number >= 9.995 else 2
            return f"{number:,.{digits}f} {unit}"
        number /= 1000
    raise AssertionError("the last unit takes everything")


def rate(number: float) -> str:
    """Return a rate with as many digits as it has meaning: `0`, `0.25`, `9.8`, `1,234`."""
    digits = 0 if number >= 99.95 or not number else 1 if number >= 0.995 else 2
    return f"{number:,.{digits}f}"


def took(seconds: float) -> str:
    """Return how long something took: `0.73 s`, `12.3 s`, then as `clock`."""
    return f"{seconds:.{2 if seconds < 9.995 else 1}f} s" if seconds < 60 else clock(seconds)


def clock(seconds: float) -> str:
    """Return elapsed time to the second: `0:07`, `12:34`, `1:02:03`, `3d 04:05:06`."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02}:{minutes:02}:{whole % 60:02}"
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}"


def about(seconds: float) -> str:
    """Return a time in one unit, as exact as an estimate can claim to be: `8 s`, `12 min`, `5.5 h`, `3 days`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{round(seconds / 86400):,} days"
