"""The cases of D1 to D124 that no server can show: what happens on the disk, to the process, or in the arithmetic."""

from __future__ import annotations

from typing import NamedTuple


class Unscripted(NamedTuple):
    """A case without a script."""

    id: str
    title: str
    why: str
    """Why it is no script of a server."""


_DISK = "the disk fails, not the server"
_PROCESS = "the process ends or starts, whatever the server does"
_PURE = "a question of arithmetic or syntax, without any connection"
_BESIDE = "two who work beside each other, under an honest server"

UNSCRIPTED: tuple[Unscripted, ...] = (
    Unscripted("D76", "no space: at preallocation, mid-way, at fsync, in the journal, at rename", _DISK),
    Unscripted("D77", "quota exhausted, file too large", _DISK),
    Unscripted("D78", "input/output error at write, fsync, read-back", _DISK),
    Unscripted("D79", "short pwrite, interrupted call", _DISK),
    Unscripted("D80", "read-only folder, no permission, target is a folder, FIFO, link or device", _DISK),
    Unscripted("D81", "rename across devices", _DISK),
    Unscripted("D82", "fallocate unsupported", _DISK),
    Unscripted("D83", "file removed, truncated or replaced while running", _DISK),
    Unscripted("D84", "someone else writes into the temporary file", _DISK),
    Unscripted("D85", "few file descriptors", _PROCESS),
    Unscripted("D86", "SIGKILL at every step of the journal", _PROCESS),
    Unscripted("D87", "killed with one version, resumed with another", _PROCESS),
    Unscripted("D88", "journal truncated, flipped, zero-filled, from the future, of another download", _PURE),
    Unscripted("D89", "data shorter than the journal says", _DISK),
    Unscripted("D90", "holes that look complete", _DISK),
    Unscripted("D91", "power loss: what was written after the last sync is gone", _DISK),
    Unscripted("D92", "reboot: another boot id, process ids used again", _PROCESS),
    Unscripted("D93", "SIGTERM and Ctrl-C leave a download that can be resumed", _PROCESS),
    Unscripted("D94", "cancelled at any await", _PROCESS),
    Unscripted("D95", "a worker process dies while it owns pieces", _PROCESS),
    Unscripted("D96", "a worker process dies while it hashes", _PROCESS),
    Unscripted("D97", "resumed with another number of segments or size of pieces", _PROCESS),
    Unscripted("D98", "two processes, one URL and one target", _BESIDE),
    Unscripted("D99", "a lock that always succeeds", _DISK),
    Unscripted("D100", "one target, two URLs", _BESIDE),
    Unscripted("D102", "fork with an open loop, start method spawn", _PROCESS),
    Unscripted("D103", "embedded in a running loop, a second asyncio.run", _PROCESS),
    Unscripted("D105", "wrong digest of the whole with right pieces, and the reverse", _PURE),
    Unscripted("D112", "checksum files of every format, hostile names, huge, no match, two matches", _PURE),
    Unscripted("D113", "Metalink: entity bombs, traversal, missing size, wrong number of pieces", _PURE),
    Unscripted("D115", "the state of a hash, saved and continued at every block boundary", _PURE),
    Unscripted("D116", "the frontier: pieces in every order", _PURE),
    Unscripted("D118", "a sidecar that is not there", _PURE),
    Unscripted("D119", "the clock jumps", _PROCESS),
    Unscripted("D120", "memory stays bounded with a fast network and a slow disk", _DISK),
    Unscripted("D124", "a rate limit is kept", _PROCESS),
)
