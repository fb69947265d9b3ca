"""Names to addresses the crawl may reach.

The connector connects to exactly what leaves this room and asks nobody again: a name cannot be bound anew in between.

Lookups run `getaddrinfo` in threads of their own: the event loop's are few (four under uvloop) and shared with file
reads, so a handful of dead name servers would stop every other lookup.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address

from aiohttp.abc import AbstractResolver, ResolveResult

from crawler.fetch.addresses import AddressPolicy

MAX_ADDRESSES = 16  # a name with 500 addresses must not keep us busy trying them all
MAX_FAILURES = 10_000
MAX_THREADS = 32
NEGATIVE_SECONDS = 10.0  # RFC 2308 5 allows hours; a crawl would rather ask again at the next retry

Lookup = Callable[[str, int, int], list[str]]
"""Host, port and address family to addresses as text; raises OSError. Runs in a thread."""


class NameNotResolved(OSError):
    """The name has no address, or nobody could say which."""


class AddressBlocked(OSError):
    """The name has addresses, and the crawl may reach none of them."""


def system_lookup(host: str, port: int, family: int) -> list[str]:
    """Ask the operating system; addresses in the order of RFC 6724."""
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    # A link-local answer carries its zone apart from its text; without it, it stays what it is: closed.
    return [str(where[0]) for _, _, _, _, where in found]


def is_own_address(address: IPv4Address | IPv6Address) -> bool:
    """Return whether a packet to `address` would stay on this machine, by asking the routing table; none is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return bool(probe.getsockname()[0] == str(address))
    except OSError:
        return False  # no route: the connection will say so


class Resolver(AbstractResolver):
    """Resolves through `lookup` and drops what the policy does not permit. Owns its threads; close it."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        lookup: Lookup = system_lookup,
        trusted: frozenset[str] = frozenset(),
        timeout: float = 9.0,
        threads: int = MAX_THREADS,
    ) -> None:
        """`trusted` names (the proxy's own) are not filtered; `timeout` is in seconds, for one lookup."""
        self._policy = policy
        self._lookup = lookup
        self._trusted = trusted
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="dns")
        self._failures: dict[str, tuple[float, OSError]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the permitted addresses of `host`. Raises NameNotResolved or AddressBlocked."""
        loop = asyncio.get_running_loop()
        failure = self._failures.get(host)
        if failure is not None and failure[0] > loop.time():
            raise type(failure[1])(*failure[1].args)
        try:
            addresses = await self._ask(host, port, family)
            permitted = self._permitted(host, addresses)
        except OSError as exc:
            if len(self._failures) >= MAX_FAILURES:
                self._failures.clear()
            self._failures[host] = (loop.time() + NEGATIVE_SECONDS, exc)
            raise
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in permitted
        ]

    async def _ask(self, host: str, port: int, family: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await loop.run_in_executor(self._threads, self._lookup, host, port, family)
        except TimeoutError as exc:
            raise NameNotResolved(f"no answer within {self._timeout:g} s") from exc
        except UnicodeError as exc:  # a label over 63 octets, refused by the idna codec of getaddrinfo
            raise NameNotResolved("no valid host name") from exc
        except OSError as exc:
            raise NameNotResolved(exc.strerror or "lookup failed") from exc
        if not addresses:
            raise NameNotResolved("no address")
        return addresses

    def _permitted(self, host: str, addresses: list[str]) -> list[str]:
        if host in self._trusted:
            return addresses[:MAX_ADDRESSES]
        unique = list(dict.fromkeys(addresses))
        permitted = [address for address in unique if self._policy.permits(address)]
        if not permitted:
            raise AddressBlocked("no address that the crawl may reach")  # which ones, the crawled web must not learn
        return permitted[:MAX_ADDRESSES]

    async def close(self) -> None:
        """Forget the threads; one that still waits for a name server ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
