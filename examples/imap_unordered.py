"""`imap_unordered` for asyncio: any number of items through worker processes, memory bounded, errors apart.

    python examples/imap_unordered.py [ITEMS]

Items come from a generator, which is read only a little ahead of the workers: it may be endless. They travel in
batches. An item that raises is an error of its own; one that kills its worker is searched for until it is alone, and
the items that were with it come back.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

from cpu_work import careful

from pipelines.stream import stream


def numbers(count: int) -> Iterator[int]:
    """Yield items one by one, as from a file or a queue."""
    yield from range(count)


async def main(count: int) -> None:
    """Square numbers, and tell which could not be."""
    total = 0
    async for result in stream(careful, numbers(count), return_errors=True):
        if result.error is None:
            assert result.value is not None
            total += result.value
        else:
            print(f"{result.item}: {type(result.error).__name__}: {result.error}")
    print(f"the others add up to {total}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
