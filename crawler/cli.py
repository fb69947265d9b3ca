"""The command `crawl`: arguments, what is said to whom, exit codes.

Progress, warnings and errors go to stderr, the result to stdout: `crawl config.toml > result.txt` keeps the one and
shows the other, and `2>/dev/null` leaves the result alone. A reader that goes away early changes nothing; a result
that cannot be written is no success.

What a crawl needs is imported in the order in which it is needed: the configuration first, then the worker processes
are started, and while they load their libraries this process loads its own.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from crawler import __version__
from crawler.errors import ConfigError, CrawlError, ExitCode
from crawler.malloc import one_arena
from crawler.progress.codes import MEANING
from crawler.progress.streams import Streams
from crawler.signals import Signals

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from crawler.config import Config
    from crawler.engine.crawl import Crawl
    from crawler.engine.summary import Summary
    from crawler.engine.workers import Workers
    from crawler.progress.screen import Screen

_EPILOG = """\
commands:
  crawl CONFIG            crawl, or resume what was interrupted
  crawl check CONFIG      say whether the configuration can be used, without running it
  crawl download URL...   fetch files in segments, verified as they arrive; --help for more
  crawl demo              serve the demo site on loopback; --run COMMAND serves while COMMAND runs
  crawl repro ID          run a page that broke its worker once more, and show where it ends
  crawl verify DIR        re-hash what was downloaded; --repair fetches damaged bytes again
  crawl schema            print the JSON Schema of the configuration, for editors

Progress goes to stderr, the result to stdout. Ctrl-C or SIGTERM drains: what is in flight may
end, for up to ten seconds; a second one stops at once. SIGHUP is as SIGTERM. No page that was
recorded is lost, whatever happens.

exit codes:
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Without `argv` this is the program itself: it takes over the signals, and ends the process instead of returning.
    """
    streams = Streams()
    signals = Signals(streams.tell)
    if argv is None:
        gc.disable()  # nothing dies while the program loads; _settle_memory turns it on again
        one_arena()
        _occupy_standard_descriptors()
        signals.install()
        code = _guarded(sys.argv[1:], signals, streams)
        signals.settle(code)
        _leave(code, signals, streams)
    return streams.verdict(_guarded(list(argv), signals, streams))


def _guarded(arguments: list[str], signals: Signals, streams: Streams) -> int:
    """Run a command; whatever it raises becomes a message and an exit code here, and nowhere else."""
    try:
        command = _COMMANDS.get(arguments[0]) if arguments else None
        return command(arguments[1:], signals, streams) if command else _crawl(arguments, signals, streams)
    except CrawlError as exc:
        _complain(exc, streams)
        return exc.exit_code
    except SystemExit as exc:  # argparse: --help, --version, wrong arguments
        return exc.code if isinstance(exc.code, int) else ExitCode.USAGE
    except Exception:  # noqa: BLE001  # the outermost boundary: a bug, told with its traceback, safe for a terminal
        _confess(streams)
        return ExitCode.INTERNAL


def _complain(error: CrawlError, streams: Streams) -> None:
    if isinstance(error, ConfigError):
        for problem in error.problems:
            streams.tell(str(problem))
        return
    streams.tell(f"crawl: {error}")


def _confess(streams: Streams) -> None:
    from traceback import format_exc

    for line in format_exc().splitlines():
        streams.tell(line)
    streams.tell("crawl: internal error, a bug; what was recorded is intact, and the same command goes on from there")


def _occupy_standard_descriptors() -> None:
    """Open /dev/null where 0, 1 or 2 is closed: else the state file gets such a number, and a message ends up in it."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one


def _leave(code: int, signals: Signals, streams: Streams) -> NoReturn:
    """End the process. Taking an interpreter full of modules apart would take longer than many a crawl."""
    import atexit

    atexit._run_exitfuncs()  # noqa: SLF001  # as the interpreter would
    streams.flush()
    code = streams.verdict(code)
    signals.settle(code)
    os._exit(code)


