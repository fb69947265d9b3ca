"""`crawl demo`: serve the demo site until told to stop, or while a command runs."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from crawler.demo.beside import NOT_FOUND, NOT_STARTED, run_beside
from crawler.demo.server import DemoServer
from crawler.demo.site import Demo

DEFAULT_PORT = 8642


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `crawl demo` to a parser."""
    add = parser.add_argument
    add("--pages", type=int, default=500, metavar="N", help="number of pages [500]")
    add("--hosts", type=int, default=4, metavar="N", help="number of hosts: 127.0.0.1, 127.0.0.2, ... [4]")
    add("--seed", type=int, default=1, metavar="N", help="another seed is another site of the same size [1]")
    add(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"port of all hosts; 0 picks a free one [{DEFAULT_PORT}]",
    )
    add("--page-bytes", type=int, default=6_000, metavar="N", help="mean size of a page [6000]")
    add("--delay", type=float, default=0.0, metavar="SECONDS", help="wait before every answer [0]")
    add("--crawl-delay", type=float, default=0.02, metavar="SECONDS", help="Crawl-delay of every fourth host [0.02]")
    add("--slow", type=float, default=0.3, metavar="SECONDS", help="how long the slow pages take [0.3]")
    add("--plain", action="store_true", help="numbered pages only: no redirects, errors, odd encodings, traps")
    add("--steady", action="store_true", help="no errors that pass after some requests")
    add("--faults", action="store_true", help="add pages that break the connection")
    add("--downloads", action="store_true", help="add files to download, of up to some megabytes, with checksums")
    add("--closed-host", action="store_true", help="add a host whose robots.txt answers 503")
    add("--log", type=Path, default=None, metavar="FILE", help="append one line of JSON per request to FILE")
    add(
        "--run",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="serve while COMMAND runs, and exit as it does; takes all further arguments",
    )


def main(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code: 0, or 2 when the options make no site or no server.

    With `--run` that of the command.

    `say` gets one line once the server is ready, and one for each problem.
    """
    try:
        demo = Demo(
            pages=args.pages, hosts=args.hosts, seed=args.seed, page_bytes=args.page_bytes,
            delay_seconds=args.delay, crawl_delay_seconds=args.crawl_delay, slow_seconds=args.slow,
            cases=not args.plain, flaky=not args.steady, faults=args.faults, downloads=args.downloads,
            closed_host=args.closed_host,
        )  # fmt: skip
        if args.run == []:
            raise ValueError("--run: expected a command")
        return serve(demo, port=args.port, log_file=args.log, say=say, command=args.run or ())
    except (ValueError, OSError) as exc:
        say(f"crawl demo: {exc}")
        return 2


def serve(
    demo: Demo,
    *,
    port: int = DEFAULT_PORT,
    log_file: Path | None = None,
    say: Callable[[str], None],
    command: Sequence[str] = (),
) -> int:
    """Serve `demo` in this process until SIGINT or SIGTERM, or until `command` has ended; return the exit code.

    `say` gets one line once the server is ready. Raises OSError when an address is taken or the log cannot be opened.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(demo, port, log_file, say, command))
    return uvloop.run(_serve(demo, port, log_file, say, command))


async def _serve(
    demo: Demo, port: int, log_file: Path | None, say: Callable[[str], None], command: Sequence[str]
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with DemoServer(demo, port=port, log_file=log_file, keep_log=False) as server:
        graph = server.demo.graph
        say(f"serving {server.url} ({graph.pages:,} pages on {len(graph.hosts)} hosts); Ctrl-C stops")
        if command:
            return await _beside(command, say)
        await stop.wait()
        return 0


async def _beside(command: Sequence[str], say: Callable[[str], None]) -> int:
    try:
        return await run_beside(command)
    except OSError as exc:
        say(f"crawl demo: {command[0]}: {exc.strerror}")
        return NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_STARTED
