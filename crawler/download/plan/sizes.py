"""How large the next order of a connection should be."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
SMALLEST: Final = 256 * KIB  # an order, unless less is left or its connection is slow
GRAIN: Final = 64 * KIB  # orders end at multiples of this, where they can
UNKNOWN: Final = 4 * MIB  # at most, before any connection was measured
LONGEST: Final = 2.0  # seconds that an order should take at most: it may hold up the frontier


def order_size(
    missing: int, segments: int, *, piece: int, most: int, usual: float, mine: float, latency: float, is_measured: bool
) -> int:
    """Return the bytes of an order; 0 when this connection is too slow to be of help any more.

    `missing` bytes are nobody's yet and `segments` connections are at work; `usual` is what those reach, `mine` what
    this one does, in bytes a second; a request costs `latency` seconds. `piece` is the usual size, `most` the largest.

    Large first, small last, so that all end together whatever their speed (factoring: half of a fair share each time,
    Hummel, Schonberg and Flynn 1992). Where latency would cost more than a twentieth, fewer and larger orders.
    """
    share = missing // segments
    if not is_measured:
        return min(piece, UNKNOWN, max(share // 2, SMALLEST))
    per_latency = int(usual * latency)
    size = max(share // 2, min(share, 20 * per_latency), SMALLEST, min(4 * per_latency, piece))
    size = min(size, max(piece, 40 * per_latency), max(most, SMALLEST), int(mine * max(LONGEST, 40 * latency)))
    if mine >= usual / 2:
        return max(size, SMALLEST)
    seconds = missing / (usual * segments)  # until the others will have it all
    size = min(int(size * mine / usual), int(mine * seconds))
    return size if size >= GRAIN else 0