# -- crawl CONFIG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crawl",
        usage="crawl [options] CONFIG",
        description="Crawl what CONFIG describes, or resume it where it was interrupted.",
        epilog=_EPILOG + "\n".join(f"  {int(code):3}  {meaning}" for code, meaning in MEANING.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="TOML file; sample_config.toml shows every key")
    _add_overrides(parser)
    parser.add_argument("--max-pages", type=int, metavar="N", help="stop after this many records (job.max_pages)")
    parser.add_argument("--max-time", metavar="TIME", help='stop after this time, such as "10m" (job.max_time)')
    parser.add_argument("--out", metavar="DIR", help="where results and state go (job.out)")
    parser.add_argument("--accept-changes", action="store_true", help="resume although seeds or scope were changed")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--plain", action="store_true", help="plain progress lines even on a terminal")
    parser.add_argument("--version", action="version", version=f"crawlmill {__version__}")
    return parser


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help='override a key of CONFIG, such as fetch.concurrency=128 or politeness.delay="1s"; may be repeated',
    )


def _crawl(arguments: list[str], signals: Signals, streams: Streams) -> int:
    options = _parser().parse_args(arguments)
    overrides = [*options.overrides, *_shorthands(options)]
    config = _load(options.config, overrides, streams, quiet=options.quiet)

    from crawler.engine.workers import Workers

    workers = Workers(config.cpu, config.parse.stages)
    try:
        workers.start()
        summary = _run(config, workers, options, signals, streams)
    finally:
        workers.kill()
    signals.settle(summary.exit_code)
    if not options.quiet:
        from crawler.progress.result import result

        streams.result("\n".join(result(summary, config.job.out, ["crawl", *arguments])))
    return summary.exit_code


def _shorthands(options: argparse.Namespace) -> list[str]:
    """Spell `--max-pages` and the like as overrides."""
    found = []
    if options.max_pages is not None:
        found.append(f"job.max_pages={options.max_pages}")
    if options.max_time is not None:
        found.append(f"job.max_time={_toml_string(options.max_time)}")
    if options.out is not None:  # seen from here, where it was typed, not from the folder of the config
        found.append(f"job.out={_toml_string(str(Path(options.out).absolute()))}")
    return found


def _toml_string(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _run(config: Config, workers: Workers, options: argparse.Namespace, signals: Signals, streams: Streams) -> Summary:
    """Crawl, with progress on stderr, steered by signals."""
    import asyncio

    from crawler.fetch.tls import no_certificates

    with no_certificates():  # aiohttp is imported in here
        from crawler.engine.crawl import Crawl
    from crawler.progress import logs, view

    _settle_memory()
    style = view.choose(2, os.environ, quiet=options.quiet, plain=options.plain)
    screen = view.screen_for(style, streams.err)

    async def crawl() -> Summary:
        async with Crawl(config, workers=workers, accept_changes=options.accept_changes) as running:
            stop = partial(_stop, running, signals, None if options.quiet else screen)
            with signals.steering(asyncio.get_running_loop(), stop):
                async with view.watched(running, config, screen, style):
                    return await running.run()

    signals.hold()
    screen.start()
    try:
        with (
            logs.logged(screen.line, quiet=options.quiet),
            asyncio.Runner(loop_factory=_loop_factory(config)) as runner,
        ):
            return runner.run(crawl())
    finally:
        screen.close()


def _settle_memory() -> None:
    """Keep the collector from looking at the 80,000 objects that the imports left, and from looking too often.

    A full collection over them takes 20 ms, in which the event loop stands still. Within another program the collector
    is that program's.
    """
    if gc.isenabled():
        return
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def _stop(running: Crawl, signals: Signals, screen: Screen | None, hurry: bool) -> None:
    """Do what a signal asks for, and say so."""
    from crawler.engine.crawl import DRAIN_SECONDS

    assert signals.code is not None, "a signal came"
    running.stop(signals.code)
    if screen is None:
        return
    if hurry:
        screen.line("crawl: stopping now")
        return
    snapshot = running.snapshot(hosts=0)
    under_way = f"{snapshot.in_flight + snapshot.processing if snapshot else 0} requests"
    if files := len(snapshot.files_under_way) if snapshot else 0:
        under_way += f" and {files} file{'s' * (files != 1)}"
    again = "Ctrl-C again" if signals.code is ExitCode.INTERRUPTED else "a second signal"
    screen.line(f"crawl: {signals.name}: draining {under_way}, up to {DRAIN_SECONDS:.0f} s; {again} stops now")


def _loop_factory(config: Config) -> Callable[[], AbstractEventLoop] | None:
    """Return what makes the event loop; None for asyncio's own."""
    if config.fetch.uvloop:
        try:
            import uvloop
        except ImportError:  # not on this platform: asyncio's own loop does the same, slower
            return None
        return uvloop.new_event_loop
    return None


def _load(path: Path, overrides: Sequence[str], streams: Streams, *, quiet: bool = False) -> Config:
    from crawler.config import load

    config = load(path, overrides)
    for warning in () if quiet else config.warnings:
        streams.tell(f"crawl: warning: {warning}")
    return config


# -- the sisters


def _check(arguments: list[str], signals: Signals, streams: Streams) -> int:
    parser = argparse.ArgumentParser(prog="crawl check", description="Say whether a configuration can be used.")
    parser.add_argument("config", metavar="CONFIG", type=Path)
    _add_overrides(parser)
    options = parser.parse_args(arguments)
    config = _load(options.config, options.overrides, streams)
    from crawler.engine.assemble import check

    check(config)
    seeds = len(config.job.seeds)
    streams.say(f"{options.config}: fine; {seeds} seed{'s' * (seeds != 1)}, output in {config.job.out}")
    return ExitCode.COMPLETE


def _demo(arguments: list[str], signals: Signals, streams: Streams) -> int:
    from crawler.demo import command

    parser = argparse.ArgumentParser(prog="crawl demo", description="Serve a deterministic web in a box on loopback.")
    command.add_arguments(parser)
    return command.main(parser.parse_args(arguments), streams.result)


def _repro(arguments: list[str], signals: Signals, streams: Streams) -> int:
    from crawler.quarantine import repro
    from crawler.quarantine.case import CaseError

    parser = argparse.ArgumentParser(
        prog="crawl repro",
        description="Run a page that killed or hung its worker once more, in a process of its own, and show what "
        "happens. errors.jsonl names the ID. Exit code 0: it came to its end within its limits; 3: it did not.",
    )
    parser.add_argument("case", metavar="ID", help="a case in OUT/quarantine, or the path of one")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="job.out of the crawl [out]")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="time for the page [its cpu.page_timeout]")
    options = parser.parse_args(arguments)
    if options.timeout is not None and not 0 < options.timeout <= 3600:
        parser.error(f"--timeout: expected seconds above 0 and up to 3600, got {options.timeout:g}")
    try:
        ended = repro.main(options.case, options.out, options.timeout, streams.say)
    except (CaseError, OSError) as exc:
        streams.tell(f"crawl repro: {exc}")
        return ExitCode.USAGE
    return ExitCode.COMPLETE if ended else ExitCode.FAILURES


