"""The oracle: whoever says that a download succeeded has left the right bytes; whoever says that it failed, none.

It knows nothing of who downloads. What a downloader says, and what it left behind, go in; one verdict comes out.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from crawler.testing.bodies import Damage, Source, damage


class Verdict(StrEnum):
    """How a download ended, seen from outside."""

    RIGHT = "right"
    """It says success, and the bytes are those of one version that was served."""
    WRONG = "wrong"
    """It says success, and the bytes are not, or there are none: what must never be."""
    FAILED = "failed"
    """It says that it failed, and nothing stands under the final name."""
    DIRTY = "dirty"
    """It says that it failed, and yet wrong bytes stand under the final name, where the next program will find them."""
    HUNG = "hung"
    """It said nothing in the time it had."""


def judge(path: Path, right: Iterable[Source], *, says_success: bool | None) -> Verdict:
    """Judge what stands at `path`; `says_success` is None when the downloader had to be stopped.

    Raises OSError when what stands there cannot be read.
    """
    if says_success is None:
        return Verdict.HUNG
    is_right = path.is_file() and any(_is(path, source) for source in right)
    if says_success:
        return Verdict.RIGHT if is_right else Verdict.WRONG
    return Verdict.DIRTY if path.exists() and not is_right else Verdict.FAILED


def where_wrong(path: Path, right: Iterable[Source]) -> list[Damage]:
    """Return where a file differs from the version that it is most like; empty when it is one of them.

    Raises OSError when it cannot be read.
    """
    found = [damage(path, source) for source in right]
    return min(found, key=lambda each: sum(end - first for first, end in each))


def strays(folder: Path, keep: Iterable[Path] = ()) -> list[Path]:
    """Return the files under a folder that are neither in `keep` nor under it: what a download forgot to clear away."""
    kept = set(keep)
    return sorted(
        path for path in folder.rglob("*") if not path.is_dir() and path not in kept and kept.isdisjoint(path.parents)
    )


def _is(path: Path, source: Source) -> bool:
    if path.stat().st_size != source.size:
        return False
    with path.open("rb") as file:
        at = 0
        while data := file.read(1024 * 1024):
            if data != source.read(at, at + len(data)):
                return False
            at += len(data)
    return True
