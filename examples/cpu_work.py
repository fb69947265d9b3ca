"""What the examples of worker processes compute. In a module of its own: workers import functions by name."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path


def count_primes(limit: int) -> int:
    """Return how many primes lie below `limit`: plain Python, which holds the interpreter lock."""
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\0\0"[:limit]
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return sum(sieve)


def careful(number: int) -> int:
    """Return the square; refuse 13, and take the whole process down at 17, as a broken library might."""
    if number == 13:
        raise ValueError("13 is not to be squared")
    if number == 17:
        os._exit(1)
    return number * number


def slow_digest(path: str) -> str:
    """Read a file and hash it: blocking calls and C code that frees the interpreter lock."""
    time.sleep(0.05)  # a slow disk, a client library without asyncio
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def visit(host: str, port: int, words: list[str]) -> dict[str, int]:
    """Ask a server for the length of each word and add up primes: I/O and CPU work, both inside a worker."""
    reader, writer = await asyncio.open_connection(host, port)
    found = {}
    for word in words:
        writer.write(f"{word}\n".encode())
        await writer.drain()
        found[word] = int(await reader.readline()) + count_primes(1000)
    writer.close()
    await writer.wait_closed()
    return found
