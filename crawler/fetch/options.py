"""What a user may set about fetching, with every default; plain values, checked where they are made."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from pipelines.url import canonicalize, origin_of

MIB = 1024 * 1024

_OWN_OPTION = {
    "accept-encoding": "accept_encoding",
    "authorization": "origins",
    "cookie": "origins",
    "proxy-authorization": "proxy",
    "user-agent": "user_agent",
}
# Set by the connection, or would make two parties disagree on where a message ends (RFC 9112 11.2).
_FRAMING = {
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSecrets:
    """Headers that only one origin (scheme, host and port) ever sees. Its repr shows the origin alone."""

    origin: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cookies: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    """User and password."""

    def __post_init__(self) -> None:
        canonical = canonicalize(self.origin)
        if canonical is None:
            raise ValueError(f"origin: expected an http(s) URL such as https://example.com, got {self.origin!r}")
        object.__setattr__(self, "origin", origin_of(canonical))
        _refuse_headers(self.headers, _FRAMING)
        for name, value in self.cookies:
            if any(sign in name + value for sign in ";\r\n\0"):
                raise ValueError(f"cookie {name!r}: expected no semicolon, newline or NUL in name and value")

    def as_headers(self) -> list[tuple[str, str]]:
        """Return the header lines to send to the origin."""
        lines = list(self.headers)
        if self.cookies:
            lines.append(("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies)))
        if self.basic_auth is not None:
            token = b64encode(":".join(self.basic_auth).encode()).decode()
            lines.append(("Authorization", f"Basic {token}"))
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How to fetch. Times are seconds, sizes bytes."""

    concurrency: int = 64
    """Exchanges at once that the caller will run; sizes the threads and the pool of idle connections."""
    user_agent: str = "crawlmill"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent to every server: nothing secret (see `origins`)."""
    accept_encoding: str = "gzip, deflate, br, zstd"
    connect_timeout: float = 10.0
    """From the start to a usable connection: name, TCP, TLS, proxy."""
    read_timeout: float = 30.0
    """From the request to the whole head of the response, and then between two bytes of the body."""
    total_timeout: float = 120.0
    min_rate: float = 100.0
    """Bytes per second, averaged over the whole body."""
    min_rate_after: float = 10.0
    max_wire_bytes: int = 16 * MIB
    """A longer body is cut here; one that declares more than four times as much is not read at all."""
    keepalive: float = 30.0
    dns_cache: float = 300.0
    allow_addresses: tuple[str | IPv4Network | IPv6Network, ...] = ()
    """Networks (CIDR) that may be reached although they are not globally routable."""
    allow_ports: frozenset[int] = frozenset()
    """Ports that may be used although they are on the Fetch standard's list of bad ports."""
    proxy: str | None = field(default=None, repr=False)
    """http(s) URL, with user and password if it wants them."""
    verify_tls: bool = True
    origins: tuple[OriginSecrets, ...] = ()

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "read_timeout", "total_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected seconds > 0, got {getattr(self, name)!r}")
        for network in self.allow_addresses:
            try:
                ip_network(network)
            except ValueError as exc:  # of a host in a network: it says which bits are too many
                raise ValueError(f"allow_addresses: expected a network such as 10.0.0.0/8; {exc}") from exc
        if self.proxy is not None and canonicalize(self.proxy) is None:  # not shown: there may be a password in it
            raise ValueError("proxy: expected an http(s) URL such as http://proxy.example.org:3128")
        _refuse_headers(self.headers, {*_FRAMING, *_OWN_OPTION})
        _refuse_headers((("User-Agent", self.user_agent), ("Accept-Encoding", self.accept_encoding)), set())


def _refuse_headers(headers: tuple[tuple[str, str], ...], refused: set[str]) -> None:
    for name, value in headers:
        if any(sign in name + value for sign in "\r\n\0") or not name:
            raise ValueError(f"header {name!r}: expected a name, and no newline or NUL in name and value")
        if name.lower() in refused:
            remedy = _OWN_OPTION.get(name.lower())
            raise ValueError(f"header {name!r}: " + (f"set it with {remedy!r}" if remedy else "is not yours to set"))
