"""One order in a worker: one request, its answer judged, its bytes put in their place, the outcome as a report."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import assert_never

from crawler.download.answers.answer import Asked, AtEnd, Changed, Part, Rejected, Whole, judge, stored_coding
from crawler.download.answers.fields import Fields
from crawler.download.answers.identity import Identity
from crawler.download.fault import Fault
from crawler.download.proof.digests import DigestError, new_hash
from crawler.download.proof.discover import algorithms_for, claims_of
from crawler.download.worker.landing import Landing
from crawler.download.worker.limiter import Limiter
from crawler.download.worker.request import headers_for
from crawler.download.worker.wire import (
    END_UNKNOWN,
    Aside,
    Ended,
    Fetch,
    Go,
    Head,
    Held,
    Landed,
    Progress,
    Report,
    Write,
)
from crawler.fetch.head import REDIRECTS, retry_after
from crawler.fetch.stream import Answer, Broken, Streamer
from crawler.frontier.reasons import Reason
from pipelines.url import CanonicalUrl

SMALL_BYTES = 1 << 20
"""A file up to this size, that one answer holds, is done in memory: it is hashed and written when it is whole."""
TELL_BYTES = 1 << 20
TELL_SECONDS = 0.1
NAP_SECONDS = 0.5  # the longest wait in one piece, after which the watch is told that we are to blame

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_FAULTS = {
    Reason.DNS: Fault.DNS,
    Reason.CONNECT: Fault.CONNECT,
    Reason.CONNECT_TIMEOUT: Fault.CONNECT,
    Reason.TLS: Fault.TLS,
    Reason.READ_TIMEOUT: Fault.TIMEOUT,
    Reason.TOTAL_TIMEOUT: Fault.TIMEOUT,
    Reason.TOO_SLOW: Fault.TOO_SLOW,
    Reason.DISCONNECTED: Fault.DISCONNECTED,
    Reason.ADDRESS_BLOCKED: Fault.ADDRESS_BLOCKED,
    Reason.PORT_BLOCKED: Fault.ADDRESS_BLOCKED,
    Reason.AUTH: Fault.AUTH,
}


class Trouble(Exception):
    """What ends an attempt, with all that a decision about the next one needs. Never leaves this module."""

    def __init__(
        self, fault: Fault, detail: str, status: int = 0, retry_after: float | None = None, target: str = ""
    ) -> None:
        super().__init__(fault, detail)
        self.fault, self.detail, self.status, self.retry_after, self.target = fault, detail, status, retry_after, target


class Attempt:
    """One `Fetch` under way. `run` is its task; the rest is called from outside while it runs."""

    def __init__(
        self,
        order: Fetch,
        streamer: Streamer,
        limiter: Limiter,
        open_file: Callable[[int, str], int],
        tell: Callable[[Report], None],
    ) -> None:
        """`open_file` gives the descriptor of a file by its number and path; it stays the giver's."""
        self.order = order
        self._streamer = streamer
        self._limiter = limiter
        self._open_file = open_file
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._run: Landing | None = None
        self._path = order.path
        self._small = order.small
        self._told = self._told_at = 0.0
        self._cut: int | None = None
        self._received = 0
        self._status = 0
        self._digests: dict[str, str] = {}
        self._kept: list[bytes] = []
        self._go: asyncio.Future[Go] | None = None
        self._decided: asyncio.Future[Write] | None = None
        self._is_good = True
        """Whether what was written may count; not when the answer turned out to be a lie."""

    # -- from outside

    def cut(self, end: int) -> int:
        """Let the order end at `end` and return where it does: what was written beyond stays."""
        run = self._run
        if run is None:
            self._cut = max(end, self.order.first)
            return self._cut
        end = max(end, run.at)
        if run.end is None or end < run.end:
            run.end = end
        return run.end

    def go(self, word: Go) -> None:
        """Say where the body belongs that `Head` told of."""
        if self._go is not None and not self._go.done():
            self._go.set_result(word)

    def decide(self, word: Write) -> None:
        """Say what is to become of the bytes that `Held` told of."""
        if self._decided is not None and not self._decided.done():
            self._decided.set_result(word)

    # -- the task

    async def run(self) -> None:
        """Make the attempt; whatever comes of it is told, with `Ended` as the last word."""
        fault: Fault | str = ""
        detail, after, target = "", None, ""
        try:
            await self._exchange()
        except Trouble as trouble:
            fault, detail, after, target = trouble.fault, trouble.detail, trouble.retry_after, trouble.target
            self._status = trouble.status or self._status
        except Broken as broken:
            fault, detail = self._fault_of(broken), broken.detail
        except OSError as error:  # all of the network's are Broken by now: this is the disk's
            fault = Fault.NO_SPACE if error.errno in _DISK_FULL else Fault.DISK
            detail = error.strerror or "the disk failed"
            self._is_good = False
        except asyncio.CancelledError:
            fault, detail = Fault.INTERRUPTED, "stopped"
        except Exception as error:  # noqa: BLE001 - a bug must end the file, not the worker that serves others
            fault, detail = Fault.INTERNAL, f"{type(error).__name__}: {error}"[:300]
            self._is_good = False
        self._end(fault, detail, after, target)

    def _end(self, fault: str, detail: str, after: float | None, target: str) -> None:
        run = self._run
        upto = END_UNKNOWN
        if run is not None and self._is_good and run.at > run.first and not self._kept:
            upto = run.at
            self._tell(Landed(self.order.id, run.first, run.at, run.crc, run.lead, run.tail))
        self._tell(
            Ended(
                self.order.id, str(fault), detail, self._status, after, target, upto, self._received, self._digests,
            )
        )  # fmt: skip

    def _fault_of(self, broken: Broken) -> Fault:
        if broken.reason is Reason.DISCONNECTED and self._status and broken.is_early_end:
            return Fault.SHORT_BODY
        return _FAULTS.get(broken.reason, Fault.PROTOCOL)

    async def _exchange(self) -> None:
        order = self.order
        begins = order.first - order.lead
        pinned = Identity(*order.pinned) if order.pinned is not None else None
        end = None if order.end == END_UNKNOWN else order.end
        async with self._streamer.opened(CanonicalUrl(order.url), headers_for(order, pinned)) as answer:
            self._status = answer.status
            if answer.status in REDIRECTS:
                await self._redirected(answer)
            verdict = judge(
                Asked(begins, end, pinned, stored_coding(order.url.partition("?")[0])),
                answer.status,
                Fields(answer.fields),
            )
            match verdict:
                case Part(first, part_end, identity):
                    await self._part(answer, first, part_end, identity)
                case Whole(length, identity):
                    await self._whole(answer, length, identity)
                case Changed(why):
                    raise Trouble(Fault.CHANGED, why)
                case AtEnd(total):
                    await self._at_end(answer, total)
                case Rejected(fault, detail, status):
                    await answer.discard()
                    field = next((value for name, value in answer.fields if name == "retry-after"), None)
                    raise Trouble(fault, detail, status, retry_after(field, datetime.now(UTC)))
                case _:
                    assert_never(verdict)

    async def _redirected(self, answer: Answer) -> None:
        told = tuple((name, value) for name, value in answer.fields if name in ("link", "digest"))
        if told:
            self._tell(Aside(self.order.id, told))
        target = answer.redirect_target()
        await answer.discard()
        if target is None:
            raise Trouble(Fault.NOT_PARTIAL, "a redirect without a usable Location")
        raise Trouble(Fault.NOT_PARTIAL, f"redirects to {target}", target=target)

    async def _part(self, answer: Answer, first: int, end: int, identity: Identity) -> None:
        order = self.order
        if first > order.first:
            raise Trouble(Fault.RANGE_WRONG, f"asked for byte {order.first}, got a part from {first}")
        if order.silence:
            answer.expect_bytes_within(order.silence)
        mine = end if order.end == END_UNKNOWN else min(end, order.end)
        if order.end == END_UNKNOWN and end != identity.size:
            raise Trouble(Fault.RANGE_WRONG, "a part, though the whole was asked for")
        can_be_small = first == order.first == 0 and end == identity.size and end <= SMALL_BYTES
        is_small = await self._opened(answer, mine, identity, is_part=True, can_be_small=can_be_small)
        run = self._run = Landing(order.first, mine, first)
        if self._cut is not None:  # asked for while this waited
            run.end = min(mine, max(self._cut, run.at))
        await self._receive(answer, run, promised=end - first, is_small=is_small)

    async def _whole(self, answer: Answer, length: int | None, identity: Identity) -> None:
        order = self.order
        if order.first or order.lead:
            raise Trouble(Fault.RANGE_IGNORED, "the whole file instead of a part")
        can_be_small = length is not None and length <= SMALL_BYTES
        is_small = await self._opened(answer, length, identity, is_part=False, can_be_small=can_be_small)
        run = self._run = Landing(0, length, 0)
        if self._cut is not None:  # asked for while this waited
            run.end = self._cut if length is None else min(length, self._cut)
        await self._receive(answer, run, promised=length, is_small=is_small)

    async def _at_end(self, answer: Answer, total: int | None) -> None:
        """Treat 416 to the very first byte as what it means: a file of no bytes."""
        await answer.discard()
        if self.order.first or total:
            raise Trouble(Fault.CHANGED, f"nothing is left at byte {self.order.first} of {total}")
        is_small = await self._opened(answer, 0, Identity(0), is_part=False, can_be_small=True)
        self._run = Landing(0, 0, 0)
        if is_small:
            self._store(answer)

    async def _opened(
        self, answer: Answer, end: int | None, identity: Identity, *, is_part: bool, can_be_small: bool
    ) -> bool:
        """Tell of the answer; if it is the first of a file, wait for its place. Return whether it is small."""
        end_told = END_UNKNOWN if end is None else end
        head = Head(
            self.order.id,
            answer.status,
            answer.fields,
            self.order.first,
            end_told,
            is_part,
            tuple(identity),
            can_be_small,
        )
        if self._path or (self._small and can_be_small):
            self._tell(head)
            return not self._path
        self._go = self._loop.create_future()
        self._tell(head)
        word = await self._go
        answer.touch()
        if word.is_small:
            self._small = word.path
            return True
        self._path = word.path
        return False

    async def _receive(self, answer: Answer, run: Landing, *, promised: int | None, is_small: bool) -> None:
        """Put the body where it belongs, and hold it against what its head promised."""
        if is_small or self.order.is_held:
            await self._keep(answer, run, promised)
        elif self._limiter.is_unlimited:
            await self._pour(answer, run, promised)
        else:
            await self._trickle(answer, run, promised)
        if promised is not None and self._received < promised and not run.is_full:
            raise Trouble(Fault.SHORT_BODY, f"{self._received} of {promised} bytes")
        if self.order.is_held:
            await self._write_held(run)
        elif is_small:
            self._store(answer)

    async def _keep(self, answer: Answer, run: Landing, promised: int | None) -> None:
        while not self._is_enough(run, promised) and (data := await answer.read()):
            self._count(len(data), promised)
            slot = run.take(data)
            if slot is not None:
                self._kept.append(bytes(slot.data))
            await self._pay(answer, len(data))

    async def _trickle(self, answer: Answer, run: Landing, promised: int | None) -> None:
        fd = self._open_file(self.order.file, self._path)
        while not self._is_enough(run, promised) and (data := await answer.read()):
            self._count(len(data), promised)
            slot = run.take(data)
            if slot is not None:
                _write(fd, slot.data, slot.offset)
                self._report(run)
            await self._pay(answer, len(data))

    async def _pour(self, answer: Answer, run: Landing, promised: int | None) -> None:
        """Write in the moment in which bytes come: no task is woken for them."""
        fd = self._open_file(self.order.file, self._path)
        trouble: Exception | None = None

        def sink(data: bytes) -> bool:
            nonlocal trouble
            try:
                self._count(len(data), promised)
                slot = run.take(data)
                if slot is not None:
                    _write(fd, slot.data, slot.offset)
                    self._report(run)
            except (OSError, Trouble) as error:
                trouble = error
                return False
            return not self._is_enough(run, promised)

        await answer.pour(sink)
        if trouble is not None:
            raise trouble

    def _count(self, size: int, promised: int | None) -> None:
        self._received += size
        if promised is not None and self._received > promised:
            self._is_good = False
            raise Trouble(Fault.EXCESS_BODY, f"more than the {promised} bytes that were promised")

    def _is_enough(self, run: Landing, promised: int | None) -> bool:
        """Tell whether what is still to come is not ours: the order was cut, or the server sends larger blocks."""
        return run.is_full and run.end != promised and (promised is None or self._received < promised)

    def _report(self, run: Landing) -> None:
        now = self._loop.time()
        if run.at - self._told >= TELL_BYTES or now - self._told_at >= TELL_SECONDS:
            self._told, self._told_at = run.at, now
            self._tell(Progress(self.order.id, run.at))

    async def _pay(self, answer: Answer, size: int) -> None:
        """Wait as the rate asks, in short pieces, since the watch takes a pause for the server's."""
        wait = self._limiter.take(size, self._loop.time())
        while wait > 0:
            await asyncio.sleep(min(wait, NAP_SECONDS))
            wait -= NAP_SECONDS
            answer.touch()

    async def _write_held(self, run: Landing) -> None:
        """Write what was kept, if it is still wanted: nobody else works on these bytes by then."""
        data = b"".join(self._kept)
        self._decided = self._loop.create_future()
        self._tell(Held(self.order.id))
        word = await self._decided
        self._kept = []
        known = min(max(0, word.first - run.first), len(data))
        if not word.is_wanted:
            self._is_good = False
            raise Trouble(Fault.INTERRUPTED, "somebody else has these bytes")
        fd = self._open_file(self.order.file, self._path)
        if known and os.pread(fd, known, run.first) != data[:known]:
            self._is_good = False
            raise Trouble(Fault.SEAM_MISMATCH, "the same bytes were fetched twice and differ")
        run.skip(data, known)
        if known == len(data):  # this is no part without a byte, as a server may send
            raise Trouble(Fault.INTERRUPTED, "somebody else has written all of these bytes")
        _write(fd, memoryview(data)[known:], run.first)

    def _store(self, answer: Answer) -> None:
        """Hash a small file and write it to a new file of its own."""
        data = b"".join(self._kept)
        self._kept = []
        claims = claims_of(answer.fields, is_whole=True)
        for name in dict.fromkeys([*self.order.hashes, *algorithms_for(claims, ())]):
            try:
                hasher = new_hash(name)
            except DigestError as error:
                raise Trouble(Fault.INTERNAL, str(error)) from error
            hasher.update(data)
            self._digests[name] = hasher.digest().hex()
        fd = os.open(self._small, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            _write(fd, data, 0)
        finally:
            os.close(fd)


def _write(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it. A slow disk holds up this loop, so that no more is received than can be written."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):  # D79
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)
