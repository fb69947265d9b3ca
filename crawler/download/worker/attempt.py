"""One order in a worker: one request, its answer judged, its bytes put in their place, the outcome as a report."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import assert_never

from crawler.download.answers.answer import Asked, AtEnd, Changed, Part, Rejected, Whole, judge, stored_coding
from crawler.download.answers.fields import Fields
from crawler.download.answers.identity import Identity
from crawler.download.disk.disk import fault_of as disk_fault
from crawler.download.disk.receipt import Receipt
from crawler.download.fault import Fault
from crawler.download.proof.digests import DigestError
from crawler.download.worker.intake import Intake, write
from crawler.download.worker.landing import Landing
from crawler.download.worker.limiter import Limiter
from crawler.download.worker.request import headers_for
from crawler.download.worker.solo import Finisher, SoloFile, stored
from crawler.download.worker.trouble import Trouble, fault_of
from crawler.download.worker.wire import (
    END_UNKNOWN,
    TAKEN,
    Arrived,
    Aside,
    Ended,
    Fetch,
    Go,
    Head,
    Held,
    Landed,
    Report,
    Solo,
    Write,
)  # fmt: skip
from crawler.fetch.head import REDIRECTS, retry_after
from crawler.fetch.stream import Answer, Broken, Streamer
from pipelines.url import CanonicalUrl

SMALL_BYTES = 1 << 20
"""A file up to this size, that one answer holds, is done in memory: it is hashed and written when it is whole."""


class Attempt:
    """One `Fetch` under way. `run` is its task; the rest is called from outside while it runs."""

    def __init__(
        self,
        order: Fetch,
        streamer: Streamer,
        limiter: Limiter,
        open_file: Callable[[int, str], int],
        tell: Callable[[Report], None],
        finisher: Finisher | None = None,
    ) -> None:
        """`open_file` gives the descriptor of a file by its number and path; it stays the giver's.

        `finisher`: what an order with `solo` needs, shared by all orders of the worker.
        """
        self.order = order
        self._solo: SoloFile | None = None
        if order.solo is not None and finisher is not None:
            self._solo = SoloFile(Solo(*order.solo), order.url, finisher)
        self._finisher = finisher
        self._head: Head | None = None
        """Of a file that is done alone; told only when nothing comes of that."""
        self._receipt: Receipt | None = None
        self._streamer = streamer
        self._open_file = open_file
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._intake = Intake(order.id, limiter, tell)
        self._run: Landing | None = None
        self._path = order.path
        self._small = order.small
        self._cut: int | None = None
        self._status = 0
        self._digests: dict[str, str] = {}
        self._go: asyncio.Future[Go] | None = None
        self._decided: asyncio.Future[Write] | None = None

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
        if self._solo is not None and not self._solo.take():
            self._end(TAKEN, "", None, "")
            return
        try:
            await self._exchange()
            if self._solo is not None and self._head is not None:
                await self._finish_alone(self._solo, self._head)
        except Trouble as trouble:
            fault, detail, after, target = trouble.fault, trouble.detail, trouble.retry_after, trouble.target
            self._status = trouble.status or self._status
        except Broken as broken:
            fault, detail = fault_of(broken, is_answered=bool(self._status)), broken.detail
        except OSError as error:  # all of the network's are Broken by now: this is the disk's
            fault = disk_fault(error)
            detail = error.strerror or "the disk failed"
            self._intake.is_good = False
        except asyncio.CancelledError:
            fault, detail = Fault.INTERRUPTED, "stopped"
        except Exception as error:  # noqa: BLE001 - a bug must end the file, not the worker that serves others
            fault, detail = Fault.INTERNAL, f"{type(error).__name__}: {error}"[:300]
            self._intake.is_good = False
        finally:
            if self._solo is not None:
                self._solo.close()
        self._end(fault, detail, after, target)

    def _end(self, fault: str, detail: str, after: float | None, target: str) -> None:
        run = self._run
        upto = END_UNKNOWN
        if self._head is not None and self._receipt is None:
            self._tell(self._head)
        if run is not None and self._intake.is_good and run.at > run.first and not self._intake.kept:
            upto = run.at
            self._tell(Landed(self.order.id, run.first, run.at, run.crc, run.lead, run.tail))
        self._tell(
            Ended(
                self.order.id, str(fault), detail, self._status, after, target, upto, self._intake.received,
                self._digests,
                self._receipt,
            )
        )  # fmt: skip

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
        if is_small and self._head is None:
            self._store(answer.fields)

    async def _opened(
        self, answer: Answer, end: int | None, identity: Identity, *, is_part: bool, can_be_small: bool
    ) -> bool:
        """Tell of the answer; if it is the first of a file, wait for its place. Return whether it is small."""
        end_told = END_UNKNOWN if end is None else end
        head = Head(
            self.order.id, answer.status, answer.fields, self.order.first, end_told, is_part, tuple(identity),
            can_be_small,
        )  # fmt: skip
        if self._solo is not None:
            if can_be_small and self._solo.accepts(head):
                self._head = head
                return True
            self._solo.close()  # the parent is about to take the target
        if self._path or (self._small and can_be_small):
            self._tell(head)
            return not self._path
        is_small = await self._placed(head)
        answer.touch()
        return is_small

    async def _placed(self, head: Head) -> bool:
        """Ask where the file belongs; return whether it is small."""
        self._go = self._loop.create_future()
        self._tell(head)
        word = await self._go
        if word.is_small:
            self._small = word.path
        else:
            self._path = word.path
        return word.is_small

    async def _receive(self, answer: Answer, run: Landing, *, promised: int | None, is_small: bool) -> None:
        """Put the body where it belongs, and hold it against what its head promised."""
        intake = self._intake
        if self._head is not None:
            await intake.gather(answer, promised)
        elif is_small or self.order.is_held:
            await intake.keep(answer, run, promised)
        else:
            await intake.write(answer, run, self._open_file(self.order.file, self._path), promised)
        if promised is not None and intake.received < promised and not run.is_full:
            raise Trouble(Fault.SHORT_BODY, f"{intake.received} of {promised} bytes")
        if self.order.is_held:
            await self._write_held(run)
        elif is_small and self._head is None:
            self._store(answer.fields)

    async def _write_held(self, run: Landing) -> None:
        """Write what was kept, if it is still wanted: nobody else works on these bytes by then."""
        data = b"".join(self._intake.kept)
        self._decided = self._loop.create_future()
        self._tell(Held(self.order.id))
        word = await self._decided
        self._intake.kept = []
        known = min(max(0, word.first - run.first), len(data))
        if not word.is_wanted:
            self._intake.is_good = False
            raise Trouble(Fault.INTERRUPTED, "somebody else has these bytes")
        fd = self._open_file(self.order.file, self._path)
        if known and os.pread(fd, known, run.first) != data[:known]:
            self._intake.is_good = False
            raise Trouble(Fault.SEAM_MISMATCH, "the same bytes were fetched twice and differ")
        run.skip(data, known)
        if known == len(data):  # this is no part without a byte, as a server may send
            raise Trouble(Fault.INTERRUPTED, "somebody else has written all of these bytes")
        write(fd, memoryview(data)[known:], run.first)

    async def _finish_alone(self, solo: SoloFile, head: Head) -> None:
        """Give a small file its name. Where that may not be, the parent decides, as for any other file."""
        assert self._finisher is not None
        if self._finisher.is_slow:
            self._tell(Arrived(self.order.id))
        self._receipt = await solo.finish(self._intake.kept, head, self.order.hashes, self._intake.received)
        if self._receipt is not None:
            return
        solo.close()
        self._head = None  # told now
        await self._placed(head)
        self._store(head.fields)

    def _store(self, fields: Sequence[tuple[str, str]]) -> None:
        """Hash a small file and write it to a new file of its own."""
        data, self._intake.kept = self._intake.kept, []
        try:
            self._digests = stored(self._small, data, fields, self.order.hashes)
        except DigestError as error:
            raise Trouble(Fault.INTERNAL, str(error)) from error
