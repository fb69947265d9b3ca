"""The first answer first: `asyncio.as_completed` over worker processes, with a deadline for each task.

    python examples/as_completed.py

A task past its deadline is killed, also in C code that holds the interpreter lock, and its worker is replaced. The
others never notice.
"""

from __future__ import annotations

import asyncio
import re

from cpu_work import count_primes

from pipelines.errors import TaskTimeout
from pipelines.pool.pool import WorkerPool


async def main() -> None:
    """Run three tasks that end and one that does not."""
    async with WorkerPool(2) as pool:
        limited = pool.limited(deadline=1.0)

        async def primes(limit: int) -> str:
            return f"{await limited.run(count_primes, limit)} primes below {limit}"

        async def hopeless() -> str:
            try:
                await limited.run(re.fullmatch, "(a+)+", "a" * 60 + "!")
            except TaskTimeout as error:
                return f"given up: {error}"
            return "a miracle"

        todo = [hopeless(), primes(2_000_000), primes(100_000), primes(1000)]
        for done in asyncio.as_completed(todo):
            print(await done)


if __name__ == "__main__":
    asyncio.run(main())
