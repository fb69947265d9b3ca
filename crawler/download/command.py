"""`crawl download URL...`: files to a folder, verified as they arrive.

The workers are started before anything else is loaded; while they load the HTTP client, this process, which needs none,
loads what is left.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from crawler.download.fault import permitting
from crawler.download.proof.digests import Digest, DigestError, canonical, parse_digest
from crawler.download.start import loop_factory, new_pool
from crawler.download.values import DownloadOptions, FileProgress, FileResult, Wanted
from crawler.errors import ExitCode
from crawler.fetch.options import FetchOptions

if TYPE_CHECKING:
    from crawler.signals import Signals
    from pipelines.pool.pool import WorkerPool

Say = Callable[[str], None]

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DISK_FAULTS = ("no_space", "disk")
MAX_HOSTS = 256
"""Of the user's, that are looked up before; of a longer list only public addresses can be reached behind these."""


class Watcher(Protocol):
    """What shows how far the files are."""

    def moved(self, progress: FileProgress) -> None:
        """Take where one file stands."""

    def ended(self, result: FileResult) -> None:
        """Take what became of one file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `crawl download` to a parser."""
    add = parser.add_argument
    add("urls", nargs="*", metavar="URL", help="files to fetch; with -o, one file and its mirrors")
    add("-i", "--input", metavar="FILE", help="a list of URLs, a SHA256SUMS file or a Metalink; - for stdin")
    add("--base", metavar="URL", help="what the names in a SHA256SUMS file are relative to")
    add("-o", "--output", type=Path, metavar="FILE", help="where the file goes, for one file")
    add("-d", "--directory", type=Path, default=Path(), metavar="DIR", help="folder for all files [.]")
    add("--sha256", metavar="HEX", help="what the file must hash to")
    add("--digest", action="append", default=[], metavar="DIGEST", help="as sha512:HEX or md5=BASE64; may be repeated")
    add("--size", type=_length, metavar="BYTES", help="how large the file must be")
    add("--require-digest", action="store_true", help="fail where nobody says what a file hashes to")
    add(
        "--look-beside",
        action="store_true",
        help="look for the file's checksum beside it, NAME.sha256, NAME.sha512, NAME.md5, SHA256SUMS and the like, "
        "and hold the file to it",
    )
    add(
        "--link-mirrors",
        action="store_true",
        help="also use mirrors that the server names in Link fields, where you or it told a strong digest of the file",
    )
    add("-s", "--segments", type=_count, default=8, metavar="N", help="most connections for a file [8]")
    add("--files", type=_count, default=32, metavar="N", help="most files at once [32]")
    add("--per-host", type=_count, default=None, metavar="N", help="most connections to a host [as many as segments]")
    add("--processes", type=_count, default=None, metavar="N", help="worker processes [as many as there are cores]")
    add(
        "--limit-rate",
        type=_bytes,
        default=None,
        metavar="RATE",
        help="bytes a second for all files, such as 500k, 10M",
    )
    add("--max-size", type=_bytes, default=None, metavar="BYTES", help="refuse larger files, such as 2G")
    add("--retries", type=int, default=5, metavar="N", help="failures in a row until a place is given up [5]")
    add("--timeout", type=float, default=None, metavar="SECONDS", help="for a connection [10], and for silence [30]")
    add("--user-agent", default="crawlmill", metavar="TEXT", help="who we say we are")
    add("--proxy", default=None, metavar="URL", help="http(s) proxy")
    add(
        "--allow-address",
        action="append",
        default=[],
        metavar="NET",
        help="also reach this network, such as 10.0.0.0/8",
    )
    add("--insecure", action="store_true", help="do not check certificates")
    add("--no-sync", action="store_true", help="do not wait for the disk; after a power loss files may be gone")
    add("-q", "--quiet", action="store_true", help="say nothing but errors and warnings")
    add("--plain", action="store_true", help="plain progress lines even on a terminal")


def main(args: argparse.Namespace, say: Say, tell: Say, watcher: Callable[[], Watcher | None], signals: Signals) -> int:
    """Download and return the exit code: 0, 2 wrong arguments, 3 a file failed, 6 the disk, 130 or 143 stopped.

    `say` gets one line for each file that is there, `tell` one for each that is not, or not where it is looked for;
    names in them are not safe for a terminal yet. `watcher` is asked for what shows progress once the workers are
    starting.
    """
    try:
        options = _options(args)
        root, wanted = _wanted(args)
    except (DigestError, ValueError, OSError) as error:
        tell(f"crawl download: {error}")
        return ExitCode.USAGE
    pool = new_pool(options)
    try:
        pool.start()
        options = _reaching(options, wanted)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            work = _run(root, wanted, options, pool, say, tell, watcher())
            stopped = partial(tell, "crawl download: stopped; the same command goes on from here")
            return runner.run(signals.cancelling(work, (lambda: None) if args.quiet else stopped))
    finally:
        pool.kill()


async def _run(
    root: Path, wanted: list[Wanted], options: DownloadOptions, pool: WorkerPool, say: Say, tell: Say,
    watcher: Watcher | None,
) -> int:  # fmt: skip
    from crawler.download.disk.errors import DownloadError
    from crawler.download.downloader import Downloader

    worst = ExitCode.COMPLETE
    try:
        async with Downloader(root, options, pool=pool) as downloader:
            results = downloader.fetch_all(wanted, watcher.moved if watcher is not None else None)
            async for result in results:
                if watcher is not None:
                    watcher.ended(result)
                (say if result.fault is None else tell)(_line(result))
                if result.fault is None and result.beside is not None:
                    tell(f"crawl download: {result.path}: a name beside its own, since {result.beside}")
                if result.fault in _DISK_FAULTS:
                    worst = ExitCode.STATE
                elif result.fault is not None and worst is ExitCode.COMPLETE:
                    worst = ExitCode.FAILURES
    except (DownloadError, OSError) as error:
        tell(f"crawl download: {error}")
        return ExitCode.STATE
    return worst


