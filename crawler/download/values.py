"""What is asked of a download and what became of it: plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from crawler.fetch.options import FetchOptions

if TYPE_CHECKING:
    from crawler.download.fault import Fault
    from crawler.download.proof.digests import Digest
    from crawler.download.proof.discover import Claim
    from crawler.download.proof.metalink import Pieces

MIB = 1024 * 1024

Status = Literal["verified", "unverified", "mismatch", "failed"]
OnRedirect = Literal["follow", "report"]


class Wanted(NamedTuple):
    """One file to fetch."""

    url: str
    path: str | None = None
    """Relative to the root of the downloads; None: a safe name made from the answer and the URL."""
    digests: tuple[Digest, ...] = ()
    """What the caller knows; all must match."""
    size: int | None = None
    """Bytes, if the caller knows."""
    mirrors: tuple[str, ...] = ()
    """More URLs of the same bytes, best first."""
    claims: tuple[Claim, ...] = ()
    """What others say of its digest, each with its trust: a page that links to it, a manifest found on the way."""
    pieces: Pieces | None = None
    """Digests of its pieces, compared where no digest of the whole is known. They show that a file is wrong; that all
    of them match does not make it `verified`."""


class FileResult(NamedTuple):
    """What became of one file."""

    url: str
    final_url: str
    """Where the bytes came from, after redirects."""
    path: str | None
    """Relative to the root; None when there is no file."""
    status: Status
    fault: Fault | None
    """Why there is no file; None when there is one."""
    detail: str
    size: int | None
    digests: dict[str, str]
    """Algorithm to hexadecimal, of the bytes that arrived."""
    claims: tuple[Claim, ...]
    """All digests that anybody announced, each with its source."""
    verified_by: Claim | None
    segments: int
    """Most connections at once."""
    retries: int
    mirrors: int
    """How many of the URLs gave bytes."""
    seconds: float
    fetched_bytes: int
    """Off the wire in this run, repeated and discarded ones included."""
    resumed_bytes: int
    """Known to be good from an earlier run."""
    http_status: int | None = None
    """Of the redirect that was reported; None for all else."""
    beside: str | None = None
    """What has the name that the answer gave, and why it is not what is wanted: the file got another name, beside it.
    None where nothing was in the way, or a good file of another URL, or the caller gave the name."""


class FileProgress(NamedTuple):
    """Where one file stands, for a person to look at."""

    url: str
    path: str | None
    size: int | None
    written: int
    """Bytes in the file, in whatever order."""
    hashed: int
    """Bytes compared with nothing yet, but already in the hash."""
    connections: int


ProgressSink = Callable[[FileProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions:
    """How to download. Times are seconds, sizes bytes."""

    segments: int = 8
    """Most connections for one file."""
    processes: int | None = None
    """Worker processes; None for one for each CPU."""
    processes_per_file: int = 2
    files: int = 32
    """Most files at once."""
    per_host: int = 8
    """Most connections to one host, where no gate of the caller's decides."""
    retries: int = 5
    """Failed requests in a row, without a new byte, until a file is given up."""
    retry_delay: float = 0.5
    """Before the first retry; doubled with each further one."""
    retry_delay_max: float = 30.0
    retry_after_max: float = 120.0
    """A server that asks for a longer pause is given up."""
    stall_timeout: float = 10.0
    """Without a byte of a part, after which its connection is given up and its rest asked for on another. Doubled
    while nothing comes, up to `fetch.read_timeout`; a stream that would have to begin again has all of that."""
    max_bytes: int | None = None
    """A larger file is refused."""
    require_digest: bool = False
    """Whether a file that nobody announced a digest of is a failure."""
    look_beside: bool = False
    """Whether to ask for the checksum file of a file whose digest the caller does not know: `NAME.sha256`, or
    `SHA256SUMS` in its folder. `crawler.download.sidecars.GUESSES` are all names that are tried."""
    link_mirrors: bool = False
    """Whether to use mirrors that a server names in Link fields (RFC 6249), where a strong digest proves the file. Off,
    since they are hosts that nobody asked for. `crawler.download.offers` tells what they have to keep to."""
    spread_mirrors: bool = True
    """Whether the segments of one file go to its mirrors, too, where its first place has no room for them, or more
    connections there do not help. Off: mirrors are asked when the places before them fail, or ask for a pause."""
    algorithms: tuple[str, ...] = ("sha256",)
    """Digests to record, beside those that were announced."""
    is_durable: bool = True
    """Whether data is synced before it is called done; off, a power loss may cost the file, never its truth."""
    sync_bytes: int = 128 * MIB
    sync_seconds: float = 2.0
    """How much, or how long, until what was written is synced and entered in the journal."""
    rate_limit: float | None = None
    """Bytes per second for all files together."""
    uvloop: bool = True
    """Whether the workers' event loops are uvloop's, where it is installed; the caller's own loop is the caller's."""
    fetch: FetchOptions = field(default_factory=FetchOptions)

    def __post_init__(self) -> None:
        for name in ("segments", "processes_per_file", "files", "per_host"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, got {getattr(self, name)!r}")
        if self.processes is not None and self.processes < 1:
            raise ValueError(f"processes: expected 1 or more, got {self.processes!r}")
        if self.rate_limit is not None and not self.rate_limit > 0:
            raise ValueError(f"rate_limit: expected bytes per second > 0, got {self.rate_limit!r}")
        if not self.stall_timeout > 0:
            raise ValueError(f"stall_timeout: expected seconds > 0, got {self.stall_timeout!r}")
        for name in ("retries", "retry_delay", "retry_delay_max", "retry_after_max"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)!r}")


class Gate(Protocol):
    """Decides when a request may go to a host. Every request passes it, each segment alone."""

    async def enter(self, url: str) -> None:
        """Wait until the host of `url` may be asked."""

    def leave(self, url: str) -> None:
        """Note that the request is over, however it ended."""

    def slow_down(self, url: str, retry_after: float | None) -> None:
        """Note that the host asked for less: 429 or 503, with the seconds it named."""
