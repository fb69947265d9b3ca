"""CPU work from asyncio: `gather` over worker processes, while the event loop stays free.

    python examples/gather.py

`run_cpu_async` takes any function that can be imported. The pool is made at the first call, one process for each CPU
that this program may use, and ends with it.
"""

from __future__ import annotations

import asyncio

from cpu_work import count_primes

from pipelines.cpu import close_default_pool, run_cpu_async


async def main() -> None:
    """Count primes on all cores and ticks on the loop."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    limits = [200_000, 300_000, 400_000, 500_000]
    counts = await asyncio.gather(*(run_cpu_async(count_primes, limit) for limit in limits))
    ticking.cancel()
    for limit, count in zip(limits, counts, strict=True):
        print(f"{count} primes below {limit}")
    print("the loop went on meanwhile" if ticks else "the loop stood still")
    await close_default_pool()


if __name__ == "__main__":
    asyncio.run(main())