def _line(result: FileResult) -> str:
    """Return one file's result for a person."""
    if result.fault is not None:
        return f"crawl download: {result.url}: {result.fault}: {permitting(result.fault, result.detail)}"
    assert result.size is not None
    proof = f" by {result.verified_by}" if result.verified_by is not None else ""
    rate = f", {result.size / result.seconds / 1e6:,.1f} MB/s" if result.seconds > 0 and result.fetched_bytes else ""
    resumed = f", {result.resumed_bytes:,} resumed" if result.resumed_bytes else ""
    return f"{result.path}: {result.status}{proof}; {result.size:,} bytes in {result.seconds:.1f} s{rate}{resumed}"


def _options(args: argparse.Namespace) -> DownloadOptions:
    """Return the options that the arguments ask for. Raises ValueError."""
    limits = {}
    if args.timeout is not None:
        limits = dict.fromkeys(("connect_timeout", "read_timeout", "min_rate_after"), args.timeout)
    return DownloadOptions(
        segments=args.segments,
        processes=args.processes,
        files=args.files,
        per_host=args.per_host if args.per_host is not None else args.segments,
        retries=args.retries,
        max_bytes=int(args.max_size) if args.max_size is not None else None,
        require_digest=args.require_digest,
        look_beside=args.look_beside,
        link_mirrors=args.link_mirrors,
        is_durable=not args.no_sync,
        rate_limit=args.limit_rate,
        fetch=FetchOptions(
            user_agent=args.user_agent,
            allow_addresses=tuple(args.allow_address),
            proxy=args.proxy,
            verify_tls=not args.insecure,
            **limits,
        ),
    )


def _reaching(options: DownloadOptions, wanted: list[Wanted]) -> DownloadOptions:
    """Let the hosts that the user named be reached, whatever their addresses are; not those that they redirect to.

    Exactly the addresses that these names have now.
    """
    from concurrent.futures import ThreadPoolExecutor

    from pipelines.url import canonicalize, host_of

    urls = (canonicalize(url) for one in wanted for url in (one.url, *one.mirrors))
    hosts = list(dict.fromkeys(host_of(url).strip("[]") for url in urls if url is not None))[:MAX_HOSTS]
    with ThreadPoolExecutor(min(len(hosts), 16) or 1) as threads:
        found = {address for addresses in threads.map(_addresses, hosts) for address in addresses}
    return replace(options, fetch=replace(options.fetch, allow_addresses=(*options.fetch.allow_addresses, *found)))


def _addresses(host: str) -> list[str]:
    import socket

    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []  # the fetch will say so
    return [str(where[0]).partition("%")[0] for _, _, _, _, where in found]


def _wanted(args: argparse.Namespace) -> tuple[Path, list[Wanted]]:
    """Return the folder and the files that the arguments ask for. Raises ValueError, OSError."""
    digests = tuple(parse_digest(text) for text in args.digest)
    if args.sha256 is not None:
        digests = (parse_digest(f"sha256:{args.sha256}"), *digests)
    root = args.directory
    if args.output is not None:
        if str(args.output) == "-":
            raise ValueError("-o -: a file is verified before anybody may read it; expected a file")
        if not args.urls or args.input is not None:
            raise ValueError("-o: expected one URL, and its mirrors behind it")
        target = (root / args.output).absolute()
        digests = (*digests, *(digest for url in args.urls for digest in _told_by(url)))
        return target.parent, [Wanted(args.urls[0], target.name, digests, args.size, tuple(args.urls[1:]))]
    wanted = [Wanted(url, digests=_told_by(url)) for url in args.urls]
    if args.input is not None:
        wanted += _listed(args.input, args.base)
    if not wanted:
        raise ValueError("expected a URL, or a list with -i")
    if digests or args.size is not None:
        if len(wanted) != 1:
            raise ValueError("--sha256, --digest and --size are for one file; a list has them for each of many")
        wanted = [
            one._replace(digests=(*digests, *one.digests), size=one.size if args.size is None else args.size)
            for one in wanted
        ]
    return root, wanted


def _told_by(url: str) -> tuple[Digest, ...]:
    """Return the digests in the fragment of a URL, `#sha256=HEX`, as Python's package indexes write them (PEP 503).

    Raises DigestError where one is called a digest and is none.
    """
    parts = (part for part in url.partition("#")[2].split("&") if canonical(part.partition("=")[0]))
    return tuple(parse_digest(part) for part in parts)


def _listed(name: str, base: str | None) -> list[Wanted]:
    """Return the files of a manifest. Raises ValueError with every problem, OSError."""
    from crawler.download.proof import manifest

    data = sys.stdin.buffer.read(manifest.MAX_BYTES + 1) if name == "-" else _read(Path(name), manifest.MAX_BYTES + 1)
    found = manifest.parse(data, name=Path(name).name, base=base)
    if found.problems:
        raise ValueError("; ".join(f"{name}: {problem}" for problem in found.problems))
    return [
        Wanted(each.url, each.path, each.digests, each.size, each.mirrors, pieces=each.pieces) for each in found.files
    ]


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1024, got {text}")
    return value


def _length(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a number of bytes, got {text}")
    return value


def _bytes(text: str) -> float:
    number, unit = (text[:-1], text[-1:].lower()) if text[-1:].isalpha() else (text, "")
    if unit not in _UNITS or not number.replace(".", "", 1).isdigit() or not float(number):
        raise argparse.ArgumentTypeError(f"expected a number of bytes such as 500k, 10M or 2G, got {text!r}")
    return float(number) * _UNITS[unit]
