"""Which IP addresses the crawl may reach: by default those that are globally routable, and nothing else.

The tables are the IANA special-purpose registries (RFC 6890 and its successors), written out because
`ipaddress.is_global` changed between patch releases of Python and counts multicast, 6to4 and NAT64 as global. For IPv6
the rule is turned around: only 2000::/3 has ever been given out as global unicast, so all else is closed, except NAT64
(RFC 6052), which is as reachable as the IPv4 address inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_CLOSED_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link local, RFC 3927; cloud metadata lives here
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved and broadcast, RFC 1112
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")  # RFC 4291 2.4, IANA IPv6 address space
_CLOSED_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments with Teredo (RFC 4380), ORCHID, benchmarks
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 7526: obsolete, and carries any IPv4 address inside
        "3fff::/20",  # documentation, RFC 9637
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 2.1


class AddressPolicy:
    """Says whether an address may be connected to; `allow` lists networks (CIDR) that may be, whatever they are."""

    def __init__(
        self,
        allow: Iterable[str | IPv4Network | IPv6Network] = (),
        is_own: Callable[[IPv4Address | IPv6Address], bool] = lambda address: False,
    ) -> None:
        """`is_own` knows this machine's addresses: a public one reaches services that only trust the machine itself.

        Raises ValueError when an entry of `allow` is no network.
        """
        self._is_own = is_own
        self._allow = tuple(ip_network(block) for block in allow)

    def permits(self, address: str) -> bool:
        """Return whether `address` (IPv4 or IPv6 text, a zone allowed) may be reached; False for anything else."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return self._permits(parsed)

    def _permits(self, address: IPv4Address | IPv6Address) -> bool:
        if any(address.version == block.version and address in block for block in self._allow):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in block for block in _CLOSED_V4) and not self._is_own(address)
        if address.ipv4_mapped is not None:
            return self._permits(address.ipv4_mapped)
        if address in _NAT64:
            return self._permits(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _GLOBAL_V6 or address.scope_id is not None:
            return False
        return not any(address in block for block in _CLOSED_V6) and not self._is_own(address)

    def permits_host(self, host: str) -> bool:
        """Return False for a host of a canonical URL that names a closed address by itself, without any lookup.

        That is a literal address (`[::1]` in brackets) or `localhost` and the names below it (RFC 6761 6.3), which are
        loopback whatever a name server says.
        """
        if host.startswith("["):
            return self.permits(host[1:-1])
        name = host.rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):
            return self.permits("127.0.0.1") or self.permits("::1")
        if name[-1:].isdigit():  # the WHATWG parser makes every host that ends in a number an IPv4 address
            return not _is_ipv4(name) or self.permits(name)
        return True


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True