def _download(arguments: list[str], signals: Signals, streams: Streams) -> int:
    from crawler.download import command

    parser = argparse.ArgumentParser(
        prog="crawl download",
        description="Fetch files in segments and verify them as they arrive: a file has its name only when it is "
        "right. What was interrupted goes on with the same command. Exit code 0: all files are there; 3: some are not; "
        "6: the disk is in trouble.",
    )
    command.add_arguments(parser)
    options = parser.parse_args(arguments)
    _settle_memory()
    from crawler.progress.downloads import Shown

    say = (lambda line: None) if options.quiet else streams.say
    with Shown(streams.err, os.environ, plain=options.plain, quiet=options.quiet) as shown:
        return command.main(options, say, streams.tell, shown.watch, signals)


def _verify(arguments: list[str], signals: Signals, streams: Streams) -> int:
    from crawler.download import verify_command

    parser = argparse.ArgumentParser(
        prog="crawl verify",
        description="Re-hash every file that was downloaded to DIR, as its receipt says, and name the damaged bytes. "
        "Exit code 0: all are right, or were repaired; 3: they are not.",
    )
    verify_command.add_arguments(parser)
    options = parser.parse_args(arguments)
    return verify_command.main(options, streams.say, streams.tell, signals=signals)


def _schema(arguments: list[str], signals: Signals, streams: Streams) -> int:
    import json

    from crawler.config import json_schema

    argparse.ArgumentParser(prog="crawl schema", description="Print the JSON Schema of the configuration.").parse_args(
        arguments
    )
    streams.result(json.dumps(json_schema(), indent=2))
    return ExitCode.COMPLETE


_COMMANDS: dict[str, Callable[[list[str], Signals, Streams], int]] = {
    "check": _check, "demo": _demo, "download": _download, "repro": _repro, "schema": _schema, "verify": _verify,
}  # fmt: skip
