"""A 64-bit simhash (Charikar 2002) over the distinct words of a text, fast enough to have on every page.

Every bit of a fingerprint is a majority vote: each word's 64-bit hash votes yes or no on each bit. Counting 64 votes a
word in Python would cost more than parsing the page, so a word's votes are kept as one integer of 64 lanes of 16 bits,
and counting is adding integers: about 0.1 µs per word already known.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from itertools import islice

MAX_KNOWN_WORDS = 32_768  # about 10 MB a worker; a documentation site has that many
_MAX_VOTERS = 65_535  # what a lane can count
_HASHED_CHARS = 64


def _spread(byte: int) -> int:
    return sum(1 << 16 * bit for bit in range(8) if byte >> bit & 1)


_ONES = sum(1 << 16 * lane for lane in range(64))
_SPREAD = [[_spread(byte) << 128 * position for byte in range(256)] for position in range(8)]
_TO_DIGIT = bytes(0x31 if byte & 0x80 else 0x30 for byte in range(256))


class _Votes(dict[str, int]):
    """Word to lanes, made on first use; emptied when full."""

    def __missing__(self, word: str) -> int:
        digest = blake2b(word[:_HASHED_CHARS].encode("utf-8", "surrogatepass"), digest_size=8).digest()
        votes = 0
        for table, byte in zip(_SPREAD, digest, strict=True):
            votes |= table[byte]
        if len(self) >= MAX_KNOWN_WORDS:
            self.clear()
        if len(word) <= _HASHED_CHARS:
            self[word] = votes
        return votes


_votes = _Votes()


def simhash(words: Collection[str]) -> int:
    """Return the simhash of distinct `words` as an unsigned 64-bit integer; 0 for none.

    Two texts whose hashes differ in few bits (three or fewer, Manku et al. 2007) share nearly all their words. Only the
    first 65,535 words vote, and only the first 64 characters of a word.
    """
    voters = len(words)
    if voters > _MAX_VOTERS:
        words, voters = list(islice(words, _MAX_VOTERS)), _MAX_VOTERS
    counts = sum(map(_votes.__getitem__, words))
    # Bit 15 of a lane is set by the addition where more than half of the voters said yes; no lane overflows.
    majority = counts + _ONES * (0x7FFF - voters // 2)
    high_bytes = majority.to_bytes(128, "big")[::2]
    return int(high_bytes.translate(_TO_DIGIT), 2)
