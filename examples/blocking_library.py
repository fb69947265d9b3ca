"""A library that blocks, from asyncio: `run_blocking` runs its calls in threads.

    python examples/blocking_library.py FILE [FILE ...]

Threads are right for calls that wait and for C code that frees the interpreter lock, as hashing does. For Python code
that computes they are wrong: see docs/cpu-or-blocking.md.
"""

from __future__ import annotations

import asyncio
import sys
import time

from cpu_work import slow_digest

from pipelines.cpu import run_blocking


async def main(paths: list[str]) -> None:
    """Print the SHA-256 of each file as `sha256sum` does."""
    started = time.monotonic()
    digests = await asyncio.gather(*(run_blocking(slow_digest, path) for path in paths))
    for path, digest in zip(paths, digests, strict=True):
        print(f"{digest}  {path}")
    one_by_one = 0.05 * len(paths)
    waited = "together" if time.monotonic() - started < one_by_one else "one by one"
    print(f"{len(paths)} files, waited for {waited}", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
